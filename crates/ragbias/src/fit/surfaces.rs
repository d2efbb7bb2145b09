//! Surfaces through corpora of different C_b: R_b = β0 + s·E_b + c·C_b + m·E_b·C_b.

use std::collections::{BTreeMap, BTreeSet};

use ragbias_core::message;
use ragbias_data::{MeasurementRow, Outcome};
use ragbias_stats::{JointBootstrap, QuestionOutcome, Surface, TopicCounts};
use serde::{Deserialize, Serialize};

use super::config::FitConfig;

/// How R_b of one LLM follows E_b and C_b, over corpora on which the same questions were asked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SurfaceFit {
    /// The LLM.
    pub llm: String,
    /// The axis.
    pub axis: String,
    /// The split of the questions, if the table has the column.
    pub split: Option<String>,
    /// The corpora, each with its C_b.
    pub corpora: BTreeMap<String, f64>,
    /// The surface.
    #[serde(flatten)]
    pub surface: Surface,
}

/// Corpora of different C_b through which no surface could be fitted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NoSurface {
    /// The LLM.
    pub llm: String,
    /// The axis.
    pub axis: String,
    /// The split of the questions, if the table has the column.
    pub split: Option<String>,
    /// The reason.
    pub reason: String,
}

/// What a surface is of: LLM, axis and split.
type Key<'a> = (&'a str, &'a str, Option<&'a str>);

/// The pairs of a corpus and an embedder of one surface, each with the C_b.
type Pairs<'a> = BTreeMap<(&'a str, &'a str), f64>;

/// The surfaces of a table with corpora of at least two different C_b, and the reasons where there is none.
pub(super) fn surfaces(
    rows: &[MeasurementRow],
    outcomes: &[Outcome],
    config: &FitConfig,
) -> (Vec<SurfaceFit>, Vec<NoSurface>) {
    let mut groups: BTreeMap<Key<'_>, Pairs<'_>> = BTreeMap::new();
    for row in rows {
        if let (Some(_), Some(llm), Some(corpus), Some(bias)) =
            (row.rag_bias, &row.llm, &row.corpus, row.corpus_bias)
        {
            let pairs = groups.entry((llm, &row.axis, row.split.as_deref())).or_default();
            pairs.insert((corpus, &row.embedder), bias);
        }
    }
    let (mut fitted, mut left_out) = (Vec::new(), Vec::new());
    for ((llm, axis, split), pairs) in groups {
        let of_group = |outcome: &&Outcome| {
            outcome.llm.as_deref() == Some(llm)
                && outcome.axis == axis
                && split.is_none_or(|split| outcome.split == split)
                && pairs.contains_key(&(outcome.corpus.as_str(), outcome.embedder.as_str()))
        };
        let outcomes: Vec<&Outcome> = outcomes.iter().filter(of_group).collect();
        for corpora in of_same_questions(&outcomes) {
            let pairs: Pairs<'_> = pairs
                .iter()
                .filter(|((corpus, _), _)| corpora.contains(corpus))
                .map(|(k, v)| (*k, *v))
                .collect();
            let values = || pairs.values().copied();
            if values().fold(f64::NEG_INFINITY, f64::max) - values().fold(f64::INFINITY, f64::min) < 1e-9 {
                continue;
            }
            match surface(&pairs, &outcomes, config) {
                Ok(surface) => fitted.push(SurfaceFit {
                    llm: llm.into(),
                    axis: axis.into(),
                    split: split.map(str::to_owned),
                    corpora: pairs.iter().map(|((corpus, _), bias)| ((*corpus).to_owned(), *bias)).collect(),
                    surface,
                }),
                Err(reason) => {
                    let (llm, axis, split) = (llm.to_owned(), axis.to_owned(), split.map(str::to_owned));
                    left_out.push(NoSurface { llm, axis, split, reason });
                }
            }
        }
    }
    (fitted, left_out)
}

/// The corpora on which the same questions were asked, together.
fn of_same_questions<'o>(outcomes: &[&'o Outcome]) -> Vec<BTreeSet<&'o str>> {
    let mut questions: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for outcome in outcomes {
        questions.entry(&outcome.corpus).or_default().insert(&outcome.question);
    }
    let mut corpora: BTreeMap<BTreeSet<&str>, BTreeSet<&str>> = BTreeMap::new();
    for (corpus, asked) in questions {
        corpora.entry(asked).or_default().insert(corpus);
    }
    corpora.into_values().collect()
}

fn surface(pairs: &Pairs<'_>, outcomes: &[&Outcome], config: &FitConfig) -> Result<Surface, String> {
    // A pair counts as an embedder: E_b and R_b are those of an embedder on a corpus. Numbers keep their order as text.
    let numbers: BTreeMap<(&str, &str), String> =
        pairs.keys().enumerate().map(|(number, pair)| (*pair, format!("{number:09}"))).collect();
    let mut seen = BTreeSet::new();
    let ours = outcomes.iter().filter_map(|outcome| {
        let embedder = numbers.get(&(outcome.corpus.as_str(), outcome.embedder.as_str()))?;
        seen.insert((embedder, &outcome.question)).then_some(QuestionOutcome {
            embedder,
            topic: &outcome.topic,
            document: outcome.lean_document,
            answer: outcome.lean_answer,
            llm: outcome.lean_llm,
        })
    });
    let counts = TopicCounts::new(ours).map_err(|error| message(&error))?;
    if counts.embedders().len() < pairs.len() {
        return Err("the outcomes lack a pair of a corpus and an embedder".into());
    }
    let corpus_bias: Vec<f64> = pairs.values().copied().collect();
    JointBootstrap::new(config.draws, config.seed)
        .fit_surface(&counts, &corpus_bias)
        .map_err(|error| message(&error))
}

#[cfg(test)]
mod tests {
    use ragbias_core::Lean;

    use super::*;

    /// Three corpora with four embedders each; the answer follows the document where `follows` says so.
    fn study() -> (Vec<MeasurementRow>, Vec<Outcome>) {
        let (mut rows, mut outcomes) = (Vec::new(), Vec::new());
        for (c, bias) in [(0, -0.4), (1, 0.0), (2, 0.4)] {
            for e in 0..4 {
                let lean = |topic: usize| if topic <= 2 * e + c { Lean::Positive } else { Lean::Negative };
                for topic in 0..12 {
                    for question in 0..3 {
                        let answer = if (topic + question) % 2 == 0 { lean(topic) } else { Lean::Negative };
                        outcomes.push(Outcome {
                            embedder: format!("e{e}"),
                            llm: Some("m".into()),
                            axis: "x".into(),
                            corpus: format!("c{c}"),
                            split: "all".into(),
                            question: format!("q{topic}-{question}"),
                            topic: format!("t{topic}"),
                            document: String::new(),
                            lean_document: Some(lean(topic)),
                            lean_answer: Some(answer),
                            answer: String::new(),
                            lean_llm: Some(Lean::Neutral),
                            answer_llm: String::new(),
                            outcome_document: None,
                            outcome_answer: None,
                            outcome_llm: None,
                            outcomes_by_rank: Vec::new(),
                        });
                    }
                }
                rows.push(MeasurementRow {
                    embedder: format!("e{e}"),
                    family: Some("f".into()),
                    llm: Some("m".into()),
                    axis: "x".into(),
                    corpus: Some(format!("c{c}")),
                    split: Some("all".into()),
                    embedder_bias: 0.0,
                    rag_bias: Some(0.0),
                    rag_interval: None,
                    scored: None,
                    corpus_bias: Some(bias),
                    llm_bias: Some(0.0),
                });
            }
        }
        (rows, outcomes)
    }

    #[test]
    fn a_surface_is_fitted_through_the_corpora_of_the_same_questions() {
        let (mut rows, mut outcomes) = study();
        let config = FitConfig::default().draws(400);
        let (fitted, left_out) = surfaces(&rows, &outcomes, &config);
        assert_eq!((fitted.len(), left_out.len()), (1, 0));
        assert_eq!((fitted[0].surface.n, fitted[0].corpora.len()), (12, 3));
        // Half of the answers follow their document.
        assert!((fitted[0].surface.sensitivity.value - 0.5).abs() < 0.05, "{:?}", fitted[0].surface);

        // A corpus with other questions has no part in it.
        let other: Vec<Outcome> = (outcomes.iter().filter(|outcome| outcome.corpus == "c1"))
            .map(|outcome| Outcome {
                corpus: "d".into(),
                question: format!("d{}", outcome.question),
                ..outcome.clone()
            })
            .collect();
        let more: Vec<MeasurementRow> = (rows.iter().filter(|row| row.corpus.as_deref() == Some("c1")))
            .map(|row| MeasurementRow { corpus: Some("d".into()), corpus_bias: Some(0.9), ..row.clone() })
            .collect();
        rows.extend(more);
        outcomes.extend(other);
        assert_eq!(surfaces(&rows, &outcomes, &config).0, fitted);
        let (one, _) = surfaces(&rows[..4], &outcomes, &config);
        assert!(one.is_empty(), "one corpus has no surface");
    }

    #[test]
    fn corpora_that_determine_no_surface_are_named_with_the_reason() {
        let (rows, outcomes) = study();
        let few: Vec<_> = rows.iter().filter(|row| row.embedder == "e0").cloned().collect();
        let (fitted, left_out) = surfaces(&few, &outcomes, &FitConfig::default().draws(200));
        assert!(fitted.is_empty());
        assert!(
            left_out[0].reason.contains("pairs of a corpus and an embedder: expected at least 6"),
            "{left_out:?}"
        );
    }
}
