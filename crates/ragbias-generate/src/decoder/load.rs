//! From a file's keys and tensors to a [`Decoder`].

use super::{Architecture, Decoder, Layer};
use crate::file::GgufFile;
use crate::gguf::LONGEST_CONTEXT;
use crate::lanes::{Activation, Pairs};
use crate::rope::Rope;
use crate::{Error, Result};

/// Of Gemma 3's layers every sixth sees all tokens, the others a window; their rotary frequencies differ.
const GLOBAL_EVERY: usize = 6;
/// Of a file that does not say, as in llama.cpp; Gemma's local layers have it too.
const DEFAULT_ROPE_BASE: f32 = 10_000.0;
/// Gemma 3 27B, known by its layers, scales attention by the width that a head would have without `key_length`.
const LAYERS_OF_GEMMA3_27B: usize = 62;

/// The keys of the architecture in a file.
struct Keys<'f> {
    file: &'f GgufFile,
    architecture: Architecture,
}

impl Keys<'_> {
    fn name(&self, key: &str) -> String {
        format!("{}.{key}", self.architecture.name())
    }

    fn required(&self, key: &str) -> Result<usize> {
        self.file.required(&self.name(key)).map(|number| number as usize)
    }

    fn number(&self, key: &str) -> Result<Option<usize>> {
        Ok(self.file.number(&self.name(key))?.map(|number| number as usize))
    }

    fn float(&self, key: &str) -> Result<Option<f32>> {
        self.file.float(&self.name(key))
    }

    fn rope_base(&self, key: &str) -> Result<f32> {
        match self.float(key)?.unwrap_or(DEFAULT_ROPE_BASE) {
            base if base > 1.0 => Ok(base),
            base => Err(self.wrong(key, base, "a number above 1")),
        }
    }

    fn wrong(&self, key: &str, received: impl std::fmt::Display, expected: &str) -> Error {
        self.file.broken(format!("key `{}` is {received}, expected {expected}", self.name(key)))
    }

    /// Refuses settings with which the model would be another one than is computed here.
    fn check(&self) -> Result<()> {
        if self.number("expert_count")?.is_some_and(|experts| experts > 0) {
            let received = format!("{} with experts", self.architecture.name());
            return Err(Error::Architecture { path: self.file.path().into(), received });
        }
        for (key, expected) in [("attention.causal", true), ("use_parallel_residual", false)] {
            if self.file.flag(&self.name(key))?.is_some_and(|flag| flag != expected) {
                return Err(self.wrong(key, !expected, if expected { "true" } else { "false" }));
            }
        }
        match self.file.text("general.type")? {
            None | Some("model") => Ok(()),
            Some(other) => Err(self.file.broken(format!("general.type is {other}, expected model"))),
        }
    }

    /// How many tokens back a token of a local layer sees; none where all layers are global.
    fn window(&self) -> Result<Option<usize>> {
        let window = self.number("attention.sliding_window")?.filter(|&window| window > 0);
        match (self.architecture, window) {
            // llama.cpp reads no window of the family, others do; where every prompt fits into it, there is no difference.
            (Architecture::Llama, Some(window)) if window < LONGEST_CONTEXT as usize => {
                let expected = format!("none, or at least {LONGEST_CONTEXT}, within which all prompts lie");
                Err(self.wrong("attention.sliding_window", window, &expected))
            }
            (Architecture::Llama, _) => Ok(None),
            (Architecture::Gemma3, window) => Ok(window),
        }
    }
}

/// Widths of the parts of every layer.
struct Shape {
    hidden: usize,
    heads: usize,
    key_heads: usize,
    head_width: usize,
    /// How many numbers of a head are turned by position.
    turned: usize,
    /// Between the linear maps of an MLP.
    inner: usize,
}

impl Shape {
    fn read(keys: &Keys<'_>) -> Result<Self> {
        let (hidden, heads) = (keys.required("embedding_length")?, keys.required("attention.head_count")?);
        let key_heads = keys.number("attention.head_count_kv")?.unwrap_or(heads);
        let head_width = keys.number("attention.key_length")?.unwrap_or(hidden / heads.max(1));
        let value_width = keys.number("attention.value_length")?.unwrap_or(head_width);
        let turned = keys.number("rope.dimension_count")?.unwrap_or(head_width);
        let whole = |part: usize, of: usize| part > 0 && of > 0 && of.is_multiple_of(part);
        if !whole(key_heads, heads)
            || !whole(4, head_width)
            || value_width != head_width
            || turned > head_width
            || !turned.is_multiple_of(2)
            || heads.checked_mul(head_width).is_none()
        {
            return Err(keys.file.broken(format!(
                "{heads} heads of {head_width} numbers, {turned} of them turned by position, do not go with {key_heads} \
                 of keys and values of {value_width}"
            )));
        }
        let inner = keys.required("feed_forward_length")?;
        Ok(Self { hidden, heads, key_heads, head_width, turned, inner })
    }
}

impl Layer {
    fn load(keys: &Keys<'_>, shape: &Shape, number: usize, window: Option<usize>) -> Result<Self> {
        let &Shape { hidden, inner, head_width, .. } = shape;
        let (file, gemma) = (keys.file, keys.architecture == Architecture::Gemma3);
        let at = |part: &str| format!("blk.{number}.{part}.weight");
        let matrix = |part: &str, height, width| file.matrix(&at(part), height, width);
        let norm = |part: &str, width| file.vector(&at(part), width);
        let gemma_norm = |part: &str, width| gemma.then(|| norm(part, width)).transpose();
        // Of the two families Llama alone may have them.
        let bias = |part: &str, width| {
            let bias = format!("blk.{number}.{part}.bias");
            if gemma { Ok(None) } else { file.optional_vector(&bias, width) }
        };
        let (queries, keys) = (shape.heads * head_width, shape.key_heads * head_width);
        let query_norm = gemma_norm("attn_q_norm", head_width)?;
        let key_norm = gemma_norm("attn_k_norm", head_width)?;
        Ok(Self {
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
            window,
        })
    }
}

impl Decoder {
    /// The weights, still in the file, each checked to be finite.
    ///
    /// # Errors
    /// A tensor that is missing or of another shape, and whatever a key says that is not computed here.
    pub(crate) fn load(architecture: Architecture, file: &GgufFile) -> Result<Self> {
        let keys = Keys { file, architecture };
        keys.check()?;
        let gemma = architecture == Architecture::Gemma3;
        let shape = Shape::read(&keys)?;
        let &Shape { hidden, heads, key_heads, head_width, turned, .. } = &shape;
        let window = keys.window()?;
        let global_every = keys.number("attention.sliding_window_pattern")?.unwrap_or(GLOBAL_EVERY);
        if global_every == 0 {
            return Err(keys.wrong("attention.sliding_window_pattern", 0, "at least 1"));
        }
        let count = keys.required("block_count")?;
        let layers = (0..count)
            .map(|layer| {
                let window = window.filter(|_| (layer + 1) % global_every != 0);
                Layer::load(&keys, &shape, layer, window)
            })
            .collect::<Result<Vec<_>>>()?;
        let vocabulary = file.height("token_embd.weight")?;
        let embedding = file.matrix("token_embd.weight", vocabulary, hidden)?;
        let output = if file.has_tensor("output.weight") {
            file.matrix("output.weight", vocabulary, hidden)?
        } else {
            embedding.clone()
        };
        let global = Rope::read(file, architecture.name(), turned, keys.rope_base("rope.freq_base")?)?;
        // Stretching is for global layers alone.
        let local =
            if gemma { Rope::plain(keys.rope_base("rope.freq_base_swa")?, turned) } else { global.clone() };
        let eps = "attention.layer_norm_rms_epsilon";
        let eps = keys.float(eps)?.ok_or_else(|| keys.wrong(eps, "absent", "a number"))?;
        let scaled_width = if gemma && count == LAYERS_OF_GEMMA3_27B { hidden / heads } else { head_width };
        let logit_cap = if gemma { keys.float("final_logit_softcapping")? } else { None };
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
}
