//! Names of tensors: in files, in the model, and those that are deliberately ignored.

/// The module of some weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Owner {
    /// A BERT encoder.
    Encoder,
    /// A module after pooling: its tensors are all used.
    Step,
}

/// Prefix of the encoder's names in a model with a head.
const PREFIX: &str = "bert.";

/// Heads for pre-training and tasks, which do not affect a text's vector, and buffers of older releases.
const LEFT_OUT: [&str; 7] = [
    "pooler.",
    "cls.",
    "classifier.",
    "qa_outputs.",
    "lm_head.",
    "embeddings.position_ids",
    "embeddings.token_type_ids",
];

impl Owner {
    pub(super) fn has_prefix(self, name: &str) -> bool {
        self == Self::Encoder && name.starts_with(PREFIX)
    }

    /// The model's name for a tensor of a file: without the prefix, and with the current names of LayerNorm parameters.
    pub(super) fn name(self, own: &str, has_prefix: bool) -> String {
        if self == Self::Step {
            return own.to_owned();
        }
        let name = if has_prefix { own.strip_prefix(PREFIX).unwrap_or(own) } else { own };
        renamed(name)
    }

    /// The name of a file's tensor when it is saved.
    pub(super) fn saved_name(self, own: &str) -> String {
        if self == Self::Step { own.to_owned() } else { renamed(own) }
    }

    /// Whether a tensor belongs to a head, or to a layer beyond those in `config.json`.
    pub(super) fn leaves_out(self, name: &str, layers: usize) -> bool {
        let layer = || name.strip_prefix("encoder.layer.")?.split_once('.')?.0.parse::<usize>().ok();
        self == Self::Encoder
            && (LEFT_OUT.iter().any(|prefix| name.starts_with(prefix))
                || layer().is_some_and(|layer| layer >= layers))
    }

    pub(super) fn describe(self) -> &'static str {
        match self {
            Self::Encoder => "a BERT encoder",
            Self::Step => "its module",
        }
    }
}

fn renamed(name: &str) -> String {
    name.replace("LayerNorm.gamma", "LayerNorm.weight").replace("LayerNorm.beta", "LayerNorm.bias")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_files_are_those_of_the_model() {
        let name = |own| Owner::Encoder.name(own, true);
        assert_eq!(name("bert.embeddings.LayerNorm.gamma"), "embeddings.LayerNorm.weight");
        assert_eq!(name("cls.predictions.bias"), "cls.predictions.bias");
        assert_eq!(Owner::Step.name("norm.weight", false), "norm.weight");
    }

    #[test]
    fn heads_and_layers_that_were_taken_off_are_left_out_and_nothing_else() {
        let left_out = |name| Owner::Encoder.leaves_out(name, 6);
        assert!(left_out("pooler.dense.weight") && left_out("cls.seq_relationship.bias"));
        assert!(
            left_out("encoder.layer.6.output.dense.bias") && !left_out("encoder.layer.5.output.adapter.bias")
        );
        assert!(!left_out("encoder.layer.0.attention.self.distance_embedding.weight"));
        assert!(!Owner::Step.leaves_out("cls.bias", 0));
    }
}
