//! The families of encoders.

use std::path::Path;

use super::names::{
    BERT, BUFFERS, DISTILBERT, GEMMA3, GTE, LAYERS, MODERNBERT, MPNET, NOMIC_BERT, Names, QWEN3, ROBERTA,
};
use crate::files::Object;
use crate::{Error, Result};

/// A family of encoders.
///
/// What they compute is described by their [`EncoderConfig`](crate::EncoderConfig); a family is how files name settings and
/// weights. The weights of all have the same names here, whatever a checkpoint calls them: BERT's, and names of our own for what
/// BERT lacks (see [`Parameters`](crate::Parameters)).
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
    /// Warner et al., 2024, <https://arxiv.org/abs/2412.13663>.
    ModernBert,
    /// Nussbaum et al., 2024, <https://arxiv.org/abs/2402.01613>.
    NomicBert,
    /// Zhang et al., 2024, <https://arxiv.org/abs/2407.19669>, as transformers has it.
    Gte,
    /// The same as code of the checkpoint's own: `model_type` new.
    New,
    /// Yang et al., 2025, <https://arxiv.org/abs/2505.09388>; as an encoder, Zhang et al., 2025, <https://arxiv.org/abs/2506.05176>.
    Qwen3,
    /// Gemma Team, 2025, <https://arxiv.org/abs/2503.19786>; as an encoder, Schechter Vera et al., 2025,
    /// <https://arxiv.org/abs/2509.20354>.
    Gemma3,
}

impl Family {
    const ALL: [Self; 11] = [
        Self::Bert,
        Self::DistilBert,
        Self::Roberta,
        Self::XlmRoberta,
        Self::Mpnet,
        Self::ModernBert,
        Self::NomicBert,
        Self::Gte,
        Self::New,
        Self::Qwen3,
        Self::Gemma3,
    ];

    /// The family of a `model_type`.
    pub(crate) fn of(model_type: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|family| family.names().model_type == model_type)
    }

    /// Every `model_type`.
    pub(crate) fn all() -> String {
        Self::ALL.map(|family| family.names().model_type).join(", ")
    }

    /// Whether a token's embedding includes that of its segment.
    pub(crate) fn has_segments(self) -> bool {
        use Family::{Bert, Gte, New, NomicBert, Roberta, XlmRoberta};
        matches!(self, Bert | Roberta | XlmRoberta | NomicBert | Gte | New)
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
            Self::ModernBert => MODERNBERT,
            Self::NomicBert => NOMIC_BERT,
            Self::Gte => GTE,
            Self::New => Names { model_type: "new", prefix: "new.", own_class: Some("NewModel"), ..GTE },
            Self::Qwen3 => QWEN3,
            Self::Gemma3 => GEMMA3,
        }
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
        let (number, part) = layer.map_or((None, name), |(number, part)| (Some(number), part));
        let (part, end) = part.rsplit_once('.').unwrap_or((part, ""));
        let own = names.parts.iter().find(|(ours, _)| *ours == part).map_or(part, |(_, own)| own);
        match number {
            Some(number) => format!("{}{number}.{own}.{end}", names.layers),
            None => format!("{own}.{end}"),
        }
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

    /// The class of an encoder that is code of its checkpoint's own, and is computed here nevertheless.
    pub(crate) fn own_class(self) -> Option<&'static str> {
        self.names().own_class
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
        let names = |name: &str| [0, 1, 2, 3, 4].map(|place| Family::ALL[place].own_name(name));
        let query = "encoder.layer.3.attention.self.query.weight";
        let q_lin = "transformer.layer.3.attention.q_lin.weight";
        assert_eq!(names(query), [query, q_lin, query, query, "encoder.layer.3.attention.attn.q.weight"]);
        let norm = "encoder.layer.3.output.LayerNorm.bias";
        assert_eq!(names(norm), [norm, "transformer.layer.3.output_layer_norm.bias", norm, norm, norm]);
        let words = "embeddings.word_embeddings.weight";
        assert_eq!(names(words), [words; 5]);
        for (family, ours, own) in [
            (Family::ModernBert, words, "embeddings.tok_embeddings.weight"),
            (Family::ModernBert, "encoder.layer.3.intermediate.dense.bias", "layers.3.mlp.Wi.bias"),
            (Family::NomicBert, norm, "encoder.layers.3.norm2.bias"),
            (
                Family::Qwen3,
                "encoder.layer.3.attention.self.key.LayerNorm.weight",
                "layers.3.self_attn.k_norm.weight",
            ),
            (Family::Gemma3, "encoder.LayerNorm.weight", "norm.weight"),
        ] {
            assert_eq!(family.own_name(ours), own);
        }
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
