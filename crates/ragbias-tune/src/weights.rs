use std::path::Path;
use std::sync::Arc;

use candle_core::{Device, Tensor};
use ragbias_core::{ContentId, Embedder, Embeddings, Role, Similarity};
use ragbias_embed::{Checkpoint, Parameters, TextEmbedder, read_head};

use crate::Result;
use crate::base::Base;
use crate::texts::{Texts, finish};
use crate::trainable::Trainable;

/// The result of a training: weights of the encoder, or a head.
#[derive(Debug, Clone)]
pub struct Weights {
    /// All weights of the encoder, if some were trained.
    pub(crate) parameters: Option<Parameters>,
    /// M of y = x + x·Mᵀ, if a head was trained.
    pub(crate) head: Option<Tensor>,
}

impl Weights {
    /// The weights computed from the variables.
    pub(crate) fn of(trainable: &Trainable) -> Result<Self> {
        if let Some(head) = trainable.head() {
            return Ok(Self { parameters: None, head: Some(head.clone()) });
        }
        Ok(Self { parameters: Some(trainable.parameters()?), head: None })
    }

    /// No changes.
    pub fn base() -> Self {
        Self { parameters: None, head: None }
    }

    /// The weights of a member's checkpoint.
    ///
    /// # Errors
    /// A damaged checkpoint, or one whose shape differs from the base's.
    pub fn load(base: &Base, folder: &Path) -> Result<Self> {
        if let Some(weight) = read_head(folder, base.linear_maps())? {
            let identity = Tensor::eye(weight.dim(0)?, weight.dtype(), weight.device())?;
            return Ok(Self { parameters: None, head: Some((weight - identity)?) });
        }
        let parameters = Parameters::load(folder, base.shape(), &base.device)?;
        Ok(Self { parameters: Some(parameters), head: None })
    }

    /// θ = (1 − w)·θ_base + w·θ_tuned, for any w: 0 is the base, 1 the tuned weights, values outside [0, 1] extrapolate.
    ///
    /// # Errors
    /// Weights of another base.
    pub fn merged(&self, base: &Base, w: f64) -> Result<Self> {
        let parameters = match &self.parameters {
            Some(tuned) => {
                let mut merged = base.parameters.clone();
                for (name, from) in base.parameters.iter() {
                    let to = tuned.get(name)?;
                    // Frozen parameters are the base's own.
                    if to.id() != from.id() {
                        merged.set(name, (from + ((to - from)? * w)?)?)?;
                    }
                }
                Some(merged)
            }
            None => None,
        };
        let head = self.head.as_ref().map(|head| head * w).transpose()?;
        Ok(Self { parameters, head })
    }

    /// W = I + M, `(dim, dim)`.
    fn head_weight(&self) -> Result<Option<Tensor>> {
        let Some(head) = &self.head else { return Ok(None) };
        let identity = Tensor::eye(head.dim(0)?, head.dtype(), head.device())?;
        Ok(Some((identity + head)?))
    }

    /// Saves them as a folder that sentence-transformers loads; `card` becomes its `ragbias.json`.
    ///
    /// # Errors
    /// Failures of the file system.
    pub fn save(&self, base: &Base, folder: &Path, card: serde_json::Value) -> Result<()> {
        let head = self.head_weight()?;
        let checkpoint = Checkpoint {
            base: base.folder(),
            parameters: self.parameters.as_ref(),
            head: head.as_ref(),
            card,
        };
        Ok(checkpoint.save(folder)?)
    }
}

/// An embedder with tuned weights. Prepared texts start from their shared hidden states, all others from
/// their tokens.
pub struct Tuned {
    device: Device,
    texts: Arc<Texts>,
    head: Option<Tensor>,
    any: TextEmbedder,
}

impl Tuned {
    /// The embedder with these weights; `id` is the hash of how they were made.
    ///
    /// # Errors
    /// Weights of another base.
    pub fn new(base: &Base, texts: &Arc<Texts>, weights: &Weights, id: ContentId) -> Result<Self> {
        let parameters = weights.parameters.as_ref().unwrap_or(&base.parameters);
        Ok(Self {
            device: base.device.clone(),
            texts: Arc::clone(texts),
            any: base.embedder.with(parameters, weights.head_weight()?, id)?,
            head: weights.head.clone(),
        })
    }

    /// Unit vectors of prepared texts.
    fn prepared(&self, places: &[usize]) -> Result<Vec<Vec<f32>>> {
        let mut rows = Vec::with_capacity(places.len());
        for places in places.chunks(256) {
            let vectors = self.texts.vectors(self.any.encoder(), &self.device, places)?;
            rows.extend(finish(&vectors, self.head.as_ref())?.to_vec2::<f32>()?);
        }
        Ok(rows)
    }
}

impl Embedder for Tuned {
    fn id(&self) -> ContentId {
        self.any.id()
    }

    fn dim(&self) -> usize {
        self.any.dim()
    }

    fn similarity(&self) -> Similarity {
        self.any.similarity()
    }

    fn embed(&self, texts: &[&str], role: Role) -> ragbias_core::Result<Embeddings> {
        let places: Option<Vec<usize>> = texts.iter().map(|text| self.texts.place(role, text)).collect();
        let Some(places) = places else { return self.any.embed(texts, role) };
        let values: Vec<f32> = self.prepared(&places)?.into_iter().flatten().collect();
        let rows = ndarray::Array2::from_shape_vec((texts.len(), self.dim()), values)
            .expect("one vector of dim values per text; this is a bug");
        Embeddings::new(rows)?.normalised()
    }
}
