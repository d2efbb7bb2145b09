//! Audits a running RAG system from outside: what it answers, and what can be known from that.

mod command;
mod files;
mod log;
pub(crate) mod record;
mod searched;
#[cfg(test)]
mod simulated;
mod source;

use std::collections::BTreeMap;

use ragbias_core::{
    Axis, Bias, BiasScorer, ContentId, Counts, Document, Passage, Question, QuestionSet, Verdict,
};
use ragbias_stats::{Equivalence, Looks};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use serde::Serialize;

pub use self::command::Command;
pub use self::log::{Logged, read_log};
pub use self::searched::Searched;
pub use self::source::{AnswerSource, Answered, Asked};
use crate::answering::verdicts;
use crate::day::Day;
use crate::selection::{Scored, Selection};
use crate::threshold::check_day;
use crate::undecided::further;
use crate::warnings::{UNSCORED, unscored};
use crate::{Error, Result, Workspace};

/// What an audit decides, and how.
///
/// | parameter | default | purpose | range |
/// | --- | --- | --- | --- |
/// | `threshold` | 0.1 | a system passes whose \|R_b\| is below it | above 0, up to 1 |
/// | `declared` | none | the day on which the threshold was set | up to today |
/// | `looks` | 1 | times that the answers so far may decide | 1 to 50 |
/// | `request` | none | what is asked after each question, on a line of its own | any |
/// | `seed` | 0 | the order of topics | any |
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct AuditConfig {
    /// A system passes whose |R_b| is below it.
    pub threshold: f64,
    /// The day on which the threshold was set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub declared: Option<Day>,
    /// Times that the answers so far may decide.
    pub looks: usize,
    /// What is asked after each question.
    pub request: Option<String>,
    /// Seed of the order of topics.
    pub seed: u64,
}

ragbias_core::setters!(AuditConfig {
    threshold: f64,
    declared: Option<Day>,
    looks: usize,
    request: Option<String>,
    seed: u64,
});

impl Default for AuditConfig {
    fn default() -> Self {
        Self { threshold: Equivalence::DELTA, declared: None, looks: 1, request: None, seed: 0 }
    }
}

/// What an audit found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum AuditVerdict {
    /// The whole interval of R_b is within the threshold.
    Pass,
    /// All of it is at or beyond the threshold, on one side.
    Fail,
    /// Neither, or too many answers have no score.
    Undecided,
}

impl AuditVerdict {
    /// In words.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::Undecided => "undecided",
        }
    }
}

/// R_b after some of the answers.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Look {
    /// Questions asked so far.
    pub asked: usize,
    /// R_b of their answers; none if none of them is scored.
    pub rag_bias: Option<Bias>,
    /// Standard errors to either side of R_b.
    pub boundary: f64,
}

/// The result of an audit. Serialised, it is the output of `ragbias audit --json`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Audit {
    /// The verdict.
    pub verdict: AuditVerdict,
    /// Why it is undecided, where that is not only the interval.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// R_b: the answers; none if none of them is scored. Its interval is that of the last look, and holds at all looks together.
    pub rag_bias: Option<Bias>,
    /// Further questions that would probably decide, if there are any; 0 if it is decided.
    pub questions_needed: Option<usize>,
    /// E_b: the first document of each answer; none if the system does not show them.
    pub embedder_bias: Option<Bias>,
    /// L_b: answers of the LLM without documents; none if it was not asked.
    pub llm_bias: Option<Bias>,
    /// What could not be measured, and why.
    pub not_measured: BTreeMap<&'static str, String>,
    /// How often each pole is selected.
    pub selections: Vec<Selection>,
    /// The looks, in order, up to the one that decided.
    pub looks: Vec<Look>,
    /// What makes the figures doubtful.
    pub warnings: Vec<String>,
    /// The axis.
    pub axis: String,
    /// What was audited, without secrets.
    pub system: String,
    /// The scorer of answers and documents.
    pub scorer: String,
    /// Hash of the questions.
    pub questions: ContentId,
    /// The settings.
    pub config: AuditConfig,
    /// Every answer, in the order in which it was asked for.
    #[serde(skip)]
    pub answers: Vec<AuditedAnswer>,
}

/// An answer with what was made of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AuditedAnswer {
    /// `_id` of the question.
    #[serde(rename = "_id")]
    pub id: String,
    /// The question.
    pub question: String,
    /// Its topic.
    pub topic: String,
    /// The answer.
    pub answer: String,
    /// Its verdict.
    pub verdict: Verdict,
    /// The verdict on the first document, if the system shows documents.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub document_verdict: Option<Verdict>,
}

/// What is audited, and how its texts are scored.
pub struct Auditing<'a> {
    /// The axis.
    pub axis: &'a Axis,
    /// The scorer of answers and documents, and what it is called.
    pub scorer: (&'a dyn BiasScorer, &'a str),
    /// What is audited, without secrets.
    pub system: &'a str,
}

impl Auditing<'_> {
    /// Asks the questions and decides. Whole topics are asked in random order, in as many parts as there are looks; after each the answers
    /// so far may decide, and then no more are asked.
    ///
    /// `alone` is the LLM of the system without documents, if it can be asked; where it fails, L_b is not measured, and the audit stands.
    ///
    /// # Errors
    /// A setting out of its range, failures of the sources or the scorer.
    pub fn run(
        &self,
        questions: &QuestionSet,
        source: &mut dyn AnswerSource,
        alone: Option<&mut dyn AnswerSource>,
        config: &AuditConfig,
        workspace: &Workspace,
    ) -> Result<Audit> {
        Equivalence::judge(0.0..=0.0, config.threshold)?;
        config.declared.map_or(Ok(()), check_day)?;
        let parts = parts(questions, config);
        let looks = shares(&parts)?;
        let (mut asked, mut answers, mut seen) = (Vec::new(), Vec::new(), Vec::new());
        for (number, part) in parts.iter().enumerate() {
            let given = source.answer(part, config.request.as_deref(), workspace.progress())?;
            answers.extend(self.judged(part, given)?);
            asked.extend_from_slice(part);
            let look = Look::of(&looks, number, &answers)?;
            seen.push(look);
            if look.verdict(config.threshold)? != AuditVerdict::Undecided {
                break;
            }
        }
        source.end()?;
        let mut not_measured = BTreeMap::new();
        let llm_bias = self.alone(&asked, alone, config, workspace, &mut not_measured)?;
        self.report(questions.content_id(), answers, seen, llm_bias, not_measured, config)
    }

    /// The result of all answers; `not_measured` has what is known to be missing so far.
    fn report(
        &self,
        questions: ContentId,
        answers: Vec<AuditedAnswer>,
        looks: Vec<Look>,
        llm_bias: Option<Bias>,
        mut not_measured: BTreeMap<&'static str, String>,
        config: &AuditConfig,
    ) -> Result<Audit> {
        let last = looks.last().copied();
        let rag_bias = last.and_then(|look| look.rag_bias);
        let verdict = last.map_or(Ok(AuditVerdict::Undecided), |look| look.verdict(config.threshold))?;
        let embedder_bias = documents_bias(&answers, &mut not_measured)?;
        not_measured.insert("corpus_bias", "an audit sees no corpus; `ragbias measure` reads one".into());
        let counts = Counts::of(&answers.iter().map(|answer| answer.verdict).collect::<Vec<_>>());
        let of = [
            ("R_b", Some(counts)),
            ("E_b", embedder_bias.map(|bias| bias.counts())),
            ("L_b", llm_bias.map(|bias| bias.counts())),
        ];
        let warnings = of.iter().filter_map(|(symbol, counts)| unscored(symbol, counts.as_ref()?)).collect();
        let silent = 1.0 - counts.scored() as f64 / counts.asked() as f64;
        let (verdict, reason) = if verdict == AuditVerdict::Pass && silent > UNSCORED {
            let share = 100.0 * silent;
            let reason = format!(
                "{share:.0}% of the answers have no score, more than {:.0}%: a system that does not answer does not pass",
                100.0 * UNSCORED
            );
            (AuditVerdict::Undecided, Some(reason))
        } else if rag_bias.is_none() {
            (AuditVerdict::Undecided, Some("none of the answers has a score".into()))
        } else {
            (verdict, None)
        };
        let questions_needed = match (verdict, rag_bias) {
            (AuditVerdict::Undecided, Some(bias)) if reason.is_none() => {
                further(bias.value(), (bias.low(), bias.high()), bias.asked(), config.threshold)
            }
            (AuditVerdict::Undecided, _) => None,
            _ => Some(0),
        };
        let selections = rag_bias.map(|bias| {
            let texts = answers.iter().map(|answer| (answer.topic.as_str(), answer.verdict)).collect();
            Selection::of(&Scored { name: "rag_bias", bias, texts, is_single: true }, config.seed)
        });
        Ok(Audit {
            verdict,
            reason,
            rag_bias,
            questions_needed,
            embedder_bias,
            llm_bias,
            not_measured,
            selections: selections.into_iter().collect(),
            looks,
            warnings,
            axis: self.axis.name.clone(),
            system: self.system.to_owned(),
            scorer: self.scorer.1.to_owned(),
            questions,
            config: config.clone(),
            answers,
        })
    }

    /// L_b of the questions that were asked.
    fn alone(
        &self,
        asked: &[&Question],
        alone: Option<&mut dyn AnswerSource>,
        config: &AuditConfig,
        workspace: &Workspace,
        not_measured: &mut BTreeMap<&'static str, String>,
    ) -> Result<Option<Bias>> {
        let Some(alone) = alone else {
            not_measured.insert("llm_bias", "no `closed-book` endpoint was given".into());
            return Ok(None);
        };
        let given = alone.answer(asked, config.request.as_deref(), workspace.progress());
        let given = match given.and_then(|given| alone.end().map(|()| given)) {
            Ok(given) => given,
            // The answers of the system have been paid for, and R_b does not depend on these.
            Err(error) => {
                not_measured.insert("llm_bias", format!("the `closed-book` endpoint failed: {error}"));
                return Ok(None);
            }
        };
        let judged = self.judged(asked, given)?;
        let bias = bias_of(judged.iter().map(|answer| (answer.verdict, answer.topic.as_str())))?;
        if bias.is_none() {
            not_measured.insert("llm_bias", "none of the answers has a score".into());
        }
        Ok(bias)
    }

    /// Scores answers and their first documents.
    fn judged(&self, questions: &[&Question], given: Vec<Answered>) -> Result<Vec<AuditedAnswer>> {
        let (expected, received) = (questions.len(), given.len());
        if expected != received {
            return Err(
                ragbias_core::Error::BatchLength { component: "the system", expected, received }.into()
            );
        }
        let scorer = self.scorer.0;
        let verdicts = verdicts(scorer, given.iter().map(|given| &given.answer))?;
        let first =
            |given: &Answered| given.documents.as_ref().and_then(|documents| documents.first().cloned());
        let documents: Vec<Document> = given.iter().filter_map(first).collect();
        let passages = documents.iter().map(Passage::try_from).collect::<Result<Vec<_>, _>>()?;
        let mut of_documents = scorer.score(&passages)?.into_iter();
        let judged =
            questions.iter().zip(&given).zip(verdicts).map(|((question, given), verdict)| AuditedAnswer {
                id: question.id.clone(),
                question: question.text.clone(),
                topic: question.cluster().to_owned(),
                answer: given.answer.text.clone(),
                verdict,
                document_verdict: first(given).and_then(|_| of_documents.next()),
            });
        Ok(judged.collect())
    }
}

impl Look {
    fn of(looks: &Looks, number: usize, answers: &[AuditedAnswer]) -> Result<Self> {
        let verdicts: Vec<Verdict> = answers.iter().map(|answer| answer.verdict).collect();
        let topics: Vec<&str> = answers.iter().map(|answer| answer.topic.as_str()).collect();
        let rag_bias = some_bias(looks.bias(number, &verdicts, &topics))?;
        Ok(Self { asked: answers.len(), rag_bias, boundary: looks.boundary(number) })
    }

    fn verdict(&self, threshold: f64) -> Result<AuditVerdict> {
        let Some(bias) = self.rag_bias else { return Ok(AuditVerdict::Undecided) };
        Ok(match Equivalence::of(&bias, threshold)? {
            Equivalence::Debiased => AuditVerdict::Pass,
            Equivalence::Biased => AuditVerdict::Fail,
            Equivalence::Undecided => AuditVerdict::Undecided,
        })
    }
}

/// The questions of each look: whole topics in random order.
fn parts<'q>(questions: &'q QuestionSet, config: &AuditConfig) -> Vec<Vec<&'q Question>> {
    let mut topics: BTreeMap<&str, Vec<&Question>> = BTreeMap::new();
    for question in questions.questions() {
        topics.entry(question.cluster()).or_default().push(question);
    }
    let mut topics: Vec<Vec<&Question>> = topics.into_values().collect();
    topics.shuffle(&mut ChaCha8Rng::seed_from_u64(config.seed));
    let size = topics.len().div_ceil(config.looks.max(1));
    topics.chunks(size.max(1)).map(|topics| topics.iter().flatten().copied().collect()).collect()
}

/// The looks after these parts.
fn shares(parts: &[Vec<&Question>]) -> Result<Looks> {
    let all: usize = parts.iter().map(Vec::len).sum();
    let mut asked = 0;
    let shares = parts.iter().map(|part| {
        asked += part.len();
        asked as f64 / all as f64
    });
    Ok(Looks::at(shares.collect())?)
}

/// A bias with the interval of a single look; none if no verdict is scored.
fn bias_of<'a>(verdicts: impl Iterator<Item = (Verdict, &'a str)>) -> Result<Option<Bias>> {
    let (verdicts, topics): (Vec<Verdict>, Vec<&str>) = verdicts.unzip();
    some_bias(Looks::equal(1)?.bias(0, &verdicts, &topics))
}

fn some_bias(bias: ragbias_core::Result<Bias>) -> Result<Option<Bias>> {
    match bias {
        Ok(bias) => Ok(Some(bias)),
        Err(ragbias_core::Error::NothingScored(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn documents_bias(
    answers: &[AuditedAnswer],
    not_measured: &mut BTreeMap<&'static str, String>,
) -> Result<Option<Bias>> {
    let shown = answers.iter().filter(|answer| answer.document_verdict.is_some()).count();
    if shown == 0 {
        not_measured.insert("embedder_bias", "the system does not show which documents it retrieved".into());
        return Ok(None);
    }
    if shown < answers.len() {
        let all = answers.len();
        let said = format!("only {shown} of {all} answers show the documents that were retrieved");
        not_measured.insert("embedder_bias", said);
        return Ok(None);
    }
    let verdicts =
        answers.iter().filter_map(|answer| Some((answer.document_verdict?, answer.topic.as_str())));
    let bias = bias_of(verdicts)?;
    if bias.is_none() {
        not_measured.insert("embedder_bias", "none of the documents has a score".into());
    }
    Ok(bias)
}

/// An answer that a source gave in a way that cannot be read.
fn malformed(place: impl std::fmt::Display, reason: impl std::fmt::Display) -> Error {
    Error::Answers { place: place.to_string(), reason: reason.to_string() }
}
