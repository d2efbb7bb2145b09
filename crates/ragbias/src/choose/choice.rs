//! What was chosen, and what it was chosen from.

use std::path::PathBuf;

use ragbias_core::{Bias, ContentId};
use ragbias_stats::{Equivalence, TargetStatus};
use serde::{Deserialize, Serialize};

use crate::control::ControlKind;

/// The choice for one LLM on one axis. `choice.json` of a run contains all of them.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ControlChoice {
    /// The run that it was made of.
    pub run: Option<ContentId>,
    /// The axis.
    pub axis: String,
    /// The data set.
    pub data: String,
    /// The LLM.
    pub llm: String,
    /// |R_b| below it is as good as 0.
    pub delta: f64,
    /// The status of the target of the line on validation topics.
    pub status: TargetStatus,
    /// The number of folds that it was cross-fitted over; none if it was found on validation topics and judged on test topics.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub folds: Option<usize>,
    /// The system as it was.
    pub base: Confirmed,
    /// What each control came to.
    pub controls: Vec<ControlResult>,
    /// Controls that could not be made, with the reason.
    #[serde(default)]
    pub left_out: Vec<LeftOutControl>,
    /// The control that reaches R_b = 0 on validation topics, the one with the highest utility if several do.
    pub chosen: Option<ControlKind>,
    /// Why there is none.
    pub reason: Option<String>,
}

/// One control, at the setting where R_b is closest to 0.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ControlResult {
    /// What was turned.
    pub control: ControlKind,
    /// To where.
    pub setting: f64,
    /// What the line says.
    pub predicted: Option<Predicted>,
    /// All measurements on validation topics, in order.
    pub trail: Vec<TrailStep>,
    /// Whether R_b changes its sign within the range of the control.
    pub reached: Reached,
    /// What it came to.
    #[serde(flatten)]
    pub confirmed: Confirmed,
    /// What was found without each fold, and what it came to on the fold.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub folds: Vec<FoldChoice>,
    /// Two-sided p value of the difference in nDCG@10 from the base, by a paired randomisation test.
    pub ndcg10_p: Option<f64>,
    /// Folder of `control.json`, relative to the run.
    pub path: PathBuf,
}

/// A setting that was found without one fold of topics.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct FoldChoice {
    /// Topics of the fold.
    pub topics: usize,
    /// Questions of the fold.
    pub questions: usize,
    /// The setting.
    pub setting: f64,
    /// R_b at the setting on the other folds, on which it was found.
    pub rag_bias_of_others: f64,
    /// R_b at the setting on the fold; none if no answer could be scored.
    pub rag_bias: Option<f64>,
}

/// A control that could not be made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LeftOutControl {
    /// Which one.
    pub control: ControlKind,
    /// Why.
    pub reason: String,
}

/// What the line says of a control.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Predicted {
    /// E_b*.
    pub target: f64,
    /// The setting at which E_b is closest to it on validation topics.
    pub setting: f64,
}

/// Whether R_b changes its sign between the base and the extreme setting of a control.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reached {
    /// It does.
    Zero,
    /// It keeps its sign; the setting closest to 0 was used.
    Nearest,
}

/// One measurement on validation topics.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct TrailStep {
    /// Of the control.
    pub setting: f64,
    /// E_b.
    pub embedder_bias: f64,
    /// R_b.
    pub rag_bias: f64,
}

/// A system on validation and test topics.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Confirmed {
    /// What the embedder is called.
    pub embedder: String,
    /// On the topics used for the choice of the setting: validation topics, or all of them if it was cross-fitted.
    pub validation: Biases,
    /// On topics that played no part in it: test topics, or the folds, each at the setting that was found without it.
    pub test: Biases,
    /// The verdict on |R_b| < δ by its interval on these.
    pub verdict: Equivalence,
    /// nDCG@10 on the family's utility set.
    pub ndcg10: Option<f64>,
}

/// The two ends of the line.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Biases {
    /// E_b.
    pub embedder_bias: Bias,
    /// R_b.
    pub rag_bias: Bias,
}

impl ControlChoice {
    /// The control that was chosen.
    pub fn turned(&self) -> Option<&ControlResult> {
        self.controls.iter().find(|turned| Some(turned.control) == self.chosen)
    }
}

/// An axis and its data set, by both names unless they are the same.
pub(crate) fn subject(axis: &str, data: &str) -> String {
    if axis == data { axis.into() } else { format!("{axis} on {data}") }
}
