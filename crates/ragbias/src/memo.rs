//! Components that ask the store before they work.

use std::collections::HashMap;

use ndarray::Array2;
use ragbias_core::{
    BiasScorer, Choice, ChoicePrompt, ContentHasher, ContentId, Embedder, Embeddings, Error, Generator,
    Passage, Result, Role, Verdict,
};

use crate::store::{Kind, Store};

/// An embedder that embeds each text once.
pub struct StoredEmbedder<'a> {
    embedder: &'a dyn Embedder,
    store: &'a Store,
}

impl<'a> StoredEmbedder<'a> {
    /// `embedder`, with what `store` remembers of it.
    pub fn new(embedder: &'a dyn Embedder, store: &'a Store) -> Self {
        Self { embedder, store }
    }
}

impl Embedder for StoredEmbedder<'_> {
    fn id(&self) -> ContentId {
        self.embedder.id()
    }

    fn dim(&self) -> usize {
        self.embedder.dim()
    }

    fn embed(&self, texts: &[&str], role: Role) -> Result<Embeddings> {
        let (id, dim) = (self.id(), self.dim());
        let mut known: HashMap<&str, Vec<f32>> = HashMap::new();
        let mut missing = Vec::new();
        for &text in texts {
            if known.contains_key(text) || missing.contains(&text) {
                continue;
            }
            match self.store.vector(id, role, text).map_err(Error::component)? {
                Some(vector) if vector.len() == dim => {
                    known.insert(text, vector);
                }
                _ => missing.push(text),
            }
        }
        if !missing.is_empty() {
            let fresh = self.embedder.embed(&missing, role)?;
            let rows = missing.iter().enumerate().map(|(row, text)| (*text, fresh.row(row).to_vec()));
            self.store.put_vectors(id, role, rows.clone()).map_err(Error::component)?;
            known.extend(rows);
        }
        self.store.tally(Kind::Vectors, texts.len() - missing.len(), missing.len());
        let values: Vec<f32> = texts.iter().flat_map(|text| known[text].iter().copied()).collect();
        let rows = Array2::from_shape_vec((texts.len(), dim), values)
            .expect("one vector of dim values per text; this is a bug");
        Embeddings::new(rows)
    }
}

/// A generator that is asked each prompt once.
pub struct StoredGenerator<'a> {
    generator: &'a dyn Generator,
    store: &'a Store,
}

impl<'a> StoredGenerator<'a> {
    /// `generator`, with what `store` remembers of it.
    pub fn new(generator: &'a dyn Generator, store: &'a Store) -> Self {
        Self { generator, store }
    }
}

impl Generator for StoredGenerator<'_> {
    fn id(&self) -> ContentId {
        self.generator.id()
    }

    fn generate(&self, prompts: &[&str]) -> Result<Vec<String>> {
        let id = self.id();
        let key = |prompt: &&str| ContentHasher::new("answer/1").field(id.as_bytes()).field(prompt).finish();
        self.remembered(
            prompts,
            prompts.iter().map(key).collect(),
            |key| self.store.answer(key),
            |missing| self.generator.generate(missing),
            |key, answer| self.store.put_answer(key, answer),
        )
    }

    fn choose(&self, prompts: &[ChoicePrompt<'_>]) -> Result<Vec<Choice>> {
        let id = self.id();
        let key = |asked: &ChoicePrompt<'_>| {
            ContentHasher::new("choice/1")
                .field(id.as_bytes())
                .field(asked.prompt)
                .field(asked.negative)
                .field(asked.positive)
                .finish()
        };
        self.remembered(
            prompts,
            prompts.iter().map(key).collect(),
            |key| self.store.choice(key),
            |missing| self.generator.choose(missing),
            |key, choice| self.store.put_choice(key, *choice),
        )
    }
}

impl StoredGenerator<'_> {
    /// Answers from the store; those that are missing, each once, in one batch from the LLM.
    fn remembered<P: Copy, A: Clone>(
        &self,
        prompts: &[P],
        keys: Vec<ContentId>,
        recall: impl Fn(ContentId) -> crate::Result<Option<A>>,
        ask: impl FnOnce(&[P]) -> Result<Vec<A>>,
        keep: impl Fn(ContentId, &A) -> crate::Result<()>,
    ) -> Result<Vec<A>> {
        let mut known: HashMap<ContentId, A> = HashMap::new();
        let (mut missing, mut asked) = (Vec::new(), Vec::new());
        for (&key, &prompt) in keys.iter().zip(prompts) {
            if known.contains_key(&key) || missing.contains(&key) {
                continue;
            }
            if let Some(answer) = recall(key).map_err(Error::component)? {
                known.insert(key, answer);
            } else {
                missing.push(key);
                asked.push(prompt);
            }
        }
        if !asked.is_empty() {
            let fresh = ask(&asked)?;
            if fresh.len() != asked.len() {
                let (expected, received) = (asked.len(), fresh.len());
                return Err(Error::BatchLength { component: "the LLM", expected, received });
            }
            for (&key, answer) in missing.iter().zip(fresh) {
                keep(key, &answer).map_err(Error::component)?;
                known.insert(key, answer);
            }
        }
        self.store.tally(Kind::Answers, prompts.len() - asked.len(), asked.len());
        Ok(keys.iter().map(|key| known[key].clone()).collect())
    }
}

/// A scorer that judges each passage once.
pub struct StoredScorer<'a> {
    scorer: &'a dyn BiasScorer,
    store: &'a Store,
}

impl<'a> StoredScorer<'a> {
    /// `scorer`, with what `store` remembers of it.
    pub fn new(scorer: &'a dyn BiasScorer, store: &'a Store) -> Self {
        Self { scorer, store }
    }
}

impl BiasScorer for StoredScorer<'_> {
    fn id(&self) -> ContentId {
        self.scorer.id()
    }

    fn axis(&self) -> &str {
        self.scorer.axis()
    }

    fn score(&self, passages: &[Passage<'_>]) -> Result<Vec<Verdict>> {
        let id = self.id();
        let keys: Vec<ContentId> = passages.iter().map(|passage| verdict_key(id, passage)).collect();
        let known = keys.iter().map(|&key| self.store.verdict(key)).collect::<crate::Result<Vec<_>>>();
        let mut verdicts = known.map_err(Error::component)?;
        let missing: Vec<usize> = (0..keys.len()).filter(|&row| verdicts[row].is_none()).collect();
        if !missing.is_empty() {
            let unknown: Vec<_> = missing.iter().map(|&row| passages[row]).collect();
            let fresh = self.scorer.score(&unknown)?;
            if fresh.len() != unknown.len() {
                let (expected, received) = (unknown.len(), fresh.len());
                return Err(Error::BatchLength { component: "the scorer", expected, received });
            }
            let rows: Vec<_> = missing.iter().map(|&row| keys[row]).zip(fresh).collect();
            self.store.put_verdicts(&rows).map_err(Error::component)?;
            for (&row, (_, verdict)) in missing.iter().zip(rows) {
                verdicts[row] = Some(verdict);
            }
        }
        self.store.tally(Kind::Verdicts, passages.len() - missing.len(), missing.len());
        Ok(verdicts.into_iter().map(|verdict| verdict.expect("known or fresh; this is a bug")).collect())
    }
}

fn verdict_key(scorer: ContentId, passage: &Passage<'_>) -> ContentId {
    let gold = passage.gold.map_or_else(String::new, |lean| i64::from(lean).to_string());
    ContentHasher::new("verdict/1")
        .field(scorer.as_bytes())
        .field(passage.title.unwrap_or_default())
        .field(passage.text)
        .field(gold)
        .finish()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use ragbias_core::testing::{EchoGenerator, HashEmbedder};

    use super::*;

    /// Counts what reaches the component behind.
    struct Counting<T>(T, AtomicUsize);

    impl Embedder for Counting<HashEmbedder> {
        fn id(&self) -> ContentId {
            self.0.id()
        }
        fn dim(&self) -> usize {
            self.0.dim()
        }
        fn embed(&self, texts: &[&str], role: Role) -> Result<Embeddings> {
            self.1.fetch_add(texts.len(), Ordering::Relaxed);
            self.0.embed(texts, role)
        }
    }

    impl Generator for Counting<EchoGenerator> {
        fn id(&self) -> ContentId {
            self.0.id()
        }
        fn generate(&self, prompts: &[&str]) -> Result<Vec<String>> {
            self.1.fetch_add(prompts.len(), Ordering::Relaxed);
            self.0.generate(prompts)
        }
        fn choose(&self, prompts: &[ChoicePrompt<'_>]) -> Result<Vec<Choice>> {
            self.1.fetch_add(prompts.len(), Ordering::Relaxed);
            self.0.choose(prompts)
        }
    }

    impl BiasScorer for Counting<ragbias_score::Lexicon> {
        fn id(&self) -> ContentId {
            self.0.id()
        }
        fn axis(&self) -> &str {
            self.0.axis()
        }
        fn score(&self, passages: &[Passage<'_>]) -> Result<Vec<Verdict>> {
            self.1.fetch_add(passages.len(), Ordering::Relaxed);
            self.0.score(passages)
        }
    }

    fn store() -> (tempfile::TempDir, Store) {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("store.sqlite")).unwrap();
        (folder, store)
    }

    #[test]
    fn a_text_is_embedded_once_and_its_vector_comes_back_to_the_bit() {
        let (_folder, store) = store();
        let counting = Counting(HashEmbedder::new(32, 1), AtomicUsize::new(0));
        let stored = StoredEmbedder::new(&counting, &store);
        let first = stored.embed(&["a b", "c", "a b"], Role::Document).unwrap();
        assert_eq!(counting.1.load(Ordering::Relaxed), 2, "a text that occurs twice is embedded once");
        assert_eq!(first, counting.0.embed(&["a b", "c", "a b"], Role::Document).unwrap());
        assert_eq!(stored.embed(&["c", "a b"], Role::Document).unwrap().row(1), first.row(0));
        assert_eq!(counting.1.load(Ordering::Relaxed), 2);
        stored.embed(&["c"], Role::Question).unwrap();
        assert_eq!(counting.1.load(Ordering::Relaxed), 3, "a question is another text than a document");
    }

    #[test]
    fn a_prompt_is_answered_once_over_two_openings_of_the_store() {
        let (folder, first) = store();
        let counting = Counting(EchoGenerator, AtomicUsize::new(0));
        let asked = ChoicePrompt { prompt: "cut taxes", negative: "raise taxes", positive: "cut taxes" };
        let answer = StoredGenerator::new(&counting, &first).generate(&["one\ntwo"]).unwrap();
        let choice = StoredGenerator::new(&counting, &first).choose(&[asked]).unwrap();
        drop(first);
        let second = Store::open(&folder.path().join("store.sqlite")).unwrap();
        let stored = StoredGenerator::new(&counting, &second);
        assert_eq!(stored.generate(&["one\ntwo"]).unwrap(), answer);
        assert_eq!(stored.choose(&[asked]).unwrap(), choice);
        assert_eq!(counting.1.load(Ordering::Relaxed), 2);
    }
    #[test]
    fn a_passage_is_judged_once_and_every_verdict_survives() {
        let (_folder, store) = store();
        let counting = Counting(ragbias_score::Lexicon::bundled("gender").unwrap(), AtomicUsize::new(0));
        let stored = StoredScorer::new(&counting, &store);
        let passages: Vec<Passage<'_>> =
            ["She left.", "He left.", "He met her.", "I do not know.", "Xq Zrmt"].map(Passage::from).to_vec();
        let first = stored.score(&passages).unwrap();
        assert_eq!(first, counting.0.score(&passages).unwrap());
        assert_eq!(stored.score(&passages).unwrap(), first);
        assert_eq!(counting.1.load(Ordering::Relaxed), 5);
        assert_eq!(store.work().verdicts, crate::Saved { remembered: 5, computed: 5 });
    }
}
