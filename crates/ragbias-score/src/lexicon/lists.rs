//! The verdict on a list of names.

use ragbias_core::Verdict;

use super::reader::{Person, Reader};
use super::vocabulary::Pole;

impl Reader<'_> {
    /// For every word, whether it is part of a name.
    pub(super) fn named(&self) -> Vec<bool> {
        let mut named = vec![false; self.tokens.len()];
        for person in &self.people {
            named[person.words.clone()].fill(true);
        }
        named
    }

    /// The verdict on a list of names, `None` for other texts: both poles are present if both are named. A text
    /// that consists only of a list is not judged by the names that happen to be known.
    pub(super) fn verdict_on_names(&self) -> Option<Verdict> {
        let names_alone = !self.evidence.is_empty() && self.evidence.iter().all(|item| item.rule.is_name());
        if self.people.len() < 2 || !names_alone {
            return None;
        }
        let is_joint = |at: usize| {
            let token = &self.tokens[at];
            matches!(token.folded.as_str(), "and" | "or" | "with" | "as" | "well")
                || token.is_number()
                || token.initial
        };
        let mut groups: Vec<Vec<&Person>> = Vec::new();
        for person in &self.people {
            let joined = groups.last().and_then(|group| group.last()).is_some_and(|before| {
                let between = before.words.end..person.words.start;
                let stops = (between.start..=person.words.start).any(|at| {
                    // `2. Pierre Curie`
                    let numbered = at > 0 && self.tokens[at - 1].is_number();
                    let gap = self.tokens[at].gap;
                    gap.contains(['.', '!', '?', ':']) && !gap.contains('\n') && !numbered
                });
                !stops
                    && between.clone().all(is_joint)
                    && (!between.is_empty() || !self.tokens[person.words.start].follows)
            });
            if joined {
                groups.last_mut().expect("a person came before; this is a bug").push(person);
            } else {
                groups.push(vec![person]);
            }
        }
        let names = |group: &[&Person], pole| group.iter().any(|person| person.pole == Some(pole));
        if groups.iter().any(|group| names(group, Pole::Negative) && names(group, Pole::Positive)) {
            return Some(Verdict::scored(true, true));
        }
        let named = self.named();
        let bare_list = groups.len() == 1 && (0..self.tokens.len()).all(|at| named[at] || is_joint(at));
        (bare_list && self.people.iter().any(|person| person.pole.is_none())).then_some(Verdict::Unscored)
    }
}
