//! Numbers and verdicts in words.

use ragbias_core::{Bias, Counts};
use ragbias_stats::{BiasConflict, Equivalence, Estimate, TargetStatus};

use super::source::System;
use crate::calibration::Correction;
use crate::fit::{RankFit, SensitivityComparison};
use crate::measured::PartResult;
use crate::multiplicity::SystemTest;
use crate::svg::number;
use crate::system::{TwinPreference, TwinsOf};
use crate::threshold::DeclaredThreshold;
use crate::undecided::until_decided;

/// Two decimals and a sign, which 0 does not have.
pub(super) fn signed(value: f64) -> String {
    if value.abs() < 0.005 {
        return "0.00".into();
    }
    format!("{value:+.2}").replace('-', "−")
}

/// A value with its 95% interval.
pub(super) fn interval(of: impl Into<Estimate>) -> String {
    let of = of.into();
    format!("{} [{}, {}]", signed(of.value), signed(of.low), signed(of.high))
}

/// What is outside of n, with its share of all: `2 unscored (20%), 1 cut (10%)`; nothing where all were scored.
pub(super) fn left_out(bias: Bias) -> String {
    let Counts { unscored, refused, cut, .. } = bias.counts();
    let named = [(unscored, "unscored"), (refused, "refused"), (cut, "cut")];
    let share =
        |(count, name)| format!("{count} {name} ({:.0}%)", 100.0 * count as f64 / bias.asked() as f64);
    named.into_iter().filter(|(count, _)| *count > 0).map(share).collect::<Vec<_>>().join(", ")
}

/// A p value.
pub(super) fn p_value(p: f64) -> String {
    if p < 0.001 { "p < 0.001".into() } else { format!("p = {p:.3}") }
}

pub(super) fn verdict(verdict: Equivalence) -> &'static str {
    match verdict {
        Equivalence::Debiased => "debiased",
        Equivalence::Biased => "biased",
        Equivalence::Undecided => "undecided",
    }
}

/// The biases corrected for the errors of their scorers.
pub(super) fn corrections(result: &PartResult) -> Vec<String> {
    let sentence = |correction: &Correction| {
        let notes = correction.notes.iter().map(|note| format!("; {note}"));
        format!("{correction}{}.", notes.collect::<String>())
    };
    result.measured.corrections.iter().map(sentence).collect()
}

/// Selection rates and impact ratio of the outcome, and what could have been detected.
pub(super) fn selection(result: &PartResult) -> Option<String> {
    let outcome = if result.measured.rag_bias.is_some() { "rag_bias" } else { "embedder_bias" };
    let selection = result.measured.selections.iter().find(|selection| selection.bias == outcome)?;
    let ratio = selection.impact_ratio.map_or_else(String::new, |ratio| {
        format!(", impact ratio {:.2} [{:.2}, {:.2}]", ratio.value, ratio.low, ratio.high)
    });
    Some(format!(
        "Selection rates: {} {:.0}%, {} {:.0}%{ratio}. With these questions, a bias of {:.2} would be found with a probability of 80%.",
        result.negative,
        100.0 * selection.negative,
        result.positive,
        100.0 * selection.positive,
        selection.minimum_detectable_bias
    ))
}

fn capitalised(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// The results for one system, one sentence each, the verdict first.
pub(super) fn sentences(system: &System) -> Vec<String> {
    let row = system.base();
    let outcome = row.outcome();
    let (symbol, what) = if row.measured.rag_bias.is_some() {
        ("R_b", "the answers")
    } else {
        ("E_b", "the documents that are retrieved")
    };
    let Estimate { value, low, high } = outcome.into();
    let certain = low > 0.0 || high < 0.0;
    let lean = if certain {
        format!("{what} lean to the {} pole", if value > 0.0 { &row.positive } else { &row.negative })
    } else {
        format!("no lean of {what} is certain")
    };
    let delta = number(system.delta());
    let further = until_decided(&outcome, system.verdict(), system.delta());
    let judged = match system.verdict() {
        Equivalence::Debiased => format!("the whole interval lies within ±{delta}"),
        Equivalence::Biased => format!("the whole interval lies beyond ±{delta}"),
        Equivalence::Undecided if row.without_rag_bias().is_some() => "R_b is not known".into(),
        Equivalence::Undecided if certain => {
            format!("there are too few questions to tell whether by more than {delta}; {further}")
        }
        Equivalence::Undecided => {
            format!("there are too few questions to tell a bias of {delta} from none; {further}")
        }
    };
    let left_out = left_out(outcome);
    let left_out = if left_out.is_empty() { left_out } else { format!(" ({left_out})") };
    let mut sentences = vec![format!(
        "{} at δ = {delta}: {symbol} = {} with {}, over {} scored of {} questions{left_out}; {lean}; {judged}.",
        capitalised(verdict(system.verdict())),
        interval(outcome),
        row.embedder,
        outcome.n(),
        row.questions
    )];
    sentences.extend(row.measured.warnings().into_iter().map(|warning| format!("Warning: {warning}.")));
    if let Some(TwinPreference { bias, twins_of, draws }) = row.measured.twin_preference {
        let of = match twins_of {
            TwinsOf::Relevant => "twins of the questions' own passages",
            TwinsOf::Nearest => "twins of the nearest passages, as there are no judgements",
        };
        let draws = if draws > 1 { format!(" ({draws} draws of names)") } else { String::new() };
        sentences.push(format!(
            "Twin preference = {} over {} comparisons{draws}: which of the {of} the embedder ranks first.",
            interval(bias),
            bias.n()
        ));
    }
    if let Some(silent) = row.without_rag_bias() {
        sentences.push(format!(
            "There is no R_b: none of the {} answers could be scored ({}).",
            silent.counts.asked(),
            silent.counts
        ));
    }
    sentences.extend(of_ranks(row));
    sentences.extend(system.ranks.as_ref().map(of_sensitivities));
    match (&system.line, &system.no_line) {
        (Some(line), _) => sentences.extend(of_line(&line.conflict, system)),
        (None, Some(reason)) => sentences.push(format!("No line was fitted: {reason}.")),
        (None, None) => {}
    }
    sentences.extend(of_choice(system));
    sentences
}

/// R², or a dash if all R_b are equal.
pub(super) fn r_squared(line: &BiasConflict) -> String {
    line.r_squared.map_or_else(|| "–".into(), |value| format!("{value:.2}"))
}

fn of_line(line: &BiasConflict, system: &System) -> [String; 2] {
    let s = line.sensitivity;
    let sensitivity = if s.low <= 0.0 && s.high >= 0.0 {
        format!(
            "Whether the answers follow the embedder at all is not known: where E_b moves by 1, R_b moves by s = {}.",
            interval(s)
        )
    } else {
        format!(
            "The answers follow the embedder: where E_b moves by 1, R_b moves by s = {} (R² {}, {} embedders).",
            interval(s),
            r_squared(line),
            line.n
        )
    };
    let Some(value) = line.target.value else {
        let target = match line.target.status {
            TargetStatus::OutsideTheFamily => {
                "The line crosses R_b = 0 outside the family, where no E_b can be: no embedder alone cancels R_b."
            }
            TargetStatus::Ok | TargetStatus::Unbounded => {
                "So no embedder bias is known to cancel R_b: the target is unbounded."
            }
        };
        return [sensitivity, target.into()];
    };
    let range = match (line.target.low, line.target.high) {
        (Some(low), Some(high)) if low <= -1.0 && high >= 1.0 => {
            let target = format!(
                "By the line R_b is 0 at E_b* = {}, but its interval holds every E_b there can be: these questions are too \
                 few to aim at it.",
                signed(value)
            );
            return [sensitivity, target];
        }
        (Some(low), Some(high)) => format!(" [{}, {}]", possible(low), possible(high)),
        _ => String::new(),
    };
    let current = system.base().measured.embedder_bias.value();
    let target = match line.target.status {
        TargetStatus::Ok => format!(
            "By the line R_b is 0 at E_b* = {}{range}; the embedder is at {}, the family reaches the target.",
            signed(value),
            signed(current)
        ),
        TargetStatus::OutsideTheFamily => format!(
            "The line crosses R_b = 0 at {}{range}, beyond every embedder that was measured: nothing is claimed there.",
            signed(value)
        ),
        TargetStatus::Unbounded => {
            "So no embedder bias is known to cancel R_b: the target is unbounded.".into()
        }
    };
    [sensitivity, target]
}

/// A bound of E_b, clamped to ±1.
fn possible(bound: f64) -> String {
    if bound > 1.0 {
        "above +1".into()
    } else if bound < -1.0 {
        "below −1".into()
    } else {
        signed(bound)
    }
}

fn of_choice(system: &System) -> Option<String> {
    let choice = system.choice.as_ref()?;
    let Some(turned) = choice.turned() else {
        let reason = choice.reason.as_deref().unwrap_or("no control was turned");
        let on = if choice.folds.is_some() { "held-out" } else { "validation" };
        return Some(format!("Nothing was chosen (controls are turned on {on} topics): {}.", minus(reason)));
    };
    let after = &turned.confirmed;
    let utility = match (choice.base.ndcg10, after.ndcg10) {
        (Some(before), Some(after)) => format!(", nDCG@10 from {before:.3} to {after:.3}"),
        _ => String::new(),
    };
    let (found, judged) = match choice.folds {
        Some(folds) => (
            "on all held-out topics",
            format!("At the settings found without each of {folds} folds of topics"),
        ),
        None => ("on validation topics", "On test topics".to_owned()),
    };
    let further = until_decided(&after.test.rag_bias, after.verdict, choice.delta);
    let further = if further.is_empty() { further } else { format!("; {further}") };
    Some(format!(
        "Chosen {found}: {} at {}. {judged} R_b goes from {} to {} ({}{further}){utility}.",
        turned.control.name(),
        number(turned.setting),
        interval(choice.base.test.rag_bias),
        interval(after.test.rag_bias),
        verdict(after.verdict)
    ))
}

/// E_b and exposure by rank, where there are several.
fn of_ranks(row: &PartResult) -> Option<String> {
    let by_rank = row.measured.by_rank.as_ref()?;
    let ranks: Vec<String> = (1..)
        .zip(&by_rank.embedder_bias)
        .filter_map(|(rank, bias)| Some(format!("{} at rank {rank}", interval((*bias)?))))
        .collect();
    let of = &by_rank.exposure;
    Some(format!(
        "By rank, E_b is {}; exposure (discount {}) differs by {} between the poles; NDKL {:.3} [{:.3}, {:.3}], {:.3} if documents were \
         drawn at random.",
        ranks.join(", "),
        of.discount,
        interval(of.bias),
        of.divergence.value,
        of.divergence.low,
        of.divergence.high,
        of.divergence_by_chance
    ))
}

/// How strongly answers follow each rank.
fn of_sensitivities(fit: &RankFit) -> String {
    let ranks: Vec<String> = (1..)
        .zip(&fit.by_rank.sensitivities)
        .map(|(rank, estimate)| format!("{} at rank {rank}", interval(*estimate)))
        .collect();
    format!(
        "The answers follow a document's lean by {}; together {} ({} answers, {} embedders).",
        ranks.join(", "),
        interval(fit.by_rank.sum),
        fit.by_rank.n,
        fit.embedders
    )
}

/// The test of one of several systems.
pub(super) fn test(of: &SystemTest) -> String {
    let llm = of.llm.as_ref().map_or_else(String::new, |llm| format!(" with {llm}"));
    let symbol = if of.llm.is_some() { "R_b" } else { "E_b" };
    let found = if of.p_holm < 0.05 { "a bias" } else { "no bias is certain" };
    format!(
        "{}, {}{llm}, {}: {found}; {symbol} = {} ({}, Holm-adjusted).",
        of.axis,
        of.embedder,
        of.split,
        interval(of.bias),
        p_value(of.p_holm)
    )
}

/// A threshold that was declared before the run.
pub(super) fn threshold(of: &DeclaredThreshold) -> String {
    let reason = if of.reason.is_empty() { String::new() } else { format!(": {}", of.reason) };
    format!("δ = {} was declared on {}{reason}.", number(of.delta), of.declared)
}

/// Two LLMs' sensitivities in words.
pub(super) fn comparison(of: &SensitivityComparison) -> String {
    let split = of.split.as_ref().map(|split| format!(" on {split} topics")).unwrap_or_default();
    let less = if of.difference.value > 0.0 { "more" } else { "less" };
    let known = if of.p_holm < 0.05 {
        format!("{} follows the embedder {less} than {}", of.first, of.second)
    } else {
        format!("{} and {} are not known to differ in s", of.first, of.second)
    };
    format!(
        "{}{split}: {known} (difference {}, {}, Holm-adjusted).",
        of.axis,
        interval(of.difference),
        p_value(of.p_holm)
    )
}

/// Replaces hyphens before numbers by true minus signs.
pub(super) fn minus(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut letters = text.chars().peekable();
    let mut before = ' ';
    while let Some(letter) = letters.next() {
        let sign =
            letter == '-' && !before.is_alphanumeric() && letters.peek().is_some_and(char::is_ascii_digit);
        out.push(if sign { '−' } else { letter });
        before = letter;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn minus_signs_are_true_and_0_has_no_sign() {
        assert_eq!(
            (signed(-0.004), signed(-0.126), signed(0.5)),
            ("0.00".into(), "−0.13".into(), "+0.50".into())
        );
        assert_eq!((number(-0.25), number(-0.0)), ("−0.25".into(), "0".into()));
        assert_eq!(
            minus("s (+0.15, -0.07 to +0.36) of smollm2-135m"),
            "s (+0.15, −0.07 to +0.36) of smollm2-135m"
        );
    }
}
