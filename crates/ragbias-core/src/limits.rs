//! The ranges of settings that determine memory or time.
//!
//! Every setting is checked against its [`Limit`] before any work starts. The upper limits are far above
//! useful values, and below those that would exhaust a machine because of a typing error.

use std::fmt::Display;

/// The smallest and the largest value of a setting, both allowed; NaN is outside.
///
/// ```
/// use ragbias_core::limits::TOP_K;
/// assert!(TOP_K.check("top-k", 1).is_ok());
/// let error = TOP_K.check("top-k", 1_000_000).unwrap_err();
/// assert_eq!(error.to_string(), "top-k is 1000000, expected 1 to 1000");
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limit<T> {
    least: T,
    most: T,
    expected: &'static str,
}

/// A setting outside its range.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{setting} is {received}, expected {expected}")]
pub struct OutOfLimits {
    /// The setting.
    pub setting: &'static str,
    /// Its range.
    pub expected: &'static str,
    /// The value.
    pub received: String,
}

impl<T: PartialOrd + Display + Copy> Limit<T> {
    /// Checks the value of a setting.
    ///
    /// # Errors
    /// A value outside the range.
    pub fn check(&self, setting: &'static str, value: T) -> Result<(), OutOfLimits> {
        if value >= self.least && value <= self.most {
            return Ok(());
        }
        Err(OutOfLimits { setting, expected: self.expected, received: value.to_string() })
    }

    /// The range in words: `1 to 1000`.
    pub fn expected(&self) -> &'static str {
        self.expected
    }
}

macro_rules! limits {
    ($($(#[$about:meta])* $name:ident: $type:ty = $least:literal to $most:literal;)*) => {
        $(
            $(#[$about])*
            pub const $name: Limit<$type> =
                Limit { least: $least, most: $most, expected: concat!($least, " to ", $most) };
        )*
    };
}

limits! {
    /// Folds of topics.
    FOLDS: usize = 2 to 100;
    /// Number of documents given to the LLM.
    TOP_K: usize = 1 to 1000;
    /// Temperature of stochastic ranking, and of sampling tokens.
    TEMPERATURE: f64 = 0.0 to 1_000_000.0;
    /// Number of tokens of an answer.
    NEW_TOKENS: usize = 1 to 4096;
    /// Number of requests to a server in flight.
    PARALLEL: usize = 1 to 1024;
    /// Number of attempts of a request.
    ATTEMPTS: u32 = 1 to 100;
    /// Number of reasoning tokens.
    REASONING_TOKENS: usize = 0 to 1_000_000;
    /// Number of letters sampled for a choice.
    CHOICE_SAMPLES: usize = 1 to 1000;
    /// Number of links per vector in a graph.
    NEIGHBOURS: usize = 2 to 255;
    /// Number of candidates considered while building a graph.
    CONSTRUCTION_WIDTH: usize = 2 to 65_536;
    /// Number of candidates considered while searching a graph.
    SEARCH_WIDTH: usize = 1 to 65_536;
    /// Number of bootstrap draws of a fit.
    DRAWS: usize = 200 to 1_000_000;
    /// Number of measurements on validation topics in the search for a setting.
    STEPS: usize = 2 to 1000;
    /// α of a projection along a word.
    PROJECTION: f32 = -1000.0 to 1000.0;
    /// Share of the positive pole that a re-ranking follows.
    SHARE: f64 = 0.0 to 1.0;
    /// Strength of an erasure.
    ERASURE: f64 = 0.0 to 2.0;
    /// Number of training epochs.
    EPOCHS: usize = 1 to 10_000;
    /// Number of questions per training step.
    BATCH: usize = 1 to 4096;
    /// Number of warm-up steps of the learning rate.
    WARMUP: usize = 0 to 1_000_000_000;
    /// Number of epochs without a better validation loss before training stops.
    PATIENCE: usize = 1 to 10_000;
    /// Rank of low-rank adapters.
    LORA_RANK: usize = 1 to 1024;
    /// Merge weight of a member.
    MERGE: f64 = -100.0 to 100.0;
    /// Number of trainings of a family, over all its grids.
    TRAININGS: usize = 1 to 10_000;
    /// Number of members of a family, over all its grids.
    MEMBERS: usize = 1 to 100_000;
    /// Number of processes that share a family.
    SHARDS: usize = 1 to 10_000;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ends_are_allowed_and_what_is_no_number_is_not() {
        for value in [0.0, 0.5, 1e6] {
            assert_eq!(TEMPERATURE.check("temperature", value), Ok(()));
        }
        for value in [-0.1, 1e6 + 1.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            let error = TEMPERATURE.check("temperature", value).unwrap_err().to_string();
            assert_eq!(error, format!("temperature is {value}, expected 0.0 to 1000000.0"));
        }
        assert!(EPOCHS.check("epochs", 0).is_err() && EPOCHS.check("epochs", 10_001).is_err());
        assert_eq!(DRAWS.expected(), "200 to 1000000");
    }
}
