//! Questions and documents that are there twice, and what is in two splits.

use std::collections::{BTreeMap, BTreeSet};

use ragbias_core::{Document, Progress, Question, Unit};

use super::finding::Findings;
use super::minhash::{similar, words};
use super::subject::Subject;
use crate::text::shown;

/// Texts of at least this Jaccard similarity are nearly the same.
const NEARLY: f64 = 0.8;
/// Words of a shingle of a question, and of a document.
const SHINGLE: (usize, usize) = (2, 3);

pub(super) fn check(subject: &Subject, findings: &mut Findings, progress: &dyn Progress) {
    let step = progress.begin("looking for duplicates", subject.corpus.len() as u64, Unit::Items);
    questions(subject, findings);
    documents(subject, findings);
    step.advance(subject.corpus.len() as u64);
}

/// The splits of two questions, if none of them is common.
fn apart<'s>(first: &BTreeSet<&'s str>, second: &BTreeSet<&'s str>) -> Option<(&'s str, &'s str)> {
    let (a, b) = (first.first()?, second.first()?);
    first.is_disjoint(second).then_some((*a, *b))
}

fn questions(subject: &Subject, findings: &mut Findings) {
    let questions = subject.questions.questions();
    let texts: Vec<String> = questions.iter().map(|question| question.text.clone()).collect();
    let splits: Vec<BTreeSet<&str>> =
        questions.iter().map(|question| subject.splits_of(&question.id).collect()).collect();
    for (first, second, similarity) in similar(&texts, SHINGLE.0, NEARLY) {
        let (a, b) = (&questions[first], &questions[second]);
        let same = words(&a.text) == words(&b.text);
        let how = if same { "is the same as" } else { "is nearly the same as" };
        let pair = format!("question `{}` {how} `{}`", shown(&b.id), shown(&a.id));
        let at = subject.question(&b.id);
        match (apart(&splits[first], &splits[second]), same) {
            (Some((one, other)), true) => findings.error("leak", at, format!("{pair}, which is in {one}, it in {other}")),
            (Some((one, other)), false) => {
                let message = format!("{pair} (Jaccard {similarity:.2}), which is in {one}, it in {other}");
                findings.warning("leak", at, message);
            }
            (None, true) if differ(a, b) => {
                findings.note("duplicate-question", at, format!("{pair}, with other claims"));
            }
            (None, true) => findings.warning("duplicate-question", at, format!("{pair}: it counts twice")),
            (None, false) => findings.note(
                "similar-question",
                at,
                format!("{pair} (Jaccard {similarity:.2}); intervals take them for independent unless they share a topic"),
            ),
        }
    }
}

/// Whether two questions have other claims to choose from.
fn differ(a: &Question, b: &Question) -> bool {
    a.choices != b.choices
}

fn documents(subject: &Subject, findings: &mut Findings) {
    let documents = subject.corpus.documents();
    let texts: Vec<String> = documents.iter().map(Document::full_text).collect();
    let mut splits: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for question in subject.questions.questions() {
        for document in subject.relevant(&question.id) {
            splits.entry(document).or_default().extend(subject.splits_of(&question.id));
        }
    }
    shared(subject, &splits, findings);
    let none = BTreeSet::new();
    for (first, second, similarity) in similar(&texts, SHINGLE.1, NEARLY) {
        let (a, b) = (&documents[first], &documents[second]);
        let same = texts[first].trim() == texts[second].trim();
        let (lean_a, lean_b) = (a.gold_lean().ok().flatten(), b.gold_lean().ok().flatten());
        let how = if same { "is the same as" } else { "is nearly the same as" };
        let pair = format!("document `{}` {how} `{}`", shown(&b.id), shown(&a.id));
        let at = subject.document(&b.id);
        let own = |id: &str| splits.get(id).unwrap_or(&none);
        let apart = apart(own(&a.id), own(&b.id));
        if same && lean_a != lean_b {
            findings.error("label", at, format!("{pair}, but has another label"));
        } else if let Some((one, other)) = apart {
            let message =
                format!("{pair} (Jaccard {similarity:.2}), which is relevant in {one}, it in {other}");
            findings.warning("leak", at, message);
        } else if same {
            findings.warning("duplicate-document", at, format!("{pair}: it counts twice in C_b"));
        } else if lean_a == lean_b && !are_versions(a, b) {
            findings.note(
                "similar-document",
                at,
                format!("{pair} (Jaccard {similarity:.2}), of the same lean"),
            );
        }
    }
}

/// Whether two documents are versions of one passage, as twins with other names are.
fn are_versions(a: &Document, b: &Document) -> bool {
    let pair = |document: &Document| document.metadata.get("pair").cloned();
    pair(a).is_some() && pair(a) == pair(b)
}

/// Documents that are relevant in two splits: what is trained on may be measured.
fn shared(subject: &Subject, splits: &BTreeMap<&str, BTreeSet<&str>>, findings: &mut Findings) {
    let shared: Vec<&&str> = splits.iter().filter(|(_, own)| own.len() > 1).map(|(id, _)| id).collect();
    if let Some(first) = shared.first() {
        let message = format!(
            "{} documents are relevant to questions of two splits, `{}` the first: an embedder may have been trained on them",
            shared.len(),
            shown(first)
        );
        findings.warning("leak", subject.document(first), message);
    }
}
