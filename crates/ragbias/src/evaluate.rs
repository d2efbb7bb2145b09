use std::sync::Arc;

use ragbias_core::{Corpus, Document, Embedder, Hit, IndexBackend, Progress, Question, QuestionSet};
use ragbias_data::{Qrels, read_corpus_allowing_empty_texts};
use ragbias_stats::{JudgedRanking, PairedRandomisation};
use serde::Serialize;

use crate::input::{load_qrels, load_questions};
use crate::named::Named;
use crate::ranking::NEIGHBOURHOOD;
use crate::system::Embedded;
use crate::{Error, Result, Workspace};

/// Number of documents ranked per question, as in a TREC run; MAP is computed over them.
const DEPTH: usize = 1000;

/// A test collection for retrieval: documents, questions, and relevance judgements.
#[derive(Debug, Clone)]
pub struct TestCollection {
    /// The documents; some may have no text.
    pub corpus: Corpus,
    /// The questions.
    pub questions: QuestionSet,
    /// The judgements.
    pub qrels: Qrels,
}

impl TestCollection {
    /// Each from the name of a bundled data set, a BEIR folder or a file. If the corpus is a bundled data set or a folder,
    /// its questions and judgements are used by default.
    ///
    /// # Errors
    /// A corpus file without questions or judgements; malformed files, with their line.
    pub fn load(
        corpus: &str,
        questions: Option<&str>,
        qrels: Option<&str>,
        progress: &dyn Progress,
    ) -> Result<Self> {
        let named = Named::find("corpus", corpus, progress)?;
        let whole = match &named {
            Named::Path(path) => path.is_dir(),
            _ => true,
        };
        let or_corpus = |given: Option<&str>, setting| match given {
            Some(given) => Ok(given.to_owned()),
            None if whole => Ok(corpus.to_owned()),
            None => Err(Error::Setting {
                setting,
                expected: "a file or a folder, as the corpus is a file",
                received: "not given".into(),
            }),
        };
        let (questions, qrels) = (or_corpus(questions, "queries")?, or_corpus(qrels, "qrels")?);
        Ok(Self {
            qrels: load_qrels(&qrels, progress)?,
            questions: load_questions(&questions, progress)?,
            corpus: match named {
                Named::Path(path) | Named::Table(path) => read_corpus_allowing_empty_texts(&path, progress)?,
                set => set.dataset(corpus, None, progress)?.corpus,
            },
        })
    }

    /// Notes on irregularities that change the figures but are not errors.
    pub fn notes(&self) -> Vec<String> {
        let empty = self.corpus.documents().iter().filter(|document| !document.has_text()).count();
        let asked = |id: &str| self.questions.questions().iter().any(|question| question.id == id);
        let unasked = self.qrels.keys().filter(|id| !asked(id)).count();
        let unjudged = self.questions.len() - self.judged().len();
        let missing: usize = (self.judged().iter())
            .flat_map(|question| &self.qrels[&question.id])
            .filter(|(document, grade)| **grade > 0 && self.corpus.position(document).is_none())
            .count();
        let questions = self.questions.questions();
        let own = questions.iter().filter_map(|question| {
            Some((question, self.corpus.document(self.corpus.position(&question.id)?)))
        });
        let (left_out, kept): (Vec<_>, Vec<_>) =
            own.partition(|(question, document)| self.is_left_out(question, document));
        let without = self.judged().iter().filter(|question| !self.has_relevant(question)).count();
        let line = |n: usize, what: &str| (n > 0).then(|| format!("{n} {what}"));
        [
            line(
                left_out.len(),
                "of the questions are documents too, by _id and text; each is left out of its own ranking, as BEIR does",
            ),
            line(
                kept.len(),
                "of the questions have the _id of a document with another text, or that is relevant to them; it is ranked, and BEIR \
                 would leave it out",
            ),
            line(without, "of the judged questions have no relevant document; their metrics are 0, as in trec_eval"),
            line(empty, "of the documents have no text; they are ranked like any other"),
            line(missing, "relevant documents are not in the corpus; they count as not retrieved"),
            line(unasked, "of the judged questions are not in the question set; they are left out"),
            line(unjudged, "of the questions have no judgements; they are left out"),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    /// Whether a document is left out of a question's ranking because it is the question itself, as in the duplicates of Quora or
    /// the arguments of ArguAna. BEIR decides by `_id` alone; if both are numbered from 1, as in older collections, the same
    /// `_id` is another text. A document judged relevant to the question is kept.
    fn is_left_out(&self, question: &Question, document: &Document) -> bool {
        let relevant = || {
            let judged = self.qrels.get(&question.id);
            judged.and_then(|judged| judged.get(&document.id)).is_some_and(|grade| *grade > 0)
        };
        question.id == document.id && question.text.trim() == document.text.trim() && !relevant()
    }

    fn has_relevant(&self, question: &Question) -> bool {
        self.qrels.get(&question.id).is_some_and(|judged| judged.values().any(|grade| *grade > 0))
    }

    /// The questions that have judgements, in order.
    fn judged(&self) -> Vec<&Question> {
        self.questions.questions().iter().filter(|question| self.qrels.contains_key(&question.id)).collect()
    }

    /// The documents, embedded and indexed.
    ///
    /// # Errors
    /// Errors of the embedder or the backend.
    pub fn embed(
        &self,
        embedder: Arc<dyn Embedder>,
        backend: Arc<dyn IndexBackend>,
        workspace: &Workspace,
    ) -> Result<Embedded> {
        Embedded::new(&self.corpus, embedder, backend, workspace)
    }

    /// Ranks the 1000 nearest documents of every judged question and compares them with the judgements.
    ///
    /// Documents of equal score are ordered as in trec_eval, see [`JudgedRanking`]; if they straddle rank
    /// 1000, the index decides which are included. With a ranking, the nearest few are in its order, as in a
    /// measurement, and the others follow.
    ///
    /// # Errors
    /// [`Error::NothingJudged`], or errors of the embedder or the index.
    pub fn evaluate(&self, embedded: &Embedded) -> Result<Evaluation> {
        let questions = self.judged();
        if questions.is_empty() {
            let judged = self.qrels.keys().next().cloned().unwrap_or_default();
            return Err(Error::NothingJudged { question: self.questions.questions()[0].id.clone(), judged });
        }
        let texts: Vec<&str> = questions.iter().map(|question| question.text.as_str()).collect();
        // One more than is ranked, because one may be the question itself.
        let nearest = embedded.nearest(&texts, DEPTH + 1)?;
        let per_question: Vec<(String, RetrievalMetrics)> = (questions.iter().zip(&nearest))
            .map(|(question, hits)| {
                let id = |hit: &Hit| self.corpus.document(hit.document).id.as_str();
                let hits = (hits.iter())
                    .filter(|hit| !self.is_left_out(question, self.corpus.document(hit.document)));
                let hits: Vec<Hit> = hits.take(DEPTH).copied().collect();
                let judged = if embedded.ranking().is_some() {
                    let (pool, rest) = hits.split_at(hits.len().min(NEIGHBOURHOOD));
                    let ranked = embedded.rank(pool, question);
                    let places = ranked.iter().chain(rest).zip(0_u16..);
                    let scored = places.map(|(hit, place)| (id(hit), -f32::from(place)));
                    JudgedRanking::new(scored, &self.qrels[&question.id])
                } else {
                    let scored = hits.iter().map(|hit| (id(hit), hit.score));
                    JudgedRanking::new(scored, &self.qrels[&question.id])
                };
                (question.id.clone(), RetrievalMetrics::of(&judged))
            })
            .collect();
        let n = per_question.len() as f64;
        let mean = RetrievalMetrics::each(|metric| {
            per_question.iter().map(|(_, metrics)| metric(metrics)).sum::<f64>() / n
        });
        Ok(Evaluation { mean, queries: per_question.len(), documents: self.corpus.len(), per_question })
    }
}

/// Retrieval metrics of trec_eval, each in [0, 1].
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct RetrievalMetrics {
    /// nDCG of the first 10.
    #[serde(rename = "ndcg@10")]
    pub ndcg10: f64,
    /// Recall of the first document.
    #[serde(rename = "recall@1")]
    pub recall1: f64,
    /// Recall of the first 5.
    #[serde(rename = "recall@5")]
    pub recall5: f64,
    /// Recall of the first 10.
    #[serde(rename = "recall@10")]
    pub recall10: f64,
    /// Recall of the first 100.
    #[serde(rename = "recall@100")]
    pub recall100: f64,
    /// Reciprocal rank of the first relevant document, 0 beyond the 10th.
    #[serde(rename = "mrr@10")]
    pub mrr10: f64,
    /// Average precision of the first 1000.
    pub map: f64,
}

impl RetrievalMetrics {
    fn of(ranking: &JudgedRanking) -> Self {
        Self {
            ndcg10: ranking.ndcg(10),
            recall1: ranking.recall(1),
            recall5: ranking.recall(5),
            recall10: ranking.recall(10),
            recall100: ranking.recall(100),
            mrr10: ranking.reciprocal_rank(10),
            map: ranking.average_precision(DEPTH),
        }
    }

    /// A number for each metric, from a function that is given the way to read it.
    fn each(number: impl Fn(fn(&Self) -> f64) -> f64) -> Self {
        Self {
            ndcg10: number(|metrics| metrics.ndcg10),
            recall1: number(|metrics| metrics.recall1),
            recall5: number(|metrics| metrics.recall5),
            recall10: number(|metrics| metrics.recall10),
            recall100: number(|metrics| metrics.recall100),
            mrr10: number(|metrics| metrics.mrr10),
            map: number(|metrics| metrics.map),
        }
    }
}

/// The retrieval quality of an embedder. Serialised, it is the output of `ragbias evaluate --json`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Evaluation {
    /// Means over the questions that have judgements.
    #[serde(flatten)]
    pub mean: RetrievalMetrics,
    /// Number of questions with judgements.
    pub queries: usize,
    /// Number of ranked documents.
    pub documents: usize,
    /// The metrics of each question, by its `_id`, in order.
    #[serde(skip)]
    pub per_question: Vec<(String, RetrievalMetrics)>,
}

/// The difference between two embedders on the same questions.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Comparison {
    /// The first embedder's mean minus the second's, in [−1, 1].
    pub difference: RetrievalMetrics,
    /// Two-sided p value of each difference, in (0, 1]; not corrected for the number of metrics.
    pub p: RetrievalMetrics,
}

impl Evaluation {
    /// This embedder's metrics minus another's, with a paired test over the questions.
    ///
    /// # Errors
    /// [`Error::OtherQuestions`] if they were asked different questions.
    pub fn against(&self, other: &Self, test: PairedRandomisation) -> Result<Comparison> {
        let ids = |evaluation: &Self| evaluation.per_question.iter().map(|(id, _)| id.clone()).collect();
        let (expected, received): (Vec<String>, Vec<String>) = (ids(self), ids(other));
        if expected != received {
            return Err(Error::OtherQuestions { expected: expected.len(), received: received.len() });
        }
        let pairs = || self.per_question.iter().zip(&other.per_question);
        Ok(Comparison {
            difference: RetrievalMetrics::each(|metric| metric(&self.mean) - metric(&other.mean)),
            p: RetrievalMetrics::each(|metric| {
                let differences: Vec<f64> = pairs().map(|((_, a), (_, b))| metric(a) - metric(b)).collect();
                test.p_value(&differences)
            }),
        })
    }
}

#[cfg(test)]
mod tests {
    use ragbias_core::Silent;
    use ragbias_core::testing::HashEmbedder;
    use ragbias_index::Exact;

    use super::*;

    fn collection() -> TestCollection {
        let documents = [("a", "radium and polonium"), ("b", "the engine"), ("c", "radium"), ("d", "poems")];
        let question =
            |id: &str, text: &str| Question { id: id.into(), text: text.into(), topic: None, choices: None };
        let judged = [("q1", "a", 1), ("q1", "gone", 2), ("q1", "b", 0), ("q2", "b", 1), ("q9", "a", 1)];
        let mut qrels = Qrels::new();
        for (question, document, grade) in judged {
            qrels.entry(question.into()).or_default().insert(document.into(), grade);
        }
        TestCollection {
            corpus: Corpus::new(documents.map(|(id, text)| Document::new(id, text)).to_vec()).unwrap(),
            questions: QuestionSet::new(vec![
                question("q1", "radium and polonium"),
                question("q2", "the engine"),
                question("q3", "poems"),
            ])
            .unwrap(),
            qrels,
        }
    }

    fn evaluated(collection: &TestCollection) -> Result<Evaluation> {
        let workspace = Workspace::new(crate::Models::in_folder("none")?);
        let embedder = Arc::new(HashEmbedder::new(512, 1));
        collection.evaluate(&collection.embed(embedder, Arc::new(Exact), &workspace)?)
    }

    fn evaluate(collection: &TestCollection) -> Evaluation {
        evaluated(collection).unwrap()
    }

    #[test]
    fn judged_questions_are_averaged_and_a_missing_document_counts_as_not_retrieved() {
        let evaluation = evaluate(&collection());
        assert_eq!((evaluation.queries, evaluation.documents), (2, 4));
        // q1 finds one of two, first; q2 its only one.
        assert_eq!(evaluation.mean.recall1, f64::midpoint(0.5, 1.0));
        assert_eq!((evaluation.mean.recall100, evaluation.mean.map), (0.75, 0.75));
        assert_eq!(evaluation.mean.mrr10, 1.0);
        // pytrec_eval-terrier 0.5.11, ndcg_cut_10 of a run that ranks a of {a: 1, gone: 2, b: 0} first: 0.380093766716.
        assert!((evaluation.per_question[0].1.ndcg10 - 0.380_093_766_716).abs() < 1e-9, "{evaluation:?}");
    }

    #[test]
    fn a_bundled_set_brings_its_questions_and_judgements_along_and_a_file_does_not() {
        let set = TestCollection::load("gender", None, None, &Silent).unwrap();
        assert_eq!((set.corpus.len(), set.questions.len(), set.notes().len()), (192, 120, 0));
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("corpus.jsonl");
        fs_err::write(&file, "{\"_id\":\"a\",\"text\":\"\"}\n").unwrap();
        let file = file.to_str().unwrap();
        let error = TestCollection::load(file, Some("gender"), None, &Silent).unwrap_err().to_string();
        assert_eq!(error, "qrels is not given, expected a file or a folder, as the corpus is a file");
        let notes = TestCollection::load(file, Some("gender"), Some("gender"), &Silent).unwrap().notes();
        assert!(notes[0].starts_with("1 of the documents have no text"), "{notes:?}");
    }

    #[test]
    fn what_is_left_out_is_said() {
        let notes = collection().notes();
        assert_eq!(notes.len(), 3, "{notes:?}");
        assert!(notes[0].starts_with("1 relevant documents are not in the corpus"), "{notes:?}");
        assert!(notes[1].starts_with("1 of the judged questions are not in the question set"), "{notes:?}");
        assert!(notes[2].starts_with("1 of the questions have no judgements"), "{notes:?}");
    }

    #[test]
    fn a_question_that_is_a_document_is_left_out_of_its_own_ranking_unless_it_is_judged_relevant() {
        let mut collection = collection();
        let mut documents = collection.corpus.documents().to_vec();
        documents.push(Document::new("q2", "the engine"));
        collection.corpus = Corpus::new(documents).unwrap();
        let without = evaluate(&collection);
        // Both texts are the same, and among equal cosines the greater id comes first: it would be the question itself.
        assert_eq!((without.documents, without.per_question[1].1.recall1), (5, 1.0));
        let said =
            "1 of the questions are documents too, by _id and text; each is left out of its own ranking";
        assert!(collection.notes()[0].starts_with(said), "{:?}", collection.notes());
        collection.qrels.get_mut("q2").unwrap().insert("q2".into(), 1);
        let with = evaluate(&collection);
        assert_eq!((with.per_question[1].1.recall1, with.per_question[1].1.recall5), (0.5, 1.0));
        let said = "1 of the questions have the _id of a document with another text, or that is relevant to them; it is ranked";
        assert!(collection.notes()[0].starts_with(said), "{:?}", collection.notes());
    }

    #[test]
    fn a_document_that_has_the_number_of_a_question_and_another_text_is_ranked() {
        let mut collection = collection();
        let mut documents = collection.corpus.documents().to_vec();
        documents.push(Document::new("q2", "the engine, and more of it"));
        collection.corpus = Corpus::new(documents).unwrap();
        assert!(
            collection.notes()[0]
                .starts_with("1 of the questions have the _id of a document with another text")
        );
        let question = &collection.questions.questions()[1];
        assert_eq!(question.id, "q2");
        assert!(!collection.is_left_out(question, &collection.corpus.documents()[4]));
    }

    #[test]
    fn judgements_of_other_questions_are_refused() {
        let mut collection = collection();
        collection.qrels.retain(|question, _| question == "q9");
        let error = evaluated(&collection).unwrap_err();
        assert!(
            error.to_string().starts_with(
                "no question has a judgement: questions are called like `q1`, judged ones like `q9`"
            ),
            "{error}"
        );
    }

    #[test]
    fn an_embedder_against_itself_differs_in_nothing_and_the_order_of_two_negates_the_difference() {
        let collection = collection();
        let (a, mut b) = (evaluate(&collection), evaluate(&collection));
        let test = PairedRandomisation::default();
        let same = a.against(&b, test).unwrap();
        assert_eq!((same.difference.ndcg10, same.p.ndcg10, same.p.map), (0.0, 1.0, 1.0));
        b.mean.map -= 0.25;
        b.per_question[0].1.map -= 0.5;
        let (ab, ba) = (a.against(&b, test).unwrap(), b.against(&a, test).unwrap());
        assert_eq!((ab.difference.map, ab.p.map), (-ba.difference.map, ba.p.map));
        b.per_question.pop();
        assert!(a.against(&b, test).is_err());
    }
}
