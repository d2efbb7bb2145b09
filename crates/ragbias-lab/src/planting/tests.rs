//! Authors and defences on four topics of `gender-twins`, by MiniLM and SmolLM2.

use std::collections::BTreeSet;

use ragbias::core::{Corpus, Lean, Pairs, Question};
use ragbias::data::{Dataset, load_axis};
use ragbias::{Models, Workspace};
use tempfile::TempDir;

use super::Planting;
use super::added::{Added, Author};
use super::answers::Asking;
use super::bias::Leans;
use super::chunks::Chunked;
use super::collection::Collection;
use super::defences::{Suspicion, table};
use super::duplicates::duplicates;
use super::edited::Edited;
use super::edits::Edit;
use super::found::Found;
use super::perplexity::perplexity;
use super::search::Search;
use crate::asking::Llm;
use crate::bench::Bench;
use crate::hotflip::before;
use crate::instrument::Instrument;
use crate::report::Report;

/// Four topics, whose 40 questions are answered by 80 documents.
fn collection() -> Collection {
    let set = Dataset::bundled("gender-twins").unwrap();
    let mut topics: Vec<&str> = set.questions.questions().iter().map(Question::cluster).collect();
    topics.dedup();
    topics.truncate(4);
    let questions: Vec<Question> = set
        .questions
        .questions()
        .iter()
        .filter(|question| topics.contains(&question.cluster()))
        .cloned()
        .collect();
    let relevant: BTreeSet<&String> =
        questions.iter().flat_map(|question| set.qrels[&question.id].keys()).collect();
    let documents = set.corpus.documents().iter().filter(|document| relevant.contains(&document.id));
    let corpus = Corpus::new(documents.cloned().collect()).unwrap();
    Collection {
        leans: corpus.documents().iter().map(|document| document.gold_lean().unwrap()).collect(),
        pairs: Pairs::of(&corpus).unwrap(),
        qrels: Some(set.qrels.clone()),
        corpus,
        questions,
    }
}

fn bench() -> (Bench, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let workspace = Workspace::new(Models::from_env().unwrap());
    (Bench::new(&workspace, folder.path(), 1.0, 0).unwrap(), folder)
}

fn llm(bench: &Bench) -> Llm<'_> {
    Llm::load(&"smollm2-135m".parse().unwrap(), &load_axis("gender").unwrap(), bench).unwrap()
}

/// The first estimate of what begins so.
fn value(report: &Report, what: &str) -> f64 {
    let finding = report.findings.iter().find(|finding| finding.what.starts_with(what));
    finding.unwrap_or_else(|| panic!("no {what}")).estimate.unwrap().value
}

fn found(leans: &Leans<'_>) -> Report {
    let mut report = Report::new("planting", "?");
    leans.find("female", 0, &mut report);
    report
}

#[test]
fn what_is_added_moves_what_is_found_and_the_answers_and_nothing_moves_nothing() {
    let (collection, (bench, _folder)) = (collection(), bench());
    let search = Search::load("minilm", &collection, &bench).unwrap();
    let added = |author| Added::by(author, 10, Lean::Positive, &collection, &search, &bench).unwrap();
    let authors = Author::ALL.map(added);
    let all: Vec<usize> = (0..collection.questions.len()).collect();
    let found_all = Found::of(&all, &authors, &[0, 10], &search);
    let report = found(&found_all.retrieved(Lean::Positive, &collection));
    let own = value(&report, "E_b of the corpus");
    for author in Author::ALL {
        let with = |count: usize| {
            value(&report, &format!("E_b with {count} documents added about each topic by {}", author.name()))
        };
        assert_eq!(with(0), own, "nothing is added by {}", author.name());
        assert!(with(10) > 0.9 && own < 0.5, "{own} to {} by {}", with(10), author.name());
    }
    assert!(authors[1].documents.iter().all(|documents| documents.len() == 10));

    // Half of the questions of one topic, whose answers are those of the shown passages.
    let asked: Vec<usize> = (0..10).step_by(2).chain([10, 12]).collect();
    let asking = Asking {
        llm: &llm(&bench),
        axis: &load_axis("gender").unwrap(),
        collection: &collection,
        pairs: collection.pairs.as_ref().unwrap(),
    };
    let found_some = Found::of(&asked, &authors, &[0, 10], &search);
    let retrieved = found_some.retrieved(Lean::Positive, &collection);
    let answered = found_some.answered(&asking).unwrap();
    assert_eq!((answered.symbol, answered.topics), ("R_b", retrieved.topics));
    let planted = |leans: &[(_, Vec<Option<i32>>)], number: usize| leans[number].1.clone();
    assert_eq!(planted(&answered.planted, 0), answered.own, "the same documents have the same answers");
    let follow = |shown: &[Option<i32>], answers: &[Option<i32>]| {
        shown.iter().zip(answers).filter(|(shown, answer)| shown == answer).count()
    };
    assert!(follow(&retrieved.own, &answered.own) >= 6, "{:?} {:?}", retrieved.own, answered.own);
    for number in [1, 3] {
        let (shown, answers) = (planted(&retrieved.planted, number), planted(&answered.planted, number));
        assert!(follow(&shown, &answers) >= 6, "{shown:?} {answers:?}");
    }
}

/// The area under the curve of a defence, and the change of nDCG@10.
fn judged(suspicion: &Suspicion<'_>, collection: &Collection, search: &Search, against: &str) -> (f64, f64) {
    let (mut report, mut table) = (Report::new("planting", "?"), table());
    suspicion.find(collection, search, 0, &mut report, &mut table);
    let area = format!("area under the curve of {}, against {against}", suspicion.name);
    let change = format!("nDCG@10 change by {}, where it catches 95% of {against}", suspicion.name);
    (value(&report, &area), value(&report, &change))
}

#[test]
fn what_is_before_a_document_counts_more_by_the_greatest_of_its_chunks_than_by_their_mean() {
    let (collection, (bench, _folder)) = (collection(), bench());
    let chunked = Chunked::load("minilm", &collection, 30, &bench).unwrap();
    let ranks = |question: &str, row: usize| {
        // A passage of another topic.
        let place = (row + 40) % collection.len();
        chunked.ranks(row, &before(question, &collection.text(place)), place).unwrap()
    };
    let (mut by_max, mut by_mean) = (0, 0);
    for row in 0..8 {
        let [max, mean] = ranks(&collection.questions[row].text, row);
        (by_max, by_mean) = (by_max + max, by_mean + mean);
        let plain = ranks("", row);
        assert!(plain.iter().all(|&rank| rank > 5), "without an edit: {plain:?}");
    }
    assert!(by_max < by_mean && by_max < 16, "{by_max} {by_mean}");
}

#[test]
fn copies_are_near_duplicates_and_documents_that_repeat_nothing_are_not() {
    let (collection, (bench, _folder)) = (collection(), bench());
    let search = Search::load("minilm", &collection, &bench).unwrap();
    let by = |author| Added::by(author, 4, Lean::Positive, &collection, &search, &bench).unwrap();
    let [mut stranger, expert] = Author::ALL.map(by);
    for copied in stranger.documents.iter_mut().flatten() {
        copied.text = format!("A text of its own, number {}, on nothing.", copied.passage);
    }
    let suspicion = duplicates(&collection, &[stranger, expert]);
    let (area, change) = judged(&suspicion, &collection, &search, "what an expert adds");
    assert!(area > 0.9, "{area}");
    assert!(change <= 0.0, "{change}");
    let (area, _) = judged(&suspicion, &collection, &search, "what a stranger adds");
    assert!(area <= 0.5, "{area}");
}

/// For each of eight questions, a text in place of a document.
fn edited(collection: &Collection, words: &str, text: impl Fn(usize) -> String) -> Vec<Edited> {
    (0..8)
        .map(|row| {
            let (row, place) = (row * 5, row * 9);
            Edited {
                row,
                topic: collection.topic(row).into(),
                place,
                start: 20,
                edit: if words.is_empty() { Edit::Swapped } else { Edit::Keywords },
                text: before(words, &text(place)),
                ranks: vec![1],
                over_chunks: None,
            }
        })
        .collect()
}

#[test]
fn unconnected_words_make_a_document_perplexing_and_a_document_as_it_is_tells_nothing() {
    let (collection, (bench, _folder)) = (collection(), bench());
    let search = Search::load("minilm", &collection, &bench).unwrap();
    let mut all = edited(&collection, "gravel senator violet thermal pickle", |place| collection.text(place));
    all.extend(edited(&collection, "", |place| collection.text(place)));
    let rows: Vec<usize> = (0..40).step_by(5).collect();
    let suspicion = perplexity(&llm(&bench), &collection, &search, &all, &rows).unwrap();
    let (with_words, change) = judged(&suspicion, &collection, &search, Edit::Keywords.name());
    let (as_they_are, _) = judged(&suspicion, &collection, &search, Edit::Swapped.name());
    assert!((as_they_are - 0.5).abs() < 0.3, "{as_they_are}");
    assert!(with_words > as_they_are + 0.1 && with_words > 0.7, "{with_words} {as_they_are}");
    assert!(change <= 0.0, "{change}");
}

#[test]
fn settings_that_cannot_be_measured_are_refused_by_name() {
    let all = Planting::default();
    all.check().unwrap();
    let refused = |setting: Planting| setting.check().unwrap_err().to_string();
    for (setting, name) in [
        (Planting { questions: 1, ..all.clone() }, "questions is 1"),
        (Planting { words: 31, ..all.clone() }, "words is 31"),
        (Planting { passes: 0, ..all.clone() }, "passes is 0"),
        (Planting { candidates: 0, ..all.clone() }, "candidates is 0"),
        (Planting { asked: 1, ..all.clone() }, "asked is 1"),
        (Planting { chunk_words: 4, ..all.clone() }, "chunk-words is 4"),
        (Planting { ranks: vec![0], ..all.clone() }, "ranks is [0]"),
        (Planting { added: Vec::new(), ..all.clone() }, "added is []"),
        (Planting { towards: "up".into(), ..all.clone() }, "towards is up"),
    ] {
        let error = refused(setting);
        assert!(error.starts_with(name), "{error}");
    }
}
