use std::path::Path;

use ragbias_core::{Question, QuestionSet};

use crate::corpus::{located, read_jsonl};
use crate::table::{TextTable, extension};
use crate::{Error, Result, layout};

/// Reads a question set: JSONL, or a published set's own layout.
///
/// A folder stands for its `questions.jsonl`, or its `queries.jsonl` as BEIR calls it.
///
/// # Errors
/// Unreadable files, malformed lines (with their number), and what [`QuestionSet::new`] refuses, with the file's name.
pub fn read_questions(path: &Path) -> Result<QuestionSet> {
    let in_folder = ["questions.jsonl", "queries.jsonl"].map(|name| path.join(name));
    let path = in_folder.iter().find(|file| file.is_file()).map_or(path, |file| file.as_path());
    let questions: Vec<Question> = match extension(path) {
        "jsonl" => read_jsonl(path)?,
        "csv" | "parquet" => {
            let table = TextTable::read(path)?;
            let questions = match layout::detect(&table) {
                Some(layout) => layout.questions(&table)?,
                None => None,
            };
            questions.ok_or_else(|| table.columns_error("the columns of a data set with questions"))?
        }
        _ => return Err(Error::Extension { path: path.into(), expected: ".jsonl, .csv or .parquet" }),
    };
    QuestionSet::new(questions).map_err(|error| located(path, error))
}
