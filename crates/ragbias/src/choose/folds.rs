//! Cross-fitting: each fold of topics is judged at the setting that was found on the others, so that every question counts towards
//! the verdict, and none towards the choice that it judges.

use std::collections::BTreeMap;
use std::rc::Rc;

use ragbias_core::{ContentHasher, Counts};

use super::choice::FoldChoice;
use super::outcomes::Outcomes;
use super::search::Search;
use crate::control::ControlKind;
use crate::{Error, Result};

/// Folds of topics.
#[derive(Debug, Clone)]
pub(super) struct Folds {
    /// The rows of the questions of each.
    rows: Vec<Vec<usize>>,
}

impl Folds {
    /// Divides topics into `count` folds with similar numbers of questions. Which topics are together depends on the seed and on their
    /// names alone.
    ///
    /// # Errors
    /// Fewer topics than folds.
    pub(super) fn new(topics: &[String], count: usize, seed: u64) -> Result<Self> {
        let mut of_topic: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (row, topic) in topics.iter().enumerate() {
            of_topic.entry(topic).or_default().push(row);
        }
        if of_topic.len() < count {
            let (expected, received) = ("at most as many as there are topics", of_topic.len());
            return Err(Error::Setting {
                setting: "folds",
                expected,
                received: format!("{count} of {received} topics"),
            });
        }
        let key = |topic: &str| {
            *ContentHasher::new("folds/1").field(seed.to_le_bytes()).field(topic).finish().as_bytes()
        };
        let mut of_topic: Vec<_> = of_topic.into_iter().collect();
        // The largest topics first, so that the folds come out even.
        of_topic.sort_by_cached_key(|(topic, rows)| (std::cmp::Reverse(rows.len()), key(topic)));
        let mut folds = vec![Vec::new(); count];
        for (_, rows) in of_topic {
            let least = folds.iter_mut().min_by_key(|fold| fold.len());
            least.expect("at least two folds; this is a bug").extend(rows);
        }
        Ok(Self { rows: folds })
    }
}

/// What became of every question at the setting that was found without its fold.
pub(super) struct CrossFitted {
    pub(super) outcomes: Outcomes,
    pub(super) folds: Vec<FoldChoice>,
}

/// Finds a setting of a control without each fold, and takes the outcomes of the fold at that setting. `measure` gives the outcomes of
/// all questions at a setting.
pub(super) fn cross_fit(
    folds: &Folds,
    kind: ControlKind,
    steps: usize,
    mut measure: impl FnMut(f64) -> Result<Rc<Outcomes>>,
) -> Result<CrossFitted> {
    let neutral = measure(kind.start())?;
    let mut pooled = Outcomes::clone(&neutral);
    let mut choices = Vec::with_capacity(folds.rows.len());
    for rows in &folds.rows {
        let mut in_fold = vec![false; neutral.answers.len()];
        for &row in rows {
            in_fold[row] = true;
        }
        let mut at = |setting: f64| measure(setting)?.step(setting, |row| !in_fold[row]);
        let before = at(kind.start())?;
        let resolution = 1.0 / (neutral.answers.len() - rows.len()) as f64;
        // No prediction: the line that it comes from was fitted to this fold, too.
        let (setting, ..) =
            Search { kind, resolution, steps, interpolate: true }.close(before, None, &mut at)?;
        let rag_bias_of_others = at(setting)?.rag_bias;
        let chosen = measure(setting)?;
        for &row in rows {
            pooled.documents[row] = chosen.documents[row];
            pooled.answers[row] = chosen.answers[row];
        }
        let mut topics: Vec<&str> = rows.iter().map(|&row| chosen.topics[row].as_str()).collect();
        topics.sort_unstable();
        topics.dedup();
        choices.push(FoldChoice {
            topics: topics.len(),
            questions: rows.len(),
            setting,
            rag_bias_of_others,
            rag_bias: Counts::of(&rows.iter().map(|&row| chosen.answers[row]).collect::<Vec<_>>())
                .mean_lean(),
        });
    }
    Ok(CrossFitted { outcomes: pooled, folds: choices })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use ragbias_core::Verdict;
    use ragbias_stats::ClusterBootstrap;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    fn topics(of: &[usize]) -> Vec<String> {
        of.iter().enumerate().flat_map(|(topic, &n)| vec![format!("t{topic}"); n]).collect()
    }

    #[test]
    fn folds_keep_topics_together_and_are_even() {
        let topics = topics(&[7, 5, 5, 4, 4, 3, 2, 2, 1, 1, 1]);
        for seed in 0..20 {
            let folds = Folds::new(&topics, 3, seed).unwrap();
            let mut all: Vec<usize> = folds.rows.concat();
            all.sort_unstable();
            assert_eq!(all, (0..35).collect::<Vec<_>>());
            for fold in &folds.rows {
                assert!((11..=12).contains(&fold.len()), "{}", fold.len());
                for (row, topic) in topics.iter().enumerate() {
                    let first = topics.iter().position(|other| other == topic).unwrap();
                    assert_eq!(fold.contains(&row), fold.contains(&first));
                }
            }
        }
        let error = Folds::new(&topics, 12, 0).unwrap_err().to_string();
        assert_eq!(error, "folds is 12 of 11 topics, expected at most as many as there are topics");
    }

    /// A system in which a question's answer turns from −1 to +1 at a setting of its own. Questions of a topic are alike.
    struct Synthetic {
        turns_at: Vec<f64>,
        topics: Arc<[String]>,
    }

    impl Synthetic {
        fn new(rng: &mut ChaCha8Rng, topics: usize, per_topic: usize) -> Self {
            let mut turns_at = Vec::new();
            for _ in 0..topics {
                let middle: f64 = rng.random_range(0.3..0.7);
                turns_at.extend((0..per_topic).map(|_| middle + rng.random_range(-0.6..0.6)));
            }
            Self { turns_at, topics: super::tests::topics(&vec![per_topic; topics]).into() }
        }

        fn at(&self, setting: f64) -> Rc<Outcomes> {
            let verdict = |turn: &f64| if setting < *turn { Verdict::NEGATIVE } else { Verdict::POSITIVE };
            let answers: Vec<Verdict> = self.turns_at.iter().map(verdict).collect();
            Rc::new(Outcomes { documents: answers.clone(), answers, topics: Arc::clone(&self.topics) })
        }

        fn cross_fitted(&self, seed: u64) -> CrossFitted {
            let folds = Folds::new(&self.topics, 5, seed).unwrap();
            cross_fit(&folds, ControlKind::Merge, 12, |setting| Ok(self.at(setting))).unwrap()
        }

        /// R_b of all such systems at a setting: the chance that a turn is below it, from the density of the sum of two uniforms.
        fn truth(setting: f64) -> f64 {
            let steps = 2000;
            let below = |middle: f64| ((setting - middle + 0.6) / 1.2).clamp(0.0, 1.0);
            let chance: f64 =
                (0..steps).map(|i| below(0.3 + 0.4 * (f64::from(i) + 0.5) / f64::from(steps))).sum();
            2.0 * chance / f64::from(steps) - 1.0
        }
    }

    #[test]
    fn a_fold_has_no_part_in_the_setting_that_it_is_judged_at() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let mut system = Synthetic::new(&mut rng, 20, 5);
        let folds = Folds::new(&system.topics, 5, 0).unwrap();
        let settings = |system: &Synthetic| -> Vec<f64> {
            system.cross_fitted(0).folds.iter().map(|fold| fold.setting).collect()
        };
        let before = settings(&system);
        folds.rows[2].iter().for_each(|&row| system.turns_at[row] = 1.9);
        let after = settings(&system);
        assert_eq!(before[2], after[2]);
        assert_ne!(before, after, "the other settings are found with this fold");
    }

    #[test]
    fn the_pooled_outcomes_are_those_of_each_fold_at_its_setting() {
        let system = Synthetic::new(&mut ChaCha8Rng::seed_from_u64(2), 12, 4);
        let CrossFitted { outcomes, folds } = system.cross_fitted(3);
        let rows = Folds::new(&system.topics, 5, 3).unwrap().rows;
        for (rows, fold) in rows.iter().zip(&folds) {
            assert_eq!((fold.questions, fold.topics), (rows.len(), rows.len() / 4));
            let there = system.at(fold.setting);
            assert!(rows.iter().all(|&row| outcomes.answers[row] == there.answers[row]));
        }
    }

    /// The verdict belongs to the procedure: what is covered is the mean R_b, over all questions there could be, of the settings
    /// found without each fold.
    #[test]
    #[ignore = "takes seven seconds"]
    fn intervals_of_cross_fitted_biases_cover_the_truth_in_93_to_97_of_100_cases() {
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let (mut covered, runs) = (0, 1000);
        for run in 0..runs {
            let system = Synthetic::new(&mut rng, 60, 6);
            let CrossFitted { outcomes, folds } = system.cross_fitted(run);
            let truth: f64 =
                folds.iter().map(|fold| Synthetic::truth(fold.setting) * fold.questions as f64).sum();
            let truth = truth / 360.0;
            let bias = outcomes.biases(ClusterBootstrap::new(1000, run)).unwrap().rag_bias;
            covered += usize::from(bias.low() <= truth && truth <= bias.high());
        }
        println!("{covered} of {runs}");
        assert!((930..=970).contains(&covered), "{covered} of {runs}");
    }
}
