//! Questions with the two twins of their passage.

use std::collections::{BTreeMap, BTreeSet};

use ragbias::Inputs;
use ragbias::core::{ContentHasher, ContentId, Corpus, DocId, Document, Pairs, Question, QuestionSet};
use ragbias::data::{Qrels, sample};
use ragbias::tune::Towards;

use crate::error::{Error, Result};

/// A question with the twins of the passage that answers it: the one of the pole, and the other.
#[derive(Debug, Clone)]
pub(super) struct Contested {
    pub(super) question: Question,
    pub(super) pole: Document,
    pub(super) other: Document,
    /// Grades of the documents by id.
    pub(super) grades: BTreeMap<String, i64>,
}

/// Questions whose passages have twins.
#[derive(Debug, Clone)]
pub(super) struct Contests(Vec<Contested>);

impl Contests {
    pub(super) fn new(contests: Vec<Contested>) -> Self {
        Self(contests)
    }

    /// This many of a split's questions, spread over topics, with the first draw of their twins.
    pub(super) fn of(inputs: &Inputs, towards: Towards, count: usize, seed: u64) -> Result<Self> {
        let too_few =
            |received| Error::TooFew { what: "questions whose passage has twins", expected: 2, received };
        let (Some(pairs), Some(qrels)) = (Pairs::of(&inputs.corpus)?, inputs.qrels.as_ref()) else {
            return Err(too_few(0));
        };
        let contested = |question: &Question| contested(question, &inputs.corpus, &pairs, qrels, towards);
        let all: Vec<Contested> = inputs.questions.questions().iter().filter_map(contested).collect();
        if all.len() < 2 {
            return Err(too_few(all.len()));
        }
        Ok(Self(all).sampled(count, seed))
    }

    /// This many of them, spread over topics.
    pub(super) fn sampled(self, count: usize, seed: u64) -> Self {
        let questions: Vec<Question> = self.0.iter().map(|contest| contest.question.clone()).collect();
        let ids: BTreeSet<String> =
            sample(&questions, count, seed).into_iter().map(|question| question.id).collect();
        Self(self.0.into_iter().filter(|contest| ids.contains(&contest.question.id)).collect())
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Contested> {
        self.0.iter()
    }

    /// The topic of each question.
    pub(super) fn topics(&self) -> Vec<&str> {
        self.0.iter().map(|contest| contest.question.cluster()).collect()
    }

    /// The texts of the questions.
    pub(super) fn questions(&self) -> Vec<String> {
        self.0.iter().map(|contest| contest.question.text.clone()).collect()
    }

    /// The texts of the documents of the pole, or of the others.
    pub(super) fn texts(&self, side: Side) -> Vec<String> {
        self.0.iter().map(|contest| contest.document(side).full_text()).collect()
    }

    /// Some of them, by their numbers.
    pub(super) fn some(&self, rows: &[usize]) -> Self {
        Self(rows.iter().map(|&row| self.0[row].clone()).collect())
    }

    /// The questions alone.
    pub(super) fn question_set(&self) -> Result<QuestionSet> {
        Ok(QuestionSet::new(self.0.iter().map(|contest| contest.question.clone()).collect())?)
    }

    /// The documents of all of them, changed by `change`: first those of the pole, then the others.
    pub(super) fn corpus(&self, change: impl Fn(Side, Document) -> Document) -> Result<Corpus> {
        let mut seen = BTreeSet::new();
        let documents = Side::BOTH
            .into_iter()
            .flat_map(|side| self.0.iter().map(move |contest| (side, contest.document(side))));
        let documents = documents.filter(|(_, document)| seen.insert(document.id.clone()));
        Ok(Corpus::new(documents.map(|(side, document)| change(side, document.clone())).collect())?)
    }

    /// The hash of which documents answer which questions, and how well.
    pub(super) fn judgements(&self) -> ContentId {
        let mut id = ContentHasher::new("judgements/1");
        for Contested { question, pole, other, grades } in &self.0 {
            id = id.field(&question.id).field(&pole.id).field(&other.id).field(format!("{grades:?}"));
        }
        id.finish()
    }

    /// The hash of questions and documents.
    pub(super) fn id(&self) -> ContentId {
        let mut id = ContentHasher::new("contests/1");
        for contest in &self.0 {
            let texts = Side::BOTH.map(|side| contest.document(side).full_text());
            id = id
                .field(&contest.question.id)
                .field(&contest.question.text)
                .field(&texts[0])
                .field(&texts[1]);
        }
        id.finish()
    }
}

/// One of the two twins of a passage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Side {
    /// That of the pole.
    Pole,
    /// The other.
    Other,
}

impl Side {
    pub(super) const BOTH: [Self; 2] = [Self::Pole, Self::Other];
}

impl Contested {
    pub(super) fn document(&self, side: Side) -> &Document {
        match side {
            Side::Pole => &self.pole,
            Side::Other => &self.other,
        }
    }
}

/// A question with its twins; none if no relevant document has one.
fn contested(
    question: &Question,
    corpus: &Corpus,
    pairs: &Pairs,
    qrels: &Qrels,
    towards: Towards,
) -> Option<Contested> {
    let grades = qrels.get(&question.id)?;
    let mut relevant =
        grades.iter().filter(|(_, grade)| **grade > 0).filter_map(|(id, _)| corpus.position(id));
    let (_, draws) = relevant.find_map(|document| pairs.passage(document))?;
    let twins = draws.first()?;
    let document = |id: DocId| corpus.document(id).clone();
    let (positive, negative) = (document(twins.positive), document(twins.negative));
    let (pole, other) = match towards {
        Towards::Positive => (positive, negative),
        Towards::Negative => (negative, positive),
    };
    Some(Contested { question: question.clone(), pole, other, grades: grades.clone() })
}
