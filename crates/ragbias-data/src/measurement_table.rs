use std::path::Path;

use ragbias_core::{Lean, Verdict};

use crate::csv::Cell;
use crate::findings::Findings;
use crate::measurement::llm_of;
use crate::number::number;
use crate::table::Table;
use crate::text::shown;
use crate::{Error, Measurement, Outcome, Result};

/// A row of a measurement table as needed for a fit: E_b, R_b and L_b of one embedder with one LLM.
#[derive(Debug, Clone, PartialEq)]
pub struct MeasurementRow {
    /// The embedder.
    pub embedder: String,
    /// Its family, if the table has the column.
    pub family: Option<String>,
    /// The LLM, if one was asked.
    pub llm: Option<String>,
    /// The axis.
    pub axis: String,
    /// The corpus, if the table has the column.
    pub corpus: Option<String>,
    /// The split of the questions, if the table has the column.
    pub split: Option<String>,
    /// E_b, in [−1, 1].
    pub embedder_bias: f64,
    /// R_b, in [−1, 1]; none if only retrieval was measured.
    pub rag_bias: Option<f64>,
    /// The 95% interval of R_b, if the table has it.
    pub rag_interval: Option<(f64, f64)>,
    /// Number of answers that R_b is based on, and number of questions asked, if the table has them.
    pub scored: Option<(usize, usize)>,
    /// C_b, in [−1, 1], if the table has the column.
    pub corpus_bias: Option<f64>,
    /// L_b, in [−1, 1]; present if R_b is, unless no answer without context was scored.
    pub llm_bias: Option<f64>,
}

impl From<&Measurement> for MeasurementRow {
    fn from(row: &Measurement) -> Self {
        Self {
            embedder: row.embedder.clone(),
            family: Some(row.family.clone()),
            llm: row.llm.clone(),
            axis: row.axis.clone(),
            corpus: Some(row.corpus.clone()),
            split: Some(row.split.clone()),
            embedder_bias: row.embedder_bias.value(),
            rag_bias: row.rag_bias.map(|bias| bias.value()),
            rag_interval: row.rag_bias.map(|bias| (bias.low(), bias.high())),
            scored: row.rag_counts.map(|counts| (counts.scored(), counts.asked())),
            corpus_bias: Some(row.corpus_bias.value()),
            llm_bias: row.llm_bias.map(|bias| bias.value()),
        }
    }
}

/// Reads a measurement table, `.csv` or `.parquet`: the columns `embedder`, `llm`, `axis`, `embedder_bias`, `rag_bias` and
/// `llm_bias`, and if present `family`, `corpus`, `split`, `corpus_bias`, `rag_bias_low`, `rag_bias_high`, `n`, `rag_bias_n` and
/// `llm_bias_n`. Others are ignored.
///
/// # Errors
/// A missing column, by name; a cell that is not a bias, by line (for Parquet, by row, from 1). An empty `rag_bias` means
/// not measured; if there is one, `llm` must be there too, and `llm_bias` unless `llm_bias_n` is 0.
pub fn read_measurements(path: &Path) -> Result<Vec<MeasurementRow>> {
    measurements_of_file(path, &mut Findings::reading(path))
}

/// Reads an outcome table, `.csv` or `.parquet`, as written by [`write_outcomes`](crate::write_outcomes). The texts
/// (`document`, `answer`, `answer_llm`) may be missing, and are then empty; the outcomes by name (`outcome_document`,
/// `outcome_answer`, `outcome_llm`, and `outcomes_by_rank`) may be missing too, as in older tables.
///
/// # Errors
/// A missing column, by name; by line (for Parquet, by row, from 1) a lean other than −1, 0, 1 or empty, or an outcome
/// that is unknown or contradicts its lean; outcomes by rank whose majority is not `outcome_document`.
pub fn read_outcomes(path: &Path) -> Result<Vec<Outcome>> {
    outcomes_of_file(path, &mut Findings::reading(path))
}

/// The required columns of a measurement table.
pub(crate) const MEASUREMENT_COLUMNS: [&str; 6] =
    ["embedder", "llm", "axis", "embedder_bias", "rag_bias", "llm_bias"];

/// All rows of a measurement table.
pub(crate) fn measurements_of_file(path: &Path, findings: &mut Findings) -> Result<Vec<MeasurementRow>> {
    let table = Table::open(path)?;
    require(&table, &MEASUREMENT_COLUMNS, path)?;
    let [has_family, has_corpus, has_split] = ["family", "corpus", "split"].map(|name| table.has(name));
    let names = [
        "embedder",
        "llm",
        "axis",
        "embedder_bias",
        "rag_bias",
        "llm_bias",
        "family",
        "corpus",
        "split",
        "rag_bias_low",
        "rag_bias_high",
        "n",
        "rag_bias_n",
        "llm_bias_n",
        "corpus_bias",
    ];
    let mut rows = Vec::new();
    table.each_row(names, findings, |place, cells, findings| {
        if cells[..6].iter().all(|cell| cell.text.trim().is_empty()) {
            return Ok(());
        }
        let [
            embedder,
            llm,
            axis,
            embedder_bias,
            rag_bias,
            llm_bias,
            family,
            corpus,
            split,
            low,
            high,
            n,
            rag_n,
            llm_n,
            corpus_bias,
        ] = &cells;
        let of = |there: bool, cell: &Cell| there.then(|| cell.text.trim().to_owned());
        let row = || -> Result<MeasurementRow, String> {
            let rag_bias = bias("rag_bias", rag_bias)?;
            let measured = rag_bias.is_some();
            let because = if measured { ", as there is a rag_bias" } else { "" };
            let llm_bias = bias("llm_bias", llm_bias)?;
            if measured && llm_bias.is_none() && count("llm_bias_n", llm_n)? != Some(0) {
                return Err(wrong("llm_bias", &format!("a number in [-1, 1]{because}"), ""));
            }
            Ok(MeasurementRow {
                embedder: name("embedder", embedder, "")?,
                family: of(has_family, family),
                llm: if measured { Some(name("llm", llm, because)?) } else { llm_of(&llm.text) },
                axis: name("axis", axis, "")?,
                corpus: of(has_corpus, corpus),
                split: of(has_split, split),
                embedder_bias: bias("embedder_bias", embedder_bias)?
                    .ok_or_else(|| wrong("embedder_bias", "a number in [-1, 1]", ""))?,
                rag_bias,
                rag_interval: interval(bias("rag_bias_low", low)?, bias("rag_bias_high", high)?)?,
                scored: count("rag_bias_n", rag_n)?.zip(count("n", n)?),
                corpus_bias: bias("corpus_bias", corpus_bias)?,
                llm_bias,
            })
        };
        match row() {
            Ok(row) => rows.push(row),
            Err(reason) => findings.wrong(place, reason)?,
        }
        Ok(())
    })?;
    Ok(rows)
}

/// The required columns of an outcome table.
pub(crate) const OUTCOME_COLUMNS: [&str; 10] = [
    "embedder",
    "llm",
    "axis",
    "corpus",
    "split",
    "question",
    "topic",
    "lean_document",
    "lean_answer",
    "lean_llm",
];

/// All rows of an outcome table.
pub(crate) fn outcomes_of_file(path: &Path, findings: &mut Findings) -> Result<Vec<Outcome>> {
    let table = Table::open(path)?;
    require(&table, &OUTCOME_COLUMNS, path)?;
    let names = [
        "embedder",
        "llm",
        "axis",
        "corpus",
        "split",
        "question",
        "topic",
        "lean_document",
        "lean_answer",
        "lean_llm",
        "document",
        "answer",
        "answer_llm",
        "outcome_document",
        "outcome_answer",
        "outcome_llm",
        "outcomes_by_rank",
    ];
    let mut rows = Vec::new();
    table.each_row(names, findings, |place, cells, findings| {
        let leans = ["lean_document", "lean_answer", "lean_llm"].into_iter().zip(&cells[7..10]);
        let leans = leans.map(|(name, cell)| lean(name, cell)).collect::<Result<Vec<_>, String>>();
        let outcomes = leans.and_then(|leans| {
            let names = ["outcome_document", "outcome_answer", "outcome_llm"].into_iter().zip(&cells[13..16]);
            let verdicts = names.zip(&leans).map(|((name, cell), &lean)| verdict(name, cell, lean));
            let verdicts = verdicts.collect::<Result<Vec<_>, String>>()?;
            let by_rank = verdicts_by_rank("outcomes_by_rank", &cells[16], verdicts[0])?;
            Ok((verdicts, leans, by_rank))
        });
        let (verdicts, leans, outcomes_by_rank) = match outcomes {
            Ok(outcomes) => outcomes,
            Err(reason) => return findings.wrong(place, reason),
        };
        let [embedder, llm, axis, corpus, split, question, topic, _, _, _, document, answer, answer_llm, ..] =
            cells.map(|cell| cell.text);
        rows.push(Outcome {
            embedder,
            llm: llm_of(&llm),
            axis,
            corpus,
            split,
            question,
            topic,
            document,
            lean_document: leans[0],
            lean_answer: leans[1],
            answer,
            lean_llm: leans[2],
            answer_llm,
            outcome_document: verdicts[0],
            outcome_answer: verdicts[1],
            outcome_llm: verdicts[2],
            outcomes_by_rank,
        });
        Ok(())
    })?;
    Ok(rows)
}

fn require(table: &Table, names: &[&str], path: &Path) -> Result<()> {
    let Some(missing) = names.iter().find(|name| !table.has(name)) else { return Ok(()) };
    let columns = table.columns().join(", ");
    let reason = format!("expected a column `{missing}`; its columns are {columns}");
    Err(Error::File { path: path.into(), reason })
}

fn wrong(column: &str, expected: &str, received: &str) -> String {
    let received =
        if received.trim().is_empty() { "nothing".to_owned() } else { shown(received.trim()).to_string() };
    format!("{column}: expected {expected}, received {received}")
}

fn name(column: &str, cell: &Cell, because: &str) -> Result<String, String> {
    let name = cell.text.trim();
    if name.is_empty() { Err(wrong(column, &format!("a name{because}"), "")) } else { Ok(name.into()) }
}

/// A bias; none if the cell is blank.
fn bias(column: &str, cell: &Cell) -> Result<Option<f64>, String> {
    if cell.text.trim().is_empty() {
        return Ok(None);
    }
    let value = number(&cell.text, cell.commas).filter(|value| (-1.0..=1.0).contains(value));
    value.map(Some).ok_or_else(|| wrong(column, "a number in [-1, 1]", &cell.text))
}

/// A count; none if the cell is blank.
fn count(column: &str, cell: &Cell) -> Result<Option<usize>, String> {
    let text = cell.text.trim();
    if text.is_empty() {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|_| wrong(column, "a whole number", text))
}

/// A verdict by name, which must agree with its lean; none if the cell is blank.
fn verdict(column: &str, cell: &Cell, lean: Option<Lean>) -> Result<Option<Verdict>, String> {
    let text = cell.text.trim();
    if text.is_empty() {
        return Ok(None);
    }
    let verdict: Verdict = text.parse().map_err(|error: ragbias_core::Error| format!("{column}: {error}"))?;
    if verdict.lean() == lean {
        return Ok(Some(verdict));
    }
    let beside = lean.map_or_else(|| "no lean".to_owned(), |lean| format!("a lean of {lean}"));
    Err(wrong(column, &format!("what agrees with {beside} beside it"), text))
}

/// Verdicts separated by spaces, whose majority is `document`.
fn verdicts_by_rank(column: &str, cell: &Cell, document: Option<Verdict>) -> Result<Vec<Verdict>, String> {
    let verdicts: Vec<Verdict> = (cell.text.split_whitespace().map(str::parse).collect::<Result<_, _>>())
        .map_err(|error: ragbias_core::Error| format!("{column}: {error}"))?;
    let majority = Verdict::majority(&verdicts);
    match document {
        Some(document) if !verdicts.is_empty() && majority != document => {
            let expected = format!("outcomes whose majority is {}, as in outcome_document", document.name());
            Err(wrong(column, &expected, &cell.text))
        }
        _ => Ok(verdicts),
    }
}

fn interval(low: Option<f64>, high: Option<f64>) -> Result<Option<(f64, f64)>, String> {
    match (low, high) {
        (Some(low), Some(high)) if low <= high => Ok(Some((low, high))),
        (None, None) => Ok(None),
        (low, high) => {
            let end = |end: Option<f64>| end.map_or_else(|| "nothing".into(), |end| end.to_string());
            Err(format!(
                "rag_bias_low, rag_bias_high: expected both or neither, in order, received {}, {}",
                end(low),
                end(high)
            ))
        }
    }
}

fn lean(column: &str, cell: &Cell) -> Result<Option<Lean>, String> {
    if cell.text.trim().is_empty() {
        return Ok(None);
    }
    Lean::from_label(&cell.text, None)
        .map(Some)
        .ok_or_else(|| wrong(column, "-1, 0, 1 or nothing", &cell.text))
}

#[cfg(test)]
mod tests {
    use ragbias_core::{Bias, Counts};

    use super::*;
    use crate::{write_measurements, write_outcomes};

    const HEADER: &str = "embedder,llm,axis,embedder_bias,rag_bias,llm_bias,note\n";

    fn read(text: &str) -> Result<Vec<MeasurementRow>> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("F.csv");
        fs_err::write(&path, text).unwrap();
        read_measurements(&path)
    }

    #[track_caller]
    fn assert_refused(text: &str, expected: &str) {
        let error = read(text).unwrap_err().to_string();
        assert!(error.ends_with(expected), "{error}");
    }

    #[test]
    fn rows_without_rag_bias_are_kept_and_other_columns_ignored() {
        let rows = read(&format!("{HEADER}a,m,x,0.5,-0.25,0.125,\"so, so\"\nb,,x,-1,,,\n\n")).unwrap();
        assert_eq!(rows.len(), 2, "a blank line is no row");
        assert_eq!(
            (rows[0].embedder_bias, rows[0].rag_bias, rows[0].llm_bias),
            (0.5, Some(-0.25), Some(0.125))
        );
        assert_eq!((rows[1].rag_bias, rows[1].family.as_ref()), (None, None));
    }

    #[test]
    fn an_invalid_bias_is_reported_by_line_and_column() {
        assert_refused(
            &format!("{HEADER}a,m,x,0.5,0,0,\nb,m,x,0.5,1.3,0,\n"),
            "F.csv:3: rag_bias: expected a number in [-1, 1], received 1.3",
        );
        assert_refused(
            &format!("{HEADER}a,m,x,,0,0,\n"),
            "F.csv:2: embedder_bias: expected a number in [-1, 1], received nothing",
        );
        assert_refused(&format!("{HEADER}a,m,x,0,NaN,0,\n"), "received NaN");
        assert_refused(
            &format!("{HEADER}a,m,x,0,0,,\n"),
            "llm_bias: expected a number in [-1, 1], as there is a rag_bias, received nothing",
        );
        assert_refused(
            &format!("{HEADER}a,,x,0,0,0,\n"),
            "llm: expected a name, as there is a rag_bias, received nothing",
        );
        assert_refused(
            "embedder,llm,axis,embedder_bias,llm_bias\n",
            "F.csv: expected a column `rag_bias`; its columns are embedder, llm, axis, embedder_bias, llm_bias",
        );
    }

    #[test]
    fn outcomes_are_read_as_they_were_written() {
        let outcome = |question: &str, lean_answer, outcome_answer| Outcome {
            embedder: "e".into(),
            llm: Some("m".into()),
            axis: "x".into(),
            corpus: "c".into(),
            split: "test".into(),
            question: question.into(),
            topic: "t".into(),
            document: "d".into(),
            lean_document: Some(Lean::Negative),
            lean_answer,
            answer: "a \"quoted\",\nbroken line".into(),
            lean_llm: Some(Lean::Neutral),
            answer_llm: String::new(),
            outcome_document: Some(Verdict::NEGATIVE),
            outcome_answer: Some(outcome_answer),
            outcome_llm: Some(Verdict::scored(true, true)),
            outcomes_by_rank: vec![Verdict::NEGATIVE, Verdict::Unscored, Verdict::NEGATIVE],
        };
        let rows = [
            outcome("q1", Some(Lean::Positive), Verdict::POSITIVE),
            outcome("q2", None, Verdict::Cut),
            outcome("q3", None, Verdict::Refused),
        ];
        let folder = tempfile::tempdir().unwrap();
        for name in ["o.csv", "o.parquet"] {
            let path = folder.path().join(name);
            write_outcomes(&path, &rows, None).unwrap();
            assert_eq!(read_outcomes(&path).unwrap(), rows, "{name}");
        }
        let path = folder.path().join("bad.csv");
        let text = fs_err::read_to_string(folder.path().join("o.csv")).unwrap();
        fs_err::write(&path, text.replacen(",-1,", ",2,", 1)).unwrap();
        let error = read_outcomes(&path).unwrap_err().to_string();
        assert!(
            error.ends_with("bad.csv:2: lean_document: expected -1, 0, 1 or nothing, received 2"),
            "{error}"
        );
    }
    const OUTCOMES: &str = "embedder,llm,axis,corpus,split,question,topic,lean_document,lean_answer,lean_llm";

    #[test]
    fn tables_without_outcomes_by_name_are_read_and_names_that_contradict_a_lean_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("F.csv");
        fs_err::write(&path, format!("{OUTCOMES}\ne,m,x,c,s,q,t,1,0,\n")).unwrap();
        let [row] = &read_outcomes(&path).unwrap()[..] else { panic!("one row") };
        assert_eq!((row.lean_answer, row.outcome_answer), (Some(Lean::Neutral), None));
        for (cell, expected) in [
            (
                "fair",
                "F.csv:2: outcome_answer: a verdict is one of positive, negative, both, neither, unscored, refused, cut",
            ),
            ("cut", "F.csv:2: outcome_answer: expected what agrees with a lean of 0 beside it, received cut"),
        ] {
            fs_err::write(&path, format!("{OUTCOMES},outcome_answer\ne,m,x,c,s,q,t,1,0,,{cell}\n")).unwrap();
            let error = read_outcomes(&path).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn outcomes_by_rank_have_the_majority_beside_them() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("F.csv");
        let read = |outcome: &str, by_rank: &str| {
            let text = format!(
                "{OUTCOMES},outcome_document,outcomes_by_rank\ne,m,x,c,s,q,t,1,0,,{outcome},{by_rank}\n"
            );
            fs_err::write(&path, text).unwrap();
            read_outcomes(&path)
                .map(|rows| rows[0].outcomes_by_rank.clone())
                .map_err(|error| error.to_string())
        };
        assert_eq!(read("positive", "positive unscored"), Ok(vec![Verdict::POSITIVE, Verdict::Unscored]));
        assert_eq!(read("positive", ""), Ok(vec![]));
        let error = read("positive", "positive negative").unwrap_err();
        assert!(
            error.ends_with("majority is positive, as in outcome_document, received positive negative"),
            "{error}"
        );
        assert!(
            read("positive", "positive fair").unwrap_err().contains("outcomes_by_rank: a verdict is one of")
        );
    }

    #[test]
    fn how_many_answers_a_bias_rests_on_is_written_and_read_again() {
        let bias = |verdicts: &[Verdict]| Bias::from_verdicts(verdicts, -1.0..=1.0).unwrap();
        let answers = [Verdict::POSITIVE, Verdict::NEITHER, Verdict::Cut, Verdict::Refused, Verdict::Cut];
        let silent = Counts::of(&[Verdict::Cut; 5]);
        let row = Measurement {
            embedder: "e".into(),
            family: "base".into(),
            llm: Some("m".into()),
            axis: "x".into(),
            corpus: "c".into(),
            split: "test".into(),
            n: 5,
            embedder_bias: bias(&[Verdict::POSITIVE; 5]),
            twin_preference: Some(bias(&[Verdict::NEGATIVE; 4])),
            rag_bias: Some(bias(&answers)),
            rag_counts: Some(Counts::of(&answers)),
            llm_bias: None,
            llm_counts: Some(silent),
            corpus_bias: bias(&[Verdict::NEITHER; 3]),
            ndcg10: None,
        };
        let folder = tempfile::tempdir().unwrap();
        for name in ["m.csv", "m.parquet"] {
            let path = folder.path().join(name);
            write_measurements(&path, std::slice::from_ref(&row), None).unwrap();
            let read = read_measurements(&path).unwrap();
            assert_eq!(read, [MeasurementRow::from(&row)], "{name}");
            assert_eq!((read[0].scored, read[0].llm_bias), (Some((2, 5)), None));
        }
        let text = fs_err::read_to_string(folder.path().join("m.csv")).unwrap();
        let mut lines = text.lines().map(|line| line.split(','));
        let named: Vec<(&str, &str)> = lines.next().unwrap().zip(lines.next().unwrap()).collect();
        for cell in [
            ("rag_bias_cut", "2"),
            ("rag_bias_cut_rate", "0.4"),
            ("rag_bias_refused_rate", "0.2"),
            ("llm_bias_n", "0"),
            ("twin_preference", "-1.0"),
            ("twin_preference_n", "4"),
        ] {
            assert!(named.contains(&cell), "{cell:?} {named:?}");
        }
    }
}
