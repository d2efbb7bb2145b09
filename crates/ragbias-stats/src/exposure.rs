use std::fmt;
use std::str::FromStr;

use ragbias_core::{Lean, Verdict};
use serde::{Deserialize, Serialize};

use crate::bootstrap::Weighted;
use crate::labelled::place;
use crate::{ClusterBootstrap, Estimate};

/// How much attention the document at rank i gets, i from 1.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Discount {
    /// 1/log₂(i + 1), as in nDCG: `log2`.
    #[default]
    Logarithmic,
    /// 1/i, as in the reciprocal rank: `reciprocal`.
    Reciprocal,
    /// The same for all ranks: `none`.
    Equal,
    /// pⁱ⁻¹ with p in (0, 1), the probability to read on: the number itself. Source: Moffat & Zobel, *Rank-biased precision*, ACM TOIS
    /// 27 (2008), <https://doi.org/10.1145/1416950.1416952>.
    Geometric(f64),
}

impl Discount {
    /// The weight of a rank, from 1.
    fn at(self, rank: usize) -> f64 {
        match self {
            Self::Logarithmic => 1.0 / ((rank + 1) as f64).log2(),
            Self::Reciprocal => 1.0 / rank as f64,
            Self::Equal => 1.0,
            Self::Geometric(p) => p.powf((rank - 1) as f64),
        }
    }
}

impl fmt::Display for Discount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Logarithmic => f.write_str("log2"),
            Self::Reciprocal => f.write_str("reciprocal"),
            Self::Equal => f.write_str("none"),
            Self::Geometric(p) => p.fmt(f),
        }
    }
}

impl From<Discount> for String {
    fn from(discount: Discount) -> Self {
        discount.to_string()
    }
}

impl TryFrom<String> for Discount {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl FromStr for Discount {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "log2" => Ok(Self::Logarithmic),
            "reciprocal" => Ok(Self::Reciprocal),
            "none" => Ok(Self::Equal),
            number => match number.parse() {
                Ok(p) if 0.0 < p && p < 1.0 => Ok(Self::Geometric(p)),
                _ => Err(format!(
                    "discount: expected `log2`, `reciprocal`, `none` or a number in (0, 1), received `{text}`"
                )),
            },
        }
    }
}

/// The verdicts on a question's documents, best first.
#[derive(Debug, Clone, Copy)]
pub struct RankedVerdicts<'a> {
    /// The topic of the question.
    pub topic: &'a str,
    /// The verdict on the document at each rank.
    pub verdicts: &'a [Verdict],
}

/// How the attention that documents get by their rank is shared between the poles.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Exposure {
    /// How much attention each rank gets.
    pub discount: Discount,
    /// Share of the exposure of scored documents that those of lean −1 have.
    pub negative: f64,
    /// That of lean +1.
    pub positive: f64,
    /// `positive` − `negative`, in [−1, 1].
    pub bias: Estimate,
    /// NDKL, at least 0: 0 if the poles' shares above every rank are those of the corpus.
    pub divergence: Estimate,
    /// The NDKL expected if every document were drawn at random from the corpus. It is above 0: the first documents of a list cannot have
    /// the shares of a corpus.
    pub divergence_by_chance: f64,
}

impl Exposure {
    /// The exposure of rankings of documents of a corpus; none if none of these is scored.
    ///
    /// The exposure of a pole is the sum of the discounts of the ranks at which its documents are (Singh & Joachims, *Fairness of Exposure
    /// in Rankings*, KDD 2018, <https://doi.org/10.1145/3219819.3220088>), here over all questions and as a share of that of all scored
    /// documents. NDKL of a ranking is Σᵢ dᵢ·KL(Dᵢ ‖ D)/Σᵢ dᵢ, with dᵢ the discount of rank i, Dᵢ the shares of the leans −1, 0 and +1
    /// among the scored documents of ranks 1 to i, and D those of the corpus; in nats, with `log2` as published (Geyik, Ambler &
    /// Kenthapadi, *Fairness-Aware Ranking in Search & Recommendation Systems*, KDD 2019, <https://doi.org/10.1145/3292500.3330691>). A
    /// document without a score takes its rank and has no part in the shares. `divergence` is the mean over the questions with a scored
    /// document. Both intervals are those of [`ClusterBootstrap`] over topics.
    pub fn of(
        rankings: &[RankedVerdicts<'_>],
        corpus: &[Verdict],
        discount: Discount,
        bootstrap: ClusterBootstrap,
    ) -> Option<Self> {
        let shares = Shares::of(corpus)?;
        let (mut totals, mut by_question) = ([0.0; 3], Vec::with_capacity(rankings.len()));
        for ranking in rankings {
            let mut exposure = [0.0; 3];
            for (rank, lean) in scored(ranking.verdicts) {
                exposure[place(lean)] += discount.at(rank);
            }
            totals.iter_mut().zip(exposure).for_each(|(total, own)| *total += own);
            let weight = exposure.iter().sum::<f64>();
            let value = if weight > 0.0 { (exposure[2] - exposure[0]) / weight } else { 0.0 };
            by_question.push(Weighted { topic: ranking.topic, value, weight });
        }
        let whole: f64 = totals.iter().sum();
        let bias = bootstrap.mean(by_question, &(-1.0..=1.0))?;

        let longest = rankings.iter().map(|ranking| ranking.verdicts.len()).max().unwrap_or(0);
        let chance: Vec<f64> = (0..=longest).map(|count| shares.divergence_by_chance(count)).collect();
        let (mut divergences, mut by_chance) = (Vec::new(), 0.0);
        for ranking in rankings {
            if let Some((value, expected)) = shares.divergences(ranking.verdicts, discount, &chance) {
                divergences.push(Weighted { topic: ranking.topic, value, weight: 1.0 });
                by_chance += expected;
            }
        }
        let divergence_by_chance = by_chance / divergences.len() as f64;
        let divergence = bootstrap.mean(divergences, &(0.0..=shares.largest_divergence()))?;
        let (negative, positive) = (totals[0] / whole, totals[2] / whole);
        Some(Self { discount, negative, positive, bias, divergence, divergence_by_chance })
    }
}

/// The scored documents with their ranks, from 1.
fn scored(verdicts: &[Verdict]) -> impl Iterator<Item = (usize, Lean)> {
    (1..).zip(verdicts).filter_map(|(rank, verdict)| Some((rank, verdict.lean()?)))
}

/// The shares of the leans −1, 0 and +1 in a corpus.
struct Shares([f64; 3]);

impl Shares {
    fn of(corpus: &[Verdict]) -> Option<Self> {
        let mut counts = [0.0; 3];
        scored(corpus).for_each(|(_, lean)| counts[place(lean)] += 1.0);
        let n: f64 = counts.iter().sum();
        (n > 0.0).then(|| Self(counts.map(|count| count / n)))
    }

    /// Σ p·ln(p/q) of counts, where an absent lean adds 0.
    fn divergence(&self, counts: [usize; 3]) -> f64 {
        let n = counts.iter().sum::<usize>() as f64;
        let term = |(count, share): (usize, f64)| {
            let p = count as f64 / n;
            if count == 0 { 0.0 } else { p * (p / share).ln() }
        };
        counts.into_iter().zip(self.0).map(term).sum::<f64>().max(0.0)
    }

    /// That of documents all of the rarest lean.
    fn largest_divergence(&self) -> f64 {
        let rarest = self.0.into_iter().filter(|share| *share > 0.0).fold(1.0, f64::min);
        -f64::ln(rarest)
    }

    /// The expected divergence of `n` documents drawn with these probabilities: over all their counts.
    fn divergence_by_chance(&self, n: usize) -> f64 {
        let ln_factorials: Vec<f64> = std::iter::once(0.0)
            .chain((1..=n).scan(0.0, |sum, i| {
                *sum += (i as f64).ln();
                Some(*sum)
            }))
            .collect();
        let power = |count: usize, share: f64| if count == 0 { 0.0 } else { count as f64 * share.ln() };
        let all = (0..=n).flat_map(|a| (0..=n - a).map(move |b| [a, b, n - a - b]));
        let term = |counts: [usize; 3]| {
            let ln_ways = ln_factorials[n] - counts.iter().map(|count| ln_factorials[*count]).sum::<f64>();
            let ln_chance: f64 =
                counts.into_iter().zip(self.0).map(|(count, share)| power(count, share)).sum();
            let chance = (ln_ways + ln_chance).exp();
            if chance == 0.0 { 0.0 } else { chance * self.divergence(counts) }
        };
        if n == 0 { 0.0 } else { all.map(term).sum() }
    }

    /// NDKL of a ranking, and that expected by chance of a ranking with scores at the same ranks; none if nothing is scored.
    fn divergences(&self, verdicts: &[Verdict], discount: Discount, chance: &[f64]) -> Option<(f64, f64)> {
        let (mut counts, mut n) = ([0; 3], 0);
        let (mut observed, mut expected, mut weights) = (0.0, 0.0, 0.0);
        for (rank, verdict) in (1..).zip(verdicts) {
            if let Some(lean) = verdict.lean() {
                counts[place(lean)] += 1;
                n += 1;
            }
            if n > 0 {
                let weight = discount.at(rank);
                observed += weight * self.divergence(counts);
                expected += weight * chance[n];
                weights += weight;
            }
        }
        (n > 0).then(|| (observed / weights, expected / weights))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const P: Verdict = Verdict::POSITIVE;
    const N: Verdict = Verdict::NEGATIVE;
    const O: Verdict = Verdict::NEITHER;
    const U: Verdict = Verdict::Unscored;

    fn exposure(
        rankings: &[(&str, Vec<Verdict>)],
        corpus: &[Verdict],
        discount: Discount,
    ) -> Option<Exposure> {
        let rankings: Vec<_> =
            rankings.iter().map(|(topic, verdicts)| RankedVerdicts { topic, verdicts }).collect();
        Exposure::of(&rankings, corpus, discount, ClusterBootstrap::new(2000, 1))
    }

    /// 40 questions of 10 topics with 5 documents each; scripts/reference/exposure.py makes the same.
    fn rankings() -> (Vec<(String, Vec<Verdict>)>, Vec<Verdict>) {
        let verdict = |i: usize| match i % 7 {
            0 | 3 => P,
            1 | 4 | 6 => N,
            2 => O,
            _ => U,
        };
        let ranking = |q: usize| {
            let verdicts = (0..5).map(|rank| verdict(q * q + 3 * rank * (q % 4 + 1) + rank)).collect();
            (format!("t{}", q % 10), verdicts)
        };
        ((0..40).map(ranking).collect(), (0..50).map(|i| verdict(i * i + i / 3)).collect())
    }

    #[test]
    fn exposure_and_divergence_are_those_of_an_independent_implementation() {
        let (rankings, corpus) = rankings();
        let rankings: Vec<_> =
            rankings.iter().map(|(topic, verdicts)| (topic.as_str(), verdicts.clone())).collect();
        let discounts =
            [Discount::Logarithmic, Discount::Reciprocal, Discount::Equal, Discount::Geometric(0.8)];
        for (discount, expected) in discounts.into_iter().zip(REFERENCE) {
            let found = exposure(&rankings, &corpus, discount).unwrap();
            let values = [
                found.negative,
                found.positive,
                found.bias.value,
                found.divergence.value,
                found.divergence_by_chance,
            ];
            for (value, expected) in values.into_iter().zip(expected) {
                assert!((value - expected).abs() < 1e-9, "{discount}: {values:?}");
            }
            assert!(found.bias.low < found.bias.value && found.bias.value < found.bias.high);
        }
        let found = exposure(&rankings, &corpus, Discount::Logarithmic).unwrap();
        for (estimate, (low, high)) in [found.bias, found.divergence].into_iter().zip(INTERVALS) {
            let tolerance = 0.05 * (high - low);
            assert!(
                (estimate.low - low).abs() < tolerance && (estimate.high - high).abs() < tolerance,
                "{estimate:?}"
            );
        }
    }

    // scripts/reference/exposure.py
    const REFERENCE: [[f64; 5]; 4] = [
        [0.561_534_275_832, 0.239_165_762_637, -0.322_368_513_195, 0.883_277_636_787, 0.610_152_226_225],
        [0.563_529_411_765, 0.224_901_960_784, -0.338_627_450_98, 0.962_866_945_934, 0.674_595_756_324],
        [0.558_011_049_724, 0.259_668_508_287, -0.298_342_541_436, 0.767_944_523_563, 0.516_590_246_401],
        [0.562_981_269_511, 0.245_915_712_799, -0.317_065_556_712, 0.861_834_065_689, 0.593_469_159_069],
    ];
    const INTERVALS: [(f64, f64); 2] = [(-0.438_619, -0.205_611), (0.817_007, 0.949_992)];

    #[test]
    fn a_ranking_with_the_shares_of_its_corpus_does_not_diverge_and_chance_does() {
        let all_alike =
            exposure(&[("a", vec![P, P]), ("b", vec![P])], &[P, P, U], Discount::default()).unwrap();
        assert_eq!((all_alike.divergence.value, all_alike.divergence_by_chance), (0.0, 0.0));
        // Of one document drawn from two poles at equal shares, the divergence is ln 2; of two, ln 2 or 0 with equal chances.
        let even = exposure(&[("a", vec![P, N]), ("b", vec![N, P])], &[P, N], Discount::Equal).unwrap();
        let ln2 = f64::ln(2.0);
        assert!((even.divergence.value - ln2 / 2.0).abs() < 1e-12);
        assert!((even.divergence_by_chance - f64::midpoint(ln2, ln2 / 2.0)).abs() < 1e-12);
        assert_eq!(even.bias.value, 0.0);
    }

    #[test]
    fn what_is_not_scored_takes_its_rank_and_no_share() {
        let one = exposure(&[("a", vec![U, P, N]), ("b", vec![U])], &[P, N], Discount::Reciprocal).unwrap();
        assert!((one.positive - 0.5 / (0.5 + 1.0 / 3.0)).abs() < 1e-12);
        assert!((one.bias.low, one.bias.high) == (-1.0, 1.0), "one topic has a score: {one:?}");
        assert!(exposure(&[("a", vec![U])], &[P], Discount::default()).is_none());
    }

    #[test]
    fn discounts_are_read_as_they_are_written() {
        for text in ["log2", "reciprocal", "none", "0.8"] {
            assert_eq!(text.parse::<Discount>().unwrap().to_string(), text);
        }
        for bad in ["1", "0", "ndcg", "-0.5", "NaN"] {
            assert!(bad.parse::<Discount>().unwrap_err().contains(bad));
        }
    }
}
