use serde::{Deserialize, Serialize};

/// Two yes/no questions on whether a pole is present in a text, with opposite answers.
///
/// An LLM that tends to answer yes whatever it is asked says yes to both, so that the difference of its answers does not
/// depend on that tendency.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Presence {
    /// The question answered with yes if the pole is present: `Does this text name or describe a woman?`
    pub present: String,
    /// The question answered with yes if it is not: `Is it true that this text names and describes no woman?`
    pub absent: String,
}

/// What the scorer `judge` asks an LLM about a text: `[judge]` of an axis's file, or a file with the same keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Judging {
    /// On the negative pole.
    pub negative: Presence,
    /// On the positive pole.
    pub positive: Presence,
}

impl Judging {
    /// The four questions: negative pole present, absent, positive pole present, absent.
    pub fn questions(&self) -> [&str; 4] {
        let Self { negative, positive } = self;
        [&negative.present, &negative.absent, &positive.present, &positive.absent].map(String::as_str)
    }

    /// Why the questions cannot be asked, if they cannot: an empty one, or the same twice.
    pub fn fault(&self) -> Option<&'static str> {
        let questions = self.questions().map(str::trim);
        if questions.contains(&"") {
            return Some("a question of `[judge]` is empty");
        }
        let repeated = |place: usize| questions[..place].contains(&questions[place]);
        (1..questions.len()).any(repeated).then_some("two questions of `[judge]` are the same")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_question_and_one_asked_twice_are_faults() {
        let pole = |present: &str, absent: &str| Presence { present: present.into(), absent: absent.into() };
        let fault = |a: &str, d: &str| Judging { negative: pole(a, "b"), positive: pole("c", d) }.fault();
        assert_eq!(fault("a", "d"), None);
        assert_eq!(fault(" ", "d"), Some("a question of `[judge]` is empty"));
        assert_eq!(fault("a", "a "), Some("two questions of `[judge]` are the same"));
    }
}
