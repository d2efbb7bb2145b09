//! LLMs whose weights are rounded: L_b, s and how sure their answers are, over bits.

use std::sync::Arc;

use ragbias::core::{Generator, Silent};
use ragbias::data::{Split, load_axis};
use ragbias::generate::{GenerateConfig, Gguf, WeightFormat};
use ragbias::stats::{Estimate, NonlinearLeastSquares};
use ragbias::{LlmName, Prompter};

use crate::asking::{Asked, Llm, answer};
use crate::bench::Bench;
use crate::chart::{Chart, Point, Series};
use crate::contexts::{Case, Halves, TwinData};
use crate::error::{Error, Result};
use crate::methods::{says, topic_mean};
use crate::report::{Figure, Finding, Report, Table, shown, signed};

/// Bits of weights; the file's own come first.
const BITS: [u32; 7] = [16, 8, 6, 5, 4, 3, 2];

/// Questions below which an LLM is not measured.
const LEAST_QUESTIONS: usize = 8;

/// Prompts that are asked and kept together: those of eight questions.
const AT_A_TIME: usize = 8 * 3;

/// LLMs, and how many questions they are asked.
#[derive(Debug, Clone, Copy)]
pub(super) struct RoundedLlms<'s> {
    pub(super) llms: &'s [LlmName],
    /// At size 1.
    pub(super) questions: usize,
}

/// Twins, whose names are the answers.
const TWINS: TwinData<'static> = TwinData { axis: "gender", data: "gender-twins", split: Split::All };

/// The answers to a question: each is the mean log-probability of a token of the positive name less that of the negative one, in nats.
#[derive(Debug, Clone, PartialEq)]
struct Row {
    topic: String,
    /// Without a passage.
    closed_book: f64,
    /// With the negative twin, and with the positive one.
    shown: [f64; 2],
}

/// An LLM at one precision.
#[derive(Debug, Clone)]
struct RoundedLlm {
    llm: String,
    /// None for the weights of the file.
    bits: Option<u32>,
    rows: Vec<Row>,
}

impl RoundedLlm {
    /// The mean of a quantity over questions.
    fn mean(&self, quantity: &Quantity) -> f64 {
        self.rows.iter().map(quantity.of).sum::<f64>() / self.rows.len() as f64
    }
}

/// A quantity of the answers to one question, whose mean over questions is measured.
struct Quantity {
    name: &'static str,
    of: fn(&Row) -> f64,
    /// What it means that rounding raises or lowers it.
    says: [&'static str; 2],
}

const QUANTITIES: [Quantity; 3] = [
    Quantity {
        name: "L_b",
        of: |row| answer(row.closed_book).value(),
        says: ["rounding moves it towards the positive pole", "rounding moves it towards the negative pole"],
    },
    Quantity {
        name: "s",
        of: |row| (answer(row.shown[1]).value() - answer(row.shown[0]).value()) / 2.0,
        says: ["rounding makes it follow passages more", "rounding makes it follow passages less"],
    },
    Quantity {
        name: "s in nats",
        of: |row| (row.shown[1] - row.shown[0]) / 2.0,
        says: [
            "rounding makes a passage move its answers further",
            "rounding makes a passage move its answers less",
        ],
    },
];

impl RoundedLlms<'_> {
    pub(super) fn check(self) -> Result<()> {
        if !(LEAST_QUESTIONS..=100_000).contains(&self.questions) {
            let (expected, received) = ("8 to 100000", self.questions.to_string());
            return Err(Error::Setting { setting: "llm-questions", expected, received });
        }
        Halves::draw(TWINS, LEAST_QUESTIONS, 0, &Silent).map(drop)
    }

    /// Adds what rounding LLMs changed to a report.
    pub(super) fn report(self, bench: &Bench, report: &mut Report) -> Result<()> {
        if self.llms.is_empty() {
            return Ok(());
        }
        let axis = load_axis(TWINS.axis)?;
        let questions = bench.scaled(self.questions, LEAST_QUESTIONS);
        let halves = Halves::draw(TWINS, questions, bench.seed(), bench.progress())?;
        let prompter = Prompter::new(&axis)?;
        let mut all = Vec::new();
        for name in self.llms {
            let path = bench.workspace().models().llm_file(name, bench.progress())?;
            for bits in std::iter::once(None).chain(BITS.map(Some)) {
                let config = GenerateConfig::default();
                let generator = match bits {
                    None => Gguf::load(&path, &config)?,
                    Some(bits) => Gguf::load_changed(&path, &config, &WeightFormat::new(bits)?)?,
                };
                let generator: Arc<dyn Generator> = Arc::new(generator);
                let shown = bits.map_or_else(|| name.to_string(), |bits| format!("{name}, {bits} bits"));
                let llm = Llm::of(generator, shown, &axis, bench)?;
                all.push(RoundedLlm { llm: name.to_string(), bits, rows: rows(&llm, &halves, &prompter)? });
            }
        }
        find(&all, bench.seed(), report);
        Ok(())
    }
}

/// The answers of one LLM to all questions, without a passage and with either twin.
fn rows(llm: &Llm<'_>, halves: &Halves, prompter: &Prompter) -> Result<Vec<Row>> {
    let mut asked = Vec::new();
    for case in halves.cases() {
        let [negative, positive] = case.alone();
        for passages in [Vec::new(), negative, positive] {
            asked.push(Asked::new(prompter, &case.question.text, &halves.documents(&passages), &case.names)?);
        }
    }
    let answers = llm.weigh(&asked, AT_A_TIME, "with rounded weights")?;
    let (answers, _) = answers.as_chunks::<3>();
    let row = |(case, &[closed_book, negative, positive]): (&Case, &[f64; 3])| Row {
        topic: case.question.cluster().into(),
        closed_book,
        shown: [negative, positive],
    };
    Ok(halves.cases().zip(answers).map(row).collect())
}

/// Fills a report; the rows of all are of the same questions, in the same order.
fn find(all: &[RoundedLlm], seed: u64, report: &mut Report) {
    let mut table = Table::new(
        "Each LLM at each precision",
        &["LLM", "bits", "L_b", "its change", "s", "its change", "s in nats", "its change"],
    );
    let own = |llm: &str| {
        let own = all.iter().find(|one| one.llm == llm && one.bits.is_none());
        &own.expect("every LLM is measured as it is; this is a bug").rows
    };
    for one in all {
        let mut cells =
            vec![one.llm.clone(), one.bits.map_or_else(|| "the file's".into(), |b| b.to_string())];
        for quantity in &QUANTITIES {
            let mean = one.mean(quantity);
            let (change, n) = change(own(&one.llm), &one.rows, quantity.of, seed);
            cells.extend([
                signed(mean),
                one.bits.map_or_else(|| "0".into(), |_| change.map_or_else(String::new, shown)),
            ]);
            if let Some(bits) = one.bits {
                let what =
                    format!("{}, weights of {} in {bits} bits less the file's", quantity.name, one.llm);
                let [more, less] = quantity.says;
                report.findings.push(Finding::new(what, change, n, "topics", says(change, more, less)));
            }
        }
        table.push(cells);
    }
    report.tables.push(table);
    let mut llms: Vec<&str> = all.iter().map(|one| one.llm.as_str()).collect();
    llms.dedup();
    for llm in &llms {
        find_law(llm, all.iter().filter(|one| one.llm == *llm), own(llm), report);
    }
    report.figures.push(figure(all, &llms));
    report.notes.push(
        "Weights of LLMs are those of the layers, in blocks of 32 with a common scale in 16 bits; embeddings, output matrices, norms and biases stay as \
         they are in the file, whose own weights have 4 to 8 bits already: what it lost before cannot be measured here."
            .into(),
    );
}

/// The change of a quantity from some rows to others, over topics.
fn change(from: &[Row], to: &[Row], of: fn(&Row) -> f64, seed: u64) -> (Option<Estimate>, usize) {
    topic_mean(from.iter().zip(to).map(|(from, to)| (to.topic.as_str(), of(to) - of(from))), seed)
}

/// δ = C·e^(−P/γ): the mean distance of the log-probabilities' differences from those of the file's weights, in nats, over bits P.
fn find_law<'r>(llm: &str, rounded: impl Iterator<Item = &'r RoundedLlm>, own: &[Row], report: &mut Report) {
    let cells: Vec<(f64, f64)> = rounded
        .filter_map(|one| Some((f64::from(one.bits?), distance(own, &one.rows))))
        .filter(|(bits, _)| *bits <= 8.0)
        .collect();
    // In logarithms, so that every precision counts alike.
    let fit = NonlinearLeastSquares::best_of(&[vec![1.0, 1.0], vec![0.0, 3.0]], |theta| {
        cells.iter().map(|(bits, lost)| theta[0] - bits / theta[1] - lost.max(1e-12).ln()).collect()
    });
    report.findings.push(Finding::new(
        format!("γ of δ = C·e^(−P/γ), weights of {llm}"),
        fit.as_ref().and_then(|fit| fit.interval(1)),
        cells.len(),
        "precisions",
        "the number of bits over which what rounding changes of an answer, in nats, falls by a factor of e",
    ));
}

/// The mean over all answers of |difference of log-probabilities less that of the file's weights|, in nats per token.
fn distance(own: &[Row], rounded: &[Row]) -> f64 {
    let of = |row: &Row| [row.closed_book, row.shown[0], row.shown[1]];
    let all = own.iter().zip(rounded).flat_map(|(own, rounded)| of(own).into_iter().zip(of(rounded)));
    all.map(|(own, rounded)| (own - rounded).abs()).sum::<f64>() / (3 * own.len()) as f64
}

/// s and L_b over bits.
fn figure(all: &[RoundedLlm], llms: &[&str]) -> Figure {
    let series = |quantity: &Quantity, llm: &str, colour: usize| {
        let of = all.iter().filter(|one| one.llm == llm);
        let mut points: Vec<Point> =
            of.filter_map(|one| Some(Point::new(f64::from(one.bits?), one.mean(quantity)))).collect();
        points.sort_by(|a, b| a.x.total_cmp(&b.x));
        Series { name: format!("{}, {llm}", quantity.name), points, joined: true, colour }
    };
    let drawn = llms.iter().enumerate().flat_map(|(number, llm)| {
        QUANTITIES
            .iter()
            .take(2)
            .enumerate()
            .map(move |(which, quantity)| (2 * number + which, quantity, *llm))
    });
    let drawn: Vec<Series> = drawn.map(|(colour, quantity, llm)| series(quantity, llm, colour)).collect();
    let chart = Chart { x: "bits".into(), y: "L_b and s".into(), log2: true, series: drawn };
    Figure::new(
        "bits-of-llms",
        "L_b and s of LLMs whose weights are rounded to so many bits.",
        &chart.draw("L_b and s over bits"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An LLM that is moved by 0.8 nats, and leans by 0.1, whose answers rounding to P bits shifts by `lost(P)` nats.
    fn rounded(lost: impl Fn(f64) -> f64) -> Vec<RoundedLlm> {
        let one = |bits: Option<u32>| {
            let shift = bits.map_or(0.0, |bits| lost(f64::from(bits)));
            let rows = (0..40).map(|i| {
                let offset = f64::from(i % 7) / 7.0 - 0.4;
                let [negative, positive] = [-0.8, 0.8].map(|x| x + offset + shift);
                Row {
                    topic: format!("t{}", i % 20),
                    closed_book: offset + shift,
                    shown: [negative, positive],
                }
            });
            RoundedLlm { llm: "llm".into(), bits, rows: rows.collect() }
        };
        std::iter::once(None).chain(BITS.map(Some)).map(one).collect()
    }

    fn finding<'r>(report: &'r Report, what: &str) -> &'r Finding {
        report.findings.iter().find(|finding| finding.what.starts_with(what)).unwrap()
    }

    #[test]
    fn a_planted_effect_of_rounding_is_found_with_its_law() {
        let mut report = Report::new("precision", "");
        find(&rounded(|bits| 3.0 * (-bits / 1.5).exp()), 0, &mut report);
        let gamma = finding(&report, "γ of δ").estimate.unwrap();
        assert!((gamma.value - 1.5).abs() < 1e-6, "{gamma:?}");
        // At 2 bits every answer moves by 0.8 nats towards the positive pole.
        let moved = finding(&report, "L_b, weights of llm in 2 bits");
        assert!(moved.estimate.unwrap().low > 0.3 && moved.meaning.contains("positive"), "{moved:?}");
        let kept = finding(&report, "s in nats, weights of llm in 2 bits").estimate.unwrap();
        assert!(kept.value.abs() < 1e-9, "both twins move alike: {kept:?}");
        assert_eq!(finding(&report, "L_b, weights of llm in 8 bits").meaning, "no effect seen");
    }

    #[test]
    fn answers_that_rounding_does_not_change_show_no_effect() {
        let mut report = Report::new("precision", "");
        find(&rounded(|_| 0.0), 0, &mut report);
        let changes = report.findings.iter().filter(|finding| finding.what.contains("bits less"));
        assert!(
            changes.clone().count() == 21 && changes.into_iter().all(|one| one.meaning == "no effect seen")
        );
    }

    #[test]
    fn too_few_questions_are_refused() {
        let error = RoundedLlms { llms: &[], questions: 3 }.check().unwrap_err().to_string();
        assert!(error.starts_with("llm-questions is 3, expected 8 to 100000"), "{error}");
    }
}
