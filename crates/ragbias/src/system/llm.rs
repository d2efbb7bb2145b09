use std::collections::HashMap;

use ragbias_core::{Answer, Bias, Choice, Counts, Generator, PairAnswer, Prompt, Unit, Verdict, in_order};

use super::pair_answers;
use super::setting::{Asked, Llm, Rendered, Setting};
use crate::answer_bias::{AnswerBias, Coverage, NothingScored};
use crate::answering::{answer_all, verdicts};
use crate::measure::AnswerMode;
use crate::{Error, Result};

/// An LLM's answer to one prompt, scored.
#[derive(Clone)]
struct JudgedAnswer {
    text: String,
    verdict: Verdict,
    reading: Option<Reading>,
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
                let readings = answers.iter().filter_map(|answer| answer.reading).collect();
                let texts = answers.into_iter().map(|answer| answer.text.clone()).collect();
                Ok(Answers { bias, texts, verdicts, readings })
            })
            .collect()
    }

    fn ask(&self, setting: &Setting, name: &str, prompts: &[&Rendered]) -> Result<Vec<JudgedAnswer>> {
        let progress = setting.workspace.progress();
        match setting.answers {
            AnswerMode::Choice => {
                let choices: Vec<_> = prompts.iter().filter_map(|prompt| prompt.choice(setting)).collect();
                let step = progress.begin(name, choices.len() as u64, Unit::Items);
                let chosen = in_order(choices.len(), |keep| {
                    self.generator.choose(&choices, &|number, chosen| {
                        step.advance(1);
                        keep(number, chosen)
                    })
                })?;
                let read = chosen.iter().map(|chosen| (chosen.verdict(), chosen.choice().map(Reading::from)));
                Ok(prompts.iter().zip(read).map(|(prompt, read)| JudgedAnswer::read(prompt, read)).collect())
            }
            AnswerMode::Pair => {
                let asked = prompts.iter().filter_map(|prompt| match &prompt.asked {
                    Asked::Pair(pair) => Some((prompt.prompt(setting), pair)),
                    Asked::Text | Asked::Choice(_) => None,
                });
                let asked: Vec<_> = asked.collect();
                let step = progress.begin(name, pair_answers::likelihoods(&asked) as u64, Unit::Items);
                let answers = pair_answers::weigh(self.generator.as_ref(), &asked, || step.advance(1))?;
                let read = answers.iter().map(|answer| (answer.verdict(), Some(Reading::from(answer))));
                Ok(prompts.iter().zip(read).map(|(prompt, read)| JudgedAnswer::read(prompt, read)).collect())
            }
            AnswerMode::Text => {
                let prompts: Vec<Prompt<'_>> = prompts.iter().map(|prompt| prompt.prompt(setting)).collect();
                let answers = answer_all(self.generator.as_ref(), &prompts, name, progress)?;
                self.judge(setting, answers)
            }
        }
    }

    /// Scores answers.
    fn judge(&self, setting: &Setting, answers: Vec<Answer>) -> Result<Vec<JudgedAnswer>> {
        let Some(scorer) = &self.scorer else {
            return Err(Error::NoAnswerScorer { axis: setting.axis.name.clone() });
        };
        let verdicts = verdicts(scorer.as_ref(), answers.iter())?;
        let judged = answers.into_iter().zip(verdicts);
        Ok(judged
            .map(|(Answer { text, .. }, verdict)| JudgedAnswer { text, verdict, reading: None })
            .collect())
    }
}

impl JudgedAnswer {
    /// An answer that was read from probabilities.
    fn read(prompt: &Rendered, (verdict, reading): (Verdict, Option<Reading>)) -> Self {
        Self { text: prompt.answer(verdict), verdict, reading }
    }
}

/// What is known of an answer that was read from probabilities, beside its verdict.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Reading {
    /// Towards what is shown first, in nats; none if the order of nothing was exchanged.
    position_bias: Option<f64>,
    /// The probability that the LLM answers with one of the two at all.
    coverage: f64,
}

impl From<&Choice> for Reading {
    fn from(choice: &Choice) -> Self {
        Self { position_bias: Some(choice.position_bias), coverage: choice.coverage }
    }
}

impl From<&PairAnswer> for Reading {
    fn from(answer: &PairAnswer) -> Self {
        Self { position_bias: answer.position_bias, coverage: answer.coverage }
    }
}

/// An LLM's answers to a set of questions, scored: L_b without documents, R_b with them.
#[derive(Debug, Clone, PartialEq)]
pub struct Answers {
    bias: Result<Bias, NothingScored>,
    texts: Vec<String>,
    verdicts: Vec<Verdict>,
    readings: Vec<Reading>,
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

    /// The answer to each question, the chosen claim or the likelier name; empty if there is none.
    pub fn texts(&self) -> &[String] {
        &self.texts
    }

    /// The verdict on each answer.
    pub fn verdicts(&self) -> &[Verdict] {
        &self.verdicts
    }

    /// Mean log-odds of the claim shown first, over all choices; or of the name whose document is shown first, per token, over the
    /// answers whose prompts show both; none without such answers.
    pub fn position_bias(&self) -> Option<f64> {
        let known: Vec<f64> = self.readings.iter().filter_map(|reading| reading.position_bias).collect();
        (!known.is_empty()).then(|| known.iter().sum::<f64>() / known.len() as f64)
    }

    /// Coverage of the two letters or names; none if the LLM writes its answers.
    pub fn coverage(&self) -> Option<Coverage> {
        Coverage::of(self.coverages())
    }

    pub(crate) fn coverages(&self) -> impl Iterator<Item = f64> {
        self.readings.iter().map(|reading| reading.coverage)
    }

    /// The bias, or the reason why there is none.
    pub(crate) fn judged(&self) -> Result<Bias, NothingScored> {
        self.bias
    }
}
