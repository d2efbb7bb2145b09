//! What is known of models beyond what a run records.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// An LLM.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LlmCard {
    /// Number of parameters.
    pub parameters: f64,
    /// Its architecture: `llama`, `qwen2`.
    pub family: String,
    /// Whether it was tuned on instructions.
    pub instruct: bool,
    /// Bits of a weight.
    pub bits: f64,
}

/// An embedder without those that are tuned from it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EmbedderCard {
    /// Entries of a vector.
    pub dimension: f64,
    /// `mean`, `cls`, `last`.
    pub pooling: String,
}

/// Cards of models, by the names that they have in runs.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Cards {
    /// LLMs.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub llms: BTreeMap<String, LlmCard>,
    /// Embedders.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub embedders: BTreeMap<String, EmbedderCard>,
}

impl Cards {
    /// These and those of the registry's models; these come first.
    pub(crate) fn with_registry(&self) -> Self {
        let mut all: Self = toml::from_str(include_str!("cards.toml"))
            .expect("the bundled cards are well-formed; this is a bug");
        all.llms.extend(self.llms.clone());
        all.embedders.extend(self.embedders.clone());
        all
    }

    /// The card of an LLM.
    ///
    /// # Errors
    /// [`Error::NoCard`] if there is none.
    pub(crate) fn llm(&self, name: &str) -> Result<&LlmCard> {
        let keys = "parameters, family, instruct and bits";
        self.llms.get(name).ok_or_else(|| Error::NoCard { kind: "llms", name: name.into(), keys })
    }

    /// The card of an embedder.
    ///
    /// # Errors
    /// [`Error::NoCard`] if there is none.
    pub(crate) fn embedder(&self, name: &str) -> Result<&EmbedderCard> {
        let keys = "dimension and pooling";
        self.embedders.get(name).ok_or_else(|| Error::NoCard { kind: "embedders", name: name.into(), keys })
    }

    /// Checks the ranges of every card.
    pub(crate) fn check(&self) -> Result<()> {
        let wrong = |setting, value: f64| {
            Err(Error::Setting { setting, expected: "a number above 0", received: value.to_string() })
        };
        for card in self.llms.values() {
            for (setting, value) in [("parameters", card.parameters), ("bits", card.bits)] {
                if !(value > 0.0 && value.is_finite()) {
                    return wrong(setting, value);
                }
            }
        }
        let dimensions = self.embedders.values().map(|card| card.dimension);
        dimensions.filter(|d| !(*d > 0.0 && d.is_finite())).try_for_each(|d| wrong("dimension", d))
    }
}

#[cfg(test)]
mod tests {
    use ragbias::models::Registry;

    use super::*;

    #[test]
    fn every_model_of_the_registry_has_a_card_and_others_are_named() {
        let cards = Cards::default().with_registry();
        for model in Registry::builtin().unwrap().models() {
            let name = &model.name;
            assert!(cards.llms.contains_key(name) || cards.embedders.contains_key(name), "{name}");
        }
        let error = cards.llm("llama3").unwrap_err().to_string();
        assert!(error.contains("llama3") && error.contains("[lab.design.cards.llms"), "{error}");
    }
}
