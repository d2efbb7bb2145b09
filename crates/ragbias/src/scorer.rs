//! Scorers by name, for documents and for answers.
//!
//! | name | axis | documents | answers |
//! | --- | --- | --- | --- |
//! | `gold` | any | `metadata.lean` | the axis's own scorer |
//! | `lexicon` | gender | words and first names | the same |
//! | `classifier` | politics | vectors of a frozen MiniLM | choices need no scorer |
//! | `words` | any with word lists | the words of its poles | the same |
//!
//! The axis's own scorer is the one that its file names.

use std::sync::Arc;

use ragbias_core::{Axis, BiasScorer, Corpus, Document, Progress};
use ragbias_score::{Classifier, Error as ScoreError, Gold, Lexicon, Words};

use crate::{Error, Models, Result, Workspace};

/// The scorer of gold labels.
pub fn gold(axis: &Axis) -> Arc<dyn BiasScorer> {
    Arc::new(Gold::new(&axis.name))
}

/// The lexicon of an axis.
///
/// # Errors
/// Where the axis has none.
pub fn lexicon(axis: &Axis) -> Result<Arc<dyn BiasScorer>> {
    Ok(Arc::new(Lexicon::bundled(&axis.name)?))
}

/// All scorers of documents by name.
const NAMES: [&str; 4] = ["gold", "lexicon", "classifier", "words"];

/// The name of an axis's own scorer: what its file says, else `words` where its poles have some, else what ragbias brings for an axis
/// of its name.
fn own(axis: &Axis) -> &str {
    let has_words = !axis.negative.words.is_empty() || !axis.positive.words.is_empty();
    match (&axis.scorer, axis.name.as_str()) {
        (Some(scorer), _) => scorer,
        (None, _) if has_words => "words",
        (None, "gender") => "lexicon",
        (None, "politics") => "classifier",
        (None, _) => "gold",
    }
}

/// Refuses a name that no scorer has.
pub(crate) fn check_name(axis: &Axis, name: &str) -> Result<()> {
    if NAMES.contains(&name) {
        return Ok(());
    }
    let own = own(axis);
    let known = if own == "gold" { vec![own.to_owned()] } else { vec![own.to_owned(), "gold".to_owned()] };
    Err(ScoreError::Unknown { axis: axis.name.clone(), scorer: name.into(), known }.into())
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
) -> Result<Arc<dyn BiasScorer>> {
    let name = name.unwrap_or(own(axis));
    check_name(axis, name)?;
    match name {
        "lexicon" => lexicon(axis),
        "words" => Ok(Arc::new(Words::of(axis)?)),
        "classifier" => {
            let card = Classifier::bundled_card(&axis.name)?;
            let embedder = models.embedder(&card.embedder, progress)?;
            Ok(Arc::new(Classifier::new(card, embedder)?))
        }
        _ => Ok(gold(axis)),
    }
}

/// The scorer of documents: that of this name; where `None`, gold labels if every document has one, else the axis's own.
///
/// # Errors
/// A name that the axis does not have.
pub(crate) fn of_documents(
    axis: &Axis,
    corpus: &Corpus,
    name: Option<&str>,
    workspace: &Workspace,
) -> Result<Arc<dyn BiasScorer>> {
    let labelled = |document: &&Document| document.gold_lean().is_ok_and(|lean| lean.is_some());
    let (all, labels) = (corpus.len(), corpus.documents().iter().filter(labelled).count());
    if name.is_none() && labels > 0 && labels < all {
        workspace.progress().note(&format!(
            "{labels} of {all} documents have a gold label, so that none is used\nhint: `scorer gold` uses them, and leaves the \
             others unscored"
        ));
    }
    let name = name.or_else(|| (labels == all).then_some("gold"));
    Ok(workspace.scorer(by_name(axis, name, workspace.models(), workspace.progress())?))
}

/// The axis's own scorer of answers that are no choices.
///
/// # Errors
/// An axis that has none.
pub(crate) fn of_answers(
    axis: &Axis,
    models: &Models,
    progress: &dyn Progress,
) -> Result<Arc<dyn BiasScorer>> {
    if own(axis) == "gold" {
        return Err(Error::NoAnswerScorer { axis: axis.name.clone() });
    }
    by_name(axis, None, models, progress)
}
