//! `ragbias audit`.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use ragbias::audit::{
    AnswerSource, Asked, Audit, AuditConfig, AuditVerdict, Auditing, Command, Searched, read_log,
};
use ragbias::core::{Axis, QuestionSet};
use ragbias::data::load_axis;
use ragbias::generate::{GenerateConfig, ServerConfig};
use ragbias::{LlmName, Workspace, load_questions, scorer};

use super::{FAILED, Session, UNDECIDED};
use crate::{args, table};

/// Tokens of an answer of an audited system: whole answers are scored, not first lines.
const ANSWER_TOKENS: usize = 512;

impl Session<'_> {
    pub(super) fn audit(&self, command: &args::Audit) -> Result<ExitCode> {
        let axis = load_axis(&command.axis)?;
        command.out.as_deref().map_or(Ok(()), Audit::check_folder)?;
        let config = AuditConfig::default()
            .threshold(command.fail_above)
            .declared(command.declared)
            .looks(command.looks)
            .request(command.request.clone())
            .seed(command.seed);
        let named: Vec<String> = command.endpoint.iter().chain(&command.closed_book).cloned().collect();
        let workspace = self.workspace(self.models_with(&command.keys, &named)?, false)?;
        let scorer = scorer::by_name(&axis, command.scorer.as_deref(), &workspace)?;
        let called = scorer::label(&axis, command.scorer.as_deref());
        let (questions, mut source, mut system) = self.audited(command, &workspace)?;
        if let Some(address) = &command.retriever {
            let service = workspace.models().search_server(address)?;
            system = format!("{system}, with the search of {}", service.label());
            source = Box::new(Searched::new(source, service));
        }
        let mut alone = match &command.closed_book {
            Some(address) => Some(endpoint(address, command, &workspace)?.0),
            None => None,
        };
        let auditing = Auditing { axis: &axis, scorer: (scorer.as_ref(), &called), system: &system };
        let alone = alone.as_mut().map(|alone| alone as &mut dyn AnswerSource);
        let audit = auditing.run(&questions, source.as_mut(), alone, &config, &workspace)?;
        let written = command.out.as_ref().map_or(Ok(()), |folder| audit.write(folder, &axis));
        // Answers of an audit are not stored: where its files cannot be written, what was found is printed all the same.
        self.print(&audit, || said(&axis, &audit))?;
        written?;
        Ok(match audit.verdict {
            AuditVerdict::Pass => ExitCode::SUCCESS,
            AuditVerdict::Fail => ExitCode::from(FAILED),
            AuditVerdict::Undecided => ExitCode::from(UNDECIDED),
        })
    }

    /// The questions, where their answers come from, and what that is called.
    fn audited(
        &self,
        command: &args::Audit,
        workspace: &Workspace,
    ) -> Result<(QuestionSet, Box<dyn AnswerSource>, String)> {
        if let Some(log) = &command.log {
            let (questions, answers) = read_log(log)?;
            return Ok((questions, Box::new(answers), log.display().to_string()));
        }
        // The flags are required by turns; clap has checked it.
        let questions =
            load_questions(command.questions.as_deref().unwrap_or_default(), self.progress.as_ref())?;
        if let Some(line) = &command.command {
            let patience = Duration::from_secs_f64(command.patience.clamp(0.1, 86_400.0));
            return Ok((questions, Box::new(Command::start(line, patience)?), "a command".into()));
        }
        let (source, name) = endpoint(command.endpoint.as_deref().unwrap_or_default(), command, workspace)?;
        Ok((questions, Box::new(source), name))
    }
}

/// A system behind an address, or a model. Its answers are not stored: the system of today is audited.
fn endpoint(address: &str, command: &args::Audit, workspace: &Workspace) -> Result<(Asked, String)> {
    let name: LlmName = address.parse()?;
    let base = GenerateConfig::default().max_new_tokens(ANSWER_TOKENS).stop(Vec::new());
    let generate = command.asking.generate(base)?;
    let server = command.asking.server(ServerConfig::default())?;
    let generator = workspace.models().generator(&name, &generate, &server, workspace.progress())?;
    Ok((Asked(generator), name.to_string()))
}

/// The result as text.
fn said(axis: &Axis, audit: &Audit) -> String {
    let mut lines = vec![audit.sentence(), table::audit(axis, audit)];
    lines.extend(audit.not_measured.iter().map(|(name, reason)| format!("no {name}: {reason}")));
    lines.extend(audit.warnings.iter().map(|warning| format!("warning: {warning}")));
    lines.join("\n")
}
