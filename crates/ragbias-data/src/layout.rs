//! The layouts of published sets, known by their columns.
//!
//! | layout | questions | documents |
//! | --- | --- | --- |
//! | GenderBias-QA | `question` | `bias1-document*` on women (+1), `bias2-document*` on men (−1) |
//! | PoliticBias-QA | `question`, choices from the claims | `left_claim` (−1), `right_claim` (+1) |
//! | TwinViews | none | `left` (−1), `right` (+1) |
//!
//! A newcomer adds a layout by adding a variant of [`Layout`] here.

use std::collections::HashMap;

use ragbias_core::{Choices, Document, Lean, Question};

use crate::Result;
use crate::corpus::labelled;
use crate::table::TextTable;

/// The layout of a published set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// Questions on people, each with two passages on women and two on men.
    GenderBiasQa,
    /// Questions, each with a claim from the left and one from the right.
    PoliticBiasQa,
    /// Pairs of claims from the left and from the right.
    TwinViews,
}

/// The layout whose columns a table has.
pub(crate) fn detect(table: &TextTable) -> Option<Layout> {
    let has = |columns: &[&str]| columns.iter().all(|column| table.has(column));
    if has(&["num", "question", "bias1-document1", "bias2-document1"]) {
        Some(Layout::GenderBiasQa)
    } else if has(&["num", "question", "left_claim", "right_claim"]) {
        Some(Layout::PoliticBiasQa)
    } else if has(&["left", "right"]) {
        Some(Layout::TwinViews)
    } else {
        None
    }
}

impl Layout {
    pub(crate) fn documents(self, table: &TextTable) -> Result<Vec<Document>> {
        let columns: &[(&str, Lean)] = match self {
            Self::GenderBiasQa => &[
                ("bias1-document1", Lean::Positive),
                ("bias1-document2", Lean::Positive),
                ("bias2-document1", Lean::Negative),
                ("bias2-document2", Lean::Negative),
            ],
            Self::PoliticBiasQa => &[("left_claim", Lean::Negative), ("right_claim", Lean::Positive)],
            Self::TwinViews => &[("left", Lean::Negative), ("right", Lean::Positive)],
        };
        let rows = row_ids(table)?;
        let topics = table.optional("topic")?;
        let texts: Vec<_> = columns.iter().map(|(name, _)| table.column(name)).collect::<Result<_>>()?;
        let mut documents = Vec::with_capacity(rows.len() * columns.len());
        for (row, id) in rows.iter().enumerate() {
            let topic = topics.as_ref().map(|topics| topics[row].as_str());
            for ((name, lean), texts) in columns.iter().zip(&texts) {
                // A published row may lack one of its passages.
                if !texts[row].trim().is_empty() {
                    documents.push(labelled(format!("{id}-{name}"), texts[row].clone(), *lean, topic));
                }
            }
        }
        Ok(documents)
    }

    pub(crate) fn questions(self, table: &TextTable) -> Result<Option<Vec<Question>>> {
        if self == Self::TwinViews {
            return Ok(None);
        }
        let (ids, texts) = (row_ids(table)?, table.column("question")?);
        let topics = table.optional("topic")?;
        let claims = match self {
            Self::PoliticBiasQa => Some((table.column("left_claim")?, table.column("right_claim")?)),
            _ => None,
        };
        let questions = ids.into_iter().zip(texts).enumerate().map(|(row, (id, text))| Question {
            id,
            text,
            topic: topics.as_ref().map(|topics| topics[row].clone()),
            choices: claims
                .as_ref()
                .map(|(left, right)| Choices { negative: left[row].clone(), positive: right[row].clone() }),
        });
        Ok(Some(questions.collect()))
    }
}

/// The column `num`, or the row's number. Published sets use a number twice: the second row of `138` is `138-2`.
fn row_ids(table: &TextTable) -> Result<Vec<String>> {
    let Some(mut numbers) = table.optional("num")? else {
        return Ok((0..table.height()).map(|row| row.to_string()).collect());
    };
    let mut seen: HashMap<String, usize> = HashMap::new();
    for number in &mut numbers {
        let times = seen.entry(number.clone()).or_default();
        *times += 1;
        if *times > 1 {
            *number = format!("{number}-{times}");
        }
    }
    Ok(numbers)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::{read_corpus, read_questions};

    fn published(columns: &str, rows: &str) -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("set.csv");
        fs_err::write(&path, format!("{columns}\n{rows}")).unwrap();
        (folder, path)
    }

    fn ids(path: &Path) -> (Vec<String>, Vec<String>) {
        let questions = read_questions(path).unwrap();
        let corpus = read_corpus(path).unwrap();
        (
            questions.questions().iter().map(|question| question.id.clone()).collect(),
            corpus.documents().iter().map(|document| document.id.clone()).collect(),
        )
    }

    #[test]
    fn a_number_that_a_published_set_uses_twice_names_two_questions() {
        let (_folder, path) = published(
            "num,topic,question,bias1-document1,bias1-document2,bias2-document1,bias2-document2",
            "7,art,Who?,a,b,c,d\n7,art,Who else?,e,,g,h\n",
        );
        let (questions, documents) = ids(&path);
        assert_eq!(questions, ["7", "7-2"]);
        assert_eq!(documents.len(), 7, "a passage that is not there is no document");
        assert_eq!(documents[4], "7-2-bias1-document1");
        assert_eq!(read_questions(&path).unwrap().questions()[0].cluster(), "art");
    }

    #[test]
    fn claims_of_a_published_set_are_documents_and_choices() {
        let (_folder, path) = published("num,question,left_claim,right_claim", "1,Why?,more,less\n");
        let (_, documents) = ids(&path);
        assert_eq!(documents, ["1-left_claim", "1-right_claim"]);
        let questions = read_questions(&path).unwrap();
        assert_eq!(questions.questions()[0].choices.as_ref().unwrap().positive, "less");
    }
}
