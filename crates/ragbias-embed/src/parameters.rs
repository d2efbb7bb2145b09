//! The weights of an encoder by name.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use candle_core::{Device, Tensor};
use ragbias_core::ContentId;

use crate::config::{EncoderConfig, Positions, Rounding};
use crate::parts::{Map, MapPlace, NormPlace};
use crate::weights::{Owner, Weights};
use crate::{Error, Result};

/// The name of the table of word embeddings, `(vocabulary, hidden)`.
pub const WORD_EMBEDDINGS: &str = "embeddings.word_embeddings.weight";

/// The biases of MPNet's relative attention, `(buckets, heads)`.
pub(crate) const RELATIVE: &str = "encoder.relative_attention_bias.weight";

/// The weights of an [`Encoder`](crate::Encoder), by the names that BERT's checkpoints give them, without a `bert.` prefix.
///
/// What BERT lacks:
///
/// | weight | encoders |
/// | --- | --- |
/// | `encoder.relative_attention_bias` | with relative attention |
/// | `….attention.self.query_key_value` | whose queries, keys and values have one matrix |
/// | `….attention.self.query.LayerNorm`, `….attention.self.key.LayerNorm` | with norms of queries and keys |
/// | `….attention.input.LayerNorm`, `….intermediate.input.LayerNorm` | with norms before attention and MLP |
/// | `….intermediate.gate` | whose MLP has a gate with a matrix of its own; otherwise it is in `….intermediate.dense` |
/// | `encoder.LayerNorm` | with a norm after the last layer |
#[derive(Debug, Clone)]
pub struct Parameters(BTreeMap<String, Tensor>);

impl Parameters {
    /// Reads the weights in a transformer's folder as f32, each finite and of the shape required by `config`.
    ///
    /// # Errors
    /// A missing, truncated or damaged file, or tensor.
    pub fn load(folder: &Path, config: &EncoderConfig, device: &Device) -> Result<Self> {
        Ok(Self::read(folder, config, None, device)?.0)
    }

    /// The weights in a transformer's folder, with the hash of their files.
    pub(crate) fn read(
        folder: &Path,
        config: &EncoderConfig,
        rounding: Option<Rounding>,
        device: &Device,
    ) -> Result<(Self, ContentId)> {
        let weights = Weights::open(folder, Owner::Encoder(config.family))?;
        let shapes = shapes(config);
        let own = |name: &str| config.family.own_name(name);
        let all: BTreeSet<String> = shapes.iter().map(|(name, _)| own(name)).collect();
        weights.refuse_others(|name| all.contains(name), config.num_hidden_layers)?;
        // Before the tensors are read, so that the pages of the file are never in memory beside them.
        let id = weights.content_id();
        let named = shapes
            .into_iter()
            .map(|(name, shape)| Ok((name.clone(), weights.get(&own(&name), &shape, rounding, device)?)));
        Ok((Self(named.collect::<Result<_>>()?), id))
    }

    /// Weights created by `tensor` from each name and shape.
    #[cfg(test)]
    pub(crate) fn from_fn(
        config: &EncoderConfig,
        tensor: impl Fn(&str, Vec<usize>) -> candle_core::Result<Tensor>,
    ) -> Result<Self> {
        let all = shapes(config).into_iter().map(|(name, shape)| Ok((name.clone(), tensor(&name, shape)?)));
        Ok(Self(all.collect::<Result<_>>()?))
    }

    /// Their device.
    pub fn device(&self) -> &Device {
        self.0.values().next().map_or(&Device::Cpu, Tensor::device)
    }

    /// The tensor of this name.
    ///
    /// # Errors
    /// [`Error::NoParameter`].
    pub fn get(&self, name: &str) -> Result<&Tensor> {
        self.0.get(name).ok_or_else(|| Error::NoParameter { name: name.into() })
    }

    /// Replaces a tensor.
    ///
    /// # Errors
    /// [`Error::NoParameter`] if there is none of this name.
    pub fn set(&mut self, name: &str, tensor: Tensor) -> Result<()> {
        let place = self.0.get_mut(name).ok_or_else(|| Error::NoParameter { name: name.into() })?;
        *place = tensor;
        Ok(())
    }

    /// Drops the tensors of a layer.
    pub(crate) fn remove_layer(&mut self, number: usize) {
        let start = format!("encoder.layer.{number}.");
        self.0.retain(|name, _| !name.starts_with(&start));
    }

    /// All names and tensors, in alphabetical order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Tensor)> {
        self.0.iter().map(|(name, tensor)| (name.as_str(), tensor))
    }
}

/// Name and shape of every weight of an encoder of this description.
fn shapes(config: &EncoderConfig) -> Vec<(String, Vec<usize>)> {
    let hidden = config.hidden_size;
    let mut all = Vec::new();
    let positions = if config.positions == Positions::Rotary { 0 } else { config.max_position_embeddings };
    for (table, rows) in
        [("word", config.vocab_size), ("position", positions), ("token_type", config.type_vocab_size)]
    {
        if rows > 0 {
            all.push((format!("embeddings.{table}_embeddings.weight"), vec![rows, hidden]));
        }
    }
    if config.relative_buckets > 0 {
        all.push((RELATIVE.into(), vec![config.relative_buckets, config.num_attention_heads]));
    }
    let norm = |name: String, width: usize| {
        let bias = config.has_norm_bias().then(|| (format!("{name}.bias"), vec![width]));
        std::iter::once((format!("{name}.weight"), vec![width])).chain(bias)
    };
    for name in [config.embedding_norm(), config.last_norm()].into_iter().flatten() {
        all.extend(norm(name.into(), hidden));
    }
    for layer in 0..config.num_hidden_layers {
        for Map { parts, inputs, has_bias } in MapPlace::ALL.map(|place| config.map(layer, place)) {
            for (name, outputs) in parts {
                all.extend(has_bias.then(|| (format!("{name}.bias"), vec![outputs])));
                all.push((format!("{name}.weight"), vec![outputs, inputs]));
            }
        }
        let of_layer = NormPlace::ALL.into_iter().filter_map(|place| config.norm(layer, place));
        all.extend(of_layer.flat_map(|name| norm(name, hidden)));
        let of_heads = config.head_norms(layer).into_iter().flatten();
        all.extend(of_heads.flat_map(|name| norm(name, config.head_width())));
    }
    all
}
