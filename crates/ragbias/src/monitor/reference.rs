use std::fmt;
use std::str::FromStr;

use serde::Serialize;

/// A bias that was measured before, over so many independent topics.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Reference {
    bias: f64,
    n: usize,
}

impl Reference {
    /// A bias in [−1, 1] over `n` topics; none if it is neither.
    pub fn new(bias: f64, n: usize) -> Option<Self> {
        ((-1.0..=1.0).contains(&bias) && n > 0).then_some(Self { bias, n })
    }

    /// The bias, in [−1, 1].
    pub fn bias(self) -> f64 {
        self.bias
    }

    /// The number of topics.
    pub fn n(self) -> usize {
        self.n
    }
}

/// `0.02,600`.
impl FromStr for Reference {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let refused = || {
            format!("expected R_b in [-1, 1] and the number of its topics, as 0.02,600, received `{text}`")
        };
        let (bias, n) = text.split_once(',').ok_or_else(refused)?;
        let bias = bias.trim().replace('−', "-").parse().map_err(|_| refused())?;
        Self::new(bias, n.trim().parse().map_err(|_| refused())?).ok_or_else(refused)
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "R_b = {} over {} topics", self.bias, self.n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_is_a_bias_and_a_number() {
        assert_eq!("-0.02, 600".parse(), Ok(Reference { bias: -0.02, n: 600 }));
        assert_eq!("−0.02,600".parse(), "-0.02,600".parse::<Reference>());
        for wrong in ["0.02", "1.2,600", "0.02,0", "NaN,5", "0.02,6.5", ""] {
            assert!(wrong.parse::<Reference>().unwrap_err().contains(&format!("`{wrong}`")), "{wrong}");
        }
    }
}
