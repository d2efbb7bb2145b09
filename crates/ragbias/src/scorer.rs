//! Scorers by name, for documents and for answers.
//!
//! | name | axis | documents | answers |
//! | --- | --- | --- | --- |
//! | `gold` | any | `metadata.lean` | the axis's own scorer |
//! | `lexicon` | gender | words and first names | the same |
//! | `classifier` | politics | vectors of a frozen MiniLM | choices need no scorer |
//! | `words` | any with word lists | the words of its poles | the same |
//! | `judge:LLM` | any with `[judge]` | answers of an LLM to yes/no questions | the same |
//!
//! The axis's own scorer is the one named in its file.

use std::sync::Arc;

use ragbias_core::{Axis, BiasScorer, Corpus, Document};
use ragbias_generate::{GenerateConfig, ServerConfig, without_secrets};
use ragbias_score::{Classifier, Error as ScoreError, Gold, Judge, Lexicon, Words};

use crate::llm::LlmName;
use crate::{Error, Result, Workspace};

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

/// The LLM of a judge's name: what follows `judge:`.
fn llm_of(name: &str) -> Option<&str> {
    name.strip_prefix("judge:")
}

/// Whether the name is a judge's.
pub(crate) fn is_judge(name: &str) -> bool {
    llm_of(name).is_some()
}

/// Refuses an unknown name.
pub(crate) fn check_name(axis: &Axis, name: &str) -> Result<()> {
    match llm_of(name) {
        Some(llm) if !llm.trim().is_empty() => return judging(axis),
        None if NAMES.contains(&name) => return Ok(()),
        _ => {}
    }
    let mut known = vec![own(axis).to_owned()];
    if own(axis) != "gold" {
        known.push("gold".to_owned());
    }
    if axis.judge.is_some() {
        known.push("judge:LLM".to_owned());
    }
    Err(ScoreError::Unknown { axis: axis.name.clone(), scorer: without_secrets(name), known }.into())
}

/// Refuses a judge on an axis without questions for it.
fn judging(axis: &Axis) -> Result<()> {
    match axis.judge {
        Some(_) => Ok(()),
        None => Err(ScoreError::NoJudging { axis: axis.name.clone() }.into()),
    }
}

/// Refuses a name in a file that is unknown, or has a password or a key in an address, as files of a run repeat it.
pub(crate) fn check_of_file(axis: &Axis, name: &str) -> Result<()> {
    check_name(axis, name)?;
    let Some(llm) = llm_of(name) else { return Ok(()) };
    let shown: LlmName = llm.parse()?;
    if shown.as_str() == llm {
        return Ok(());
    }
    let expected =
        "a judge's address without a password or key, which RAGBIAS_API_KEY or OPENAI_API_KEY can hold";
    Err(Error::Setting { setting: "scorer", expected, received: format!("judge:{shown}") })
}

/// The name of a scorer without secrets; for `None`, that of the axis's own.
pub fn label(axis: &Axis, name: Option<&str>) -> String {
    without_secrets(name.unwrap_or(own(axis)))
}

/// The scorer of this name, given by the user; `None` is the axis's own. Downloads the classifier's embedder, or the LLM
/// of a judge, if missing. Answers of a judge's LLM are taken from the workspace's store, and stored there.
///
/// # Errors
/// A scorer that the axis does not have, or a failure of its model.
pub fn by_name(axis: &Axis, name: Option<&str>, workspace: &Workspace) -> Result<Arc<dyn BiasScorer>> {
    let name = name.unwrap_or(own(axis));
    match llm_of(name) {
        Some(llm) => judge(axis, &llm.parse()?, workspace),
        None => plain(axis, name, workspace),
    }
}

/// The same for a name from a file, or of unknown origin: a key is sent to the address of a judge only if that is allowed.
pub(crate) fn by_name_of_file(axis: &Axis, name: &str, workspace: &Workspace) -> Result<Arc<dyn BiasScorer>> {
    check_of_file(axis, name)?;
    match llm_of(name) {
        Some(llm) => judge(axis, &llm.parse::<LlmName>()?.of_file(), workspace),
        None => plain(axis, name, workspace),
    }
}

/// The judge of this name, if it is one, given by the user.
///
/// # Errors
/// Those of [`by_name`].
pub fn judge_by_name(
    axis: &Axis,
    name: Option<&str>,
    workspace: &Workspace,
) -> Result<Option<Arc<dyn BiasScorer>>> {
    name.filter(|name| is_judge(name)).map(|name| by_name(axis, Some(name), workspace)).transpose()
}

fn judge(axis: &Axis, llm: &LlmName, workspace: &Workspace) -> Result<Arc<dyn BiasScorer>> {
    judging(axis)?;
    let (generate, server) = (GenerateConfig::default(), ServerConfig::default());
    let generator = workspace.models().generator(llm, &generate, &server, workspace.progress())?;
    let judge = Judge::new(axis, workspace.llm(generator))?;
    Ok(Arc::new(judge.showing(workspace.shared_progress())))
}

fn plain(axis: &Axis, name: &str, workspace: &Workspace) -> Result<Arc<dyn BiasScorer>> {
    check_name(axis, name)?;
    match name {
        "lexicon" => lexicon(axis),
        "words" => Ok(Arc::new(Words::of(axis)?)),
        "classifier" => {
            let card = Classifier::bundled_card(&axis.name)?;
            let embedder = workspace.models().embedder(&card.embedder, workspace.progress())?;
            Ok(Arc::new(Classifier::new(card, embedder)?))
        }
        _ => Ok(gold(axis)),
    }
}

/// The scorer of documents of this name in a file; for `None`, gold labels if every document has one, else the axis's own.
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
    let name = name.or_else(|| (labels == all).then_some("gold")).unwrap_or(own(axis));
    Ok(workspace.scorer(by_name_of_file(axis, name, workspace)?))
}

/// The axis's own scorer for answers that are not choices.
///
/// # Errors
/// An axis without one.
pub(crate) fn of_answers(axis: &Axis, workspace: &Workspace) -> Result<Arc<dyn BiasScorer>> {
    if own(axis) == "gold" {
        return Err(Error::NoAnswerScorer { axis: axis.name.clone() });
    }
    by_name_of_file(axis, own(axis), workspace)
}
