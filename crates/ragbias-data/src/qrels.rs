use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use ragbias_core::Progress;

use crate::csv::{Cell, Record, Records, Separator, most_frequent};
use crate::findings::{Findings, Place};
use crate::ids::trimmed;
use crate::lines::Lines;
use crate::names::column_name;
use crate::number::whole_number;
use crate::source::extension;
use crate::text::shown;
use crate::{Error, Result};

/// Relevance judgements: question id → document id → grade. Documents with grades of 0 and below are judged not relevant.
pub type Qrels = BTreeMap<String, BTreeMap<String, i64>>;

/// Reads BEIR's `query-id TAB corpus-id TAB score`, with or without a header, or TREC's four columns, ignoring the
/// second, separated by tabs, white space, commas or semicolons.
///
/// For a folder, reads its `qrels.tsv`, else the `test.tsv` or the only `.tsv` in its `qrels` folder, or in the folder itself.
///
/// # Errors
/// A folder without judgements, or with several files of which none is called `test.tsv`; with its line, another number of
/// fields, a grade that is not a whole number, or a duplicate judgement.
pub fn read_qrels(path: &Path, progress: &dyn Progress) -> Result<Qrels> {
    let file = if path.is_dir() { in_folder(path)? } else { path.into() };
    let mut findings = Findings::reading(&file);
    let qrels = qrels_of(Lines::open(&file)?, &mut findings)?;
    findings.say(progress);
    Ok(qrels)
}

/// The judgements in a text in memory.
pub(crate) fn parse_qrels(path: &Path, text: &str) -> Result<Qrels> {
    qrels_of(Lines::of_text(path, text), &mut Findings::reading(path))
}

fn in_folder(folder: &Path) -> Result<PathBuf> {
    let there = |folder: &Path, name: &str| {
        ["", ".gz", ".zst"]
            .map(|packed| folder.join(format!("{name}.tsv{packed}")))
            .into_iter()
            .find(|file| file.is_file())
    };
    if let Some(own) = there(folder, "qrels") {
        return Ok(own);
    }
    let inner = folder.join("qrels");
    let folder = if inner.is_dir() { &inner } else { folder };
    if let Some(test) = there(folder, "test") {
        return Ok(test);
    }
    let mut files = Vec::new();
    for entry in fs_err::read_dir(folder)? {
        let path = entry?.path();
        if extension(&path) == "tsv" {
            files.push(path);
        }
    }
    files.sort();
    match files.as_slice() {
        [only] => Ok(only.clone()),
        [] => Err(Error::File {
            path: folder.into(),
            reason: "expected judgements in qrels/test.tsv or qrels.tsv, found none\nhint: `qrels FILE` names them".into(),
        }),
        several => {
            let names: Vec<_> = several.iter().filter_map(|file| file.file_name()?.to_str()).collect();
            let reason = format!(
                "expected test.tsv or one file of judgements, found {}\nhint: `qrels FILE` names one of them",
                names.join(", ")
            );
            Err(Error::File { path: folder.into(), reason })
        }
    }
}

/// All judgements in a text.
pub(crate) fn qrels_of(lines: Lines<'_>, findings: &mut Findings) -> Result<Qrels> {
    let mut records = Records::new(lines, separator)?;
    let mut qrels = Qrels::new();
    let mut lines: HashMap<(String, String), usize> = HashMap::new();
    let mut columns = None;
    while let Some(record) = records.next()? {
        let place = Place::Line(record.line);
        let columns = match &columns {
            Some(columns) => columns,
            None => match Columns::of_header(&record) {
                Some(named) => {
                    columns = Some(named);
                    continue;
                }
                None => columns.insert(Columns::of_first(&record)),
            },
        };
        let Some([question, document, grade]) = columns.of(&record) else {
            findings.wrong(place, columns.expected(record.cells.len()))?;
            continue;
        };
        let Some(value) = whole_number(&grade.text) else {
            findings.wrong(place, no_grade(&grade.text))?;
            continue;
        };
        let [question, document] =
            [question, document].map(|cell| trimmed(&cell.text, place, findings).to_owned());
        if question.is_empty() || document.is_empty() {
            findings.wrong(place, "expected the id of a question and of a document, received nothing")?;
            continue;
        }
        if let Some(first) = lines.insert((question.clone(), document.clone()), record.line) {
            let (question, document) = (shown(&question), shown(&document));
            findings.wrong(
                place,
                format!("document `{document}` was already judged for question `{question}` in line {first}"),
            )?;
            continue;
        }
        qrels.entry(question).or_default().insert(document, value);
    }
    records.lines().say(findings);
    if qrels.is_empty() && !findings.has_problems() {
        return Err(Error::File {
            path: records.lines().path().into(),
            reason: "the file has no judgement".into(),
        });
    }
    Ok(qrels)
}

fn no_grade(cell: &str) -> String {
    let hint = if whole_number(cell).is_none() && cell.trim().starts_with(char::is_alphabetic) {
        "\nhint: a header is known by the names query-id, corpus-id and score, and others like them"
    } else {
        ""
    };
    format!("`{}` is no whole number, as a grade is{hint}", shown(cell.trim()))
}

/// Tabs if they give three or four columns, else white space if it does, else the most frequent CSV separator.
fn separator(line: &str) -> Separator {
    let columns = |n: usize| n == 3 || n == 4;
    if columns(line.split('\t').count()) {
        Separator::Char('\t')
    } else if columns(line.split_whitespace().count()) {
        Separator::Spaces
    } else {
        most_frequent(line)
    }
}

/// The positions of question, document and grade, and the number of columns.
#[derive(Debug, Clone, Copy)]
struct Columns {
    places: [usize; 3],
    width: usize,
}

/// Names of the columns in published sets and programs.
const QUESTION: [&str; 12] = [
    "query-id",
    "query_id",
    "queryid",
    "query",
    "qid",
    "q_id",
    "topic",
    "topic-id",
    "topic_id",
    "question",
    "question-id",
    "question_id",
];
const DOCUMENT: [&str; 17] = [
    "corpus-id",
    "corpus_id",
    "corpusid",
    "docid",
    "doc-id",
    "doc_id",
    "doc",
    "docno",
    "doc-no",
    "document",
    "document-id",
    "document_id",
    "did",
    "pid",
    "passage-id",
    "passage_id",
    "passage",
];
const GRADE: [&str; 11] = [
    "score",
    "relevance",
    "rel",
    "grade",
    "label",
    "judgment",
    "judgement",
    "relevance-score",
    "relevance_score",
    "rating",
    "qrel",
];

impl Columns {
    /// Whether the first record is a header: at least two of the three columns have known names.
    fn of_header(record: &Record) -> Option<Self> {
        let names: Vec<String> = record.cells.iter().map(|cell| column_name(&cell.text)).collect();
        let place = |known: &[&str]| names.iter().position(|name| known.contains(&name.as_str()));
        let found = [place(&QUESTION), place(&DOCUMENT), place(&GRADE)];
        let (known, width) = (found.iter().flatten().count(), names.len());
        if known == 3 {
            return Some(Self { places: found.map(Option::unwrap_or_default), width });
        }
        // One unknown name among three gets the remaining position.
        let left = (0..3).find(|place| !found.contains(&Some(*place)))?;
        (known == 2 && width == 3).then(|| Self { places: found.map(|place| place.unwrap_or(left)), width })
    }

    /// BEIR's three columns or TREC's four.
    fn of_first(record: &Record) -> Self {
        match record.cells.len() {
            4 => Self { places: [0, 2, 3], width: 4 },
            _ => Self { places: [0, 1, 2], width: 3 },
        }
    }

    fn of<'r>(&self, record: &'r Record) -> Option<[&'r Cell; 3]> {
        (record.cells.len() == self.width).then(|| self.places.map(|place| &record.cells[place]))
    }

    fn expected(&self, received: usize) -> String {
        let width = self.width;
        format!(
            "expected {width} fields, received {received}\nhint: judgements are `question TAB document TAB grade`, or TREC's \
             `question 0 document grade`"
        )
    }
}

#[cfg(test)]
mod tests {
    use ragbias_core::Silent;

    use super::*;

    fn parse(text: &str) -> Result<Qrels> {
        parse_qrels(Path::new("F"), text)
    }

    fn refused(text: &str) -> String {
        parse(text).unwrap_err().to_string()
    }

    #[test]
    fn judgements_of_every_layout_are_the_same() {
        let expected = parse("query-id\tcorpus-id\tscore\nq1\td1\t2\nq1\td2\t0\nq2\td1\t-1\n").unwrap();
        assert_eq!((expected["q1"]["d1"], expected["q1"]["d2"], expected["q2"]["d1"]), (2, 0, -1));
        for text in [
            "q1\td1\t2\nq1\td2\t0\nq2\td1\t-1",
            "\u{feff}q1\td1\t2\r\nq1\td2\t0\r\n\r\nq2\td1\t-1\r\n",
            "q1\td1\t2\rq1\td2\t0\rq2\td1\t-1\r",
            "q1\t0\td1\t2\nq1\t0\td2\t0\nq2\t0\td1\t-1\n",
            "q1 Q0 d1 2\nq1 Q0  d2 0\nq2 Q0 d1 -1\n",
            "q1 d1 2.0\nq1 d2 0\nq2 d1 −1\n",
            "\"query_id\"\t\"doc_id\"\t\"relevance\"\n\"q1\"\t\"d1\"\t2\n\"q1\"\t\"d2\"\t0\n\"q2\"\t\"d1\"\t-1\n",
            "rel,docno,qid\n2,d1,q1\n0,d2,q1\n-1,d1,q2\n",
            "qid iter docno rel\nq1 0 d1 2\nq1 0 d2 0\nq2 0 d1 -1\n",
            "query-id\tcorpus-id\tquality\nq1 \t d1\t2\nq1\td2\t0\nq2\td1 \t-1\n",
            "query-id;corpus-id;score\nq1;d1;2\nq1;d2;0\nq2;d1;-1\n",
        ] {
            assert_eq!(parse(text).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_judgement_is_refused_with_its_line() {
        assert!(refused("q1\td1\t1\nq1 d2 1\n").starts_with("F:2: expected 3 fields, received 1\nhint: "));
        assert!(
            refused("a\tb\tc\nq1\td2\t1\n")
                .starts_with("F:1: `c` is no whole number, as a grade is\nhint: a header")
        );
        assert_eq!(refused("q1\td1\t1\nq2\td1\t0.5\n"), "F:2: `0.5` is no whole number, as a grade is");
        assert_eq!(
            refused("q1\td1\t1\n\nq1\td1\t1\n"),
            "F:3: document `d1` was already judged for question `q1` in line 1"
        );
        assert!(refused("q1\t \t1\n").starts_with("F:1: expected the id of a question and of a document"));
        assert_eq!(refused("query-id\tcorpus-id\tscore\n"), "F: the file has no judgement");
    }

    #[test]
    fn a_beir_folder_stands_for_its_judgements_where_they_are_beyond_doubt() {
        let folder = tempfile::tempdir().unwrap();
        let read =
            || read_qrels(folder.path(), &Silent).map(|qrels| qrels.keys().cloned().collect::<Vec<_>>());
        let refused = || read().unwrap_err().to_string();
        assert!(refused().contains("found none\nhint: `qrels FILE`"), "{}", refused());
        let write = |name: &str, question: &str| {
            fs_err::create_dir_all(folder.path().join("qrels")).unwrap();
            fs_err::write(folder.path().join(name), format!("{question}\td\t1\n")).unwrap();
        };
        write("qrels/dev.tsv", "dev");
        assert_eq!(read().unwrap(), ["dev"]);
        write("qrels/train.tsv", "train");
        assert!(refused().contains("found dev.tsv, train.tsv\nhint: `qrels FILE`"), "{}", refused());
        write("qrels/test.tsv", "test");
        assert_eq!(read().unwrap(), ["test"]);
        let inner = read_qrels(&folder.path().join("qrels"), &Silent).unwrap();
        assert_eq!(inner, read_qrels(folder.path(), &Silent).unwrap());
    }
}
