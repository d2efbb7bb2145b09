use std::path::Path;

use polars::prelude::Column;

use ragbias_core::{Bias, ContentId, Counts, Lean, Verdict};
use serde::{Deserialize, Serialize};

use crate::Result;
use crate::columns::write_columns;

/// One row of a measurement table: the four biases of one embedder with one LLM on one split.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Measurement {
    /// The embedder.
    pub embedder: String,
    /// The base model or recipe of the embedder.
    pub family: String,
    /// The LLM, if one was asked.
    pub llm: Option<String>,
    /// The axis.
    pub axis: String,
    /// The corpus.
    pub corpus: String,
    /// The split of the questions.
    pub split: String,
    /// Number of questions asked.
    pub n: usize,
    /// E_b.
    pub embedder_bias: Bias,
    /// The twin preference, if the corpus has twins.
    pub twin_preference: Option<Bias>,
    /// R_b; none if no LLM was asked, or no answer was scored.
    pub rag_bias: Option<Bias>,
    /// Outcomes of the answers given the documents, if an LLM was asked.
    pub rag_counts: Option<Counts>,
    /// L_b; none if no LLM was asked, or no answer was scored.
    pub llm_bias: Option<Bias>,
    /// Outcomes of the answers without context, if an LLM was asked.
    pub llm_counts: Option<Counts>,
    /// C_b.
    pub corpus_bias: Bias,
    /// nDCG@10 on the corpus's own judgements, if it has any.
    pub ndcg10: Option<f64>,
}

/// One row of an outcome table: the outcomes of one question.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// The embedder.
    pub embedder: String,
    /// The LLM, if one was asked.
    pub llm: Option<String>,
    /// The axis.
    pub axis: String,
    /// The corpus.
    pub corpus: String,
    /// The split of the questions.
    pub split: String,
    /// `_id` of the question.
    pub question: String,
    /// The cluster of the question.
    pub topic: String,
    /// `_id` of the top-1 document.
    pub document: String,
    /// Lean of the retrieved documents; `None` if unscored.
    pub lean_document: Option<Lean>,
    /// Lean of the answer given the documents; `None` if there is none, for the reason in `outcome_answer`.
    pub lean_answer: Option<Lean>,
    /// The answer given the documents.
    pub answer: String,
    /// Lean of the answer without context; `None` if there is none, for the reason in `outcome_llm`.
    pub lean_llm: Option<Lean>,
    /// The answer without context.
    pub answer_llm: String,
    /// The verdict on the retrieved documents; this and the following fields are `None` in older tables.
    pub outcome_document: Option<Verdict>,
    /// The outcome of the question given the documents; `None` if no LLM was asked.
    pub outcome_answer: Option<Verdict>,
    /// The outcome of the question without context; `None` if no LLM was asked.
    pub outcome_llm: Option<Verdict>,
    /// The verdict on the document at each rank, best first; empty in older tables.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub outcomes_by_rank: Vec<Verdict>,
}

/// Writes a measurement table, `.csv` or `.parquet`. A bias takes three columns, `X`, `X_low` and `X_high`, and its counts
/// further ones: of the `n` questions `X_n` were scored, `X_unscored`, `X_refused` and `X_cut` were not, the last two also as
/// shares of `n`: `X_refused_rate`, `X_cut_rate`. The columns of `twin_preference` exist only if a row has one; its n counts comparisons of
/// twins. With a `run`, the column `run` holds its id in every row.
///
/// # Errors
/// Another extension, or failures of the file system.
pub fn write_measurements(path: &Path, rows: &[Measurement], run: Option<ContentId>) -> Result<()> {
    let text =
        |value: fn(&Measurement) -> &String| rows.iter().map(|row| value(row).clone()).collect::<Vec<_>>();
    let mut columns = vec![
        Column::new("embedder".into(), text(|row| &row.embedder)),
        Column::new("family".into(), text(|row| &row.family)),
        Column::new("llm".into(), llms(rows.iter().map(|row| row.llm.as_ref()))),
        Column::new("axis".into(), text(|row| &row.axis)),
        Column::new("corpus".into(), text(|row| &row.corpus)),
        Column::new("split".into(), text(|row| &row.split)),
        Column::new("n".into(), rows.iter().map(|row| row.n as u32).collect::<Vec<_>>()),
    ];
    let mut push = |name: &str, biases: Vec<Option<Bias>>| {
        let parts =
            ["", "_low", "_high"].into_iter().zip([Bias::value as fn(&Bias) -> f64, Bias::low, Bias::high]);
        for (suffix, part) in parts {
            let values: Vec<_> = biases.iter().map(|bias| bias.as_ref().map(part)).collect();
            columns.push(Column::new(format!("{name}{suffix}").into(), values));
        }
    };
    push("embedder_bias", rows.iter().map(|row| Some(row.embedder_bias)).collect());
    push("rag_bias", rows.iter().map(|row| row.rag_bias).collect());
    push("llm_bias", rows.iter().map(|row| row.llm_bias).collect());
    push("corpus_bias", rows.iter().map(|row| Some(row.corpus_bias)).collect());
    let has_twins = rows.iter().any(|row| row.twin_preference.is_some());
    if has_twins {
        push("twin_preference", rows.iter().map(|row| row.twin_preference).collect());
    }
    let mut push = |name: &str, counts: Vec<Option<Counts>>, answers: bool| {
        let of = |part: fn(&Counts) -> usize| -> Vec<Option<u32>> {
            counts.iter().map(|counts| counts.as_ref().map(|counts| part(counts) as u32)).collect()
        };
        let share = |part: fn(&Counts) -> usize| -> Vec<Option<f64>> {
            let share = |counts: &Counts| part(counts) as f64 / counts.asked() as f64;
            counts.iter().map(|counts| counts.as_ref().map(share)).collect()
        };
        columns.push(Column::new(format!("{name}_n").into(), of(Counts::scored)));
        columns.push(Column::new(format!("{name}_unscored").into(), of(|counts| counts.unscored)));
        if answers {
            let refused: fn(&Counts) -> usize = |counts| counts.refused;
            let cut: fn(&Counts) -> usize = |counts| counts.cut;
            for (what, part) in [("refused", refused), ("cut", cut)] {
                columns.push(Column::new(format!("{name}_{what}").into(), of(part)));
                columns.push(Column::new(format!("{name}_{what}_rate").into(), share(part)));
            }
        }
    };
    push("embedder_bias", rows.iter().map(|row| Some(row.embedder_bias.counts())).collect(), false);
    push("rag_bias", rows.iter().map(|row| row.rag_counts).collect(), true);
    push("llm_bias", rows.iter().map(|row| row.llm_counts).collect(), true);
    push("corpus_bias", rows.iter().map(|row| Some(row.corpus_bias.counts())).collect(), false);
    if has_twins {
        let counts = rows.iter().map(|row| row.twin_preference.map(|bias| bias.counts()));
        push("twin_preference", counts.collect(), false);
    }
    columns.push(Column::new("ndcg10".into(), rows.iter().map(|row| row.ndcg10).collect::<Vec<_>>()));
    columns.extend(run_column(run, rows.len()));
    write_columns(path, &columns)
}

/// The column of LLMs, in which an empty cell means that none was asked.
fn llms<'a>(names: impl Iterator<Item = Option<&'a String>>) -> Vec<String> {
    names.map(|name| name.cloned().unwrap_or_default()).collect()
}

/// The LLM of a cell.
pub(crate) fn llm_of(cell: &str) -> Option<String> {
    Some(cell.trim().to_owned()).filter(|name| !name.is_empty())
}

/// Writes an outcome table, `.csv` or `.parquet`. With a `run`, the column `run` holds its id in every row.
///
/// # Errors
/// Another extension, or failures of the file system.
pub fn write_outcomes(path: &Path, rows: &[Outcome], run: Option<ContentId>) -> Result<()> {
    let text = |name: &str, value: fn(&Outcome) -> &String| {
        Column::new(name.into(), rows.iter().map(|row| value(row).clone()).collect::<Vec<_>>())
    };
    let lean = |name: &str, value: fn(&Outcome) -> Option<Lean>| {
        let leans: Vec<_> = rows.iter().map(|row| value(row).map(|lean| lean as i32)).collect();
        Column::new(name.into(), leans)
    };
    let outcome = |name: &str, value: fn(&Outcome) -> Option<Verdict>| {
        let names: Vec<_> = rows.iter().map(|row| value(row).map(Verdict::name)).collect();
        Column::new(name.into(), names)
    };
    let mut columns = vec![
        text("embedder", |row| &row.embedder),
        Column::new("llm".into(), llms(rows.iter().map(|row| row.llm.as_ref()))),
        text("axis", |row| &row.axis),
        text("corpus", |row| &row.corpus),
        text("split", |row| &row.split),
        text("question", |row| &row.question),
        text("topic", |row| &row.topic),
        text("document", |row| &row.document),
        lean("lean_document", |row| row.lean_document),
        lean("lean_answer", |row| row.lean_answer),
        text("answer", |row| &row.answer),
        lean("lean_llm", |row| row.lean_llm),
        text("answer_llm", |row| &row.answer_llm),
        outcome("outcome_document", |row| row.outcome_document),
        outcome("outcome_answer", |row| row.outcome_answer),
        outcome("outcome_llm", |row| row.outcome_llm),
    ];
    if rows.iter().any(|row| row.outcomes_by_rank.len() > 1) {
        let by_rank = |row: &Outcome| {
            let names: Vec<&str> = row.outcomes_by_rank.iter().copied().map(Verdict::name).collect();
            names.join(" ")
        };
        columns.push(Column::new("outcomes_by_rank".into(), rows.iter().map(by_rank).collect::<Vec<_>>()));
    }
    columns.extend(run_column(run, rows.len()));
    write_columns(path, &columns)
}

fn run_column(run: Option<ContentId>, rows: usize) -> Option<Column> {
    run.map(|run| Column::new("run".into(), vec![run.to_string(); rows]))
}
