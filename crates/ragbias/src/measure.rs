use ragbias_core::limits::{TEMPERATURE, TOP_K};
use ragbias_core::{
    Answer, Answering, Axis, Bias, BiasScorer, Choice, ChoicePrompt, Choices, Chosen, Corpus, Document,
    Embedder, Embeddings, Finish, Generator, Hit, Passage, Progress, Question, QuestionSet, Role, Similarity,
    Unit, VectorIndex, Verdict, in_order,
};
use ragbias_data::{Outcome, Qrels};
use ragbias_index::{ExactIndex, HnswConfig, HnswIndex};
use ragbias_stats::{ClusterBootstrap, JudgedRanking};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::embedding::embed_all;
use crate::measured::{AnswerBias, Coverage, Measured, NothingScored};
use crate::prompt::prompt;
use crate::ranking::StochasticRanking;
use crate::{Error, Result};

/// How a measurement retrieves and resamples.
///
/// | parameter | default | purpose | range |
/// | --- | --- | --- | --- |
/// | `top_k` | 1 | documents given to the LLM; E_b takes the majority of each pole over them | 1 to 1000; more than the corpus has is all of it |
/// | `index` | exact | exact or HNSW search | |
/// | `temperature` | 0 | above 0, the top k are drawn from the 20 (or k) nearest, by the softmax of cosine / temperature | 0 to 1,000,000 |
/// | `seed` | 0 | of the draws and of the bootstrap | any |
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct MeasureConfig {
    /// Documents given to the LLM.
    pub top_k: usize,
    /// How neighbours are found.
    pub index: IndexKind,
    /// Temperature of stochastic ranking; 0 for none.
    pub temperature: f64,
    /// Seed of the draws and of the bootstrap.
    pub seed: u64,
}

impl Default for MeasureConfig {
    fn default() -> Self {
        Self { top_k: 1, index: IndexKind::Exact, temperature: 0.0, seed: 0 }
    }
}

impl MeasureConfig {
    /// Checks every range.
    ///
    /// # Errors
    /// [`Error::Setting`] for the first value outside its own.
    pub fn check(&self) -> Result<()> {
        TOP_K.check("top-k", self.top_k)?;
        Ok(TEMPERATURE.check("temperature", self.temperature)?)
    }
}

/// How neighbours are found.
///
/// Exactly, unless asked otherwise: every embedder needs an index of its own, and while a graph of 23,000 documents is built,
/// some 90,000 questions are answered exactly (`docs/performance.md`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IndexKind {
    /// Every document is compared.
    Exact,
    /// A graph is walked.
    Hnsw,
}

impl IndexKind {
    /// An index of this kind over an embedder's vectors.
    pub(crate) fn build(self, similarity: Similarity, documents: Embeddings) -> Result<Box<dyn VectorIndex>> {
        Ok(match self {
            Self::Exact => Box::new(ExactIndex::by(similarity, documents)?),
            Self::Hnsw => Box::new(HnswIndex::build_by(similarity, documents, HnswConfig::default())?),
        })
    }
}

/// Documents near a question that C_b is measured over, question by question; also the pool of stochastic ranking.
pub(crate) const NEIGHBOURHOOD: usize = 20;

/// One measurement: the parts of a RAG system, and what it is asked.
pub struct Measure<'a> {
    /// The axis.
    pub axis: &'a Axis,
    /// What is asked.
    pub questions: &'a QuestionSet,
    /// What is retrieved from.
    pub corpus: &'a Corpus,
    /// What retrieves.
    pub embedder: &'a dyn Embedder,
    /// What answers; without it, L_b and R_b are not measured.
    pub generator: Option<&'a dyn Generator>,
    /// What judges documents.
    pub document_scorer: &'a dyn BiasScorer,
    /// What judges answers; choices need no judge.
    pub answer_scorer: &'a dyn BiasScorer,
    /// Judgements for nDCG@10.
    pub qrels: Option<&'a Qrels>,
    /// How it is measured.
    pub config: MeasureConfig,
    /// What its rows are called in tables.
    pub labels: Labels<'a>,
}

/// What components and data are called in tables.
#[derive(Debug, Clone, Copy, Default)]
pub struct Labels<'a> {
    /// The embedder.
    pub embedder: &'a str,
    /// The LLM; empty where only retrieval is measured.
    pub llm: &'a str,
    /// The corpus.
    pub corpus: &'a str,
    /// The part of the questions.
    pub split: &'a str,
}

/// Answers to all questions, scored.
struct Answers {
    texts: Vec<String>,
    verdicts: Vec<Verdict>,
    /// Those that were made, where answers are choices.
    choices: Vec<Choice>,
}

impl Answers {
    /// Mean over the choices that were made.
    fn position_bias(&self) -> Option<f64> {
        let sum: f64 = self.choices.iter().map(|choice| choice.position_bias).sum();
        (!self.choices.is_empty()).then(|| sum / self.choices.len() as f64)
    }
}

impl Measure<'_> {
    /// Runs the questions through retrieve → generate → score.
    ///
    /// # Errors
    /// Settings out of range and questions without choices, before any work; then whatever a component fails with.
    pub fn run(&self, progress: &dyn Progress) -> Result<Measured> {
        self.check()?;
        let questions = self.questions.questions();
        let texts: Vec<&str> = questions.iter().map(|question| question.text.as_str()).collect();
        let full_texts: Vec<String> = self.corpus.documents().iter().map(Document::full_text).collect();
        let documents: Vec<&str> = full_texts.iter().map(String::as_str).collect();

        let embed = |texts: &[&str], role, name| embed_all(self.embedder, texts, role, name, progress);
        let document_vectors = embed(&documents, Role::Document, "embedding documents")?;
        let question_vectors = embed(&texts, Role::Question, "embedding questions")?;
        let index = self.config.index.build(self.embedder.similarity(), document_vectors)?;
        let nearest = index.search(&question_vectors, NEIGHBOURHOOD.max(self.config.top_k))?;
        let retrieved: Vec<Vec<Hit>> =
            nearest.iter().zip(questions).map(|(hits, q)| self.rank(hits, q)).collect();

        let document_verdicts = self.score_documents()?;
        let verdicts_of = |hits: &[Hit]| -> Vec<Verdict> {
            hits.iter().map(|hit| document_verdicts[hit.document.index()]).collect()
        };
        let embedder_verdicts: Vec<Verdict> =
            retrieved.iter().map(|hits| Verdict::majority(&verdicts_of(hits))).collect();

        let topics: Vec<&str> = questions.iter().map(Question::cluster).collect();
        let bootstrap = ClusterBootstrap::new(10_000, self.config.seed);
        let nearby: Vec<(Verdict, &str)> = nearest
            .iter()
            .zip(&topics)
            .flat_map(|(hits, topic)| {
                verdicts_of(&hits[..hits.len().min(NEIGHBOURHOOD)]).into_iter().map(move |v| (v, *topic))
            })
            .collect();
        let (nearby_verdicts, nearby_topics): (Vec<_>, Vec<_>) = nearby.into_iter().unzip();
        // Before the LLM is asked: what cannot be measured should not have to be paid for.
        let corpus_bias = bootstrap.bias(&document_verdicts, &document_topics(self.corpus.documents()))?;
        let neighbourhood_bias = bootstrap.bias(&nearby_verdicts, &nearby_topics)?;
        let embedder_bias = bootstrap.bias(&embedder_verdicts, &topics)?;

        let (without, with) = match self.generator {
            Some(generator) => {
                let contexts: Vec<Vec<&Document>> = retrieved
                    .iter()
                    .map(|hits| hits.iter().map(|hit| self.corpus.document(hit.document)).collect())
                    .collect();
                let nothing = vec![Vec::new(); questions.len()];
                let without = self.answer(generator, &nothing, "asking without context", progress)?;
                let with = self.answer(generator, &contexts, "asking with context", progress)?;
                (Some(without), Some(with))
            }
            None => (None, None),
        };
        let mut nothing_scored = Vec::new();
        let mut bias = |name: AnswerBias, answers: &Option<Answers>| -> Result<Option<Bias>> {
            let Some(answers) = answers else { return Ok(None) };
            match bootstrap.bias(&answers.verdicts, &topics) {
                Ok(bias) => Ok(Some(bias)),
                Err(ragbias_core::Error::NothingScored(counts)) => {
                    nothing_scored.push(NothingScored { bias: name, counts });
                    Ok(None)
                }
                Err(error) => Err(error.into()),
            }
        };
        let (llm_bias, rag_bias) = (bias(AnswerBias::LlmBias, &without)?, bias(AnswerBias::RagBias, &with)?);
        let choices = [&without, &with].into_iter().flatten().flat_map(|answers| &answers.choices);
        Ok(Measured {
            llm_bias,
            corpus_bias,
            neighbourhood_bias,
            embedder_bias,
            expected_embedder_bias: self.expected_embedder_bias(&nearest, &document_verdicts),
            rag_bias,
            nothing_scored,
            position_bias: with.as_ref().and_then(Answers::position_bias),
            coverage: Coverage::of(choices),
            ndcg10: self.ndcg10(&nearest),
            outcomes: self.outcomes(&retrieved, &embedder_verdicts, without, with),
        })
    }

    fn check(&self) -> Result<()> {
        self.config.check()?;
        for scorer in [self.document_scorer, self.answer_scorer] {
            if scorer.axis() != self.axis.name {
                let (expected, received) = (self.axis.name.clone(), scorer.axis().into());
                return Err(Error::ScorerAxis { expected, received });
            }
        }
        if self.generator.is_some() && self.axis.answering == Answering::Choice {
            for question in self.questions.questions() {
                self.choice_prompt(question, "")?;
            }
        }
        Ok(())
    }

    /// The top k, or at a temperature k draws.
    fn rank(&self, nearest: &[Hit], question: &Question) -> Vec<Hit> {
        let mut hits = self.ranking().order(nearest.to_vec(), &question.id);
        hits.truncate(self.config.top_k);
        hits
    }

    fn ranking(&self) -> StochasticRanking {
        StochasticRanking { temperature: self.config.temperature, seed: self.config.seed }
    }

    /// What E_b is on average over the draws of a temperature: Σ chance·lean of each question's neighbours, those that are
    /// scored; none where the majority of several documents counts.
    fn expected_embedder_bias(&self, nearest: &[Vec<Hit>], verdicts: &[Verdict]) -> Option<f64> {
        if self.config.temperature == 0.0 || self.config.top_k != 1 {
            return None;
        }
        let expected: Vec<f64> = (nearest.iter())
            .filter_map(|hits| {
                let leans = hits.iter().map(|hit| verdicts[hit.document.index()].lean());
                let scored = self
                    .ranking()
                    .chances(hits)
                    .into_iter()
                    .zip(leans)
                    .filter_map(|(p, lean)| Some((p, lean?)));
                let (chance, lean) =
                    scored.fold((0.0, 0.0), |(all, sum), (p, lean)| (all + p, sum + p * lean.value()));
                (chance > 0.0).then(|| lean / chance)
            })
            .collect();
        (!expected.is_empty()).then(|| expected.iter().sum::<f64>() / expected.len() as f64)
    }

    fn score_documents(&self) -> Result<Vec<Verdict>> {
        let documents = self.corpus.documents();
        let passages = documents.iter().map(Passage::try_from).collect::<ragbias_core::Result<Vec<_>>>()?;
        Ok(self.document_scorer.score(&passages)?)
    }

    fn answer(
        &self,
        generator: &dyn Generator,
        contexts: &[Vec<&Document>],
        name: &str,
        progress: &dyn Progress,
    ) -> Result<Answers> {
        let questions = self.questions.questions();
        let prompts: Vec<String> = (questions.iter().zip(contexts))
            .map(|(question, context)| prompt(self.axis.answering, context, &question.text))
            .collect();
        let step = progress.begin(name, questions.len() as u64, Unit::Items);
        match self.axis.answering {
            Answering::Name => {
                let prompts: Vec<&str> = prompts.iter().map(String::as_str).collect();
                let answers = in_order(prompts.len(), |keep| {
                    generator.generate(&prompts, &|number, answer| {
                        step.advance(1);
                        keep(number, answer)
                    })
                })?;
                drop(step);
                self.judge(answers)
            }
            Answering::Choice => {
                let prompts = (questions.iter().zip(&prompts))
                    .map(|(question, prompt)| self.choice_prompt(question, prompt))
                    .collect::<Result<Vec<_>>>()?;
                let chosen = in_order(prompts.len(), |keep| {
                    generator.choose(&prompts, &|number, chosen| {
                        step.advance(1);
                        keep(number, chosen)
                    })
                })?;
                let text = |(chosen, asked): (&Chosen, &ChoicePrompt<'_>)| match chosen.verdict() {
                    Verdict::POSITIVE => asked.positive.to_owned(),
                    Verdict::NEGATIVE => asked.negative.to_owned(),
                    _ => String::new(),
                };
                Ok(Answers {
                    texts: chosen.iter().zip(&prompts).map(text).collect(),
                    verdicts: chosen.iter().map(Chosen::verdict).collect(),
                    choices: chosen.iter().filter_map(Chosen::choice).copied().collect(),
                })
            }
        }
    }

    fn choice_prompt<'p>(&self, question: &'p Question, prompt: &'p str) -> Result<ChoicePrompt<'p>> {
        match &question.choices {
            Some(Choices { negative, positive }) => Ok(ChoicePrompt { prompt, negative, positive }),
            None => Err(Error::NoChoices { axis: self.axis.name.clone(), question: question.id.clone() }),
        }
    }

    /// Scores answers. A refusal is none, whoever it names; of what was cut, only a pole that came counts.
    fn judge(&self, answers: Vec<Answer>) -> Result<Answers> {
        let said = |answer: &&Answer| answer.finish != Finish::Refused && !answer.text.is_empty();
        let passages: Vec<Passage<'_>> =
            answers.iter().filter(said).map(|answer| answer.text.as_str().into()).collect();
        let mut scored = self.answer_scorer.score(&passages)?.into_iter();
        let verdicts = (answers.iter())
            .map(|answer| {
                let verdict = if said(&answer) { scored.next() } else { None };
                answer.finish.verdict(verdict.unwrap_or(Verdict::Unscored))
            })
            .collect();
        let texts = answers.into_iter().map(|answer| answer.text).collect();
        Ok(Answers { texts, verdicts, choices: Vec::new() })
    }

    fn ndcg10(&self, nearest: &[Vec<Hit>]) -> Option<f64> {
        let qrels = self.qrels?;
        let values: Vec<f64> = (self.questions.questions().iter().zip(nearest))
            .filter_map(|(question, hits)| {
                let scored =
                    hits.iter().map(|hit| (self.corpus.document(hit.document).id.as_str(), hit.score));
                Some(JudgedRanking::new(scored, qrels.get(&question.id)?).ndcg(10))
            })
            .collect();
        (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
    }

    fn outcomes(
        &self,
        retrieved: &[Vec<Hit>],
        embedder_verdicts: &[Verdict],
        without: Option<Answers>,
        with: Option<Answers>,
    ) -> Vec<Outcome> {
        let answer = |answers: &Option<Answers>, row: usize| match answers {
            Some(answers) => (Some(answers.verdicts[row]), answers.texts[row].clone()),
            None => (None, String::new()),
        };
        (self.questions.questions().iter().enumerate())
            .map(|(row, question)| {
                let (outcome_answer, answer_text) = answer(&with, row);
                let (outcome_llm, answer_llm) = answer(&without, row);
                Outcome {
                    embedder: self.labels.embedder.into(),
                    llm: self.labels.llm.into(),
                    axis: self.axis.name.clone(),
                    corpus: self.labels.corpus.into(),
                    split: self.labels.split.into(),
                    question: question.id.clone(),
                    topic: question.cluster().into(),
                    document: self.corpus.document(retrieved[row][0].document).id.clone(),
                    lean_document: embedder_verdicts[row].lean(),
                    lean_answer: outcome_answer.and_then(Verdict::lean),
                    answer: answer_text,
                    lean_llm: outcome_llm.and_then(Verdict::lean),
                    answer_llm,
                    outcome_document: Some(embedder_verdicts[row]),
                    outcome_answer,
                    outcome_llm,
                }
            })
            .collect()
    }
}

/// A document's topic where its metadata have one; else it is a cluster of its own.
fn document_topics<'d>(documents: &'d [Document]) -> Vec<&'d str> {
    let topic = |document: &'d Document| {
        document.metadata.get("topic").and_then(Value::as_str).unwrap_or(&document.id)
    };
    documents.iter().map(topic).collect()
}

#[cfg(test)]
mod tests {
    use ragbias_core::testing::{EchoGenerator, HashEmbedder};
    use ragbias_core::{ContentId, Keep, Silent};
    use ragbias_data::load_axis;
    use ragbias_score::{Gold, Lexicon};
    use serde_json::json;

    use super::*;

    /// Two questions; of each, the passage that shares its words leans one way.
    fn corpus() -> Corpus {
        let document = |id: &str, text: &str, lean: i64| -> Document {
            serde_json::from_value(json!({ "_id": id, "text": text, "metadata": { "lean": lean } })).unwrap()
        };
        Corpus::new(vec![
            document("w1", "Ada Lovelace wrote programs for the engine", 1),
            document("m1", "Charles Babbage designed machines", -1),
            document("w2", "Rosalind Franklin made images of crystals", 1),
            document("m2", "Max Perutz solved the structure of haemoglobin", -1),
        ])
        .unwrap()
    }

    fn questions() -> QuestionSet {
        let question =
            |id: &str, text: &str| Question { id: id.into(), text: text.into(), topic: None, choices: None };
        QuestionSet::new(vec![
            question("q1", "Who wrote programs for the engine"),
            question("q2", "Who made images of crystals"),
        ])
        .unwrap()
    }

    fn measure(config: MeasureConfig, swap: bool) -> Measured {
        let axis = load_axis("gender").unwrap();
        let mut documents = corpus().documents().to_vec();
        if swap {
            for document in &mut documents {
                let lean = document.metadata["lean"].as_i64().unwrap();
                document.metadata.insert("lean".into(), json!(-lean));
            }
        }
        Measure {
            axis: &axis,
            questions: &questions(),
            corpus: &Corpus::new(documents).unwrap(),
            embedder: &HashEmbedder::new(512, 1),
            generator: Some(&EchoGenerator),
            document_scorer: &Gold::new("gender"),
            answer_scorer: &Lexicon::bundled("gender").unwrap(),
            qrels: None,
            config,
            labels: Labels::default(),
        }
        .run(&Silent)
        .unwrap()
    }

    #[test]
    fn each_part_is_measured_where_it_stands() {
        let measured = measure(MeasureConfig::default(), false);
        assert_eq!(measured.corpus_bias.value(), 0.0);
        assert_eq!(measured.embedder_bias.value(), 1.0);
        // The echo answers with the context's first line, which names a woman; without context, with the question.
        assert_eq!(measured.rag_bias.unwrap().value(), 1.0);
        assert_eq!(measured.llm_bias.unwrap().rates().neither, 1.0);
        let outcome = &measured.outcomes[0];
        assert_eq!((outcome.document.as_str(), outcome.topic.as_str()), ("w1", "q1"));
    }

    #[test]
    fn swapping_the_labels_negates_corpus_and_embedder_bias() {
        let (a, b) = (measure(MeasureConfig::default(), false), measure(MeasureConfig::default(), true));
        assert_eq!(a.embedder_bias.value(), -b.embedder_bias.value());
        assert_eq!(a.neighbourhood_bias.value(), -b.neighbourhood_bias.value());
    }

    #[test]
    fn top_k_larger_than_the_corpus_takes_all_of_it() {
        let measured = measure(MeasureConfig { top_k: 50, ..MeasureConfig::default() }, false);
        assert_eq!(measured.embedder_bias.value(), 0.0);
        assert_eq!(measured.embedder_bias.rates().neither, 1.0, "two of four is no majority");
    }

    #[test]
    fn a_high_temperature_shuffles_and_a_low_one_does_not() {
        let at = |temperature| measure(MeasureConfig { temperature, ..MeasureConfig::default() }, false);
        assert_eq!(at(1e-6).outcomes, at(0.0).outcomes);
        assert_eq!(at(1e6).outcomes, at(1e6).outcomes, "draws are seeded");
    }

    /// Answers the n-th of its prompts, with context and without, in the n-th way.
    struct Scripted(Vec<Answer>);

    impl Generator for Scripted {
        fn id(&self) -> ContentId {
            ContentId::of(b"scripted")
        }
        fn generate(&self, prompts: &[&str], keep: &Keep<'_, Answer>) -> ragbias_core::Result<()> {
            (0..prompts.len()).try_for_each(|number| keep(number, self.0[number].clone()))
        }
        fn choose(&self, prompts: &[ChoicePrompt<'_>], keep: &Keep<'_, Chosen>) -> ragbias_core::Result<()> {
            let choice = Choice { log_odds: 1.0, position_bias: 0.5, coverage: 0.75 };
            (0..prompts.len()).try_for_each(|number| {
                keep(number, if number == 0 { Chosen::Choice(choice) } else { Chosen::Refused })
            })
        }
    }

    fn scripted(axis: &str, answers: Vec<Answer>) -> Measured {
        let (axis, gold) = (load_axis(axis).unwrap(), Gold::new(axis));
        let lexicon = Lexicon::bundled("gender").unwrap();
        let answer_scorer: &dyn BiasScorer = if axis.name == "gender" { &lexicon } else { &gold };
        let mut set = questions().questions().to_vec();
        for question in &mut set {
            question.choices = Some(Choices { negative: "no".into(), positive: "yes".into() });
        }
        Measure {
            axis: &axis,
            questions: &QuestionSet::new(set).unwrap(),
            corpus: &corpus(),
            embedder: &HashEmbedder::new(512, 1),
            generator: Some(&Scripted(answers)),
            document_scorer: &gold,
            answer_scorer,
            qrels: None,
            config: MeasureConfig::default(),
            labels: Labels::default(),
        }
        .run(&Silent)
        .unwrap()
    }

    #[test]
    fn a_refusal_is_no_answer_whoever_it_names_and_a_cut_one_counts_where_a_pole_came() {
        let measured = scripted(
            "gender",
            vec![Answer::refused("I will not name Ada Lovelace"), Answer::cut("Marie Curie, who")],
        );
        let bias = measured.rag_bias.unwrap();
        assert_eq!((bias.value(), bias.n(), bias.asked(), bias.rates().refused), (1.0, 1, 2, 0.5));
        let outcomes: Vec<_> =
            measured.outcomes.iter().map(|outcome| outcome.outcome_answer.unwrap()).collect();
        assert_eq!(outcomes, [Verdict::Refused, Verdict::POSITIVE]);
        assert_eq!(measured.outcomes[0].answer, "I will not name Ada Lovelace");
        assert_eq!(measured.outcomes[0].lean_answer, None);
    }

    #[test]
    fn answers_of_which_none_can_be_scored_leave_the_rest_of_the_measurement() {
        let measured = scripted("gender", vec![Answer::cut("A person who"), Answer::cut("")]);
        assert_eq!((measured.llm_bias, measured.rag_bias), (None, None));
        assert_eq!(measured.embedder_bias.value(), 1.0);
        assert_eq!(measured.outcomes[0].answer, "A person who");
        let [llm, rag] = measured.nothing_scored[..] else { panic!("{:?}", measured.nothing_scored) };
        assert_eq!((llm.bias, rag.bias), (AnswerBias::LlmBias, AnswerBias::RagBias));
        assert_eq!(rag.to_string(), "R_b: none of the 2 answers could be scored (2 cut)");
        assert!(rag.hint().contains("--max-new-tokens"), "{}", rag.hint());
        let json = serde_json::to_value(&measured).unwrap();
        assert_eq!(
            json["nothing_scored"][0],
            json!({ "bias": "llm_bias", "positive": 0, "negative": 0, "both": 0,
            "neither": 0, "unscored": 0, "refused": 0, "cut": 2 })
        );
    }

    #[test]
    fn a_refused_choice_is_no_choice_and_takes_no_part_in_coverage() {
        let measured = scripted("politics", Vec::new());
        let bias = measured.rag_bias.unwrap();
        assert_eq!((bias.value(), bias.n(), bias.asked(), bias.counts().refused), (1.0, 1, 2, 1));
        assert_eq!(measured.position_bias, Some(0.5));
        assert_eq!(measured.coverage, Some(Coverage { mean: 0.75, least: 0.75 }));
        let answers: Vec<_> = measured.outcomes.iter().map(|outcome| outcome.answer.as_str()).collect();
        assert_eq!(answers, ["yes", ""]);
    }

    #[test]
    fn a_question_without_choices_is_refused_before_any_work() {
        let axis = load_axis("politics").unwrap();
        let gold = Gold::new("politics");
        let mut set = questions().questions().to_vec();
        set[0].choices = Some(Choices { negative: "a".into(), positive: "b".into() });
        let error = Measure {
            axis: &axis,
            questions: &QuestionSet::new(set).unwrap(),
            corpus: &corpus(),
            embedder: &HashEmbedder::new(8, 1),
            generator: Some(&EchoGenerator),
            document_scorer: &gold,
            answer_scorer: &gold,
            qrels: None,
            config: MeasureConfig::default(),
            labels: Labels::default(),
        }
        .run(&Silent)
        .unwrap_err();
        assert!(error.to_string().starts_with("question `q2` has no `choices`"), "{error}");
    }
}
