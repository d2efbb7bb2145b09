//! Gemma 3 (<https://arxiv.org/abs/2503.19786>), text only.
//!
//! candle-transformers 0.11 has a quantised Gemma 3, but with SiLU for GELU in its MLPs, which changes the answers, and a
//! mask that hides the cache from longer continuations; so this is written out.

use candle_core::quantized::QMatMul;
use candle_core::{D, DType, Device, Module, Tensor};
use candle_nn::ops::{rms_norm, softmax_last_dim};
use candle_nn::rotary_emb::rope;

use crate::Result;
use crate::file::GgufFile;

/// Every sixth layer sees all tokens, the others a window; their rotary frequencies differ.
const GLOBAL_EVERY: usize = 6;
const LOCAL_ROPE_BASE: f32 = 10_000.0;
const GLOBAL_ROPE_BASE: f32 = 1_000_000.0;

/// A Gemma 3 with the keys and values of what it has read. A clone shares the weights.
#[derive(Clone)]
pub(crate) struct Gemma3 {
    embedding: Tensor,
    layers: Vec<Layer>,
    norm: Norm,
    output: QMatMul,
    read: usize,
}

#[derive(Clone)]
struct Norm {
    weight: Tensor,
    eps: f32,
}

impl Norm {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        Ok(rms_norm(&x.contiguous()?, &self.weight, self.eps)?)
    }
}

#[derive(Clone)]
struct Layer {
    attention_norm: Norm,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    query_norm: Norm,
    key_norm: Norm,
    attention_output: Tensor,
    after_attention_norm: Norm,
    mlp_norm: Norm,
    gate: Tensor,
    up: Tensor,
    down: Tensor,
    after_mlp_norm: Norm,
    heads: usize,
    key_heads: usize,
    /// How many tokens back a token sees, itself included; all where `None`.
    window: Option<usize>,
    /// Cosines and sines, `(context, head_dim / 2)` each.
    rotary: (Tensor, Tensor),
    /// Keys and values so far, `(1, key_heads, tokens, head_dim)` each.
    cache: Option<(Tensor, Tensor)>,
}

impl Gemma3 {
    /// Loads the weights for sequences of up to `context` tokens.
    pub(crate) fn load(file: &GgufFile, context: usize) -> Result<Self> {
        let number = |key: &str| file.required(&format!("gemma3.{key}")).map(|n| n as usize);
        let eps = file.float("gemma3.attention.layer_norm_rms_epsilon").unwrap_or(1e-6);
        let (heads, key_heads) = (number("attention.head_count")?, number("attention.head_count_kv")?);
        let (width, window) = (number("attention.key_length")?, number("attention.sliding_window")?);
        let global = rotary(width, file.float("gemma3.rope.freq_base").unwrap_or(GLOBAL_ROPE_BASE), context)?;
        let local = rotary(width, LOCAL_ROPE_BASE, context)?;
        let norm = |name: &str| -> Result<Norm> { Ok(Norm { weight: file.dense_tensor(name)?, eps }) };
        let layers = (0..number("block_count")?)
            .map(|layer| {
                let at = |part: &str| format!("blk.{layer}.{part}.weight");
                let matrix = |part: &str| file.dense_tensor(&at(part));
                let is_global = (layer + 1) % GLOBAL_EVERY == 0;
                Ok(Layer {
                    attention_norm: norm(&at("attn_norm"))?,
                    query: matrix("attn_q")?,
                    key: matrix("attn_k")?,
                    value: matrix("attn_v")?,
                    query_norm: norm(&at("attn_q_norm"))?,
                    key_norm: norm(&at("attn_k_norm"))?,
                    attention_output: matrix("attn_output")?,
                    after_attention_norm: norm(&at("post_attention_norm"))?,
                    mlp_norm: norm(&at("ffn_norm"))?,
                    gate: matrix("ffn_gate")?,
                    up: matrix("ffn_up")?,
                    down: matrix("ffn_down")?,
                    after_mlp_norm: norm(&at("post_ffw_norm"))?,
                    heads,
                    key_heads,
                    window: (!is_global).then_some(window),
                    rotary: if is_global { global.clone() } else { local.clone() },
                    cache: None,
                })
            })
            .collect::<Result<Vec<_>>>()?;
        let output = if file.has_tensor("output.weight") { "output.weight" } else { "token_embd.weight" };
        Ok(Self {
            embedding: file.dense_tensor("token_embd.weight")?,
            layers,
            norm: norm("output_norm.weight")?,
            output: QMatMul::from_qtensor(file.quantised_tensor(output)?)?,
            read: 0,
        })
    }

    /// Reads more tokens, at least one, and gives the logits after the last.
    pub(crate) fn read(&mut self, tokens: &[u32]) -> Result<Vec<f32>> {
        let ids = Tensor::new(tokens, &Device::Cpu)?;
        let hidden = self.embedding.dim(1)?;
        let mut x = (self.embedding.index_select(&ids, 0)? * (hidden as f64).sqrt())?;
        for layer in &mut self.layers {
            x = layer.forward(&x, self.read)?;
        }
        self.read += tokens.len();
        let last = self.norm.forward(&x.narrow(0, tokens.len() - 1, 1)?)?;
        Ok(self.output.forward(&last)?.flatten_all()?.to_vec1()?)
    }
}

impl Layer {
    /// `x` is `(tokens, hidden)`; its first token is number `start` of the text.
    fn forward(&mut self, x: &Tensor, start: usize) -> Result<Tensor> {
        let attended = self.attend(&self.attention_norm.forward(x)?, start)?;
        let x = (x + self.after_attention_norm.forward(&attended)?)?;
        let normed = self.mlp_norm.forward(&x)?;
        let inner = (linear(&normed, &self.gate)?.gelu()? * linear(&normed, &self.up)?)?;
        Ok((&x + self.after_mlp_norm.forward(&linear(&inner, &self.down)?)?)?)
    }

    fn attend(&mut self, x: &Tensor, start: usize) -> Result<Tensor> {
        let tokens = x.dim(0)?;
        // (1, heads, tokens, width)
        let split = |projected: Tensor, heads: usize| -> Result<Tensor> {
            let width = projected.dim(1)? / heads;
            Ok(projected.reshape((1, tokens, heads, width))?.transpose(1, 2)?.contiguous()?)
        };
        let query = self.query_norm.forward(&split(linear(x, &self.query)?, self.heads)?)?;
        let key = self.key_norm.forward(&split(linear(x, &self.key)?, self.key_heads)?)?;
        let mut value = split(linear(x, &self.value)?, self.key_heads)?;
        let (cos, sin) = &self.rotary;
        let (cos, sin) = (cos.narrow(0, start, tokens)?, sin.narrow(0, start, tokens)?);
        let query = rope(&query, &cos, &sin)?;
        let mut key = rope(&key, &cos, &sin)?;
        if let Some((keys, values)) = &self.cache {
            key = Tensor::cat(&[keys, &key], 2)?;
            value = Tensor::cat(&[values, &value], 2)?;
        }
        self.cache = Some((key.clone(), value.clone()));
        let width = query.dim(D::Minus1)?;
        // Queries of the heads that share a key head lie one after the other.
        let group = self.heads / self.key_heads;
        let query = query.reshape((self.key_heads, group * tokens, width))?;
        let scores = (query.matmul(&key.squeeze(0)?.t()?.contiguous()?)? / (width as f64).sqrt())?;
        let scores = scores.reshape((self.heads, tokens, ()))?;
        let weights = softmax_last_dim(&scores.broadcast_add(&self.mask(start, tokens)?)?)?;
        let weights = weights.reshape((self.key_heads, group * tokens, ()))?;
        let context = weights.matmul(&value.squeeze(0)?.contiguous()?)?;
        let context = context.reshape((self.heads, tokens, width))?.transpose(0, 1)?;
        linear(&context.reshape((tokens, self.heads * width))?, &self.attention_output)
    }

    /// 0 where a token sees another, −∞ where not: `(tokens, start + tokens)`.
    fn mask(&self, start: usize, tokens: usize) -> Result<Tensor> {
        let window = self.window.unwrap_or(usize::MAX);
        let sees = |from: usize, to: usize| to <= from && from - to < window;
        let values: Vec<f32> = (start..start + tokens)
            .flat_map(|from| {
                (0..start + tokens).map(move |to| if sees(from, to) { 0.0 } else { f32::NEG_INFINITY })
            })
            .collect();
        Ok(Tensor::from_vec(values, (tokens, start + tokens), &Device::Cpu)?)
    }
}

/// x·Wᵀ.
fn linear(x: &Tensor, weight: &Tensor) -> Result<Tensor> {
    Ok(x.matmul(&weight.t()?)?)
}

fn rotary(width: usize, base: f32, context: usize) -> Result<(Tensor, Tensor)> {
    let frequencies: Vec<f32> =
        (0..width).step_by(2).map(|i| 1.0 / base.powf(i as f32 / width as f32)).collect();
    let frequencies = Tensor::from_vec(frequencies, (1, width / 2), &Device::Cpu)?;
    let positions = Tensor::arange(0, context as u32, &Device::Cpu)?.to_dtype(DType::F32)?;
    let angles = positions.reshape((context, 1))?.matmul(&frequencies)?;
    Ok((angles.cos()?, angles.sin()?))
}
