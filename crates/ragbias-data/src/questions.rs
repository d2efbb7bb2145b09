use std::collections::HashMap;
use std::path::Path;

use ragbias_core::{Choices, Progress, Question, QuestionSet};
use serde_json::{Map, Value};

use crate::corpus::{located, take_id, take_text};
use crate::findings::{Findings, Place};
use crate::ids::Ids;
use crate::json::{check_rest, each_object, take, text_or_number, written};
use crate::lines::Lines;
use crate::source::{Format, file_of, format};
use crate::table::Table;
use crate::text::shown;
use crate::{Result, layout};

/// Reads a question set: JSONL, a table with a `text` column, or a published set's own layout.
///
/// For a folder, reads its `questions.*`, or its `queries.*` as in BEIR. In a table, `_id` (or `id`), `topic`, and the claims
/// `negative` and `positive` are used if present; without an id, the row number is used, from 0.
///
/// # Errors
/// Unreadable files, and with their line or row: malformed records, fields that resemble an expected one, a duplicate `_id`,
/// and questions or claims without text.
pub fn read_questions(path: &Path, progress: &dyn Progress) -> Result<QuestionSet> {
    let path = file_of(path, &["questions", "queries"])?;
    let mut findings = Findings::reading(&path);
    let questions = questions_of_file(&path, &mut findings)?;
    findings.say(progress);
    QuestionSet::new(questions).map_err(|error| located(&path, error))
}

/// The questions in a JSONL text in memory.
pub(crate) fn parse_questions(path: &Path, text: &str) -> Result<QuestionSet> {
    let (mut findings, mut questions) = (Findings::reading(path), Questions::default());
    questions.read_json(&mut Lines::of_text(path, text), &mut findings)?;
    QuestionSet::new(questions.questions).map_err(|error| located(path, error))
}

/// All questions of a file of any layout.
pub(crate) fn questions_of_file(path: &Path, findings: &mut Findings) -> Result<Vec<Question>> {
    let mut questions = Questions::default();
    questions.read_file(path, findings)?;
    Ok(questions.questions)
}

/// The line, or the row of a Parquet file, of every question of a file, by id.
pub(crate) fn places_of_questions(path: &Path) -> Result<HashMap<String, usize>> {
    let mut questions = Questions::default();
    questions.read_file(path, &mut Findings::reading(path))?;
    Ok(questions.ids.into_lines())
}

/// The questions read so far.
#[derive(Default)]
struct Questions {
    ids: Ids,
    questions: Vec<Question>,
}

impl Questions {
    fn read_file(&mut self, path: &Path, findings: &mut Findings) -> Result<()> {
        if format(path)? == Format::JsonLines {
            return self.read_json(&mut Lines::open(path)?, findings);
        }
        let table = Table::open(path)?;
        let asked = match layout::detect(&table) {
            Some(layout) => layout.questions(&table, findings, |place, question, findings| {
                self.push(place, question, findings)
            })?,
            None => table.has("text") && self.read_table(&table, findings).map(|()| true)?,
        };
        if !asked {
            return Err(table.columns_error("a `text` column, or the columns of a data set with questions"));
        }
        Ok(())
    }

    fn read_json(&mut self, lines: &mut Lines<'_>, findings: &mut Findings) -> Result<()> {
        each_object(lines, findings, |place, mut object, findings| {
            let absent: Vec<&str> =
                ["text", "topic", "choices"].into_iter().filter(|key| !object.contains_key(*key)).collect();
            match parts(&mut object) {
                Ok(question) => {
                    check_rest(&object, &absent, place, findings)?;
                    self.push(place, question, findings)
                }
                Err(reason) => findings.wrong(place, reason),
            }
        })
    }

    fn read_table(&mut self, table: &Table, findings: &mut Findings) -> Result<()> {
        table.check_names(&["_id", "id", "text", "topic", "negative", "positive"], findings);
        let id = ["_id", "id"].into_iter().find(|name| table.has(name));
        let mut row = 0;
        let names = [id.unwrap_or("_id"), "text", "topic", "negative", "positive"];
        table.each_row(names, findings, |place, [own, text, topic, negative, positive], findings| {
            let id = if id.is_some() { own.text } else { row.to_string() };
            row += 1;
            let (negative, positive) = (negative.text, positive.text);
            let choices = (!negative.trim().is_empty() || !positive.trim().is_empty())
                .then_some(Choices { negative, positive });
            self.push(place, Question { id, text: text.text, topic: Some(topic.text), choices }, findings)
        })
    }

    fn push(&mut self, place: Place, mut question: Question, findings: &mut Findings) -> Result<()> {
        let Some(id) = self.ids.take(&question.id, place, findings)? else { return Ok(()) };
        question.id = id;
        if question.text.trim().is_empty() {
            return findings.wrong(place, format!("question `{}` has no text", shown(&question.id)));
        }
        if let Some(Choices { negative, positive }) = &question.choices
            && (negative.trim().is_empty() || positive.trim().is_empty())
        {
            return findings
                .wrong(place, format!("question `{}` has a claim without text", shown(&question.id)));
        }
        // A blank topic is no topic: such questions have nothing in common.
        question.topic =
            question.topic.map(|topic| topic.trim().to_owned()).filter(|topic| !topic.is_empty());
        self.questions.push(question);
        Ok(())
    }
}

/// Takes the fields of a question out of an object.
fn parts(object: &mut Map<String, Value>) -> Result<Question, String> {
    let id = take_id(object)?;
    let text = take_text(object)?;
    let topic =
        take(object, "topic").map(text_or_number).transpose().map_err(|reason| format!("topic: {reason}"))?;
    let choices = take(object, "choices").map(choices).transpose()?;
    Ok(Question { id, text, topic, choices })
}

fn choices(value: Value) -> Result<Choices, String> {
    let received = written(&value);
    let Value::Object(mut claims) = value else {
        return Err(format!("choices: expected {{\"negative\": …, \"positive\": …}}, received {received}"));
    };
    match (claims.remove("negative"), claims.remove("positive")) {
        (Some(Value::String(negative)), Some(Value::String(positive))) if claims.is_empty() => {
            Ok(Choices { negative, positive })
        }
        _ => Err(format!(
            "choices: expected {{\"negative\": …, \"positive\": …}} and nothing else, received {received}"
        )),
    }
}
