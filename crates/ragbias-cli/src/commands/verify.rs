//! `ragbias verify`.

use std::process::ExitCode;

use anyhow::Result;
use ragbias::data::load_axis;
use ragbias::load_corpus;
use ragbias::verify::{Agreement, Verification, VerifyConfig, Verifying};

use super::{FAILED, Session};
use crate::args;
use crate::table::{arranged, with_header};

/// Causes that are shown with their cosines.
const SHOWN: usize = 5;

impl Session<'_> {
    pub(super) fn verify(&self, command: &args::Verify) -> Result<ExitCode> {
        let axis = command.axis.as_deref().map(load_axis).transpose()?;
        let texts = load_corpus(&command.texts, None, self.progress.as_ref())?;
        let workspace = self.workspace(self.models_with(&command.keys, &[])?, false)?;
        let server = workspace.models().embedding_server(&command.server)?;
        let verifying =
            Verifying { server, checkpoint: &command.against, texts: &texts, axis: axis.as_ref() };
        let found = verifying.run(VerifyConfig::default().tolerance(command.tolerance), &workspace)?;
        self.print(&found, || said(&found))?;
        Ok(if found.is_equal { ExitCode::SUCCESS } else { ExitCode::from(FAILED) })
    }
}

/// The result as text.
fn said(found: &Verification) -> String {
    let mut table = with_header(&["", "least cosine", "median", "n"]);
    let compared = [
        ("texts", found.documents),
        ("texts as questions", found.questions),
        ("texts that are cut", found.long_texts),
    ];
    let mut row = |name: &str, of: &Agreement| {
        let cosines = [of.least_cosine, of.median_cosine].map(|cosine| format!("{cosine:.6}"));
        table.add_row([name, &cosines[0], &cosines[1], &of.texts.to_string()]);
    };
    for (name, agreement) in compared {
        if let Some(agreement) = agreement {
            row(name, &agreement);
        }
    }
    for trial in found.tried.iter().take(SHOWN) {
        row(&format!("tried: {}", trial.cause.said()), &trial.agreement);
    }
    let mut lines = vec![found.sentence(), arranged(table)];
    if let Some(overlap) = found.top10_overlap {
        lines.push(format!("overlap of the ten nearest texts (Jaccard): {overlap:.3}"));
    }
    if let Some(biases) = &found.embedder_bias {
        lines.push(format!("E_b by the checkpoint: {}", biases.checkpoint));
        lines.push(format!("E_b by the server:     {}", biases.server));
    }
    lines.extend(found.notes.iter().map(|note| format!("note: {note}")));
    lines.join("\n")
}
