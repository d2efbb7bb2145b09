//! How much label noise can mining bear?

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use ragbias::core::{ContentHasher, ContentId, Question, QuestionSet, Unit};
use ragbias::tune::{
    AfterEpoch, Example, MineConfig, Mined, Scope, Sharpness, Towards, TrainConfig, Weights, flipped,
};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::bench::Bench;
use crate::chart::{Chart, Point, Series};
use crate::error::{Error, Result};
use crate::instrument::Instrument;
use crate::methods::{BySeed, Method, by_unit, difference, percent, says};
use crate::report::{Figure, Finding, Report, Table};
use crate::tuning::{Outcomes, TunedBase, TunedSetting, pole, sign};

/// How much label noise can mining bear?
///
/// The mined leans of a share of the training questions are flipped, so that an example's positives and negatives are exchanged. On
/// the same flips the base is tuned by AdamW, by SAM, by SAM with a perturbation per example (1-SAM), by its logit part and its Jacobian
/// part alone, by a penalty that imitates the latter ([`Sharpness`]), and by AdamW that stops where E_b on topics held out from training is
/// farthest on the way to the pole. Source: Baek, Kolter & Raghunathan, *Why is SAM robust to label noise?*, ICLR 2024,
/// <https://arxiv.org/abs/2405.03676>.
///
/// | parameter | default | purpose | range |
/// | --- | --- | --- | --- |
/// | `tuning` | MiniLM on `gender-twins`, utility `politics` | base, axis and data | |
/// | `towards` | `female` | the pole that embedders are tuned towards | a pole of the axis |
/// | `scope` | `head` | which parameters are trained | |
/// | `shares` | 0, 0.2, 0.4 | shares of the questions whose leans are flipped | 0 to 1, from 0 upwards |
/// | `radius` | 0.05 | ρ of all forms | 0 to 1,000,000 |
/// | `learning-rate` | 1e-3 | peak learning rate | above 0 |
/// | `epochs` | 8 | passes over the examples | 2 to 10,000 |
/// | `examples` | 96 | training questions, drawn for each seed, in proportion to the size | 16 and more |
/// | `seeds` | 3 | draws of questions and flips, in proportion to the size | 2 to 100 |
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Noise {
    /// Base, axis and data.
    pub tuning: TunedSetting,
    /// The pole that embedders are tuned towards.
    pub towards: String,
    /// Which parameters are trained.
    pub scope: Scope,
    /// Shares of the questions whose leans are flipped.
    pub shares: Vec<f64>,
    /// ρ.
    pub radius: f64,
    /// Peak learning rate.
    pub learning_rate: f64,
    /// Passes over the examples.
    pub epochs: usize,
    /// Training questions at size 1.
    pub examples: usize,
    /// Draws of questions and flips at size 1.
    pub seeds: usize,
}

impl Default for Noise {
    fn default() -> Self {
        Self {
            tuning: TunedSetting::default(),
            towards: "female".into(),
            scope: Scope::Head,
            shares: vec![0.0, 0.2, 0.4],
            radius: 0.05,
            learning_rate: 1e-3,
            epochs: 8,
            examples: 96,
            seeds: 3,
        }
    }
}

/// The name of AdamW with early stopping.
const STOPPED: &str = "AdamW, stopped early";
/// The fewest training questions, of which a fifth of the topics are held out to stop by.
const FEWEST: usize = 16;

/// What came of one training.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Tuning {
    /// By each epoch that was looked at: its number, and the share of the gradient that clean examples contribute.
    clean: Vec<(usize, f64)>,
    /// After the last epoch.
    last: Outcomes,
    /// AdamW after the epoch at which it is stopped, and its number.
    stopped: Option<(usize, Outcomes)>,
}

/// A training of each seed, by one method at one share.
struct Cell {
    share: f64,
    method: String,
    /// Outcomes, and the shares of the gradient, by seed.
    outcomes: Vec<Outcomes>,
    clean: Vec<Vec<(usize, f64)>>,
    /// Mean number of epochs.
    epochs: f64,
}

impl Instrument for Noise {
    fn name(&self) -> &'static str {
        "noise"
    }

    fn question(&self) -> &'static str {
        "How much label noise can mining bear, and which way of training bears more?"
    }

    fn check(&self) -> Result<()> {
        let wrong = |setting, expected, received| Err(Error::Setting { setting, expected, received });
        let rises = self.shares.first() == Some(&0.0) && self.shares.is_sorted_by(|a, b| a < b);
        if !rises || self.shares.len() < 2 || self.shares.iter().any(|share| !(0.0..=1.0).contains(share)) {
            return wrong("shares", "0 and others up to 1, in ascending order", format!("{:?}", self.shares));
        }
        if !(2..=100).contains(&self.seeds) {
            return wrong("seeds", "2 to 100", self.seeds.to_string());
        }
        if self.examples < FEWEST {
            return wrong("examples", "16 and more", self.examples.to_string());
        }
        if self.epochs < 2 {
            return wrong("epochs", "2 to 10,000", self.epochs.to_string());
        }
        Method::check_radius("radius", self.radius)?;
        self.config(0).check(usize::MAX)?;
        self.tuning.check()?;
        pole(&self.tuning.axis, &self.towards).map(drop)
    }

    fn run(&self, bench: &Bench) -> Result<Report> {
        let base = TunedBase::load(&self.tuning, self.scope, bench)?;
        let study = Study::new(self, &base, bench)?;
        Ok(study.report(&study.cells()?))
    }
}

impl Noise {
    fn config(&self, seed: u64) -> TrainConfig {
        TrainConfig::new(self.scope, self.learning_rate, self.epochs).seed(seed)
    }

    fn methods(&self) -> Vec<Method> {
        let forms = [
            Sharpness::Sam,
            Sharpness::OneSam,
            Sharpness::OneSamLogits,
            Sharpness::OneSamJacobian,
            Sharpness::Penalty,
        ];
        let others = forms.into_iter().map(|form| Method::new(form, self.radius));
        std::iter::once(Method::ADAMW).chain(others).collect()
    }
}

/// What embedders are tuned on, stopped by and measured with.
struct Study<'a> {
    settings: &'a Noise,
    base: &'a TunedBase,
    bench: &'a Bench,
    pole: Towards,
    /// The mined questions of topics that are trained on, with documents of both leans.
    mined: Vec<Mined>,
    /// Questions of topics that are held out, to stop by.
    watched: QuestionSet,
    untuned: Outcomes,
}

impl<'a> Study<'a> {
    fn new(settings: &'a Noise, base: &'a TunedBase, bench: &'a Bench) -> Result<Self> {
        let (trained, watched) = held_out(base.training().questions())?;
        let mut mined = base.mined(&trained, mining())?;
        mined.retain(|mined| !mined.positive.is_empty() && !mined.negative.is_empty());
        let wanted = bench.scaled(settings.examples, FEWEST);
        if mined.len() < wanted {
            let what = "training questions with documents of both leans";
            return Err(Error::TooFew { what, expected: wanted, received: mined.len() });
        }
        let untuned = base.measure(base.untuned()?)?;
        let pole = pole(&settings.tuning.axis, &settings.towards)?;
        Ok(Self { settings, base, bench, pole, mined, watched, untuned })
    }

    fn seeds(&self) -> Vec<u64> {
        self.bench.seeds(self.settings.seeds)
    }

    /// Every method at every share.
    fn cells(&self) -> Result<Vec<Cell>> {
        let (methods, seeds) = (self.settings.methods(), self.seeds());
        let total = self.settings.shares.len() * methods.len() * seeds.len();
        let step = self.bench.progress().begin("tuning", total as u64, Unit::Items);
        let mut cells = Vec::new();
        for &share in &self.settings.shares {
            for &method in &methods {
                let mut tunings = Vec::with_capacity(seeds.len());
                for &seed in &seeds {
                    tunings.push(self.tuning(method, share, seed)?);
                    step.advance(1);
                }
                let clean = tunings.iter().map(|tuning| tuning.clean.clone()).collect();
                let outcomes = tunings.iter().map(|tuning| tuning.last.clone()).collect();
                let epochs = self.settings.epochs as f64;
                cells.push(Cell { share, method: method.name(), outcomes, clean, epochs });
                let stopped: Vec<&(usize, Outcomes)> =
                    tunings.iter().filter_map(|tuning| tuning.stopped.as_ref()).collect();
                if stopped.len() == seeds.len() {
                    cells.push(Cell {
                        share,
                        method: STOPPED.into(),
                        outcomes: stopped.iter().map(|(_, outcomes)| outcomes.clone()).collect(),
                        clean: Vec::new(),
                        epochs: stopped.iter().map(|(epoch, _)| *epoch as f64).sum::<f64>()
                            / stopped.len() as f64,
                    });
                }
            }
        }
        Ok(cells)
    }

    fn tuning(&self, method: Method, share: f64, seed: u64) -> Result<Tuning> {
        let wanted = self.bench.scaled(self.settings.examples, FEWEST);
        // Of the settings, only those that determine this training.
        let Noise { tuning, towards, .. } = self.settings;
        let config = method.applied(self.settings.config(seed));
        let key = (tuning, towards, &config, self.base.id(), method, share, seed, wanted);
        self.bench.kept("tuning", &key, || {
            let (examples, clean) = self.examples(share, seed, wanted)?;
            let id = |epoch: usize| -> Result<ContentId> {
                let key = serde_json::to_vec(&key).map_err(std::io::Error::from)?;
                Ok(ContentHasher::new("noise-tuned/1").field(key).field(epoch.to_le_bytes()).finish())
            };
            let stops = method == Method::ADAMW;
            let mut looks = Looks { clean: Vec::new(), best: None };
            let trained = self.base.train_watched(&config, &examples, |after| {
                self.look_at_gradient(after, &clean, &mut looks)?;
                if stops {
                    self.look_at_bias(after, id(after.epochs())?, &mut looks)?;
                }
                Ok(ControlFlow::Continue(()))
            })?;
            let measured = |weights: &Weights, epoch: usize| -> Result<Outcomes> {
                self.base.measure(self.base.tuned(weights, id(epoch)?)?)
            };
            let last = measured(&trained.weights, self.settings.epochs)?;
            let stopped = match &looks.best {
                Some((epoch, _, weights)) => Some((*epoch, measured(weights, *epoch)?)),
                None => None,
            };
            Ok(Tuning { clean: looks.clean, last, stopped })
        })
    }

    /// Examples of questions drawn by a seed, a share of them with flipped leans, and whether each is clean.
    fn examples(&self, share: f64, seed: u64, count: usize) -> Result<(Vec<Example>, Vec<bool>)> {
        let mut drawn = self.mined.clone();
        let id = ContentHasher::new("noise/1").field(seed.to_le_bytes()).finish();
        drawn.shuffle(&mut ChaCha8Rng::from_seed(*id.as_bytes()));
        drawn.truncate(count);
        let flips = flipped(&drawn, share, seed)?;
        let examples = self.base.examples(&flips.mined, self.pole, mining())?;
        if examples.len() != flips.flipped.len() {
            let (expected, received) = (flips.flipped.len(), examples.len());
            return Err(Error::TooFew { what: "examples of questions with both leans", expected, received });
        }
        Ok((examples, flips.flipped.iter().map(|flipped| !flipped).collect()))
    }

    /// After the first, the middle and the last epoch: the share of clean examples in the gradient.
    fn look_at_gradient(
        &self,
        after: &mut AfterEpoch<'_, '_>,
        clean: &[bool],
        looks: &mut Looks,
    ) -> Result<()> {
        let (epoch, last) = (after.epochs(), self.settings.epochs);
        if epoch == 1 || epoch == last.div_ceil(2) || epoch == last {
            looks.clean.extend(after.gradient_share(clean)?.map(|share| (epoch, share)));
        }
        Ok(())
    }

    /// After every epoch: E_b on the watched questions.
    fn look_at_bias(&self, after: &AfterEpoch<'_, '_>, id: ContentId, looks: &mut Looks) -> Result<()> {
        let weights = after.weights()?;
        let leans = self.base.leans(self.base.tuned(&weights, id)?, &self.watched)?;
        let moved = sign(self.pole) * mean(leans.iter().flatten().map(|&lean| f64::from(lean)));
        if looks.best.as_ref().is_none_or(|(_, best, _)| moved > *best) {
            looks.best = Some((after.epochs(), moved, weights));
        }
        Ok(())
    }

    /// E_b by seed and topic, with the sign of the pole.
    fn moved(&self, cell: &Cell) -> BySeed {
        let topics = self.base.validation_topics();
        let of = |outcomes: &Outcomes| {
            let leans = topics.iter().zip(&outcomes.leans);
            by_unit(leans.filter_map(|(&topic, lean)| Some((topic, sign(self.pole) * f64::from((*lean)?)))))
        };
        cell.outcomes.iter().map(of).collect()
    }

    /// nDCG@10 by seed and topic.
    fn utility(&self, cell: &Cell) -> BySeed {
        let topics = self.base.utility_topics();
        let of = |outcomes: &Outcomes| by_unit(topics.iter().copied().zip(outcomes.ndcg10.iter().copied()));
        cell.outcomes.iter().map(of).collect()
    }

    fn report(&self, cells: &[Cell]) -> Report {
        let mut report = Report::new(self.settings.name(), self.settings.question());
        let adamw = Method::ADAMW.name();
        let at =
            |share: f64, method: &str| cells.iter().find(|cell| cell.share == share && cell.method == method);
        let most = self.settings.shares[self.settings.shares.len() - 1];
        if let (Some(clean), Some(noisy)) = (at(0.0, &adamw), at(most, &adamw)) {
            let estimate = difference(&self.moved(noisy), &self.moved(clean), self.bench.seed());
            report.findings.push(Finding::new(
                format!(
                    "E_b towards {} with {} of the leans flipped, less that without",
                    self.settings.towards,
                    percent(most)
                ),
                estimate,
                self.units(),
                "seeds × topics",
                format!("AdamW: {}", says(estimate, "noise helps", "what noise costs")),
            ));
        }
        for &share in &self.settings.shares {
            let Some(plain) = at(share, &adamw) else { continue };
            for cell in cells.iter().filter(|cell| cell.share == share && cell.method != adamw) {
                self.find(cell, plain, &mut report);
            }
        }
        report.tables.push(table(cells));
        report.figures.push(self.figure(cells));
        report.notes.push(format!(
            "Untuned, E_b is {:+.2} and nDCG@10 {:.3}. Intervals resample seeds and topics; those of nDCG@10, the topics of `{}`.",
            self.untuned.embedder_bias(),
            self.untuned.utility(),
            self.settings.tuning.utility,
        ));
        report
    }

    /// Number of pairs of a seed and a topic that E_b is compared over.
    fn units(&self) -> usize {
        let topics: BTreeSet<&str> = self.base.validation_topics().into_iter().collect();
        self.seeds().len() * topics.len()
    }

    /// What a method makes of the same flips, less what AdamW does.
    fn find(&self, cell: &Cell, plain: &Cell, report: &mut Report) {
        let seed = self.bench.seed();
        let what = |quantity: &str| {
            format!("{quantity} of {}, {} flipped, less that of AdamW", cell.method, percent(cell.share))
        };
        let moved = difference(&self.moved(cell), &self.moved(plain), seed);
        let towards = format!("E_b towards {}", self.settings.towards);
        let meaning = says(moved, "moves farther", "moves less far");
        report.findings.push(Finding::new(what(&towards), moved, self.units(), "seeds × topics", meaning));
        let (of, against) = (self.utility(cell), self.utility(plain));
        let n = of.iter().map(Vec::len).sum();
        let kept = difference(&of, &against, seed);
        let meaning = says(kept, "keeps more utility", "keeps less utility");
        report.findings.push(Finding::new(what("nDCG@10"), kept, n, "seeds × topics", meaning));
        let shares = |cell: &Cell| -> BySeed {
            cell.clean.iter().map(|looks| looks.iter().map(|(_, share)| *share).collect()).collect()
        };
        let (of, against) = (shares(cell), shares(plain));
        if of.iter().chain(&against).any(Vec::is_empty) || of.is_empty() {
            return;
        }
        let more = difference(&of, &against, seed);
        let meaning = says(more, "clean examples count for more", "clean examples count for less");
        let n = of.iter().map(Vec::len).sum();
        report.findings.push(Finding::new(
            what("clean share of the gradient"),
            more,
            n,
            "seeds × epochs",
            meaning,
        ));
    }

    /// E_b over the share that is flipped, by method.
    fn figure(&self, cells: &[Cell]) -> Figure {
        let mut names: Vec<&str> = Vec::new();
        for cell in cells {
            if !names.contains(&cell.method.as_str()) {
                names.push(&cell.method);
            }
        }
        let series = names.iter().enumerate().map(|(colour, &name)| {
            let own = cells.iter().filter(|cell| cell.method == name);
            let point = |cell: &Cell| {
                Point::new(100.0 * cell.share, mean(cell.outcomes.iter().map(Outcomes::embedder_bias)))
            };
            Series { name: name.into(), points: own.map(point).collect(), joined: false, colour }
        });
        let (x, y) = ("% of leans flipped".into(), "E_b".into());
        let chart = Chart { x, y, log2: false, series: series.collect() };
        let caption = format!(
            "E_b of embedders tuned towards {} on leans of which a share is flipped, means over seeds; untuned {:+.2}.",
            self.settings.towards,
            self.untuned.embedder_bias()
        );
        Figure::new("noise", caption, &chart.draw("E_b over the share of flipped leans"))
    }
}

/// Every method at every share, means over seeds.
fn table(cells: &[Cell]) -> Table {
    let columns =
        ["flipped", "method", "epochs", "E_b", "nDCG@10", "clean share, first epoch", "last", "seeds"];
    let mut table = Table::new("Every method at every share of flipped leans, means over seeds", &columns);
    for cell in cells {
        let of = |value: fn(&Outcomes) -> f64| mean(cell.outcomes.iter().map(value));
        let clean = |look: fn(&Vec<(usize, f64)>) -> Option<f64>| -> String {
            let shares: Vec<f64> = cell.clean.iter().filter_map(look).collect();
            if shares.is_empty() { String::new() } else { format!("{:.3}", mean(shares.into_iter())) }
        };
        table.push([
            percent(cell.share),
            cell.method.clone(),
            format!("{:.1}", cell.epochs),
            format!("{:+.2}", of(Outcomes::embedder_bias)),
            format!("{:.3}", of(Outcomes::utility)),
            clean(|looks| Some(looks.first()?.1)),
            clean(|looks| Some(looks.last()?.1)),
            cell.outcomes.len().to_string(),
        ]);
    }
    table
}

/// What is seen of a training.
struct Looks {
    clean: Vec<(usize, f64)>,
    /// The epoch after which E_b on the watched questions is farthest on the way to the pole, that E_b with the pole's sign, and the weights.
    best: Option<(usize, f64, Weights)>,
}

/// Without neutral documents, each example has documents of both leans, which a flip exchanges.
fn mining() -> MineConfig {
    MineConfig::default().fill_with_neutral(false)
}

/// The questions of all topics but a fifth, and those of that fifth, which are drawn by the hash of their names.
fn held_out(questions: &[Question]) -> Result<(QuestionSet, QuestionSet)> {
    let mut topics: Vec<&str> =
        questions.iter().map(Question::cluster).collect::<BTreeSet<_>>().into_iter().collect();
    topics.sort_by_cached_key(|topic| *ContentHasher::new("held-out/1").field(topic).finish().as_bytes());
    if topics.len() < 5 {
        return Err(Error::TooFew {
            what: "topics that are trained on",
            expected: 5,
            received: topics.len(),
        });
    }
    let held: BTreeSet<&str> = topics[..topics.len() / 5].iter().copied().collect();
    let (watched, trained): (Vec<Question>, Vec<Question>) =
        questions.iter().cloned().partition(|question| held.contains(question.cluster()));
    Ok((QuestionSet::new(trained)?, QuestionSet::new(watched)?))
}

/// The mean of values; 0 of none.
fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, count) = values.fold((0.0, 0), |(sum, count), value| (sum + value, count + 1));
    sum / f64::from(count.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fifth_of_the_topics_is_held_out_and_no_topic_is_on_both_sides() {
        let question = |i: usize| Question {
            id: i.to_string(),
            text: format!("question {i}"),
            topic: Some(format!("topic {}", i % 10)),
            choices: None,
        };
        let questions: Vec<Question> = (0..40).map(question).collect();
        let (trained, watched) = held_out(&questions).unwrap();
        assert_eq!((trained.len(), watched.len()), (32, 8));
        let topics = |set: &QuestionSet| -> BTreeSet<String> {
            set.questions().iter().map(|question| question.cluster().to_owned()).collect()
        };
        assert!(topics(&trained).is_disjoint(&topics(&watched)));
        assert!(held_out(&questions[..3]).is_err());
    }

    #[test]
    fn settings_outside_their_range_are_named() {
        let error = |noise: Noise| noise.check().unwrap_err().to_string();
        let good = Noise::default();
        assert!(error(Noise { shares: vec![0.2, 0.4], ..good.clone() }).starts_with("shares is [0.2, 0.4]"));
        assert!(error(Noise { shares: vec![0.0, 1.5], ..good.clone() }).starts_with("shares is"));
        assert!(error(Noise { radius: -1.0, ..good.clone() }).starts_with("radius is -1"));
        assert!(error(Noise { examples: 3, ..good.clone() }).starts_with("examples is 3"));
        assert!(error(Noise { towards: "left".into(), ..good }).starts_with("towards is left"));
    }

    /// Heads on the small bundled set.
    fn measured(noise: Noise) -> Report {
        let folder = tempfile::tempdir().unwrap();
        let workspace = ragbias::Workspace::new(ragbias::Models::from_env().unwrap());
        let tuning = TunedSetting { data: "gender".into(), ..TunedSetting::default() };
        let noise = Noise { tuning, seeds: 2, ..noise };
        noise.check().unwrap();
        noise.run(&Bench::new(&workspace, folder.path(), 1.0, 0).unwrap()).unwrap()
    }

    #[test]
    #[ignore = "some minutes: cargo test --release --workspace --lib flipping -- --ignored"]
    fn flipping_every_lean_turns_the_bias_and_its_cost_is_found() {
        let report = measured(Noise { shares: vec![0.0, 1.0], examples: 40, ..Noise::default() });
        let cost = report.findings[0].estimate.unwrap();
        assert!(cost.high < -0.2, "{cost:?}");
        // All flipped, or none: no group to compare the gradient of.
        assert!(report.findings.iter().all(|finding| !finding.what.contains("clean share")));
    }

    #[test]
    fn without_a_radius_no_method_differs_from_adamw() {
        let settings =
            Noise { shares: vec![0.0, 0.25], radius: 0.0, examples: 16, epochs: 2, ..Noise::default() };
        let report = measured(settings);
        let others = report.findings[1..].iter().filter(|finding| !finding.what.contains("stopped early"));
        let mut count = 0;
        for finding in others {
            let estimate = finding.estimate.unwrap();
            assert_eq!((estimate.value, estimate.low, estimate.high), (0.0, 0.0, 0.0), "{}", finding.what);
            count += 1;
        }
        // Five forms at two shares: E_b and nDCG@10, and at one of the shares that of the gradient.
        assert_eq!(count, 25);
    }
}
