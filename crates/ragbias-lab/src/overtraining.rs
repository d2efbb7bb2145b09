//! Does an embedder that was trained longer break sooner when it is reversed?

use std::sync::Arc;

use ragbias::core::ContentHasher;
use ragbias::stats::UnitBootstrap;
use ragbias::tune::{MineConfig, Scope, TrainConfig, Weights};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::bench::Bench;
use crate::chart::{Chart, Point, Series};
use crate::error::{Error, Result};
use crate::instrument::Instrument;
use crate::pairs::{LongerTraining, Pairs};
use crate::report::{Figure, Finding, Report, Table, shown, signed};
use crate::tuning::{Outcomes, TunedBase, TunedSetting, pole};

/// Does an embedder that was trained longer break sooner when it is reversed?
///
/// The base is trained further on pairs of a question and its passage, for 0, 1, 2, 4 and 8 times a budget of steps. Each result is reversed
/// by the same recipe, a head, and perturbed by Gaussian noise.
///
/// | parameter | default | purpose | range |
/// | --- | --- | --- | --- |
/// | `tuning` | MiniLM on `gender-twins`, utility `gender` | base, axis and data of the reversal | |
/// | `towards` | `female` | the pole that embedders are reversed to | a pole of the axis |
/// | `pairs` | `brevity`, `position`, `wording` | bundled data sets whose questions and passages the base is trained on | at least one |
/// | `budget` | 10 | steps of 8 questions that are the unit of training, in proportion to the size | 1 to 100,000 |
/// | `training-rate` | 2e-5 | peak learning rate of that training | above 0 |
/// | `reversal-rate`, `reversal-epochs` | 1e-3, 10 | recipe of the reversal | above 0 |
/// | `noise` | 0.05, 0.1, 0.2 | λ, the noise's standard deviation in root mean squares of a matrix | above 0 |
/// | `draws` | 2 | draws of the noise, in proportion to the size | 1 to 1,000 |
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Overtraining {
    /// Base, axis and data of the reversal.
    pub tuning: TunedSetting,
    /// The pole that embedders are reversed to.
    pub towards: String,
    /// Bundled data sets whose questions and passages the base is trained on.
    pub pairs: Vec<String>,
    /// Steps that are the unit of training, at size 1.
    pub budget: usize,
    /// Peak learning rate of the training.
    pub training_rate: f64,
    /// Peak learning rate of the reversal.
    pub reversal_rate: f64,
    /// Epochs of the reversal.
    pub reversal_epochs: usize,
    /// Standard deviations of the noise, in root mean squares of each matrix.
    pub noise: Vec<f64>,
    /// Draws of the noise, at size 1.
    pub draws: usize,
}

impl Default for Overtraining {
    fn default() -> Self {
        Self {
            tuning: TunedSetting { utility: "gender".into(), ..TunedSetting::default() },
            towards: "female".into(),
            pairs: ["brevity", "position", "wording"].map(str::to_owned).to_vec(),
            budget: 10,
            training_rate: 2e-5,
            reversal_rate: 1e-3,
            reversal_epochs: 10,
            noise: vec![0.05, 0.1, 0.2],
            draws: 2,
        }
    }
}

/// Training in units of the budget.
const BUDGETS: [usize; 5] = [0, 1, 2, 4, 8];

/// Merge weights of the reversal.
const MERGES: [f64; 3] = [0.25, 0.5, 1.0];

/// One base, trained for a number of steps.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Trained {
    steps: usize,
    untuned: Outcomes,
    /// At each merge weight of the reversal.
    reversed: Vec<Outcomes>,
    /// nDCG@10 of each utility question at each standard deviation of the noise, the mean of its draws.
    noisy: Vec<Vec<f64>>,
}

impl Instrument for Overtraining {
    fn name(&self) -> &'static str {
        "overtraining"
    }

    fn question(&self) -> &'static str {
        "Does an embedder that was trained longer break sooner when it is reversed?"
    }

    fn check(&self) -> Result<()> {
        let wrong = |setting, expected, received| Err(Error::Setting { setting, expected, received });
        if self.pairs.is_empty() {
            return wrong("pairs", "at least one data set", "none".into());
        }
        if !(1..=100_000).contains(&self.budget) {
            return wrong("budget", "1 to 100000", self.budget.to_string());
        }
        if !(1..=1000).contains(&self.draws) {
            return wrong("draws", "1 to 1000", self.draws.to_string());
        }
        let positive = |noise: &f64| noise.is_finite() && *noise > 0.0;
        if self.noise.is_empty() || !self.noise.iter().all(positive) {
            return wrong("noise", "standard deviations above 0", format!("{:?}", self.noise));
        }
        LongerTraining { pairs: &self.pairs, rate: self.training_rate, steps: 1 }.check()?;
        self.reversal().check(usize::MAX)?;
        self.tuning.check()?;
        pole(&self.tuning.axis, &self.towards)?;
        Pairs::load(&self.pairs).map(drop)
    }

    fn run(&self, bench: &Bench) -> Result<Report> {
        let pairs = Pairs::load(&self.pairs)?;
        let unit = bench.scaled(self.budget, 1);
        let mut all = Vec::new();
        for budget in BUDGETS {
            all.push(self.trained(&pairs, budget * unit, bench)?);
        }
        Ok(self.report(&all, &pairs, bench))
    }
}

impl Overtraining {
    fn reversal(&self) -> TrainConfig {
        TrainConfig::new(Scope::Head, self.reversal_rate, self.reversal_epochs)
    }

    /// The base trained for this many steps, reversed, and perturbed.
    fn trained(&self, pairs: &Pairs, steps: usize, bench: &Bench) -> Result<Trained> {
        let untrained = bench.workspace().models().base(&self.tuning.base, bench.progress())?;
        let key = (self, untrained.id(), steps, bench.scaled(self.draws, 1), bench.seed());
        bench.kept("base", &key, || {
            let longer = LongerTraining { pairs: &self.pairs, rate: self.training_rate, steps };
            let setting =
                TunedSetting { base: longer.base(pairs, &self.tuning.base, bench)?, ..self.tuning.clone() };
            bench.progress().note(&format!("reversing and perturbing what was trained for {steps} steps"));
            let (untuned, reversed) = self.reversed(&setting, bench)?;
            let noisy = self.noisy(&setting, bench)?;
            Ok(Trained { steps, untuned, reversed, noisy })
        })
    }

    fn reversed(&self, setting: &TunedSetting, bench: &Bench) -> Result<(Outcomes, Vec<Outcomes>)> {
        let base = TunedBase::load(setting, Scope::Head, bench)?;
        let config = MineConfig::default();
        let towards = pole(&self.tuning.axis, &self.towards)?;
        let examples = base.examples(&base.mined(base.training(), config)?, towards, config)?;
        let trained = base.train(&self.reversal(), &examples)?;
        let mut reversed = Vec::new();
        for w in MERGES {
            let id =
                ContentHasher::new("reversed/1").field(base.id().as_bytes()).field(w.to_le_bytes()).finish();
            reversed.push(base.measure(base.tuned(&base.merged(&trained.weights, w)?, id)?)?);
        }
        Ok((base.measure(base.untuned()?)?, reversed))
    }

    fn noisy(&self, setting: &TunedSetting, bench: &Bench) -> Result<Vec<Vec<f64>>> {
        // Tokens alone are prepared: no hidden state survives a change of the weights.
        let base = TunedBase::load(setting, Scope::Full, bench)?;
        let draws = bench.scaled(self.draws, 1);
        let step = bench.progress().begin(
            "perturbing",
            (draws * self.noise.len()) as u64,
            ragbias::core::Unit::Items,
        );
        let mut noisy = Vec::new();
        for lambda in &self.noise {
            let mut sum: Vec<f64> = Vec::new();
            for draw in 0..draws as u64 {
                let id =
                    ContentHasher::new("noise/1").field(base.id().as_bytes()).field(lambda.to_le_bytes());
                let id = id.field(draw.to_le_bytes()).field(bench.seed().to_le_bytes()).finish();
                let mut rng = ChaCha8Rng::from_seed(*id.as_bytes());
                let perturbed = Weights::base()
                    .with_matrices(base.base(), |_, _, values| add_noise(values, *lambda, &mut rng))?;
                let found = base.utility(Arc::new(base.tuned(&perturbed, id)?))?;
                sum.resize(found.len(), 0.0);
                sum.iter_mut().zip(found).for_each(|(sum, found)| *sum += found / draws as f64);
                step.advance(1);
            }
            noisy.push(sum);
        }
        Ok(noisy)
    }

    fn report(&self, all: &[Trained], pairs: &Pairs, bench: &Bench) -> Report {
        let mut report = Report::new(self.name(), self.question());
        let questions = all[0].untuned.ndcg10.len();
        let bootstrap = UnitBootstrap::new(questions, bench.seed());
        let most = MERGES.len() - 1;
        let lost = |trained: &Trained, to: &[f64], units: &[usize]| {
            units.iter().map(|&unit| trained.untuned.ndcg10[unit] - to[unit]).sum::<f64>()
                / units.len() as f64
        };
        let cost = |trained: &Trained, units: &[usize]| {
            let moved = trained.reversed[most].embedder_bias() - trained.untuned.embedder_bias();
            (moved.abs() > 0.05).then(|| lost(trained, &trained.reversed[most].ndcg10, units) / moved.abs())
        };
        let by_doubling = |value: &dyn Fn(&Trained, &[usize]) -> Option<f64>| {
            bootstrap.estimate(|units| {
                let points: Option<Vec<(f64, f64)>> = (all.iter().zip(BUDGETS))
                    .map(|(trained, budget)| Some(((budget as f64 + 1.0).log2(), value(trained, units)?)))
                    .collect();
                slope(&points?)
            })
        };
        report.findings.push(Finding::new(
            "nDCG@10 lost per unit of E_b reversed, without training",
            bootstrap.estimate(|units| cost(&all[0], units)),
            questions,
            "questions",
            "what the reversal of the base itself costs",
        ));
        report.findings.push(Finding::new(
            "its change per doubling of 1 + training / budget",
            by_doubling(&cost),
            questions,
            "questions",
            "above 0: the longer trained breaks sooner when reversed",
        ));
        for (place, lambda) in self.noise.iter().enumerate() {
            report.findings.push(Finding::new(
                format!("nDCG@10 lost to noise of λ = {lambda}, change per doubling"),
                by_doubling(&|trained, units| Some(lost(trained, &trained.noisy[place], units))),
                questions,
                "questions",
                "above 0: progressive sensitivity to the same perturbation",
            ));
        }
        report.findings.push(Finding::new(
            "nDCG@10 gained by the longest training",
            bootstrap.estimate(|units| {
                let last = &all[all.len() - 1].untuned.ndcg10;
                Some(-lost(&all[0], last, units))
            }),
            questions,
            "questions",
            "of the base as it is, without noise or reversal",
        ));
        report.tables.push(self.table(all));
        report.figures.push(self.figure(all, &bootstrap));
        report.notes.push(format!(
            "Trained on {} pairs of {}, 8 a step, with 4 passages of other questions against each. The intervals are over the {questions} questions \
             of the utility collection; one training for each number of steps, and one draw of its pairs.",
            pairs.len(),
            self.pairs.join(", "),
        ));
        report
    }

    fn table(&self, all: &[Trained]) -> Table {
        let mut columns = vec!["steps".to_owned(), "E_b".into(), "nDCG@10".into()];
        columns.extend(MERGES.iter().flat_map(|w| [format!("E_b, w = {w}"), format!("nDCG@10, w = {w}")]));
        columns.extend(self.noise.iter().map(|lambda| format!("nDCG@10, λ = {lambda}")));
        let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
        let mut table = Table::new("Each training, reversed and perturbed", &columns);
        let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
        for trained in all {
            let mut row = vec![trained.steps.to_string()];
            for outcomes in std::iter::once(&trained.untuned).chain(&trained.reversed) {
                row.extend([signed(outcomes.embedder_bias()), format!("{:.3}", outcomes.utility())]);
            }
            row.extend(trained.noisy.iter().map(|values| format!("{:.3}", mean(values))));
            table.push(row);
        }
        table
    }

    /// nDCG@10 over training: as it is, reversed, and with each noise.
    fn figure(&self, all: &[Trained], bootstrap: &UnitBootstrap) -> Figure {
        let of = |name: String, colour: usize, value: &dyn Fn(&Trained) -> Vec<f64>| {
            let points = (all.iter().zip(BUDGETS)).map(|(trained, budget)| {
                let values = value(trained);
                let mean = |units: &[usize]| {
                    Some(units.iter().map(|&unit| values[unit]).sum::<f64>() / units.len() as f64)
                };
                let estimate = bootstrap.estimate(mean);
                let interval = estimate.map(|estimate| (estimate.low, estimate.high));
                let y = values.iter().sum::<f64>() / values.len() as f64;
                // The series stand side by side.
                Point { x: (budget as f64 + 1.0).log2() + 0.05 * colour as f64, y, interval }
            });
            Series { name, points: points.collect(), joined: false, colour }
        };
        let mut series = vec![
            of("as trained".into(), 4, &|trained| trained.untuned.ndcg10.clone()),
            of("reversed, w = 1".into(), 1, &|trained| trained.reversed[MERGES.len() - 1].ndcg10.clone()),
        ];
        for (place, lambda) in self.noise.iter().enumerate() {
            let colour = [0, 2, 3, 5][place.min(3)];
            series.push(of(format!("noise, λ = {lambda}"), colour, &|trained| trained.noisy[place].clone()));
        }
        let chart =
            Chart { x: "log₂(1 + training / budget)".into(), y: "nDCG@10".into(), log2: false, series };
        let first = bootstrap.estimate(|units| {
            Some(units.iter().map(|&unit| all[0].untuned.ndcg10[unit]).sum::<f64>() / units.len() as f64)
        });
        let caption = format!(
            "nDCG@10 of the base after further training, as it is, reversed, and perturbed; untrained {}.",
            first.map_or_else(String::new, shown)
        );
        Figure::new("utility", caption, &chart.draw("nDCG@10 over training"))
    }
}

/// Adds Gaussian noise with a standard deviation of λ root mean squares of the values.
fn add_noise(values: &mut [f32], lambda: f64, rng: &mut ChaCha8Rng) {
    let squares: f64 = values.iter().map(|value| f64::from(*value).powi(2)).sum();
    let deviation = lambda * (squares / values.len() as f64).sqrt();
    for value in values {
        // Box and Muller; the first number is above 0.
        let (u, v): (f64, f64) = (1.0 - rng.random::<f64>(), rng.random());
        let normal = (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos();
        *value += (deviation * normal) as f32;
    }
}

/// The slope of a line through points by least squares; none if they are all at one x.
fn slope(points: &[(f64, f64)]) -> Option<f64> {
    let n = points.len() as f64;
    let (x, y) = points.iter().fold((0.0, 0.0), |(a, b), (x, y)| (a + x / n, b + y / n));
    let spread: f64 = points.iter().map(|point| (point.0 - x).powi(2)).sum();
    let together: f64 = points.iter().map(|point| (point.0 - x) * (point.1 - y)).sum();
    (spread > 0.0).then(|| together / spread)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_noise_has_the_deviation_that_was_asked_for() {
        let mut rng = ChaCha8Rng::seed_from_u64(0);
        let mut values = vec![2.0_f32; 20_000];
        add_noise(&mut values, 0.1, &mut rng);
        let mean = values.iter().map(|v| f64::from(*v)).sum::<f64>() / 20_000.0;
        let deviation =
            (values.iter().map(|v| (f64::from(*v) - mean).powi(2)).sum::<f64>() / 20_000.0).sqrt();
        assert!((mean - 2.0).abs() < 0.01 && (deviation - 0.2).abs() < 0.005, "{mean} {deviation}");
    }

    /// Four bases whose loss to noise grows by 0.01 with each doubling, or not at all.
    #[test]
    fn a_planted_sensitivity_is_found_and_none_is_found_where_there_is_none() {
        let instrument = Overtraining { noise: vec![0.1], ..Overtraining::default() };
        let outcomes = |ndcg: f64, lean| Outcomes {
            leans: vec![Some(lean); 10],
            ndcg10: (0..60).map(|i| ndcg + 0.05 * f64::from(i % 5 - 2)).collect(),
        };
        let workspace = ragbias::Workspace::new(ragbias::Models::in_folder("models").unwrap());
        let bench = Bench::new(&workspace, std::path::Path::new("nowhere"), 1.0, 0).unwrap();
        let pairs = Pairs::load(&["wording".into()]).unwrap();
        for growth in [0.01, 0.0] {
            let all: Vec<Trained> = (BUDGETS.iter().zip(0_i32..))
                .map(|(&budget, shift)| {
                    let doublings = (budget as f64 + 1.0).log2();
                    let wobble = |i: i32| 0.02 * f64::from((i * 7 + shift) % 5 - 2);
                    Trained {
                        steps: budget,
                        untuned: outcomes(0.8, -1),
                        reversed: vec![
                            outcomes(0.8, 0),
                            outcomes(0.8, 0),
                            outcomes(0.78 - growth * doublings, 1),
                        ],
                        noisy: vec![
                            (0..60)
                                .map(|i| 0.75 - growth * doublings + 0.05 * f64::from(i % 5 - 2) + wobble(i))
                                .collect(),
                        ],
                    }
                })
                .collect();
            let report = instrument.report(&all, &pairs, &bench);
            let (cost, change, noise) = (
                report.findings[0].estimate.unwrap(),
                report.findings[1].estimate.unwrap(),
                report.findings[2].estimate.unwrap(),
            );
            assert!((cost.value - 0.01).abs() < 1e-9, "{cost:?}");
            assert!((change.value - growth / 2.0).abs() < 1e-9, "{change:?}");
            assert!(noise.covers(growth), "{noise:?}");
            assert_eq!(noise.low > 0.0, growth > 0.0, "{noise:?}");
        }
    }
}
