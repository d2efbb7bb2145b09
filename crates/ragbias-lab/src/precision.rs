//! Does quantising move a bias, and does more training make it worse?

mod llms;
mod rounding;

use ragbias::LlmName;
use ragbias::core::ContentHasher;
use ragbias::data::Split;
use ragbias::stats::{Estimate, NonlinearLeastSquares};
use ragbias::tune::{Scope, Weights};
use serde::{Deserialize, Serialize};

use self::llms::RoundedLlms;
use self::rounding::{Format, RoundedVectors};
use crate::bench::Bench;
use crate::chart::{Chart, Point, Series};
use crate::error::{Error, Result};
use crate::instrument::Instrument;
use crate::methods::{topic_mean, unit_mean};
use crate::pairs::{LongerTraining, Pairs};
use crate::report::{Figure, Finding, Report, Table, signed};
use crate::tuning::{Outcomes, TunedBase, TunedSetting};

/// Does quantising an embedder or an LLM move a bias, and does more training make it worse?
///
/// The base is trained further for 0, 2 and 8 times a budget of steps. The weights of each result are rounded to fewer bits, and the vectors
/// of the base, as a vector database would store them. The weights of LLMs are rounded to blocks of 16 to 2 bits, and their answers to questions
/// with twins are weighed, without a passage and with either twin.
///
/// | parameter | default | purpose | range |
/// | --- | --- | --- | --- |
/// | `tuning` | MiniLM, all questions of `gender`, utility `gender` | base, axis and data | |
/// | `pairs` | `brevity`, `position`, `wording` | bundled data sets whose questions and passages the base is trained on | at least one |
/// | `budget` | 10 | steps of 8 questions that are the unit of training, in proportion to the size | 1 to 100,000 |
/// | `training-rate` | 2e-5 | peak learning rate of that training | above 0 |
/// | `llms` | `smollm2-135m`, `gemma3-270m` | LLMs whose weights are rounded: names or `.gguf` files | may be empty |
/// | `llm-questions` | 60 | questions of `gender-twins` that they are asked, in proportion to the size | 8 to 100,000 |
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Precision {
    /// Base, axis and data.
    pub tuning: TunedSetting,
    /// Bundled data sets whose questions and passages the base is trained on.
    pub pairs: Vec<String>,
    /// Steps that are the unit of training, at size 1.
    pub budget: usize,
    /// Peak learning rate of the training.
    pub training_rate: f64,
    /// LLMs whose weights are rounded.
    pub llms: Vec<LlmName>,
    /// Questions that they are asked, at size 1.
    pub llm_questions: usize,
}

impl Default for Precision {
    fn default() -> Self {
        let (data, utility) = ("gender".to_owned(), "gender".to_owned());
        Self {
            tuning: TunedSetting { data, utility, measured: Split::All, ..TunedSetting::default() },
            pairs: ["brevity", "position", "wording"].map(str::to_owned).to_vec(),
            budget: 10,
            training_rate: 2e-5,
            llms: ["smollm2-135m", "gemma3-270m"]
                .map(|name| name.parse().expect("a name of the registry; this is a bug"))
                .to_vec(),
            llm_questions: 60,
        }
    }
}

/// Training in units of the budget.
const BUDGETS: [usize; 3] = [0, 2, 8];

/// One embedder at one precision.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Rounded {
    steps: usize,
    /// What is rounded; none of the embedder as it is.
    format: Option<Format>,
    vectors: bool,
    outcomes: Outcomes,
}

impl Instrument for Precision {
    fn name(&self) -> &'static str {
        "precision"
    }

    fn question(&self) -> &'static str {
        "Does quantising an embedder or an LLM move a bias, and does more training make it worse?"
    }

    fn check(&self) -> Result<()> {
        if !(1..=100_000).contains(&self.budget) {
            let received = self.budget.to_string();
            return Err(Error::Setting { setting: "budget", expected: "1 to 100000", received });
        }
        self.training(1).check()?;
        self.rounded_llms().check()?;
        self.tuning.check()
    }

    fn run(&self, bench: &Bench) -> Result<Report> {
        let pairs = Pairs::load(&self.pairs)?;
        let (mut all, mut topics) = (Vec::new(), Vec::new());
        for budget in BUDGETS {
            let steps = budget * bench.scaled(self.budget, 1);
            let base = self.training(steps).base(&pairs, &self.tuning.base, bench)?;
            let setting = TunedSetting { base, ..self.tuning.clone() };
            let base = TunedBase::load(&setting, Scope::Full, bench)?;
            all.extend(self.rounded(&base, steps, bench)?);
            topics = base.validation_topics().into_iter().map(str::to_owned).collect();
        }
        let mut report = self.report(&all, &topics, bench);
        self.rounded_llms().report(bench, &mut report)?;
        Ok(report)
    }
}

impl Precision {
    fn training(&self, steps: usize) -> LongerTraining<'_> {
        LongerTraining { pairs: &self.pairs, rate: self.training_rate, steps }
    }

    fn rounded_llms(&self) -> RoundedLlms<'_> {
        RoundedLlms { llms: &self.llms, questions: self.llm_questions }
    }

    /// An embedder as it is, with rounded weights, and, untrained, with rounded vectors.
    fn rounded(&self, base: &TunedBase, steps: usize, bench: &Bench) -> Result<Vec<Rounded>> {
        let mut plan = vec![(None, false)];
        plan.extend(Format::ALL.map(|format| (Some(format), false)));
        if steps == 0 {
            plan.extend(Format::OF_VECTORS.map(|format| (Some(format), true)));
        }
        let what = format!("precisions of {steps} steps");
        let step = bench.progress().begin(&what, plan.len() as u64, ragbias::core::Unit::Items);
        let mut all = Vec::new();
        for (format, vectors) in plan {
            let outcomes = bench.kept("rounded", &(&self.tuning, base.id(), format, vectors), || {
                let id = ContentHasher::new("rounded/1").field(base.id().as_bytes());
                let id = id.field(format!("{format:?} {vectors}")).finish();
                match format {
                    None => base.measure(base.untuned()?),
                    Some(format) if vectors => {
                        base.measure(RoundedVectors { embedder: base.untuned()?, format, id })
                    }
                    Some(format) => {
                        let weights = Weights::base().with_matrices(base.base(), |_, columns, values| {
                            format.round_rows(values, columns);
                        })?;
                        base.measure(base.tuned(&weights, id)?)
                    }
                }
            })?;
            all.push(Rounded { steps, format, vectors, outcomes });
            step.advance(1);
        }
        Ok(all)
    }

    fn report(&self, all: &[Rounded], topics: &[String], bench: &Bench) -> Report {
        let mut report = Report::new(self.name(), self.question());
        let whole = |steps: usize| {
            let whole = all.iter().find(|one| one.steps == steps && one.format.is_none());
            &whole.expect("every embedder is measured as it is; this is a bug").outcomes
        };
        let mut rows = Table::new(
            "Each embedder at each precision",
            &["steps", "rounded", "bits", "E_b", "its change", "nDCG@10", "its change"],
        );
        for one in all {
            let name = one.format.map_or("nothing", |_| if one.vectors { "vectors" } else { "weights" });
            let bits = one.format.map_or_else(|| "32".into(), Format::name);
            let (bias, utility) = changes(whole(one.steps), &one.outcomes, topics, bench.seed());
            if let (Some(format), true) = (one.format, one.steps == 0) {
                find(&mut report, one, format, (bias, utility), topics);
            }
            let change =
                |estimate: Option<Estimate>| estimate.map_or_else(|| "0".into(), crate::report::shown);
            rows.push([
                one.steps.to_string(),
                name.into(),
                bits,
                signed(one.outcomes.embedder_bias()),
                change(bias.filter(|_| one.format.is_some())),
                format!("{:.3}", one.outcomes.utility()),
                change(utility.filter(|_| one.format.is_some())),
            ]);
        }
        report.tables.push(rows);
        let cells: Vec<Loss> = (all.iter().filter(|one| !one.vectors && one.steps > 0))
            .filter_map(|one| {
                let bits = one.format?.bits();
                Some(Loss {
                    steps: one.steps,
                    bits,
                    lost: whole(one.steps).utility() - one.outcomes.utility(),
                })
            })
            .collect();
        find_law(&cells, &mut report);
        report.figures.push(figure(all));
        report.notes.push(format!(
            "{} questions on {} topics. Weights are those of the encoder's layers, each row with its own scale; embeddings, biases and LayerNorms \
             stay in 32 bits, and so does the arithmetic. The number of parameters is that of one model, so that N of the law cannot be told from C.",
            topics.len(),
            topics.iter().collect::<std::collections::BTreeSet<_>>().len(),
        ));
        report
    }
}

/// What rounding an embedder changed.
fn find(
    report: &mut Report,
    one: &Rounded,
    format: Format,
    (bias, utility): (Option<Estimate>, Option<Estimate>),
    topics: &[String],
) {
    let what = if one.vectors { "vectors" } else { "weights" };
    let count = topics.iter().collect::<std::collections::BTreeSet<_>>().len();
    let excludes = |estimate: &Estimate| !estimate.covers(0.0);
    let meaning = match bias {
        Some(bias) if excludes(&bias) => "rounding moves the bias",
        _ => "no change of the bias is seen",
    };
    let name = format.name();
    report.findings.push(Finding::new(
        format!("E_b, {what} of {name} bits less 32"),
        bias,
        count,
        "topics",
        meaning,
    ));
    let meaning = match utility {
        Some(utility) if excludes(&utility) => "rounding changes what is found",
        _ => "no change of the utility is seen",
    };
    let n = one.outcomes.ndcg10.len();
    report.findings.push(Finding::new(
        format!("nDCG@10, {what} of {name} bits less 32"),
        utility,
        n,
        "questions",
        meaning,
    ));
}

/// The changes of E_b, over topics, and of nDCG@10, over questions, from one embedder to another.
fn changes(
    from: &Outcomes,
    to: &Outcomes,
    topics: &[String],
    seed: u64,
) -> (Option<Estimate>, Option<Estimate>) {
    let leans = from.leans.iter().zip(&to.leans).zip(topics);
    let moved = leans.filter_map(|((from, to), topic)| Some((topic.as_str(), f64::from((*to)? - (*from)?))));
    let (bias, _) = topic_mean(moved, seed);
    let lost: Vec<f64> = from.ndcg10.iter().zip(&to.ndcg10).map(|(from, to)| to - from).collect();
    let utility = unit_mean(&lost, seed);
    (bias, utility)
}

/// What rounding cost one trained embedder.
#[derive(Debug, Clone, Copy)]
struct Loss {
    steps: usize,
    bits: f64,
    lost: f64,
}

/// δ = C·D^γ_D·e^(−P/γ), of nDCG@10: D is the number of steps, P that of bits. Source: Kumar et al., *Scaling Laws for Precision*,
/// <https://arxiv.org/abs/2411.04330>, whose 1/N^γ_N is a part of C here.
fn find_law(cells: &[Loss], report: &mut Report) {
    let fit = NonlinearLeastSquares::best_of(&[vec![-1.0, 0.1, 1.0], vec![1.0, 0.5, 0.5]], |theta| {
        let law = |cell: &Loss| (theta[0] + theta[1] * (cell.steps as f64).ln() - cell.bits / theta[2]).exp();
        cells.iter().map(|cell| law(cell) - cell.lost).collect()
    });
    let of = |parameter: usize| fit.as_ref().and_then(|fit| fit.interval(parameter));
    report.findings.push(Finding::new(
        "γ of δ = C·D^γ_D·e^(−P/γ), weights",
        of(2),
        cells.len(),
        "embedders",
        "the number of bits over which the loss to rounding falls by a factor of e",
    ));
    report.findings.push(Finding::new(
        "γ_D of the same",
        of(1),
        cells.len(),
        "embedders",
        "above 0: what was trained longer loses more to rounding",
    ));
}

/// nDCG@10 and E_b over bits.
fn figure(all: &[Rounded]) -> Figure {
    let series =
        |name: String, colour: usize, steps: usize, vectors: bool, value: &dyn Fn(&Outcomes) -> f64| {
            let points = all.iter().filter(|one| one.steps == steps && one.vectors == vectors);
            let mut points: Vec<Point> =
                points.filter_map(|one| Some(Point::new(one.format?.bits(), value(&one.outcomes)))).collect();
            points.sort_by(|a, b| a.x.total_cmp(&b.x));
            Series { name, points, joined: true, colour }
        };
    let mut steps: Vec<usize> = all.iter().map(|one| one.steps).collect();
    steps.dedup();
    let mut drawn: Vec<Series> = (steps.iter().enumerate())
        .map(|(colour, &steps)| {
            series(format!("nDCG@10, weights, {steps} steps"), colour, steps, false, &Outcomes::utility)
        })
        .collect();
    drawn.push(series("nDCG@10, vectors".into(), 3, 0, true, &Outcomes::utility));
    drawn.push(series("E_b, weights, 0 steps".into(), 4, 0, false, &Outcomes::embedder_bias));
    let chart = Chart { x: "bits".into(), y: "nDCG@10 and E_b".into(), log2: true, series: drawn };
    Figure::new(
        "bits",
        "nDCG@10 and E_b of embedders whose weights or vectors are rounded to so many bits.",
        &chart.draw("nDCG@10 and E_b over bits"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_planted_law_of_precision_is_found_and_losses_of_nothing_identify_none() {
        let cells = |lost: &dyn Fn(f64, f64) -> f64| -> Vec<Loss> {
            let all =
                [20, 80, 320].into_iter().flat_map(|steps| [1.0, 2.0, 3.0, 4.0].map(|bits| (steps, bits)));
            all.map(|(steps, bits)| Loss { steps, bits, lost: lost(steps as f64, bits) }).collect()
        };
        let mut report = Report::new("precision", "");
        find_law(&cells(&|d, p| 0.4 * d.powf(0.3) * (-p / 0.8).exp()), &mut report);
        let (gamma, of_training) =
            (report.findings[0].estimate.unwrap(), report.findings[1].estimate.unwrap());
        assert!((gamma.value - 0.8).abs() < 1e-6 && (of_training.value - 0.3).abs() < 1e-6, "{report:?}");
        let mut report = Report::new("precision", "");
        find_law(&cells(&|d, p| 0.001 * (d * 7.0 + p * 13.0).sin()), &mut report);
        assert!(report.findings[1].estimate.is_none_or(|estimate| estimate.covers(0.0)), "{report:?}");
    }

    #[test]
    fn an_embedder_that_did_not_change_has_no_change() {
        let outcomes = Outcomes { leans: vec![Some(1), Some(-1), None, Some(1)], ndcg10: vec![0.5, 0.7] };
        let topics = ["a", "a", "b", "c"].map(str::to_owned);
        let (bias, utility) = changes(&outcomes, &outcomes, &topics, 0);
        assert_eq!((bias.unwrap().low, bias.unwrap().high, utility.unwrap().value), (0.0, 0.0, 0.0));
    }
}
