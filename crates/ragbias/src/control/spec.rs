use std::path::Path;
use std::sync::Arc;

use ragbias_core::limits::{ERASURE, OutOfLimits, PROJECTION, SHARE, TEMPERATURE};
use ragbias_core::{ContentId, Corpus, Embedder, IndexBackend, Progress, message};
use ragbias_embed::{Erased, Projected, Sides};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::leans::Acquaintance;
use super::{FittedEraser, KnownLeans};
use crate::ranking::Ranking;
use crate::run::check_choice;
use crate::{Embedded, Error, FairRanking, Result, StochasticRanking, Workspace};

/// The folder of the merged checkpoint, inside that of the control.
pub(super) const EMBEDDER: &str = "embedder";

/// The file that specifies a control.
const FILE: &str = "control.json";

/// How a control retrieves: its embedder, and the changes to questions and hits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ControlSpec {
    /// Name of the embedder; for a merged one, `embedder`, a folder beside the file.
    pub embedder: String,
    /// Weight of the merge.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub merge: Option<f64>,
    /// Name of the training that was merged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub training: Option<String>,
    /// The change to questions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub projection: Option<ProjectionSpec>,
    /// The change to hits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ranking: Option<RankingSpec>,
    /// The change to the vectors of questions, and of documents.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub erasure: Option<ErasureSpec>,
    /// The change to the order of hits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reranking: Option<RerankingSpec>,
}

/// Moves questions along a direction.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProjectionSpec {
    /// Factor of their component along it.
    pub alpha: f64,
    /// Description of the direction.
    pub along: String,
    /// `(dim,)`.
    pub direction: Vec<f32>,
}

/// Draws hits.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RankingSpec {
    /// Temperature of the softmax over their scores.
    pub temperature: f64,
    /// Seed, combined with each question's own.
    pub seed: u64,
}

/// Erases the pole from vectors.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ErasureSpec {
    /// β.
    pub strength: f64,
    /// Whose vectors are changed.
    pub sides: Sides,
    /// Description of what is erased.
    pub of: String,
    /// What is subtracted, and the documents that it was fitted on.
    pub fitted: FittedEraser,
}

impl ErasureSpec {
    fn applied_to(&self, embedder: Arc<dyn Embedder>) -> ragbias_core::Result<Arc<dyn Embedder>> {
        let eraser = self.fitted.eraser.clone();
        Ok(Arc::new(Erased::new(embedder, eraser, self.strength, self.sides)?))
    }
}

/// Re-ranks hits.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RerankingSpec {
    /// p, the target share of the positive pole.
    pub share: f64,
    /// Seed, combined with the text of each question.
    pub seed: u64,
    /// Hash of `leans.jsonl`, beside the file: the lean of each document.
    pub leans: ContentId,
}

impl RerankingSpec {
    /// The ranking of a corpus, by the leans in a folder.
    fn of(self, folder: &Path, corpus: &Corpus, progress: &dyn Progress) -> Result<Arc<dyn Ranking>> {
        let known = KnownLeans::read(folder, self.leans)?;
        let Acquaintance { known: judged, changed, unknown } = known.acquaintance(corpus);
        if judged == 0 {
            return Err(Error::Run {
                path: folder.join(KnownLeans::FILE),
                reason: format!(
                    "it has none of the {} documents of the corpus, expected the corpus that the control was chosen for\nhint: without \
                     verdicts nothing would be re-ranked; `ragbias choose` on a run with this corpus writes them",
                    corpus.len()
                ),
            });
        }
        if changed + unknown > 0 {
            progress.note(&format!(
                "reranking: {unknown} of {} documents have no verdict, and {changed} have another text than the one that was judged: they keep \
                 their places",
                corpus.len()
            ));
        }
        Ok(Arc::new(FairRanking::new(self.share, self.seed, known.in_corpus(corpus))))
    }
}

/// A control with its models loaded.
pub struct ReadyControl {
    /// The embedder of documents.
    pub embedder: Arc<dyn Embedder>,
    /// The embedder of questions: the same, unless they are moved.
    pub questions: Arc<dyn Embedder>,
    /// How hits are ranked; none means in the order of the index.
    pub ranking: Option<Arc<dyn Ranking>>,
}

/// The fields of `control.json` that are read; the rest are measurements.
#[derive(Deserialize)]
struct File {
    how: ControlSpec,
    ids: Ids,
}

#[derive(Deserialize)]
struct Ids {
    base: ContentId,
}

impl ControlSpec {
    pub(super) fn of(embedder: &str) -> Self {
        Self {
            embedder: embedder.to_owned(),
            merge: None,
            training: None,
            projection: None,
            ranking: None,
            erasure: None,
            reranking: None,
        }
    }

    /// A negative temperature would put the furthest documents first.
    fn check(&self) -> std::result::Result<(), OutOfLimits> {
        if let Some(moved) = &self.projection {
            PROJECTION.check("alpha", moved.alpha as f32)?;
        }
        if let Some(erased) = &self.erasure {
            ERASURE.check("strength", erased.strength)?;
        }
        if let Some(reranked) = self.reranking {
            SHARE.check("share", reranked.share)?;
        }
        self.ranking.map_or(Ok(()), |drawn| TEMPERATURE.check("temperature", drawn.temperature))
    }

    /// A corpus, searched as specified by `control.json` in a folder.
    ///
    /// # Errors
    /// A file that differs from what was written, an embedder that differs from the one measured; failures of the embedder and
    /// the index.
    pub fn open(
        folder: &Path,
        corpus: &Corpus,
        backend: Arc<dyn IndexBackend>,
        workspace: &Workspace,
    ) -> Result<Embedded> {
        let (how, base) = Self::read(folder, workspace)?;
        // The vectors of documents are taken from the store and kept there; those of questions are not.
        let documents = how.documents_by(workspace.embedder(Arc::clone(&base))).map_err(misfit(folder))?;
        let questions =
            how.documents_by(base).and_then(|base| how.questions_by(base)).map_err(misfit(folder))?;
        let ranking = match how.reranking {
            Some(reranked) => Some(reranked.of(folder, corpus, workspace.progress())?),
            None => how.drawn(),
        };
        Ok(Embedded::new(corpus, documents, backend, workspace)?.asked_by(questions)?.ranked_by(ranking))
    }

    /// What retrieves as specified by `control.json` in a folder, for documents that are not in memory.
    ///
    /// # Errors
    /// A file that differs from what was written, an embedder that differs from the one measured, or a re-ranking, which needs its documents.
    pub fn ready(folder: &Path, workspace: &Workspace) -> Result<ReadyControl> {
        let (how, base) = Self::read(folder, workspace)?;
        if how.reranking.is_some() {
            return Err(Error::Run {
                path: folder.join(FILE),
                reason: "it re-ranks documents by their verdicts, expected a control for documents that are stored elsewhere\nhint: search \
                         them in memory (`corpus`), or choose another control"
                    .into(),
            });
        }
        let embedder = how.documents_by(base).map_err(misfit(folder))?;
        let questions = how.questions_by(Arc::clone(&embedder)).map_err(misfit(folder))?;
        Ok(ReadyControl { embedder, questions, ranking: how.drawn() })
    }

    /// The specification in a folder, with its embedder, before its changes.
    fn read(folder: &Path, workspace: &Workspace) -> Result<(Self, Arc<dyn Embedder>)> {
        let path = folder.join(FILE);
        let wrong = |reason: String| Error::Run { path: path.clone(), reason };
        let value: Value = serde_json::from_str(&fs_err::read_to_string(&path)?)
            .map_err(|error| wrong(error.to_string()))?;
        check_choice(&value, &path)?;
        let File { how, ids } = serde_json::from_value(value).map_err(|error| wrong(error.to_string()))?;
        how.check().map_err(|error| wrong(error.to_string()))?;
        if how.merge.is_some() {
            let place = folder.join(EMBEDDER);
            let embedder = workspace.models().embedder(&place.to_string_lossy(), workspace.progress())?;
            return Ok((how, embedder));
        }
        let embedder = workspace.models().embedder(&how.embedder, workspace.progress())?;
        if embedder.id() != ids.base {
            let name = &how.embedder;
            return Err(wrong(format!(
                "the embedder `{name}` is not the one that was measured\nhint: `ragbias models verify {name}` compares its files"
            )));
        }
        Ok((how, embedder))
    }

    /// The embedder of documents: the base, from whose vectors a pole may be erased.
    fn documents_by(&self, base: Arc<dyn Embedder>) -> ragbias_core::Result<Arc<dyn Embedder>> {
        Ok(match &self.erasure {
            Some(erasure) => erasure.applied_to(base)?,
            None => base,
        })
    }

    /// The embedder of questions: that of documents, unless they are moved.
    fn questions_by(&self, documents: Arc<dyn Embedder>) -> ragbias_core::Result<Arc<dyn Embedder>> {
        Ok(match &self.projection {
            Some(ProjectionSpec { alpha, direction, .. }) => {
                Arc::new(Projected::onto_direction(documents, direction, *alpha as f32)?)
            }
            None => documents,
        })
    }

    /// The ranking that draws, if hits are drawn.
    fn drawn(&self) -> Option<Arc<dyn Ranking>> {
        self.ranking.and_then(|RankingSpec { temperature, seed }| StochasticRanking::at(temperature, seed))
    }
}

/// A control that does not fit its embedder, by the name of its file.
fn misfit(folder: &Path) -> impl Fn(ragbias_core::Error) -> Error {
    let path = folder.join(FILE);
    move |error| Error::Run { path: path.clone(), reason: message(&error) }
}
