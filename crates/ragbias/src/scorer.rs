//! Scorers by name, for documents and for answers.
//!
//! | name | axis | documents | answers |
//! | --- | --- | --- | --- |
//! | `gold` | any | `metadata.lean` | the axis's own scorer |
//! | `lexicon` | gender | words and first names | the same |
//! | `classifier` | politics | vectors of a frozen MiniLM | choices need no scorer |
//!
//! The axis's own scorer is `lexicon` for gender and `classifier` for politics.

use ragbias_core::{Answering, Axis, BiasScorer, Corpus, Progress};
use ragbias_score::{Classifier, Error as ScoreError, Gold, Lexicon};

use crate::{Models, Result};

/// The scorer of gold labels.
pub fn gold(axis: &Axis) -> Box<dyn BiasScorer> {
    Box::new(Gold::new(&axis.name))
}

/// The lexicon of an axis.
///
/// # Errors
/// Where the axis has none.
pub fn lexicon(axis: &Axis) -> Result<Box<dyn BiasScorer>> {
    Ok(Box::new(Lexicon::bundled(&axis.name)?))
}

/// The scorer of this name; `None` is the axis's own. Pulls the embedder that the classifier reads where it is missing.
///
/// # Errors
/// A name that the axis does not have.
pub fn by_name(
    axis: &Axis,
    name: Option<&str>,
    models: &Models,
    progress: &dyn Progress,
) -> Result<Box<dyn BiasScorer>> {
    let own = match axis.name.as_str() {
        "gender" => "lexicon",
        "politics" => "classifier",
        _ => "gold",
    };
    match name.unwrap_or(own) {
        "gold" => Ok(gold(axis)),
        "lexicon" => lexicon(axis),
        "classifier" => {
            let card = Classifier::bundled_card(&axis.name)?;
            let embedder = models.embedder(&card.embedder, progress)?;
            Ok(Box::new(Classifier::new(card, embedder)?))
        }
        other => {
            let known = if own == "gold" { vec!["gold".into()] } else { vec![own.into(), "gold".into()] };
            Err(ScoreError::Unknown { axis: axis.name.clone(), scorer: other.into(), known }.into())
        }
    }
}

/// The scorers of a measurement.
pub struct Scorers {
    /// Judges documents.
    pub documents: Box<dyn BiasScorer>,
    /// Judges answers.
    pub answers: Box<dyn BiasScorer>,
}

impl Scorers {
    /// Documents by the scorer of this name; where `None`, by gold labels if every document has one, else by the axis's
    /// own. Answers by the axis's own; choices are their own verdicts.
    ///
    /// # Errors
    /// A name that the axis does not have.
    pub fn new(
        axis: &Axis,
        corpus: &Corpus,
        name: Option<&str>,
        models: &Models,
        progress: &dyn Progress,
    ) -> Result<Self> {
        let labelled =
            |document: &ragbias_core::Document| document.gold_lean().is_ok_and(|lean| lean.is_some());
        let (all, labels) =
            (corpus.len(), corpus.documents().iter().filter(|document| labelled(document)).count());
        if name.is_none() && labels > 0 && labels < all {
            progress.note(&format!(
                "{labels} of {all} documents have a gold label, so that none is used; `--scorer gold` uses them, and leaves the \
                 others unscored"
            ));
        }
        let name = name.or_else(|| (labels == all).then_some("gold"));
        let answers = match axis.answering {
            Answering::Choice => gold(axis),
            Answering::Name => by_name(axis, None, models, progress)?,
        };
        Ok(Self { documents: by_name(axis, name, models, progress)?, answers })
    }
}
