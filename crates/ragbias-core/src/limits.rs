//! The ranges of settings that decide how much memory or time is used.
//!
//! All of them stand here; who has a setting checks it against its [`Limit`] before any work starts. The upper ends are far above
//! what is of use, and below what exhausts a machine by a slip of the keyboard.

use std::fmt::Display;

/// The least and the greatest value of a setting, both allowed; what is no number is outside.
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
    /// Documents given to the LLM.
    TOP_K: usize = 1 to 1000;
    /// Temperature of stochastic ranking, and of sampling tokens.
    TEMPERATURE: f64 = 0.0 to 1_000_000.0;
    /// Tokens of an answer.
    NEW_TOKENS: usize = 1 to 4096;
    /// Requests to a server in flight.
    PARALLEL: usize = 1 to 1024;
    /// Attempts of a request.
    ATTEMPTS: u32 = 1 to 100;
    /// Tokens that a model may think for.
    REASONING_TOKENS: usize = 0 to 1_000_000;
    /// Letters sampled for a choice.
    CHOICE_SAMPLES: usize = 1 to 1000;
    /// Links of a vector in a graph.
    NEIGHBOURS: usize = 2 to 255;
    /// Candidates looked at while a graph is built.
    CONSTRUCTION_WIDTH: usize = 2 to 65_536;
    /// Candidates looked at while a graph is searched.
    SEARCH_WIDTH: usize = 1 to 65_536;
    /// Draws of the bootstrap of a fit.
    DRAWS: usize = 200 to 1_000_000;
    /// Measurements on validation topics in a search for a setting.
    STEPS: usize = 2 to 1000;
    /// α of a projection along a word.
    PROJECTION: f32 = -1000.0 to 1000.0;
    /// Passes of a training over its questions.
    EPOCHS: usize = 1 to 10_000;
    /// Questions of a step of training.
    BATCH: usize = 1 to 4096;
    /// Steps until a learning rate's peak.
    WARMUP: usize = 0 to 1_000_000_000;
    /// Epochs without a better validation loss.
    PATIENCE: usize = 1 to 10_000;
    /// Rank of low-rank additions.
    LORA_RANK: usize = 1 to 1024;
    /// Merge weights of members.
    MERGE: f64 = -100.0 to 100.0;
    /// Trainings of a family, over all its grids.
    TRAININGS: usize = 1 to 10_000;
    /// Members of a family, over all its grids.
    MEMBERS: usize = 1 to 100_000;
    /// Processes that share a family.
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
