//! Dividing the trainings of a family among processes.

use ragbias_core::limits::SHARDS;

use crate::{Error, Result};

/// The share of the trainings for one process of several: number `index`, from 1, of `count`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard {
    pub(super) index: usize,
    pub(super) count: usize,
}

impl Shard {
    /// All of them.
    pub const WHOLE: Self = Self { index: 1, count: 1 };
}

impl std::str::FromStr for Shard {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let parsed = text.split_once('/').and_then(|(index, count)| {
            let (index, count) = (index.parse().ok()?, count.parse().ok()?);
            (SHARDS.check("shard", count).is_ok() && (1..=count).contains(&index))
                .then_some(Self { index, count })
        });
        parsed.ok_or_else(|| Error::Setting {
            setting: "shard",
            expected: "i/n with i from 1 to n, as in 3/16, n up to 10000",
            received: text.into(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shard_is_a_part_of_a_whole() {
        for (text, part) in [("1/1", Some((1, 1))), ("3/16", Some((3, 16)))] {
            assert_eq!(text.parse().ok(), part.map(|(index, count)| Shard { index, count }), "{text}");
        }
        for text in ["0/4", "5/4", "1/0", "1", "a/b", "1/10001", ""] {
            let error = text.parse::<Shard>().unwrap_err().to_string();
            assert!(error.starts_with(&format!("shard is {text}, expected i/n")), "{error}");
        }
    }
}
