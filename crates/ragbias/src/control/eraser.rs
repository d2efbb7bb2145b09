use std::collections::BTreeSet;
use std::sync::Arc;

use ndarray::Array2;
use ragbias_core::limits::ERASURE;
use ragbias_core::{Axis, Corpus, Document, Embedder, Progress, QuestionSet, Role, Verdict};
use ragbias_embed::{Erased, Eraser, Sides};
use ragbias_stats::{Leace, Shrinkage};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::ControlKind;
use crate::embedding::embed_all;
use crate::input::load_corpus;
use crate::measure::bootstrap;
use crate::{Error, Judged, Result, Workspace, scorer};

/// An eraser of the pole of texts, and the documents that it was fitted on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FittedEraser {
    /// Number of documents that lean positively.
    pub positive: usize,
    /// Number of those that lean negatively.
    pub negative: usize,
    /// Number of their topics.
    pub topics: usize,
    /// What was fitted.
    pub eraser: Eraser,
}

impl FittedEraser {
    /// Least-squares concept erasure ([`Leace`]) of the pole, fitted on the vectors of the documents of some topics that lean to either pole;
    /// others, and documents without a topic, have no part in it. The covariance is shrunk ([`Shrinkage::Linear`]).
    ///
    /// # Errors
    /// Fewer than two documents of either pole, or poles whose documents have the same mean vector.
    pub fn of_poles(
        embedder: &dyn Embedder,
        judged: &Judged,
        topics: &[String],
        progress: &dyn Progress,
    ) -> Result<Self> {
        let topics: BTreeSet<&str> = topics.iter().map(String::as_str).collect();
        let leaning: Vec<Leaning<'_>> =
            leaning(judged).filter(|document| topics.contains(document.topic)).collect();
        Self::fit(embedder, &leaning, "training topics", progress)
    }

    fn fit(
        embedder: &dyn Embedder,
        leaning: &[Leaning<'_>],
        topics: &str,
        progress: &dyn Progress,
    ) -> Result<Self> {
        let positive: Vec<bool> = leaning.iter().map(|document| document.positive).collect();
        let positives = positive.iter().filter(|&&positive| positive).count();
        let negatives = positive.len() - positives;
        if positives < 2 || negatives < 2 {
            return Err(Error::ControlNotMade {
                control: ControlKind::Erasure,
                reason: format!(
                    "{positives} documents of {topics} lean positively and {negatives} negatively, expected at least 2 of each\nhint: \
                     `metadata.topic` of a document says what it is about"
                ),
            });
        }
        let texts: Vec<String> = leaning.iter().map(|document| document.document.full_text()).collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let vectors = embed_all(embedder, &texts, Role::Document, "embedding documents", progress)?;
        let vectors: Array2<f64> = vectors.view().mapv(f64::from);
        let leace = Leace::fit(vectors.view(), &positive, Shrinkage::Linear)?;
        let [mean, direction, discriminant] = [leace.mean(), leace.direction(), leace.discriminant()]
            .map(|values| values.iter().map(|&value| value as f32).collect());
        let topics: BTreeSet<&str> = leaning.iter().map(|document| document.topic).collect();
        Ok(Self {
            positive: positives,
            negative: negatives,
            topics: topics.len(),
            eraser: Eraser::new(mean, direction, discriminant)?,
        })
    }
}

/// A document that leans to one pole, with its topic.
struct Leaning<'d> {
    document: &'d Document,
    topic: &'d str,
    positive: bool,
}

/// The documents that lean to one pole and have a topic.
fn leaning(judged: &Judged) -> impl Iterator<Item = Leaning<'_>> {
    judged.corpus().documents().iter().zip(judged.verdicts()).filter_map(|(document, &verdict)| {
        let topic = document.metadata.get("topic").and_then(Value::as_str)?;
        let leans = verdict == Verdict::POSITIVE || verdict == Verdict::NEGATIVE;
        leans.then_some(Leaning { document, topic, positive: verdict == Verdict::POSITIVE })
    })
}

/// What is asked and searched in a measurement: an eraser is fitted on none of it.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// The questions.
    pub questions: &'a QuestionSet,
    /// The documents.
    pub corpus: &'a Corpus,
}

/// An embedder from whose vectors, of questions and documents, the pole is erased: `DATA=β`.
///
/// DATA names a data set or a corpus. The eraser is fitted on its documents that lean to one pole, by gold labels if all of them have one,
/// else by the axis's own scorer, and whose topic is known and not asked about. If a question has no topic, the documents that are
/// searched are left out as well, whatever their topic.
///
/// # Errors
/// Another form than `DATA=β`, β outside 0 to 2, too few documents of either pole, failures of the scorer or the embedder.
pub fn erased(
    embedder: Arc<dyn Embedder>,
    erasure: &str,
    axis: &Axis,
    asked: Asked<'_>,
    workspace: &Workspace,
) -> Result<Arc<dyn Embedder>> {
    let parsed = erasure.rsplit_once('=').and_then(|(data, strength)| {
        let strength: f64 = strength.trim().parse().ok()?;
        (!data.trim().is_empty()).then(|| (data.trim(), strength))
    });
    let Some((data, strength)) = parsed else {
        let expected = "DATA=NUMBER, as in gender=1";
        return Err(Error::Setting { setting: "erase", expected, received: erasure.into() });
    };
    ERASURE.check("erase", strength)?;
    let progress = workspace.progress();
    let corpus = load_corpus(data, Some(axis), progress)?;
    let judged =
        Judged::new(&corpus, scorer::of_documents(axis, &corpus, None, workspace)?.as_ref(), bootstrap(0))?;
    let asked_topics: BTreeSet<&str> =
        asked.questions.questions().iter().filter_map(|question| question.topic.as_deref()).collect();
    let all_known = asked.questions.questions().iter().all(|question| question.topic.is_some());
    let searched: BTreeSet<String> = if all_known {
        BTreeSet::new()
    } else {
        asked.corpus.documents().iter().map(Document::full_text).collect()
    };
    let free: Vec<Leaning<'_>> = leaning(&judged)
        .filter(|leaning| {
            !asked_topics.contains(leaning.topic) && !searched.contains(&leaning.document.full_text())
        })
        .collect();
    // The base's vectors come from the store, whatever the strength.
    let embedder = workspace.embedder(embedder);
    let fitted = FittedEraser::fit(embedder.as_ref(), &free, "topics that are not asked about", progress)?;
    progress.note(&format!(
        "erasure: fitted on {} documents of {data} in {} topics that are not asked about",
        fitted.positive + fitted.negative,
        fitted.topics
    ));
    Ok(Arc::new(Erased::new(embedder, fitted.eraser, strength, Sides::Both)?))
}
