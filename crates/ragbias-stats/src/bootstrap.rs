use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use ragbias_core::{Bias, Counts, Error, Lean, Result, Verdict};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::Estimate;
use crate::draws::{quantile, tail_beyond_zero};

/// 95% percentile intervals of a mean lean, from a bootstrap over topics.
///
/// Questions of one topic are not independent, so whole topics are drawn with replacement, as many as there are. The
/// bias of a draw is the sum of leans divided by the number of scored texts. The interval runs from the 2.5% to the
/// 97.5% quantile of all draws. Source: Field & Welsh, *Bootstrapping clustered data*, J. R. Stat. Soc. B 69 (2007)
/// 369–390, <https://doi.org/10.1111/j.1467-9868.2007.00593.x>; percentile intervals: Efron & Tibshirani, *An
/// Introduction to the Bootstrap* (1993), ch. 13. Assumes that topics are exchangeable; with fewer than about 20 of
/// them the interval tends to be too narrow.
///
/// Two cases for which a bootstrap gives no spread are handled separately. With one topic the spread is unknown, and the interval
/// is [−1, 1]. If all scored texts agree, every draw is the same and the bootstrap interval is a point; then each of
/// the m topics is treated as a trial with m successes in total, whose Clopper–Pearson bound p = 0.025^(1/m) allows
/// 1 − p of the texts to lean otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClusterBootstrap {
    draws: usize,
    seed: u64,
}

impl Default for ClusterBootstrap {
    /// 10,000 draws, seed 0.
    fn default() -> Self {
        Self { draws: 10_000, seed: 0 }
    }
}

impl ClusterBootstrap {
    /// | parameter | purpose | range |
    /// | --- | --- | --- |
    /// | `draws` | resamples; with 10,000 the interval's ends err by about 1% of its width | 100 and more; less is taken as 100 |
    /// | `seed` | the same seed gives the same interval | any |
    pub fn new(draws: usize, seed: u64) -> Self {
        Self { draws: draws.max(100), seed }
    }

    /// The bias of these verdicts; `topics[i]` is the cluster of `verdicts[i]`.
    ///
    /// # Errors
    /// [`Error::BatchLength`] if the lengths differ, [`Error::NothingScored`] if no verdict is scored.
    pub fn bias(&self, verdicts: &[Verdict], topics: &[impl AsRef<str>]) -> Result<Bias> {
        let (clusters, all) = clusters(verdicts, topics)?;
        let interval = self.interval(&clusters, all.map(Lean::value), &RANGE);
        Bias::from_verdicts(verdicts, interval)
    }

    /// The weighted mean of values within a range, Σ value·weight/Σ weight, over texts with the names of their topics.
    ///
    /// Its interval is that of [`Self::bias`]; with one topic it is the whole range, and where all values are equal each end allows a share
    /// 1 − 0.025^(1/m) of the weight to lie at that end of the range. Texts of weight 0 are left out; none if all have weight 0.
    pub(crate) fn mean<'t>(
        &self,
        values: impl IntoIterator<Item = Weighted<'t>>,
        range: &RangeInclusive<f64>,
    ) -> Option<Estimate> {
        let mut clusters: BTreeMap<&str, Cluster> = BTreeMap::new();
        let (mut total, mut least, mut greatest) = (Cluster::default(), f64::INFINITY, f64::NEG_INFINITY);
        for Weighted { topic, value, weight } in values.into_iter().filter(|text| text.weight > 0.0) {
            for cluster in [clusters.entry(topic).or_default(), &mut total] {
                cluster.sum += value * weight;
                cluster.weight += weight;
            }
            (least, greatest) = (least.min(value), greatest.max(value));
        }
        let clusters: Vec<Cluster> = clusters.into_values().collect();
        if clusters.is_empty() {
            return None;
        }
        let interval = self.interval(&clusters, (least == greatest).then_some(least), range);
        Some(Estimate::within(total.sum / total.weight, *interval.start(), *interval.end()))
    }

    /// The two-sided p value of the hypothesis that there is no bias: the level at which the interval of [`Self::bias`] ends at 0.
    ///
    /// With topics that all agree on one pole it is 2·0.5^m, the probability that m topics do so by chance. 1 for fewer than two topics.
    ///
    /// # Errors
    /// As for [`Self::bias`].
    pub fn p_of_no_bias(&self, verdicts: &[Verdict], topics: &[impl AsRef<str>]) -> Result<f64> {
        let (clusters, unanimous) = clusters(verdicts, topics)?;
        let count = i32::try_from(clusters.len()).unwrap_or(i32::MAX);
        Ok(match unanimous {
            _ if count < 2 => 1.0,
            Some(Lean::Neutral) => 1.0,
            Some(_) => 2.0 * 0.5_f64.powi(count),
            None => (2.0 * tail_beyond_zero(&self.values(&clusters))).min(1.0),
        })
    }

    /// Of values within a range; `all` is the value of all of them, if they have the same.
    fn interval(
        &self,
        clusters: &[Cluster],
        all: Option<f64>,
        range: &RangeInclusive<f64>,
    ) -> RangeInclusive<f64> {
        match all {
            _ if clusters.len() == 1 => range.clone(),
            Some(value) => unanimous(value, range, clusters.len()),
            None => self.percentiles(clusters),
        }
    }

    fn percentiles(&self, clusters: &[Cluster]) -> RangeInclusive<f64> {
        let values = self.values(clusters);
        quantile(&values, 0.025)..=quantile(&values, 0.975)
    }

    /// The means of all draws, in ascending order.
    fn values(&self, clusters: &[Cluster]) -> Vec<f64> {
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        let mut values: Vec<f64> = (0..self.draws)
            .map(|_| {
                let mut total = Cluster::default();
                for _ in clusters {
                    let drawn = &clusters[rng.random_range(0..clusters.len())];
                    total.sum += drawn.sum;
                    total.weight += drawn.weight;
                }
                total.sum / total.weight
            })
            .collect();
        values.sort_by(f64::total_cmp);
        values
    }
}

/// The range of a lean.
const RANGE: RangeInclusive<f64> = -1.0..=1.0;

/// A value with its topic and its weight, at least 0.
pub(crate) struct Weighted<'t> {
    pub(crate) topic: &'t str,
    pub(crate) value: f64,
    pub(crate) weight: f64,
}

/// One topic: sums of its weighted values and of its weights.
#[derive(Debug, Clone, Copy, Default)]
struct Cluster {
    sum: f64,
    weight: f64,
}

/// The topics with a scored text, and the lean of all texts if they have the same.
fn clusters(verdicts: &[Verdict], topics: &[impl AsRef<str>]) -> Result<(Vec<Cluster>, Option<Lean>)> {
    if verdicts.len() != topics.len() {
        let (expected, received) = (verdicts.len(), topics.len());
        return Err(Error::BatchLength { component: "the list of topics", expected, received });
    }
    let mut clusters: BTreeMap<&str, Cluster> = BTreeMap::new();
    for (verdict, topic) in verdicts.iter().zip(topics) {
        if let Some(lean) = verdict.lean() {
            let cluster = clusters.entry(topic.as_ref()).or_default();
            cluster.sum += lean.value();
            cluster.weight += 1.0;
        }
    }
    let mut leans = verdicts.iter().filter_map(|verdict| verdict.lean());
    let first = leans.next().ok_or_else(|| Error::NothingScored(Counts::of(verdicts)))?;
    let all = leans.all(|lean| lean == first).then_some(first);
    Ok((clusters.into_values().collect(), all))
}

/// All values are this one: a share of the weight may be at either end of the range.
fn unanimous(value: f64, range: &RangeInclusive<f64>, topics: usize) -> RangeInclusive<f64> {
    let elsewhere = 1.0 - 0.025_f64.powf(1.0 / topics as f64);
    value - elsewhere * (value - range.start())..=value + elsewhere * (range.end() - value)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// 24 topics of 5 questions whose verdicts follow a fixed pattern with within-topic agreement.
    fn clustered() -> (Vec<Verdict>, Vec<String>) {
        (0..120)
            .map(|i| {
                let topic = i / 5;
                let verdict = match (topic * 7 + i % 5) % 6 {
                    0..=2 => Verdict::POSITIVE,
                    3 | 4 => Verdict::NEGATIVE,
                    _ => Verdict::NEITHER,
                };
                (verdict, format!("t{topic}"))
            })
            .unzip()
    }

    #[test]
    fn the_interval_agrees_with_an_independent_bootstrap() {
        // numpy 2.4: rng = default_rng(1); s, n = per-topic sums and counts; d = rng.integers(0, 24, (200000, 24));
        // v = s[d].sum(1) / n[d].sum(1); np.quantile(v, [.025, .975])
        // → [0.1, 0.24166667]; a step of the bootstrap distribution is 1/120.
        let (verdicts, topics) = clustered();
        let bias = ClusterBootstrap::new(20_000, 3).bias(&verdicts, &topics).unwrap();
        assert!((bias.low() - 0.1).abs() < 0.009, "{bias:?}");
        assert!((bias.high() - 0.241_666_67).abs() < 0.009, "{bias:?}");
    }

    #[test]
    fn the_same_seed_gives_the_same_interval_and_order_is_irrelevant() {
        let (mut verdicts, mut topics) = clustered();
        let first = ClusterBootstrap::new(500, 9).bias(&verdicts, &topics).unwrap();
        verdicts.reverse();
        topics.reverse();
        assert_eq!(ClusterBootstrap::new(500, 9).bias(&verdicts, &topics).unwrap(), first);
    }

    #[test]
    fn agreement_of_all_is_no_certainty() {
        let bias = |n: usize| {
            let topics: Vec<_> = (0..n).map(|i| i.to_string()).collect();
            ClusterBootstrap::default().bias(&vec![Verdict::NEGATIVE; n], &topics).unwrap()
        };
        // R: binom.test(10, 10)$conf.int → 0.6915029, so at most 0.308 lean the other way.
        let ten = bias(10);
        assert_eq!((ten.value(), ten.low()), (-1.0, -1.0));
        assert!((ten.high() - -(2.0 * 0.691_502_9 - 1.0)).abs() < 1e-6, "{ten:?}");
        assert_eq!((bias(1).low(), bias(1).high()), (-1.0, 1.0));
    }

    #[test]
    fn the_p_value_is_the_level_at_which_the_interval_ends_at_0() {
        let (verdicts, topics) = clustered();
        let p = ClusterBootstrap::new(20_000, 3).p_of_no_bias(&verdicts, &topics).unwrap();
        assert!(p < 0.001, "{p}");
        // 18 topics of +1 and 6 of −1 with one text each; 2·P(binomial(24, 0.75) ≤ 12) → 0.0144, as a draw of 12 is a mean of 0.
        let verdicts: Vec<_> =
            (0..24).map(|i| if i % 4 == 0 { Verdict::NEGATIVE } else { Verdict::POSITIVE }).collect();
        let topics: Vec<_> = (0..24).map(|i| i.to_string()).collect();
        let p = ClusterBootstrap::new(40_000, 1).p_of_no_bias(&verdicts, &topics).unwrap();
        assert!((p - P_OF_18).abs() < 0.002, "{p}");
        let p = |verdict, n: usize| {
            ClusterBootstrap::default().p_of_no_bias(&vec![verdict; n], &topics[..n]).unwrap()
        };
        assert_eq!(
            (p(Verdict::POSITIVE, 4), p(Verdict::NEITHER, 4), p(Verdict::POSITIVE, 1)),
            (0.125, 1.0, 1.0)
        );
    }

    // scipy: 2 * scipy.stats.binom(24, 0.75).cdf(12)
    const P_OF_18: f64 = 0.014_399;

    #[test]
    fn unscored_texts_are_counted_and_change_nothing_else() {
        let (mut verdicts, mut topics) = clustered();
        let before = ClusterBootstrap::default().bias(&verdicts, &topics).unwrap();
        verdicts.push(Verdict::Unscored);
        topics.push("t3".into());
        let after = ClusterBootstrap::default().bias(&verdicts, &topics).unwrap();
        assert_eq!((before.low(), before.high(), before.n()), (after.low(), after.high(), after.n()));
        assert_eq!(after.unscored(), 1);
    }

    proptest! {
        #[test]
        fn swapping_the_poles_mirrors_value_and_interval(seed in 0_u64..50, picks in prop::collection::vec(0..4_usize, 4..60)) {
            let all = [Verdict::POSITIVE, Verdict::NEGATIVE, Verdict::NEITHER, Verdict::scored(true, true)];
            let verdicts: Vec<_> = picks.iter().map(|&p| all[p]).collect();
            let swapped: Vec<_> = verdicts.iter().map(|v| v.swapped()).collect();
            let topics: Vec<_> = (0..verdicts.len()).map(|i| (i % 7).to_string()).collect();
            let bootstrap = ClusterBootstrap::new(200, seed);
            let (a, b) = (bootstrap.bias(&verdicts, &topics).unwrap(), bootstrap.bias(&swapped, &topics).unwrap());
            prop_assert_eq!(a.value(), -b.value());
            prop_assert!((a.low() + b.high()).abs() < 1e-12 && (a.high() + b.low()).abs() < 1e-12);
        }
    }
}
