//! The answers of an LLM that is shown the document that is found first.

use std::collections::BTreeMap;

use ragbias::Prompter;
use ragbias::core::{Axis, DocId, Document, Pairs};

use super::added::First;
use super::collection::Collection;
use crate::asking::{Asked, Llm, answer};
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
            let names = twins.names(&self.collection.corpus)?;
            let one = Asked::new(&prompter, &self.collection.questions[row].text, &[&document], &names)?;
            let place = *places.entry(one.user.clone()).or_insert(asked.len());
            if place == asked.len() {
                asked.push(one);
            }
            place_of.push(Some(place));
        }
        let differences = self.llm.weigh(&asked, AT_A_TIME, "with what is found first")?;
        Ok(place_of.into_iter().map(|place| Some(answer(differences[place?]) as i32)).collect())
    }
}
