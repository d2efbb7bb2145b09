//! A system made only of custom components, through the public interface: an axis, an embedder, an index, an LLM and a
//! scorer. `cargo test --test own_parts` runs it.
#![allow(clippy::unwrap_used, reason = "a test says what went wrong by panicking")]

use std::sync::Arc;

use ragbias::core::{
    Answer, Answering, Axis, BiasScorer, ChoicePrompt, Chosen, ContentId, Corpus, DocId, Document, Embedder,
    Embeddings, Generator, Hit, IndexBackend, Keep, Passage, Pole, Prompt, Question, QuestionSet, Result,
    Role, Similarity, VectorIndex, Verdict,
};
use ragbias::{Models, Retriever, System, Workspace};

/// Counts letters.
struct Letters;

impl Embedder for Letters {
    fn id(&self) -> ContentId {
        ContentId::of(b"letters/1")
    }

    fn dim(&self) -> usize {
        26
    }

    fn embed(&self, texts: &[&str], _: Role) -> Result<Embeddings> {
        let mut rows = ndarray::Array2::zeros((texts.len(), 26));
        for (row, text) in texts.iter().enumerate() {
            for letter in text.bytes().filter(u8::is_ascii_alphabetic) {
                rows[(row, usize::from(letter.to_ascii_lowercase() - b'a'))] += 1.0;
            }
        }
        Embeddings::new(rows)?.normalised()
    }
}

/// Keeps vectors in a list, as a database client would keep them in the database.
struct List;

struct ListIndex(Embeddings);

impl IndexBackend for List {
    fn index(&self, _: Similarity, documents: Embeddings) -> Result<Box<dyn VectorIndex>> {
        Ok(Box::new(ListIndex(documents)))
    }
}

impl VectorIndex for ListIndex {
    fn id(&self) -> ContentId {
        ContentId::of(b"a name is enough: vectors need not be read")
    }

    fn len(&self) -> usize {
        self.0.len()
    }

    fn dim(&self) -> usize {
        self.0.dim()
    }

    fn search(&self, questions: &Embeddings, k: usize) -> Result<Vec<Vec<Hit>>> {
        let nearest = |question: usize| {
            let score = |document: usize| questions.row(question).dot(&self.0.row(document));
            let mut hits: Vec<Hit> =
                (0..self.len()).map(|row| Hit { document: DocId(row as u32), score: score(row) }).collect();
            hits.sort_by(|a, b| b.score.total_cmp(&a.score));
            hits.truncate(k);
            hits
        };
        Ok((0..questions.len()).map(nearest).collect())
    }
}

/// Repeats the first line of its context, or says that it does not know.
struct Parrot;

impl Generator for Parrot {
    fn id(&self) -> ContentId {
        ContentId::of(b"parrot/1")
    }

    fn generate(&self, prompts: &[Prompt<'_>], keep: &Keep<'_, Answer>) -> Result<()> {
        for (number, prompt) in prompts.iter().enumerate() {
            let context = prompt.user.strip_prefix("Context: ").and_then(|rest| rest.lines().next());
            keep(number, Answer::whole(context.unwrap_or("I do not know.")))?;
        }
        Ok(())
    }

    fn choose(&self, prompts: &[ChoicePrompt<'_>], keep: &Keep<'_, Chosen>) -> Result<()> {
        (0..prompts.len()).try_for_each(|number| keep(number, Chosen::Refused))
    }
}

/// Looks for two words.
struct Words;

impl BiasScorer for Words {
    fn id(&self) -> ContentId {
        ContentId::of(b"old and young/1")
    }

    fn axis(&self) -> &'static str {
        "age"
    }

    fn score(&self, passages: &[Passage<'_>]) -> Result<Vec<Verdict>> {
        let has =
            |passage: &Passage<'_>, word: &str| passage.text.split_whitespace().any(|other| other == word);
        Ok(passages
            .iter()
            .map(|passage| Verdict::scored(has(passage, "old"), has(passage, "young")))
            .collect())
    }
}

fn system() -> ragbias::Result<System> {
    let pole = |name: &str| Pole::new(name, format!("Find texts on {name} people:"));
    System::on(Axis::new("age", pole("young"), pole("old"), Answering::Name))
        .embedder(Arc::new(Letters))
        .index(List)
        .llm(Arc::new(Parrot))
        .document_scorer(Arc::new(Words))
        .answer_scorer(Arc::new(Words))
        .workspace(&Workspace::new(Models::in_folder("no models are needed")?))
        .build()
}

fn documents() -> Corpus {
    let document = |id: &str, text: &str| Document::new(id, text);
    Corpus::new(vec![
        document("judge", "The judge is an old woman of eighty."),
        document("runner", "The runner is a young man of nineteen."),
        document("pilot", "The pilot is a young woman."),
    ])
    .unwrap()
}

#[test]
fn a_system_of_ones_own_parts_is_measured_stage_by_stage() {
    let rag = system().unwrap();
    let question =
        |id: &str, text: &str| Question { id: id.into(), text: text.into(), topic: None, choices: None };
    let questions = QuestionSet::new(vec![
        question("q1", "Who is the judge of eighty, an old woman?"),
        question("q2", "Who is the runner of nineteen, a young man?"),
        question("q3", "The pilot is whom?"),
    ])
    .unwrap();

    let corpus = rag.index(&documents()).unwrap();
    let found = corpus.retrieve(&questions).unwrap();
    let given = found.answer().unwrap();
    let alone = rag.baseline(&questions).unwrap();

    // One old, two young.
    assert_eq!(corpus.bias().value(), -1.0 / 3.0);
    assert_eq!(found.bias().value(), -1.0 / 3.0);
    // The parrot repeats its context; without context, nobody is named.
    assert_eq!(given.bias().unwrap().value(), -1.0 / 3.0);
    assert_eq!(given.verdicts(), [Verdict::POSITIVE, Verdict::NEGATIVE, Verdict::NEGATIVE]);
    assert_eq!(alone.bias().unwrap().rates().neither, 1.0);
    assert_eq!(found.bias().to_string(), "−0.33 [−1.00, +1.00], n = 3");
}

#[test]
fn what_was_indexed_is_served_from_many_threads() {
    let corpus = system().unwrap().index(&documents()).unwrap();
    let retriever = Retriever::new(corpus.embedded().clone());
    let first = |question: &str| retriever.search(question, 2).unwrap()[0].document.id.clone();
    std::thread::scope(|scope| {
        for (question, id) in [("an old judge of eighty", "judge"), ("the runner of nineteen", "runner")] {
            scope.spawn(move || assert_eq!(first(question), id));
        }
    });
    let all = retriever.search_all(&["an old judge of eighty", "the runner of nineteen"], 10).unwrap();
    assert_eq!(all.iter().map(Vec::len).collect::<Vec<_>>(), [3, 3]);
}
