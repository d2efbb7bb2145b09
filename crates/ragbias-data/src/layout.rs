//! The layouts of published sets, known by their columns.
//!
//! | layout | questions | documents |
//! | --- | --- | --- |
//! | GenderBias-QA | `question` | `bias1-document*` on women (+1), `bias2-document*` on men (−1) |
//! | PoliticBias-QA | `question`, choices from the claims | `left_claim` (−1), `right_claim` (+1) |
//! | TwinViews | none | `left` (−1), `right` (+1) |
//!
//! A newcomer adds a layout by adding a variant of [`Layout`] here.

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

fn row_ids(table: &TextTable) -> Result<Vec<String>> {
    Ok(match table.optional("num")? {
        Some(numbers) => numbers,
        None => (0..table.height()).map(|row| row.to_string()).collect(),
    })
}
