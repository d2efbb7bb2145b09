use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};

use ragbias_core::{
    Answer, ChoicePrompt, Chosen, ContentHasher, ContentId, Error, Generator, Keep, Likelihood,
    PossibleAnswer, Prompt, Result,
};

use crate::store::{Kind, Store};

/// A generator that asks each prompt once, and stores each answer as it arrives.
pub struct StoredGenerator<G> {
    generator: G,
    store: Store,
}

impl<G: Generator> StoredGenerator<G> {
    /// `generator`, memoised in `store`.
    pub fn new(generator: G, store: &Store) -> Self {
        Self { generator, store: store.clone() }
    }
}

impl<G: Generator> Generator for StoredGenerator<G> {
    fn id(&self) -> ContentId {
        self.generator.id()
    }

    fn generate(&self, prompts: &[Prompt<'_>], keep: &Keep<'_, Answer>) -> Result<()> {
        let id = self.id();
        let key = |prompt: &Prompt<'_>| {
            let key = ContentHasher::new("answer/2").field(id.as_bytes()).field(prompt.user);
            key.last(prompt.system).finish()
        };
        let batch = Batch::new(prompts, key);
        batch.answer(
            &self.store,
            |key| self.store.answer(id, key),
            |missing, keep| self.marked(|| self.generator.generate(missing, keep)),
            |key, answer| self.store.put_answer(key, answer),
            keep,
        )
    }

    fn choose(&self, prompts: &[ChoicePrompt<'_>], keep: &Keep<'_, Chosen>) -> Result<()> {
        let id = self.id();
        let key = |asked: &ChoicePrompt<'_>| {
            let key = ContentHasher::new("choice/2")
                .field(id.as_bytes())
                .field(asked.prompt.user)
                .field(asked.negative)
                .field(asked.positive);
            key.last(asked.prompt.system).finish()
        };
        let batch = Batch::new(prompts, key);
        batch.answer(
            &self.store,
            |key| self.store.choice(id, key),
            |missing, keep| self.marked(|| self.generator.choose(missing, keep)),
            |key, chosen| self.store.put_choice(key, chosen),
            keep,
        )
    }

    fn likelihoods(&self, answers: &[PossibleAnswer<'_>], keep: &Keep<'_, Likelihood>) -> Result<()> {
        let id = self.id();
        let key = |asked: &PossibleAnswer<'_>| {
            let key = ContentHasher::new("likelihood/1").field(id.as_bytes()).field(asked.prompt.user);
            key.field(asked.answer).last(asked.prompt.system).finish()
        };
        let batch = Batch::new(answers, key);
        batch.answer(
            &self.store,
            |key| self.store.likelihood(id, key),
            |missing, keep| self.marked(|| self.generator.likelihoods(missing, keep)),
            |key, likelihood| self.store.put_likelihood(key, likelihood),
            keep,
        )
    }

    fn notes(&self) -> Vec<String> {
        let mut notes = self.generator.notes();
        let earlier = self.store.earlier(self.id());
        if let Some(name) = self.assumed().filter(|_| earlier > 0) {
            let answers = if earlier == 1 { "1 answer".into() } else { format!("{earlier} answers") };
            notes.push(format!(
                "{answers} came from the store, under the name of {name}: nothing tells whether the model that answers there \
                 now is still the one that gave them\nhint: `fresh` asks it again"
            ));
        }
        notes.extend(self.changed(earlier));
        notes
    }

    fn assumed(&self) -> Option<String> {
        self.generator.assumed()
    }

    fn fingerprints(&self) -> BTreeMap<String, usize> {
        self.generator.fingerprints()
    }
}

impl<G: Generator> StoredGenerator<G> {
    /// Stores the fingerprints known before the LLM is asked, in case it is interrupted, and those known after.
    fn marked(&self, ask: impl FnOnce() -> Result<()>) -> Result<()> {
        self.mark()?;
        let asked = ask();
        let marked = self.mark();
        asked.and(marked)
    }

    fn mark(&self) -> Result<()> {
        let fingerprints = self.generator.fingerprints();
        self.store.put_fingerprints(self.id(), fingerprints.keys()).map_err(Error::component)
    }

    /// Whether answers from the store may come from another version than the current one.
    fn changed(&self, earlier: usize) -> Option<String> {
        self.mark().ok()?;
        let (before, now) = (self.store.earlier_fingerprints(self.id()), self.generator.fingerprints());
        let new: Vec<&str> = now.keys().filter(|mark| !before.contains(*mark)).map(String::as_str).collect();
        if earlier == 0 || before.is_empty() || new.is_empty() {
            return None;
        }
        let before = before.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
        let new = new.join(", ");
        let answers = if earlier == 1 { "1 answer".into() } else { format!("{earlier} answers") };
        Some(format!(
            "{answers} came from the store, given under the system_fingerprint {before}; now the same name answers under \
             {new} as well, and may be another version of the model\nhint: `fresh` asks it again"
        ))
    }
}

/// The distinct prompts of a batch, each with its key and its positions.
struct Batch<P> {
    asked: Vec<(ContentId, P, Vec<usize>)>,
}

impl<P: Copy> Batch<P> {
    fn new(prompts: &[P], key: impl Fn(&P) -> ContentId) -> Self {
        let mut numbers: HashMap<ContentId, usize> = HashMap::new();
        let mut asked: Vec<(ContentId, P, Vec<usize>)> = Vec::new();
        for (place, prompt) in prompts.iter().enumerate() {
            let key = key(prompt);
            let number = *numbers.entry(key).or_insert_with(|| {
                asked.push((key, *prompt, Vec::new()));
                asked.len() - 1
            });
            asked[number].2.push(place);
        }
        Self { asked }
    }

    /// Passes on answers from the store, then the missing ones as they arrive from the LLM, which are stored first.
    fn answer<A: Clone>(
        self,
        store: &Store,
        recall: impl Fn(ContentId) -> crate::Result<Option<A>>,
        ask: impl FnOnce(&[P], &Keep<'_, A>) -> Result<()>,
        put: impl Fn(ContentId, A) -> crate::Result<A> + Sync,
        keep: &Keep<'_, A>,
    ) -> Result<()> {
        let hand_over = |places: &[usize], answer: &A| -> Result<()> {
            places.iter().try_for_each(|&place| keep(place, answer.clone()))
        };
        let (mut missing, mut unknown) = (Vec::new(), Vec::new());
        for (key, prompt, places) in self.asked {
            if let Some(answer) = recall(key).map_err(Error::component)? {
                store.tally(Kind::Answers, places.len(), 0);
                hand_over(&places, &answer)?;
            } else {
                missing.push((key, places));
                unknown.push(prompt);
            }
        }
        if missing.is_empty() {
            return Ok(());
        }
        let count = missing.len();
        let kept: Vec<AtomicBool> = missing.iter().map(|_| AtomicBool::new(false)).collect();
        ask(&unknown, &|number, answer| {
            match kept.get(number) {
                Some(kept) if !kept.swap(true, Ordering::Relaxed) => {}
                _ => return Err(Error::Kept { prompt: number, count }),
            }
            let (key, places) = &missing[number];
            let answer = put(*key, answer).map_err(Error::component)?;
            store.tally(Kind::Answers, places.len() - 1, 1);
            hand_over(places, &answer)
        })?;
        let received = kept.iter().filter(|kept| kept.load(Ordering::Relaxed)).count();
        if received < count {
            return Err(Error::BatchLength { component: "the LLM", expected: count, received });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use ragbias_core::testing::EchoGenerator;
    use ragbias_core::{Finish, GenerateAll};

    use super::*;
    use crate::memo::testing::{Counting, store};

    impl Generator for Counting<EchoGenerator> {
        fn id(&self) -> ContentId {
            self.0.id()
        }
        fn generate(&self, prompts: &[Prompt<'_>], keep: &Keep<'_, Answer>) -> Result<()> {
            self.1.fetch_add(prompts.len(), Ordering::Relaxed);
            self.0.generate(prompts, keep)
        }
        fn choose(&self, prompts: &[ChoicePrompt<'_>], keep: &Keep<'_, Chosen>) -> Result<()> {
            self.1.fetch_add(prompts.len(), Ordering::Relaxed);
            self.0.choose(prompts, keep)
        }
        fn likelihoods(&self, answers: &[PossibleAnswer<'_>], keep: &Keep<'_, Likelihood>) -> Result<()> {
            self.1.fetch_add(answers.len(), Ordering::Relaxed);
            self.0.likelihoods(answers, keep)
        }
        fn assumed(&self) -> Option<String> {
            Some("echo at home".into())
        }
    }

    fn open(folder: &tempfile::TempDir) -> Store {
        Store::open(&folder.path().join("store.sqlite")).unwrap()
    }

    #[test]
    fn a_prompt_is_answered_once_over_two_openings_of_the_store() {
        let (folder, first) = store();
        let counting = Counting::new(EchoGenerator);
        let asked =
            ChoicePrompt { prompt: "cut taxes".into(), negative: "raise taxes", positive: "cut taxes" };
        let prompts = ["one\ntwo", "", "one\ntwo"];
        let answers = StoredGenerator::new(&counting, &first).generate_all(prompts).unwrap();
        assert_eq!(answers, [Answer::whole("one"), Answer::refused(""), Answer::whole("one")]);
        let choice = StoredGenerator::new(&counting, &first).choose_all(&[asked]).unwrap();
        assert_eq!(first.work().answers, crate::Saved { remembered: 1, computed: 3, set_aside: 0 });
        drop(first);
        let second = open(&folder);
        let stored = StoredGenerator::new(&counting, &second);
        assert_eq!(stored.generate_all(prompts).unwrap(), answers);
        assert_eq!(stored.choose_all(&[asked]).unwrap(), choice);
        assert_eq!(counting.1.load(Ordering::Relaxed), 3);
    }

    #[test]
    fn a_likelihood_is_asked_once_for_each_prompt_system_message_and_answer() {
        let (folder, first) = store();
        let counting = Counting::new(EchoGenerator);
        let prompt = |system, user| Prompt { system, user };
        let asked = [
            (prompt(None, "by Ann"), "Ann"),
            (prompt(None, "by Ann"), "Jan"),
            (prompt(Some("s"), "by Ann"), "Ann"),
            (prompt(None, "from Ann"), "Ann"),
            (prompt(None, "by Ann"), "Ann"),
        ]
        .map(|(prompt, answer)| PossibleAnswer { prompt, answer });
        let likelihoods = StoredGenerator::new(&counting, &first).likelihoods_all(&asked).unwrap();
        assert_eq!(likelihoods, EchoGenerator.likelihoods_all(&asked).unwrap());
        assert_eq!(counting.1.load(Ordering::Relaxed), 4);
        drop(first);
        let second = open(&folder);
        assert_eq!(StoredGenerator::new(&counting, &second).likelihoods_all(&asked).unwrap(), likelihoods);
        assert_eq!(counting.1.load(Ordering::Relaxed), 4);
    }

    #[test]
    fn another_system_message_is_another_prompt() {
        let (_folder, store) = store();
        let stored = StoredGenerator::new(EchoGenerator, &store);
        let asked = [None, Some("a"), Some("b"), Some("a")].map(|system| Prompt { system, user: "one" });
        stored.generate_all(asked).unwrap();
        stored
            .choose_all(&asked.map(|prompt| ChoicePrompt { prompt, negative: "n", positive: "p" }))
            .unwrap();
        assert_eq!(store.work().answers, crate::Saved { remembered: 2, computed: 6, set_aside: 0 });
    }

    /// Gives predetermined answers, in order, up to an error.
    struct Scripted(Vec<Result<Answer>>);

    impl Scripted {
        fn say<A>(&self, prompts: usize, keep: &Keep<'_, A>, of: impl Fn(&Answer) -> A) -> Result<()> {
            let mut failed = Ok(());
            for (number, said) in self.0.iter().enumerate().take(prompts).rev() {
                match said {
                    Ok(answer) => keep(number, of(answer))?,
                    Err(_) => failed = Err(Error::Empty("server")),
                }
            }
            failed
        }
    }

    impl Generator for Scripted {
        fn id(&self) -> ContentId {
            ContentId::of(b"scripted")
        }
        fn generate(&self, prompts: &[Prompt<'_>], keep: &Keep<'_, Answer>) -> Result<()> {
            self.say(prompts.len(), keep, Answer::clone)
        }
        fn choose(&self, prompts: &[ChoicePrompt<'_>], keep: &Keep<'_, Chosen>) -> Result<()> {
            let chosen = |answer: &Answer| match answer.finish {
                Finish::Cut => Chosen::Cut,
                _ => Chosen::Refused,
            };
            self.say(prompts.len(), keep, chosen)
        }
    }

    #[test]
    fn every_ending_of_an_answer_and_of_a_choice_is_remembered() {
        let (folder, store) = store();
        let said =
            [Answer::whole("Marie Curie"), Answer::cut("The person who"), Answer::refused("I cannot.")];
        let generator = Scripted(said.iter().cloned().map(Ok).collect());
        let prompts = ["a", "b", "c"];
        let choices =
            prompts.map(|prompt| ChoicePrompt { prompt: prompt.into(), negative: "n", positive: "p" });
        let stored = StoredGenerator::new(&generator, &store);
        assert_eq!(stored.generate_all(prompts).unwrap(), said);
        let chosen = [Chosen::Refused, Chosen::Cut, Chosen::Refused];
        assert_eq!(stored.choose_all(&choices).unwrap(), chosen);
        drop(store);
        let (store, silent) = (open(&folder), Scripted(Vec::new()));
        let stored = StoredGenerator::new(&silent, &store);
        assert_eq!(stored.generate_all(prompts).unwrap(), said);
        assert_eq!(stored.choose_all(&choices).unwrap(), chosen);
    }

    #[test]
    fn where_a_prompt_fails_its_neighbours_are_stored_and_not_asked_again() {
        let (folder, store) = store();
        let failing =
            Scripted(vec![Ok(Answer::whole("one")), Err(Error::Empty("server")), Ok(Answer::whole("three"))]);
        let error = StoredGenerator::new(&failing, &store).generate_all(["a", "b", "c"]).unwrap_err();
        assert_eq!(error.to_string(), "the server is empty");
        drop(store);
        let (store, asked) = (open(&folder), Scripted(vec![Ok(Answer::whole("two"))]));
        let answers = StoredGenerator::new(&asked, &store).generate_all(["a", "b", "c"]).unwrap();
        assert_eq!(answers, ["one", "two", "three"].map(Answer::whole));
        assert_eq!(store.work().answers, crate::Saved { remembered: 2, computed: 1, set_aside: 0 });
    }

    #[test]
    fn an_answer_is_stored_before_it_is_handed_over() {
        let (folder, store) = store();
        let seen = Mutex::new(0);
        let keep = |number: usize, _: Answer| {
            // What another process sees at this moment.
            let (other, silent) = (open(&folder), Scripted(Vec::new()));
            let prompt = ["a", "b"][number];
            *seen.lock().unwrap() +=
                StoredGenerator::new(&silent, &other).generate_all([prompt]).unwrap().len();
            Ok(())
        };
        let scripted = Scripted(vec![Ok(Answer::whole("one")), Ok(Answer::whole("two"))]);
        StoredGenerator::new(&scripted, &store).generate(&["a", "b"].map(Prompt::from), &keep).unwrap();
        assert_eq!(*seen.lock().unwrap(), 2);
    }

    #[test]
    fn of_two_processes_that_ask_the_same_the_first_answer_is_that_of_both() {
        let (folder, first) = store();
        let second = open(&folder);
        let other = Scripted(vec![Ok(Answer::whole("first"))]);
        let ours = Scripted(vec![Ok(Answer::whole("second"))]);
        // The other process answers while ours is asking.
        let between = Between(&ours, &|| {
            StoredGenerator::new(&other, &first).generate_all(["a"]).unwrap();
        });
        let stored = StoredGenerator::new(&between, &second);
        assert_eq!(stored.generate_all(["a"]).unwrap(), [Answer::whole("first")]);
    }

    struct Between<'a>(&'a Scripted, &'a (dyn Fn() + Sync));

    impl Generator for Between<'_> {
        fn id(&self) -> ContentId {
            self.0.id()
        }
        fn generate(&self, prompts: &[Prompt<'_>], keep: &Keep<'_, Answer>) -> Result<()> {
            (self.1)();
            self.0.generate(prompts, keep)
        }
        fn choose(&self, prompts: &[ChoicePrompt<'_>], keep: &Keep<'_, Chosen>) -> Result<()> {
            self.0.choose(prompts, keep)
        }
    }

    #[test]
    fn a_fresh_store_asks_again_what_is_earlier_once_and_replaces_it() {
        let (folder, store) = store();
        let say = |text: &str| Scripted(vec![Ok(Answer::whole(text))]);
        StoredGenerator::new(&say("old"), &store).generate_all(["a"]).unwrap();
        drop(store);
        let store = open(&folder).fresh();
        let new = say("new");
        let stored = StoredGenerator::new(&new, &store);
        for _ in 0..2 {
            assert_eq!(stored.generate_all(["a"]).unwrap(), [Answer::whole("new")]);
        }
        assert_eq!(store.work().answers, crate::Saved { remembered: 1, computed: 1, set_aside: 0 });
        drop(store);
        let (store, silent) = (open(&folder), Scripted(Vec::new()));
        let kept = StoredGenerator::new(&silent, &store).generate_all(["a"]).unwrap();
        assert_eq!(kept, [Answer::whole("new")]);
    }

    /// Answers under a fingerprint.
    struct Marked(&'static str);

    impl Generator for Marked {
        fn id(&self) -> ContentId {
            ContentId::of(b"marked")
        }
        fn generate(&self, prompts: &[Prompt<'_>], keep: &Keep<'_, Answer>) -> Result<()> {
            (0..prompts.len()).try_for_each(|number| keep(number, Answer::whole(self.0)))
        }
        fn choose(&self, _: &[ChoicePrompt<'_>], _: &Keep<'_, Chosen>) -> Result<()> {
            Ok(())
        }
        fn fingerprints(&self) -> BTreeMap<String, usize> {
            BTreeMap::from([(self.0.to_owned(), 1)])
        }
    }

    #[test]
    fn answers_earlier_under_another_fingerprint_are_noted() {
        let (folder, mut store) = store();
        let mut notes = |mark| {
            let marked = Marked(mark);
            let stored = StoredGenerator::new(&marked, &store);
            stored.generate_all(["a", "b"]).unwrap();
            let notes = stored.notes();
            store = open(&folder);
            notes
        };
        assert_eq!((notes("fp_1"), notes("fp_1")), (Vec::new(), Vec::new()));
        let changed = notes("fp_2");
        assert!(
            changed[0]
                .starts_with("2 answers came from the store, given under the system_fingerprint fp_1; now")
        );
        assert!(changed[0].contains("under fp_2 as well") && changed[0].contains("`fresh`"), "{changed:?}");
    }

    #[test]
    fn answers_earlier_are_noted_where_nothing_tells_who_gave_them() {
        let (folder, store) = store();
        let counting = Counting::new(EchoGenerator);
        let stored = StoredGenerator::new(&counting, &store);
        for _ in 0..2 {
            stored.generate_all(["a", "b"]).unwrap();
        }
        assert_eq!(stored.notes(), [""; 0], "they were given a moment ago");
        drop(store);
        let store = open(&folder);
        let stored = StoredGenerator::new(&counting, &store);
        for prompts in [&["a", "b"][..], &["b", "c"]] {
            stored.generate_all(prompts).unwrap();
        }
        let [note] = &stored.notes()[..] else { panic!("{:?}", stored.notes()) };
        assert!(note.starts_with("2 answers came from the store, under the name of echo at home"), "{note}");
        assert!(
            StoredGenerator::new(&EchoGenerator, &store).notes().is_empty(),
            "an id that tells needs no note"
        );
    }
}
