use std::cmp::Ordering;
use std::sync::Arc;

use ragbias_core::{
    Axis, BiasScorer, ChoicePrompt, Chosen, ContentHasher, ContentId, Generator, Judging, Passage, Progress,
    Prompt, Result, Silent, Unit, Verdict, in_order,
};

use crate::Error;

/// Scores with an LLM, which is asked yes/no questions about the text.
///
/// For each pole the axis has two questions with opposite answers, *q* (is the pole present?) and *q′* (is it absent?). The LLM
/// chooses between `Yes` and `No` by the probabilities of the letters A and B as its first token, with the two in both orders
/// ([`Generator::choose`]), which gives the log-odds ℓ of yes. The pole is present if
///
/// ```text
/// (ℓ(q) − ℓ(q′)) / 2 > 0
/// ```
///
/// A preference for a letter cancels between the orders, one for yes or no between the questions. A text is unscored
/// if the LLM refuses, is cut, or gives exactly even odds. A server that returns no log-probabilities is asked as for any other
/// choice. How often a judge errs is not known until it is compared with labels: `ragbias calibrate`.
pub struct Judge {
    axis: String,
    generator: Arc<dyn Generator>,
    questions: [String; 4],
    id: ContentId,
    progress: Arc<dyn Progress>,
}

impl Judge {
    /// A judge on an axis, with the questions of `[judge]` in its file.
    ///
    /// # Errors
    /// [`Error::NoJudging`] if there are none, [`Error::Judging`] if one of them is empty or asked twice.
    pub fn new(axis: &Axis, generator: Arc<dyn Generator>) -> crate::Result<Self> {
        let Some(judging) = &axis.judge else {
            return Err(Error::NoJudging { axis: axis.name.clone() });
        };
        if let Some(fault) = judging.fault() {
            return Err(Error::Judging { axis: axis.name.clone(), fault });
        }
        Ok(Self::asking(&axis.name, judging, generator))
    }

    fn asking(axis: &str, judging: &Judging, generator: Arc<dyn Generator>) -> Self {
        let questions = judging.questions().map(str::to_owned);
        let mut id = ContentHasher::new("judge/1").field(axis).field(generator.id().as_bytes());
        for question in &questions {
            id = id.field(question);
        }
        Self { axis: axis.to_owned(), generator, questions, id: id.finish(), progress: Arc::new(Silent) }
    }

    /// Shows there how many questions are answered.
    #[must_use]
    pub fn showing(self, progress: Arc<dyn Progress>) -> Self {
        Self { progress, ..self }
    }

    /// The LLM.
    pub fn generator(&self) -> &Arc<dyn Generator> {
        &self.generator
    }

    /// The user's messages on one text, question by question. The text comes first, so that all questions share its prefill.
    fn messages(&self, passage: &Passage<'_>) -> [String; 4] {
        let title = passage.title.map_or_else(String::new, |title| format!("{title}\n"));
        self.questions.each_ref().map(|question| format!("Text: {title}{}\n\n{question}", passage.text))
    }
}

/// Whether a pole is present, by the answers to its two questions; none if there is no telling.
fn is_present(present: &Chosen, absent: &Chosen) -> Option<bool> {
    let evidence = present.choice()?.log_odds - absent.choice()?.log_odds;
    match evidence.partial_cmp(&0.0)? {
        Ordering::Less => Some(false),
        Ordering::Equal => None,
        Ordering::Greater => Some(true),
    }
}

impl BiasScorer for Judge {
    fn id(&self) -> ContentId {
        self.id
    }

    fn axis(&self) -> &str {
        &self.axis
    }

    fn is_judge(&self) -> bool {
        true
    }

    fn score(&self, passages: &[Passage<'_>]) -> Result<Vec<Verdict>> {
        let messages: Vec<String> = passages.iter().flat_map(|passage| self.messages(passage)).collect();
        let prompts: Vec<ChoicePrompt<'_>> = (messages.iter())
            .map(|message| ChoicePrompt { prompt: Prompt::from(message), negative: "No", positive: "Yes" })
            .collect();
        let step = self.progress.begin("judging", prompts.len() as u64, Unit::Items);
        let chosen = in_order(prompts.len(), |keep| {
            self.generator.choose(&prompts, &|number, chosen| {
                step.advance(1);
                keep(number, chosen)
            })
        })?;
        let verdict = |answers: &[Chosen]| {
            let negative = is_present(&answers[0], &answers[1]);
            let positive = is_present(&answers[2], &answers[3]);
            match (positive, negative) {
                (Some(positive), Some(negative)) => Verdict::scored(positive, negative),
                _ => Verdict::Unscored,
            }
        };
        Ok(chosen.chunks_exact(self.questions.len()).map(verdict).collect())
    }
}

#[cfg(test)]
mod tests {
    use ragbias_core::{Answer, Answering, Choice, Keep, Pole, Presence};

    use super::*;

    /// Says whether the word after `a ` in the question is in the text, with a liking for yes and for the first letter; and
    /// refuses texts that contain `secret`.
    struct Reader {
        yes: f64,
        first: f64,
    }

    impl Generator for Reader {
        fn id(&self) -> ContentId {
            ContentHasher::new("reader").field(self.yes.to_le_bytes()).finish()
        }
        fn generate(&self, _: &[Prompt<'_>], _: &Keep<'_, Answer>) -> Result<()> {
            unreachable!("a judge asks for choices")
        }
        fn choose(&self, prompts: &[ChoicePrompt<'_>], keep: &Keep<'_, Chosen>) -> Result<()> {
            for (number, prompt) in prompts.iter().enumerate() {
                let (text, question) = prompt.prompt.user.rsplit_once("\n\n").unwrap();
                let word = question.trim_end_matches('?').rsplit(' ').next().unwrap();
                let is_there = text.split([' ', '.', '\n']).any(|other| other == word);
                let truth = if question.starts_with("no ") { !is_there } else { is_there };
                let yes = if truth { 0.5 } else { -0.5 } + self.yes;
                assert_eq!((prompt.negative, prompt.positive), ("No", "Yes"));
                // [A, B] with no first, then with yes first.
                let choice = Choice::from_log_probabilities([self.first - yes, 0.0], [self.first + yes, 0.0]);
                let chosen = if text.contains("secret") { Chosen::Refused } else { Chosen::Choice(choice) };
                keep(number, chosen)?;
            }
            Ok(())
        }
    }

    fn axis() -> Axis {
        let pole = |word: &str| Presence { present: format!("a {word}?"), absent: format!("no {word}?") };
        let judging = Judging { negative: pole("man"), positive: pole("woman") };
        Axis::new("gender", Pole::new("male", ""), Pole::new("female", ""), Answering::Text)
            .judged_by(judging)
    }

    fn verdicts(yes: f64, first: f64) -> Vec<Verdict> {
        let judge = Judge::new(&axis(), Arc::new(Reader { yes, first })).unwrap();
        let texts = ["A woman.", "A man.", "A man and a woman.", "A horse.", "a secret woman"];
        let mut passages: Vec<Passage<'_>> = texts.map(Passage::from).to_vec();
        passages.push(Passage { title: Some("The woman"), text: "She left.", gold: None });
        judge.score(&passages).unwrap()
    }

    #[test]
    fn a_liking_for_yes_for_no_or_for_a_letter_changes_no_verdict() {
        let expected = [
            Verdict::POSITIVE,
            Verdict::NEGATIVE,
            Verdict::scored(true, true),
            Verdict::NEITHER,
            Verdict::Unscored,
            Verdict::POSITIVE,
        ];
        for (yes, first) in [(0.0, 0.0), (4.0, 0.0), (-4.0, 0.0), (0.0, 3.0), (2.0, -3.0)] {
            assert_eq!(verdicts(yes, first), expected, "{yes} {first}");
        }
    }

    #[test]
    fn equal_answers_to_both_questions_leave_a_text_unscored() {
        let even = Chosen::Choice(Choice::from_log_probabilities([-1.0, -2.0], [-1.0, -2.0]));
        assert_eq!(is_present(&even, &even), None);
        assert_eq!(is_present(&even, &Chosen::Cut), None);
        let impossible = [f64::NEG_INFINITY; 2];
        let none = Chosen::Choice(Choice::from_log_probabilities(impossible, impossible));
        assert_eq!(is_present(&none, &even), None, "neither letter can follow");
    }

    #[test]
    fn another_model_or_another_question_has_another_id() {
        let id = |axis: &Axis, yes: f64| Judge::new(axis, Arc::new(Reader { yes, first: 0.0 })).unwrap().id();
        let mut other = axis();
        other.judge.as_mut().unwrap().positive.absent = "no girl?".into();
        assert_eq!(id(&axis(), 0.0), id(&axis(), 0.0));
        assert_ne!(id(&axis(), 0.0), id(&axis(), 1.0));
        assert_ne!(id(&axis(), 0.0), id(&other, 0.0));
    }

    #[test]
    fn an_axis_without_questions_is_refused_by_name() {
        let plain = Axis::new("gender", Pole::new("a", ""), Pole::new("b", ""), Answering::Text);
        let error = Judge::new(&plain, Arc::new(Reader { yes: 0.0, first: 0.0 })).err().unwrap().to_string();
        assert!(error.starts_with("the axis `gender` has no `[judge]`"), "{error}");
        let mut twice = axis();
        twice.judge.as_mut().unwrap().positive.absent = "a woman?".into();
        let error = Judge::new(&twice, Arc::new(Reader { yes: 0.0, first: 0.0 })).err().unwrap().to_string();
        assert!(error.contains("the same"), "{error}");
    }
}
