//! Which design choices predict s and R_b beyond size?

mod cards;
mod regression;
mod systems;

use std::path::{Path, PathBuf};

use ragbias::data::write_file;
use ragbias::stats::Estimate;
use ragbias::{Experiment, LlmName};
use serde::{Deserialize, Serialize};

use self::cards::Cards;
use self::regression::{Design as Choices, Predictor};
use self::systems::{Measured, PARTS, SIZE, Unit, run_folders};
use crate::bench::Bench;
use crate::chart::{Chart, Point, Series};
use crate::error::{Error, Result};
use crate::instrument::Instrument;
use crate::methods::says;
use crate::report::{Figure, Finding, Report, Table, shown};

/// Which design choices predict s and R_b beyond the size of the LLM?
///
/// Reads the runs of any number of experiments, and predicts the systems of each LLM from those of the others. Without runs it measures some
/// systems of its own first.
///
/// | parameter | default | purpose | range |
/// | --- | --- | --- | --- |
/// | `runs` | none | run folders, or folders of them | |
/// | `penalty` | 0.05 | λ of the penalised line | 0 or above |
/// | `questions` | 30 | without `runs`: questions of `gender-twins`, at size 1 | 8 or more |
/// | `llms` | `smollm2-135m`, `gemma3-270m`, `qwen2.5-0.5b` | without `runs`: LLMs | at least one |
/// | `embedders` | `minilm`, `mpnet` | without `runs`: embedders, beside two heads on `minilm` | at least one |
/// | `documents` | 1, 3 | without `runs`: numbers of documents that are given to the LLM | 1 to 20 |
/// | `cards` | those of the registry's models | what is known of the models in the runs | |
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Design {
    /// Run folders, or folders of them.
    pub runs: Vec<PathBuf>,
    /// λ of the penalised line.
    pub penalty: f64,
    /// Questions of the systems that are measured here, at size 1.
    pub questions: usize,
    /// Their LLMs.
    pub llms: Vec<LlmName>,
    /// Their embedders, beside two heads on `minilm`.
    pub embedders: Vec<String>,
    /// Their numbers of documents.
    pub documents: Vec<usize>,
    /// What is known of the models in the runs.
    pub cards: Cards,
}

impl Default for Design {
    fn default() -> Self {
        let name = |name: &str| name.parse().expect("the name of a model; this is a bug");
        Self {
            runs: Vec::new(),
            penalty: 0.05,
            questions: 30,
            llms: ["smollm2-135m", "gemma3-270m", "qwen2.5-0.5b"].map(name).to_vec(),
            embedders: ["minilm", "mpnet"].map(str::to_owned).to_vec(),
            documents: vec![1, 3],
            cards: Cards::default(),
        }
    }
}

/// Systems below which regressions only describe what was measured.
const ENOUGH: usize = 20;

impl Instrument for Design {
    fn name(&self) -> &'static str {
        "design"
    }

    fn question(&self) -> &'static str {
        "Which design choices predict s and R_b beyond the size of the LLM?"
    }

    fn check(&self) -> Result<()> {
        let wrong = |setting, expected, received: String| Err(Error::Setting { setting, expected, received });
        if !(self.penalty >= 0.0 && self.penalty.is_finite()) {
            return wrong("penalty", "0 or above", self.penalty.to_string());
        }
        self.cards.check()?;
        if !self.runs.is_empty() {
            return run_folders(&self.runs).map(drop);
        }
        if self.questions < 8 {
            return wrong("questions", "8 or more", self.questions.to_string());
        }
        if self.llms.is_empty() || self.embedders.is_empty() || self.documents.is_empty() {
            return wrong("llms, embedders and documents", "at least one of each", "none".into());
        }
        if let Some(k) = self.documents.iter().find(|k| !(1..=20).contains(*k)) {
            return wrong("documents", "1 to 20", k.to_string());
        }
        let cards = self.cards.with_registry();
        self.llms.iter().try_for_each(|llm| cards.llm(llm.as_str()).map(drop))?;
        self.embedders.iter().try_for_each(|embedder| cards.embedder(embedder).map(drop))
    }

    fn run(&self, bench: &Bench) -> Result<Report> {
        let folders = if self.runs.is_empty() { self.measure(bench)? } else { run_folders(&self.runs)? };
        let measured = Measured::read(&folders, &self.cards.with_registry())?;
        self.report(&measured, folders.len(), bench.seed())
    }
}

impl Design {
    /// Measures systems of these LLMs and embedders, a run for each number of documents, and returns the run folders.
    fn measure(&self, bench: &Bench) -> Result<Vec<PathBuf>> {
        let recipe = bench.folder().join("family.toml");
        write_file(&recipe, include_str!("family.toml"))?;
        let each = |&k: &usize| -> Result<PathBuf> {
            let mut experiment: Experiment = toml::from_str(include_str!("systems.toml"))
                .expect("the bundled experiment is well-formed; this is a bug");
            experiment.name = format!("systems-{k}");
            experiment.measure = experiment.measure.top_k(k).seed(bench.seed());
            for part in &mut experiment.parts {
                part.limit = Some(bench.scaled(self.questions, 8));
                part.llms.clone_from(&self.llms);
                part.embedders.clone_from(&self.embedders);
                part.families = vec![recipe.clone()];
            }
            let runs: &Path = &bench.folder().join("runs");
            Ok(experiment.run(runs, bench.workspace())?.folder)
        };
        self.documents.iter().map(each).collect()
    }

    fn report(&self, measured: &Measured, runs: usize, seed: u64) -> Result<Report> {
        let mut report = Report::new(self.name(), self.question());
        let Measured { systems, lines, left_out } = measured;
        self.find(&mut report, "R_b", systems, seed)?;
        self.find(&mut report, "s", lines, seed)?;
        report.tables.push(by_model(systems, lines));
        report.figures.push(figure(lines));
        let enough = if systems.len() < ENOUGH {
            format!("Fewer than {ENOUGH} systems: this describes them, and says nothing of others. ")
        } else {
            String::new()
        };
        report.notes.push(format!(
            "{enough}{runs} runs with {} systems and {} lines; {left_out} measurements without an R_b are left out. What was not varied between \
             systems cannot be told. An interval is over the LLMs, each of which is predicted from the others; the choices of one LLM's \
             systems go together (its size, family, tuning and bits), so that few LLMs cannot tell them apart.",
            systems.len(),
            lines.len(),
        ));
        Ok(report)
    }

    /// How well the choices predict, beside the size alone.
    fn find(&self, report: &mut Report, what: &str, units: &[Unit], seed: u64) -> Result<()> {
        let chosen = Choices::new(units, |choice| !PARTS.contains(&choice));
        let line = Predictor::Line { penalty: self.penalty };
        let size = Choices::new(units, |choice| choice == SIZE).errors(line)?;
        let n = chosen.models();
        let gain = |of: &Choices, predictor: Predictor| -> Result<Option<Estimate>> {
            let Some((errors, size)) = of.errors(predictor)?.zip(size.as_ref()) else { return Ok(None) };
            Ok(of.gain(&errors, size, seed))
        };
        let mut add = |name: String, estimate: Option<Estimate>| {
            let meaning =
                says(estimate, "predicts better than the size alone", "predicts worse than the size alone");
            report.findings.push(Finding::new(name, estimate, n, "LLMs left out", meaning));
        };
        add(format!("{what}: gain of all choices over size, line"), gain(&chosen, line)?);
        add(format!("{what}: the same, trees"), gain(&chosen, Predictor::Trees)?);
        add(format!("{what}: the same, the mean of all"), gain(&chosen, Predictor::Mean)?);
        if what == "R_b" {
            let parts = Choices::new(units, |choice| PARTS.contains(&choice));
            add(format!("{what}: gain of E_b and L_b over size, line"), gain(&parts, line)?);
        }
        let title = format!("{what}: rise of the mean error where one choice is exchanged between systems");
        let mut importances = Table::new(&title, &["choice", "line", "trees"]);
        for choice in chosen.choices() {
            let of = |predictor| chosen.importance(predictor, choice, seed);
            let cell = |estimate: Option<Estimate>| estimate.map_or_else(|| "not identified".into(), shown);
            importances.push([choice.into(), cell(of(line)?), cell(of(Predictor::Trees)?)]);
        }
        report.tables.push(importances);
        Ok(())
    }
}

/// How many systems and lines each LLM has, and their means.
fn by_model(systems: &[Unit], lines: &[Unit]) -> Table {
    let mut table = Table::new("Each LLM", &["LLM", "systems", "mean R_b", "lines", "mean s"]);
    let mut llms: Vec<&str> = systems.iter().chain(lines).map(|unit| unit.llm.as_str()).collect();
    llms.sort_unstable();
    llms.dedup();
    for llm in llms {
        let of = |units: &[Unit]| {
            let values: Vec<f64> =
                units.iter().filter(|unit| unit.llm == llm).map(|unit| unit.value).collect();
            let mean = values.iter().sum::<f64>() / values.len() as f64;
            let shown = if values.is_empty() { "–".into() } else { crate::report::signed(mean) };
            (values.len().to_string(), shown)
        };
        let ((systems, rag), (lines, sensitivity)) = (of(systems), of(lines));
        table.push([llm.into(), systems, rag, lines, sensitivity]);
    }
    table
}

/// s over the size of the LLM, by the number of documents.
fn figure(lines: &[Unit]) -> Figure {
    let of = |unit: &Unit, choice: &'static str| unit.choices.get(&(choice, None)).copied();
    let documents = |unit: &Unit| of(unit, "documents k").map(|k| k.exp2().round());
    let mut counts: Vec<f64> = lines.iter().filter_map(documents).collect();
    counts.sort_by(f64::total_cmp);
    counts.dedup();
    let series = counts.iter().enumerate().map(|(colour, &k)| {
        let of_k = lines.iter().filter(|unit| documents(unit) == Some(k));
        let points = of_k.filter_map(|unit| Some(Point::new(of(unit, SIZE)?, unit.value))).collect();
        Series { name: format!("k = {k}"), points, joined: false, colour }
    });
    let chart = Chart {
        x: "log₁₀ of the LLM's parameters".into(),
        y: "s".into(),
        log2: false,
        series: series.collect(),
    };
    Figure::new(
        "sensitivity",
        "The sensitivity s of each line over the size of its LLM.",
        &chart.draw("s over the size of the LLM"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_that_cannot_be_measured_are_refused_before_any_work() {
        let refused = |design: Design| design.check().unwrap_err().to_string();
        assert!(refused(Design { penalty: f64::NAN, ..Design::default() }).starts_with("penalty"));
        assert!(refused(Design { documents: vec![0], ..Design::default() }).starts_with("documents is 0"));
        let unknown = vec!["no-such-llm".parse().unwrap()];
        assert!(refused(Design { llms: unknown, ..Design::default() }).contains("no-such-llm"));
        let folder = tempfile::tempdir().unwrap();
        let runs = vec![folder.path().to_owned()];
        assert!(refused(Design { runs, ..Design::default() }).starts_with("runs is"));
        Design::default().check().unwrap();
    }

    #[test]
    fn too_few_llms_identify_nothing_and_the_report_says_that_it_describes() {
        let design = Design::default();
        let report = design.report(&Measured::default(), 0, 0).unwrap();
        assert!(report.findings.iter().all(|finding| finding.estimate.is_none()), "{report:?}");
        assert!(report.notes[0].starts_with("Fewer than 20 systems"));
    }
}
