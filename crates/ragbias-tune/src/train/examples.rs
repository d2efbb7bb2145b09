//! Examples and batches of them, by the indices of their texts.

use std::collections::{BTreeSet, HashMap};

/// An example whose texts are indices in [`Texts`].
pub(super) struct Placed {
    pub(super) question: usize,
    pub(super) positives: Vec<usize>,
    pub(super) negatives: Vec<usize>,
}

/// Some examples, and the indices of their texts; a text shared by several of them occurs once.
pub(super) struct Batch<'a> {
    pub(super) examples: Vec<&'a Placed>,
    /// The questions in order, then the documents.
    pub(super) places: Vec<usize>,
    /// The position of a document among the documents, by its index.
    pub(super) columns: HashMap<usize, usize>,
}

impl<'a> Batch<'a> {
    pub(super) fn new(examples: &[&'a Placed]) -> Self {
        let documents: BTreeSet<usize> = examples
            .iter()
            .flat_map(|example| example.positives.iter().chain(&example.negatives))
            .copied()
            .collect();
        let columns = documents.iter().enumerate().map(|(column, &place)| (place, column)).collect();
        let places = examples.iter().map(|example| example.question).chain(documents).collect();
        Self { examples: examples.to_vec(), places, columns }
    }
}
