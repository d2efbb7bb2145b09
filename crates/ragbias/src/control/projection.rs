use std::path::Path;
use std::sync::Arc;

use ragbias_core::{Embedder, Progress, Role, Verdict};
use ragbias_embed::Projected;
use serde_json::Value;

use super::{Control, ControlKind, How, Moved};
use crate::embedding::embed_all;
use crate::{Embedded, Error, Judged, Result};

/// Moves questions along a direction; documents, and so the index, are unchanged.
pub struct Projection {
    /// Name of the base.
    pub base: String,
    /// `(dim,)`, of any length above 0.
    pub direction: Vec<f32>,
    /// Description of the direction.
    pub along: String,
}

impl Control for Projection {
    fn kind(&self) -> ControlKind {
        ControlKind::Projection
    }

    fn turn(&self, base: &Embedded, setting: f64) -> Result<Embedded> {
        let embedder = Arc::clone(base.embedder());
        base.asked_by(Arc::new(Projected::onto_direction(embedder, &self.direction, setting as f32)?))
    }

    fn save(&self, setting: f64, _: &Path) -> Result<How> {
        let Self { base, direction, along } = self;
        let moved = Moved { alpha: setting, along: along.clone(), direction: direction.clone() };
        Ok(How { projection: Some(moved), ..How::of(base) })
    }
}

/// The direction from the negative to the positive pole: per topic, the mean vector of the documents that lean positively
/// minus that of those that lean negatively; averaged over the topics that have both.
///
/// Differences within a topic cancel the topic's content. Source of directions from pairs: Bolukbasi et al., *Man is
/// to computer programmer as woman is to homemaker?*, NeurIPS 2016, <https://arxiv.org/abs/1607.06520>.
///
/// # Errors
/// No topic has documents of both poles.
pub fn direction_of_poles(
    embedder: &dyn Embedder,
    judged: &Judged,
    topics: &[String],
    progress: &dyn Progress,
) -> Result<Vec<f32>> {
    let (corpus, verdicts) = (judged.corpus(), judged.verdicts());
    let texts: Vec<String> = corpus.documents().iter().map(ragbias_core::Document::full_text).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let vectors = embed_all(embedder, &texts, Role::Document, "embedding documents", progress)?;
    let topic_of = |row: usize| corpus.documents()[row].metadata.get("topic").and_then(Value::as_str);
    let mean = |topic: &str, pole: Verdict| -> Option<Vec<f32>> {
        let rows: Vec<usize> = (0..verdicts.len())
            .filter(|&row| verdicts[row] == pole && topic_of(row) == Some(topic))
            .collect();
        let mut sum = vec![0.0; vectors.dim()];
        for &row in &rows {
            sum.iter_mut().zip(vectors.row(row)).for_each(|(sum, x)| *sum += x / rows.len() as f32);
        }
        (!rows.is_empty()).then_some(sum)
    };
    let differences: Vec<Vec<f32>> = (topics.iter())
        .filter_map(|topic| {
            let (positive, negative) = (mean(topic, Verdict::POSITIVE)?, mean(topic, Verdict::NEGATIVE)?);
            Some(positive.iter().zip(negative).map(|(p, n)| p - n).collect())
        })
        .collect();
    if differences.is_empty() {
        return Err(Error::ControlNotMade {
            control: ControlKind::Projection,
            reason: "no training topic has documents of both poles\nhint: `metadata.topic` of a document says what it is about"
                .into(),
        });
    }
    let n = differences.len() as f32;
    Ok((0..vectors.dim()).map(|column| differences.iter().map(|d| d[column]).sum::<f32>() / n).collect())
}
