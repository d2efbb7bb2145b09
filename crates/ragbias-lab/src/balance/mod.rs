//! Does sharpness-aware minimisation keep features that plain training drops?

mod probes;

use std::ops::ControlFlow;

use ragbias::core::{ContentHasher, ContentId, Unit};
use ragbias::tune::{Example, MineConfig, Scope, Sharpness, Towards, TrainConfig, Weights};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use self::probes::{Accuracies, Tasks};
use crate::bench::Bench;
use crate::chart::{Chart, Point, Series};
use crate::error::{Error, Result};
use crate::instrument::Instrument;
use crate::methods::{BySeed, Method, by_unit, difference, says, unit_mean};
use crate::report::{Figure, Finding, Report, Table};
use crate::tuning::{Outcomes, TunedBase, TunedSetting, pole, sign};

/// Does sharpness-aware minimisation keep features that plain training drops?
///
/// The base is tuned by AdamW, and by SAM and ASAM ([`Sharpness`]) at several radii ρ, on the same examples. As a method that moves less
/// keeps more, all are compared at the same E_b: each result is merged with the base, θ = (1 − w)·θ_base + w·θ_tuned, at the w at which E_b
/// has moved by `shift`. There nDCG@10 is measured, and linear probes read pole, profession and topic from vectors of topics that
/// nothing was tuned on. The importance of an example is the share of its softmax that its negatives have, where the method takes its loss
/// weights; the effective share of examples is (Σr)²/(n·Σr²), 1 if all are equally important. Source: Springer, Nagarajan & Raghunathan,
/// *Sharpness-aware minimization enhances feature quality via balanced learning*, ICLR 2024, <https://arxiv.org/abs/2405.20439>.
///
/// | parameter | default | purpose | range |
/// | --- | --- | --- | --- |
/// | `tuning` | MiniLM on `gender-twins`, utility `politics-wide` | base, axis and data | |
/// | `towards` | `female` | the pole that embedders are tuned towards | a pole of the axis |
/// | `scope` | `mlp-top-1` | which parameters are trained | |
/// | `sam` | 0.02, 0.1, 0.5 | ρ of SAM | 0 to 1,000,000 |
/// | `asam` | 0.1, 0.5, 2 | ρ of ASAM | 0 to 1,000,000 |
/// | `shift` | 1 | how far E_b moves towards the pole | above 0, at most 2 |
/// | `ridge` | 0.1 | λ of the probes | above 0 |
/// | `learning-rate` | 1e-4 | peak learning rate | above 0 |
/// | `epochs` | 8 | passes over the examples | 1 to 10,000 |
/// | `examples` | 160 | training questions, drawn for each seed, in proportion to the size | 16 and more |
/// | `seeds` | 4 | draws of questions, in proportion to the size | 2 to 100 |
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Balance {
    /// Base, axis and data.
    pub tuning: TunedSetting,
    /// The pole that embedders are tuned towards.
    pub towards: String,
    /// Which parameters are trained.
    pub scope: Scope,
    /// ρ of SAM.
    pub sam: Vec<f64>,
    /// ρ of ASAM.
    pub asam: Vec<f64>,
    /// How far E_b moves towards the pole.
    pub shift: f64,
    /// λ of the probes.
    pub ridge: f64,
    /// Peak learning rate.
    pub learning_rate: f64,
    /// Passes over the examples.
    pub epochs: usize,
    /// Training questions at size 1.
    pub examples: usize,
    /// Draws of questions at size 1.
    pub seeds: usize,
}

impl Default for Balance {
    fn default() -> Self {
        Self {
            tuning: TunedSetting { utility: "politics-wide".into(), ..TunedSetting::default() },
            towards: "female".into(),
            scope: Scope::MlpTop(1),
            sam: vec![0.02, 0.1, 0.5],
            asam: vec![0.1, 0.5, 2.0],
            shift: 1.0,
            ridge: 0.1,
            learning_rate: 1e-4,
            epochs: 8,
            examples: 160,
            seeds: 4,
        }
    }
}

/// The fewest training questions.
const FEWEST: usize = 16;
/// The greatest merge weight at which a shift is looked for.
const GREATEST_WEIGHT: f64 = 4.0;
/// Halvings of the interval of merge weights.
const HALVINGS: usize = 8;

/// What came of one training, at the merge weight at which E_b has moved by the shift.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Tuning {
    /// The effective share of examples, mean over epochs.
    effective: f64,
    /// None if no merge weight moves E_b that far.
    reached: Option<Reached>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Reached {
    weight: f64,
    outcomes: Outcomes,
    accuracies: Accuracies,
}

/// The trainings of one method, a seed each.
struct Trained {
    method: Method,
    tunings: Vec<Tuning>,
}

/// A quantity of an embedder at equal E_b, by unit.
struct Quantity {
    name: &'static str,
    units: &'static str,
    of: fn(&Study<'_>, &Reached) -> Vec<f64>,
}

const QUANTITIES: [Quantity; 4] = [
    Quantity {
        name: "nDCG@10",
        units: "seeds × topics",
        of: |study, reached| {
            let topics = study.base.utility_topics();
            by_unit(topics.into_iter().zip(reached.outcomes.ndcg10.iter().copied()))
        },
    },
    Quantity {
        name: "accuracy of the pole's probe",
        units: "seeds × topics",
        of: |_, reached| reached.accuracies.pole.clone(),
    },
    Quantity {
        name: "accuracy of the profession's probe",
        units: "seeds × topics",
        of: |_, reached| reached.accuracies.profession.clone(),
    },
    Quantity {
        name: "accuracy of the topic's probe",
        units: "seeds × topics",
        of: |_, reached| reached.accuracies.topic.clone(),
    },
];

impl Instrument for Balance {
    fn name(&self) -> &'static str {
        "balance"
    }

    fn question(&self) -> &'static str {
        "Does sharpness-aware training keep features that plain training drops, at the same E_b?"
    }

    fn check(&self) -> Result<()> {
        let wrong = |setting, expected, received| Err(Error::Setting { setting, expected, received });
        if !(self.shift > 0.0 && self.shift <= 2.0) {
            return wrong("shift", "above 0, at most 2", self.shift.to_string());
        }
        if !(self.ridge > 0.0 && self.ridge.is_finite()) {
            return wrong("ridge", "a finite number above 0", self.ridge.to_string());
        }
        if !(2..=100).contains(&self.seeds) {
            return wrong("seeds", "2 to 100", self.seeds.to_string());
        }
        if self.examples < FEWEST {
            return wrong("examples", "16 and more", self.examples.to_string());
        }
        for (setting, radii) in [("sam", &self.sam), ("asam", &self.asam)] {
            radii.iter().try_for_each(|&radius| Method::check_radius(setting, radius))?;
        }
        if self.sam.is_empty() && self.asam.is_empty() {
            return wrong("sam", "a radius, or one of asam", "none".into());
        }
        self.config(0).check(usize::MAX)?;
        self.tuning.check()?;
        pole(&self.tuning.axis, &self.towards).map(drop)
    }

    fn run(&self, bench: &Bench) -> Result<Report> {
        let base = TunedBase::load(&self.tuning, self.scope, bench)?;
        let study = Study::new(self, &base, bench)?;
        Ok(study.report(&study.trained()?))
    }
}

impl Balance {
    fn config(&self, seed: u64) -> TrainConfig {
        TrainConfig::new(self.scope, self.learning_rate, self.epochs).seed(seed)
    }

    fn methods(&self) -> Vec<Method> {
        let of = |form, radii: &[f64]| -> Vec<Method> {
            radii.iter().map(|&radius| Method::new(form, radius)).collect()
        };
        [vec![Method::ADAMW], of(Sharpness::Sam, &self.sam), of(Sharpness::Asam, &self.asam)].concat()
    }
}

/// What embedders are tuned on and measured with.
struct Study<'a> {
    settings: &'a Balance,
    base: &'a TunedBase,
    bench: &'a Bench,
    pole: Towards,
    examples: Vec<Example>,
    tasks: Tasks,
    /// The base itself.
    untuned: Reached,
}

impl<'a> Study<'a> {
    fn new(settings: &'a Balance, base: &'a TunedBase, bench: &'a Bench) -> Result<Self> {
        let (config, pole) = (MineConfig::default(), pole(&settings.tuning.axis, &settings.towards)?);
        let examples = base.examples(&base.mined(base.training(), config)?, pole, config)?;
        let wanted = bench.scaled(settings.examples, FEWEST);
        if examples.len() < wanted {
            return Err(Error::TooFew {
                what: "training examples",
                expected: wanted,
                received: examples.len(),
            });
        }
        let tasks = Tasks::new(base)?;
        let accuracies = tasks.accuracies(&base.untuned()?, settings.ridge)?;
        let outcomes = base.measure(base.untuned()?)?;
        let untuned = Reached { weight: 0.0, outcomes, accuracies };
        Ok(Self { settings, base, bench, pole, examples, tasks, untuned })
    }

    fn trained(&self) -> Result<Vec<Trained>> {
        let seeds = self.bench.seeds(self.settings.seeds);
        let methods = self.settings.methods();
        let total = (methods.len() * seeds.len()) as u64;
        let step = self.bench.progress().begin("tuning", total, Unit::Items);
        let mut trained = Vec::with_capacity(methods.len());
        for method in methods {
            let mut tunings = Vec::new();
            for &seed in &seeds {
                tunings.push(self.tuning(method, seed)?);
                step.advance(1);
            }
            trained.push(Trained { method, tunings });
        }
        Ok(trained)
    }

    fn tuning(&self, method: Method, seed: u64) -> Result<Tuning> {
        let wanted = self.bench.scaled(self.settings.examples, FEWEST);
        let Balance { tuning, towards, shift, ridge, .. } = self.settings;
        let config = method.applied(self.settings.config(seed));
        let key = (tuning, towards, &config, self.base.id(), method, seed, wanted, shift, ridge);
        self.bench.kept("tuning", &key, || {
            let mut drawn = self.examples.clone();
            let id = ContentHasher::new("balance/1").field(seed.to_le_bytes()).finish();
            drawn.shuffle(&mut ChaCha8Rng::from_seed(*id.as_bytes()));
            drawn.truncate(wanted);
            let mut effective = Vec::new();
            let trained = self.base.train_watched(&config, &drawn, |after| {
                effective.push(effective_share(&after.importance()?));
                Ok(ControlFlow::Continue(()))
            })?;
            let id = ContentHasher::new("balance-tuned/1")
                .field(serde_json::to_vec(&key).map_err(std::io::Error::from)?)
                .finish();
            let reached = self.reached(&trained.weights, id)?;
            let effective = effective.iter().sum::<f64>() / effective.len() as f64;
            Ok(Tuning { effective, reached })
        })
    }

    /// The embedder at the smallest merge weight found at which E_b has moved by the shift.
    fn reached(&self, weights: &Weights, id: ContentId) -> Result<Option<Reached>> {
        let at = |w: f64| {
            let id =
                ContentHasher::new("balance-merged/1").field(id.as_bytes()).field(w.to_le_bytes()).finish();
            self.base.tuned(&self.base.merged(weights, w)?, id)
        };
        let goal = sign(self.pole) * self.untuned.outcomes.embedder_bias() + self.settings.shift;
        let is_there = |w: f64| -> Result<bool> {
            let leans = self.base.leans(at(w)?, self.base.validation())?;
            let outcomes = Outcomes { leans, ndcg10: Vec::new() };
            Ok(sign(self.pole) * outcomes.embedder_bias() >= goal)
        };
        let (mut low, mut high) = (0.0, 0.25);
        while !is_there(high)? {
            (low, high) = (high, 2.0 * high);
            if high > GREATEST_WEIGHT {
                return Ok(None);
            }
        }
        for _ in 0..HALVINGS {
            let middle = f64::midpoint(low, high);
            if is_there(middle)? {
                high = middle;
            } else {
                low = middle;
            }
        }
        let accuracies = self.tasks.accuracies(&at(high)?, self.settings.ridge)?;
        Ok(Some(Reached { weight: high, outcomes: self.base.measure(at(high)?)?, accuracies }))
    }

    fn report(&self, trained: &[Trained]) -> Report {
        let mut report = Report::new(self.settings.name(), self.settings.question());
        let Some((plain, others)) = trained.split_first() else { return report };
        for method in others {
            for quantity in &QUANTITIES {
                report.findings.push(self.compared(method, plain, quantity));
            }
            report.findings.push(self.importance(method, plain));
        }
        report.findings.extend(QUANTITIES.iter().map(|quantity| self.dropped(plain, quantity)));
        report.tables.push(self.table(trained));
        report.figures.push(self.figure(trained));
        let missed: usize =
            trained.iter().flat_map(|method| &method.tunings).filter(|t| t.reached.is_none()).count();
        if missed > 0 {
            report.notes.push(format!(
                "{missed} trainings do not move E_b by {} at any merge weight up to {GREATEST_WEIGHT}; a seed is compared only where \
                 both methods do.",
                self.settings.shift
            ));
        }
        if self.settings.scope == Scope::Head {
            report.notes.push(
                "A head is an invertible linear map, which loses no linear feature: its probes differ only by how strong a feature is \
                 against the ridge. Set `scope` to layers of the encoder to see features lost."
                    .into(),
            );
        }
        report
    }

    /// A quantity of a method less that of AdamW, at equal E_b, over the seeds that both have.
    fn compared(&self, method: &Trained, plain: &Trained, quantity: &Quantity) -> Finding {
        let both = method.tunings.iter().zip(&plain.tunings);
        let pairs: Vec<(&Reached, &Reached)> =
            both.filter_map(|(a, b)| Some((a.reached.as_ref()?, b.reached.as_ref()?))).collect();
        let (of, against): (BySeed, BySeed) =
            pairs.iter().map(|(a, b)| ((quantity.of)(self, a), (quantity.of)(self, b))).unzip();
        let n = of.iter().map(Vec::len).sum();
        let estimate = difference(&of, &against, self.bench.seed());
        let what = format!("{} of {}, less that of AdamW", quantity.name, method.method.name());
        Finding::new(what, estimate, n, quantity.units, says(estimate, "keeps more", "keeps less"))
    }

    /// What plain training to the same E_b costs of a quantity.
    fn dropped(&self, plain: &Trained, quantity: &Quantity) -> Finding {
        let of: BySeed = (plain.tunings.iter())
            .filter_map(|tuning| Some((quantity.of)(self, tuning.reached.as_ref()?)))
            .collect();
        let before: BySeed = of.iter().map(|_| (quantity.of)(self, &self.untuned)).collect();
        let n = of.iter().map(Vec::len).sum();
        let estimate = difference(&of, &before, self.bench.seed());
        let what = format!("{} of AdamW, less that of the base", quantity.name);
        Finding::new(what, estimate, n, quantity.units, says(estimate, "tuning adds", "tuning drops"))
    }

    /// The effective share of examples of a method less that of AdamW.
    fn importance(&self, method: &Trained, plain: &Trained) -> Finding {
        let differences: Vec<f64> =
            method.tunings.iter().zip(&plain.tunings).map(|(a, b)| a.effective - b.effective).collect();
        let estimate = unit_mean(&differences, self.bench.seed());
        let what = format!("effective share of examples of {}, less that of AdamW", method.method.name());
        let meaning = says(estimate, "weighs examples more evenly", "weighs examples less evenly");
        Finding::new(what, estimate, differences.len(), "seeds", meaning)
    }

    fn table(&self, trained: &[Trained]) -> Table {
        let columns = [
            "method",
            "seeds",
            "merge weight",
            "E_b",
            "nDCG@10",
            "pole",
            "profession",
            "topic",
            "effective share",
        ];
        let mut table = Table::new("At equal E_b, means over seeds; probes by accuracy", &columns);
        let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
        let row = |name: String, reached: &[&Reached], effective: String| {
            let of = |value: &dyn Fn(&Reached) -> f64| {
                mean(&reached.iter().map(|reached| value(reached)).collect::<Vec<_>>())
            };
            [
                name,
                reached.len().to_string(),
                format!("{:.3}", of(&|reached| reached.weight)),
                format!("{:+.2}", of(&|reached| reached.outcomes.embedder_bias())),
                format!("{:.3}", of(&|reached| reached.outcomes.utility())),
                format!("{:.3}", of(&|reached| mean(&reached.accuracies.pole))),
                format!("{:.3}", of(&|reached| mean(&reached.accuracies.profession))),
                format!("{:.3}", of(&|reached| mean(&reached.accuracies.topic))),
                effective,
            ]
        };
        table.push(row("base".into(), &[&self.untuned], String::new()));
        for Trained { method, tunings } in trained {
            let reached: Vec<&Reached> =
                tunings.iter().filter_map(|tuning| tuning.reached.as_ref()).collect();
            if reached.is_empty() {
                continue;
            }
            let effective = mean(&tunings.iter().map(|tuning| tuning.effective).collect::<Vec<_>>());
            table.push(row(method.name(), &reached, format!("{effective:.3}")));
        }
        table
    }

    /// What the profession's probe reads over how evenly examples weighed, a series for each form whatever its ρ.
    fn figure(&self, trained: &[Trained]) -> Figure {
        let mut series: Vec<Series> = Vec::new();
        for Trained { method, tunings } in trained {
            let points = tunings.iter().filter_map(|tuning| {
                let accuracy = &tuning.reached.as_ref()?.accuracies.profession;
                Some(Point::new(tuning.effective, accuracy.iter().sum::<f64>() / accuracy.len() as f64))
            });
            let name = method.form_name();
            if let Some(own) = series.iter_mut().find(|series| series.name == name) {
                own.points.extend(points);
            } else {
                let colour = series.len();
                series.push(Series { name: name.into(), points: points.collect(), joined: false, colour });
            }
        }
        let chart = Chart {
            x: "effective share of examples".into(),
            y: "accuracy of the profession's probe".into(),
            log2: false,
            series,
        };
        let caption = format!(
            "Embedders tuned until E_b has moved by {} towards {}, a point for each seed and ρ.",
            self.settings.shift, self.settings.towards
        );
        Figure::new("balance", caption, &chart.draw("A probe's accuracy over how evenly examples weigh"))
    }
}

/// (Σr)²/(n·Σr²): 1 if all are equal, 1/n if one has everything; 1 if all are 0.
fn effective_share(importance: &[f64]) -> f64 {
    let (sum, squares) = importance.iter().fold((0.0, 0.0), |(sum, squares), r| (sum + r, squares + r * r));
    if squares == 0.0 { 1.0 } else { sum * sum / (importance.len() as f64 * squares) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_effective_share_is_that_of_its_formula() {
        assert!((effective_share(&[0.3, 0.3, 0.3]) - 1.0).abs() < 1e-12);
        assert_eq!(effective_share(&[0.0, 0.5, 0.0, 0.0]), 0.25);
        assert!((effective_share(&[1.0, 3.0]) - 16.0 / 20.0).abs() < 1e-15);
        assert_eq!(effective_share(&[0.0, 0.0]), 1.0);
    }

    #[test]
    fn settings_outside_their_range_are_named() {
        let error = |balance: Balance| balance.check().unwrap_err().to_string();
        let good = Balance::default();
        assert!(error(Balance { shift: 0.0, ..good.clone() }).starts_with("shift is 0"));
        assert!(error(Balance { sam: vec![f64::NAN], ..good.clone() }).starts_with("sam is NaN"));
        assert!(error(Balance { sam: vec![], asam: vec![], ..good.clone() }).starts_with("sam is none"));
        assert!(error(Balance { ridge: -1.0, ..good.clone() }).starts_with("ridge is -1"));
        assert!(error(Balance { seeds: 1, ..good }).starts_with("seeds is 1"));
    }

    #[test]
    fn without_a_radius_nothing_differs_and_every_seed_reaches_the_shift() {
        let folder = tempfile::tempdir().unwrap();
        let workspace = ragbias::Workspace::new(ragbias::Models::from_env().unwrap());
        let balance = Balance {
            tuning: TunedSetting { data: "gender".into(), ..TunedSetting::default() },
            scope: Scope::Head,
            learning_rate: 1e-3,
            sam: vec![0.0],
            asam: vec![0.0],
            shift: 0.1,
            examples: 40,
            seeds: 2,
            ..Balance::default()
        };
        balance.check().unwrap();
        let bench = Bench::new(&workspace, folder.path(), 1.0, 0).unwrap();
        let report = balance.run(&bench).unwrap();
        let (compared, dropped) = report.findings.split_at(10);
        for finding in compared {
            let estimate = finding.estimate.unwrap();
            assert_eq!((estimate.value, estimate.low, estimate.high), (0.0, 0.0, 0.0), "{}", finding.what);
            assert_eq!(finding.meaning, "no effect seen");
        }
        assert_eq!(dropped.len(), 4);
        let table = &report.tables[0];
        assert!(table.rows[1..].iter().all(|row| row[1] == "2"), "{:?}", table.rows);
        // The base's E_b, and that of AdamW at the merge weight.
        let bias = |row: usize| table.rows[row][3].replace('−', "-").parse::<f64>().unwrap();
        assert!(bias(1) - bias(0) > 0.08, "{} {}", bias(0), bias(1));
    }
}
