//! The transformer of the Llama (<https://arxiv.org/abs/2302.13971>) and Gemma 3 (<https://arxiv.org/abs/2503.19786>)
//! families, text only.

use crate::attention::{Attention, Run, State};
use crate::file::GgufFile;
use crate::gguf::LONGEST_CONTEXT;
use crate::lanes::{Activation, Lanes, Pairs, Turns, norm};
use crate::matrix::{Matrix, product};
use crate::rope::Rope;
use crate::{Error, Result};

/// The families that are run here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Architecture {
    Llama,
    Gemma3,
}

impl Architecture {
    /// What the file says it is.
    pub(crate) fn of(file: &GgufFile) -> Result<Self> {
        match file.text("general.architecture")?.unwrap_or("unknown") {
            "llama" => Ok(Self::Llama),
            "gemma3" => Ok(Self::Gemma3),
            other => Err(Error::Architecture { path: file.path().into(), received: other.into() }),
        }
    }

    /// The prefix of its keys in the file's metadata.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Llama => "llama",
            Self::Gemma3 => "gemma3",
        }
    }
}

/// Of Gemma 3's layers every sixth sees all tokens, the others a window; their rotary frequencies differ.
const GLOBAL_EVERY: u32 = 6;
/// Of a file that does not say, as in llama.cpp; Gemma's local layers have it too.
const DEFAULT_ROPE_BASE: f32 = 10_000.0;
/// Gemma 3 27B, known by its layers, scales attention by the width that a head would have without `key_length`.
const LAYERS_OF_GEMMA3_27B: usize = 62;

/// How many tokens of a prompt are computed together: their activations fit the second-level cache beside the weights.
const TOGETHER: usize = 256;
/// Tokens of a prompt that lie side by side: two AVX registers of them.
const TILE: usize = 16;

/// A model's weights.
#[derive(Debug)]
pub(crate) struct Decoder {
    embedding: Matrix,
    embedding_scale: f32,
    layers: Vec<Layer>,
    norm: Vec<f32>,
    output: Matrix,
    eps: f32,
    activation: Activation,
    pairs: Pairs,
    heads: usize,
    key_heads: usize,
    head_width: usize,
    /// Multiplies the queries.
    attention_scale: f32,
    /// Positions of global and of local layers.
    ropes: [Rope; 2],
    /// Logits are cap·tanh(logit / cap), where there is one.
    logit_cap: Option<f32>,
}

#[derive(Debug)]
struct Layer {
    attention_norm: Vec<f32>,
    query: Matrix,
    key: Matrix,
    value: Matrix,
    /// Of query, key, value, what attention adds, gate, up and what the MLP adds, where the file has them.
    biases: [Option<Vec<f32>>; 7],
    /// Gemma's: of each head's query and key, and of what attention and MLP add.
    query_key_norms: Option<[Vec<f32>; 2]>,
    output: Matrix,
    after_attention_norm: Option<Vec<f32>>,
    mlp_norm: Vec<f32>,
    gate: Matrix,
    up: Matrix,
    down: Matrix,
    after_mlp_norm: Option<Vec<f32>>,
    /// How many tokens back a token sees, itself included; all where `None`.
    window: Option<usize>,
}

/// More tokens for a sequence.
pub(crate) struct Span<'s> {
    pub(crate) state: &'s mut State,
    /// At least one.
    pub(crate) tokens: &'s [u32],
    /// Whether the logits of the token after the last are wanted.
    pub(crate) logits: bool,
}

impl Decoder {
    /// The weights, still in the file, each checked to be finite.
    pub(crate) fn load(architecture: Architecture, file: &GgufFile) -> Result<Self> {
        let key = |key: &str| format!("{}.{key}", architecture.name());
        let number = |name: &str| file.required(&key(name)).map(|n| n as usize);
        let optional = |name: &str| file.number(&key(name)).map(|n| n.map(|n| n as usize));
        let gemma = architecture == Architecture::Gemma3;
        let (hidden, heads) = (number("embedding_length")?, number("attention.head_count")?);
        let key_heads = optional("attention.head_count_kv")?.unwrap_or(heads);
        let head_width = optional("attention.key_length")?.unwrap_or(hidden / heads.max(1));
        let value_width = optional("attention.value_length")?.unwrap_or(head_width);
        let turned = optional("rope.dimension_count")?.unwrap_or(head_width);
        if heads == 0
            || key_heads == 0
            || !heads.is_multiple_of(key_heads)
            || head_width == 0
            || !head_width.is_multiple_of(4)
            || value_width != head_width
            || turned > head_width
            || !turned.is_multiple_of(2)
        {
            return Err(file.broken(format!(
                "{heads} heads of {head_width} numbers, {turned} of them turned by position, do not go with {key_heads} of \
                 keys and values of {value_width}"
            )));
        }
        check_settings(architecture, file)?;
        let window = window(architecture, file)?;
        let local_every = match optional("attention.sliding_window_pattern")? {
            Some(0) => {
                return Err(file.broken(format!("key `{}` is 0", key("attention.sliding_window_pattern"))));
            }
            every => every.unwrap_or(GLOBAL_EVERY as usize),
        };
        let count = number("block_count")?;
        let inner = number("feed_forward_length")?;
        let layers = (0..count)
            .map(|layer| {
                let at = |part: &str| format!("blk.{layer}.{part}.weight");
                let matrix = |part: &str, height, width| file.matrix(&at(part), height, width);
                let norm = |part: &str, width| file.vector(&at(part), width);
                let gemma_norm = |part: &str, width| gemma.then(|| norm(part, width)).transpose();
                // Of the two families Llama alone may have them.
                let bias = |part: &str, width| match gemma {
                    true => Ok(None),
                    false => file.optional_vector(&format!("blk.{layer}.{part}.bias"), width),
                };
                let (queries, keys) = (heads * head_width, key_heads * head_width);
                let query_norm = gemma_norm("attn_q_norm", head_width)?;
                let key_norm = gemma_norm("attn_k_norm", head_width)?;
                Ok(Layer {
                    attention_norm: norm("attn_norm", hidden)?,
                    query: matrix("attn_q", queries, hidden)?,
                    key: matrix("attn_k", keys, hidden)?,
                    value: matrix("attn_v", keys, hidden)?,
                    biases: [
                        bias("attn_q", queries)?,
                        bias("attn_k", keys)?,
                        bias("attn_v", keys)?,
                        bias("attn_output", hidden)?,
                        bias("ffn_gate", inner)?,
                        bias("ffn_up", inner)?,
                        bias("ffn_down", hidden)?,
                    ],
                    query_key_norms: query_norm.zip(key_norm).map(|(query, key)| [query, key]),
                    output: matrix("attn_output", hidden, queries)?,
                    after_attention_norm: gemma_norm("post_attention_norm", hidden)?,
                    mlp_norm: norm("ffn_norm", hidden)?,
                    gate: matrix("ffn_gate", inner, hidden)?,
                    up: matrix("ffn_up", inner, hidden)?,
                    down: matrix("ffn_down", hidden, inner)?,
                    after_mlp_norm: gemma_norm("post_ffw_norm", hidden)?,
                    window: window.filter(|_| (layer + 1) % local_every != 0),
                })
            })
            .collect::<Result<Vec<_>>>()?;
        let vocabulary = file.height("token_embd.weight")?;
        let embedding = file.matrix("token_embd.weight", vocabulary, hidden)?;
        let output = if file.has_tensor("output.weight") {
            file.matrix("output.weight", vocabulary, hidden)?
        } else {
            embedding.clone()
        };
        let base = |name: &str, default: f32| match file.float(&key(name))?.unwrap_or(default) {
            base if base > 1.0 => Ok(base),
            base => Err(file.broken(format!("key `{}` is {base}, expected a number above 1", key(name)))),
        };
        let global =
            Rope::read(file, architecture.name(), turned, base("rope.freq_base", DEFAULT_ROPE_BASE)?)?;
        // Stretching is for global layers alone.
        let local = if gemma {
            Rope::plain(base("rope.freq_base_swa", DEFAULT_ROPE_BASE)?, turned)
        } else {
            global.clone()
        };
        let eps = file
            .float(&key("attention.layer_norm_rms_epsilon"))?
            .ok_or_else(|| file.broken(format!("no number `{}`", key("attention.layer_norm_rms_epsilon"))))?;
        let scaled_width = if gemma && count == LAYERS_OF_GEMMA3_27B { hidden / heads } else { head_width };
        let logit_cap = if gemma { file.float(&key("final_logit_softcapping"))? } else { None };
        Ok(Self {
            embedding,
            embedding_scale: if gemma { (hidden as f32).sqrt() } else { 1.0 },
            layers,
            norm: file.vector("output_norm.weight", hidden)?,
            output,
            eps,
            activation: if gemma { Activation::Gelu } else { Activation::Silu },
            pairs: if gemma { Pairs::Halves } else { Pairs::Neighbours },
            heads,
            key_heads,
            head_width,
            attention_scale: 1.0 / (scaled_width as f32).sqrt(),
            ropes: [global, local],
            logit_cap: logit_cap.filter(|&cap| cap != 0.0),
        })
    }

    /// A sequence of which nothing is read yet.
    pub(crate) fn start(&self) -> State {
        State::new(self.layers.len())
    }

    /// Reads tokens of prompts, and gives the logits of each span that wants them, in order, `(vocabulary)` each.
    pub(crate) fn read(&self, mut spans: Vec<Span<'_>>) -> Vec<Vec<f32>> {
        let mut logits = Vec::new();
        let mut next = 0;
        while next < spans.len() {
            let mut group = Vec::new();
            let mut room = TOGETHER;
            for span in &mut spans[next..] {
                let (now, later) = span.tokens.split_at(room.min(span.tokens.len()));
                let ends = later.is_empty();
                group.push(Span { state: &mut *span.state, tokens: now, logits: span.logits && ends });
                (span.tokens, room) = (later, room - now.len());
                next += usize::from(ends);
                if room == 0 {
                    break;
                }
            }
            logits.extend(on_the_pool(|| self.forward::<TILE>(&mut group)));
        }
        logits
    }

    /// Reads one token for each sequence, and gives the logits of the tokens after them.
    pub(crate) fn step(&self, spans: &mut [Span<'_>]) -> Vec<Vec<f32>> {
        on_the_pool(|| self.forward::<1>(spans))
    }

    fn forward<const L: usize>(&self, spans: &mut [Span<'_>]) -> Vec<Vec<f32>> {
        let mut positions = Vec::new();
        let mut wanted = Vec::new();
        let mut starts = Vec::new();
        for span in &mut *spans {
            let start = span.state.tokens().len();
            starts.push((positions.len(), start));
            positions.extend(start..start + span.tokens.len());
            span.state.begin(span.tokens);
            if span.logits {
                wanted.push(positions.len() - 1);
            }
        }
        let mut x = Lanes::<L>::zeros(positions.len(), self.embedding.width());
        for (row, &token) in spans.iter().flat_map(|span| span.tokens).enumerate() {
            let mut vector = self.embedding.row(token as usize);
            for number in &mut vector {
                *number *= self.embedding_scale;
            }
            x.set_token(row, &vector);
        }
        let turns = self.ropes.each_ref().map(|rope| Turns::new(&positions, rope));
        for (number, layer) in self.layers.iter().enumerate() {
            let turns = &turns[usize::from(layer.window.is_some())];
            let normed = x.normed(&layer.attention_norm, self.eps);
            let [mut query, mut key, mut value] = product(&[&layer.query, &layer.key, &layer.value], &normed);
            add_biases([&mut query, &mut key, &mut value], &layer.biases[..3]);
            let norms = layer.query_key_norms.as_ref().map(|[query, key]| (&**query, &**key)).unzip();
            self.turn(&mut query, norms.0, turns, self.attention_scale);
            self.turn(&mut key, norms.1, turns, 1.0);
            for (span, &(row, _)) in spans.iter_mut().zip(&starts) {
                for row in row..row + span.tokens.len() {
                    span.state.push(number, key.token(row), value.token(row));
                }
            }
            let runs: Vec<Run<'_>> = spans
                .iter()
                .zip(&starts)
                .map(|(span, &(row, start))| Run {
                    state: &*span.state,
                    row,
                    start,
                    tokens: span.tokens.len(),
                })
                .collect();
            let attention = Attention {
                layer: number,
                heads: self.heads,
                key_heads: self.key_heads,
                window: layer.window,
            };
            let mut attended = attention.attend(&query, &runs);
            if number + 1 == self.layers.len() && L > 1 {
                // Nothing more is asked of the other tokens.
                (x, attended) = (x.pick(&wanted), attended.pick(&wanted));
            }
            self.finish(layer, &mut x, &attended);
        }
        let rows: Vec<usize> = if L == 1 { wanted } else { (0..wanted.len()).collect() };
        let last = x.pick::<1>(&rows).normed(&self.norm, self.eps);
        let [logits] = product(&[&self.output], &last);
        let capped = |logits: &[f32]| match self.logit_cap {
            Some(cap) => logits.iter().map(|logit| cap * (logit / cap).tanh()).collect(),
            None => logits.to_vec(),
        };
        logits.tiles().map(|logits| capped(logits.as_flattened())).collect()
    }

    /// Normalises each head, where the family does, turns it by its tokens' positions, and scales it.
    fn turn<const L: usize>(&self, x: &mut Lanes<L>, weight: Option<&[f32]>, turns: &Turns<L>, scale: f32) {
        let heads = x.width() / self.head_width;
        x.pieces_mut(self.head_width, L > 1, |piece, head| {
            if let Some(weight) = weight {
                norm(head, weight, self.eps);
            }
            turns.turn(piece / heads, head, self.pairs, scale);
        });
    }

    /// What follows attention in a layer.
    fn finish<const L: usize>(&self, layer: &Layer, x: &mut Lanes<L>, attended: &Lanes<L>) {
        let add = |x: &mut Lanes<L>, part: Lanes<L>, weight: &Option<Vec<f32>>| match weight {
            Some(weight) => x.add(&part.normed(weight, self.eps)),
            None => x.add(&part),
        };
        let [mut part] = product(&[&layer.output], attended);
        add_biases([&mut part], &layer.biases[3..4]);
        add(x, part, &layer.after_attention_norm);
        let [mut gate, mut up] = product(&[&layer.gate, &layer.up], &x.normed(&layer.mlp_norm, self.eps));
        add_biases([&mut gate, &mut up], &layer.biases[4..6]);
        gate.gate(self.activation, &up);
        let [mut part] = product(&[&layer.down], &gate);
        add_biases([&mut part], &layer.biases[6..]);
        add(x, part, &layer.after_mlp_norm);
    }
}

fn add_biases<const L: usize, const N: usize>(parts: [&mut Lanes<L>; N], biases: &[Option<Vec<f32>>]) {
    for (part, bias) in parts.into_iter().zip(biases) {
        if let Some(bias) = bias {
            part.add_bias(bias);
        }
    }
}

/// Refuses settings with which the model would be another one than is computed here.
fn check_settings(architecture: Architecture, file: &GgufFile) -> Result<()> {
    let name = architecture.name();
    if file.number(&format!("{name}.expert_count"))?.is_some_and(|experts| experts > 0) {
        let received = format!("{name} with experts");
        return Err(Error::Architecture { path: file.path().into(), received });
    }
    for (key, expected) in [("attention.causal", true), ("use_parallel_residual", false)] {
        let key = format!("{name}.{key}");
        if file.flag(&key)?.is_some_and(|flag| flag != expected) {
            return Err(file.broken(format!("key `{key}` is {}, expected {expected}", !expected)));
        }
    }
    match file.text("general.type")? {
        None | Some("model") => Ok(()),
        Some(other) => Err(file.broken(format!("general.type is {other}, expected model"))),
    }
}

/// How many tokens back a token of a local layer sees; none where all layers are global.
fn window(architecture: Architecture, file: &GgufFile) -> Result<Option<usize>> {
    let key = format!("{}.attention.sliding_window", architecture.name());
    let window = file.number(&key)?.filter(|&window| window > 0);
    match (architecture, window) {
        // llama.cpp reads no window of the family, others do; where every context fits into it, there is no difference.
        (Architecture::Llama, Some(window)) if window < LONGEST_CONTEXT => Err(file.broken(format!(
            "key `{key}` is {window}, expected none, or at least {LONGEST_CONTEXT}, within which all prompts lie"
        ))),
        (Architecture::Llama, _) => Ok(None),
        (Architecture::Gemma3, window) => Ok(window.map(|window| window as usize)),
    }
}

/// Calls `f` on a thread of rayon's pool: from any other, each product would be handed over and waited for.
fn on_the_pool<T: Send>(f: impl FnOnce() -> T + Send) -> T {
    rayon::scope(|_| f())
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod variants;
