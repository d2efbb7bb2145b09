//! A decoder in f32 that can be differentiated in its adapters.

use candle_core::{D, DType, Device, Result, Tensor};
use candle_nn::ops::{rms_norm_slow, softmax};

use super::Adapter;
use super::adapted::Adapted;
use crate::architecture::LayerKind;
use crate::change::LayerMatrix;
use crate::decoder::{Decoder, Layer as Weights};
use crate::lanes::{Activation, Pairs};
use crate::operators::soft_cap;
use crate::rope::Rope;

/// The fixed weights of a decoder, in memory in f32.
pub(super) struct Network {
    /// `(vocabulary, hidden)`.
    embedding: Tensor,
    embedding_scale: f64,
    layers: Vec<Layer>,
    norm: Norm,
    /// `(vocabulary, hidden)`.
    output: Tensor,
    logit_cap: Option<f32>,
    activation: Activation,
    key_heads: usize,
    head_width: usize,
    attention_scale: f64,
    attention_cap: Option<f32>,
    pairs: Pairs,
    ropes: Vec<Rope>,
}

struct Layer {
    number: usize,
    matrices: Vec<Adapted>,
    attention_norm: Option<Norm>,
    query_key_norms: Option<[Norm; 2]>,
    after_attention_norm: Option<Norm>,
    mlp_norm: Option<Norm>,
    after_mlp_norm: Option<Norm>,
    kind: LayerKind,
}

/// A norm's weight, and its ε.
struct Norm(Tensor, f32);

/// Some sequences of tokens, one after the other.
pub(super) struct Packed {
    /// `(tokens)`.
    ids: Vec<u32>,
    lengths: Vec<usize>,
}

impl Packed {
    pub(super) fn new(sequences: &[Vec<u32>]) -> Self {
        Self { ids: sequences.concat(), lengths: sequences.iter().map(Vec::len).collect() }
    }
}

impl Norm {
    fn new(weight: &[f32], eps: f32) -> Result<Self> {
        Ok(Self(Tensor::from_slice(weight, weight.len(), &Device::Cpu)?, eps))
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        rms_norm_slow(x, &self.0, self.1)
    }
}

fn normed(norm: Option<&Norm>, x: &Tensor) -> Result<Tensor> {
    norm.map_or_else(|| Ok(x.clone()), |norm| norm.forward(x))
}

impl Network {
    pub(super) fn new(decoder: &Decoder) -> Result<Self> {
        let hidden = decoder.embedding.width();
        let dense = |values: Vec<f32>, width: usize| {
            let height = values.len() / width;
            Tensor::from_vec(values, (height, width), &Device::Cpu)
        };
        let embedding = dense(decoder.embedding.values(), hidden)?;
        let output = if decoder.embedding.is_same(&decoder.output) {
            embedding.clone()
        } else {
            dense(decoder.output.values(), hidden)?
        };
        let layers = decoder.layers.iter().enumerate();
        let layers = layers.map(|(number, weights)| Layer::new(number, weights, decoder.eps));
        Ok(Self {
            embedding,
            embedding_scale: decoder.embedding_scale.into(),
            layers: layers.collect::<Result<_>>()?,
            norm: Norm::new(&decoder.norm, decoder.eps)?,
            output,
            logit_cap: decoder.logit_cap,
            activation: decoder.activation,
            key_heads: decoder.key_heads,
            head_width: decoder.head_width,
            attention_scale: decoder.attention_scale.into(),
            attention_cap: decoder.attention_cap,
            pairs: decoder.pairs,
            ropes: decoder.ropes.clone(),
        })
    }

    /// The logits after the tokens at these places of all sequences together, `(places, vocabulary)`.
    pub(super) fn logits(&self, packed: &Packed, places: &[u32], adapter: &Adapter) -> Result<Tensor> {
        let ids = Tensor::from_slice(&packed.ids, packed.ids.len(), &Device::Cpu)?;
        let mut states = (self.embedding.index_select(&ids, 0)? * self.embedding_scale)?;
        let turns = self.ropes.iter().map(|rope| turns(rope, &packed.lengths));
        let turns = turns.collect::<Result<Vec<_>>>()?;
        for layer in &self.layers {
            states = self.layer(layer, &states, packed, turns[layer.kind.rope].as_ref(), adapter)?;
        }
        let places = Tensor::from_slice(places, places.len(), &Device::Cpu)?;
        let states = self.norm.forward(&states.index_select(&places, 0)?)?;
        let logits = states.matmul(&self.output.t()?)?;
        self.logit_cap.map_or(Ok(logits.clone()), |cap| soft_cap(&logits, cap))
    }

    fn layer(
        &self,
        layer: &Layer,
        states: &Tensor,
        packed: &Packed,
        turns: Option<&[Tensor; 2]>,
        adapter: &Adapter,
    ) -> Result<Tensor> {
        let product = |which, x: &Tensor| layer.product(which, x, adapter);
        let inputs = normed(layer.attention_norm.as_ref(), states)?;
        let norms = layer.query_key_norms.as_ref();
        let query = product(LayerMatrix::Query, &inputs)?;
        let query = self.heads_of(&query, norms.map(|norms| &norms[0]), turns)?;
        let key = self.heads_of(&product(LayerMatrix::Key, &inputs)?, norms.map(|norms| &norms[1]), turns)?;
        let value = self.heads_of(&product(LayerMatrix::Value, &inputs)?, None, None)?;
        let mut attended = Vec::new();
        let mut start = 0;
        for &length in &packed.lengths {
            let part = |x: &Tensor| x.narrow(1, start, length)?.contiguous();
            attended.push(self.attend([part(&query)?, part(&key)?, part(&value)?], layer.kind.window)?);
            start += length;
        }
        let attended = product(LayerMatrix::Output, &Tensor::cat(&attended, 0)?)?;
        let states = (states + normed(layer.after_attention_norm.as_ref(), &attended)?)?;
        let inputs = normed(layer.mlp_norm.as_ref(), &states)?;
        let gate = product(LayerMatrix::Gate, &inputs)?;
        let gate = match self.activation {
            Activation::Silu => gate.silu()?,
            Activation::Gelu => gate.gelu()?,
        };
        let inner = product(LayerMatrix::Down, &(gate * product(LayerMatrix::Up, &inputs)?)?)?;
        states + normed(layer.after_mlp_norm.as_ref(), &inner)?
    }

    /// `(tokens, heads · width)` as `(heads, tokens, width)`, normalised and turned.
    fn heads_of(&self, x: &Tensor, norm: Option<&Norm>, turns: Option<&[Tensor; 2]>) -> Result<Tensor> {
        let (tokens, all) = x.dims2()?;
        let x = match norm {
            Some(norm) => {
                let width = norm.0.elem_count();
                norm.forward(&x.reshape((tokens * all / width, width))?)?
            }
            None => x.clone(),
        };
        let heads = x.reshape((tokens, all / self.head_width, self.head_width))?;
        let heads = heads.transpose(0, 1)?.contiguous()?;
        turns.map_or(Ok(heads.clone()), |turns| turned(&heads, turns, self.pairs))
    }

    /// What the tokens of a sequence attend to, `(tokens, heads · width)`, from `(heads, tokens, width)`.
    fn attend(&self, [query, key, value]: [Tensor; 3], window: Option<usize>) -> Result<Tensor> {
        let (heads, tokens, width) = query.dims3()?;
        // Consecutive heads share keys and values.
        let shared = (self.key_heads, heads / self.key_heads * tokens, width);
        let scores = (query.reshape(shared)?.matmul(&key.t()?)? * self.attention_scale)?;
        let mut scores = scores.reshape((heads, tokens, tokens))?;
        if let Some(cap) = self.attention_cap {
            scores = soft_cap(&scores, cap)?;
        }
        let weights = softmax(&scores.broadcast_add(&mask(tokens, window)?)?, D::Minus1)?;
        let weights = weights.reshape((self.key_heads, heads / self.key_heads * tokens, tokens))?;
        let attended = weights.matmul(&value)?.reshape((heads, tokens, width))?;
        attended.transpose(0, 1)?.contiguous()?.reshape((tokens, heads * width))
    }
}

impl Layer {
    fn new(number: usize, weights: &Weights, eps: f32) -> Result<Self> {
        let norm =
            |weight: &Option<Vec<f32>>| weight.as_ref().map(|weight| Norm::new(weight, eps)).transpose();
        let adapted = |which: LayerMatrix| {
            let affine = which.of(weights);
            let (height, width) = (affine.matrix.height(), affine.matrix.width());
            let weight = Tensor::from_vec(affine.matrix.values(), (height, width), &Device::Cpu)?;
            let bias = affine.bias.as_ref().map(|bias| Tensor::from_slice(bias, height, &Device::Cpu));
            Ok(Adapted::new(weight, bias.transpose()?))
        };
        let query_key_norms = match &weights.query_key_norms {
            Some([query, key]) => Some([Norm::new(query, eps)?, Norm::new(key, eps)?]),
            None => None,
        };
        Ok(Self {
            number,
            matrices: LayerMatrix::ALL.into_iter().map(adapted).collect::<Result<_>>()?,
            attention_norm: norm(&weights.attention_norm)?,
            query_key_norms,
            after_attention_norm: norm(&weights.after_attention_norm)?,
            mlp_norm: norm(&weights.mlp_norm)?,
            after_mlp_norm: norm(&weights.after_mlp_norm)?,
            kind: weights.kind,
        })
    }

    /// x·(W + scale·B·A)ᵀ + b.
    fn product(&self, which: LayerMatrix, x: &Tensor, adapter: &Adapter) -> Result<Tensor> {
        self.matrices[which as usize].forward(x, &adapter.pairs[&(self.number, which)], adapter.scale)
    }
}

/// Cosines and sines of the positions of packed sequences, `(tokens, turned pairs)` each; none if nothing is turned.
fn turns(rope: &Rope, lengths: &[usize]) -> Result<Option<[Tensor; 2]>> {
    let pairs = rope.frequencies.len();
    if pairs == 0 {
        return Ok(None);
    }
    let tokens: usize = lengths.iter().sum();
    let table = |part: usize| {
        let positions = lengths.iter().flat_map(|&length| 0..length);
        let values: Vec<f32> =
            positions.flat_map(|position| rope.turns(position).map(|turn| turn[part])).collect();
        Tensor::from_vec(values, (tokens, pairs), &Device::Cpu)
    };
    Ok(Some([table(0)?, table(1)?]))
}

/// `(heads, tokens, width)` with each pair turned; values beyond the pairs stay.
fn turned(heads: &Tensor, [cosines, sines]: &[Tensor; 2], pairs: Pairs) -> Result<Tensor> {
    let (count, tokens, width) = heads.dims3()?;
    let turned = cosines.dim(1)?;
    let rest = heads.narrow(2, 2 * turned, width - 2 * turned)?;
    let (first, second) = match pairs {
        Pairs::Halves => (heads.narrow(2, 0, turned)?, heads.narrow(2, turned, turned)?),
        Pairs::Neighbours => {
            let both = heads.narrow(2, 0, 2 * turned)?.contiguous()?.reshape((count, tokens, turned, 2))?;
            (both.narrow(3, 0, 1)?.squeeze(3)?, both.narrow(3, 1, 1)?.squeeze(3)?)
        }
    };
    let times = |x: &Tensor, factor: &Tensor| x.broadcast_mul(factor);
    let new = [
        (times(&first, cosines)? - times(&second, sines)?)?,
        (times(&first, sines)? + times(&second, cosines)?)?,
    ];
    let new = match pairs {
        Pairs::Halves => Tensor::cat(&new, 2)?,
        Pairs::Neighbours => Tensor::stack(&new, 3)?.reshape((count, tokens, 2 * turned))?,
    };
    if 2 * turned == width { Ok(new) } else { Tensor::cat(&[new, rest], 2) }
}

/// 0, or −∞ where a token does not attend to another, `(tokens, tokens)`.
fn mask(tokens: usize, window: Option<usize>) -> Result<Tensor> {
    let attends = |query: usize, key: usize| key <= query && window.is_none_or(|window| query - key < window);
    let mask = (0..tokens).flat_map(|query| {
        (0..tokens).map(move |key| if attends(query, key) { 0.0 } else { f32::NEG_INFINITY })
    });
    Tensor::from_iter(mask, &Device::Cpu)?.reshape((tokens, tokens))?.to_dtype(DType::F32)
}

#[cfg(test)]
mod tests {
    use super::super::AdapterConfig;
    use super::*;
    use crate::model::Span;
    use crate::testing::{Variant, distance};

    /// The decoder's logits after a sequence.
    fn expected(decoder: &Decoder, tokens: &[u32]) -> Vec<f32> {
        let mut state = decoder.start();
        decoder.read(vec![Span { state: &mut state, tokens, logits: true }]).remove(0)
    }

    #[test]
    fn logits_are_those_of_the_decoder_for_every_variant_of_every_family() {
        for variant in Variant::all() {
            let decoder = variant.decoder();
            let (adapter, variables) =
                Adapter::variables(&decoder, &AdapterConfig::default().rank(2)).unwrap();
            let sequences = [Variant::tokens(), Variant::tokens()[5..].to_vec()];
            let packed = Packed::new(&sequences);
            let last = [sequences[0].len() - 1, sequences[0].len() + sequences[1].len() - 1];
            let network = Network::new(&decoder).unwrap();
            let logits = network.logits(&packed, &last.map(|place| place as u32), &adapter).unwrap();
            for (logits, tokens) in logits.to_vec2::<f32>().unwrap().iter().zip(&sequences) {
                assert!(distance(logits, &expected(&decoder, tokens)) < 1e-5, "{}", variant.name);
            }
            // With adapters that do something, the changed decoder agrees.
            for (number, variable) in variables.iter().enumerate() {
                let values = crate::testing::random(variable.elem_count(), number as u64);
                let values: Vec<f32> = values.iter().map(|value| value * 0.1).collect();
                variable.set(&Tensor::from_vec(values, variable.shape(), &Device::Cpu).unwrap()).unwrap();
            }
            let logits = network.logits(&packed, &last.map(|place| place as u32), &adapter).unwrap();
            let changed = variant.decoder().changed(&adapter).unwrap();
            for (logits, tokens) in logits.to_vec2::<f32>().unwrap().iter().zip(&sequences) {
                let distance = distance(logits, &expected(&changed, tokens));
                assert!(distance < 1e-4, "{}: {distance}", variant.name);
            }
            assert!(distance(&expected(&changed, &sequences[0]), &expected(&decoder, &sequences[0])) > 1e-3);
        }
    }
}
