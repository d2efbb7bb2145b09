use ragbias_core::limits::{NEW_TOKENS, TEMPERATURE};
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// Settings of generation.
///
/// | parameter | default | purpose | range |
/// | --- | --- | --- | --- |
/// | `max_new_tokens` | 24 | maximum tokens of an answer | 1 to 4096 |
/// | `temperature` | 0 | 0 is greedy; above, tokens are sampled from the softmax of logits / temperature | 0 to 1,000,000 |
/// | `seed` | 0 | determines a sampled answer, together with the prompt | any |
/// | `stop` | the first line break | an answer ends before the first of these strings | none empty |
///
/// An answer is the text up to the first stop string, trimmed. Line breaks before its first
/// word are skipped, as base models often begin with one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct GenerateConfig {
    /// Maximum tokens of an answer.
    pub max_new_tokens: usize,
    /// 0 for greedy decoding.
    pub temperature: f64,
    /// Seed of sampled answers.
    pub seed: u64,
    /// Strings that end an answer.
    pub stop: Vec<String>,
}

ragbias_core::setters!(GenerateConfig {
    max_new_tokens: usize,
    temperature: f64,
    seed: u64,
    stop: Vec<String>,
});

impl Default for GenerateConfig {
    fn default() -> Self {
        Self { max_new_tokens: 24, temperature: 0.0, seed: 0, stop: vec!["\n".into()] }
    }
}

impl GenerateConfig {
    /// Checks the range of every setting.
    ///
    /// # Errors
    /// [`Error::Setting`] for the first value outside its range.
    pub fn check(&self) -> Result<()> {
        let wrong = |setting, expected, received: String| Err(Error::Setting { setting, expected, received });
        NEW_TOKENS.check("max_new_tokens", self.max_new_tokens)?;
        TEMPERATURE.check("temperature", self.temperature)?;
        if self.stop.iter().any(String::is_empty) {
            return wrong("stop", "strings that are not empty", "an empty string".into());
        }
        Ok(())
    }

    /// The answer in generated text, and whether a stop string ended it.
    pub(crate) fn cut<'t>(&self, text: &'t str) -> (&'t str, bool) {
        let text = text.trim_start();
        let end = self.stop.iter().filter_map(|stop| text.find(stop.as_str())).min();
        (text[..end.unwrap_or(text.len())].trim_end(), end.is_some())
    }

    /// Every field, for the identity of a generator.
    pub(crate) fn fingerprint(&self) -> String {
        format!("{self:?}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_the_first_line_that_is_not_empty() {
        let config = GenerateConfig::default();
        assert_eq!(config.cut("\n\n Marie Curie \nShe was"), ("Marie Curie", true));
        assert_eq!(config.cut("Marie"), ("Marie", false));
        assert_eq!(config.cut("\n"), ("", false));
    }

    #[test]
    fn settings_outside_their_range_are_refused() {
        let bad = GenerateConfig { temperature: f64::NAN, ..GenerateConfig::default() };
        assert_eq!(bad.check().unwrap_err().to_string(), "temperature is NaN, expected 0.0 to 1000000.0");
        for max_new_tokens in [0, 4097] {
            assert!(GenerateConfig { max_new_tokens, ..GenerateConfig::default() }.check().is_err());
        }
    }
}
