use std::fmt;
use std::sync::Arc;

use ragbias_core::{BiasScorer, ContentId, Progress};
use ragbias_stats::{Estimate, PredictionPowered, RoganGladen, ScoredTopics};
use serde::{Deserialize, Serialize};

use super::file::{CalibratedTexts, Calibration, DRAWS};
use crate::selection::{Scored, symbol};
use crate::{Error, Result};

/// Below this p value, the labelled texts are not a sample of the measured ones as far as the scorer can see.
const SHIFTED: f64 = 0.05;

/// A bias with and without correction for the errors of its scorer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Correction {
    /// Which: `llm_bias`, `corpus_bias`, `neighbourhood_bias`, `embedder_bias` or `rag_bias`.
    pub bias: String,
    /// The scorer's name.
    pub scorer: String,
    /// The bias as measured.
    pub raw: Estimate,
    /// By inverting the scorer's misclassifications; none if that is not possible.
    pub rogan_gladen: Option<Estimate>,
    /// By prediction-powered inference; none if that is not possible.
    pub prediction_powered: Option<PredictionPowered>,
    /// Number of labelled texts.
    pub labelled: usize,
    /// Cohen's κ of the scorer on them.
    pub kappa: Option<Estimate>,
    /// Whether κ is above 0 with its whole interval.
    pub better_than_chance: bool,
    /// What limits the corrections, in words.
    pub notes: Vec<String>,
}

impl Correction {
    /// Its symbol.
    pub fn symbol(&self) -> &'static str {
        symbol(&self.bias)
    }
}

/// `R_b +0.30 [0.20, 0.40] as scored; … `: one line.
impl fmt::Display for Correction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |estimate: Option<Estimate>| match estimate {
            Some(Estimate { value, low, high }) => {
                format!("{value:+.2} [{low:+.2}, {high:+.2}]").replace('-', "−")
            }
            None => "none".into(),
        };
        write!(
            f,
            "{} {} as scored by {}; corrected for its errors {} (Rogan–Gladen), {} (PPI++)",
            self.symbol(),
            shown(Some(self.raw)),
            self.scorer,
            shown(self.rogan_gladen),
            shown(self.prediction_powered.map(|powered| powered.estimate)),
        )
    }
}

/// The calibrations of a measurement, at most one for a kind of text. A clone shares them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Calibrations(Arc<[Calibration]>);

impl Calibrations {
    pub(crate) fn new(all: Vec<Calibration>) -> Self {
        Self(all.into())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Refuses calibrations of another axis, of other scorers than these, and two for one kind of text; notes what is not
    /// known of the scorers' errors.
    pub(crate) fn check(
        &self,
        axis: &str,
        documents: &dyn BiasScorer,
        answers: Option<&dyn BiasScorer>,
        progress: &dyn Progress,
    ) -> Result<()> {
        for calibration in self.0.iter() {
            let refused = |reason: String| Error::Calibration { path: calibration.labels.clone(), reason };
            let Calibration { scorer, scorer_id: id, .. } = calibration;
            if calibration.axis != axis {
                let reason = format!("calibrated on the axis `{}`, expected `{axis}`", calibration.axis);
                return Err(refused(reason));
            }
            let of_documents = calibration.texts != CalibratedTexts::Answers && documents.id() == *id;
            let of_answers = calibration.texts != CalibratedTexts::Documents
                && answers.is_some_and(|answers| answers.id() == *id);
            if !of_documents && !of_answers {
                let answers = answers.map_or_else(
                    || "answers by none".to_owned(),
                    |answers| format!("answers by scorer {}", answers.id()),
                );
                return Err(refused(format!(
                    "this is the calibration of `{scorer}`, scorer {id}; documents are scored by scorer {}, {answers}\nhint: \
                     calibrate the scorer of this measurement, with the same model and wording",
                    documents.id()
                )));
            }
        }
        for (of, scorer) in [(Of::Documents, Some(documents)), (Of::Answers, answers)] {
            let Some(scorer) = scorer else { continue };
            let mut fitting = self.0.iter().filter(|calibration| of.takes(calibration, scorer.id()));
            match (fitting.next(), fitting.next()) {
                (Some(one), Some(other)) => {
                    let labels = one.labels.display();
                    let reason = format!("a second calibration of `{}`, beside that with {labels}", other.scorer);
                    return Err(Error::Calibration { path: other.labels.clone(), reason });
                }
                (Some(one), None) if !one.errors.better_than_chance() => progress.note(&format!(
                    "{of} are scored by `{}`, which on {} labelled texts was no better than chance: their biases mean nothing",
                    one.scorer, one.errors.n
                )),
                (None, _) if scorer.is_judge() => progress.note(&format!(
                    "{of} are scored by an LLM whose errors are not known\nhint: `ragbias calibrate` measures them on labelled \
                     texts, and `calibration FILE` corrects for them"
                )),
                _ => {}
            }
        }
        Ok(())
    }

    /// Corrected biases of documents by this scorer.
    pub(crate) fn of_documents<'s>(
        &self,
        scorer: ContentId,
        scored: impl IntoIterator<Item = &'s Scored<'s>>,
        seed: u64,
    ) -> Vec<Correction> {
        self.correct(Of::Documents, scorer, scored, seed)
    }

    /// Corrected biases of answers by this scorer.
    pub(crate) fn of_answers<'s>(
        &self,
        scorer: ContentId,
        scored: impl IntoIterator<Item = &'s Scored<'s>>,
        seed: u64,
    ) -> Vec<Correction> {
        self.correct(Of::Answers, scorer, scored, seed)
    }

    fn correct<'s>(
        &self,
        of: Of,
        scorer: ContentId,
        scored: impl IntoIterator<Item = &'s Scored<'s>>,
        seed: u64,
    ) -> Vec<Correction> {
        let Some(calibration) = self.0.iter().find(|calibration| of.takes(calibration, scorer)) else {
            return Vec::new();
        };
        scored.into_iter().map(|scored| calibration.correct(scored, seed)).collect()
    }
}

/// A kind of texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Of {
    Documents,
    Answers,
}

impl Of {
    fn takes(self, calibration: &Calibration, scorer: ContentId) -> bool {
        let other = match self {
            Self::Documents => CalibratedTexts::Answers,
            Self::Answers => CalibratedTexts::Documents,
        };
        calibration.texts != other && calibration.scorer_id == scorer
    }
}

impl fmt::Display for Of {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Documents => "documents",
            Self::Answers => "answers",
        })
    }
}

impl Calibration {
    fn correct(&self, scored: &Scored<'_>, seed: u64) -> Correction {
        let raw = Estimate::from(scored.bias);
        let mut notes = Vec::new();
        let (mut rogan_gladen, mut prediction_powered) = (None, None);
        if scored.is_single {
            let measured = ScoredTopics::new(scored.texts.iter().copied());
            match RoganGladen::new(DRAWS, seed).correct(&measured, &self.topics) {
                Ok(estimate) => rogan_gladen = Some(estimate),
                Err(error) => notes.push(format!("Rogan–Gladen: {error}")),
            }
            match PredictionPowered::correct(&measured, &self.topics, raw) {
                Ok(powered) => prediction_powered = Some(powered),
                Err(error) => notes.push(format!("PPI++: {error}")),
            }
        } else {
            notes.push(
                "verdicts are majorities of several documents, whose errors a calibration does not tell"
                    .into(),
            );
        }
        if prediction_powered.is_some_and(|powered| powered.shift_p < SHIFTED) {
            notes.push(
                "PPI++ takes the labelled texts for a random sample of the measured ones; the scorer's mean verdict on them \
                 differs, so that they are not"
                    .into(),
            );
        }
        let [negative, neutral, positive] =
            self.errors.confusion.map(|row| row[..3].iter().sum::<usize>() > 0);
        if rogan_gladen.is_some() && !(negative && neutral && positive) {
            notes.push(
                "the labels have two of the three leans; Rogan–Gladen assumes that the measured texts have no other".into(),
            );
        }
        let better_than_chance = self.errors.better_than_chance();
        if !better_than_chance {
            notes
                .push(format!("on its {} labelled texts the scorer is no better than chance", self.errors.n));
        }
        Correction {
            bias: scored.name.into(),
            scorer: self.scorer.clone(),
            raw,
            rogan_gladen,
            prediction_powered,
            labelled: self.errors.n,
            kappa: self.errors.kappa,
            better_than_chance,
            notes,
        }
    }
}
