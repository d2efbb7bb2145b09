//! Success by edge, against random triggers and the other pole.

use ragbias::stats::{Estimate, UnitBootstrap};

use super::answers::Answered;
use super::contests::Side;
use super::judge::{JudgedSystem, Made, Ranked, Trial};
use crate::chart::{Chart, Point, Series};
use crate::hotflip::Optimised;
use crate::methods::{percent, says, topic_mean};
use crate::report::{Figure, Finding, Report, Table, shown, signed};

/// A trigger, and the names of the encoders that it was made for.
pub(super) struct TriggerOf<'a> {
    pub(super) ensemble: String,
    pub(super) trigger: &'a Optimised,
}

/// What a trigger is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Words before documents.
    Words,
    /// A change of pixels.
    Pictures,
}

impl Kind {
    /// The name of a finding or a table.
    fn of(self, what: &str) -> String {
        match self {
            Self::Words => what.into(),
            Self::Pictures => format!("pictures: {what}"),
        }
    }
}

/// Everything that was measured of one kind.
pub(super) struct Found<'a> {
    pub(super) kind: Kind,
    /// Of each question.
    pub(super) topics: Vec<&'a str>,
    /// The sign of the pole's lean.
    pub(super) sign: f64,
    /// Each with the trial of its main trigger, in the pole's documents and in the others', first.
    pub(super) systems: &'a [JudgedSystem],
    pub(super) seed: u64,
}

/// Whether each question's first twin changes to the one that has the trigger.
pub(super) fn flips(before: &Ranked, after: &Ranked, side: Side) -> Vec<bool> {
    let sign = match side {
        Side::Pole => 1,
        Side::Other => -1,
    };
    before
        .leans
        .iter()
        .zip(&after.leans)
        .map(|(before, after)| before * sign <= 0 && after * sign > 0)
        .collect()
}

fn shares(flips: Vec<bool>) -> Vec<f64> {
    flips.into_iter().map(f64::from).collect()
}

/// The mean of several values for each question.
fn mean_by_question(all: &[Vec<f64>]) -> Vec<f64> {
    let count = all.first().map_or(0, Vec::len);
    (0..count).map(|row| all.iter().map(|values| values[row]).sum::<f64>() / all.len() as f64).collect()
}

fn minus(a: &[f64], b: &[f64]) -> Vec<f64> {
    a.iter().zip(b).map(|(a, b)| a - b).collect()
}

impl JudgedSystem {
    fn trial(&self, (trial, after): &(Trial, Ranked)) -> Vec<f64> {
        shares(flips(&self.before, after, trial.side))
    }

    /// The share of random triggers that change each question's first twin.
    fn random(&self) -> Vec<f64> {
        let random = self.trials.iter().filter(|(trial, _)| trial.made == Made::Random);
        mean_by_question(&random.map(|trial| self.trial(trial)).collect::<Vec<_>>())
    }

    /// What the main trigger changes beyond random ones.
    fn beyond(&self) -> Vec<f64> {
        minus(&self.trial(&self.trials[0]), &self.random())
    }

    /// The trial of a trigger that was made for this system.
    fn made_for_it(&self) -> Option<&(Trial, Ranked)> {
        self.trials.iter().find(|(trial, _)| trial.made == Made::ForIt)
    }

    /// Whether a trigger was made for it at all: it is one of the members.
    fn is_member(&self) -> bool {
        self.made_for_it().is_some()
    }
}

impl Found<'_> {
    pub(super) fn report(&self, report: &mut Report) {
        self.find_documents(report);
        self.find_costs(report);
        report.tables.push(self.table());
        report.figures.push(self.figure());
    }

    /// The mean over questions, with its interval over topics.
    fn mean(&self, values: &[f64]) -> (Option<Estimate>, usize) {
        topic_mean(self.topics.iter().copied().zip(values.iter().copied()), self.seed)
    }

    fn push(&self, report: &mut Report, what: &str, values: &[f64], meaning: impl Into<String>) {
        let (estimate, n) = self.mean(values);
        report.findings.push(Finding::new(self.kind.of(what), estimate, n, "topics", meaning));
    }

    fn push_beyond(&self, report: &mut Report, what: &str, values: &[f64]) {
        let (estimate, n) = self.mean(values);
        let meaning =
            says(estimate, "it moves more than random ones do", "it moves less than random ones do");
        report.findings.push(Finding::new(self.kind.of(what), estimate, n, "topics", meaning));
    }

    /// P(document flips).
    fn find_documents(&self, report: &mut Report) {
        let members: Vec<&JudgedSystem> = self.systems.iter().filter(|system| system.is_member()).collect();
        let of = |value: &dyn Fn(&JudgedSystem) -> Vec<f64>| {
            mean_by_question(&members.iter().map(|system| value(system)).collect::<Vec<_>>())
        };
        let left_out = "mean over the encoders, each with the trigger that was made for all others";
        self.push(
            report,
            "flips of an encoder left out",
            &of(&|system| system.trial(&system.trials[0])),
            left_out,
        );
        let random = match self.kind {
            Kind::Words => "the same share with random words of the vocabulary",
            Kind::Pictures => "the same share with the same change at other places of the picture, by a draw",
        };
        self.push(report, "flips with random triggers", &of(&JudgedSystem::random), random);
        self.push_beyond(report, "flips of an encoder left out, beyond random", &of(&JudgedSystem::beyond));
        for system in self.systems {
            let which = if system.is_member() { "left out" } else { "unseen" };
            self.push_beyond(
                report,
                &format!("flips of {} ({which}), beyond random", system.name),
                &system.beyond(),
            );
        }
        for system in &members {
            if let Some(trial) = system.made_for_it() {
                let beyond = minus(&system.trial(trial), &system.random());
                let what = format!(
                    "flips of {} with a trigger for {}, beyond random",
                    system.name, trial.0.ensemble
                );
                self.push_beyond(report, &what, &beyond);
            }
        }
        let other = "share of questions whose first twin changes to the other pole, if that one's documents have the trigger";
        self.push(
            report,
            "flips of the other pole, left out",
            &of(&|system| system.trial(&system.trials[1])),
            other,
        );
    }

    /// E_b and nDCG@10.
    fn find_costs(&self, report: &mut Report) {
        for system in self.systems {
            let (_, after) = &system.trials[0];
            let lean = |ranked: &Ranked| -> Vec<f64> {
                ranked.leans.iter().map(|&lean| self.sign * f64::from(lean)).collect()
            };
            let moved = minus(&lean(after), &lean(&system.before));
            self.push(
                report,
                &format!("E_b of {}, change", system.name),
                &moved,
                "over twins, by a trigger that was not made for it",
            );
            let lost = minus(&after.ndcg10, &system.before.ndcg10);
            let meaning = "with the trigger in every document of the pole";
            self.push(report, &format!("nDCG@10 of {}, change", system.name), &lost, meaning);
        }
    }

    /// P(answer flips | document flips), and the product.
    pub(super) fn report_answers(&self, answers: &[Answered], report: &mut Report) {
        let Some(base) = self.systems.first() else { return };
        let sign = self.sign as i32;
        let changed = |signs: &[Option<i32>; 2]| signs[0] != Some(sign) && signs[1] == Some(sign);
        let flipped: Vec<&Answered> = answers.iter().filter(|one| changed(&one.passages)).collect();
        let follows = |one: &Answered| f64::from(changed(&one.answers));
        let given = flipped.iter().map(|one| (one.topic.as_str(), follows(one)));
        let (estimate, n) = topic_mean(given, self.seed);
        let meaning = format!("of {} questions whose first passage changed to the pole", flipped.len());
        report.findings.push(Finding::new(
            "P(answer flips | document flips)",
            estimate,
            n,
            "topics",
            meaning,
        ));

        let documents = base.trial(&base.trials[0]);
        let mut topics: Vec<&str> = self.topics.clone();
        topics.sort_unstable();
        topics.dedup();
        let product = UnitBootstrap::new(topics.len(), self.seed).estimate(|units| {
            let (mut changed, mut asked) = ((0.0, 0.0), (0.0, 0.0));
            for &unit in units {
                let own = self.topics.iter().zip(&documents).filter(|(topic, _)| **topic == topics[unit]);
                changed = own.fold(changed, |(sum, count), (_, flip)| (sum + flip, count + 1.0));
                let own = flipped.iter().filter(|one| one.topic == topics[unit]);
                asked = own.fold(asked, |(sum, count), one| (sum + follows(one), count + 1.0));
            }
            (asked.1 > 0.0).then(|| changed.0 / changed.1 * asked.0 / asked.1)
        });
        report.findings.push(Finding::new(
            "P(document flips and answer flips)",
            product,
            topics.len(),
            "topics",
            format!("the product for {}, by a trigger that was not made for it", base.name),
        ));
    }

    /// The mean of random triggers is one row.
    fn rows(&self) -> Vec<Row<'_>> {
        let mut rows = Vec::new();
        for system in self.systems {
            for trial in system.trials.iter().filter(|(trial, _)| trial.made != Made::Random) {
                rows.push(Row { system, trial: Some(trial), flips: self.mean(&system.trial(trial)).0 });
            }
            rows.push(Row { system, trial: None, flips: self.mean(&system.random()).0 });
        }
        rows
    }

    fn table(&self) -> Table {
        let columns =
            ["system", "trigger for", "in", "could flip", "flips", "E_b", "with it", "nDCG@10", "with it"];
        let mut table = Table::new(&self.kind.of("every trigger in every system"), &columns);
        let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len().max(1) as f64;
        for Row { system, trial, flips } in self.rows() {
            let before = &system.before;
            let bias = |ranked: &Ranked| {
                self.sign * mean(&ranked.leans.iter().map(|&lean| f64::from(lean)).collect::<Vec<_>>())
            };
            let side = trial.map_or(Side::Pole, |(trial, _)| trial.side);
            let sign = if side == Side::Pole { 1 } else { -1 };
            let could = before.leans.iter().map(|lean| f64::from(lean * sign <= 0)).collect::<Vec<_>>();
            let after: Vec<&Ranked> = if let Some((_, after)) = trial {
                vec![after]
            } else {
                let random = system.trials.iter().filter(|(trial, _)| trial.made == Made::Random);
                random.map(|(_, after)| after).collect()
            };
            table.push([
                system.name.clone(),
                trial.map_or_else(|| "random, mean".into(), |(trial, _)| trial.ensemble.clone()),
                if side == Side::Pole { "the pole".into() } else { "the other".into() },
                percent(mean(&could)),
                flips.map_or_else(|| "not identified".into(), shown),
                signed(bias(before)),
                signed(mean(&after.iter().map(|after| bias(after)).collect::<Vec<_>>())),
                format!("{:.3}", mean(&before.ndcg10)),
                format!("{:.3}", mean(&after.iter().map(|after| mean(&after.ndcg10)).collect::<Vec<_>>())),
            ]);
        }
        table
    }

    /// Flips of every system by what the trigger was made for.
    fn figure(&self) -> Figure {
        let names = ["made for it", "made for others", "random", "made for others, in the other pole"];
        let kind = |row: &Row<'_>| match row.trial {
            None => 2,
            Some((Trial { side: Side::Other, .. }, _)) => 3,
            Some((Trial { made: Made::ForIt, .. }, _)) => 0,
            Some(_) => 1,
        };
        let rows = self.rows();
        let series = names.iter().enumerate().map(|(number, name)| {
            let of_kind = rows.iter().filter(|row| kind(row) == number);
            let points = of_kind.map(|row| {
                let system = self.systems.iter().position(|system| std::ptr::eq(system, row.system));
                let interval = row.flips.map(|estimate| (estimate.low, estimate.high));
                let y = row.flips.map_or(f64::NAN, |estimate| estimate.value);
                // The kinds stand side by side.
                Point { x: system.unwrap_or(0) as f64 + 1.0 + 0.12 * (number as f64 - 1.5), y, interval }
            });
            Series {
                name: (*name).into(),
                points: points.collect(),
                joined: false,
                colour: [4, 1, 5, 0][number],
            }
        });
        let chart = Chart { x: "system".into(), y: "flips".into(), log2: false, series: series.collect() };
        let systems: Vec<String> = self
            .systems
            .iter()
            .enumerate()
            .map(|(place, system)| format!("{} {}", place + 1, system.name))
            .collect();
        let caption = format!(
            "Share of questions whose first twin changes to the one with the trigger. Systems: {}.",
            systems.join(", ")
        );
        let name = match self.kind {
            Kind::Words => "flips",
            Kind::Pictures => "picture-flips",
        };
        Figure::new(name, caption, &chart.draw(&self.kind.of("flips by system")))
    }
}

/// A line of the table: a trigger in a system, or the mean of the random ones.
struct Row<'a> {
    system: &'a JudgedSystem,
    trial: Option<&'a (Trial, Ranked)>,
    flips: Option<Estimate>,
}

/// The words of every trigger.
pub(super) fn triggers(all: &[TriggerOf<'_>], random: &[String]) -> Table {
    let mut table =
        Table::new("Triggers", &["made for", "words", "swaps", "loss, first step", "loss, last step"]);
    for TriggerOf { ensemble, trigger } in all {
        let loss = |at: Option<&(f64, f64)>, of: fn(&(f64, f64)) -> f64| {
            at.map_or_else(String::new, |losses| format!("{:.2}", of(losses)))
        };
        table.push([
            ensemble.clone(),
            trigger.text.clone(),
            format!("{} of {}", trigger.swaps, trigger.losses.len()),
            loss(trigger.losses.first(), |losses| losses.0),
            loss(trigger.losses.last(), |losses| losses.1),
        ]);
    }
    for words in random {
        table.push(["random".into(), words.clone(), String::new(), String::new(), String::new()]);
    }
    table
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    const QUESTIONS: usize = 400;

    /// A system in which 7 of 10 questions could change; a trigger changes each with this probability, and random ones with 0.1.
    fn system(name: &str, probability: f64, seed: u64) -> JudgedSystem {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let ranked = |leans: Vec<i32>| Ranked { ndcg10: vec![0.9; leans.len()], leans };
        let before: Vec<i32> = (0..QUESTIONS).map(|row| if row % 10 < 7 { -1 } else { 1 }).collect();
        let mut after = |probability: f64| {
            ranked(
                before.iter().map(|&lean| if rng.random::<f64>() < probability { 1 } else { lean }).collect(),
            )
        };
        let trial = |made, side| Trial { trigger: "w".into(), made, ensemble: "others".into(), side };
        let mut trials = vec![
            (trial(Made::ForOthers, Side::Pole), after(probability)),
            (trial(Made::ForOthers, Side::Other), ranked(before.clone())),
            (trial(Made::ForIt, Side::Pole), after(probability)),
        ];
        trials.extend((0..4).map(|_| (trial(Made::Random, Side::Pole), after(0.1))));
        JudgedSystem { name: name.into(), before: ranked(before), trials }
    }

    fn report(probability: f64) -> Report {
        let systems = [1, 2, 3].map(|seed| system(&format!("s{seed}"), probability, seed));
        let topics: Vec<String> = (0..QUESTIONS).map(|row| format!("t{}", row / 10)).collect();
        // Of 40 whose passage changed, every second answer follows.
        let answers: Vec<Answered> = (0..40)
            .map(|row| Answered {
                topic: topics[10 * row].clone(),
                passages: [Some(-1), Some(1)],
                answers: [Some(-1), Some(if row % 2 == 0 { 1 } else { -1 })],
            })
            .collect();
        let topics = topics.iter().map(String::as_str).collect();
        let found = Found { kind: Kind::Words, topics, sign: 1.0, systems: &systems, seed: 0 };
        let mut report = Report::new("trigger", "?");
        found.report(&mut report);
        found.report_answers(&answers, &mut report);
        report
    }

    fn finding<'r>(report: &'r Report, what: &str) -> &'r Finding {
        report
            .findings
            .iter()
            .find(|finding| finding.what == what)
            .unwrap_or_else(|| panic!("{what}: {report:?}"))
    }

    #[test]
    fn a_planted_trigger_is_found_and_one_like_random_words_is_not() {
        let planted = report(0.6);
        let beyond = |report: &Report| {
            finding(report, "flips of an encoder left out, beyond random").estimate.unwrap()
        };
        // 7 of 10 questions could change.
        assert!(beyond(&planted).covers(0.7 * 0.5) && beyond(&planted).low > 0.25, "{:?}", beyond(&planted));
        assert!(
            finding(&planted, "flips of s1 (left out), beyond random").meaning.contains("more than random")
        );
        let none = report(0.1);
        assert!(beyond(&none).covers(0.0), "{:?}", beyond(&none));
        assert!(
            finding(&none, "flips of an encoder left out, beyond random").meaning.contains("no effect seen")
        );
        let moved = finding(&planted, "E_b of s1, change").estimate.unwrap();
        assert!(moved.covers(2.0 * 0.7 * 0.6), "{moved:?}");
        assert_eq!(finding(&planted, "nDCG@10 of s1, change").estimate.unwrap().value, 0.0);
    }

    #[test]
    fn an_answer_that_follows_half_of_the_documents_gives_half_of_the_product() {
        let report = report(0.6);
        let given = finding(&report, "P(answer flips | document flips)").estimate.unwrap();
        assert!((given.value - 0.5).abs() < 1e-12 && given.low > 0.3, "{given:?}");
        let product = finding(&report, "P(document flips and answer flips)").estimate.unwrap();
        assert!(product.covers(0.5 * 0.7 * 0.6), "{product:?}");
        assert!(product.low > 0.1 && product.high < 0.32, "{product:?}");
    }

    #[test]
    fn a_change_counts_only_towards_the_twin_that_has_the_trigger() {
        let ranked = |leans: Vec<i32>| Ranked { ndcg10: vec![1.0; leans.len()], leans };
        let (before, after) = (ranked(vec![-1, 0, 1, 1, -1]), ranked(vec![1, 1, 1, -1, 0]));
        assert_eq!(flips(&before, &after, Side::Pole), [true, true, false, false, false]);
        assert_eq!(flips(&before, &after, Side::Other), [false, false, false, true, false]);
    }
}
