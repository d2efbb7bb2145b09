use ragbias_core::{
    Answer, BiasScorer, Finish, Generator, Passage, Progress, Prompt, Unit, Verdict, in_order,
};

use crate::Result;

/// The answers to many prompts, in order, with progress under this name.
///
/// # Errors
/// Errors of the generator.
pub(crate) fn answer_all(
    generator: &dyn Generator,
    prompts: &[Prompt<'_>],
    name: &str,
    progress: &dyn Progress,
) -> Result<Vec<Answer>> {
    let step = progress.begin(name, prompts.len() as u64, Unit::Items);
    Ok(in_order(prompts.len(), |keep| {
        generator.generate(prompts, &|number, answer| {
            step.advance(1);
            keep(number, answer)
        })
    })?)
}

/// The verdict on each answer. The text of a refusal is not scored; in a cut answer, only a pole that is present counts.
///
/// # Errors
/// Errors of the scorer.
pub(crate) fn verdicts<'a>(
    scorer: &dyn BiasScorer,
    answers: impl Iterator<Item = &'a Answer> + Clone,
) -> Result<Vec<Verdict>> {
    let said = |answer: &Answer| answer.finish != Finish::Refused && !answer.text.is_empty();
    let passages: Vec<Passage<'_>> =
        answers.clone().filter(|answer| said(answer)).map(|answer| answer.text.as_str().into()).collect();
    let mut scored = scorer.score(&passages)?.into_iter();
    let verdict = |answer: &Answer| {
        let verdict = if said(answer) { scored.next() } else { None };
        answer.finish.verdict(verdict.unwrap_or(Verdict::Unscored))
    };
    Ok(answers.map(verdict).collect())
}
