//! How an author edits a document.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

/// Something before the text of a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Edit {
    /// The question's content words.
    Keywords,
    /// The question.
    Question,
    /// The question twice.
    Twice,
    /// The question in an LLM's words.
    Paraphrase,
    /// Other words, chosen by an embedder's gradients.
    Swapped,
}

impl Edit {
    pub(super) const ALL: [Self; 5] =
        [Self::Keywords, Self::Question, Self::Twice, Self::Paraphrase, Self::Swapped];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Keywords => "its keywords",
            Self::Question => "the question",
            Self::Twice => "the question twice",
            Self::Paraphrase => "a paraphrase",
            Self::Swapped => "words by gradients",
        }
    }

    /// What it repeats of a question; none if it repeats nothing.
    pub(super) fn repeated(self, question: &str) -> Option<String> {
        match self {
            Self::Keywords => {
                let words: Vec<&str> = question.split_whitespace().filter(|word| is_content(word)).collect();
                Some(words.join(" "))
            }
            Self::Question => Some(question.into()),
            Self::Twice => Some(format!("{question} {question}")),
            Self::Paraphrase | Self::Swapped => None,
        }
    }
}

/// Words that a question has whatever it is about.
const FUNCTION: [&str; 24] = [
    "about", "does", "from", "have", "into", "that", "their", "them", "then", "there", "these", "they",
    "this", "those", "were", "what", "when", "where", "which", "while", "whom", "whose", "with", "your",
];

fn is_content(word: &str) -> bool {
    let word = bare(word);
    word.chars().count() > 3 && !FUNCTION.contains(&word.as_str())
}

fn bare(word: &str) -> String {
    word.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

/// The share of a question's content words that a text contains; 0 for a question without any.
pub(super) fn containment(question: &str, text: &str) -> f64 {
    let words = |text: &str| -> BTreeSet<String> {
        text.split_whitespace().filter(|word| is_content(word)).map(bare).collect()
    };
    let (question, text) = (words(question), words(text));
    if question.is_empty() {
        return 0.0;
    }
    question.intersection(&text).count() as f64 / question.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_repeats_a_question_contains_all_its_content_words() {
        let question = "Which restorer saved the fresco's blue, and when?";
        for edit in Edit::ALL {
            let repeated = edit.repeated(question);
            assert_eq!(repeated.is_none(), matches!(edit, Edit::Paraphrase | Edit::Swapped));
            assert!(repeated.is_none_or(|words| containment(question, &words) == 1.0), "{edit:?}");
        }
        assert_eq!(Edit::Keywords.repeated(question).unwrap(), "restorer saved fresco's blue,");
        assert_eq!(containment(question, "the restorer slept"), 0.25);
        assert_eq!(containment("who is it", "anything"), 0.0);
    }
}
