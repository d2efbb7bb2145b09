//! Judgements that refer to nothing, questions without a relevant document, and topics in two splits.

use std::collections::{BTreeMap, BTreeSet};

use super::finding::Findings;
use super::subject::Subject;
use crate::text::shown;

pub(super) fn check(subject: &Subject, findings: &mut Findings) {
    judgements(subject, findings);
    topics(subject, findings);
    documents_nobody_asks_for(subject, findings);
    for document in subject.corpus.documents().iter().filter(|document| !document.has_text()) {
        let message = format!(
            "document `{}` has no text: `evaluate` ranks it, `measure` refuses it",
            shown(&document.id)
        );
        findings.warning("no-text", subject.document(&document.id), message);
    }
}

fn judgements(subject: &Subject, findings: &mut Findings) {
    let mut unjudged = Vec::new();
    for question in subject.questions.questions() {
        let id = &question.id;
        match subject.qrels.get(id) {
            None => unjudged.push(id),
            Some(_) if subject.relevant(id).next().is_none() => {
                let message = format!("question `{}` has no relevant document", shown(id));
                findings.error("no-relevant-document", subject.question(id), message);
            }
            Some(_) => {}
        }
    }
    // Sets of BEIR have queries of other splits without judgements here.
    if subject.split_names().is_empty() || subject.named_topics.is_empty() {
        if let Some(first) = unjudged.first() {
            let message =
                format!("{} questions have no judgements, `{}` the first", unjudged.len(), shown(first));
            findings.note("not-judged", subject.question(first), message);
        }
    } else {
        for id in unjudged {
            findings.error(
                "not-judged",
                subject.question(id),
                format!("question `{}` has no judgements", shown(id)),
            );
        }
    }
    let asked: BTreeSet<&str> =
        subject.questions.questions().iter().map(|question| question.id.as_str()).collect();
    for (question, judged) in &subject.qrels {
        if !asked.contains(question.as_str()) {
            let message = format!("judgements of question `{}`, which is not asked", shown(question));
            findings.warning("unknown-question", subject.judgements(), message);
        }
        for document in judged.keys().filter(|id| subject.corpus.position(id).is_none()) {
            let message = format!(
                "document `{}`, judged for question `{}`, is not in the corpus",
                shown(document),
                shown(question)
            );
            findings.error("unknown-document", subject.judgements(), message);
        }
    }
}

fn topics(subject: &Subject, findings: &mut Findings) {
    let mut splits: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for question in subject.questions.questions() {
        let own = subject.splits_of(&question.id).collect::<Vec<_>>();
        if let [first, second, ..] = own.as_slice()
            && subject.named_topics.is_empty()
        {
            let message = format!("question `{}` is in {first} and in {second}", shown(&question.id));
            findings.error("split", subject.question(&question.id), message);
        }
        if question.topic.is_some() {
            splits.entry(question.cluster()).or_default().extend(own);
        }
    }
    for (topic, splits) in splits.into_iter().filter(|(_, splits)| splits.len() > 1) {
        let names = splits.into_iter().collect::<Vec<_>>().join(" and in ");
        let message = format!("topic `{}` is in {names}", shown(topic));
        findings.error("split", subject.split_file(), message);
    }
    let asked: BTreeSet<&str> =
        subject.questions.questions().iter().map(ragbias_core::Question::cluster).collect();
    for (split, named) in &subject.named_topics {
        for topic in named.iter().filter(|topic| !asked.contains(topic.as_str())) {
            let message = format!("no question has the {split} topic `{}`", shown(topic));
            findings.error("split", subject.split_file(), message);
        }
    }
}

fn documents_nobody_asks_for(subject: &Subject, findings: &mut Findings) {
    let judged: BTreeSet<&str> = subject
        .qrels
        .values()
        .flatten()
        .filter(|(_, grade)| **grade > 0)
        .map(|(id, _)| id.as_str())
        .collect();
    let documents = subject.corpus.documents();
    let mut unasked = documents.iter().filter(|document| !judged.contains(document.id.as_str()));
    if let Some(first) = unasked.next() {
        let count = 1 + unasked.count();
        let message = format!(
            "{count} of {} documents are relevant to no question, `{}` the first",
            documents.len(),
            shown(&first.id)
        );
        findings.note("unasked", subject.document(&first.id), message);
    }
}
