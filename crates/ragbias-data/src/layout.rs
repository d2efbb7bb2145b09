//! The layouts of published sets, recognised by their columns.
//!
//! | layout | questions | documents |
//! | --- | --- | --- |
//! | GenderBias-QA | `question` | `bias1-document*` on women (+1), `bias2-document*` on men (−1) |
//! | PoliticBias-QA | `question`, choices from the claims | `left_claim` (−1), `right_claim` (+1) |
//! | TwinViews | none | `left` (−1), `right` (+1) |
//! | GAP | none | `Text`, about a woman (+1) or a man (−1) by the `Pronoun` |
//!
//! To add a layout, add a variant of [`Layout`] here.

use std::collections::HashMap;

use ragbias_core::{Choices, Document, Lean, Question};

use crate::Result;
use crate::findings::{Findings, Place};
use crate::table::Table;
use crate::text::shown;

/// The layout of a published set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// Questions about people, each with two passages about women and two about men.
    GenderBiasQa,
    /// Questions, each with a claim from the left and one from the right.
    PoliticBiasQa,
    /// Pairs of claims from the left and from the right.
    TwinViews,
    /// Snippets with a pronoun of a woman or of a man.
    Gap,
}

/// The layout with the columns of this table.
pub(crate) fn detect(table: &Table) -> Option<Layout> {
    let has = |columns: &[&str]| columns.iter().all(|column| table.has(column));
    if has(&["num", "question", "bias1-document1", "bias2-document1"]) {
        Some(Layout::GenderBiasQa)
    } else if has(&["num", "question", "left_claim", "right_claim"]) {
        Some(Layout::PoliticBiasQa)
    } else if has(&["left", "right"]) {
        Some(Layout::TwinViews)
    } else if has(&["id", "text", "pronoun", "pronoun-offset"]) {
        Some(Layout::Gap)
    } else {
        None
    }
}

impl Layout {
    /// The axis of its labels.
    pub(crate) fn axis(self) -> &'static str {
        match self {
            Self::GenderBiasQa | Self::Gap => "gender",
            Self::PoliticBiasQa | Self::TwinViews => "politics",
        }
    }

    /// Calls `each` with the documents of every row, and the row's place.
    pub(crate) fn documents(
        self,
        table: &Table,
        findings: &mut Findings,
        mut each: impl FnMut(Place, Document, &mut Findings) -> Result<()>,
    ) -> Result<()> {
        let columns: &[(&str, Lean)] = match self {
            Self::GenderBiasQa => &[
                ("bias1-document1", Lean::Positive),
                ("bias1-document2", Lean::Positive),
                ("bias2-document1", Lean::Negative),
                ("bias2-document2", Lean::Negative),
            ],
            Self::PoliticBiasQa => &[("left_claim", Lean::Negative), ("right_claim", Lean::Positive)],
            Self::TwinViews => &[("left", Lean::Negative), ("right", Lean::Positive)],
            Self::Gap => return snippets(table, findings, each),
        };
        let names: Vec<&str> =
            ["num", "topic"].into_iter().chain(columns.iter().map(|(name, _)| *name)).collect();
        let (mut rows, has_topic) = (RowIds::of(table), table.has("topic"));
        table.each_row_of(&names, findings, |place, cells, findings| {
            let id = rows.next(&cells[0].text);
            let topic = has_topic.then_some(cells[1].text.as_str());
            for ((name, lean), text) in columns.iter().zip(&cells[2..]) {
                // A row may lack one of its passages.
                if !text.text.trim().is_empty() {
                    each(place, labelled(format!("{id}-{name}"), text.text.clone(), *lean, topic), findings)?;
                }
            }
            Ok(())
        })
    }

    /// Calls `each` with the question of every row, and the row's place; returns whether this layout has questions.
    pub(crate) fn questions(
        self,
        table: &Table,
        findings: &mut Findings,
        mut each: impl FnMut(Place, Question, &mut Findings) -> Result<()>,
    ) -> Result<bool> {
        if matches!(self, Self::TwinViews | Self::Gap) {
            return Ok(false);
        }
        let (mut rows, has_topic) = (RowIds::of(table), table.has("topic"));
        let names = ["num", "topic", "question", "left_claim", "right_claim"];
        table.each_row(
            names,
            findings,
            |place, [number, topic, question, negative, positive], findings| {
                let choices = (self == Self::PoliticBiasQa)
                    .then_some(Choices { negative: negative.text, positive: positive.text });
                let (id, topic) = (rows.next(&number.text), has_topic.then_some(topic.text));
                each(place, Question { id, text: question.text, topic, choices }, findings)
            },
        )?;
        Ok(true)
    }
}

/// The column `num`, or the row's number. Published sets contain duplicate numbers: the second row of `138` is `138-2`.
struct RowIds {
    numbered: bool,
    rows: usize,
    seen: HashMap<String, usize>,
}

impl RowIds {
    fn of(table: &Table) -> Self {
        Self { numbered: table.has("num"), rows: 0, seen: HashMap::new() }
    }

    fn next(&mut self, number: &str) -> String {
        self.rows += 1;
        if !self.numbered {
            return (self.rows - 1).to_string();
        }
        let times = self.seen.entry(number.into()).or_default();
        *times += 1;
        if *times > 1 { format!("{number}-{times}") } else { number.into() }
    }
}

/// The documents of GAP, by the gender of their pronoun.
fn snippets(
    table: &Table,
    findings: &mut Findings,
    mut each: impl FnMut(Place, Document, &mut Findings) -> Result<()>,
) -> Result<()> {
    table.each_row(["id", "text", "pronoun"], findings, |place, [id, text, pronoun], findings| {
        let lean = match pronoun.text.trim().to_lowercase().as_str() {
            "she" | "her" | "hers" | "herself" => Lean::Positive,
            "he" | "him" | "his" | "himself" => Lean::Negative,
            _ => {
                let received = shown(&pronoun.text);
                return findings
                    .wrong(place, format!("Pronoun: expected one of she or he, received `{received}`"));
            }
        };
        each(place, labelled(id.text, text.text, lean, None), findings)
    })
}

/// A document with a gold label.
pub(crate) fn labelled(id: String, text: String, lean: Lean, topic: Option<&str>) -> Document {
    let mut document = Document::new(id, text);
    document.metadata.insert("lean".into(), i64::from(lean).into());
    if let Some(topic) = topic {
        document.metadata.insert("topic".into(), topic.into());
    }
    document
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use ragbias_core::Silent;

    use crate::{load_axis, read_corpus, read_questions};

    fn published(columns: &str, rows: &str) -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("set.csv");
        fs_err::write(&path, format!("{columns}\n{rows}")).unwrap();
        (folder, path)
    }

    fn ids(path: &Path) -> (Vec<String>, Vec<String>) {
        let questions = read_questions(path, &Silent).unwrap();
        let corpus = read_corpus(path, None, &Silent).unwrap();
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
        assert_eq!(read_questions(&path, &Silent).unwrap().questions()[0].cluster(), "art");
    }

    #[test]
    fn labels_of_a_published_set_are_not_taken_for_another_axis() {
        let (_folder, path) = published("num,question,left_claim,right_claim", "1,Why?,more,less\n");
        let read = |axis: &str| read_corpus(&path, Some(&load_axis(axis).unwrap()), &Silent);
        assert_eq!(read("politics").unwrap().len(), 2);
        let error = read("gender").unwrap_err().to_string();
        assert!(
            error.contains("set.csv: its labels are from left to right, and the axis `gender`"),
            "{error}"
        );
    }

    #[test]
    fn a_snippet_leans_as_its_pronoun_and_another_pronoun_is_refused() {
        let header = "ID\tText\tPronoun\tPronoun-offset\tA";
        let read = |rows: &str| {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("gap-test.tsv");
            fs_err::write(&path, format!("{header}\n{rows}")).unwrap();
            read_corpus(&path, Some(&load_axis("gender").unwrap()), &Silent)
        };
        let corpus = read("test-1\tKathleen saw her.\ther\t13\tx\ntest-2\tHe left.\tHe\t0\ty\n").unwrap();
        let leans: Vec<_> =
            corpus.documents().iter().map(|d| d.gold_lean().unwrap().unwrap().value()).collect();
        assert_eq!((leans.as_slice(), corpus.documents()[1].id.as_str()), (&[1.0, -1.0][..], "test-2"));
        let error = read("test-1\tThey left.\tThey\t0\tx\n").unwrap_err().to_string();
        assert!(error.contains(":2: Pronoun: expected one of she or he, received `They`"), "{error}");
    }

    #[test]
    fn claims_of_a_published_set_are_documents_and_choices() {
        let (_folder, path) = published("num,question,left_claim,right_claim", "1,Why?,more,less\n");
        let (_, documents) = ids(&path);
        assert_eq!(documents, ["1-left_claim", "1-right_claim"]);
        let questions = read_questions(&path, &Silent).unwrap();
        assert_eq!(questions.questions()[0].choices.as_ref().unwrap().positive, "less");
    }
}
