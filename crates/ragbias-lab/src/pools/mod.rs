//! Which mined examples, for how many epochs?

mod law;

use ragbias::core::ContentHasher;
use ragbias::stats::UnitBootstrap;
use ragbias::tune::{Example, MineConfig, Scope, TrainConfig};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use self::law::{Cell, FittedLaw};
use crate::bench::Bench;
use crate::chart::{Chart, Point, Series};
use crate::error::{Error, Result};
use crate::instrument::Instrument;
use crate::methods::{topic_mean, unit_mean};
use crate::report::{Figure, Finding, Report, Table, shown, signed};
use crate::tuning::{Outcomes, TunedBase, TunedSetting, pole};

/// Which mined examples, for how many epochs?
///
/// The training examples are sorted by mining margin, the mean cosine of a question with its positives less that with its negatives, and
/// cut into pools of equal size. Heads are tuned on examples of one pool, drawn at random, for every number of distinct examples and every
/// number of epochs; the law of Goyal et al. is fitted to their validation losses, and predicts mixtures of pools, which are then tuned and
/// compared.
///
/// | parameter | default | purpose | range |
/// | --- | --- | --- | --- |
/// | `tuning` | MiniLM on `gender-twins`, utility `politics` | base, axis and data | |
/// | `towards` | `female` | the pole that heads are tuned towards | a pole of the axis |
/// | `pools` | 3 | number of pools | 2 to 6 |
/// | `learning-rate` | 1e-3 | peak learning rate, without a warm-up | above 0 |
/// | `seeds` | 4 | draws of examples for each cell, in proportion to the size | 2 to 100 |
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Pools {
    /// Base, axis and data.
    pub tuning: TunedSetting,
    /// The pole that heads are tuned towards.
    pub towards: String,
    /// Number of pools.
    pub pools: usize,
    /// Peak learning rate.
    pub learning_rate: f64,
    /// Draws of examples for each cell, at size 1.
    pub seeds: usize,
}

impl Default for Pools {
    fn default() -> Self {
        let (tuning, towards) = (TunedSetting::default(), "female".into());
        Self { tuning, towards, pools: 3, learning_rate: 1e-3, seeds: 4 }
    }
}

/// Numbers of distinct examples, as shares of a pool.
const SHARES: [usize; 4] = [8, 4, 2, 1];
/// Numbers of epochs that the law is fitted to.
const EPOCHS: [usize; 4] = [1, 2, 4, 8];
/// Numbers of epochs of mixtures.
const MIXED_EPOCHS: [usize; 2] = [3, 6];

/// One tuned head.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Head {
    cell: Cell,
    outcomes: Outcomes,
}

impl Instrument for Pools {
    fn name(&self) -> &'static str {
        "pools"
    }

    fn question(&self) -> &'static str {
        "Which mined examples are worth training on, and for how many epochs?"
    }

    fn check(&self) -> Result<()> {
        let wrong = |setting, expected, received| Err(Error::Setting { setting, expected, received });
        if !(2..=6).contains(&self.pools) {
            return wrong("pools", "2 to 6", self.pools.to_string());
        }
        if !(2..=100).contains(&self.seeds) {
            return wrong("seeds", "2 to 100", self.seeds.to_string());
        }
        self.config(1, 0).check(usize::MAX)?;
        self.tuning.check()?;
        pole(&self.tuning.axis, &self.towards).map(drop)
    }

    fn run(&self, bench: &Bench) -> Result<Report> {
        let base = TunedBase::load(&self.tuning, Scope::Head, bench)?;
        let study = Study::new(self, &base, bench)?;
        let (single, mixed) = (study.single()?, study.mixed()?);
        Ok(study.report(&single, &mixed))
    }
}

impl Pools {
    fn config(&self, epochs: usize, seed: u64) -> TrainConfig {
        TrainConfig::new(Scope::Head, self.learning_rate, epochs).warmup(0).seed(seed)
    }
}

/// The pools and everything that heads are tuned and measured with.
struct Study<'a> {
    settings: &'a Pools,
    base: &'a TunedBase,
    bench: &'a Bench,
    /// Examples by pool, from the smallest margins to the greatest.
    pools: Vec<Vec<Example>>,
    /// The mean margin of each pool.
    margins: Vec<f64>,
    validation: Vec<Example>,
    untuned: Outcomes,
}

impl<'a> Study<'a> {
    fn new(settings: &'a Pools, base: &'a TunedBase, bench: &'a Bench) -> Result<Self> {
        let config = MineConfig::default();
        let pole = pole(&settings.tuning.axis, &settings.towards)?;
        let examples = base.examples(&base.mined(base.training(), config)?, pole, config)?;
        let validation = base.examples(&base.mined(base.validation(), config)?, pole, config)?;
        let margins = base.margins(&base.untuned()?, &examples)?;
        let mut ordered: Vec<(f64, Example)> = margins.into_iter().zip(examples).collect();
        ordered.sort_by(|a, b| a.0.total_cmp(&b.0));
        let each = ordered.len() / settings.pools;
        let least = SHARES[0] * 2;
        if each < least {
            let expected = least * settings.pools;
            return Err(Error::TooFew { what: "training examples", expected, received: ordered.len() });
        }
        // What is left over is of the greatest margins.
        let mut pools = Vec::new();
        let mut means = Vec::new();
        for pool in ordered.chunks(each).take(settings.pools) {
            means.push(pool.iter().map(|(margin, _)| margin).sum::<f64>() / each as f64);
            pools.push(pool.iter().map(|(_, example)| example.clone()).collect());
        }
        let untuned = base.measure(base.untuned()?)?;
        Ok(Self { settings, base, bench, pools, margins: means, validation, untuned })
    }

    fn each(&self) -> usize {
        self.pools[0].len()
    }

    /// Heads tuned on one pool each.
    fn single(&self) -> Result<Vec<Head>> {
        let mut plan = Vec::new();
        for pool in 0..self.pools.len() {
            for share in SHARES {
                for epochs in EPOCHS {
                    plan.push((vec![pool], self.each() / share, epochs));
                }
            }
        }
        self.heads("heads of one pool", &plan)
    }

    /// Heads tuned on mixtures that the law was not fitted to.
    fn mixed(&self) -> Result<Vec<Head>> {
        let count = self.pools.len();
        let mut mixtures: Vec<Vec<usize>> = Vec::new();
        for first in 0..count {
            mixtures.extend((first + 1..count).map(|second| vec![first, second]));
        }
        if count > 2 {
            mixtures.push((0..count).collect());
        }
        let mut plan = Vec::new();
        for mixture in mixtures {
            for share in [4, 1] {
                for epochs in MIXED_EPOCHS {
                    plan.push((mixture.clone(), self.each() / share, epochs));
                }
            }
        }
        self.heads("heads of mixtures", &plan)
    }

    fn heads(&self, what: &str, plan: &[(Vec<usize>, usize, usize)]) -> Result<Vec<Head>> {
        let seeds = self.bench.seeds(self.settings.seeds);
        let total = (plan.len() * seeds.len()) as u64;
        let step = self.bench.progress().begin(what, total, ragbias::core::Unit::Items);
        let mut heads = Vec::new();
        for (pools, distinct, epochs) in plan {
            for &seed in &seeds {
                heads.push(self.head(pools, *distinct, *epochs, seed)?);
                step.advance(1);
            }
        }
        Ok(heads)
    }

    /// One head, on examples of these pools in equal parts; another draw for every cell and seed.
    fn head(&self, pools: &[usize], distinct: usize, epochs: usize, seed: u64) -> Result<Head> {
        let key = (self.settings, self.base.id(), pools, distinct, epochs, seed);
        self.bench.kept("head", &key, || {
            let id =
                ContentHasher::new("pools/1").field(serde_json::to_vec(&key).map_err(std::io::Error::from)?);
            let id = id.finish();
            let mut rng = ChaCha8Rng::from_seed(*id.as_bytes());
            let mut examples = Vec::new();
            for (part, &pool) in pools.iter().enumerate() {
                let mut drawn = self.pools[pool].clone();
                drawn.shuffle(&mut rng);
                // Equal parts, the first ones larger by one where they do not divide.
                let count = distinct / pools.len() + usize::from(part < distinct % pools.len());
                examples.extend(drawn.into_iter().take(count));
            }
            let trained = self.base.train(&self.settings.config(epochs, seed), &examples)?;
            let tuned = self.base.tuned(&trained.weights, id)?;
            let scale = self.settings.config(epochs, seed).scale;
            let losses = self.base.losses(&tuned, &self.validation, scale)?;
            let loss = losses.iter().sum::<f64>() / losses.len() as f64;
            let outcomes = self.base.measure(tuned)?;
            Ok(Head { cell: Cell { pools: pools.to_vec(), distinct, epochs, loss }, outcomes })
        })
    }

    fn name(&self, pools: &[usize]) -> String {
        let name = |pool: &usize| match (self.pools.len(), pool) {
            (_, 0) => "hardest".to_owned(),
            (count, pool) if pool + 1 == count => "easiest".to_owned(),
            (3, _) => "middle".to_owned(),
            (_, pool) => format!("pool {}", pool + 1),
        };
        pools.iter().map(name).collect::<Vec<_>>().join(" + ")
    }

    fn report(&self, single: &[Head], mixed: &[Head]) -> Report {
        let mut report = Report::new(self.settings.name(), self.settings.question());
        let cells: Vec<Cell> = single.iter().map(|head| head.cell.clone()).collect();
        let law = FittedLaw::of(&cells, self.pools.len());
        if let Some(law) = &law {
            self.find_utilities(law, &mut report);
            self.find_predictions(law, mixed, &mut report);
        } else {
            report.notes.push("the law could not be fitted: too few cells at this size".into());
        }
        self.find_differences(single, &mut report);
        report.tables.push(self.table("Heads of one pool", single, law.as_ref()));
        report.tables.push(self.table(
            "Heads of mixtures, which the law was not fitted to",
            mixed,
            law.as_ref(),
        ));
        report.figures.push(self.figure(single, law.as_ref()));
        report.notes.push(format!(
            "{} validation questions on {} topics, the same for all heads: the intervals of the law are over draws of examples, and do not hold \
             the choice of these questions. Untuned, E_b is {} and nDCG@10 {:.3}.",
            self.validation.len(),
            topics(&self.base.validation_topics()),
            signed(self.untuned.embedder_bias()),
            self.untuned.utility(),
        ));
        report
    }

    fn find_utilities(&self, law: &FittedLaw, report: &mut Report) {
        for pool in 0..self.pools.len() {
            let (name, margin) = (self.name(&[pool]), self.margins[pool]);
            report.findings.push(Finding::new(
                format!("utility b of the {name} pool"),
                law.utility(pool),
                law.cells,
                "heads",
                format!(
                    "mean mining margin {}; the more negative b, the faster the loss falls with examples",
                    signed(margin)
                ),
            ));
            let half_life = law.half_life(pool);
            let meaning = match half_life {
                Some(_) => "epochs in which what a repetition adds halves",
                None if law.is_decaying(pool) => "the fit does not tell when repetitions stop paying",
                None => "no decay is seen: up to 8 epochs, a repetition is worth as much as another example",
            };
            let what = format!("half-life τ of the {name} pool");
            report.findings.push(Finding::new(what, half_life, law.cells, "heads", meaning));
        }
    }

    /// How well the law fits, and its error on mixtures, beside that of the mean over all heads of one pool as large and as long.
    fn find_predictions(&self, law: &FittedLaw, mixed: &[Head], report: &mut Report) {
        let means = by_cell(mixed);
        let error = |cell: &Cell, predicted: f64| (predicted - cell.loss).abs() / cell.loss;
        let of_law: Vec<f64> = (means.iter())
            .map(|cell| error(cell, law.law.loss(&cell.pools, cell.distinct, cell.epochs)))
            .collect();
        let plain = means.iter().map(|cell| cell.loss).sum::<f64>() / means.len() as f64;
        let of_mean: Vec<f64> = means.iter().map(|cell| error(cell, plain)).collect();
        let over = |errors: &[f64], units: &[usize]| {
            units.iter().map(|&unit| errors[unit]).sum::<f64>() / units.len() as f64
        };
        let bootstrap = UnitBootstrap::new(means.len(), self.bench.seed());
        report.notes.push(format!(
            "The law fits the heads of one pool with a relative error of {:.0}% (root mean square).",
            100.0 * law.error()
        ));
        report.findings.push(Finding::new(
            "relative error of the law on mixtures",
            bootstrap.estimate(|units| Some(over(&of_law, units))),
            means.len(),
            "mixtures",
            "mean of |predicted − measured| / measured on mixtures and numbers of epochs that were not fitted",
        ));
        report.findings.push(Finding::new(
            "the same, less that of one mean for all mixtures",
            bootstrap.estimate(|units| Some(over(&of_law, units) - over(&of_mean, units))),
            means.len(),
            "mixtures",
            "below 0: the law says more than that all mixtures are alike",
        ));
    }

    /// What the pools differ in at all their examples and the most epochs.
    fn find_differences(&self, single: &[Head], report: &mut Report) {
        let last = self.pools.len() - 1;
        let of = |pool: usize| -> Vec<&Head> {
            let most = |head: &&Head| {
                head.cell.pools == [pool]
                    && head.cell.distinct == self.each()
                    && head.cell.epochs == EPOCHS[EPOCHS.len() - 1]
            };
            single.iter().filter(most).collect()
        };
        let (hard, easy) = (of(0), of(last));
        let what = |symbol: &str| format!("{symbol} of heads of the hardest pool less that of the easiest");
        let meaning = format!("all {} examples of a pool, {} epochs", self.each(), EPOCHS[EPOCHS.len() - 1]);
        let topics = self.base.validation_topics().into_iter().enumerate();
        let moved = topics.filter_map(|(row, topic)| {
            let lean = |heads: &[&Head]| {
                mean(heads.iter().filter_map(|head| head.outcomes.leans[row].map(f64::from)))
            };
            Some((topic, lean(&hard)? - lean(&easy)?))
        });
        let (difference, n) = topic_mean(moved, self.bench.seed());
        report.findings.push(Finding::new(what("E_b"), difference, n, "topics", &meaning));
        let utility: Vec<f64> = (0..self.untuned.ndcg10.len())
            .filter_map(|row| {
                let of = |heads: &[&Head]| mean(heads.iter().map(|head| head.outcomes.ndcg10[row]));
                Some(of(&hard)? - of(&easy)?)
            })
            .collect();
        let difference = unit_mean(&utility, self.bench.seed());
        report.findings.push(Finding::new(what("nDCG@10"), difference, utility.len(), "questions", meaning));
    }

    fn table(&self, title: &str, heads: &[Head], law: Option<&FittedLaw>) -> Table {
        let columns = ["pools", "distinct", "epochs", "loss", "law", "E_b", "nDCG@10", "draws"];
        let mut table = Table::new(title, &columns);
        for (cell, heads) in groups(heads) {
            let mean = |value: &dyn Fn(&Head) -> f64| {
                heads.iter().map(|head| value(head)).sum::<f64>() / heads.len() as f64
            };
            let predicted = law.map(|law| law.law.loss(&cell.pools, cell.distinct, cell.epochs));
            table.push([
                self.name(&cell.pools),
                cell.distinct.to_string(),
                cell.epochs.to_string(),
                format!("{:.3}", mean(&|head| head.cell.loss)),
                predicted.map_or(String::new(), |loss| format!("{loss:.3}")),
                signed(mean(&|head| head.outcomes.embedder_bias())),
                format!("{:.3}", mean(&|head| head.outcomes.utility())),
                heads.len().to_string(),
            ]);
        }
        table
    }

    /// Loss over examples seen, each pool with all its examples, and the law.
    fn figure(&self, single: &[Head], law: Option<&FittedLaw>) -> Figure {
        let mut series = Vec::new();
        for pool in 0..self.pools.len() {
            let cells: Vec<Cell> = by_cell(single)
                .into_iter()
                .filter(|cell| cell.pools == [pool] && cell.distinct == self.each())
                .collect();
            let seen = |cell: &Cell| (cell.distinct * cell.epochs) as f64;
            let points = cells.iter().map(|cell| Point::new(seen(cell), cell.loss)).collect();
            series.push(Series { name: self.name(&[pool]), points, joined: false, colour: pool });
            if let Some(law) = law {
                let points = (1..=EPOCHS[EPOCHS.len() - 1])
                    .map(|k| Point::new((self.each() * k) as f64, law.law.loss(&[pool], self.each(), k)))
                    .collect();
                series.push(Series {
                    name: format!("law, {}", self.name(&[pool])),
                    points,
                    joined: true,
                    colour: pool,
                });
            }
        }
        let chart = Chart { x: "examples seen".into(), y: "validation loss".into(), log2: true, series };
        let shown = law.and_then(|law| Some(format!(" b of the hardest: {}.", shown(law.utility(0)?))));
        let caption = format!(
            "Validation loss of heads tuned on all {} examples of one pool, for 1 to {} epochs, and the law.{}",
            self.each(),
            EPOCHS[EPOCHS.len() - 1],
            shown.unwrap_or_default()
        );
        Figure::new("loss", caption, &chart.draw("validation loss over examples seen"))
    }
}

/// The heads of each cell, in the order of their first.
fn groups(heads: &[Head]) -> Vec<(&Cell, Vec<&Head>)> {
    let mut groups: Vec<(&Cell, Vec<&Head>)> = Vec::new();
    let same = |a: &Cell, b: &Cell| (&a.pools, a.distinct, a.epochs) == (&b.pools, b.distinct, b.epochs);
    for head in heads {
        match groups.iter_mut().find(|(cell, _)| same(cell, &head.cell)) {
            Some((_, group)) => group.push(head),
            None => groups.push((&head.cell, vec![head])),
        }
    }
    groups
}

/// Each cell with the mean loss of its heads.
fn by_cell(heads: &[Head]) -> Vec<Cell> {
    let mean = |heads: &[&Head]| heads.iter().map(|head| head.cell.loss).sum::<f64>() / heads.len() as f64;
    groups(heads).into_iter().map(|(cell, heads)| Cell { loss: mean(&heads), ..cell.clone() }).collect()
}

/// The mean; none of nothing.
fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, count) = values.fold((0.0, 0.0), |(sum, count), value| (sum + value, count + 1.0));
    (count > 0.0).then(|| sum / count)
}

fn topics(topics: &[&str]) -> usize {
    topics.iter().collect::<std::collections::BTreeSet<_>>().len()
}
