//! How well choices predict the systems of models that were left out.

use std::collections::{BTreeMap, BTreeSet};

use ragbias::stats::{BoostedTrees, ElasticNet, Estimate, UnitBootstrap, matrix};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use super::systems::{Choice, Unit};
use crate::error::Result;

/// How a value is predicted.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Predictor {
    /// The mean of the others.
    Mean,
    /// A penalised line.
    Line { penalty: f64 },
    /// Boosted trees.
    Trees,
}

/// A predictor that was fitted.
enum Fitted {
    Mean(f64),
    Line(ElasticNet),
    Trees(BoostedTrees),
}

/// Units as rows of numbers, without the columns that are the same in all.
pub(super) struct Design {
    columns: Vec<Choice>,
    rows: Vec<Vec<f64>>,
    values: Vec<f64>,
    /// The model of each row, as a number from 0.
    groups: Vec<usize>,
    /// How many there are.
    models: usize,
}

/// Draws of a permuted choice.
const PERMUTATIONS: usize = 20;

impl Design {
    /// The choices that `keep` names.
    pub(super) fn new(units: &[Unit], keep: impl Fn(&str) -> bool) -> Self {
        let names: BTreeSet<&Choice> = units.iter().flat_map(|unit| unit.choices.keys()).collect();
        let value = |unit: &Unit, choice: &Choice| unit.choices.get(choice).copied().unwrap_or_default();
        let varies = |choice: &&Choice| {
            units.iter().any(|unit| value(unit, choice) != value(&units[0], choice)) && keep(choice.0)
        };
        let columns: Vec<Choice> = names.into_iter().filter(varies).cloned().collect();
        let rows = units.iter().map(|unit| columns.iter().map(|choice| value(unit, choice)).collect());
        let mut models = BTreeMap::new();
        for unit in units {
            let next = models.len();
            models.entry(unit.llm.as_str()).or_insert(next);
        }
        Self {
            rows: rows.collect(),
            columns,
            values: units.iter().map(|unit| unit.value).collect(),
            groups: units.iter().map(|unit| models[unit.llm.as_str()]).collect(),
            models: models.len(),
        }
    }

    /// The choices that differ between units.
    pub(super) fn choices(&self) -> BTreeSet<&'static str> {
        self.columns.iter().map(|(choice, _)| *choice).collect()
    }

    /// Number of models, each left out once.
    pub(super) fn models(&self) -> usize {
        self.models
    }

    /// |value − prediction| of each unit, by a predictor fitted to the units of all other models; none with fewer than three models, as
    /// two would leave one to learn from.
    pub(super) fn errors(&self, predictor: Predictor) -> Result<Option<Vec<f64>>> {
        let Some(fitted) = self.fitted(predictor)? else { return Ok(None) };
        self.errors_at(&fitted, &self.rows).map(Some)
    }

    fn errors_at(&self, fitted: &[Fitted], rows: &[Vec<f64>]) -> Result<Vec<f64>> {
        let units = rows.iter().zip(&self.values).zip(&self.groups);
        units
            .map(|((row, value), &group)| {
                let at = ndarray::ArrayView1::from(row.as_slice());
                let predicted = match &fitted[group] {
                    Fitted::Mean(mean) => *mean,
                    Fitted::Line(line) => line.predict(at),
                    Fitted::Trees(trees) => trees.predict(at)?,
                };
                Ok((value - predicted).abs())
            })
            .collect()
    }

    /// A predictor for each model, fitted without it.
    fn fitted(&self, predictor: Predictor) -> Result<Option<Vec<Fitted>>> {
        if self.models < 3 {
            return Ok(None);
        }
        let without = |group: usize| -> Result<Fitted> {
            let others = || (0..self.rows.len()).filter(|&unit| self.groups[unit] != group);
            let values: Vec<f64> = others().map(|unit| self.values[unit]).collect();
            let rows: Vec<Vec<f64>> = others().map(|unit| self.rows[unit].clone()).collect();
            let mean = Fitted::Mean(values.iter().sum::<f64>() / values.len() as f64);
            let Some(rows) = matrix(&rows).filter(|rows| rows.ncols() > 0 && rows.nrows() > 1) else {
                return Ok(mean);
            };
            Ok(match predictor {
                Predictor::Mean => mean,
                Predictor::Line { penalty } => Fitted::Line(ElasticNet::fit(rows.view(), &values, penalty)?),
                Predictor::Trees => Fitted::Trees(BoostedTrees::fit(rows.view(), &values)?),
            })
        };
        (0..self.models).map(without).collect::<Result<Vec<Fitted>>>().map(Some)
    }

    /// By how much the mean error rises when the values of one choice are exchanged between units at random, with its interval over
    /// models. Source: Breiman, *Random Forests*, Machine Learning 45 (2001) 5–32, <https://doi.org/10.1023/A:1010933404324>.
    pub(super) fn importance(
        &self,
        predictor: Predictor,
        choice: &str,
        seed: u64,
    ) -> Result<Option<Estimate>> {
        let Some(fitted) = self.fitted(predictor)? else { return Ok(None) };
        let before = self.errors_at(&fitted, &self.rows)?;
        let columns: Vec<usize> =
            (0..self.columns.len()).filter(|&column| self.columns[column].0 == choice).collect();
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut rises = vec![0.0; self.rows.len()];
        for _ in 0..PERMUTATIONS {
            let mut from: Vec<usize> = (0..self.rows.len()).collect();
            from.shuffle(&mut rng);
            let mut rows = self.rows.clone();
            for (row, &from) in rows.iter_mut().zip(&from) {
                for &column in &columns {
                    row[column] = self.rows[from][column];
                }
            }
            let after = self.errors_at(&fitted, &rows)?;
            for ((rise, after), before) in rises.iter_mut().zip(after).zip(&before) {
                *rise += (after - before) / PERMUTATIONS as f64;
            }
        }
        Ok(self.over_models(seed, |units| {
            let (sum, count) = units.fold((0.0, 0.0), |(sum, count), unit| (sum + rises[unit], count + 1.0));
            Some(sum / count)
        }))
    }

    /// A statistic of units with its interval over the models that they belong to.
    fn over_models(
        &self,
        seed: u64,
        statistic: impl Fn(&mut dyn Iterator<Item = usize>) -> Option<f64>,
    ) -> Option<Estimate> {
        let of_model = |model: usize| (0..self.rows.len()).filter(move |&unit| self.groups[unit] == model);
        UnitBootstrap::new(self.models, seed)
            .estimate(|models| statistic(&mut models.iter().flat_map(|&model| of_model(model))))
    }

    /// 1 − Σ|error| / Σ|error against which it is compared|, in the same units, with its interval over models: the share of the error that
    /// is gained. Source: Liu et al., *Not-Just-Scaling Laws*, <https://arxiv.org/abs/2503.03862>, who compare mean absolute errors.
    pub(super) fn gain(&self, errors: &[f64], against: &[f64], seed: u64) -> Option<Estimate> {
        self.over_models(seed, |units| {
            let (of, than) =
                units.fold((0.0, 0.0), |(of, than), unit| (of + errors[unit], than + against[unit]));
            (than > 0.0).then(|| 1.0 - of / than)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::systems::SIZE;
    use super::*;

    /// Eight LLMs with four systems each: k is 1 or 3, the embedder leans by ±0.5.
    fn units(value: impl Fn(f64, f64, f64, usize) -> f64) -> Vec<Unit> {
        (0..32)
            .map(|i| {
                let (model, k, lean) = (i / 4, f64::from(i as u32 % 2), f64::from(i as u32 / 2 % 2) - 0.5);
                let size = 8.0 + 0.2 * model as f64;
                let choices = BTreeMap::from([
                    ((SIZE, None), size),
                    (("documents k", None), k),
                    (("E_b", None), lean),
                    (("pooling", Some("mean".into())), 1.0),
                ]);
                Unit { llm: format!("llm {model}"), choices, value: value(size, k, lean, i) }
            })
            .collect()
    }

    fn gain(units: &[Unit], predictor: Predictor) -> Estimate {
        let (all, size) = (Design::new(units, |_| true), Design::new(units, |choice| choice == SIZE));
        let of = |design: &Design| design.errors(predictor).unwrap().unwrap();
        all.gain(&of(&all), &of(&size), 0).unwrap()
    }

    #[test]
    fn a_choice_that_matters_is_found_by_both_predictors_and_its_importance_too() {
        let noise = |i: usize| 0.05 * (i as f64 * 12.9).sin();
        let units = units(|size, k, lean, i| 0.1 * size + 0.4 * k + 0.6 * lean + noise(i));
        for predictor in [Predictor::Line { penalty: 0.01 }, Predictor::Trees] {
            let gain = gain(&units, predictor);
            assert!(gain.low > 0.5, "{predictor:?}: {gain:?}");
            let design = Design::new(&units, |_| true);
            assert_eq!(design.choices().into_iter().collect::<Vec<_>>(), ["E_b", "documents k", SIZE]);
            let importance = |choice: &str| design.importance(predictor, choice, 0).unwrap().unwrap();
            // Half of the exchanges change k, by 0.4.
            let of_k = importance("documents k");
            assert!(of_k.low > 0.08 && of_k.value < 0.3, "{of_k:?}");
        }
    }

    #[test]
    fn values_that_depend_on_no_choice_show_no_gain() {
        // A hash of the number of the unit, which no choice has anything to do with.
        let noise = |i: usize| ((i as f64 + 1.0) * 78.233).sin() * 43_758.545 % 1.0;
        let units = units(|_, _, _, i| noise(i));
        for predictor in [Predictor::Line { penalty: 0.05 }, Predictor::Trees] {
            let gain = gain(&units, predictor);
            assert!(gain.low <= 0.0, "{predictor:?}: {gain:?}");
        }
    }

    #[test]
    fn two_models_identify_nothing() {
        let two: Vec<Unit> = units(|size, _, _, _| size).into_iter().take(8).collect();
        assert!(Design::new(&two, |_| true).errors(Predictor::Trees).unwrap().is_none());
    }
}
