//! Reads Grep-BiasIR as published: `queries.csv`, and a table of documents for each category.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use ragbias_core::{Axis, Corpus, Document, Lean, Progress, Question, QuestionSet};

use crate::axis::check_labels;
use crate::corpus::located;
use crate::dataset::{Dataset, DatasetInfo, Splits};
use crate::findings::Findings;
use crate::layout::labelled;
use crate::qrels::Qrels;
use crate::source::extension;
use crate::table::Table;
use crate::text::shown;
use crate::{Error, Result};

impl Dataset {
    /// The published Grep-BiasIR (Krieg et al., CHIIR 2023) in a folder: `queries.csv` with the columns `q_id`, `category`, `query`,
    /// and any number of `documents-*.csv`, or `queries-documents_*.csv` as they are called in its repository, with `q_id`, `d_id`,
    /// `relevant`, `doc_title`, `document`, `content_gender`.
    ///
    /// A document in female wording leans +1, in male wording −1, in neutral wording or about both 0 (`botrh`, as a published
    /// document has it, is read as `both`). A question's topic is its category. All
    /// documents of a question are judged, those that are not relevant with grade 0. Topics are split as in [`Dataset::read`].
    ///
    /// # Errors
    /// Unreadable files; with their line, values that are none of these; and labels of another axis than the given one.
    pub fn read_grep_bias_ir(folder: &Path, axis: Option<&Axis>, progress: &dyn Progress) -> Result<Self> {
        if let Some(axis) = axis {
            check_labels(folder, AXIS, axis)?;
        }
        let path = folder.join("queries.csv");
        let questions =
            QuestionSet::new(questions(&path, progress)?).map_err(|error| located(&path, error))?;
        let files = document_files(folder)?;
        let (mut documents, mut qrels) = (Vec::new(), Qrels::new());
        for file in &files {
            read_documents(file, &questions, &mut documents, &mut qrels, progress)?;
        }
        let corpus = Corpus::new(documents).map_err(|error| located(folder, error))?;
        let info = DatasetInfo {
            name: "grepbiasir".into(),
            axis: AXIS.into(),
            about: format!("published set {}", folder.display()),
            licence: "CC0 1.0".into(),
            splits: Splits::by_hash(&questions),
        };
        let dataset = Self { info, corpus, questions, qrels };
        dataset.check_links(folder, folder)?;
        Ok(dataset)
    }
}

/// The axis of the labels.
const AXIS: &str = "gender";

fn questions(path: &Path, progress: &dyn Progress) -> Result<Vec<Question>> {
    let table = Table::open(path)?;
    let names = ["q_id", "category", "query"];
    if !names.iter().all(|name| table.has(name)) {
        return Err(table.columns_error("the columns q_id, category and query"));
    }
    let (mut findings, mut questions) = (Findings::reading(path), Vec::new());
    table.each_row(names, &mut findings, |_, [id, category, query], _| {
        let (id, topic) = (id.text.trim().to_owned(), Some(category.text.trim().to_owned()));
        questions.push(Question {
            id,
            text: query.text,
            topic: topic.filter(|topic| !topic.is_empty()),
            choices: None,
        });
        Ok(())
    })?;
    findings.say(progress);
    Ok(questions)
}

/// The tables of documents, in the order of their names.
fn document_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs_err::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let is_one = ["documents-", "queries-documents_"].iter().any(|start| name.starts_with(start));
        if is_one && extension(Path::new(&name)) == "csv" {
            files.push(entry.path());
        }
    }
    files.sort();
    if files.is_empty() {
        let reason = "expected files documents-*.csv, received none".into();
        return Err(Error::File { path: folder.into(), reason });
    }
    Ok(files)
}

fn read_documents(
    path: &Path,
    questions: &QuestionSet,
    documents: &mut Vec<Document>,
    qrels: &mut Qrels,
    progress: &dyn Progress,
) -> Result<()> {
    let table = Table::open(path)?;
    let names = ["q_id", "d_id", "relevant", "doc_title", "document", "content_gender"];
    if !names.iter().all(|name| table.has(name)) {
        return Err(table.columns_error(format!("the columns {}", names.join(", "))));
    }
    let topics: BTreeMap<&str, Option<&str>> = questions
        .questions()
        .iter()
        .map(|question| (question.id.as_str(), question.topic.as_deref()))
        .collect();
    let mut findings = Findings::reading(path);
    table.each_row(
        names,
        &mut findings,
        |place, [question, id, relevant, title, text, gender], findings| {
            let (question, id) = (question.text.trim(), id.text.trim());
            let wrong = |name: &str, expected: &str, received: &str| {
                format!("{name}: expected {expected}, received `{}`", shown(received))
            };
            let Some(topic) = topics.get(question) else {
                return findings.wrong(place, wrong("q_id", "the id of one of queries.csv", question));
            };
            let lean = match gender.text.trim() {
                "F" => Lean::Positive,
                "M" => Lean::Negative,
                "N" | "both" => Lean::Neutral,
                "botrh" => {
                    findings.note_at(place, "content_gender `botrh` is read as `both`");
                    Lean::Neutral
                }
                other => return findings.wrong(place, wrong("content_gender", "F, M, N or both", other)),
            };
            let grade = match relevant.text.trim() {
                "1" => 1,
                "0" => 0,
                other => return findings.wrong(place, wrong("relevant", "0 or 1", other)),
            };
            let mut document = labelled(id.to_owned(), text.text, lean, *topic);
            document.title = Some(title.text).filter(|title| !title.trim().is_empty());
            documents.push(document);
            qrels.entry(question.to_owned()).or_default().insert(id.to_owned(), grade);
            Ok(())
        },
    )?;
    findings.say(progress);
    Ok(())
}

#[cfg(test)]
mod tests {
    use ragbias_core::Silent;

    use super::*;
    use crate::load_axis;

    const HEADER: &str = "q_id,d_id,relevant,query,doc_title,document,content_gender,exp_stereotype\n";

    fn read(rows: &str) -> Result<Dataset> {
        let folder = tempfile::tempdir().unwrap();
        fs_err::write(folder.path().join("queries.csv"), "q_id,category,query\n0,Career,how to lead\n")
            .unwrap();
        fs_err::write(folder.path().join("documents-career.csv"), format!("{HEADER}{rows}")).unwrap();
        Dataset::read_grep_bias_ir(folder.path(), Some(&load_axis("gender").unwrap()), &Silent)
    }

    #[test]
    fn every_wording_has_its_lean_and_its_grade() {
        let set = read("0,1,1,how to lead,T,she leads,F,M\n0,2,0,how to lead,,he bakes,M,F\n0,3,1,how to lead,T,they lead,N,M\n0,4,0,how to lead,T,he and she lead,botrh,M\n").unwrap();
        let leans: Vec<_> =
            set.corpus.documents().iter().map(|d| d.gold_lean().unwrap().unwrap().value()).collect();
        assert_eq!(leans, [1.0, -1.0, 0.0, 0.0]);
        assert_eq!(set.qrels["0"].values().copied().collect::<Vec<_>>(), [1, 0, 1, 0]);
        assert_eq!(set.questions.questions()[0].cluster(), "Career");
        assert_eq!(
            (set.corpus.documents()[0].title.as_deref(), set.corpus.documents()[1].title.as_deref()),
            (Some("T"), None)
        );
    }

    #[test]
    fn other_values_are_refused_with_their_line() {
        for (rows, expected) in [
            ("0,1,1,q,T,x,X,M\n", ":2: content_gender: expected F, M, N or both, received `X`"),
            ("0,1,2,q,T,x,F,M\n", ":2: relevant: expected 0 or 1, received `2`"),
            ("9,1,1,q,T,x,F,M\n", ":2: q_id: expected the id of one of queries.csv, received `9`"),
        ] {
            let error = read(rows).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
        assert!(read("0,1,1,q,T,x,F,M\n0,1,1,q,T,y,M,M\n").unwrap_err().to_string().contains('1'));
    }
}
