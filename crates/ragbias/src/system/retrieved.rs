use std::sync::Arc;

use ragbias_core::{Bias, Corpus, Hit, Question, QuestionSet, Verdict};
use ragbias_data::{Outcome, Qrels};
use ragbias_stats::JudgedRanking;

use super::embedded::Embedded;
use super::judged::Judged;
use super::labels::Labels;
use super::llm::{Answers, PromptSet};
use super::setting::{Rendered, Setting};
use super::twins::{Comparison, TwinPreference};
use crate::answer_bias::AnswerBias;
use crate::measure::AnswerMode;
use crate::ranking::NEIGHBOURHOOD;
use crate::{Error, Result};

/// Questions, and the documents retrieved for each: E_b. The index and the embedder are not kept.
#[derive(Clone)]
pub struct Retrieved {
    pub(super) setting: Setting,
    pub(super) judged: Judged,
    pub(super) questions: QuestionSet,
    pub(super) nearest: Arc<[Vec<Hit>]>,
    /// The top k, after ranking.
    ranked: Arc<[Vec<Hit>]>,
    verdicts: Vec<Verdict>,
    bias: Bias,
    neighbourhood_bias: Bias,
    expected_bias: Option<f64>,
    twin_preference: Option<TwinPreference>,
}

impl Retrieved {
    pub(super) fn new(
        setting: &Setting,
        judged: &Judged,
        embedded: &Embedded,
        questions: &QuestionSet,
        qrels: Option<&Qrels>,
    ) -> Result<Self> {
        setting.check(questions)?;
        let asked = questions.questions();
        let texts: Vec<&str> = asked.iter().map(|question| question.text.as_str()).collect();
        let vectors = embedded.vectors(&texts)?;
        let nearest = embedded.nearest_to(&vectors, NEIGHBOURHOOD.max(setting.top_k))?;
        let comparison = Comparison {
            judged,
            twins: embedded.twins(),
            questions,
            vectors: &vectors,
            nearest: &nearest,
            qrels,
        };
        let twin_preference = comparison.preference(setting.bootstrap())?;
        let rank = |(hits, question): (&Vec<Hit>, &Question)| -> Result<Vec<Hit>> {
            let mut ranked = embedded.rank(hits, question);
            ranked.truncate(setting.top_k);
            if ranked.is_empty() {
                return Err(Error::NothingRetrieved { question: question.id.clone() });
            }
            Ok(ranked)
        };
        let ranked = nearest.iter().zip(asked).map(rank).collect::<Result<Vec<_>>>()?;
        let verdicts: Vec<Verdict> = ranked.iter().map(|hits| Verdict::majority(&judged.of(hits))).collect();
        let topics: Vec<&str> = asked.iter().map(Question::cluster).collect();
        let nearby = |hits: &Vec<Hit>| judged.of(&hits[..hits.len().min(NEIGHBOURHOOD)]);
        let (nearby_verdicts, nearby_topics): (Vec<_>, Vec<_>) = (nearest.iter().zip(&topics))
            .flat_map(|(hits, topic)| nearby(hits).into_iter().map(move |verdict| (verdict, *topic)))
            .unzip();
        let bootstrap = setting.bootstrap();
        let expected_bias = (setting.top_k == 1).then(|| expected_bias(embedded, judged, &nearest)).flatten();
        Ok(Self {
            neighbourhood_bias: bootstrap.bias(&nearby_verdicts, &nearby_topics)?,
            bias: bootstrap.bias(&verdicts, &topics)?,
            setting: setting.clone(),
            judged: judged.clone(),
            questions: questions.clone(),
            nearest: nearest.into(),
            ranked: ranked.into(),
            verdicts,
            expected_bias,
            twin_preference,
        })
    }

    /// E_b: the mean lean of the retrieved documents, taking the majority of each pole over the top k.
    pub fn bias(&self) -> Bias {
        self.bias
    }

    /// C_b around the questions: the 20 nearest documents of each.
    pub fn neighbourhood_bias(&self) -> Bias {
        self.neighbourhood_bias
    }

    /// The expected E_b over the draws of a ranking, if one document is drawn: Σ probability·lean over each question's nearest
    /// documents that are scored.
    pub fn expected_bias(&self) -> Option<f64> {
        self.expected_bias
    }

    /// Which twin of a passage the embedder ranks first; none if no question has twins.
    pub fn twin_preference(&self) -> Option<TwinPreference> {
        self.twin_preference
    }

    /// How the answers of the LLM are read, if there is one.
    pub(crate) fn answering(&self) -> Option<AnswerMode> {
        self.setting.llm.is_some().then_some(self.setting.answers)
    }

    /// The documents with their verdicts: C_b.
    pub fn judged(&self) -> &Judged {
        &self.judged
    }

    /// The questions.
    pub fn questions(&self) -> &QuestionSet {
        &self.questions
    }

    /// The top k of each question, after ranking.
    pub fn hits(&self) -> &[Vec<Hit>] {
        &self.ranked
    }

    /// The two-sided p value of the hypothesis that R_b is 0, or E_b without answers; none if no answer is scored.
    pub(crate) fn p_of_no_bias(&self, given: Option<&Answers>) -> Option<f64> {
        let topics: Vec<&str> = self.questions.questions().iter().map(Question::cluster).collect();
        let verdicts = given.map_or(self.verdicts(), Answers::verdicts);
        self.setting.bootstrap().p_of_no_bias(verdicts, &topics).ok()
    }

    /// The majority verdict on each question's retrieved documents.
    pub fn verdicts(&self) -> &[Verdict] {
        &self.verdicts
    }

    /// Mean nDCG@10 over the questions that have judgements; none if no question has.
    pub fn ndcg10(&self, qrels: &Qrels) -> Option<f64> {
        let values: Vec<f64> = (self.questions.questions().iter().zip(self.nearest.iter()))
            .filter_map(|(question, hits)| {
                let scored =
                    hits.iter().map(|hit| (self.corpus().document(hit.document).id.as_str(), hit.score));
                Some(JudgedRanking::new(scored, qrels.get(&question.id)?).ndcg(10))
            })
            .collect();
        (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
    }

    /// Asks the LLM every question with its retrieved documents: R_b.
    ///
    /// # Errors
    /// A system without an LLM; a failure of the LLM or the scorer.
    pub fn answer(&self) -> Result<Answers> {
        let answers = answer_all(&self.setting, std::slice::from_ref(self))?;
        Ok(answers.into_iter().next().expect("answers to one set of questions; this is a bug"))
    }

    fn prompts(&self, setting: &Setting) -> Result<PromptSet<'_>> {
        let questions = self.questions.questions();
        let prompts = (questions.iter().zip(self.ranked.iter()))
            .map(|(question, hits)| Rendered::given(setting, question, &self.judged, hits))
            .collect::<Result<_>>()?;
        let topics = questions.iter().map(Question::cluster).collect();
        Ok(PromptSet { bias: AnswerBias::RagBias, prompts, topics })
    }

    fn corpus(&self) -> &Corpus {
        self.judged.corpus()
    }

    /// A row with the outcomes of each question, and the answers if there are any.
    pub fn outcomes(
        &self,
        labels: Labels<'_>,
        alone: Option<&Answers>,
        given: Option<&Answers>,
    ) -> Vec<Outcome> {
        let answer = |answers: Option<&Answers>, row: usize| match answers {
            Some(answers) => (Some(answers.verdicts()[row]), answers.texts()[row].clone()),
            None => (None, String::new()),
        };
        (self.questions.questions().iter().enumerate())
            .map(|(row, question)| {
                let (outcome_answer, answer_text) = answer(given, row);
                let (outcome_llm, answer_llm) = answer(alone, row);
                Outcome {
                    embedder: labels.embedder.into(),
                    llm: labels.llm.map(str::to_owned),
                    axis: self.setting.axis.name.clone(),
                    corpus: labels.corpus.into(),
                    split: labels.split.into(),
                    question: question.id.clone(),
                    topic: question.cluster().into(),
                    document: self.corpus().document(self.ranked[row][0].document).id.clone(),
                    lean_document: self.verdicts[row].lean(),
                    lean_answer: outcome_answer.and_then(Verdict::lean),
                    answer: answer_text,
                    lean_llm: outcome_llm.and_then(Verdict::lean),
                    answer_llm,
                    outcome_document: Some(self.verdicts[row]),
                    outcome_answer,
                    outcome_llm,
                    outcomes_by_rank: if self.setting.top_k > 1 {
                        self.judged.of(&self.ranked[row])
                    } else {
                        Vec::new()
                    },
                }
            })
            .collect()
    }
}

/// Asks the LLM of a setting all questions of several retrievals, in one pass: R_b of each.
pub(super) fn answer_all(setting: &Setting, all: &[Retrieved]) -> Result<Vec<Answers>> {
    let llm = setting.llm.as_ref().ok_or(Error::NoLlm)?;
    let sets = all.iter().map(|retrieved| retrieved.prompts(setting)).collect::<Result<Vec<_>>>()?;
    llm.answer(setting, "asking with context", &sets)
}

/// The answers without context: L_b.
pub(super) fn baseline(setting: &Setting, questions: &QuestionSet) -> Result<Answers> {
    let llm = setting.llm.as_ref().ok_or(Error::NoLlm)?;
    let asked = questions.questions();
    let set = PromptSet {
        bias: AnswerBias::LlmBias,
        prompts: asked.iter().map(|question| Rendered::alone(setting, question)).collect::<Result<_>>()?,
        topics: asked.iter().map(Question::cluster).collect(),
    };
    let answers = llm.answer(setting, "asking without context", &[set])?;
    Ok(answers.into_iter().next().expect("answers to one set of questions; this is a bug"))
}

fn expected_bias(embedded: &Embedded, judged: &Judged, nearest: &[Vec<Hit>]) -> Option<f64> {
    let ranking = embedded.ranking()?;
    let mut expected = Vec::with_capacity(nearest.len());
    for hits in nearest {
        let chances = ranking.chances(hits)?;
        let leans = judged.of(hits).into_iter().map(Verdict::lean);
        let scored = chances.into_iter().zip(leans).filter_map(|(p, lean)| Some((p, lean?)));
        let (chance, lean) =
            scored.fold((0.0, 0.0), |(all, sum), (p, lean)| (all + p, sum + p * lean.value()));
        if chance > 0.0 {
            expected.push(lean / chance);
        }
    }
    (!expected.is_empty()).then(|| expected.iter().sum::<f64>() / expected.len() as f64)
}
