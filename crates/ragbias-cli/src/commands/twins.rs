//! `ragbias twins`.

use anyhow::Result;
use ragbias::data::{load_axis, shown};
use ragbias::score::Naming;
use ragbias::{TwinCard, TwinConfig, TwinSet, TwinSource};
use serde_json::json;

use super::Session;
use crate::args;
use crate::table::{arranged, with_header};

impl Session<'_> {
    pub(super) fn twins(&self, command: &args::Twins) -> Result<()> {
        let naming = if command.keep_names { Naming::Kept } else { Naming::Drawn };
        let config = TwinConfig::default().seed(command.seed).draws(command.draws).naming(naming);
        config.check()?;
        TwinSet::check_folder(&command.out)?;
        let (axis, progress) = (load_axis(&command.axis)?, self.progress.as_ref());
        let source = if command.with_questions {
            TwinSource::dataset(&command.corpus, &axis, progress)?
        } else {
            TwinSource::corpus(&command.corpus, &axis, progress)?
        };
        let set = TwinSet::make(source, config, progress)?;
        set.write(&command.out)?;
        let card = set.card();
        let mut summary = serde_json::to_value(&card)?;
        summary["path"] = json!(command.out);
        self.print(&summary, || format!("{}\n{}", table(&card), command.out.display()))
    }
}

/// How many passages have twins, and why the others have none.
fn table(card: &TwinCard) -> String {
    let TwinCard { documents, passages, of_men, of_women, origin_known, draws, .. } = card;
    let share = |count: usize| format!("{:.1}%", 100.0 * count as f64 / *documents as f64);
    let mut lines = vec![format!(
        "{passages} of {documents} documents ({}) have twins: {of_men} about a man, {of_women} about a woman",
        share(*passages)
    )];
    lines.push(format!(
        "{draws} draw{} of names for each; {origin_known} have names of their origin, the others English ones",
        if *draws == 1 { "" } else { "s" }
    ));
    if let Some(questions) = card.questions {
        lines.push(format!("{questions} questions have a passage with twins"));
    }
    if !card.left_out.is_empty() {
        let mut table = with_header(&["left out", "documents", "", "for example"]);
        for count in &card.left_out {
            let example = &count.example;
            let words = &example.left_out.words;
            let example = if words.is_empty() {
                shown(&example.id).to_string()
            } else {
                format!("{}: {}", shown(&example.id), shown(words))
            };
            table.add_row([count.reason.to_string(), count.count.to_string(), share(count.count), example]);
        }
        lines.push(arranged(table));
        lines.push("all of them, with their reasons, are in left-out.jsonl".into());
    }
    lines.join("\n")
}
