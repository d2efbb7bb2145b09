use std::path::Path;
use std::sync::Arc;

use ragbias_core::limits::{OutOfLimits, PROJECTION, TEMPERATURE};
use ragbias_core::{ContentId, Corpus, Embedder, IndexBackend, message};
use ragbias_embed::Projected;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::ranking::Ranking;
use crate::run::check_choice;
use crate::{Embedded, Error, Result, StochasticRanking, Workspace};

/// The folder of the merged checkpoint, inside that of the control.
pub(super) const EMBEDDER: &str = "embedder";

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
        Self { embedder: embedder.to_owned(), merge: None, training: None, projection: None, ranking: None }
    }

    /// A negative temperature would put the furthest documents first.
    fn check(&self) -> std::result::Result<(), OutOfLimits> {
        if let Some(moved) = &self.projection {
            PROJECTION.check("alpha", moved.alpha as f32)?;
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
        let ReadyControl { embedder, questions, ranking } = Self::ready(folder, workspace)?;
        let embedded = Embedded::new(corpus, workspace.embedder(embedder), backend, workspace)?;
        Ok(embedded.asked_by(questions)?.ranked_by(ranking))
    }

    /// What retrieves as specified by `control.json` in a folder.
    ///
    /// # Errors
    /// A file that differs from what was written, or an embedder that differs from the one measured.
    pub fn ready(folder: &Path, workspace: &Workspace) -> Result<ReadyControl> {
        let path = folder.join("control.json");
        let wrong = |reason: String| Error::Run { path: path.clone(), reason };
        let value: Value = serde_json::from_str(&fs_err::read_to_string(&path)?)
            .map_err(|error| wrong(error.to_string()))?;
        check_choice(&value, &path)?;
        let File { how, ids } = serde_json::from_value(value).map_err(|error| wrong(error.to_string()))?;
        how.check().map_err(|error| wrong(error.to_string()))?;
        let embedder: Arc<dyn Embedder> = if how.merge.is_some() {
            let place = folder.join(EMBEDDER);
            workspace.models().embedder(&place.to_string_lossy(), workspace.progress())?
        } else {
            let embedder = workspace.models().embedder(&how.embedder, workspace.progress())?;
            if embedder.id() != ids.base {
                let name = &how.embedder;
                return Err(wrong(format!(
                    "the embedder `{name}` is not the one that was measured\nhint: `ragbias models verify {name}` compares its files"
                )));
            }
            embedder
        };
        let questions: Arc<dyn Embedder> = match how.projection {
            Some(ProjectionSpec { alpha, direction, .. }) => {
                let moved = Projected::onto_direction(Arc::clone(&embedder), &direction, alpha as f32);
                Arc::new(moved.map_err(|error| wrong(message(&error)))?)
            }
            None => Arc::clone(&embedder),
        };
        let ranking = how
            .ranking
            .and_then(|RankingSpec { temperature, seed }| StochasticRanking::at(temperature, seed));
        Ok(ReadyControl { embedder, questions, ranking })
    }
}
