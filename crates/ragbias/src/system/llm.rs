use std::collections::HashMap;

use ragbias_core::{
    Answer, Bias, BiasScorer, Choice, Choices, Chosen, Counts, Finish, Generator, Passage, Prompt, Unit,
    Verdict, in_order,
};

use super::setting::{Llm, Rendered, Setting};
use crate::answer_bias::{AnswerBias, Coverage, NothingScored};
use crate::{Error, Result};

/// An LLM's answer to one prompt, scored.
#[derive(Clone)]
struct JudgedAnswer {
    text: String,
    verdict: Verdict,
    choice: Option<Choice>,
}

/// The prompts for a set of questions, with the bias that their answers measure.
pub(super) struct PromptSet<'q> {
    pub(super) bias: AnswerBias,
    pub(super) prompts: Vec<Rendered>,
    /// For each question.
    pub(super) topics: Vec<&'q str>,
}

impl Llm {
    /// Answers several sets of prompts: each distinct prompt is asked once, all of them in one call, with a name for the progress.
    pub(super) fn answer(
        &self,
        setting: &Setting,
        name: &str,
        sets: &[PromptSet<'_>],
    ) -> Result<Vec<Answers>> {
        let mut places: HashMap<&Rendered, usize> = HashMap::new();
        let mut distinct: Vec<&Rendered> = Vec::new();
        for prompt in sets.iter().flat_map(|set| &set.prompts) {
            places.entry(prompt).or_insert_with(|| {
                distinct.push(prompt);
                distinct.len() - 1
            });
        }
        let answered = self.ask(setting, name, &distinct)?;
        let bootstrap = setting.bootstrap();
        (sets.iter())
            .map(|set| {
                let answers: Vec<&JudgedAnswer> =
                    set.prompts.iter().map(|prompt| &answered[places[prompt]]).collect();
                let verdicts: Vec<Verdict> = answers.iter().map(|answer| answer.verdict).collect();
                let bias = match bootstrap.bias(&verdicts, &set.topics) {
                    Ok(bias) => Ok(bias),
                    Err(ragbias_core::Error::NothingScored(counts)) => {
                        Err(NothingScored { bias: set.bias, counts })
                    }
                    Err(error) => return Err(error.into()),
                };
                let choices = answers.iter().filter_map(|answer| answer.choice).collect();
                let texts = answers.into_iter().map(|answer| answer.text.clone()).collect();
                Ok(Answers { bias, texts, verdicts, choices })
            })
            .collect()
    }

    fn ask(&self, setting: &Setting, name: &str, prompts: &[&Rendered]) -> Result<Vec<JudgedAnswer>> {
        let step = setting.workspace.progress().begin(name, prompts.len() as u64, Unit::Items);
        let choices: Option<Vec<_>> = prompts.iter().map(|prompt| prompt.choice(setting)).collect();
        if let Some(choices) = choices {
            let chosen = in_order(choices.len(), |keep| {
                self.generator.choose(&choices, &|number, chosen| {
                    step.advance(1);
                    keep(number, chosen)
                })
            })?;
            let answers =
                prompts.iter().zip(&chosen).map(|(prompt, chosen)| JudgedAnswer::choice(prompt, chosen));
            return Ok(answers.collect());
        }
        let prompts: Vec<Prompt<'_>> = prompts.iter().map(|prompt| prompt.prompt(setting)).collect();
        let answers = in_order(prompts.len(), |keep| {
            self.generator.generate(&prompts, &|number, answer| {
                step.advance(1);
                keep(number, answer)
            })
        })?;
        drop(step);
        self.judge(setting, answers)
    }

    /// Scores answers. The text of a refusal is not scored; in a cut answer, only a pole that is present counts.
    fn judge(&self, setting: &Setting, answers: Vec<Answer>) -> Result<Vec<JudgedAnswer>> {
        let Some(scorer) = &self.scorer else {
            return Err(Error::NoAnswerScorer { axis: setting.axis.name.clone() });
        };
        let said = |answer: &Answer| answer.finish != Finish::Refused && !answer.text.is_empty();
        let passages: Vec<Passage<'_>> =
            answers.iter().filter(|answer| said(answer)).map(|answer| answer.text.as_str().into()).collect();
        let mut scored = scorer.score(&passages)?.into_iter();
        Ok((answers.into_iter())
            .map(|answer| {
                let verdict = if said(&answer) { scored.next() } else { None };
                let verdict = answer.finish.verdict(verdict.unwrap_or(Verdict::Unscored));
                JudgedAnswer { text: answer.text, verdict, choice: None }
            })
            .collect())
    }
}

impl JudgedAnswer {
    /// The chosen claim.
    fn choice(prompt: &Rendered, chosen: &Chosen) -> Self {
        let verdict = chosen.verdict();
        let text = match (verdict, &prompt.claims) {
            (Verdict::POSITIVE, Some(Choices { positive, .. })) => positive.clone(),
            (Verdict::NEGATIVE, Some(Choices { negative, .. })) => negative.clone(),
            _ => String::new(),
        };
        Self { text, verdict, choice: chosen.choice().copied() }
    }
}

/// An LLM's answers to a set of questions, scored: L_b without documents, R_b with them.
#[derive(Debug, Clone, PartialEq)]
pub struct Answers {
    bias: Result<Bias, NothingScored>,
    texts: Vec<String>,
    verdicts: Vec<Verdict>,
    choices: Vec<Choice>,
}

impl Answers {
    /// The mean lean of the answers.
    ///
    /// # Errors
    /// [`Error::NothingScored`] if none of them could be scored.
    pub fn bias(&self) -> Result<Bias> {
        self.bias.map_err(Error::NothingScored)
    }

    /// The outcomes of the answers.
    pub fn counts(&self) -> Counts {
        Counts::of(&self.verdicts)
    }

    /// The answer to each question, or the chosen claim; empty if there is none.
    pub fn texts(&self) -> &[String] {
        &self.texts
    }

    /// The verdict on each answer.
    pub fn verdicts(&self) -> &[Verdict] {
        &self.verdicts
    }

    /// Mean log-odds of the claim shown first, over all choices; none if answers are not choices.
    pub fn position_bias(&self) -> Option<f64> {
        let sum: f64 = self.choices.iter().map(|choice| choice.position_bias).sum();
        (!self.choices.is_empty()).then(|| sum / self.choices.len() as f64)
    }

    /// Coverage of the two letters; none if answers are not choices.
    pub fn coverage(&self) -> Option<Coverage> {
        Coverage::of(self.choices())
    }

    pub(crate) fn choices(&self) -> impl Iterator<Item = &Choice> {
        self.choices.iter()
    }

    /// The bias, or the reason why there is none.
    pub(crate) fn judged(&self) -> Result<Bias, NothingScored> {
        self.bias
    }
}
