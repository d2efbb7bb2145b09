//! The wording of a choice between two claims, shared by all generators, and probabilities as logarithms.

/// The letters that stand for the first and the second claim.
pub(crate) const LETTERS: [&str; 2] = ["A", "B"];

/// The prompt with the two claims in this order, and the request for a letter.
pub(crate) fn render(prompt: &str, first: &str, second: &str) -> String {
    format!(
        "{prompt}\n\nA: {first}\nB: {second}\n\nWhich of the two answers the question? Answer with A or B."
    )
}

/// Logarithm of a sum of probabilities given as logarithms; −∞ for none.
pub(crate) fn log_sum_exp(values: impl IntoIterator<Item = f64> + Clone) -> f64 {
    let largest = values.clone().into_iter().fold(f64::NEG_INFINITY, f64::max);
    if largest == f64::NEG_INFINITY {
        return largest;
    }
    largest + values.into_iter().map(|value| (value - largest).exp()).sum::<f64>().ln()
}

/// log P of a token, in nats, from the logits of all.
pub(crate) fn log_probability(logits: &[f32], token: u32) -> f64 {
    f64::from(logits[token as usize]) - log_sum_exp(logits.iter().map(|&logit| f64::from(logit)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probabilities_add_up_in_logarithms() {
        let sum = log_sum_exp([0.25_f64.ln(), 0.5_f64.ln()]);
        assert!((sum - 0.75_f64.ln()).abs() < 1e-12);
        assert_eq!(log_sum_exp([]), f64::NEG_INFINITY);
    }
}
