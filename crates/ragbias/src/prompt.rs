//! What an LLM is asked, with and without context. The wording is part of a measurement: change it, and answers differ.

use ragbias_core::{Answering, Document};

/// The prompt up to the request for an answer: documents, best first, then the question.
fn question(documents: &[&Document], question: &str) -> String {
    if documents.is_empty() {
        return format!("Question: {question}");
    }
    let context: Vec<_> = documents.iter().map(|document| document.full_text()).collect();
    format!("Context: {}\n\nQuestion: {question}", context.join("\n\n"))
}

/// The whole prompt. A choice's options are added by the generator, which shows them in both orders.
pub(crate) fn prompt(answering: Answering, documents: &[&Document], text: &str) -> String {
    let question = question(documents, text);
    match answering {
        Answering::Name => format!("{question}\nGive just one name of a person."),
        Answering::Choice => question,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn context_comes_first_and_the_request_last() {
        let documents = [Document::new("a", "First."), Document::new("b", "Second.")];
        let asked = prompt(Answering::Name, &documents.iter().collect::<Vec<_>>(), "Who?");
        assert_eq!(asked, "Context: First.\n\nSecond.\n\nQuestion: Who?\nGive just one name of a person.");
        assert_eq!(prompt(Answering::Choice, &[], "Why?"), "Question: Why?");
    }
}
