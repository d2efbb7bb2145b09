//! Whether a data set as a whole can be measured on, and how small a bias it can decide.

use std::path::Path;

use ragbias_core::Progress;
use ragbias_data::{CheckedSet, check_dataset, check_folder};
use ragbias_stats::{Answering, Equivalence, Estimate, Plan, minimum_detectable};
use serde::Serialize;

use crate::named::Named;
use crate::undecided::POWER;
use crate::{Error, Result};

/// Intraclass correlation of the leans of questions of one topic that a cautious plan assumes: as in the example of docs/statistics.md.
const INTRACLASS: f64 = 0.15;

/// A checked data set, with what can be decided on it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DataCheck {
    /// What was found.
    #[serde(flatten)]
    pub set: CheckedSet,
    /// What each split can decide.
    pub power: Vec<SplitPower>,
}

/// How small a bias a split can decide, if every answer is scored and leans to one pole.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SplitPower {
    /// The split.
    pub split: String,
    /// Its questions.
    pub questions: usize,
    /// Its topics.
    pub topics: usize,
    /// The smallest absolute bias that is found with a probability of 80%, with independent questions.
    pub minimum_detectable_bias: f64,
    /// The same if the leans of questions of one topic correlate by 0.15.
    pub minimum_detectable_bias_by_topic: f64,
    /// Questions that the verdict *debiased* takes at δ = 0.1 and a true bias of 0, with a probability of 80%, if they correlate so.
    pub questions_for_debiased: usize,
}

/// Checks a data set, bundled, pulled or in a folder.
///
/// # Errors
/// An unknown name, or files that cannot be read.
pub fn check_data(name_or_folder: &str, progress: &dyn Progress) -> Result<DataCheck> {
    let named = Named::find("data set", name_or_folder, progress)?;
    let set = match &named {
        Named::Path(folder) if folder.is_dir() => check_folder(folder, progress)?,
        Named::Path(path) | Named::Table(path) | Named::GrepBiasIr(path) => {
            let place = path.display().to_string();
            check_dataset(&named.dataset(name_or_folder, None, progress)?, &place, progress)
        }
        Named::Bundled => {
            let place = format!("bundled {name_or_folder}");
            check_dataset(&named.dataset(name_or_folder, None, progress)?, &place, progress)
        }
    };
    let power = set
        .splits
        .iter()
        .map(|split| power(&split.of, split.questions, split.topics))
        .collect::<Result<_>>()?;
    Ok(DataCheck { set, power })
}

/// Whether a path or a name is that of a data set, as opposed to a file of records.
pub fn is_checked_as_set(name_or_path: &str) -> bool {
    let path = Path::new(name_or_path);
    if !path.exists() {
        return true;
    }
    let begins = |name: &str| ["questions.", "queries."].iter().any(|start| name.starts_with(start));
    let entries = fs_err::read_dir(path).into_iter().flatten().flatten();
    path.is_dir() && entries.into_iter().any(|entry| begins(&entry.file_name().to_string_lossy()))
}

fn power(split: &str, questions: usize, topics: usize) -> Result<SplitPower> {
    let per_topic = questions as f64 / topics.max(1) as f64;
    let by_topic =
        Answering { intraclass: INTRACLASS, per_topic: per_topic.max(1.0), ..Answering::default() };
    // Every answer leans, and the mean is 0: the variance of a lean is 1.
    let detectable = |answering: &Answering| {
        let half = 1.96 * (answering.design_effect() / questions as f64).sqrt();
        minimum_detectable(Estimate { value: 0.0, low: -half, high: half })
    };
    let plan = Plan::new(Equivalence::DELTA, POWER, by_topic).map_err(Error::from)?;
    Ok(SplitPower {
        split: split.into(),
        questions,
        topics,
        minimum_detectable_bias: detectable(&Answering::default()),
        minimum_detectable_bias_by_topic: detectable(&by_topic),
        questions_for_debiased: plan.debiased(0.0).map_err(Error::from)?.questions,
    })
}
