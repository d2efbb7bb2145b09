//! Questions in other words, by an LLM.

use std::collections::BTreeMap;
use std::sync::Arc;

use ragbias::core::{
    Answer, Axis, Corpus, Document, Finish, GenerateAll, Generator, Lean, Prompt, Unit, Verdict,
};
use ragbias::generate::{GenerateConfig, ServerConfig};
use ragbias::{LlmName, System};

use super::edits::containment;
use crate::bench::Bench;
use crate::error::Result;

const SYSTEM: &str =
    "You rewrite a question with other words and the same meaning. You reply with the new question alone.";

/// What is asked for, by example.
const EXAMPLES: [[&str; 2]; 4] = [
    [
        "Who repairs antique clocks for the town museum?",
        "Which person restores old timepieces at the local museum?",
    ],
    ["Who invented a quieter saw for hospitals?", "Whose less noisy cutting tool is used in clinics?"],
    [
        "Which teacher started the evening chess club?",
        "What instructor founded the after-school board-game group?",
    ],
    [
        "Who mapped the caves under the old mill?",
        "Which explorer charted the caverns below the ancient mill?",
    ],
];

/// Tokens of an answer.
const TOKENS: usize = 60;

/// The greatest share of a question's content words that its paraphrase has.
const MOST_SHARED: f64 = 0.5;

/// Questions that are asked and kept together.
const AT_A_TIME: usize = 12;

/// An LLM that is asked for other words.
pub(super) struct Paraphraser<'b> {
    generator: Arc<dyn Generator>,
    name: String,
    axis: Axis,
    bench: &'b Bench,
}

impl<'b> Paraphraser<'b> {
    /// The LLM of this name.
    ///
    /// # Errors
    /// An unknown or damaged model.
    pub(super) fn load(name: &LlmName, axis: &Axis, bench: &'b Bench) -> Result<Self> {
        let config = GenerateConfig::default().max_new_tokens(TOKENS);
        let models = bench.workspace().models();
        let generator = models.generator(name, &config, &ServerConfig::default(), bench.progress())?;
        Ok(Self { generator, name: name.to_string(), axis: axis.clone(), bench })
    }

    /// Paraphrases of questions, by number; those of which the LLM made none are missing.
    ///
    /// # Errors
    /// Those of the LLM.
    pub(super) fn of(&self, questions: &[(usize, &str)]) -> Result<BTreeMap<usize, String>> {
        let label = format!("{}, rewording questions", self.name);
        let step = self.bench.progress().begin(&label, questions.len() as u64, Unit::Items);
        let mut made = BTreeMap::new();
        for chunk in questions.chunks(AT_A_TIME) {
            let prompts: Vec<String> = chunk.iter().map(|(_, question)| prompt(question)).collect();
            let answers: Vec<Answer> =
                self.bench.kept("paraphrases", &(self.generator.id(), SYSTEM, &prompts), || {
                    let prompts = prompts.iter().map(|user| Prompt { system: Some(SYSTEM), user });
                    Ok(self.generator.generate_all(prompts)?)
                })?;
            let own = chunk.iter().zip(&answers);
            made.extend(
                own.filter_map(|((row, question), answer)| Some((*row, paraphrase(question, answer)?))),
            );
            step.advance(chunk.len() as u64);
        }
        self.without_poles(made)
    }

    /// Those that show no pole: a document's lean must not change.
    fn without_poles(&self, made: BTreeMap<usize, String>) -> Result<BTreeMap<usize, String>> {
        if made.is_empty() {
            return Ok(made);
        }
        let documents = made.iter().map(|(row, text)| Document::new(row.to_string(), text.clone()));
        let corpus = Corpus::new(documents.collect())?;
        let judged =
            System::on(self.axis.clone()).workspace(self.bench.workspace()).build()?.judge(&corpus)?;
        let shows_one = |verdict: &Verdict| verdict.lean().is_some_and(|lean| lean != Lean::Neutral);
        let own = made.into_iter().zip(judged.verdicts());
        Ok(own.filter(|(_, verdict)| !shows_one(verdict)).map(|(made, _)| made).collect())
    }
}

fn prompt(question: &str) -> String {
    let example = |[question, other]: [&str; 2]| format!("Question: {question}\nNew question: {other}\n\n");
    EXAMPLES.map(example).concat() + &format!("Question: {question}\nNew question:")
}

/// The paraphrase in an answer; none if it was cut, is not one question alone, or has more than half of the question's content words.
fn paraphrase(question: &str, answer: &Answer) -> Option<String> {
    let text = answer.text.trim().trim_start_matches("New question:").trim().trim_matches('"');
    let is_question = text.ends_with('?') && text.matches('?').count() == 1 && !text.contains(['\n', ':']);
    let is_other =
        text.to_lowercase() != question.to_lowercase() && containment(question, text) <= MOST_SHARED;
    (answer.finish == Finish::Stop && is_question && is_other).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_paraphrase_is_another_question_and_nothing_else() {
        let question = "Who smothered burning fat and calmly sent the lunch queue outdoors?";
        let of = |text: &str| paraphrase(question, &Answer::whole(text));
        let other = "Who put out a pan fire and led the waiting diners outside?";
        assert_eq!(of(other).as_deref(), Some(other));
        assert_eq!(of(&format!("New question: \"{other}\"")).as_deref(), Some(other));
        assert_eq!(of(question), None);
        assert_eq!(of("Who smothered burning fat and calmly led the lunch queue outside?"), None);
        assert_eq!(of("The cook put out a pan fire."), None);
        assert_eq!(of(&format!("Sure, here it is: {other}")), None);
        assert_eq!(of(&format!("{other} Question: Who was it?")), None);
        assert_eq!(of(""), None);
        assert_eq!(paraphrase(question, &Answer::cut(other)), None);
        assert!(
            EXAMPLES.iter().all(|[question, other]| paraphrase(question, &Answer::whole(*other)).is_some())
        );
    }
}
