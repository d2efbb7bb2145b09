use std::collections::BTreeMap;

use ragbias_core::{Lean, Verdict};
use serde::{Deserialize, Serialize};

use super::moment::Moment;

/// What is measured of answers and of the documents that they show.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Series {
    /// The answers: R_b, or L_b in the log of the LLM without documents.
    Answers,
    /// The first document of each answer: E_b.
    First,
    /// All documents of each answer: C_b of what is shown.
    Shown,
    /// The answers whose first document leans to the negative pole.
    OnNegative,
    /// Those whose first document leans to neither.
    OnNeutral,
    /// Those whose first document leans to the positive pole.
    OnPositive,
}

impl Series {
    /// R_b at first documents of each lean.
    pub(super) const AT_EQUAL_DOCUMENTS: [Self; 3] = [Self::OnNegative, Self::OnNeutral, Self::OnPositive];

    /// That of answers whose first document has this lean.
    fn on(lean: f64) -> Self {
        if lean < 0.0 {
            Self::OnNegative
        } else if lean > 0.0 {
            Self::OnPositive
        } else {
            Self::OnNeutral
        }
    }
}

/// A mean of leans.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Mean {
    sum: f64,
    n: usize,
}

/// The answers to one topic, of which each series has one value: their mean lean.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Unit {
    /// Which came first.
    number: usize,
    /// The questions that it has an answer to.
    questions: Vec<String>,
    means: BTreeMap<Series, Mean>,
}

/// An answer whose text and documents are scored.
pub(super) struct Judged {
    pub(super) answer: Verdict,
    /// Of its documents, best first; none if they are not shown.
    pub(super) documents: Option<Vec<Verdict>>,
}

impl Unit {
    fn add(&mut self, question: String, judged: &Judged) {
        self.questions.push(question);
        let mut add = |series: Series, lean: f64| {
            let mean = self.means.entry(series).or_default();
            mean.sum += lean;
            mean.n += 1;
        };
        let answer = judged.answer.lean().map(Lean::value);
        if let Some(lean) = answer {
            add(Series::Answers, lean);
        }
        let documents = judged.documents.as_deref().unwrap_or_default();
        for lean in documents.iter().filter_map(|verdict| verdict.lean()) {
            add(Series::Shown, lean.value());
        }
        if let Some(first) = documents.first().and_then(|verdict| verdict.lean()) {
            add(Series::First, first.value());
            if let Some(lean) = answer {
                add(Series::on(first.value()), lean);
            }
        }
    }

    /// The value of each series of which an answer or a document is scored, in [−1, 1].
    pub(super) fn values(&self) -> impl Iterator<Item = (Series, f64)> {
        self.means.iter().map(|(series, mean)| (*series, mean.sum / mean.n as f64))
    }
}

/// Puts answers together into units, in the order in which they arrive.
///
/// Answers to one topic lean alike, so that they are one unit, their mean. A topic's unit ends, and enters the sequences, when one of its questions is asked again,
/// when all questions of the topic are answered, if a set says which they are, and with the day (UTC), if answers have a time. An answer
/// without a topic is a unit of its own. When a unit ends depends on what is asked and when, never on what is answered: else the sequences would not hold.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Units {
    begun: usize,
    day: Option<i64>,
    open: BTreeMap<String, Unit>,
}

impl Units {
    /// Adds an answer, and returns the units that end before it and with it, in the order in which they began. `size` is the number of questions of its topic, if known.
    pub(super) fn add(
        &mut self,
        (topic, question): (Option<String>, String),
        now: Option<Moment>,
        size: Option<usize>,
        judged: &Judged,
    ) -> Vec<Unit> {
        let mut ended = Vec::new();
        if let Some(day) = now.map(Moment::day) {
            if self.day.is_some_and(|before| before < day) {
                ended = self.end_all();
            }
            self.day = Some(day);
        }
        let Some(topic) = topic else {
            let mut unit = self.begin();
            unit.add(question, judged);
            ended.push(unit);
            return ended;
        };
        let repeated = self.open.get(&topic).is_some_and(|unit| unit.questions.contains(&question));
        if repeated {
            ended.extend(self.open.remove(&topic));
        }
        let mut unit = self.open.remove(&topic).unwrap_or_else(|| self.begin());
        unit.add(question, judged);
        if size.is_some_and(|size| unit.questions.len() >= size) {
            ended.push(unit);
        } else {
            self.open.insert(topic, unit);
        }
        ended
    }

    /// Ends all units, in the order in which they began.
    pub(super) fn end_all(&mut self) -> Vec<Unit> {
        let mut ended: Vec<Unit> = std::mem::take(&mut self.open).into_values().collect();
        ended.sort_by_key(|unit| unit.number);
        ended
    }

    /// Topics and answers that wait for the end of their units.
    pub(super) fn waiting(&self) -> (usize, usize) {
        (self.open.len(), self.open.values().map(|unit| unit.questions.len()).sum())
    }

    fn begin(&mut self) -> Unit {
        self.begun += 1;
        Unit { number: self.begun, ..Unit::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(answer: Verdict, documents: &[Verdict]) -> Judged {
        Judged { answer, documents: (!documents.is_empty()).then(|| documents.to_vec()) }
    }

    fn answers(units: &[Unit]) -> Vec<f64> {
        let of = |unit: &Unit| {
            unit.values().find(|(series, _)| *series == Series::Answers).map(|(_, value)| value)
        };
        units.iter().filter_map(of).collect()
    }

    fn asked(topic: &str, question: &str) -> (Option<String>, String) {
        (Some(topic.into()), question.into())
    }

    #[test]
    fn a_topic_ends_when_a_question_comes_again() {
        let mut units = Units::default();
        let (yes, no) = (judged(Verdict::POSITIVE, &[]), judged(Verdict::NEGATIVE, &[]));
        assert!(units.add(asked("law", "a"), None, None, &yes).is_empty());
        assert!(units.add(asked("art", "a"), None, None, &no).is_empty());
        assert!(units.add(asked("law", "b"), None, None, &no).is_empty());
        assert_eq!(units.waiting(), (2, 3));
        assert_eq!(answers(&units.add(asked("law", "a"), None, None, &yes)), [0.0]);
        assert_eq!(answers(&units.add((None, "c".into()), None, None, &yes)), [1.0], "without a topic");
        assert_eq!(answers(&units.end_all()), [-1.0, 1.0], "in the order in which they began");
    }

    #[test]
    fn a_topic_ends_when_it_is_complete_or_with_the_day() {
        let mut units = Units::default();
        let yes = judged(Verdict::POSITIVE, &[]);
        assert_eq!(units.add(asked("law", "a"), None, Some(2), &yes).len(), 0);
        assert_eq!(units.add(asked("law", "b"), None, Some(2), &yes).len(), 1);
        let at = |text: &str| Some(text.parse::<Moment>().unwrap());
        assert_eq!(units.add(asked("law", "a"), at("2026-01-01T10:00:00Z"), None, &yes).len(), 0);
        assert_eq!(units.add(asked("law", "b"), at("2026-01-01T23:59:59Z"), None, &yes).len(), 0);
        assert_eq!(units.add(asked("law", "c"), at("2026-01-02"), None, &yes).len(), 1);
    }

    #[test]
    fn every_series_has_the_mean_of_what_is_scored() {
        let mut unit = Unit::default();
        unit.add(
            "a".into(),
            &judged(Verdict::POSITIVE, &[Verdict::NEGATIVE, Verdict::Unscored, Verdict::POSITIVE]),
        );
        unit.add("b".into(), &judged(Verdict::Refused, &[Verdict::POSITIVE]));
        unit.add("c".into(), &judged(Verdict::NEGATIVE, &[Verdict::Unscored]));
        let values: Vec<_> = unit.values().collect();
        let expected = [
            (Series::Answers, 0.0),
            (Series::First, 0.0),
            (Series::Shown, 1.0 / 3.0),
            (Series::OnNegative, 1.0),
        ];
        assert_eq!(values, expected);
        let empty = Unit::default();
        assert_eq!(empty.values().count(), 0);
    }
}
