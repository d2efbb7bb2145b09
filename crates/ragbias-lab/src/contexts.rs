//! Questions, each with its passage in two twins, and the passages that are shown with them.

use std::collections::BTreeMap;

use ragbias::Inputs;
use ragbias::core::{Choices, Corpus, DocId, Document, Lean, Pairs, Progress, Question, Twins};
use ragbias::data::{Split, load_axis, sample};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use crate::error::{Error, Result};

/// Passages that are shown together.
pub(crate) const TOGETHER: usize = 3;

/// E_b of the contexts from which s is estimated: the mean lean of three passages.
pub(crate) const LEVELS: [f64; 4] = [-1.0, -1.0 / 3.0, 1.0 / 3.0, 1.0];

/// A question with the twins of its passage, and those of two other passages of its topic.
#[derive(Debug, Clone)]
pub(crate) struct Case {
    pub(crate) question: Question,
    /// The names of the twins of its passage.
    pub(crate) names: Choices,
    own: Twins,
    others: [Twins; TOGETHER - 1],
    /// Its number among those of its half: what alternates between questions alternates by it.
    number: usize,
}

/// Where twins and their questions are read from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TwinData<'s> {
    pub(crate) axis: &'s str,
    pub(crate) data: &'s str,
    pub(crate) split: Split,
}

/// Questions in two halves that share no topic.
#[derive(Debug)]
pub(crate) struct Halves {
    corpus: Corpus,
    /// Those on which reliance is measured.
    pub(crate) relied: Vec<Case>,
    /// Those on which s is measured.
    pub(crate) moved: Vec<Case>,
}

impl Halves {
    /// As many questions of the data as this at most, spread over topics.
    ///
    /// # Errors
    /// Data that are not twins, questions without a passage of their own, topics of fewer than three passages.
    pub(crate) fn draw(from: TwinData<'_>, count: usize, seed: u64, progress: &dyn Progress) -> Result<Self> {
        let axis = load_axis(from.axis)?;
        let inputs = Inputs::of_dataset(from.data, from.split, &axis, progress)?;
        let not_twins = |received: String| Error::Setting {
            setting: "data",
            expected: "twins, with the passage of every question",
            received,
        };
        let pairs = Pairs::of(&inputs.corpus)?;
        let pairs = pairs.ok_or_else(|| not_twins(format!("{}, which has no pairs", from.data)))?;
        let mut topics: BTreeMap<&str, Vec<(&Question, Twins)>> = BTreeMap::new();
        for question in inputs.questions.questions() {
            let judged = inputs.qrels.as_ref().and_then(|qrels| qrels.get(&question.id));
            let relevant = judged.into_iter().flatten().filter(|(_, grade)| **grade > 0);
            let twins = relevant
                .filter_map(|(id, _)| inputs.corpus.position(id))
                .find_map(|document| pairs.twins(document));
            let twins = twins.ok_or_else(|| {
                not_twins(format!("question `{}` of {} without one", question.id, from.data))
            })?;
            topics.entry(question.cluster()).or_default().push((question, twins));
        }
        if let Some(few) = topics.values().find(|passages| passages.len() < TOGETHER) {
            let (what, received) = ("questions of a topic", few.len());
            return Err(Error::TooFew { what, expected: TOGETHER, received });
        }
        let sampled = sample(inputs.questions.questions(), count, seed);
        let mut order: Vec<&str> = topics.keys().copied().collect();
        order.retain(|topic| sampled.iter().any(|question| question.cluster() == *topic));
        order.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
        let (first, second) = order.split_at(order.len() / 2);
        let of = |half: &[&str]| -> Result<Vec<Case>> {
            let sampled = sampled.iter().filter(|question| half.contains(&question.cluster()));
            let case = |(number, question): (usize, &Question)| -> Result<Case> {
                let passages = &topics[question.cluster()];
                let place = passages.iter().position(|(other, _)| other.id == question.id);
                let place = place.expect("a sample is of the questions; this is a bug");
                let twins = |after: usize| passages[(place + after) % passages.len()].1;
                let names = twins(0).names(&inputs.corpus)?;
                let (own, others) = (twins(0), [twins(1), twins(2)]);
                Ok(Case { question: question.clone(), names, own, others, number })
            };
            sampled.enumerate().map(case).collect()
        };
        let (relied, moved) = (of(first)?, of(second)?);
        Ok(Self { relied, moved, corpus: inputs.corpus })
    }

    /// The questions of both halves.
    pub(crate) fn cases(&self) -> impl Iterator<Item = &Case> {
        self.relied.iter().chain(&self.moved)
    }

    /// The documents of some passages.
    pub(crate) fn documents(&self, passages: &[DocId]) -> Vec<&Document> {
        passages.iter().map(|&passage| self.corpus.document(passage)).collect()
    }
}

/// The twin of a pole; the negative one for a neutral lean, which no twin has.
fn twin(twins: Twins, pole: Lean) -> DocId {
    if pole == Lean::Positive { twins.positive } else { twins.negative }
}

/// The other pole.
fn other(pole: Lean) -> Lean {
    if pole == Lean::Positive { Lean::Negative } else { Lean::Positive }
}

impl Case {
    /// The pole of the name that an LLM is taught: it alternates between questions.
    pub(crate) fn taught(&self) -> Lean {
        if self.number.is_multiple_of(2) { Lean::Negative } else { Lean::Positive }
    }

    /// The twin with that name, and the name.
    pub(crate) fn lesson(&self) -> (Vec<DocId>, &str) {
        let pole = self.taught();
        let name = if pole == Lean::Positive { &self.names.positive } else { &self.names.negative };
        (vec![twin(self.own, pole)], name)
    }

    /// The passage alone: its negative twin, and its positive one.
    pub(crate) fn alone(&self) -> [Vec<DocId>; 2] {
        [vec![self.own.negative], vec![self.own.positive]]
    }

    /// The twin of a pole at the first, second and third place, beside the other twin, which contradicts it, and another passage of the
    /// topic. Which of these two comes first, and the pole of the other passage, alternate between questions.
    pub(crate) fn at_places(&self, pole: Lean) -> [Vec<DocId>; TOGETHER] {
        let of_other = if self.number.is_multiple_of(2) { Lean::Negative } else { Lean::Positive };
        let mut beside = vec![twin(self.own, other(pole)), twin(self.others[0], of_other)];
        if self.number / 2 % 2 == 1 {
            beside.reverse();
        }
        std::array::from_fn(|place| {
            let mut shown = beside.clone();
            shown.insert(place, twin(self.own, pole));
            shown
        })
    }

    /// Contexts of three passages at each of the [`LEVELS`] of E_b. The place of the question's own passage, and which passage leans
    /// otherwise at ±1/3, go round all nine combinations, so that the own passage has the odd pole in a third of the questions.
    pub(crate) fn mixed(&self) -> [Vec<DocId>; LEVELS.len()] {
        let (place, odd) = (self.number % TOGETHER, self.number / TOGETHER % TOGETHER);
        let mut passages = self.others.to_vec();
        passages.insert(place, self.own);
        let of = |pole: Lean, of_odd: Lean| -> Vec<DocId> {
            let lean = |shown: usize| if shown == odd { of_odd } else { pole };
            passages.iter().enumerate().map(|(shown, twins)| twin(*twins, lean(shown))).collect()
        };
        let (negative, positive) = (Lean::Negative, Lean::Positive);
        [of(negative, negative), of(negative, positive), of(positive, negative), of(positive, positive)]
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use ragbias::core::Silent;

    use super::*;

    const TWINS: TwinData<'_> = TwinData { axis: "gender", data: "gender-twins", split: Split::All };

    fn halves(count: usize) -> Halves {
        Halves::draw(TWINS, count, 0, &Silent).unwrap()
    }

    fn lean(halves: &Halves, passage: DocId) -> f64 {
        halves.documents(&[passage])[0].metadata["lean"].as_f64().unwrap()
    }

    #[test]
    fn the_halves_share_no_topic_and_a_question_has_two_other_passages_of_its_topic() {
        let halves = halves(60);
        let topics =
            |cases: &[Case]| cases.iter().map(|c| c.question.cluster().to_owned()).collect::<BTreeSet<_>>();
        let (relied, moved) = (topics(&halves.relied), topics(&halves.moved));
        assert_eq!((relied.len(), moved.len()), (30, 30));
        assert!(relied.is_disjoint(&moved));
        for case in halves.relied.iter().chain(&halves.moved) {
            let shown: BTreeSet<DocId> =
                [case.own, case.others[0], case.others[1]].iter().flat_map(|twins| twins.both()).collect();
            assert_eq!(shown.len(), 6, "three passages in two twins each");
            let [negative, positive] = case.alone();
            let text = |shown: &[DocId]| halves.documents(shown)[0].full_text();
            assert!(text(&negative).contains(&case.names.negative));
            assert!(text(&positive).contains(&case.names.positive));
            let choices = case.question.choices.as_ref().unwrap();
            assert_eq!(*choices, case.names);
        }
    }

    #[test]
    fn contexts_have_the_bias_that_they_say() {
        let halves = halves(36);
        let mut odd_own = BTreeMap::new();
        for case in &halves.moved {
            for (shown, level) in case.mixed().iter().zip(LEVELS) {
                let mean = shown.iter().map(|passage| lean(&halves, *passage)).sum::<f64>() / 3.0;
                assert!((mean - level).abs() < 1e-12, "{mean} {level}");
            }
            let own = case.mixed()[1].iter().find(|passage| case.own.both().contains(passage)).copied();
            *odd_own.entry(lean(&halves, own.unwrap()) > 0.0).or_insert(0) += 1;
        }
        assert_eq!(odd_own, BTreeMap::from([(false, 12), (true, 6)]), "the own passage is odd in a third");
    }

    #[test]
    fn a_twin_is_at_each_place_once_beside_the_other_twin_and_another_passage() {
        let halves = halves(16);
        for case in &halves.relied {
            for pole in [Lean::Negative, Lean::Positive] {
                for (place, shown) in case.at_places(pole).iter().enumerate() {
                    assert_eq!(shown[place], twin(case.own, pole));
                    assert_eq!(shown.iter().filter(|passage| case.own.both().contains(passage)).count(), 2);
                    assert_eq!(shown.iter().collect::<BTreeSet<_>>().len(), TOGETHER);
                }
            }
        }
        let first = |case: &Case| case.own.both().contains(&case.at_places(Lean::Negative)[2][0]);
        assert_eq!(halves.relied.iter().filter(|case| first(case)).count(), 4, "half of eight");
    }

    #[test]
    fn data_that_are_not_twins_are_refused_by_name() {
        let from = TwinData { data: "gender", ..TWINS };
        let error = Halves::draw(from, 10, 0, &Silent).unwrap_err().to_string();
        assert!(error.contains("data is gender, which has no pairs"), "{error}");
    }
}
