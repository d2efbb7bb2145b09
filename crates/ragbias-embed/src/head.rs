//! A linear map after pooling: the module `2_Dense` of sentence-transformers.

use std::path::Path;

use candle_core::{Device, Tensor};
use ragbias_core::ContentId;
use serde::{Deserialize, Serialize};

use crate::config::{read_json, read_optional_json, unsupported};
use crate::weights::Weights;
use crate::{Error, Result};

/// y = x·Wᵀ + b over pooled vectors, before they are scaled to unit length.
#[derive(Debug, Clone)]
pub(crate) struct Head {
    /// `(out, in)`.
    weight: Tensor,
    bias: Option<Tensor>,
}

/// `modules.json`: what is done with a text, in order.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Module {
    pub(crate) idx: usize,
    pub(crate) name: String,
    pub(crate) path: String,
    #[serde(rename = "type")]
    pub(crate) kind: String,
}

#[derive(Serialize, Deserialize)]
pub(crate) struct DenseFile {
    pub(crate) in_features: usize,
    pub(crate) out_features: usize,
    #[serde(default = "yes")]
    pub(crate) bias: bool,
    pub(crate) activation_function: String,
}

fn yes() -> bool {
    true
}

/// The one activation that leaves a linear map linear.
pub(crate) const IDENTITY: &str = "torch.nn.modules.linear.Identity";

impl Head {
    pub(crate) fn new(weight: Tensor) -> Self {
        Self { weight, bias: None }
    }

    /// The dense module of a checkpoint, where it has one, with the hash of its weights.
    pub(crate) fn read(folder: &Path, hidden: usize, device: &Device) -> Result<Option<(Self, ContentId)>> {
        let modules: Vec<Module> = read_optional_json(&folder.join("modules.json"))?;
        let dense: Vec<&Module> =
            modules.iter().filter(|module| module.kind.rsplit('.').next() == Some("Dense")).collect();
        let &[module] = dense.as_slice() else {
            return match dense.len() {
                0 => Ok(None),
                n => Err(unsupported(
                    folder.join("modules.json"),
                    "the number of Dense modules",
                    "1",
                    n.to_string(),
                )),
            };
        };
        let path = folder.join(&module.path).join("config.json");
        let file: DenseFile = read_json(&path)?;
        if file.activation_function != IDENTITY {
            return Err(unsupported(path, "activation_function", IDENTITY, file.activation_function));
        }
        if file.in_features != hidden {
            let expected = format!("hidden_size {hidden}");
            return Err(unsupported(path, "in_features", expected, file.in_features.to_string()));
        }
        let path = folder.join(&module.path).join("model.safetensors");
        if !path.is_file() {
            return Err(Error::MissingFile { folder: folder.join(&module.path), file: "model.safetensors" });
        }
        let weights = Weights::open(&path)?;
        let tensors = weights.tensors()?;
        let weight = tensors.get("linear.weight", &[file.out_features, file.in_features], device)?;
        let bias = file.bias.then(|| tensors.get("linear.bias", &[file.out_features], device)).transpose()?;
        Ok(Some((Self { weight, bias }, weights.content_id())))
    }

    /// W, where there is no bias.
    pub(crate) fn weight(&self) -> Option<&Tensor> {
        self.bias.is_none().then_some(&self.weight)
    }

    /// Dimensions of its results.
    pub(crate) fn dim(&self) -> usize {
        self.weight.dims()[0]
    }

    /// `(texts, in)` → `(texts, out)`.
    pub(crate) fn forward(&self, pooled: &Tensor) -> Result<Tensor> {
        let mapped = pooled.matmul(&self.weight.t()?)?;
        Ok(match &self.bias {
            Some(bias) => mapped.broadcast_add(bias)?,
            None => mapped,
        })
    }
}
