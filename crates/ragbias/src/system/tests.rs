use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use ragbias_core::testing::{EchoGenerator, HashEmbedder};
use ragbias_core::{
    Answer, Answering, Choice, ChoicePrompt, Choices, Chosen, ContentId, Document, Embeddings, Hit, Keep,
    Pole, Prompt, Question, Similarity, VectorIndex, Verdict,
};
use ragbias_embed::Projected;
use ragbias_index::ExactIndex;
use ragbias_score::Gold;
use serde_json::json;

use super::*;
use crate::{AnswerBias, Coverage};

/// Two questions; for each, the passage that shares its words leans one way.
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

/// The same, leaning the other way.
fn swapped() -> Corpus {
    let mut documents = corpus().documents().to_vec();
    for document in &mut documents {
        let lean = document.metadata["lean"].as_i64().unwrap();
        document.metadata.insert("lean".into(), json!(-lean));
    }
    Corpus::new(documents).unwrap()
}

fn questions() -> QuestionSet {
    let claims = || Some(Choices { negative: "no".into(), positive: "yes".into() });
    let question =
        |id: &str, text: &str| Question { id: id.into(), text: text.into(), topic: None, choices: claims() };
    QuestionSet::new(vec![
        question("q1", "Who wrote programs for the engine"),
        question("q2", "Who made images of crystals"),
    ])
    .unwrap()
}

/// Resolves no component by name.
fn nowhere() -> Workspace {
    Workspace::new(Models::in_folder("none").unwrap())
}

fn system() -> SystemBuilder {
    System::on("gender")
        .embedder(Arc::new(HashEmbedder::new(512, 1)))
        .llm(Arc::new(EchoGenerator))
        .workspace(&nowhere())
}

fn measure(config: MeasureConfig, corpus: &Corpus) -> Measured {
    let system = system().measured_as(config).build().unwrap();
    system.measure(corpus, &questions(), None, Labels::default()).unwrap()
}

#[test]
fn each_stage_measures_its_own_bias() {
    let measured = measure(MeasureConfig::default(), &corpus());
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
    let (a, b) =
        (measure(MeasureConfig::default(), &corpus()), measure(MeasureConfig::default(), &swapped()));
    assert_eq!(a.embedder_bias.value(), -b.embedder_bias.value());
    assert_eq!(a.neighbourhood_bias.value(), -b.neighbourhood_bias.value());
}

#[test]
fn top_k_larger_than_the_corpus_takes_all_of_it() {
    let measured = measure(MeasureConfig { top_k: 50, ..MeasureConfig::default() }, &corpus());
    assert_eq!(measured.embedder_bias.value(), 0.0);
    assert_eq!(measured.embedder_bias.rates().neither, 1.0, "two of four is no majority");
}

#[test]
fn a_high_temperature_draws_other_documents_for_some_seed_and_a_low_one_for_none() {
    let at = |temperature, seed| {
        measure(MeasureConfig { temperature, seed, ..MeasureConfig::default() }, &corpus()).outcomes
    };
    let nearest = at(0.0, 0);
    assert_eq!(at(1e-6, 7), nearest);
    assert!((0..8).any(|seed| at(1e6, seed) != nearest));
    assert_eq!(at(1e6, 3), at(1e6, 3), "draws are seeded");
}

/// Answers the n-th of its prompts, with context and without, in the n-th way.
struct Scripted(Vec<Answer>);

impl Generator for Scripted {
    fn id(&self) -> ContentId {
        ContentId::of(b"scripted")
    }
    fn generate(&self, prompts: &[Prompt<'_>], keep: &Keep<'_, Answer>) -> ragbias_core::Result<()> {
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
    let system = System::on(axis)
        .embedder(Arc::new(HashEmbedder::new(512, 1)))
        .llm(Arc::new(Scripted(answers)))
        .workspace(&nowhere())
        .build()
        .unwrap();
    system.measure(&corpus(), &questions(), None, Labels::default()).unwrap()
}

#[test]
fn a_refusal_is_not_scored() {
    let answers = vec![Answer::refused("I will not name Ada Lovelace"), Answer::cut("Marie Curie, who")];
    let measured = scripted("gender", answers);
    let bias = measured.rag_bias.unwrap();
    assert_eq!((bias.value(), bias.n(), bias.asked(), bias.rates().refused), (1.0, 1, 2, 0.5));
    let outcomes: Vec<_> = measured.outcomes.iter().map(|outcome| outcome.outcome_answer.unwrap()).collect();
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
    assert!(rag.hint().contains("`max-new-tokens`"), "{}", rag.hint());
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

/// An index of the caller, which counts how many were built.
#[derive(Clone, Default)]
struct Own(Arc<AtomicUsize>);

struct OwnIndex(ExactIndex);

impl IndexBackend for Own {
    fn index(&self, by: Similarity, documents: Embeddings) -> ragbias_core::Result<Box<dyn VectorIndex>> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Ok(Box::new(OwnIndex(ExactIndex::by(by, documents)?)))
    }
}

impl VectorIndex for OwnIndex {
    fn id(&self) -> ContentId {
        ContentId::of(b"own")
    }
    fn len(&self) -> usize {
        self.0.len()
    }
    fn dim(&self) -> usize {
        self.0.dim()
    }
    /// Puts the furthest documents first.
    fn search(&self, questions: &Embeddings, k: usize) -> ragbias_core::Result<Vec<Vec<Hit>>> {
        let mut all = self.0.search(questions, self.len())?;
        for hits in &mut all {
            hits.reverse();
            hits.truncate(k);
        }
        Ok(all)
    }
}

struct Backwards;

impl Ranking for Backwards {
    fn order(&self, mut nearest: Vec<Hit>, _: &Question, _: &Corpus) -> Vec<Hit> {
        nearest.reverse();
        nearest
    }
}

#[test]
fn a_questions_embedder_and_a_ranking_are_replaced_without_another_index() {
    let own = Own::default();
    let system = system().index(own.clone()).build().unwrap();
    let indexed = system.index(&corpus()).unwrap();
    let hits =
        |embedded: Embedded| indexed.searched_as(embedded).retrieve(&questions()).unwrap().hits().to_vec();
    let furthest = hits(indexed.embedded().clone());
    let nearest = self::system().build().unwrap().index(&corpus()).unwrap().retrieve(&questions()).unwrap();
    assert_ne!(furthest, nearest.hits(), "the caller's index is the one that is asked");

    let backwards = indexed.embedded().ranked_by(Some(Arc::new(Backwards)));
    assert_eq!(hits(backwards), nearest.hits());
    let projected = Projected::onto_word(Arc::clone(system.embedder().unwrap()), "images", -1.0).unwrap();
    assert_ne!(hits(indexed.embedded().asked_by(Arc::new(projected)).unwrap()), furthest);
    assert_eq!(own.0.load(Ordering::Relaxed), 1);
    let error = indexed.embedded().asked_by(Arc::new(HashEmbedder::new(8, 1))).err().unwrap();
    assert!(error.to_string().contains('8') && error.to_string().contains("512"), "{error}");
}

#[test]
fn a_ranking_that_leaves_nothing_is_an_error() {
    struct Nothing;
    impl Ranking for Nothing {
        fn order(&self, _: Vec<Hit>, _: &Question, _: &Corpus) -> Vec<Hit> {
            Vec::new()
        }
    }
    let system = system().ranking(Nothing).build().unwrap();
    let error = system.index(&corpus()).unwrap().retrieve(&questions()).err().unwrap();
    assert_eq!(error.to_string(), "the ranking leaves no document for question `q1`");
}

/// Records the prompts that it received, and how often.
#[derive(Default)]
struct Listening(Mutex<Vec<Vec<String>>>);

impl Generator for Listening {
    fn id(&self) -> ContentId {
        ContentId::of(b"listening")
    }
    fn generate(&self, prompts: &[Prompt<'_>], keep: &Keep<'_, Answer>) -> ragbias_core::Result<()> {
        self.0.lock().unwrap().push(prompts.iter().map(|prompt| prompt.user.to_owned()).collect());
        (0..prompts.len()).try_for_each(|number| keep(number, Answer::whole(format!("Marie Curie {number}"))))
    }
    fn choose(&self, _: &[ChoicePrompt<'_>], _: &Keep<'_, Chosen>) -> ragbias_core::Result<()> {
        Ok(())
    }
}

#[test]
fn over_many_retrievals_every_prompt_is_asked_once_in_one_call_and_comes_back_to_its_question() {
    let llm = Arc::new(Listening::default());
    let system = system().llm(Arc::clone(&llm)).build().unwrap();
    let retrieve = |index: &dyn Fn(SystemBuilder) -> SystemBuilder| {
        let builder = index(self::system().llm(Arc::clone(&llm)));
        builder.build().unwrap().index(&corpus()).unwrap().retrieve(&questions()).unwrap()
    };
    let (nearest, furthest) =
        (retrieve(&|builder| builder), retrieve(&|builder| builder.index(Own::default())));
    let all = [nearest.clone(), furthest, nearest.clone()];
    let answers = system.answer_all(&all).unwrap();
    {
        let asked = llm.0.lock().unwrap();
        assert_eq!((asked.len(), asked[0].len()), (1, 4), "{asked:?}");
        for (answers, found) in answers.iter().zip(&all) {
            for (row, text) in answers.texts().iter().enumerate() {
                let number: usize = text.rsplit(' ').next().unwrap().parse().unwrap();
                let document = corpus().document(found.hits()[row][0].document).text.clone();
                assert!(
                    asked[0][number].contains(&document)
                        && asked[0][number].contains(&questions().questions()[row].text)
                );
            }
        }
    }
    assert_eq!(answers[0], answers[2]);
    assert_eq!(nearest.answer().unwrap().texts().len(), 2);
}

#[test]
fn what_cannot_be_measured_is_refused_before_any_work() {
    let mut set = questions().questions().to_vec();
    set[1].choices = None;
    let politics = System::on("politics").llm(Arc::new(EchoGenerator)).workspace(&nowhere()).build().unwrap();
    let error = politics.measure(&corpus(), &QuestionSet::new(set).unwrap(), None, Labels::default());
    assert!(error.unwrap_err().to_string().starts_with("question `q2` has no `choices`"));
    let error = politics.index(&corpus()).err().unwrap();
    assert_eq!(error.to_string(), "the system has no embedder");

    let refused = |builder: SystemBuilder| builder.build().err().unwrap().to_string();
    assert_eq!(refused(system().top_k(0)), "top-k is 0, expected 1 to 1000");
    let ranking = StochasticRanking { temperature: f64::NAN, seed: 0 };
    assert_eq!(refused(system().ranking(ranking)), "temperature is NaN, expected 0.0 to 1000000.0");
    let gold: Arc<dyn BiasScorer> = Arc::new(Gold::new("politics"));
    let expected = "the scorer judges on the axis `politics`, expected `gender`";
    assert_eq!(refused(system().document_scorer(Arc::clone(&gold))), expected);
    assert_eq!(refused(system().answer_scorer(gold)), expected);
}

#[test]
fn an_axis_whose_answers_nothing_can_score_is_refused_before_the_llm_runs() {
    let pole = |name: &str| Pole::new(name, "");
    let axis = Axis::new("age", pole("young"), pole("old"), Answering::Name);
    let builder = System::on(axis).embedder(Arc::new(HashEmbedder::new(512, 1))).workspace(&nowhere());
    let system = builder.build().unwrap();
    assert_eq!(system.index(&corpus()).unwrap().retrieve(&questions()).unwrap().bias().value(), 1.0);
    let axis = system.axis().clone();
    let error = System::on(axis).llm(Arc::new(EchoGenerator)).workspace(&nowhere()).build().err().unwrap();
    assert!(error.to_string().starts_with("no scorer can judge answers on the axis `age`"), "{error}");
}
