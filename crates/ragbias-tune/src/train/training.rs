//! What is trained, on what, and what comes of it.

use candle_core::Tensor;
use ragbias_core::{ContentHasher, ContentId, Corpus, Role};
use serde::{Deserialize, Serialize};

use super::examples::Placed;
use crate::base::Base;
use crate::config::TrainConfig;
use crate::mine::Example;
use crate::texts::{Texts, finish};
use crate::weights::Weights;
use crate::{Error, Result};

/// A training: its base, settings and data.
pub struct Training<'a> {
    /// The base.
    pub base: &'a Base,
    /// The settings.
    pub config: &'a TrainConfig,
    /// The training examples.
    pub examples: &'a [Example],
    /// The validation examples; without them, every epoch counts as better than the previous one.
    pub validation: &'a [Example],
    /// The documents of all examples.
    pub corpus: &'a Corpus,
    /// Unrelated texts for the anchor term, which is left out if there are none.
    pub anchors: &'a [String],
    /// The questions and documents of all examples and the anchors, prepared for the scope.
    pub texts: &'a Texts,
}

/// The result of one epoch.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Epoch {
    /// Mean loss of its steps.
    pub loss: f64,
    /// Loss on the validation examples after the epoch, if there are any.
    pub validation: Option<f64>,
    /// Its duration, including the validation loss.
    pub seconds: f64,
}

/// A non-finite loss: training ended there, with the weights of the last good epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Diverged {
    /// From 1.
    pub epoch: usize,
    /// From 1.
    pub batch: usize,
}

/// The result of a training.
#[derive(Debug, Clone)]
pub struct Trained {
    /// The trained weights: those of the epoch with the best validation loss.
    pub weights: Weights,
    /// The loss by epoch.
    pub curve: Vec<Epoch>,
    /// Where the loss became non-finite, if it did.
    pub diverged: Option<Diverged>,
}

impl Training<'_> {
    /// The examples with the indices of their texts.
    pub(super) fn place(&self, examples: &[Example]) -> Result<Vec<Placed>> {
        let document =
            |id: &ragbias_core::DocId| self.prepared(Role::Document, &self.corpus.document(*id).full_text());
        examples
            .iter()
            .map(|example| {
                Ok(Placed {
                    question: self.prepared(Role::Question, &example.question.text)?,
                    positives: example.positives.iter().map(document).collect::<Result<_>>()?,
                    negatives: example.negatives.iter().map(document).collect::<Result<_>>()?,
                })
            })
            .collect()
    }

    fn prepared(&self, role: Role, text: &str) -> Result<usize> {
        self.texts.place(role, text).ok_or_else(|| Error::Setting {
            setting: "texts",
            expected: "every text of the examples".into(),
            received: format!("none for `{}`", text.chars().take(60).collect::<String>()),
        })
    }

    /// Indices and old vectors of the anchor texts.
    pub(super) fn anchors(&self) -> Result<Option<(Vec<usize>, Tensor)>> {
        if self.config.anchor == 0.0 || self.anchors.is_empty() {
            return Ok(None);
        }
        let places: Vec<usize> =
            self.anchors.iter().map(|text| self.prepared(Role::Document, text)).collect::<Result<_>>()?;
        let encoder = self.base.embedder.encoder();
        let old = finish(&self.texts.vectors(encoder, &self.base.device, &places)?, None)?;
        Ok(Some((places, old)))
    }

    /// The identity of the training that a state belongs to.
    pub(super) fn id(&self) -> Result<ContentId> {
        let config = serde_json::to_vec(self.config).map_err(std::io::Error::from)?;
        let mut id = ContentHasher::new("training/2").field(self.base.id().as_bytes()).field(config);
        for example in self.examples.iter().chain(self.validation) {
            id = id
                .field(&example.question.text)
                .field(format!("{:?} {:?}", example.positives, example.negatives));
        }
        Ok(id.field(self.corpus.content_id().as_bytes()).finish())
    }
}
