//! Loads a decoder's weights by tensor name.

use super::{Affine, Decoder, Layer};
use crate::architecture::{Architecture, Biases, HeadNorms, Norms, Output, Sizes};
use crate::file::GgufFile;
use crate::matrix::Matrix;
use crate::{Error, Result};

impl Decoder {
    /// The weights, mapped from the file, each checked to be finite.
    pub(crate) fn load(architecture: &Architecture, sizes: Sizes, file: &GgufFile) -> Result<Self> {
        let hidden = sizes.hidden;
        let layers =
            (0..sizes.layers).map(|number| Parts { file, architecture, sizes: &sizes, number }.layer());
        let layers = layers.collect::<Result<Vec<_>>>()?;
        let vocabulary = file.height(EMBEDDING)?;
        let embedding = file.matrix(EMBEDDING, vocabulary, hidden)?;
        let name = "output.weight";
        let own = match architecture.output {
            Output::Either => file.has_tensor(name),
            Output::Own => true,
            Output::Tied => false,
        };
        let output = if own { file.matrix(name, vocabulary, hidden)? } else { embedding.clone() };
        Ok(Self {
            embedding,
            embedding_scale: if architecture.scaled_embedding { (hidden as f32).sqrt() } else { 1.0 },
            layers,
            norm: file.vector("output_norm.weight", hidden)?,
            output,
            eps: sizes.eps,
            activation: architecture.activation,
            pairs: architecture.pairs,
            heads: sizes.heads,
            key_heads: sizes.key_heads,
            head_width: sizes.head_width,
            attention_scale: sizes.attention_scale,
            attention_cap: sizes.attention_cap,
            ropes: sizes.ropes,
            logit_cap: sizes.logit_cap,
        })
    }
}

const EMBEDDING: &str = "token_embd.weight";

/// The tensors of a layer.
struct Parts<'f> {
    file: &'f GgufFile,
    architecture: &'f Architecture,
    sizes: &'f Sizes,
    number: usize,
}

impl Parts<'_> {
    fn layer(&self) -> Result<Layer> {
        let Sizes { hidden, inner, heads, head_width, .. } = *self.sizes;
        let Architecture { biases, norms, head_norms, gate_in_up, .. } = *self.architecture;
        let affine = |part: &str, height, width| {
            let bias = if biases == Biases::All { self.bias(part, height)? } else { None };
            Ok::<_, Error>(Affine { matrix: self.matrix(part, height, width)?, bias })
        };
        let [query, key, value] = self.query_key_value()?;
        let query_key_norms = match head_norms {
            HeadNorms::None => None,
            HeadNorms::Each => Some([head_width; 2]),
            HeadNorms::All => Some([&query, &key].map(|affine| affine.matrix.height())),
        };
        let query_key_norms = match query_key_norms {
            Some([query, key]) => Some([self.norm("attn_q_norm", query)?, self.norm("attn_k_norm", key)?]),
            None => None,
        };
        let [gate, up] = if gate_in_up {
            let matrices = self.file.matrices(&self.weight("ffn_up"), [inner, inner], hidden)?;
            matrices.map(|matrix| Affine { matrix, bias: None })
        } else {
            [affine("ffn_gate", inner, hidden)?, affine("ffn_up", inner, hidden)?]
        };
        let norm_if = |wanted: bool, part: &str| wanted.then(|| self.norm(part, hidden)).transpose();
        let (before, after) = (norms != Norms::After, norms != Norms::Before);
        Ok(Layer {
            attention_norm: norm_if(before, "attn_norm")?,
            query,
            key,
            value,
            query_key_norms,
            output: affine("attn_output", hidden, heads * head_width)?,
            after_attention_norm: norm_if(after, "post_attention_norm")?,
            mlp_norm: norm_if(before, "ffn_norm")?,
            gate,
            up,
            down: affine("ffn_down", hidden, inner)?,
            after_mlp_norm: norm_if(after, "post_ffw_norm")?,
            kind: self.sizes.kinds[self.number],
        })
    }

    /// Three matrices, or a single tensor with all three stacked.
    fn query_key_value(&self) -> Result<[Affine; 3]> {
        let Sizes { hidden, heads, key_heads, head_width, .. } = *self.sizes;
        let heights = [heads * head_width, key_heads * head_width, key_heads * head_width];
        let joined = "attn_qkv";
        if !self.file.has_tensor(&self.weight(joined)) {
            let [query, key, value] = heights;
            let affine = |part: &str, height| {
                let bias = self.bias(part, height)?;
                Ok::<_, Error>(Affine { matrix: self.matrix(part, height, hidden)?, bias })
            };
            return Ok([affine("attn_q", query)?, affine("attn_k", key)?, affine("attn_v", value)?]);
        }
        let matrices = self.file.matrices(&self.weight(joined), heights, hidden)?;
        let bias = self.bias(joined, heights.iter().sum())?;
        let mut from = 0;
        Ok(matrices.map(|matrix| {
            let height = matrix.height();
            let bias = bias.as_ref().map(|bias| bias[from..from + height].to_vec());
            from += height;
            Affine { matrix, bias }
        }))
    }

    fn weight(&self, part: &str) -> String {
        format!("blk.{}.{part}.weight", self.number)
    }

    fn matrix(&self, part: &str, height: usize, width: usize) -> Result<Matrix> {
        self.file.matrix(&self.weight(part), height, width)
    }

    fn bias(&self, part: &str, width: usize) -> Result<Option<Vec<f32>>> {
        self.file.optional_vector(&format!("blk.{}.{part}.bias", self.number), width)
    }

    fn norm(&self, part: &str, width: usize) -> Result<Vec<f32>> {
        self.file.vector(&self.weight(part), width)
    }
}
