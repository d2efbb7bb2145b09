use ragbias_core::{Axis, BiasScorer, ContentHasher, ContentId, Passage, Result, Verdict};

use crate::Error;

/// Scores with an axis's own word lists: a pole is present if one of its words or phrases is.
///
/// Whole words are compared, ignoring case; punctuation between two words of a phrase does not matter. Negation
/// and irony are not understood. A text with no word of either list is unscored, as nothing shows that neither pole is present.
#[derive(Debug, Clone)]
pub struct Words {
    axis: String,
    negative: Vec<Vec<String>>,
    positive: Vec<Vec<String>>,
    id: ContentId,
}

impl Words {
    /// The word lists of an axis.
    ///
    /// # Errors
    /// [`Error::NoWords`] if a pole has no words, or an entry without a letter or a digit; [`Error::SharedWord`] if both
    /// poles have the same word.
    pub fn of(axis: &Axis) -> crate::Result<Self> {
        let mut id = ContentHasher::new("words/1").field(&axis.name);
        let mut lists = [&axis.negative, &axis.positive].map(|pole| (pole, Vec::new()));
        for (pole, phrases) in &mut lists {
            for entry in &pole.words {
                let phrase = words(entry);
                if phrase.is_empty() {
                    break;
                }
                id = id.field(phrase.join(" "));
                phrases.push(phrase);
            }
            if phrases.is_empty() || phrases.len() < pole.words.len() {
                return Err(Error::NoWords { axis: axis.name.clone(), pole: pole.name.clone() });
            }
            id = id.field("");
        }
        let [(_, negative), (_, positive)] = lists;
        if let Some(shared) = negative.iter().find(|phrase| positive.contains(phrase)) {
            return Err(Error::SharedWord { axis: axis.name.clone(), word: shared.join(" ") });
        }
        Ok(Self { axis: axis.name.clone(), negative, positive, id: id.finish() })
    }
}

/// The lower-case words of a text.
fn words(text: &str) -> Vec<String> {
    let between = |c: char| !c.is_alphanumeric() && !matches!(c, '\'' | '’');
    text.split(between).filter(|word| !word.is_empty()).map(str::to_lowercase).collect()
}

fn has(text: &[String], phrases: &[Vec<String>]) -> bool {
    phrases.iter().any(|phrase| text.windows(phrase.len()).any(|window| window == phrase))
}

impl BiasScorer for Words {
    fn id(&self) -> ContentId {
        self.id
    }

    fn axis(&self) -> &str {
        &self.axis
    }

    fn score(&self, passages: &[Passage<'_>]) -> Result<Vec<Verdict>> {
        let verdict = |passage: &Passage<'_>| {
            let mut text = words(passage.title.unwrap_or_default());
            // A phrase does not continue from the title into the text.
            text.push(String::new());
            text.extend(words(passage.text));
            match (has(&text, &self.positive), has(&text, &self.negative)) {
                (false, false) => Verdict::Unscored,
                (positive, negative) => Verdict::scored(positive, negative),
            }
        };
        Ok(passages.iter().map(verdict).collect())
    }
}

#[cfg(test)]
mod tests {
    use ragbias_core::{Answering, Pole};

    use super::*;

    fn axis(young: &[&str], old: &[&str]) -> Axis {
        let pole = |name: &str, words: &[&str]| {
            let mut pole = Pole::new(name, "");
            pole.words = words.iter().map(|word| (*word).to_owned()).collect();
            pole
        };
        Axis::new("age", pole("young", young), pole("old", old), Answering::Text)
    }

    #[test]
    fn a_pole_is_present_where_one_of_its_words_or_phrases_is_whole_and_in_any_case() {
        let words = Words::of(&axis(&["young", "in her teens"], &["old", "Élderly"])).unwrap();
        let verdict = |text: &str| words.score(&[text.into()]).unwrap()[0];
        assert_eq!(verdict("An OLD man."), Verdict::POSITIVE);
        assert_eq!(verdict("the élderly"), Verdict::POSITIVE);
        assert_eq!(verdict("she was in her teens,"), Verdict::NEGATIVE);
        assert_eq!(verdict("the young and the old"), Verdict::scored(true, true));
        assert_eq!(verdict("told in her"), Verdict::Unscored);
        let split = Passage { title: Some("In her"), text: "teens", gold: None };
        assert_eq!(words.score(&[split]).unwrap(), [Verdict::Unscored]);
    }

    #[test]
    fn lists_that_are_empty_or_share_a_word_are_refused() {
        let refused = |young: &[&str], old: &[&str]| Words::of(&axis(young, old)).unwrap_err().to_string();
        assert!(refused(&["young"], &[]).starts_with("the pole `old` of the axis `age` has no words"));
        assert!(refused(&["young"], &["old", "…"]).contains("`old`"));
        assert_eq!(
            refused(&["young", "Both"], &["both"]),
            "both poles of the axis `age` have the word `both`"
        );
    }

    #[test]
    fn another_list_has_another_id() {
        let id = |young: &[&str], old: &[&str]| Words::of(&axis(young, old)).unwrap().id();
        assert_eq!(id(&["young"], &["old"]), id(&["Young"], &["old"]));
        assert_ne!(id(&["young", "new"], &["old"]), id(&["young"], &["new", "old"]));
    }
}
