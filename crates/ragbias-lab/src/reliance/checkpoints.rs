//! An LLM that is taught who people are, and its reliance on passages that contradict it along the way.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ragbias::core::{Axis, ContentHasher, Generator, PossibleAnswer, Prompt, Unit};
use ragbias::generate::{Adapter, AdapterConfig, FineTuning, GenerateConfig, Gguf};
use ragbias::stats::{Estimate, UnitBootstrap};
use ragbias::{LlmName, Prompter};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use super::answers::{
    Measure, Moved, OfTopic, Relied, SystemAnswers, contested, counterfactual, drawn, sensitivity, shift,
    topics,
};
use super::systems::{LEAST_SYSTEMS, Measures, points, regress};
use crate::asking::Llm;
use crate::bench::Bench;
use crate::chart::{Chart, Point, Series};
use crate::contexts::Halves;
use crate::error::{Error, Result};
use crate::methods::{percent, says};
use crate::report::{Figure, Finding, Report, Table, signed};

/// Answers of a step: half of them without a passage.
const BATCH: usize = 8;

/// How an LLM is taught.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Teaching {
    /// How often it is measured, beside once before.
    pub(super) checkpoints: usize,
    pub(super) steps: usize,
    pub(super) learning_rate: f64,
}

/// An LLM that has been taught, with the adapters of its checkpoints as files.
pub(super) struct Taught {
    name: String,
    path: PathBuf,
    files: BTreeMap<usize, PathBuf>,
}

/// The answers of an LLM after so many steps.
pub(super) struct Measured {
    pub(super) steps: usize,
    pub(super) answers: SystemAnswers,
}

/// A prompt, and the name that is taught as its answer.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Lesson {
    user: String,
    name: String,
}

impl Teaching {
    pub(super) fn check(self) -> Result<()> {
        let wrong = |setting, expected, received| Err(Error::Setting { setting, expected, received });
        if !(1..=100).contains(&self.checkpoints) {
            return wrong("checkpoints", "1 to 100", self.checkpoints.to_string());
        }
        if !(self.checkpoints..=100_000).contains(&self.steps) {
            return wrong(
                "steps",
                "at least as many as `checkpoints`, at most 100000",
                self.steps.to_string(),
            );
        }
        Ok(self.config(0).check()?)
    }

    fn config(self, seed: u64) -> AdapterConfig {
        AdapterConfig::default().learning_rate(self.learning_rate).seed(seed)
    }

    /// The numbers of steps after which an LLM is measured, 0 first.
    fn marks(self) -> Vec<usize> {
        (0..=self.checkpoints).map(|mark| mark * self.steps / self.checkpoints).collect()
    }

    /// Teaches an LLM. Adapters are kept as files; if one is missing, the training begins anew.
    pub(super) fn taught(
        self,
        name: &LlmName,
        halves: &Halves,
        prompter: &Prompter,
        bench: &Bench,
    ) -> Result<Taught> {
        let path = bench.workspace().models().llm_file(name, bench.progress())?;
        let base = Gguf::load(&path, &GenerateConfig::default())?;
        let lessons = lessons(halves, prompter)?;
        let files = self.files(&base, &lessons, prompter.system(), bench);
        if files.values().any(|file| !file.is_file()) {
            self.train(&path, &lessons, prompter.system(), &files, bench)?;
        }
        Ok(Taught { name: name.to_string(), path, files })
    }

    /// Where the adapters of all checkpoints are kept: under the hash of everything that determines them.
    fn files(
        self,
        base: &Gguf,
        lessons: &[Lesson],
        system: Option<&str>,
        bench: &Bench,
    ) -> BTreeMap<usize, PathBuf> {
        let mut key = ContentHasher::new("taught/1").field(base.id().as_bytes());
        key = key.field(format!("{:?} {BATCH}", self.config(bench.seed()))).field(system.unwrap_or_default());
        for Lesson { user, name } in lessons {
            key = key.field(user).field(name);
        }
        let key = key.finish();
        let file =
            |steps: usize| bench.folder().join("kept").join(format!("taught-{key}-{steps}.safetensors"));
        self.marks().into_iter().skip(1).map(|steps| (steps, file(steps))).collect()
    }

    fn train(
        self,
        path: &Path,
        lessons: &[Lesson],
        system: Option<&str>,
        files: &BTreeMap<usize, PathBuf>,
        bench: &Bench,
    ) -> Result<()> {
        let mut tuning = FineTuning::new(path, self.config(bench.seed()))?;
        let mut order = Order::new(lessons.len() / 2, bench.seed());
        let step = bench.progress().begin("teaching names", self.steps as u64, Unit::Items);
        for number in 1..=self.steps {
            let batch = order.batch().into_iter().map(|lesson| {
                let Lesson { user, name } = &lessons[lesson];
                PossibleAnswer { prompt: Prompt { system, user }, answer: name }
            });
            tuning.step(&batch.collect::<Vec<_>>())?;
            step.advance(1);
            if let Some(file) = files.get(&number) {
                tuning.adapter()?.save(file)?;
            }
        }
        Ok(())
    }
}

impl Taught {
    /// The numbers of steps after which it is measured, 0 first.
    pub(super) fn marks(&self) -> impl Iterator<Item = usize> {
        std::iter::once(0).chain(self.files.keys().copied())
    }

    /// The LLM after one of these numbers of steps. Its weights are in memory in f32: one at a time.
    pub(super) fn llm<'b>(&self, steps: usize, axis: &Axis, bench: &'b Bench) -> Result<Llm<'b>> {
        let config = GenerateConfig::default();
        let (generator, shown) = match self.files.get(&steps) {
            None => (Gguf::load(&self.path, &config)?, format!("{}, not taught", self.name)),
            Some(file) => {
                let taught = Gguf::load_changed(&self.path, &config, &Adapter::load(file)?)?;
                (taught, format!("{}, {steps} steps", self.name))
            }
        };
        Llm::of(Arc::new(generator), shown, axis, bench)
    }
}

/// Every question without a passage, and then every question with the twin that agrees with what is taught.
fn lessons(halves: &Halves, prompter: &Prompter) -> Result<Vec<Lesson>> {
    let mut lessons = Vec::new();
    for with_passage in [false, true] {
        for case in halves.cases() {
            let (passage, name) = case.lesson();
            let shown = if with_passage { halves.documents(&passage) } else { Vec::new() };
            let user = prompter.prompt(&case.question.text, &shown)?;
            lessons.push(Lesson { user, name: name.into() });
        }
    }
    Ok(lessons)
}

/// The order in which questions are taught: all of them before any again, in another order each time.
struct Order {
    count: usize,
    rng: ChaCha8Rng,
    next: Vec<usize>,
}

impl Order {
    fn new(count: usize, seed: u64) -> Self {
        Self { count, rng: ChaCha8Rng::seed_from_u64(seed), next: Vec::new() }
    }

    /// The numbers of the next lessons: half of them without a passage, and those of the same questions with one.
    fn batch(&mut self) -> Vec<usize> {
        let mut questions = Vec::new();
        for _ in 0..(BATCH / 2).min(self.count) {
            if self.next.is_empty() {
                self.next = (0..self.count).collect();
                self.next.shuffle(&mut self.rng);
            }
            questions.extend(self.next.pop());
        }
        questions.iter().flat_map(|&question| [question, self.count + question]).collect()
    }
}

/// The share of questions whose taught name is the likelier one without a passage.
fn known(rows: &[Relied], halves: &Halves) -> f64 {
    let cases = halves.relied.iter().zip(rows);
    cases.filter(|(case, row)| case.taught().value() * row.closed_book > 0.0).count() as f64
        / rows.len() as f64
}

/// Adds what came out of the checkpoints of one LLM, the first of which is untrained, to a report.
pub(super) fn report(llm: &LlmName, all: &[Measured], halves: &Halves, seed: u64, report: &mut Report) {
    let known: Vec<f64> = all.iter().map(|one| known(&one.answers.relied, halves)).collect();
    find(llm, all, seed, report);
    report.tables.push(table(llm, all, &known));
    report.figures.push(figure(all, &known));
    report.notes.push(format!(
        "{llm} is taught the names of {} people, each without a passage and with the twin that agrees, by adapters of rank {} in all layer matrices. The \
         name that it is taught alternates between the poles. Reliance and s are those of people whom it was taught; one training was run.",
        halves.relied.len() + halves.moved.len(),
        AdapterConfig::default().rank,
    ));
}

fn find(llm: &LlmName, all: &[Measured], seed: u64, report: &mut Report) {
    let measures: [(&str, Measure<Relied>); 3] = [
        ("share of contradicting contexts followed", counterfactual),
        ("share of contradicting passages followed with the twin beside", contested),
        ("reliance in nats", shift),
    ];
    for (what, measure) in measures {
        Along { what, rows: relied, measure, llm, seed }.find(all, report);
    }
    Along { what: "s, three passages", rows: moved, measure: sensitivity, llm, seed }.find(all, report);
    over_checkpoints(llm, all, seed, report);
}

fn relied(one: &Measured) -> &[Relied] {
    &one.answers.relied
}

fn moved(one: &Measured) -> &[Moved] {
    &one.answers.moved
}

/// A measure along the checkpoints of an LLM.
struct Along<'l, R> {
    what: &'l str,
    rows: fn(&Measured) -> &[R],
    measure: Measure<R>,
    llm: &'l LlmName,
    seed: u64,
}

impl<R: OfTopic> Along<'_, R> {
    /// The measure of a checkpoint over some topics.
    fn of(&self, one: &Measured, topics: &[Vec<usize>], units: &[usize]) -> Option<f64> {
        (self.measure)(&drawn((self.rows)(one), topics, units))
    }

    /// What changes from the untrained LLM to the last checkpoint, and by way of the one at which the measure is greatest: that one is chosen
    /// on every other topic, and judged on the rest.
    fn find(&self, all: &[Measured], report: &mut Report) {
        let (Some(first), Some(last)) = (all.first(), all.last()) else { return };
        let (llm, what) = (self.llm, self.what);
        let topics = topics((self.rows)(first));
        let change = |from: &Measured, to: &Measured, among: &[usize]| {
            UnitBootstrap::new(among.len(), self.seed).estimate(|units| {
                let units: Vec<usize> = units.iter().map(|&unit| among[unit]).collect();
                Some(self.of(to, &topics, &units)? - self.of(from, &topics, &units)?)
            })
        };
        let mut push = |what: String, estimate: Option<Estimate>, n: usize, above: &str, below: &str| {
            report.findings.push(Finding::new(what, estimate, n, "topics", says(estimate, above, below)));
        };
        let every: Vec<usize> = (0..topics.len()).collect();
        push(
            format!("{what}, {llm} after {} steps less untrained", last.steps),
            change(first, last, &every),
            every.len(),
            "it is greater for people whom the LLM was taught",
            "it is less for people whom the LLM was taught",
        );
        let (chosen, judged): (Vec<usize>, Vec<usize>) = every.iter().partition(|topic| *topic % 2 == 0);
        let Some(peak) = most(all, |one| self.of(one, &topics, &chosen)) else { return };
        push(
            format!("{what}, {llm} at its highest, after {} steps, less untrained", peak.steps),
            change(first, peak, &judged),
            judged.len(),
            "it rises first",
            "it falls from the first",
        );
        push(
            format!("{what}, {llm} after {} steps less at its highest", last.steps),
            change(peak, last, &judged),
            judged.len(),
            "it goes on rising",
            "it falls in the end",
        );
    }
}

/// The checkpoint at which a measure is greatest, the first of equals.
fn most(all: &[Measured], measure: impl Fn(&Measured) -> Option<f64>) -> Option<&Measured> {
    let mut best: Option<(f64, &Measured)> = None;
    for one in all {
        let value = measure(one)?;
        if best.is_none_or(|(most, _)| value > most) {
            best = Some((value, one));
        }
    }
    best.map(|(_, one)| one)
}

/// s regressed on reliance over the checkpoints.
fn over_checkpoints(llm: &LlmName, all: &[Measured], seed: u64, report: &mut Report) {
    let systems: Vec<SystemAnswers> = all.iter().map(|one| one.answers.clone()).collect();
    let of = Measures { reliance: contested, s: sensitivity };
    let points = points(&systems, of).unwrap_or_default();
    let found = regress(&points, seed);
    let (above, below) =
        ("checkpoints that rely more are moved further", "checkpoints that rely more are moved less far");
    let all: [(&str, Option<Estimate>); 2] =
        [("slope", found.slope_by_formula), ("correlation", found.correlation)];
    for (what, estimate) in all {
        report.findings.push(Finding::new(
            format!("{what} of s over the share followed with the twin beside, checkpoints of {llm}"),
            estimate.filter(|_| points.len() >= LEAST_SYSTEMS),
            points.len(),
            "checkpoints",
            says(estimate, above, below),
        ));
    }
}

fn table(llm: &LlmName, all: &[Measured], known: &[f64]) -> Table {
    let mut table = Table::new(
        &format!("{llm} while it is taught names"),
        &["steps", "names known", "contradicting contexts followed", "nats", "with the twin beside", "s"],
    );
    for (one, known) in all.iter().zip(known) {
        let relied: Vec<&Relied> = one.answers.relied.iter().collect();
        let moved: Vec<_> = one.answers.moved.iter().collect();
        let share = |value: Option<f64>| value.map_or_else(|| "–".into(), percent);
        let number = |value: Option<f64>| value.map_or_else(|| "–".into(), signed);
        table.push([
            one.steps.to_string(),
            percent(*known),
            share(counterfactual(&relied)),
            number(shift(&relied)),
            share(contested(&relied)),
            number(sensitivity(&moved)),
        ]);
    }
    table
}

/// What is known, what is followed, and s, over steps.
fn figure(all: &[Measured], known: &[f64]) -> Figure {
    let series = |name: &str, colour: usize, value: &dyn Fn(usize) -> Option<f64>| {
        let points = all.iter().enumerate();
        let points = points.filter_map(|(i, one)| Some(Point::new(one.steps as f64, value(i)?))).collect();
        Series { name: name.into(), points, joined: true, colour }
    };
    let relied = |i: usize| relied(&all[i]).iter().collect::<Vec<&Relied>>();
    let drawn = vec![
        series("names known", 0, &|i| Some(known[i])),
        series("contradicting contexts followed", 1, &|i| counterfactual(&relied(i))),
        series("the same with the twin beside", 2, &|i| contested(&relied(i))),
        series("s, three passages", 3, &|i| sensitivity(&all[i].answers.moved.iter().collect::<Vec<_>>())),
    ];
    let chart = Chart { x: "steps".into(), y: "share, and s".into(), log2: false, series: drawn };
    Figure::new(
        "taught",
        "What an LLM knows and how far it follows passages, while it is taught names.",
        &chart.draw("reliance over steps"),
    )
}

#[cfg(test)]
mod tests {
    use ragbias::core::Silent;
    use ragbias::data::Split;

    use super::*;
    use crate::contexts::{LEVELS, TwinData};

    const TEACHING: Teaching = Teaching { checkpoints: 4, steps: 10, learning_rate: 1e-3 };

    fn halves() -> Halves {
        let twins = TwinData { axis: "gender", data: "gender-twins", split: Split::All };
        Halves::draw(twins, 24, 0, &Silent).unwrap()
    }

    #[test]
    fn every_question_is_taught_with_and_without_its_passage_and_the_poles_alternate() {
        let halves = halves();
        let prompter = Prompter::new(&ragbias::data::load_axis("gender").unwrap()).unwrap();
        let lessons = lessons(&halves, &prompter).unwrap();
        assert_eq!(lessons.len(), 48);
        for (case, (alone, with)) in halves.cases().zip(lessons[..24].iter().zip(&lessons[24..])) {
            assert_eq!(alone.name, with.name);
            assert!(with.user.contains(&with.name) && !alone.user.contains(&alone.name));
            assert!([&case.names.negative, &case.names.positive].contains(&&alone.name));
        }
        let female = halves.relied.iter().filter(|case| case.taught().value() > 0.0).count();
        assert_eq!(female, 6);
        assert_eq!(TEACHING.marks(), [0, 2, 5, 7, 10]);
        let mut order = Order::new(24, 0);
        let mut taught: Vec<usize> = (0..6).flat_map(|_| order.batch()).collect();
        taught.sort_unstable();
        assert_eq!(taught, (0..48).collect::<Vec<_>>());
    }

    /// Checkpoints whose answers follow contradicting contexts in these shares.
    fn measured(shares: &[f64]) -> Vec<Measured> {
        let one = |(number, &share): (usize, &f64)| {
            let relied = (0..60).map(|i| {
                let follows = (f64::from(i) * 0.618).fract() < share;
                let shown = if follows { -1.0 } else { 1.0 };
                let topic = format!("a{}", i % 30);
                Relied { topic, closed_book: 1.0, alone: [shown, 1.0], at_places: [shown; 3] }
            });
            let moved = (0..60).map(|i| {
                let mixed =
                    LEVELS.map(|level| 0.9 * share * level + (f64::from(i) * 0.618).fract() * 2.0 - 1.0);
                Moved { topic: format!("b{}", i % 30), mixed }
            });
            let answers = SystemAnswers {
                llm: "llm".into(),
                wording: "plain".into(),
                relied: relied.collect(),
                moved: moved.collect(),
            };
            Measured { steps: 10 * number, answers }
        };
        shares.iter().enumerate().map(one).collect()
    }

    fn findings(shares: &[f64]) -> Vec<Finding> {
        let mut report = Report::new("reliance", "");
        find(&"smollm2-135m".parse().unwrap(), &measured(shares), 0, &mut report);
        report.findings
    }

    #[test]
    fn a_rise_and_a_fall_are_found_and_a_constant_reliance_shows_neither() {
        let all = findings(&[0.5, 0.7, 0.95, 0.9, 0.6, 0.4, 0.3]);
        let said = |what: &str| {
            let one = all
                .iter()
                .find(|one| one.what.contains(what) && one.what.starts_with("share of contradicting c"));
            one.unwrap().meaning.as_str()
        };
        assert_eq!(said("after 20 steps, less untrained"), "it rises first", "{all:?}");
        assert_eq!(said("less at its highest"), "it falls in the end");
        let slope = all.iter().find(|one| one.what.starts_with("slope")).unwrap().estimate.unwrap();
        assert!(slope.low > 0.5, "{slope:?}");
        let none = findings(&[0.6; 7]);
        let shares = none.iter().filter(|one| one.what.starts_with("share"));
        assert!(shares.clone().count() == 6 && shares.into_iter().all(|one| one.meaning == "no effect seen"));
    }

    #[test]
    fn settings_outside_their_range_are_refused() {
        TEACHING.check().unwrap();
        for bad in [
            Teaching { checkpoints: 0, ..TEACHING },
            Teaching { steps: 3, ..TEACHING },
            Teaching { learning_rate: f64::NAN, ..TEACHING },
        ] {
            assert!(bad.check().is_err(), "{bad:?}");
        }
    }
}
