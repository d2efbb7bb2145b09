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
}

impl Edit {
    pub(super) const ALL: [Self; 3] = [Self::Keywords, Self::Question, Self::Twice];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Keywords => "its keywords",
            Self::Question => "the question",
            Self::Twice => "the question twice",
        }
    }

    /// A text after the edit.
    pub(super) fn of(self, text: &str, question: &str) -> String {
        match self {
            Self::Keywords => {
                let words: Vec<&str> = question.split_whitespace().filter(|word| is_content(word)).collect();
                format!("{} {text}", words.join(" "))
            }
            Self::Question => format!("{question} {text}"),
            Self::Twice => format!("{question} {question} {text}"),
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
    fn an_edited_text_contains_all_content_words_of_its_question() {
        let question = "Which restorer saved the fresco's blue, and when?";
        for edit in Edit::ALL {
            let edited = edit.of("A passage on bees.", question);
            assert!(edited.ends_with("A passage on bees."), "{edited}");
            assert_eq!(containment(question, &edited), 1.0, "{edited}");
        }
        assert_eq!(Edit::Keywords.of("x", question), "restorer saved fresco's blue, x");
        assert_eq!(containment(question, "the restorer slept"), 0.25);
        assert_eq!(containment("who is it", "anything"), 0.0);
    }
}
