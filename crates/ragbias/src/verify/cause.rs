use std::path::Path;

use ndarray::{Array2, ArrayView2, s};
use ragbias_core::{Embedder, Precision, Progress, Role, Unit};
use ragbias_embed::{Pooling, PoolingMode, Prefixes, Rounding, TextEmbedder, TextEmbedderConfig};
use serde::Serialize;

use super::agreement::Agreement;
use crate::Result;

/// What the server does otherwise than the checkpoint says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Cause {
    /// Vectors of another dimension, which are not the checkpoint's shortened.
    Dimension {
        /// The checkpoint's.
        expected: usize,
        /// The server's.
        received: usize,
    },
    /// The first values of the checkpoint's vectors.
    Shortened {
        /// How many.
        dim: usize,
    },
    /// Vectors that are not of unit length, where the checkpoint's are.
    NotNormalised,
    /// Tokens are pooled otherwise.
    Pooling {
        /// As the checkpoint says.
        expected: String,
        /// As the server does.
        received: String,
    },
    /// Another prefix is put before texts.
    Prefix {
        /// The checkpoint's.
        expected: String,
        /// The server's.
        received: String,
    },
    /// Texts are lower-cased first, or are not.
    LowerCase {
        /// Whether the server does.
        lowered: bool,
    },
    /// Texts are cut elsewhere.
    Truncation {
        /// Tokens that the checkpoint reads; none if all.
        expected: Option<usize>,
        /// Tokens that the server reads; none if it is at none of the lengths that were tried.
        received: Option<usize>,
    },
    /// Numbers of fewer bits.
    Precision {
        /// `f16`, `bf16` or `int8`.
        precision: &'static str,
        /// Whether its vectors were met, rather than the size of its noise.
        is_exact: bool,
    },
    /// Nothing that was tried gives the server's vectors: other weights, most likely.
    OtherModel,
}

impl Cause {
    /// In words.
    pub fn said(&self) -> String {
        let prefix =
            |prefix: &str| if prefix.is_empty() { "none".to_owned() } else { format!("“{prefix}”") };
        let tokens = |tokens: Option<usize>, none: &str| {
            tokens.map_or_else(|| none.into(), |tokens| format!("{tokens} tokens"))
        };
        match self {
            Self::Dimension { expected, received } => {
                format!("a different model: its vectors have {received} dimensions, expected {expected}")
            }
            Self::Shortened { dim } => format!("vectors are shortened to their first {dim} values"),
            Self::NotNormalised => "vectors are not scaled to unit length".into(),
            Self::Pooling { expected, received } => {
                format!("another pooling: {received}, expected {expected}")
            }
            Self::Prefix { expected, received } => {
                format!("another prefix before texts: {}, expected {}", prefix(received), prefix(expected))
            }
            Self::LowerCase { lowered: true } => "texts are lower-cased".into(),
            Self::LowerCase { lowered: false } => "texts are not lower-cased".into(),
            Self::Truncation { expected, received } => format!(
                "texts are cut at another length: {}, expected {}",
                tokens(*received, "none of those that were tried"),
                tokens(*expected, "no cut")
            ),
            Self::Precision { precision, is_exact: true } => format!("computed in {precision}"),
            Self::Precision { precision, is_exact: false } => {
                format!("noise of the size that {precision} makes")
            }
            Self::OtherModel => "a different model, or a cause that was not tried".into(),
        }
    }
}

/// A cause that was tried, and how the vectors that it gives agree with the server's.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Trial {
    /// The cause.
    pub cause: Cause,
    /// How the vectors agree.
    #[serde(flatten)]
    pub agreement: Agreement,
}

/// Prefixes in use by families of embedders.
const PREFIXES: [&str; 6] = [
    "",
    "query: ",
    "passage: ",
    "search_query: ",
    "search_document: ",
    "Represent this sentence for searching relevant passages: ",
];
/// Lengths at which texts are commonly cut.
const LENGTHS: [usize; 17] =
    [32, 64, 75, 100, 128, 192, 200, 250, 254, 256, 300, 350, 384, 400, 510, 512, 1024];
/// What is left of a difference that has its cause.
const LEFT: f64 = 0.1;
/// How far the size of a noise may be from that of a precision.
const SIZE: f64 = 5.0;

/// A checkpoint of which variants are tried.
pub(super) struct Tried<'a> {
    pub(super) folder: &'a Path,
    pub(super) config: &'a TextEmbedderConfig,
    pub(super) own: &'a TextEmbedder,
    pub(super) tolerance: f64,
}

/// Texts of one role, with the server's vectors.
pub(super) struct Sample<'a> {
    pub(super) texts: &'a [&'a str],
    pub(super) role: Role,
    /// `(texts, dim)`.
    pub(super) theirs: &'a Array2<f32>,
}

impl Tried<'_> {
    /// Tries what may make vectors of short texts differ: the cause that explains the difference, and all that was tried, best first.
    ///
    /// # Errors
    /// Failures of the checkpoint's own settings; a variant that it cannot have is not tried.
    pub(super) fn of_short(
        &self,
        sample: &Sample<'_>,
        progress: &dyn Progress,
    ) -> Result<(Cause, Vec<Trial>)> {
        let own = self.own.embed(sample.texts, sample.role)?;
        let Some(base) = Agreement::of(own.view(), sample.theirs.view()) else {
            return Ok((shortened(own.view(), sample.theirs.view(), self.tolerance), Vec::new()));
        };
        let mut trials = Vec::new();
        let mut noises = Vec::new();
        let variants = self.variants(sample.role);
        let step = progress.begin("trying causes", variants.len() as u64, Unit::Items);
        for (cause, config) in variants {
            step.advance(1);
            let Ok(variant) = TextEmbedder::load(self.folder, &config) else { continue };
            let vectors = variant.embed(sample.texts, sample.role)?;
            if let (Cause::Precision { precision, .. }, Some(noise)) =
                (&cause, Agreement::of(own.view(), vectors.view()))
            {
                noises.push((*precision, 1.0 - noise.median_cosine));
            }
            trials.extend(
                Agreement::of(vectors.view(), sample.theirs.view())
                    .map(|agreement| Trial { cause, agreement }),
            );
        }
        trials.sort_by(|a, b| b.agreement.median_cosine.total_cmp(&a.agreement.median_cosine));
        let explains = |trial: &&Trial| {
            let left = 1.0 - trial.agreement.median_cosine;
            left <= LEFT * (1.0 - base.median_cosine) && trial.agreement.is_within(10.0 * self.tolerance)
        };
        let cause = trials.iter().find(explains).map(|trial| trial.cause.clone());
        Ok((cause.unwrap_or_else(|| of_size(1.0 - base.median_cosine, &noises)), trials))
    }

    /// The length at which the server cuts texts, and all that were tried, best first.
    ///
    /// # Errors
    /// Those of the embedder.
    pub(super) fn of_long(
        &self,
        sample: &Sample<'_>,
        expected: Option<usize>,
        progress: &dyn Progress,
    ) -> Result<(Cause, Vec<Trial>)> {
        let mut trials = Vec::new();
        let step = progress.begin("trying lengths", LENGTHS.len() as u64, Unit::Items);
        for length in LENGTHS.into_iter().filter(|length| Some(*length) != expected) {
            step.advance(1);
            let variant = TextEmbedder::load(self.folder, &self.config.clone().max_tokens(Some(length)))?;
            let counts = variant.token_counts(&sample.texts[..1], sample.role)?;
            // A length beyond the positions that the model has is the last of them.
            if counts.is_some_and(|counts| counts.iter().any(|count| count.tokens < length)) {
                continue;
            }
            let vectors = variant.embed(sample.texts, sample.role)?;
            let cause = Cause::Truncation { expected, received: Some(length) };
            trials.extend(
                Agreement::of(vectors.view(), sample.theirs.view())
                    .map(|agreement| Trial { cause, agreement }),
            );
        }
        trials.sort_by(|a, b| b.agreement.median_cosine.total_cmp(&a.agreement.median_cosine));
        let found = trials.first().filter(|trial| trial.agreement.is_within(10.0 * self.tolerance));
        let none = Cause::Truncation { expected, received: None };
        Ok((found.map_or(none, |trial| trial.cause.clone()), trials))
    }

    fn variants(&self, role: Role) -> Vec<(Cause, TextEmbedderConfig)> {
        let config = || self.config.clone();
        let own = self.own.config();
        let mut variants = Vec::new();
        let pooled = own.pooling.modes().iter().map(|mode| mode.name()).collect::<Vec<_>>().join(" and ");
        // In direction, the sum over the square root of the number is the mean.
        let modes = [
            PoolingMode::Mean,
            PoolingMode::Cls,
            PoolingMode::LastToken,
            PoolingMode::Max,
            PoolingMode::WeightedMean,
        ];
        for mode in modes.into_iter().filter(|mode| own.pooling.single() != Some(*mode)) {
            let cause = Cause::Pooling { expected: pooled.clone(), received: mode.name().into() };
            variants.push((cause, config().pooling(Some(Pooling::from(mode)))));
        }
        let expected = own.prefixes.of(role);
        let of_others = [own.prefixes.of(Role::Question), own.prefixes.of(Role::Document)];
        let mut prefixes: Vec<&str> =
            PREFIXES.into_iter().chain(of_others).filter(|prefix| *prefix != expected).collect();
        prefixes.sort_unstable();
        prefixes.dedup();
        for prefix in prefixes {
            let cause = Cause::Prefix { expected: expected.into(), received: prefix.into() };
            let both = Prefixes { question: prefix.into(), document: prefix.into() };
            variants.push((cause, config().prefixes(Some(both))));
        }
        for lowered in [true, false] {
            variants.push((Cause::LowerCase { lowered }, config().lower_case(Some(lowered))));
        }
        let precision = |precision| Cause::Precision { precision, is_exact: true };
        variants.push((precision("f16"), config().rounding(Some(Rounding::F16))));
        variants.push((precision("bf16"), config().rounding(Some(Rounding::Bf16))));
        variants.push((precision("int8"), config().precision(Precision::Int8)));
        variants
    }
}

/// Vectors of fewer dimensions may be the first values of the checkpoint's.
fn shortened(ours: ArrayView2<'_, f32>, theirs: ArrayView2<'_, f32>, tolerance: f64) -> Cause {
    let (expected, received) = (ours.ncols(), theirs.ncols());
    let first =
        (received < expected).then(|| Agreement::of(ours.slice(s![.., ..received]), theirs)).flatten();
    if first.is_some_and(|agreement| agreement.is_within(10.0 * tolerance)) {
        Cause::Shortened { dim: received }
    } else {
        Cause::Dimension { expected, received }
    }
}

/// The precision whose noise is of the size of the difference, else another model.
fn of_size(difference: f64, noises: &[(&'static str, f64)]) -> Cause {
    let distance = |noise: f64| (difference / noise).ln().abs();
    noises
        .iter()
        .filter(|(_, noise)| *noise > 0.0 && distance(*noise) <= SIZE.ln())
        .min_by(|a, b| distance(a.1).total_cmp(&distance(b.1)))
        .map_or(Cause::OtherModel, |(precision, _)| Cause::Precision { precision, is_exact: false })
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    #[test]
    fn vectors_of_fewer_dimensions_are_shortened_ones_or_of_another_model() {
        let ours = array![[0.6_f32, 0.0, 0.8], [0.0, 1.0, 0.0]];
        let first = array![[1.0_f32, 0.0], [0.0, 1.0]];
        assert_eq!(shortened(ours.view(), first.view(), 1e-6), Cause::Shortened { dim: 2 });
        let other = array![[0.0_f32, 1.0], [1.0, 0.0]];
        assert_eq!(shortened(ours.view(), other.view(), 1e-6), Cause::Dimension { expected: 3, received: 2 });
    }

    #[test]
    fn a_noise_is_named_by_its_size_and_a_large_difference_is_none() {
        let noises = [("f16", 1e-7), ("bf16", 1e-5), ("int8", 1e-3)];
        assert_eq!(of_size(2e-3, &noises), Cause::Precision { precision: "int8", is_exact: false });
        assert_eq!(of_size(3e-5, &noises), Cause::Precision { precision: "bf16", is_exact: false });
        assert_eq!(of_size(0.4, &noises), Cause::OtherModel);
    }
}
