//! The data of a report: the results of a run, grouped by system.

use std::collections::HashMap;
use std::path::Path;

use ragbias_core::slug_of;
use ragbias_data::Outcome;
use ragbias_stats::Equivalence;

use crate::Result;
use crate::choose::{ControlChoice, subject};
use crate::fit::{LlmFit, RankFit, SensitivityComparison};
use crate::measured::PartResult;
use crate::multiplicity::{SystemTest, system_tests};
use crate::run::{Manifest, SavedRun};

/// All embedders with one LLM on one part of the questions.
pub(super) struct System {
    pub(super) rows: Vec<PartResult>,
    pub(super) line: Option<LlmFit>,
    /// How strongly answers follow each rank.
    pub(super) ranks: Option<RankFit>,
    /// The reason if there is no line.
    pub(super) no_line: Option<String>,
    pub(super) choice: Option<ControlChoice>,
    pub(super) outcomes: Vec<Outcome>,
    /// The threshold of the run.
    delta: f64,
}

impl System {
    /// The unchanged system: the first embedder without a family, else the first of all.
    pub(super) fn base(&self) -> &PartResult {
        self.rows.iter().find(|row| row.is_base()).unwrap_or(&self.rows[0])
    }

    pub(super) fn delta(&self) -> f64 {
        self.choice.as_ref().map_or(self.delta, |choice| choice.delta)
    }

    pub(super) fn verdict(&self) -> Equivalence {
        self.base().verdict(self.delta())
    }

    /// A name for files and anchors, unique within the report.
    pub(super) fn id(&self) -> String {
        let row = self.base();
        let axis = subject(&row.axis, &row.data);
        match &row.llm {
            Some(llm) => slug_of(&[&axis, llm, &row.split]),
            None => slug_of(&[&axis, &row.split]),
        }
    }
}

/// The identity of a system.
#[derive(PartialEq, Eq, Hash)]
struct Of {
    axis: String,
    data: String,
    split: String,
    llm: Option<String>,
}

impl Of {
    fn row(row: &PartResult) -> Self {
        Self {
            axis: row.axis.clone(),
            data: row.data.clone(),
            split: row.split.clone(),
            llm: row.llm.clone(),
        }
    }

    fn outcome(outcome: &Outcome) -> Self {
        Self {
            axis: outcome.axis.clone(),
            data: outcome.corpus.clone(),
            split: outcome.split.clone(),
            llm: outcome.llm.clone(),
        }
    }
}

/// The results of a run, grouped by system.
pub(super) struct Source<'r> {
    pub(super) manifest: &'r Manifest,
    pub(super) systems: Vec<System>,
    pub(super) comparisons: Vec<SensitivityComparison>,
    pub(super) tests: Vec<SystemTest>,
}

impl<'r> Source<'r> {
    /// Groups the results of a run, with the choices in `choices` that belong to it.
    pub(super) fn read(run: &'r SavedRun, choices: &Path) -> Result<Self> {
        let (rows, fits, choices) = (run.results()?, run.fits()?, run.choices(choices)?);
        let tests = system_tests(&rows);
        let mut asked: HashMap<Of, Vec<Outcome>> = HashMap::new();
        for outcome in run.outcomes()? {
            asked.entry(Of::outcome(&outcome)).or_default().push(outcome);
        }
        let (mut systems, mut places): (Vec<System>, HashMap<Of, usize>) = (Vec::new(), HashMap::new());
        for row in rows {
            let of = Of::row(&row);
            if let Some(place) = places.get(&of) {
                systems[*place].rows.push(row);
                continue;
            }
            let mut lines = fits.fits.iter().filter(|line| line.of.covers(&row));
            let mut left_out = fits.left_out.iter().filter(|left| left.of.covers(&row));
            let is_chosen_for = |choice: &&ControlChoice| {
                Some(&choice.llm) == row.llm.as_ref() && choice.axis == row.axis && choice.data == row.data
            };
            let mut ranks = fits.by_rank.iter().filter(|ranks| ranks.of.covers(&row));
            systems.push(System {
                ranks: ranks.next().cloned(),
                line: lines.next().cloned(),
                no_line: left_out.next().map(|left| left.reason.clone()),
                choice: choices.iter().find(is_chosen_for).cloned(),
                outcomes: asked.remove(&of).unwrap_or_default(),
                rows: vec![row],
                delta: run.manifest().experiment.delta(),
            });
            places.insert(of, systems.len() - 1);
        }
        Ok(Self { manifest: run.manifest(), systems, comparisons: fits.comparisons, tests })
    }
}
