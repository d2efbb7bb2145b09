//! `ragbias data`: lists, pulls and checks data sets.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use ragbias::DataCheck;
use ragbias::core::Progress;
use ragbias::data::{Dataset, Severity, check};
use ragbias::models::{PublishedSet, SetLayout, SetStore};
use serde_json::{Value, json};

use super::Session;
use crate::args;
use crate::table::{arranged, with_header};

impl Session<'_> {
    pub(super) fn data(&self, command: &args::Data) -> Result<()> {
        match command {
            args::Data::List => self.list_data(),
            args::Data::Pull { name, out } => {
                if Dataset::bundled_names().any(|bundled| bundled == name) {
                    let folder = out.clone().unwrap_or_else(|| PathBuf::from("data").join(name));
                    Dataset::export_bundled(name, &folder)?;
                    return self
                        .print(&json!({ "name": name, "path": folder }), || folder.display().to_string());
                }
                self.pull_published(name, out.as_deref())
            }
            args::Data::Check { data } if ragbias::is_checked_as_set(data) => self.check_set(data),
            args::Data::Check { data } => self.check_file(Path::new(data)),
        }
    }

    fn list_data(&self) -> Result<()> {
        let sets = Dataset::bundled_names().map(Dataset::bundled).collect::<Result<Vec<_>, _>>()?;
        let store = SetStore::from_env()?;
        let rows: Vec<_> = sets
            .iter()
            .map(|set| {
                json!({ "name": set.info.name, "axis": set.info.axis, "about": set.info.about,
                    "questions": set.questions.len(), "documents": set.corpus.len(), "licence": set.info.licence })
            })
            .collect();
        let published: Vec<_> = (store.sets().sets().iter())
            .map(|set| {
                let path = store.path(&set.name).ok().flatten();
                json!({ "name": set.name, "axis": set.axis, "about": set.about, "layout": set.layout,
                    "address": set.address(), "commit": set.commit(), "licence": set.licence, "citation": set.citation,
                    "checksums_known": set.is_known(), "path": path })
            })
            .collect();
        self.print(&json!({ "data": rows, "published": published }), || {
            let text = |row: &Value, key: &str| row[key].as_str().unwrap_or_default().to_owned();
            let bundled = rows.iter().map(|row| {
                let (questions, documents) = (&row["questions"], &row["documents"]);
                let (name, about, licence) = (text(row, "name"), text(row, "about"), text(row, "licence"));
                format!("{name:17} {questions} questions, {documents} documents: {about} ({licence})")
            });
            let pulled = published.iter().map(|row| {
                let here = if row["path"].is_null() { "not here" } else { "here" };
                let (name, about, licence) = (text(row, "name"), text(row, "about"), text(row, "licence"));
                format!("{name:17} {here:9} {about} ({licence})")
            });
            let heading = "\npublished, `ragbias data pull NAME` downloads one:".to_owned();
            bundled.chain([heading]).chain(pulled).collect::<Vec<_>>().join("\n")
        })
    }

    fn pull_published(&self, name: &str, out: Option<&Path>) -> Result<()> {
        let store = SetStore::from_env()?;
        let set = store.sets().get(name).map_err(|unknown| {
            let bundled = Dataset::bundled_names().collect::<Vec<_>>().join(", ");
            anyhow::anyhow!("{unknown}; bundled are {bundled}")
        })?;
        if let Some(out) = out {
            bail!(
                "{name} is a published set, and goes into {}, not into {}\nhint: RAGBIAS_DATA_CACHE names another folder",
                store.root().display(),
                out.display()
            );
        }
        self.progress.note(&format!("{name}: {} ({})", set.about, set.address()));
        self.progress.note(&format!("licence: {}; to cite: {}", set.licence, set.citation));
        let pulled = store.pull(name, self.progress.as_ref())?;
        let commands = commands(set);
        let summary = json!({ "name": name, "path": pulled.path, "address": set.address(), "commit": set.commit(),
            "licence": set.licence, "citation": set.citation, "files": pulled.files, "commands": commands });
        self.print(&summary, || {
            let path = pulled.path.display().to_string();
            std::iter::once(path).chain(commands).collect::<Vec<_>>().join("\n")
        })
    }

    fn check_set(&self, name: &str) -> Result<()> {
        let checked = ragbias::check_data(name, self.progress.as_ref())?;
        let errors =
            checked.set.findings.iter().filter(|finding| finding.severity == Severity::Error).count();
        self.print(&checked, || text_of(&checked))?;
        if errors == 0 {
            return Ok(());
        }
        bail!("{errors} error{}", if errors == 1 { "" } else { "s" })
    }

    fn check_file(&self, file: &Path) -> Result<()> {
        let checked = check(file)?;
        let problems = checked.problems.len();
        self.print(&checked, || {
            let at = |line: &String| format!("{}:{line}", file.display());
            let mut lines: Vec<String> = checked.problems.iter().map(at).collect();
            lines.extend(checked.notes.iter().map(|line| format!("{} (read so)", at(line))));
            let wrong = if problems == 0 { "; nothing is wrong" } else { "" };
            lines.push(format!("{}: {} records can be read{wrong}", checked.kind, checked.records));
            lines.join("\n")
        })?;
        if problems == 0 {
            return Ok(());
        }
        bail!("{problems} problem{}", if problems == 1 { "" } else { "s" })
    }
}

/// The commands that use a published set.
fn commands(set: &PublishedSet) -> Vec<String> {
    let (name, axis) = (&set.name, set.axis.as_deref().unwrap_or("gender"));
    let measure = |questions: &str, corpus: &str| {
        format!(
            "ragbias measure --axis {axis} --questions {questions} --corpus {corpus} --embedder minilm --llm smollm2-135m"
        )
    };
    match set.layout {
        // The bundled questions have the name of their axis.
        SetLayout::Documents => set.tables().map(|(table, _)| measure(axis, &table)).collect(),
        SetLayout::Tables => set.tables().map(|(table, _)| measure(&table, &table)).collect(),
        SetLayout::GrepBiasIr => vec![measure(name, name)],
        SetLayout::Beir => vec![format!("ragbias evaluate --embedder minilm --corpus {name}")],
        SetLayout::Other => Vec::new(),
    }
}

/// The findings by place, then what each split has and can decide.
fn text_of(checked: &DataCheck) -> String {
    let DataCheck { set, power } = checked;
    let lines = set.findings.iter().map(|finding| {
        let line = finding.line.map_or_else(String::new, |line| format!("{line}:"));
        let (severity, kind) = (finding.severity.name(), finding.kind);
        format!("{}:{line} {severity}[{kind}]: {}", finding.file, finding.message)
    });
    let mut table = with_header(&[
        "split",
        "questions",
        "topics",
        "negative",
        "neutral",
        "positive",
        "no label",
        "mean lean",
        "detectable",
        "by topic",
    ]);
    for (split, power) in set.splits.iter().zip(power) {
        table.add_row([
            split.of.clone(),
            split.questions.to_string(),
            split.topics.to_string(),
            split.negative.to_string(),
            split.neutral.to_string(),
            split.positive.to_string(),
            split.unlabelled.to_string(),
            split.balance.map_or_else(String::new, |balance| format!("{balance:+.3}")),
            format!("{:.2}", power.minimum_detectable_bias),
            format!("{:.2}", power.minimum_detectable_bias_by_topic),
        ]);
    }
    let summary = format!(
        "{}: {} questions, {} documents\ndetectable: the smallest |bias| that is found with a probability of 80% if every answer leans; by \
         topic: if the leans of one topic correlate by 0.15",
        set.name, set.questions, set.documents
    );
    lines.chain([arranged(table), summary]).collect::<Vec<_>>().join("\n")
}
