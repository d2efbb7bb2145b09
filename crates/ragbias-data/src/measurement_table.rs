use std::path::Path;

use ragbias_core::{Lean, Verdict};

use crate::table::{TextTable, extension};
use crate::{Error, Measurement, Outcome, Result};

/// A row of a measurement table as a fit needs it: of one embedder with one LLM, E_b, R_b and L_b.
#[derive(Debug, Clone, PartialEq)]
pub struct MeasurementRow {
    /// The embedder.
    pub embedder: String,
    /// The family it belongs to, where the table says so.
    pub family: Option<String>,
    /// The LLM; empty where only retrieval was measured.
    pub llm: String,
    /// The axis.
    pub axis: String,
    /// The corpus, where the table says so.
    pub corpus: Option<String>,
    /// The part of the questions, where the table says so.
    pub split: Option<String>,
    /// E_b, in [−1, 1].
    pub embedder_bias: f64,
    /// R_b, in [−1, 1]; none where only retrieval was measured.
    pub rag_bias: Option<f64>,
    /// The 95% interval of R_b, where the table has it.
    pub rag_interval: Option<(f64, f64)>,
    /// How many answers R_b rests on, and how many questions were asked, where the table says so.
    pub scored: Option<(usize, usize)>,
    /// L_b, in [−1, 1]; there where R_b is, unless no answer without context was scored.
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
            llm_bias: row.llm_bias.map(|bias| bias.value()),
        }
    }
}

/// Reads a measurement table, `.csv` or `.parquet`: the columns `embedder`, `llm`, `axis`, `embedder_bias`, `rag_bias` and
/// `llm_bias`, and where they are there `family`, `corpus`, `split`, `rag_bias_low`, `rag_bias_high`, `n`, `rag_bias_n` and
/// `llm_bias_n`. Others are ignored.
///
/// # Errors
/// A column that is missing, by name; a cell that is no bias, by line (of Parquet, by row, from 1): an empty `rag_bias` is
/// one that was not measured, where there is one `llm` must be there too, and `llm_bias` unless `llm_bias_n` is 0.
pub fn read_measurements(path: &Path) -> Result<Vec<MeasurementRow>> {
    let table = Cells::read(path)?;
    let [embedder, llm, axis] = table.required(["embedder", "llm", "axis"])?;
    let [embedder_bias, rag_bias, llm_bias] = table.required(["embedder_bias", "rag_bias", "llm_bias"])?;
    let [family, corpus, split] = table.optional(["family", "corpus", "split"])?;
    let [low, high] = table.optional(["rag_bias_low", "rag_bias_high"])?;
    let [n, rag_n, llm_n] = table.optional(["n", "rag_bias_n", "llm_bias_n"])?;
    let blank = |row: &usize| {
        [&embedder, &llm, &axis, &embedder_bias, &rag_bias, &llm_bias]
            .iter()
            .all(|column| column[*row].is_empty())
    };
    (0..table.table.height())
        .filter(|row| !blank(row))
        .map(|row| {
            let of = |column: &Option<Vec<String>>| column.as_ref().map(|column| column[row].clone());
            let bias = |name, cell: &str| {
                if cell.is_empty() { Ok(None) } else { table.bias(row, name, cell).map(Some) }
            };
            let rag = bias("rag_bias", &rag_bias[row])?;
            let alone = bias("llm_bias", &llm_bias[row])?;
            for (name, cell) in [("embedder", &embedder[row]), ("axis", &axis[row])] {
                if cell.is_empty() {
                    return Err(table.wrong(row, name, "a name", cell));
                }
            }
            if rag.is_some() && llm[row].is_empty() {
                return Err(table.wrong(row, "llm", "a name, as there is a rag_bias", ""));
            }
            let count = |name, column: &Option<Vec<String>>| {
                let cell = column.as_ref().map(|column| &column[row]).filter(|cell| !cell.is_empty());
                cell.map(|cell| table.count(row, name, cell)).transpose()
            };
            if rag.is_some() && alone.is_none() && count("llm_bias_n", &llm_n)? != Some(0) {
                return Err(table.wrong(row, "llm_bias", "a number in [-1, 1], as there is a rag_bias", ""));
            }
            let end = |name, column: &Option<Vec<String>>| {
                column.as_ref().map(|column| bias(name, &column[row])).transpose().map(Option::flatten)
            };
            Ok(MeasurementRow {
                embedder: embedder[row].clone(),
                family: of(&family),
                llm: llm[row].clone(),
                axis: axis[row].clone(),
                corpus: of(&corpus),
                split: of(&split),
                embedder_bias: table.bias(row, "embedder_bias", &embedder_bias[row])?,
                rag_bias: rag,
                rag_interval: end("rag_bias_low", &low)?.zip(end("rag_bias_high", &high)?),
                scored: count("rag_bias_n", &rag_n)?.zip(count("n", &n)?),
                llm_bias: alone,
            })
        })
        .collect()
}

/// Reads an outcome table, `.csv` or `.parquet`, as [`write_outcomes`](crate::write_outcomes) writes it. The texts
/// (`document`, `answer`, `answer_llm`) may be missing, and are empty then; so may the outcomes by name (`outcome_document`,
/// `outcome_answer`, `outcome_llm`), as in older tables.
///
/// # Errors
/// A column that is missing, by name; by line (of Parquet, by row, from 1) a lean other than −1, 0, 1 or nothing, or an outcome
/// that is none or of another lean.
pub fn read_outcomes(path: &Path) -> Result<Vec<Outcome>> {
    let table = Cells::read(path)?;
    let [embedder, llm, axis, corpus, split] =
        table.required(["embedder", "llm", "axis", "corpus", "split"])?;
    let [question, topic] = table.required(["question", "topic"])?;
    let [lean_document, lean_answer, lean_llm] =
        table.required(["lean_document", "lean_answer", "lean_llm"])?;
    let [document, answer, answer_llm] = table.optional(["document", "answer", "answer_llm"])?;
    let [outcome_document, outcome_answer, outcome_llm] =
        table.optional(["outcome_document", "outcome_answer", "outcome_llm"])?;
    (0..table.table.height())
        .map(|row| {
            let text = |column: &Option<Vec<String>>| {
                column.as_ref().map(|column| column[row].clone()).unwrap_or_default()
            };
            let lean = |name, column: &[String]| table.lean(row, name, &column[row]);
            let verdict = |name, column: &Option<Vec<String>>, lean| match column {
                Some(column) => table.verdict(row, name, &column[row], lean),
                None => Ok(None),
            };
            let lean_document = lean("lean_document", &lean_document)?;
            let lean_answer = lean("lean_answer", &lean_answer)?;
            let lean_llm = lean("lean_llm", &lean_llm)?;
            Ok(Outcome {
                embedder: embedder[row].clone(),
                llm: llm[row].clone(),
                axis: axis[row].clone(),
                corpus: corpus[row].clone(),
                split: split[row].clone(),
                question: question[row].clone(),
                topic: topic[row].clone(),
                document: text(&document),
                lean_document,
                lean_answer,
                answer: text(&answer),
                lean_llm,
                answer_llm: text(&answer_llm),
                outcome_document: verdict("outcome_document", &outcome_document, lean_document)?,
                outcome_answer: verdict("outcome_answer", &outcome_answer, lean_answer)?,
                outcome_llm: verdict("outcome_llm", &outcome_llm, lean_llm)?,
            })
        })
        .collect()
}

/// A table whose cells are checked one by one.
struct Cells<'a> {
    table: TextTable,
    path: &'a Path,
    /// Line of row 0, from 1: a CSV file begins with a line of names.
    first: usize,
}

impl<'a> Cells<'a> {
    fn read(path: &'a Path) -> Result<Self> {
        let first = if extension(path) == "csv" { 2 } else { 1 };
        Ok(Self { table: TextTable::read(path)?, path, first })
    }

    fn required<const N: usize>(&self, names: [&str; N]) -> Result<[Vec<String>; N]> {
        if let Some(missing) = names.iter().find(|name| !self.table.has(name)) {
            let columns = self.table.columns().join(", ");
            let reason = format!("expected a column `{missing}`; its columns are {columns}");
            return Err(Error::File { path: self.path.into(), reason });
        }
        let mut columns = names.map(|_| Vec::new());
        for (column, name) in columns.iter_mut().zip(names) {
            *column = self.table.column(name)?;
        }
        Ok(columns)
    }

    fn optional<const N: usize>(&self, names: [&str; N]) -> Result<[Option<Vec<String>>; N]> {
        let mut columns = names.map(|_| None);
        for (column, name) in columns.iter_mut().zip(names) {
            *column = self.table.optional(name)?;
        }
        Ok(columns)
    }

    fn wrong(&self, row: usize, column: &str, expected: &str, received: &str) -> Error {
        let received = if received.is_empty() { "nothing" } else { received };
        let reason = format!("{column}: expected {expected}, received {received}");
        Error::Line { path: self.path.into(), line: row + self.first, reason }
    }

    fn bias(&self, row: usize, column: &str, cell: &str) -> Result<f64> {
        let number = cell.trim().parse().ok().filter(|number| (-1.0..=1.0).contains(number));
        number.ok_or_else(|| self.wrong(row, column, "a number in [-1, 1]", cell))
    }

    fn count(&self, row: usize, column: &str, cell: &str) -> Result<usize> {
        cell.trim().parse().map_err(|_| self.wrong(row, column, "a whole number", cell))
    }

    /// A verdict by name, which must agree with the lean beside it.
    fn verdict(&self, row: usize, column: &str, cell: &str, lean: Option<Lean>) -> Result<Option<Verdict>> {
        if cell.is_empty() {
            return Ok(None);
        }
        let verdict: Verdict = cell.trim().parse().map_err(|error: ragbias_core::Error| Error::Line {
            path: self.path.into(),
            line: row + self.first,
            reason: format!("{column}: {error}"),
        })?;
        if verdict.lean() != lean {
            let beside = lean.map_or_else(|| "no lean".to_owned(), |lean| format!("a lean of {lean}"));
            return Err(self.wrong(row, column, &format!("what agrees with {beside} beside it"), cell));
        }
        Ok(Some(verdict))
    }

    fn lean(&self, row: usize, column: &str, cell: &str) -> Result<Option<Lean>> {
        if cell.is_empty() {
            return Ok(None);
        }
        let lean = cell.trim().parse::<i64>().ok().and_then(|lean| Lean::try_from(lean).ok());
        lean.map(Some).ok_or_else(|| self.wrong(row, column, "-1, 0, 1 or nothing", cell))
    }
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
    fn what_is_no_bias_is_named_by_line_and_column() {
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
            llm: "m".into(),
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
        };
        let rows = [
            outcome("q1", Some(Lean::Positive), Verdict::POSITIVE),
            outcome("q2", None, Verdict::Cut),
            outcome("q3", None, Verdict::Refused),
        ];
        let folder = tempfile::tempdir().unwrap();
        for name in ["o.csv", "o.parquet"] {
            let path = folder.path().join(name);
            write_outcomes(&path, &rows).unwrap();
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
    fn how_many_answers_a_bias_rests_on_is_written_and_read_again() {
        let bias = |verdicts: &[Verdict]| Bias::from_verdicts(verdicts, -1.0..=1.0).unwrap();
        let answers = [Verdict::POSITIVE, Verdict::NEITHER, Verdict::Cut, Verdict::Refused, Verdict::Cut];
        let silent = Counts::of(&[Verdict::Cut; 5]);
        let row = Measurement {
            embedder: "e".into(),
            family: "base".into(),
            llm: "m".into(),
            axis: "x".into(),
            corpus: "c".into(),
            split: "test".into(),
            n: 5,
            embedder_bias: bias(&[Verdict::POSITIVE; 5]),
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
            write_measurements(&path, std::slice::from_ref(&row)).unwrap();
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
        ] {
            assert!(named.contains(&cell), "{cell:?} {named:?}");
        }
    }
}
