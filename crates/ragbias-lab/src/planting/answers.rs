//! The answers of an LLM that is shown the document that is found first.

use std::collections::BTreeMap;

use ragbias::Prompter;
use ragbias::core::{Axis, DocId, Document, Pairs};

use super::added::First;
use super::collection::Collection;
use crate::asking::{Asked, Llm};
use crate::error::Result;

/// Prompts that are asked and kept together.
const AT_A_TIME: usize = 30;

/// Shows an LLM one document with a question.
pub(super) struct Asking<'a> {
    pub(super) llm: &'a Llm<'a>,
    pub(super) axis: &'a Axis,
    pub(super) collection: &'a Collection,
    pub(super) pairs: &'a Pairs,
}

impl Asking<'_> {
    /// For each question with what is found first, the lean of the answer: the pole of the likelier of the two names that the shown
    /// passage has in its twins; none without a twin. A copy has the names of the passage that it copies, whatever the question before it.
    pub(super) fn leans(&self, shown: &[(usize, First<'_>)]) -> Result<Vec<Option<i32>>> {
        let prompter = Prompter::new(self.axis)?;
        let mut asked: Vec<Asked> = Vec::new();
        let mut places: BTreeMap<String, usize> = BTreeMap::new();
        let mut place_of = Vec::with_capacity(shown.len());
        for &(row, first) in shown {
            let (passage, text) = match first {
                First::Own(place) => (place, self.collection.text(place)),
                First::Added(copied) => (copied.passage, copied.text.clone()),
            };
            let Some(twins) = self.pairs.twins(DocId(passage as u32)) else {
                place_of.push(None);
                continue;
            };
            let document = Document::new("shown", text);
            let user = prompter.prompt(&self.collection.questions[row].text, &[&document])?;
            let place = *places.entry(user.clone()).or_insert(asked.len());
            if place == asked.len() {
                let names = twins.names(&self.collection.corpus)?;
                asked.push(Asked { system: prompter.system().map(str::to_owned), user, names });
            }
            place_of.push(Some(place));
        }
        let differences = self.llm.weigh(&asked, AT_A_TIME, "with what is found first")?;
        Ok(place_of.into_iter().map(|place| Some(sign(differences[place?]))).collect())
    }
}

/// The lean of an answer, from the log-probability of the positive name less that of the negative one.
fn sign(difference: f64) -> i32 {
    i32::from(difference > 0.0) - i32::from(difference < 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_likelier_name_is_the_answer_and_equal_ones_are_neither() {
        assert_eq!([0.1, -0.1, 0.0].map(sign), [1, -1, 0]);
    }
}
