//! Collects notes for the user about a server's answers.

use std::collections::BTreeMap;

use super::parallel::Limited;

/// Why a letter is sampled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Why {
    /// The probability of A and B is too low.
    Uncovered,
    /// The server returns no log-probabilities.
    Untold,
    /// The first token belongs to the model's reasoning.
    Thinks,
}

impl Why {
    fn words(self) -> &'static str {
        match self {
            Self::Uncovered => "A and B had less than half of the probability",
            Self::Untold => "the server tells no log-probabilities",
            Self::Thinks => "the model thinks before it answers",
        }
    }
}

/// Counts over all requests since connecting.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Answers by `system_fingerprint`.
    pub(super) fingerprints: BTreeMap<String, usize>,
    /// Answers cut during reasoning.
    pub(super) cut_thinking: usize,
    /// Answers without text that consist only of reasoning.
    pub(super) only_thought: usize,
    /// Choices read from sampled letters, by reason.
    pub(super) sampled: BTreeMap<Why, usize>,
    /// Choices whose sign is undetermined because of a letter outside the list.
    pub(super) open: usize,
    /// Answers that contained the key or the password.
    pub(super) held_secret: usize,
    /// Irregularities, by count.
    pub(super) remarks: BTreeMap<String, usize>,
}

impl Seen {
    /// Each as a sentence.
    pub(super) fn notes(&self, samples: usize, budget: usize, limited: Limited) -> Vec<String> {
        let mut notes = Vec::new();
        let count =
            |n: usize, one: &str, many: &str| if n == 1 { format!("1 {one}") } else { format!("{n} {many}") };
        if self.fingerprints.len() > 1 {
            let each: Vec<String> =
                self.fingerprints.iter().map(|(print, n)| format!("{n} under {print}")).collect();
            notes.push(format!(
                "the server's system_fingerprint changed between answers: {}",
                each.join(", ")
            ));
        }
        if self.cut_thinking > 0 {
            notes.push(format!(
                "{} cut while the model was thinking, after {budget} tokens\nhint: `reasoning-tokens` allows more",
                count(self.cut_thinking, "answer was", "answers were")
            ));
        }
        if self.only_thought > 0 {
            notes.push(format!(
                "{} empty, with all of the text in the server's field for reasoning, and count as refused",
                count(self.only_thought, "answer was", "answers were")
            ));
        }
        for (why, &n) in &self.sampled {
            let choices = count(n, "choice was", "choices were");
            notes.push(format!(
                "{choices} read from {samples} sampled letters in each order of the claims, as {}",
                why.words()
            ));
        }
        if self.held_secret > 0 {
            notes.push(format!(
                "{} the key or the password that was sent; (key) stands in its place",
                count(self.held_secret, "answer held", "answers held")
            ));
        }
        if self.open > 0 {
            notes.push(format!(
                "{} taken as even: a letter outside the server's list of likely tokens leaves open which claim is likelier",
                count(self.open, "choice was", "choices were")
            ));
        }
        if limited.times > 0 {
            notes.push(format!(
                "the server limited the rate {}: down to {} in flight, and {:.1} s waited as it asked",
                count(limited.times, "time", "times"),
                count(limited.fewest, "request", "requests"),
                limited.waited.as_secs_f64()
            ));
        }
        notes.extend(
            self.remarks.iter().map(|(remark, n)| format!("{remark} ({})", count(*n, "answer", "answers"))),
        );
        notes
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn nothing_seen_is_nothing_to_say_and_everything_else_is_counted() {
        let quiet = Limited { times: 0, waited: Duration::ZERO, fewest: 16 };
        assert!(Seen::default().notes(8, 24, quiet).is_empty());
        let mut seen = Seen { cut_thinking: 1, open: 1, only_thought: 1, ..Seen::default() };
        seen.fingerprints = BTreeMap::from([("a".into(), 5), ("b".into(), 1)]);
        seen.sampled = BTreeMap::from([(Why::Uncovered, 2), (Why::Untold, 3), (Why::Thinks, 1)]);
        seen.remarks.insert("odd".into(), 2);
        let notes = seen
            .notes(8, 4120, Limited { times: 2, waited: Duration::from_millis(1500), fewest: 4 })
            .join("\n");
        for part in [
            "5 under a, 1 under b",
            "1 answer was cut",
            "4120 tokens",
            "2 choices were read from 8",
            "3 choices",
            "1 choice was taken as even",
            "2 times: down to 4 requests",
            "1.5 s",
            "odd (2 answers)",
        ] {
            assert!(notes.contains(part), "{part}: {notes}");
        }
        let one = Seen { fingerprints: BTreeMap::from([("a".into(), 5)]), ..Seen::default() };
        assert!(one.notes(8, 24, quiet).is_empty());
    }
}
