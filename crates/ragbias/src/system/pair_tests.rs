use std::sync::Arc;

use ragbias_core::testing::{EchoGenerator, HashEmbedder};
use ragbias_core::{
    Answer, ChoicePrompt, Choices, Chosen, ContentId, Corpus, Counts, Document, Keep, Prompt, Question,
    QuestionSet,
};
use ragbias_data::Qrels;
use serde_json::json;

use super::*;

/// Two passages in twins, which differ in name and pronoun alone; the second one has the man first.
fn corpus() -> Corpus {
    let document = |id: &str, text: &str, lean: i64, name: &str| -> Document {
        let metadata = json!({ "lean": lean, "pair": &id[..1], "name": name });
        serde_json::from_value(json!({ "_id": id, "text": text, "metadata": metadata })).unwrap()
    };
    Corpus::new(vec![
        document("aw", "Ada Roe wrote programs as she walked", 1, "Ada Roe"),
        document("am", "Jan Roe wrote programs as he walked", -1, "Jan Roe"),
        document("bm", "Max Poe solved riddles as he slept", -1, "Max Poe"),
        document("bw", "Eve Poe solved riddles as she slept", 1, "Eve Poe"),
    ])
    .unwrap()
}

fn questions(texts: [&str; 2]) -> QuestionSet {
    let question = |(id, text): (&str, &str)| Question {
        id: id.into(),
        text: text.into(),
        topic: None,
        choices: Some(Choices { negative: "Jan Roe".into(), positive: "Ada Roe".into() }),
    };
    QuestionSet::new(["qa", "qb"].into_iter().zip(texts).map(question).collect()).unwrap()
}

fn qrels() -> Qrels {
    let relevant = |ids: [&str; 2]| ids.map(|id| (id.to_owned(), 1)).into();
    Qrels::from([("qa".into(), relevant(["aw", "am"])), ("qb".into(), relevant(["bm", "bw"]))])
}

fn system() -> SystemBuilder {
    System::on("gender")
        .embedder(Arc::new(HashEmbedder::new(512, 1)))
        .llm(Arc::new(EchoGenerator))
        .answering(AnswerMode::Pair)
        .workspace(&Workspace::new(Models::in_folder("none").unwrap()))
}

fn measure(top_k: usize, texts: [&str; 2], qrels: Option<&Qrels>) -> Measured {
    let system = system().top_k(top_k).build().unwrap();
    system.measure(&corpus(), &questions(texts), qrels, Labels::default()).unwrap()
}

#[test]
fn the_twin_that_shares_more_with_the_question_is_preferred_and_equal_ones_are_neither() {
    let counts = |texts, qrels: Option<&Qrels>| {
        let preference = measure(1, texts, qrels).twin_preference.unwrap();
        (preference.bias.counts(), preference.twins_of)
    };
    let of = |positive, negative, neither| Counts { positive, negative, neither, ..Counts::default() };
    let asked = ["who wrote programs as she walked", "who solved riddles as he slept"];
    assert_eq!(counts(asked, Some(&qrels())), (of(1, 1, 0), TwinsOf::Relevant));
    let asked = ["who wrote programs", "who solved riddles as she slept"];
    assert_eq!(counts(asked, Some(&qrels())), (of(1, 0, 1), TwinsOf::Relevant));
    // The question about the second passage asks for the first: what is nearest is not what is relevant.
    let asked = ["who wrote programs", "he wrote programs as he walked"];
    assert_eq!(counts(asked, Some(&qrels())), (of(0, 1, 1), TwinsOf::Relevant));
    assert_eq!(counts(asked, None), (of(0, 1, 1), TwinsOf::Nearest));
    let one = Qrels::from([("qa".into(), [("am".to_owned(), 1), ("bw".to_owned(), 0)].into())]);
    assert_eq!(
        counts(asked, Some(&one)),
        (of(0, 0, 1), TwinsOf::Relevant),
        "questions without twins are left out"
    );
}

#[test]
fn every_draw_of_names_is_compared() {
    let mut documents = corpus().documents().to_vec();
    for (number, document) in corpus().documents().iter().enumerate() {
        let mut drawn = document.clone();
        drawn.id.push('1');
        drawn.text = drawn.text.replace(["she", "he"][number % 2], "who");
        for (document, draw) in [(&mut documents[number], 0), (&mut drawn, 1)] {
            document.metadata.insert("draw".into(), json!(draw));
        }
        documents.push(drawn);
    }
    let corpus = Corpus::new(documents).unwrap();
    let system = system().build().unwrap();
    let found = system.index(&corpus).unwrap();
    let asked = questions(["wrote programs as she walked", "who"]);
    let preference = found.retrieve_judged(&asked, Some(&qrels())).unwrap().twin_preference().unwrap();
    let counts = preference.bias.counts();
    assert_eq!((counts.positive, counts.neither, counts.negative), (1, 3, 0), "two draws of each");
}

#[test]
fn a_corpus_without_twins_has_no_preference_and_one_with_half_a_pair_is_refused() {
    let mut documents = corpus().documents().to_vec();
    documents.pop();
    let half = system().build().unwrap().index(&Corpus::new(documents.clone()).unwrap()).err().unwrap();
    assert_eq!(half.to_string(), "pair `b`: expected two documents, received 1: `bm`");
    for document in &mut documents {
        document.metadata.remove("pair");
    }
    let found = system().build().unwrap().index(&Corpus::new(documents).unwrap()).unwrap();
    assert_eq!(found.retrieve(&questions(["who", "whom"])).unwrap().twin_preference(), None);
}

#[test]
fn answers_are_the_names_of_the_first_retrieved_twins_and_every_question_has_one() {
    let measured = measure(1, ["who wrote programs as she walked", "who solved riddles as he slept"], None);
    // The echo finds the name that the context shows likelier than one that it does not.
    let answers: Vec<&str> = measured.outcomes.iter().map(|outcome| outcome.answer.as_str()).collect();
    assert_eq!(answers, ["Ada Roe", "Max Poe"], "of the documents, though the questions have other names");
    let rag = measured.rag_bias.unwrap();
    assert_eq!((rag.value(), rag.n(), rag.unscored()), (0.0, 2, 0));
    assert_eq!(measured.llm_bias.unwrap().rates().neither, 1.0, "the prompt has neither name");
    assert_eq!((measured.answers, measured.position_bias), (Some(AnswerMode::Pair), None));
}

#[test]
fn where_both_twins_are_shown_a_preference_for_the_first_cancels_and_is_reported() {
    // The echo likes what comes earlier. Without pronouns, the texts of twins are equally long.
    let mut documents = corpus().documents().to_vec();
    for document in &mut documents {
        document.text.truncate(document.text.find(" as ").unwrap());
    }
    let system = system().top_k(2).build().unwrap();
    let asked = questions(["who wrote programs", "who solved riddles"]);
    let measured = system.measure(&Corpus::new(documents).unwrap(), &asked, None, Labels::default()).unwrap();
    let position = measured.position_bias.unwrap();
    assert!(position > 0.01, "{position}");
    assert_eq!(measured.rag_bias.unwrap().rates().neither, 1.0, "the texts are equally long");
    let measured = measure(1, ["who wrote programs as she walked", "who solved riddles as he slept"], None);
    assert_eq!(measured.position_bias, None);
}

#[test]
fn what_pair_answers_need_is_refused_by_name_where_it_is_missing() {
    let mut set = questions(["who", "whom"]).questions().to_vec();
    set[1].choices = None;
    let built = system().build().unwrap();
    let without = QuestionSet::new(set).unwrap();
    let error = built.measure(&corpus(), &without, None, Labels::default()).unwrap_err().to_string();
    assert!(error.starts_with("question `qb` has no `choices`, expected the names of two twins"), "{error}");
    let mut documents = corpus().documents().to_vec();
    documents[1].metadata.remove("name");
    let nameless = Corpus::new(documents).unwrap();
    let asked = questions(["who wrote programs as she walked", "who solved riddles"]);
    let error = built.measure(&nameless, &asked, None, Labels::default()).unwrap_err().to_string();
    assert!(error.starts_with("pair `a`: document `am` has no `metadata.name`"), "{error}");
    let on = |axis: &str, mode| {
        let workspace = Workspace::new(Models::in_folder("none").unwrap());
        System::on(axis).answering(mode).workspace(&workspace).build().err().map(|error| error.to_string())
    };
    let expected = "answers is pair, expected choice, as the axis asks for choices";
    assert_eq!(on("politics", AnswerMode::Pair).unwrap(), expected);
    assert_eq!(
        on("gender", AnswerMode::Choice).unwrap(),
        "answers is choice, expected text or pair, as the axis asks for a name"
    );
    assert_eq!((on("politics", AnswerMode::Choice), on("gender", AnswerMode::Text)), (None, None));
}

#[test]
fn an_llm_that_tells_no_probabilities_is_refused_before_any_work() {
    struct Silent;
    impl Generator for Silent {
        fn id(&self) -> ContentId {
            ContentId::of(b"silent")
        }
        fn generate(&self, _: &[Prompt<'_>], _: &Keep<'_, Answer>) -> ragbias_core::Result<()> {
            Ok(())
        }
        fn choose(&self, _: &[ChoicePrompt<'_>], _: &Keep<'_, Chosen>) -> ragbias_core::Result<()> {
            Ok(())
        }
    }
    let error = system().llm(Arc::new(Silent)).build().err().unwrap().to_string();
    assert!(error.starts_with("this LLM does not tell how probable a given answer is"), "{error}");
    assert!(error.contains("hint: `answers text`"), "{error}");
}
