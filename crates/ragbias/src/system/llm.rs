use std::collections::HashMap;
use std::sync::Arc;

use ragbias_core::{
    Answer, Bias, BiasScorer, Choice, Choices, Chosen, Counts, Finish, Generator, Passage, Unit, Verdict,
    in_order,
};

use super::setting::{Asked, Setting};
use crate::measured::{AnswerBias, Coverage, NothingScored};
use crate::{Error, Result};

/// An LLM, and what judges its answers where they are no choices.
#[derive(Clone)]
pub(super) struct Llm {
    pub(super) generator: Arc<dyn Generator>,
    pub(super) scorer: Option<Arc<dyn BiasScorer>>,
}

/// What an LLM says to one prompt, judged.
#[derive(Clone)]
struct Said {
    text: String,
    verdict: Verdict,
    choice: Option<Choice>,
}

/// Some questions, each as it is asked, with their topics.
pub(super) struct Sheet<'q> {
    pub(super) bias: AnswerBias,
    pub(super) asked: Vec<Asked>,
    pub(super) topics: Vec<&'q str>,
}

impl Llm {
    /// Answers to all questions of all sheets: every prompt is asked once, all of them in one call, under a name for the progress.
    pub(super) fn answer(&self, setting: &Setting, name: &str, sheets: &[Sheet<'_>]) -> Result<Vec<Answers>> {
        let mut places: HashMap<&Asked, usize> = HashMap::new();
        let mut prompts: Vec<&Asked> = Vec::new();
        for asked in sheets.iter().flat_map(|sheet| &sheet.asked) {
            places.entry(asked).or_insert_with(|| {
                prompts.push(asked);
                prompts.len() - 1
            });
        }
        let said = self.ask(setting, name, &prompts)?;
        let bootstrap = setting.bootstrap();
        (sheets.iter())
            .map(|sheet| {
                let said: Vec<Said> = sheet.asked.iter().map(|asked| said[places[asked]].clone()).collect();
                let verdicts: Vec<Verdict> = said.iter().map(|said| said.verdict).collect();
                let bias = match bootstrap.bias(&verdicts, &sheet.topics) {
                    Ok(bias) => Ok(bias),
                    Err(ragbias_core::Error::NothingScored(counts)) => {
                        Err(NothingScored { bias: sheet.bias, counts })
                    }
                    Err(error) => return Err(error.into()),
                };
                let choices = said.iter().filter_map(|said| said.choice).collect();
                let texts = said.into_iter().map(|said| said.text).collect();
                Ok(Answers { bias, texts, verdicts, choices })
            })
            .collect()
    }

    fn ask(&self, setting: &Setting, name: &str, prompts: &[&Asked]) -> Result<Vec<Said>> {
        let step = setting.workspace.progress().begin(name, prompts.len() as u64, Unit::Items);
        let choices: Option<Vec<_>> = prompts.iter().map(|asked| asked.choice()).collect();
        if let Some(choices) = choices {
            let chosen = in_order(choices.len(), |keep| {
                self.generator.choose(&choices, &|number, chosen| {
                    step.advance(1);
                    keep(number, chosen)
                })
            })?;
            return Ok(prompts
                .iter()
                .zip(chosen)
                .map(|(asked, chosen)| Said::choice(asked, &chosen))
                .collect());
        }
        let texts: Vec<&str> = prompts.iter().map(|asked| asked.prompt.as_str()).collect();
        let answers = in_order(texts.len(), |keep| {
            self.generator.generate(&texts, &|number, answer| {
                step.advance(1);
                keep(number, answer)
            })
        })?;
        drop(step);
        self.judge(setting, answers)
    }

    /// Scores answers. A refusal is none, whoever it names; of what was cut, only a pole that came counts.
    fn judge(&self, setting: &Setting, answers: Vec<Answer>) -> Result<Vec<Said>> {
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
                Said { text: answer.text, verdict, choice: None }
            })
            .collect())
    }
}

impl Said {
    /// The claim that was chosen.
    fn choice(asked: &Asked, chosen: &Chosen) -> Self {
        let verdict = chosen.verdict();
        let text = match (verdict, &asked.claims) {
            (Verdict::POSITIVE, Some(Choices { positive, .. })) => positive.clone(),
            (Verdict::NEGATIVE, Some(Choices { negative, .. })) => negative.clone(),
            _ => String::new(),
        };
        Self { text, verdict, choice: chosen.choice().copied() }
    }
}

/// Answers of an LLM to a set of questions, judged: L_b where it was given nothing, R_b where it was given documents.
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
    /// [`Error::NothingScored`] where none of them could be scored.
    pub fn bias(&self) -> Result<Bias> {
        self.bias.map_err(Error::NothingScored)
    }

    /// What became of the answers.
    pub fn counts(&self) -> Counts {
        Counts::of(&self.verdicts)
    }

    /// What was said to each question, or the claim that was chosen; empty where nothing was.
    pub fn texts(&self) -> &[String] {
        &self.texts
    }

    /// The verdict on each answer.
    pub fn verdicts(&self) -> &[Verdict] {
        &self.verdicts
    }

    /// Mean log-odds of the claim shown first, over the choices that were made; none where answers are no choices.
    pub fn position_bias(&self) -> Option<f64> {
        let sum: f64 = self.choices.iter().map(|choice| choice.position_bias).sum();
        (!self.choices.is_empty()).then(|| sum / self.choices.len() as f64)
    }

    /// How probable the two letters were; none where answers are no choices.
    pub fn coverage(&self) -> Option<Coverage> {
        Coverage::of(self.choices())
    }

    pub(crate) fn choices(&self) -> impl Iterator<Item = &Choice> {
        self.choices.iter()
    }

    /// The bias, or why there is none.
    pub(crate) fn judged(&self) -> Result<Bias, NothingScored> {
        self.bias
    }
}
