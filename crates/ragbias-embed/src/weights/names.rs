//! Names of tensors in files, and those that are deliberately ignored.

use crate::config::Family;

/// The module of some weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Owner {
    /// An encoder.
    Encoder(Family),
    /// Both encoders of a CLIP.
    Clip,
    /// A module after pooling: its tensors are all used.
    Step,
}

impl Owner {
    pub(super) fn is_encoder(self) -> bool {
        self != Self::Step
    }

    /// Before the names of the encoder's tensors in a model with a head.
    fn prefix(self) -> Option<&'static str> {
        match self {
            Self::Encoder(family) => Some(family.prefix()),
            Self::Clip | Self::Step => None,
        }
    }

    pub(super) fn has_prefix(self, name: &str) -> bool {
        self.prefix().is_some_and(|prefix| name.starts_with(prefix))
    }

    /// The name of a file's tensor without the prefix, and with the current names of LayerNorm parameters.
    pub(super) fn name(self, own: &str, has_prefix: bool) -> String {
        let prefix = self.prefix().filter(|_| has_prefix);
        self.saved_name(prefix.and_then(|prefix| own.strip_prefix(prefix)).unwrap_or(own))
    }

    /// The name of a file's tensor when it is saved.
    pub(super) fn saved_name(self, own: &str) -> String {
        match self {
            Self::Encoder(_) => renamed(own),
            Self::Clip | Self::Step => own.to_owned(),
        }
    }

    /// Whether a tensor belongs to a head or a training alone, or to a layer beyond those in `config.json`.
    pub(super) fn leaves_out(self, name: &str, layers: usize) -> bool {
        match self {
            Self::Encoder(family) => family.leaves_out(name, layers),
            // The temperature of its training, and buffers of older releases.
            Self::Clip => name == "logit_scale" || name.ends_with(".embeddings.position_ids"),
            Self::Step => false,
        }
    }

    pub(super) fn describe(self) -> &'static str {
        match self {
            Self::Encoder(family) => family.describe(),
            Self::Clip => "a CLIP",
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
        let name = |own| Owner::Encoder(Family::Bert).name(own, true);
        assert_eq!(name("bert.embeddings.LayerNorm.gamma"), "embeddings.LayerNorm.weight");
        assert_eq!(name("cls.predictions.bias"), "cls.predictions.bias");
        assert_eq!(Owner::Step.name("norm.weight", false), "norm.weight");
        assert!(!Owner::Step.leaves_out("cls.bias", 0));
    }
}
