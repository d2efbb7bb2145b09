use std::error::Error;

/// Starts a hint, on its own line, in the text of an error or a note.
const HINT: &str = "\nhint: ";

/// The text of an error and its causes, from the outermost to the innermost, each once; hints come last.
///
/// ```
/// use ragbias_core::{Error, message};
///
/// #[derive(Debug, thiserror::Error)]
/// #[error("vectors.npy\nhint: write it again")]
/// struct Damaged(#[source] Error);
///
/// let error = Damaged(Error::ZeroVector { row: 3 });
/// assert_eq!(message(&error), "vectors.npy: vector 3 has length 0 and cannot be normalised\nhint: write it again");
/// ```
pub fn message(error: &(dyn Error + 'static)) -> String {
    let (mut wrong, mut hints) = (String::new(), Vec::new());
    let mut next = Some(error);
    while let Some(error) = next {
        let text = error.to_string();
        let mut parts = text.split(HINT);
        let said = parts.next().unwrap_or_default();
        // Errors of other libraries may already contain the text of their cause.
        if !wrong.contains(said) {
            wrong = if wrong.is_empty() { said.to_owned() } else { format!("{wrong}: {said}") };
        }
        for hint in parts {
            if !hints.iter().any(|known| known == hint) {
                hints.push(hint.to_owned());
            }
        }
        next = error.source();
    }
    hints.iter().fold(wrong, |text, hint| text + HINT + hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{text}")]
    struct Layer {
        text: &'static str,
        source: Option<Box<Layer>>,
    }

    fn layers(texts: &[&'static str]) -> Layer {
        let (text, below) = texts.split_first().unwrap();
        Layer { text, source: (!below.is_empty()).then(|| Box::new(layers(below))) }
    }

    #[test]
    fn every_layer_is_said_once_and_hints_come_last() {
        for (texts, expected) in [
            (&["the run", "the store"][..], "the run: the store"),
            (
                &["the run\nhint: again", "a file\nhint: another"],
                "the run: a file\nhint: again\nhint: another",
            ),
            (&["a\nhint: again", "b\nhint: again"], "a: b\nhint: again"),
            (&["reading x: no such file", "no such file"], "reading x: no such file"),
            (&["two\nlines\nhint: h", "cause"], "two\nlines: cause\nhint: h"),
        ] {
            assert_eq!(message(&layers(texts)), expected);
        }
    }
}
