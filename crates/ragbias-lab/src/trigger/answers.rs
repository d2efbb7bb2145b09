//! Whether an answer follows the document that a trigger brought to the front.

use std::sync::Arc;

use ragbias::core::{Axis, Corpus, Document, Embedder, Lean};
use ragbias::generate::{GenerateConfig, ServerConfig};
use ragbias::{AnswerMode, LlmName, System};
use serde::{Deserialize, Serialize};

use super::contests::{Contests, Side};
use crate::bench::Bench;
use crate::error::Result;
use crate::hotflip::before;

/// The first passage and the answer to a question, without a trigger and with it, by sign: of the axis's positive pole +1.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Answered {
    pub(super) topic: String,
    /// The lean of the first passage.
    pub(super) passages: [Option<i32>; 2],
    /// The pole of the likelier name.
    pub(super) answers: [Option<i32>; 2],
}

/// Asks an LLM the questions of some contests twice: with the nearest of all documents of `all`, and of the same with the trigger in those
/// of the pole.
pub(super) fn answered(
    axis: &Axis,
    embedder: &Arc<dyn Embedder>,
    llm: &LlmName,
    (all, asked): (&Contests, &Contests),
    trigger: &str,
    bench: &Bench,
) -> Result<Vec<Answered>> {
    let (models, generate, server) =
        (bench.workspace().models(), GenerateConfig::default(), ServerConfig::default());
    let system = System::on(axis.clone())
        .embedder(Arc::clone(embedder))
        .llm(models.generator(llm, &generate, &server, bench.progress())?)
        .answering(AnswerMode::Pair)
        .top_k(1)
        .workspace(bench.workspace())
        .build()?;
    let questions = asked.question_set()?;
    let plain = all.corpus(|_, document| document)?;
    let with = all
        .corpus(|side, document| if side == Side::Pole { triggered(trigger, document) } else { document })?;
    let found = |corpus: &Corpus| -> Result<_> { Ok(system.index(corpus)?.retrieve(&questions)?) };
    let found = [found(&plain)?, found(&with)?];
    let answers = system.answer_all(&found)?;
    let signs = |verdicts: &[ragbias::core::Verdict]| -> Vec<Option<i32>> {
        verdicts.iter().map(|verdict| verdict.lean().map(|lean: Lean| lean as i32)).collect()
    };
    let passages = [signs(found[0].verdicts()), signs(found[1].verdicts())];
    let answers = [signs(answers[0].verdicts()), signs(answers[1].verdicts())];
    let of = |row: usize, topic: &str| Answered {
        topic: topic.into(),
        passages: [passages[0][row], passages[1][row]],
        answers: [answers[0][row], answers[1][row]],
    };
    Ok(asked.topics().into_iter().enumerate().map(|(row, topic)| of(row, topic)).collect())
}

/// A document with a trigger before it, whose full text is that of [`before`].
fn triggered(trigger: &str, mut document: Document) -> Document {
    match document.title.as_mut().filter(|title| !title.trim().is_empty()) {
        Some(title) => *title = before(trigger, title.trim()),
        None => document.text = before(trigger, &document.text),
    }
    document
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trigger_stands_before_the_full_text_with_a_title_and_without() {
        let plain = Document::new("a", "A text.");
        let titled = Document { title: Some(" Title ".into()), ..plain.clone() };
        for document in [plain, titled] {
            let expected = before("some words", &document.full_text());
            assert_eq!(triggered("some words", document).full_text(), expected);
        }
    }
}
