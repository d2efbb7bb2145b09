//! The families of encoders: names of settings and of weights.

use std::path::Path;

use crate::files::Object;
use crate::{Error, Result};

/// A family of encoders with post-LayerNorm layers: attention and MLP, each added to its input and normalised.
///
/// They compute the same but for the embeddings of a token ([`Positions`](crate::Positions), segments) and MPNet's relative
/// attention. Their weights are named here as BERT's, whatever a checkpoint calls them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Family {
    /// Devlin et al., 2019, <https://arxiv.org/abs/1810.04805>.
    Bert,
    /// Sanh et al., 2019, <https://arxiv.org/abs/1910.01108>.
    DistilBert,
    /// Liu et al., 2019, <https://arxiv.org/abs/1907.11692>.
    Roberta,
    /// Conneau et al., 2020, <https://arxiv.org/abs/1911.02116>.
    XlmRoberta,
    /// Song et al., 2020, <https://arxiv.org/abs/2004.09297>.
    Mpnet,
}

/// How a family's files name things.
struct Names {
    /// `model_type` in `config.json`.
    model_type: &'static str,
    encoder: &'static str,
    /// Keys of `config.json` that have another name than BERT's, and whether transformers takes BERT's, too.
    keys: &'static [(&'static str, &'static str, bool)],
    /// Before the names of the encoder's weights in a model with a head.
    prefix: &'static str,
    /// Before the number of a layer.
    layers: &'static str,
    /// Parts of a layer that have another name than BERT's.
    parts: &'static [(&'static str, &'static str)],
    /// Heads for pre-training and tasks, which do not affect a text's vector, and buffers of older releases.
    heads: &'static [&'static str],
}

const BUFFERS: [&str; 2] = ["embeddings.position_ids", "embeddings.token_type_ids"];
const LAYERS: &str = "encoder.layer.";

const BERT: Names = Names {
    model_type: "bert",
    encoder: "a BERT encoder",
    keys: &[],
    prefix: "bert.",
    layers: LAYERS,
    parts: &[],
    heads: &["pooler.", "cls.", "classifier.", "qa_outputs.", "lm_head."],
};

const ROBERTA: Names = Names {
    model_type: "roberta",
    encoder: "a RoBERTa encoder",
    prefix: "roberta.",
    heads: &["pooler.", "classifier.", "qa_outputs.", "lm_head."],
    ..BERT
};

const DISTILBERT: Names = Names {
    model_type: "distilbert",
    encoder: "a DistilBERT encoder",
    keys: &[
        ("hidden_size", "dim", true),
        ("num_hidden_layers", "n_layers", true),
        ("num_attention_heads", "n_heads", true),
        ("intermediate_size", "hidden_dim", false),
        ("hidden_act", "activation", false),
    ],
    prefix: "distilbert.",
    layers: "transformer.layer.",
    parts: &[
        ("attention.self.query", "attention.q_lin"),
        ("attention.self.key", "attention.k_lin"),
        ("attention.self.value", "attention.v_lin"),
        ("attention.output.dense", "attention.out_lin"),
        ("attention.output.LayerNorm", "sa_layer_norm"),
        ("intermediate.dense", "ffn.lin1"),
        ("output.dense", "ffn.lin2"),
        ("output.LayerNorm", "output_layer_norm"),
    ],
    heads: &[
        "vocab_transform.",
        "vocab_layer_norm.",
        "vocab_projector.",
        "pre_classifier.",
        "classifier.",
        "qa_outputs.",
    ],
};

const MPNET: Names = Names {
    model_type: "mpnet",
    encoder: "an MPNet encoder",
    prefix: "mpnet.",
    parts: &[
        ("attention.self.query", "attention.attn.q"),
        ("attention.self.key", "attention.attn.k"),
        ("attention.self.value", "attention.attn.v"),
        ("attention.output.dense", "attention.attn.o"),
        ("attention.output.LayerNorm", "attention.LayerNorm"),
    ],
    ..ROBERTA
};

impl Family {
    const ALL: [Self; 5] = [Self::Bert, Self::DistilBert, Self::Roberta, Self::XlmRoberta, Self::Mpnet];

    /// The family of a `model_type`.
    pub(crate) fn of(model_type: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|family| family.names().model_type == model_type)
    }

    /// Every `model_type`.
    pub(crate) fn all() -> String {
        Self::ALL.map(|family| family.names().model_type).join(", ")
    }

    fn names(self) -> Names {
        match self {
            Self::Bert => BERT,
            Self::DistilBert => DISTILBERT,
            Self::Roberta => ROBERTA,
            Self::XlmRoberta => {
                Names { model_type: "xlm-roberta", encoder: "an XLM-RoBERTa encoder", ..ROBERTA }
            }
            Self::Mpnet => MPNET,
        }
    }

    /// Whether a token's embedding includes that of its segment.
    pub(crate) fn has_segments(self) -> bool {
        !matches!(self, Self::DistilBert | Self::Mpnet)
    }

    /// The family's key for a setting of BERT's `config.json`; BERT's where transformers takes that and the file has no other.
    pub(crate) fn key(self, path: &Path, file: &Object, key: &'static str) -> Result<&'static str> {
        let keys = self.names().keys;
        let Some((_, own, takes_both)) = keys.iter().find(|(bert, ..)| *bert == key) else { return Ok(key) };
        match (file.get(*own), file.get(key).filter(|_| *takes_both)) {
            (None, Some(_)) => Ok(key),
            (Some(own_value), Some(value)) if own_value != value => {
                let expected = format!("{own_value}, as in {own}");
                Err(Error::unsupported(path, key, expected, value.to_string()))
            }
            _ => Ok(own),
        }
    }

    /// The name of a weight in a file without a prefix.
    pub(crate) fn own_name(self, name: &str) -> String {
        let names = self.names();
        let layer = name.strip_prefix(LAYERS).and_then(|rest| rest.split_once('.'));
        let Some((number, part)) = layer else { return name.to_owned() };
        let (part, end) = part.rsplit_once('.').unwrap_or((part, ""));
        let own = names.parts.iter().find(|(bert, _)| *bert == part).map_or(part, |(_, own)| own);
        format!("{}{number}.{own}.{end}", names.layers)
    }

    /// Before the names of the encoder's weights in a model with a head.
    pub(crate) fn prefix(self) -> &'static str {
        self.names().prefix
    }

    /// Whether a tensor of a file belongs to a head, is a buffer, or belongs to a layer beyond those in `config.json`.
    pub(crate) fn leaves_out(self, own: &str, layers: usize) -> bool {
        let names = self.names();
        let layer = || own.strip_prefix(names.layers)?.split_once('.')?.0.parse::<usize>().ok();
        names.heads.iter().chain(&BUFFERS).any(|prefix| own.starts_with(prefix))
            || layer().is_some_and(|layer| layer >= layers)
    }

    /// Its encoder, with an article.
    pub(crate) fn describe(self) -> &'static str {
        self.names().encoder
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_have_the_names_of_each_family() {
        let names = |name: &str| Family::ALL.map(|family| family.own_name(name));
        let query = "encoder.layer.3.attention.self.query.weight";
        let q_lin = "transformer.layer.3.attention.q_lin.weight";
        assert_eq!(names(query), [query, q_lin, query, query, "encoder.layer.3.attention.attn.q.weight"]);
        let norm = "encoder.layer.3.output.LayerNorm.bias";
        assert_eq!(names(norm), [norm, "transformer.layer.3.output_layer_norm.bias", norm, norm, norm]);
        let words = "embeddings.word_embeddings.weight";
        assert_eq!(names(words), [words; 5]);
    }

    #[test]
    fn heads_and_layers_that_were_taken_off_are_left_out_and_nothing_else() {
        let left_out = |name| Family::Bert.leaves_out(name, 6);
        assert!(left_out("pooler.dense.weight") && left_out("cls.seq_relationship.bias"));
        assert!(
            left_out("encoder.layer.6.output.dense.bias") && !left_out("encoder.layer.5.output.adapter.bias")
        );
        assert!(!left_out("encoder.layer.0.attention.self.distance_embedding.weight"));
        assert!(Family::DistilBert.leaves_out("transformer.layer.6.ffn.lin1.bias", 6));
        assert!(!Family::DistilBert.leaves_out("encoder.layer.6.ffn.lin1.bias", 6));
    }
}
