//! Scorers by name, for documents and for answers.
//!
//! | name | axis | documents | answers |
//! | --- | --- | --- | --- |
//! | `gold` | any | `metadata.lean` | the axis's own scorer |
//! | `lexicon` | gender | words and first names | the same |
//! | `classifier` | politics | vectors of a frozen MiniLM | choices need no scorer |
//! | `words` | any with word lists | the words of its poles | the same |
//!
//! The axis's own scorer is the one named in its file.

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
/// An axis without a lexicon.
pub fn lexicon(axis: &Axis) -> Result<Arc<dyn BiasScorer>> {
    Ok(Arc::new(Lexicon::bundled(&axis.name)?))
}

/// All scorers of documents by name.
const NAMES: [&str; 4] = ["gold", "lexicon", "classifier", "words"];

/// The name of an axis's own scorer: the one in its file, else `words` if its poles have words, else the bundled one for an axis
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

/// Refuses an unknown name.
pub(crate) fn check_name(axis: &Axis, name: &str) -> Result<()> {
    if NAMES.contains(&name) {
        return Ok(());
    }
    let own = own(axis);
    let known = if own == "gold" { vec![own.to_owned()] } else { vec![own.to_owned(), "gold".to_owned()] };
    Err(ScoreError::Unknown { axis: axis.name.clone(), scorer: name.into(), known }.into())
}

/// The scorer of this name; `None` is the axis's own. Downloads the classifier's embedder if missing.
///
/// # Errors
/// A scorer that the axis does not have.
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

/// The scorer of documents of this name; for `None`, gold labels if every document has one, else the axis's own.
///
/// # Errors
/// A scorer that the axis does not have.
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

/// The axis's own scorer for answers that are not choices.
///
/// # Errors
/// An axis without one.
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
