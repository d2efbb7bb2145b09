use std::collections::{BTreeMap, BTreeSet};

use ragbias_core::limits::DRAWS;
use ragbias_core::message;
use ragbias_data::{MeasurementRow, Outcome};
use ragbias_stats::{
    BiasConflict, ConflictFit, Equivalence, Estimate, JointBootstrap, Points, QuestionOutcome, Resampled,
    SensitivityDifference, TopicCounts, holm,
};
use serde::{Deserialize, Serialize};

use crate::Result;
use crate::measured::BASE_FAMILY;
use crate::undecided::further;

mod config;
mod files;
mod key;
mod ranks;
mod surfaces;

pub use config::FitConfig;
pub use files::fit_files;
pub use key::{FitKey, LeftOut};
pub use ranks::RankFit;
pub use surfaces::{NoSurface, SurfaceFit};

/// The lines of a measurement table. Serialised, it is the output of `ragbias fit --json`, and `fit.json` of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Fits {
    /// A line per LLM, axis, corpus and split.
    pub fits: Vec<LlmFit>,
    /// Comparisons of LLMs that answered for the same embedders.
    pub comparisons: Vec<SensitivityComparison>,
    /// Surfaces through corpora of different C_b; empty in files of versions that fitted none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub surfaces: Vec<SurfaceFit>,
    /// Corpora of different C_b without a surface.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub no_surface: Vec<NoSurface>,
    /// How strongly answers follow the document at each rank; empty where questions were answered from one document.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub by_rank: Vec<RankFit>,
    /// LLMs and axes for which that cannot be said.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub no_ranks: Vec<LeftOut>,
    /// LLMs and axes without a line.
    pub left_out: Vec<LeftOut>,
    /// Number of rows without an R_b.
    pub skipped: usize,
}

/// The line of one LLM.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LlmFit {
    /// Its LLM, axis, corpus and split.
    #[serde(flatten)]
    pub of: FitKey,
    /// The line.
    #[serde(flatten)]
    pub conflict: BiasConflict,
    /// Number of embedders with which the system is debiased; none if the table has no intervals of R_b.
    pub equivalence: Option<Debiased>,
    /// The points, sorted by name.
    pub embedders: Vec<FittedEmbedder>,
}

impl LlmFit {
    /// The median number of further questions that would probably decide the undecided embedders, those left out that none would.
    pub fn further_questions(&self) -> Option<usize> {
        let mut further: Vec<usize> =
            self.embedders.iter().filter_map(|embedder| embedder.further_questions).collect();
        further.sort_unstable();
        further.get(further.len() / 2).copied()
    }

    /// The least and the greatest E_b of its embedders.
    pub fn range(&self) -> (f64, f64) {
        let values = || self.embedders.iter().map(|embedder| embedder.embedder_bias);
        (values().fold(f64::INFINITY, f64::min), values().fold(f64::NEG_INFINITY, f64::max))
    }
}

/// One embedder of a line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FittedEmbedder {
    /// Its name.
    pub embedder: String,
    /// Its family, if the table has the column.
    pub family: Option<String>,
    /// E_b.
    pub embedder_bias: f64,
    /// R_b.
    pub rag_bias: f64,
    /// Number of answers that R_b is based on, if the table has the column.
    pub n: Option<usize>,
    /// Number of questions asked, if the table has the column.
    pub asked: Option<usize>,
    /// R_b minus the value of the line.
    pub residual: f64,
    /// The verdict on |R_b| < δ from the interval of R_b, if the table has one.
    pub verdict: Option<Equivalence>,
    /// If it is undecided, the number of further questions that would probably decide it, if there is such a number.
    #[serde(default)]
    pub further_questions: Option<usize>,
}

/// Embedders by the verdict on |R_b| < δ.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Debiased {
    /// δ.
    pub delta: f64,
    /// The interval of R_b lies within (−δ, δ).
    pub debiased: usize,
    /// The interval lies at or beyond δ on one side.
    pub biased: usize,
    /// Neither.
    pub undecided: usize,
}

/// Two LLMs on the same axis, corpus and split.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SensitivityComparison {
    /// The axis.
    pub axis: String,
    /// The split of the questions, if the table has the column.
    pub split: Option<String>,
    /// The first LLM.
    pub first: String,
    /// The second LLM.
    pub second: String,
    /// s of the first minus s of the second.
    pub difference: Estimate,
    /// Two-sided p value.
    pub p: f64,
    /// Holm's p value, adjusted for all comparisons here.
    pub p_holm: f64,
}

/// Fits R_b = β0 + s·E_b for every LLM, axis, corpus and split of a table, and, where outcomes are given, R_b = β0 + s·E_b + c·C_b +
/// m·E_b·C_b for every LLM, axis and split whose corpora differ in C_b: [`Surface`](ragbias_stats::Surface); and, where questions were
/// answered from several documents, R_b = a + Σⱼ sⱼ·E_b,j by rank j: [`RankSensitivities`](ragbias_stats::RankSensitivities).
///
/// With outcomes, topics are resampled, and embedders too if a row belongs to a family: [`JointBootstrap`]. Without
/// them, or with fewer than five topics, only embedders are. An LLM with fewer than three embedders is left out.
///
/// # Errors
/// Settings out of range.
pub fn fit(rows: &[MeasurementRow], outcomes: &[Outcome], config: &FitConfig) -> Result<Fits> {
    Equivalence::judge(0.0..=0.0, config.delta)?;
    DRAWS.check("draws", config.draws)?;
    let mut groups: BTreeMap<FitKey, Vec<&MeasurementRow>> = BTreeMap::new();
    let mut skipped = 0;
    for row in rows {
        let (Some(_), Some(llm)) = (row.rag_bias, row.llm.clone()) else {
            skipped += 1;
            continue;
        };
        let key =
            FitKey { llm, axis: row.axis.clone(), corpus: row.corpus.clone(), split: row.split.clone() };
        groups.entry(key).or_default().push(row);
    }
    let (surfaces, no_surface) = surfaces::surfaces(rows, outcomes, config);
    let (by_rank, no_ranks) = ranks::ranks(outcomes);
    let mut fits = Fits {
        fits: Vec::new(),
        comparisons: Vec::new(),
        surfaces,
        no_surface,
        by_rank,
        no_ranks,
        left_out: Vec::new(),
        skipped,
    };
    let mut fitted = Vec::new();
    for (of, rows) in groups {
        match Group::new(&of, rows).and_then(|group| group.fit(outcomes, config)) {
            Ok((fit, line)) => {
                fits.fits.push(fit);
                fitted.push(line);
            }
            Err(reason) => fits.left_out.push(LeftOut { of, reason }),
        }
    }
    fits.comparisons = compare(&fits.fits, &fitted);
    Ok(fits)
}

impl Fits {
    /// Notes on irregularities.
    pub fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if self.skipped > 0 {
            notes.push(format!("rows without a rag_bias, skipped: {}", self.skipped));
        }
        notes.extend(self.left_out.iter().map(|left| format!("left out: {}: {}", left.of, left.reason)));
        notes.extend(self.no_surface.iter().map(|none| {
            format!("no surface over the corpora of {} with {}: {}", none.axis, none.llm, none.reason)
        }));
        notes.extend(
            self.no_ranks
                .iter()
                .map(|left| format!("no sensitivities by rank: {}: {}", left.of, left.reason)),
        );
        for fit in &self.fits {
            let share = |(n, asked): (usize, usize)| n as f64 / asked.max(1) as f64;
            let few: Vec<_> = (fit.embedders.iter())
                .filter_map(|embedder| Some((embedder, (embedder.n?, embedder.asked?))))
                .filter(|(_, (n, asked))| n < asked)
                .collect();
            let least = few.iter().min_by(|a, b| share(a.1).total_cmp(&share(b.1)));
            if let Some((embedder, (n, asked))) = least {
                notes.push(format!(
                    "{}: R_b of {} of {} embedders rests on fewer answers than were asked; of `{}` on {n} of {asked}",
                    fit.of,
                    few.len(),
                    fit.embedders.len(),
                    embedder.embedder
                ));
            }
        }
        if self.fits.iter().any(|fit| fit.conflict.interval == Resampled::Embedders) {
            notes.push(
                "without outcomes of five topics or more, intervals come from embedders alone: on other questions the line \
                 may lie elsewhere\nhint: `outcomes FILE` names the outcomes of the same run"
                    .into(),
            );
        }
        notes
    }
}

/// The rows of one line, unique and sorted by the embedders' names.
struct Group<'a> {
    of: &'a FitKey,
    rows: Vec<&'a MeasurementRow>,
}

impl<'a> Group<'a> {
    /// The reason if they have no line.
    fn new(of: &'a FitKey, rows: Vec<&'a MeasurementRow>) -> Result<Self, String> {
        let mut by_name: BTreeMap<&str, &MeasurementRow> = BTreeMap::new();
        for row in rows {
            let first = by_name.entry(&row.embedder).or_insert(row);
            if (first.embedder_bias, first.rag_bias) != (row.embedder_bias, row.rag_bias) {
                return Err(format!("embedder `{}` is there twice, with different biases", row.embedder));
            }
        }
        Ok(Self { of, rows: by_name.into_values().collect() })
    }

    fn fit(&self, outcomes: &[Outcome], config: &FitConfig) -> Result<(LlmFit, Fitted), String> {
        let text = |error: ragbias_stats::Error| message(&error);
        let biases = |of: fn(&MeasurementRow) -> Option<f64>| -> Vec<f64> {
            self.rows.iter().filter_map(|row| of(row)).collect()
        };
        let llm_biases = biases(|row| row.llm_bias);
        if llm_biases.len() < self.rows.len() {
            return Err("no answer without context was scored, so L_b is undefined".into());
        }
        let points =
            Points::new(biases(|row| Some(row.embedder_bias)), biases(|row| row.rag_bias)).map_err(text)?;
        let mut bootstrap = JointBootstrap::new(config.draws, config.seed);
        let counts = self.counts(outcomes)?.filter(|counts| counts.topics().len() >= 5);
        let (conflict, topics) = if let Some(counts) = counts {
            self.check(&counts)?;
            let in_family =
                |row: &&MeasurementRow| row.family.as_deref().is_some_and(|family| family != BASE_FAMILY);
            if !self.rows.iter().any(in_family) {
                bootstrap = bootstrap.keeping_embedders();
            }
            (bootstrap.fit(&counts).map_err(text)?, counts.topics().to_vec())
        } else {
            let llm_bias = llm_biases.iter().sum::<f64>() / llm_biases.len() as f64;
            (bootstrap.fit_points(points, llm_bias).map_err(text)?, Vec::new())
        };
        let embedders = self.embedders(&conflict, config.delta).map_err(text)?;
        let count = |verdict| embedders.iter().filter(|embedder| embedder.verdict == Some(verdict)).count();
        let equivalence = embedders.iter().any(|embedder| embedder.verdict.is_some()).then(|| Debiased {
            delta: config.delta,
            debiased: count(Equivalence::Debiased),
            biased: count(Equivalence::Biased),
            undecided: count(Equivalence::Undecided),
        });
        let line = LlmFit { of: self.of.clone(), conflict: (*conflict).clone(), equivalence, embedders };
        Ok((line, Fitted { conflict, topics }))
    }

    fn embedders(
        &self,
        conflict: &ConflictFit,
        delta: f64,
    ) -> Result<Vec<FittedEmbedder>, ragbias_stats::Error> {
        let points = conflict.points().embedder_bias().iter().zip(conflict.points().rag_bias());
        (self.rows.iter().zip(points))
            .map(|(row, (embedder_bias, rag_bias))| {
                let line = conflict.intercept.value + conflict.sensitivity.value * embedder_bias;
                let judge = |(low, high)| Equivalence::judge(low..=high, delta);
                let verdict = row.rag_interval.map(judge).transpose()?;
                let undecided = verdict == Some(Equivalence::Undecided);
                let known = row.rag_interval.zip(row.scored).filter(|_| undecided);
                Ok(FittedEmbedder {
                    embedder: row.embedder.clone(),
                    family: row.family.clone(),
                    embedder_bias: *embedder_bias,
                    rag_bias: *rag_bias,
                    n: row.scored.map(|(n, _)| n),
                    asked: row.scored.map(|(_, asked)| asked),
                    residual: rag_bias - line,
                    verdict,
                    further_questions: known
                        .and_then(|(interval, (_, asked))| further(*rag_bias, interval, asked, delta)),
                })
            })
            .collect()
    }

    /// Outcomes of these rows by topic, each question of an embedder once; none if there are no outcomes.
    fn counts(&self, outcomes: &[Outcome]) -> Result<Option<TopicCounts>, String> {
        let FitKey { llm, axis, corpus, split } = self.of;
        let names: BTreeSet<&str> = self.rows.iter().map(|row| row.embedder.as_str()).collect();
        let is = |of: &Option<String>, value: &String| of.as_ref().is_none_or(|of| of == value);
        let mut seen = BTreeSet::new();
        let ours: Vec<_> = (outcomes.iter())
            .filter(|outcome| outcome.llm.as_ref() == Some(llm) && outcome.axis == *axis)
            .filter(|outcome| is(corpus, &outcome.corpus) && is(split, &outcome.split))
            .filter(|outcome| names.contains(outcome.embedder.as_str()))
            .filter(|outcome| seen.insert((&outcome.embedder, &outcome.question)))
            .map(|outcome| QuestionOutcome {
                embedder: &outcome.embedder,
                topic: &outcome.topic,
                document: outcome.lean_document,
                answer: outcome.lean_answer,
                llm: outcome.lean_llm,
            })
            .collect();
        if ours.is_empty() {
            return Ok(None);
        }
        let there: BTreeSet<&str> = ours.iter().map(|outcome| outcome.embedder).collect();
        if let Some(missing) = names.difference(&there).next() {
            return Err(format!("the outcomes have no question of embedder `{missing}`"));
        }
        match TopicCounts::new(ours) {
            Ok(counts) => Ok(Some(counts)),
            Err(ragbias_stats::Error::TooFew { .. }) => Ok(None),
            Err(error) => Err(message(&error)),
        }
    }

    /// Refuses outcomes of a run other than the table's.
    fn check(&self, counts: &TopicCounts) -> Result<(), String> {
        let points = counts.points().map_err(|error| message(&error))?;
        let pairs = points.embedder_bias().iter().zip(points.rag_bias());
        for (row, (embedder, rag)) in self.rows.iter().zip(pairs) {
            for (name, table, outcomes) in
                [("E_b", row.embedder_bias, embedder), ("R_b", row.rag_bias.unwrap_or_default(), rag)]
            {
                // Tables may have been rounded.
                if (table - outcomes).abs() > 0.006 {
                    return Err(format!(
                        "{name} of `{}` is {table} in the table and {outcomes} by the outcomes; they are not of one run",
                        row.embedder
                    ));
                }
            }
        }
        Ok(())
    }
}

/// A line with its draws.
struct Fitted {
    conflict: ConflictFit,
    /// That were drawn from, in order.
    topics: Vec<String>,
}

/// All pairs of LLMs that were measured with the same embedders on the same topics.
fn compare(fits: &[LlmFit], fitted: &[Fitted]) -> Vec<SensitivityComparison> {
    let names =
        |fit: &LlmFit| fit.embedders.iter().map(|embedder| embedder.embedder.clone()).collect::<Vec<_>>();
    let mut compared = Vec::new();
    for (i, first) in fits.iter().enumerate() {
        for (j, second) in fits.iter().enumerate().skip(i + 1) {
            let (a, b) = (&first.of, &second.of);
            let alike = (&a.axis, &a.corpus, &a.split) == (&b.axis, &b.corpus, &b.split);
            if !alike || fitted[i].topics != fitted[j].topics || names(first) != names(second) {
                continue;
            }
            let (one, other) = (&fitted[i].conflict, &fitted[j].conflict);
            if let Some(difference) = SensitivityDifference::between(one, other) {
                compared.push(SensitivityComparison {
                    axis: a.axis.clone(),
                    split: a.split.clone(),
                    first: a.llm.clone(),
                    second: b.llm.clone(),
                    difference: difference.difference,
                    p: difference.p,
                    p_holm: difference.p,
                });
            }
        }
    }
    let adjusted = holm(&compared.iter().map(|comparison| comparison.p).collect::<Vec<_>>());
    for (comparison, p) in compared.iter_mut().zip(adjusted) {
        comparison.p_holm = p;
    }
    compared
}

#[cfg(test)]
mod tests {
    use ragbias_core::Lean;

    use super::*;

    fn row(embedder: &str, llm: &str, embedder_bias: f64, rag_bias: f64) -> MeasurementRow {
        MeasurementRow {
            embedder: embedder.into(),
            family: Some("f".into()),
            llm: Some(llm.into()),
            axis: "x".into(),
            corpus: None,
            split: None,
            embedder_bias,
            rag_bias: Some(rag_bias),
            rag_interval: Some((rag_bias - 0.05, rag_bias + 0.05)),
            scored: None,
            corpus_bias: None,
            llm_bias: Some(0.0),
        }
    }

    /// Embedder e retrieves the positive pole for the first e + 1 of 6 topics, and every answer follows its document, except
    /// those of the last topic.
    fn outcomes() -> (Vec<MeasurementRow>, Vec<Outcome>) {
        let (mut rows, mut outcomes) = (Vec::new(), Vec::new());
        for e in 0..4 {
            let lean = |topic| if topic <= e { Lean::Positive } else { Lean::Negative };
            for topic in 0..6 {
                outcomes.push(Outcome {
                    embedder: e.to_string(),
                    llm: Some("m".into()),
                    axis: "x".into(),
                    corpus: "c".into(),
                    split: "test".into(),
                    question: topic.to_string(),
                    topic: topic.to_string(),
                    document: String::new(),
                    lean_document: Some(lean(topic)),
                    lean_answer: Some(if topic == 5 { Lean::Positive } else { lean(topic) }),
                    answer: String::new(),
                    lean_llm: Some(Lean::Neutral),
                    answer_llm: String::new(),
                    outcome_document: None,
                    outcome_answer: None,
                    outcome_llm: None,
                    outcomes_by_rank: Vec::new(),
                });
            }
            let bias = f64::from(e + 1) / 3.0 - 1.0;
            rows.push(row(&e.to_string(), "m", bias, bias + 1.0 / 3.0));
        }
        (rows, outcomes)
    }

    #[test]
    fn outcomes_of_the_same_run_are_resampled_and_those_of_another_refused() {
        let (mut rows, outcomes) = outcomes();
        let fits = fit(&rows, &outcomes, &FitConfig::default()).unwrap();
        let conflict = &fits.fits[0].conflict;
        assert_eq!((conflict.interval, conflict.topics), (Resampled::TopicsAndEmbedders, Some(6)));
        assert!((conflict.sensitivity.value - 1.0).abs() < 1e-9, "{conflict:?}");
        assert_eq!(fits.fits[0].equivalence.unwrap().debiased, 1);
        for row in &mut rows {
            row.family = Some(BASE_FAMILY.into());
        }
        let kept = fit(&rows, &outcomes, &FitConfig::default()).unwrap();
        assert_eq!(kept.fits[0].conflict.interval, Resampled::Topics);
        rows[2].rag_bias = Some(0.9);
        let refused = fit(&rows, &outcomes, &FitConfig::default()).unwrap();
        assert!(refused.left_out[0].reason.contains("R_b of `2` is 0.9 in the table"), "{refused:?}");
        let partly = fit(&rows, &outcomes[..18], &FitConfig::default()).unwrap();
        assert!(partly.left_out[0].reason.contains("no question of embedder `3`"), "{partly:?}");
    }

    #[test]
    fn biases_that_rest_on_fewer_answers_than_were_asked_are_noted_and_without_l_b_there_is_no_line() {
        let (mut rows, outcomes) = outcomes();
        for (row, n) in rows.iter_mut().zip([6, 4, 2, 6]) {
            row.scored = Some((n, 6));
        }
        let fits = fit(&rows, &outcomes, &FitConfig::default()).unwrap();
        let notes = fits.notes().join("\n");
        assert!(
            notes
                .contains("R_b of 2 of 4 embedders rests on fewer answers than were asked; of `2` on 2 of 6"),
            "{notes}"
        );
        for row in &mut rows {
            row.llm_bias = None;
        }
        let fits = fit(&rows, &[], &FitConfig::default()).unwrap();
        assert!(fits.fits.is_empty() && fits.left_out[0].reason.contains("L_b is undefined"), "{fits:?}");
    }

    #[test]
    fn each_llm_has_its_line_and_those_of_the_same_embedders_are_compared() {
        let mut rows = Vec::new();
        for (i, x) in [-0.7, -0.5, -0.3, -0.1, 0.2, 0.4, 0.6, 0.8].into_iter().enumerate() {
            let wiggle = if i % 2 == 0 { 0.02 } else { -0.02 };
            rows.push(row(&i.to_string(), "a", x, 0.5 * x + wiggle));
            rows.push(row(&i.to_string(), "b", x, 0.1 * x + wiggle));
            rows.push(row(&format!("other {i}"), "c", x, 0.3 * x + wiggle));
        }
        rows.push(row("0", "d", 0.1, 0.1));
        rows.push(rows[0].clone());
        let fits = fit(&rows, &[], &FitConfig::default()).unwrap();
        assert_eq!(fits.fits.iter().map(|fit| fit.of.llm.as_str()).collect::<Vec<_>>(), ["a", "b", "c"]);
        let [comparison] = fits.comparisons.as_slice() else { panic!("{:?}", fits.comparisons) };
        assert_eq!((comparison.first.as_str(), comparison.second.as_str()), ("a", "b"));
        assert!((comparison.difference.value - 0.4).abs() < 1e-9 && comparison.p < 0.05, "{comparison:?}");
        assert!(fits.left_out[0].reason.contains("expected at least 3, received 1"), "{:?}", fits.left_out);
        rows[0].rag_bias = Some(0.9);
        let twice = fit(&rows, &[], &FitConfig::default()).unwrap();
        assert!(twice.left_out[0].reason.contains("`0` is there twice"), "{:?}", twice.left_out);
    }
}
