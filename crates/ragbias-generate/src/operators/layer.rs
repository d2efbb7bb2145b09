//! One layer: attention and MLP, with the norms around them.

use candle_core::{DType, Result, Tensor};
use candle_nn::ops::rms_norm;
use candle_nn::rotary_emb::rope_thd;

use super::batch::Batch;
use super::heads::HeadLayout;
use super::pool::Pool;
use super::weights::{Linear, Target, order_of_heads, reordered};
use crate::decoder::{Decoder, Layer as Weights};
use crate::lanes::Activation;

/// A norm's weight, and the ε of all norms.
#[derive(Debug)]
pub(super) struct Norm {
    weight: Tensor,
    eps: f32,
}

impl Norm {
    pub(super) fn new(weight: Tensor, eps: f32) -> Self {
        Self { weight, eps }
    }

    /// x / √(mean x² + ε) · weight, over the last dimension.
    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        rms_norm(&x.contiguous()?, &self.weight, self.eps)
    }

    /// Of each `width` values, as many as the norm has weights: of a head, or of all heads together.
    fn of_pieces(&self, x: &Tensor) -> Result<Tensor> {
        let width = self.weight.elem_count();
        self.forward(&x.reshape((x.elem_count() / width, width))?)?.reshape(x.shape())
    }
}

#[derive(Debug)]
pub(super) struct Layer {
    number: usize,
    attention_norm: Option<Norm>,
    query_key_value: Linear,
    query_key_norms: Option<[Norm; 2]>,
    output: Linear,
    after_attention_norm: Option<Norm>,
    mlp_norm: Option<Norm>,
    gate_up: Linear,
    down: Linear,
    after_mlp_norm: Option<Norm>,
    activation: Activation,
    heads: HeadLayout,
    scale: f64,
    cap: Option<f32>,
    pub(super) window: Option<usize>,
    rope: usize,
}

/// Cosines and sines of the tokens of a batch, `(tokens, head_width / 2)` each; `None` for layers without positions.
pub(super) type Turns = Option<[Tensor; 2]>;

impl Layer {
    pub(super) fn new(number: usize, decoder: &Decoder, heads: HeadLayout, target: &Target) -> Result<Self> {
        let weights: &Weights = &decoder.layers[number];
        let turned = decoder.ropes[weights.kind.rope].frequencies.len();
        let order = order_of_heads(decoder.pairs, turned, heads.width);
        let norm = |weight: Option<&Vec<f32>>| -> Result<Option<Norm>> {
            Ok(target.optional(weight)?.map(|weight| Norm::new(weight, decoder.eps)))
        };
        let head_norm = |weight: &Vec<f32>| -> Result<Norm> {
            Ok(Norm::new(target.vector(&reordered(weight, 1, &order))?, decoder.eps))
        };
        let query_key_norms = match &weights.query_key_norms {
            Some([query, key]) => Some([head_norm(query)?, head_norm(key)?]),
            None => None,
        };
        let order = Some(&order[..]);
        Ok(Self {
            number,
            attention_norm: norm(weights.attention_norm.as_ref())?,
            query_key_value: target.stacked(&[
                (&weights.query, order),
                (&weights.key, order),
                (&weights.value, None),
            ])?,
            query_key_norms,
            output: target.stacked(&[(&weights.output, None)])?,
            after_attention_norm: norm(weights.after_attention_norm.as_ref())?,
            mlp_norm: norm(weights.mlp_norm.as_ref())?,
            gate_up: target.stacked(&[(&weights.gate, None), (&weights.up, None)])?,
            down: target.stacked(&[(&weights.down, None)])?,
            after_mlp_norm: norm(weights.after_mlp_norm.as_ref())?,
            activation: decoder.activation,
            heads,
            scale: decoder.attention_scale.into(),
            cap: decoder.attention_cap,
            window: weights.kind.window,
            rope: weights.kind.rope,
        })
    }

    /// The states after this layer, `(tokens, hidden)`, f32, of all tokens or of those `kept`; the keys and values of all go into
    /// the ranges of the pool.
    pub(super) fn forward(
        &self,
        states: &Tensor,
        batch: &Batch,
        turns: &[Turns],
        cache: (&Pool, &[std::ops::Range<usize>]),
        kept: Option<&Tensor>,
    ) -> Result<Tensor> {
        let mut states = states.clone();
        let mut attended = self.attend(&states, batch, &turns[self.rope], cache)?;
        if let Some(kept) = kept {
            (states, attended) = (states.index_select(kept, 0)?, attended.index_select(kept, 0)?);
        }
        let part = self.output.forward(&attended)?;
        let states = (states + normed(self.after_attention_norm.as_ref(), &part)?)?;
        let both = self.gate_up.forward(&normed(self.mlp_norm.as_ref(), &states)?)?;
        let inner = both.dim(1)? / 2;
        let (gate, up) = (both.narrow(1, 0, inner)?.contiguous()?, both.narrow(1, inner, inner)?);
        let gate = match self.activation {
            Activation::Silu => gate.silu()?,
            Activation::Gelu => gate.gelu()?,
        };
        let part = self.down.forward(&(gate * up)?)?;
        states + normed(self.after_mlp_norm.as_ref(), &part)?
    }

    /// What the tokens attend to, `(tokens, heads · head_width)`.
    fn attend(
        &self,
        states: &Tensor,
        batch: &Batch,
        turns: &Turns,
        (pool, ranges): (&Pool, &[std::ops::Range<usize>]),
    ) -> Result<Tensor> {
        let HeadLayout { heads, key_heads, width } = self.heads;
        let all = self.query_key_value.forward(&normed(self.attention_norm.as_ref(), states)?)?;
        let part = |first: usize, heads: usize| all.narrow(1, first * width, heads * width)?.contiguous();
        let norms = self.query_key_norms.as_ref();
        let query = self.prepared(&part(0, heads)?, norms.map(|norms| &norms[0]), turns)?;
        let key = self.prepared(&part(heads, key_heads)?, norms.map(|norms| &norms[1]), turns)?;
        let value = part(heads + key_heads, key_heads)?;
        pool.write(self.number, ranges, [&key, &value])?;
        let tables = pool.heads(self.number, key_heads)?;
        self.heads.attend(&(query * self.scale)?, &tables, batch.view(self.window), self.cap)
    }

    /// Queries or keys, normalised if the architecture does, and turned.
    fn prepared(&self, x: &Tensor, norm: Option<&Norm>, turns: &Turns) -> Result<Tensor> {
        let x = match norm {
            Some(norm) => norm.of_pieces(x)?,
            None => x.clone(),
        };
        debug_assert_eq!(x.dtype(), DType::F32);
        match turns {
            Some([cosines, sines]) => {
                let (tokens, all) = x.dims2()?;
                let heads = x.reshape((1, tokens, all / self.heads.width, self.heads.width))?;
                rope_thd(&heads, cosines, sines)?.reshape((tokens, all))
            }
            None => Ok(x),
        }
    }
}

fn normed(norm: Option<&Norm>, x: &Tensor) -> Result<Tensor> {
    norm.map_or_else(|| Ok(x.clone()), |norm| norm.forward(x))
}
