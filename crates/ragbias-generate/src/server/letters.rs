//! The letters A and B, read from log-probabilities or from text.

use super::tokens::Token;
use crate::choice::log_sum_exp;

/// The minimum coverage: the joint probability of A and B in each order of the claims.
pub(super) const LEAST_COVERAGE: f64 = 0.5;

/// Lower log-probabilities are raised to this: some servers write −9999 for impossible tokens.
const LEAST_LOGPROB: f64 = -30.0;

/// Log-odds of A against B in one order of the claims: an interval, which is a single value if both letters are listed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Odds {
    low: f64,
    high: f64,
    /// Joint probability of A and B, as far as listed.
    pub(super) coverage: f64,
}

impl Odds {
    /// Neither letter is listed.
    pub(super) const NOTHING: Self = Self { low: f64::NEG_INFINITY, high: f64::INFINITY, coverage: 0.0 };
}

/// The combination of both orders.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Reading {
    /// Log-odds of the positive claim against the negative one.
    pub(super) log_odds: f64,
    /// Log-odds of the claim shown first.
    pub(super) position_bias: f64,
    /// Mean over both orders.
    pub(super) coverage: f64,
    /// Whether a letter outside the lists leaves the sign undetermined; then the odds are even.
    pub(super) open: bool,
}

/// Reads the list of most likely first tokens.
///
/// The probabilities of all spellings of a letter are added. A letter outside the list is at most as likely as the least likely
/// token in it, and as the remaining probability.
///
/// # Errors
/// Numbers that are not log-probabilities.
pub(super) fn read(tokens: &[Token]) -> Result<Odds, String> {
    let sum = tokens.iter().map(|token| token.logprob.exp()).sum::<f64>();
    if sum.is_nan() || sum > 1.01 {
        return Err(format!("the log-probabilities of the first token add up to a probability of {sum:.2}"));
    }
    let of = |letter| {
        let spellings = tokens.iter().filter(|token| read_letter(&token.text) == Some(letter));
        log_sum_exp(spellings.map(|token| token.logprob).collect::<Vec<_>>())
    };
    let [a, b] = [of(0), of(1)];
    let outside = (1.0 - sum).max(0.0).ln();
    let listed = tokens.iter().filter(|token| token.listed).map(|token| token.logprob);
    let bound =
        listed.fold(f64::INFINITY, f64::min).min(if outside.is_finite() { outside } else { f64::INFINITY });
    // If nothing is listed and no probability remains, the other letter is practically impossible.
    let bound = if bound.is_finite() { bound } else { LEAST_LOGPROB }.max(LEAST_LOGPROB);
    let coverage = (a.exp() + b.exp()).min(1.0);
    let difference = |a: f64, b: f64| a.max(LEAST_LOGPROB) - b.max(LEAST_LOGPROB);
    let (low, high) = match (a.is_finite(), b.is_finite()) {
        (true, true) => (difference(a, b), difference(a, b)),
        (true, false) => (difference(a, bound), f64::INFINITY),
        (false, true) => (f64::NEG_INFINITY, difference(bound, b)),
        (false, false) => (f64::NEG_INFINITY, f64::INFINITY),
    };
    Ok(Odds { low, high, coverage })
}

/// From the log-odds of A with the negative claim first and with the positive claim first.
///
/// If there are bounds, the value nearest to even odds is taken, so that a sign is never wrong.
pub(super) fn combine(negative_first: Odds, positive_first: Odds) -> Reading {
    let (a, b) = (negative_first, positive_first);
    let nearest = |low: f64, high: f64| if low > 0.0 { low } else { high.min(0.0) };
    let (low, high) = ((b.low - a.high) / 2.0, (b.high - a.low) / 2.0);
    Reading {
        log_odds: nearest(low, high),
        position_bias: nearest(f64::midpoint(a.low, b.low), f64::midpoint(a.high, b.high)),
        coverage: f64::midpoint(a.coverage, b.coverage),
        open: low < high && low <= 0.0 && high >= 0.0,
    }
}

/// From the counts of A and B sampled in both orders, `[A, B]`, out of `n` each: log-odds of the counts, each with ½ added.
pub(super) fn count(negative_first: [usize; 2], positive_first: [usize; 2], n: usize) -> Reading {
    let odds = |[a, b]: [usize; 2]| {
        let value = ((a as f64 + 0.5) / (b as f64 + 0.5)).ln();
        Odds { low: value, high: value, coverage: (a + b) as f64 / n as f64 }
    };
    combine(odds(negative_first), odds(positive_first))
}

/// The letter that a token spells: 0 for A, 1 for B.
fn read_letter(token: &str) -> Option<usize> {
    let token =
        match token.strip_prefix("<0x").and_then(|byte| u8::from_str_radix(byte.strip_suffix('>')?, 16).ok())
        {
            Some(byte) => char::from(byte).to_string(),
            None => token.to_owned(),
        };
    letter(token.trim_matches(around))
}

/// Characters allowed around a letter: white space and its marks in vocabularies, brackets, quotation marks, emphasis.
fn around(c: char) -> bool {
    c.is_whitespace() || matches!(c, '▁' | 'Ġ' | 'Ċ') || "()[]{}<>\"'`“”‘’«»*_#.,:;!\\/$-–—".contains(c)
}

fn letter(text: &str) -> Option<usize> {
    match text {
        "A" | "a" | "Ａ" => Some(0),
        "B" | "b" | "Ｂ" => Some(1),
        _ => None,
    }
}

/// The letter given in an answer, if there is exactly one.
///
/// `A`, `(b)`, `**A**`, `A: the claim`, `The answer is B.`; not the article in `A good question`, nor a negated letter.
pub(super) fn said(text: &str) -> Option<usize> {
    let line = text.lines().find(|line| !line.trim().is_empty())?;
    if let Some(found) = letter(line.trim_matches(around)) {
        return Some(found);
    }
    let capital = |word: &str| letter(word).filter(|_| word.chars().all(char::is_uppercase));
    // A letter that begins an answer is followed by punctuation; before a word it would be an article.
    let mut words = line.split_whitespace();
    let (first, second) = (words.next()?, words.next().unwrap_or_default());
    if let Some(found) = capital(first.trim_matches(around))
        && (first.ends_with(around) || second.chars().all(around))
    {
        return Some(found);
    }
    let lower = format!(" {} ", line.to_lowercase());
    if DENIALS.iter().any(|denial| lower.contains(denial)) {
        return None;
    }
    let pieces: Vec<&str> = line.split(|c| around(c) || c == '=').filter(|piece| !piece.is_empty()).collect();
    let mut found = pieces.windows(2).enumerate().filter_map(|(place, pair)| {
        let next = pieces.get(place + 2).copied().unwrap_or_default();
        let article = next.starts_with(char::is_lowercase)
            && !["because", "as", "since", "for", "or", "and", "but"].contains(&next);
        let announced = ANNOUNCING.contains(&pair[0].to_lowercase().as_str());
        capital(pair[1]).filter(|&letter| announced && (letter == 1 || !article))
    });
    let letter = found.next()?;
    found.all(|other| other == letter).then_some(letter)
}

/// Words by which an answer rejects a letter, or names both.
const DENIALS: [&str; 9] = [" not ", "n't ", "n’t ", "neither", "never", " nor ", "cannot", "both", "can't"];

/// Words that introduce the chosen letter.
const ANNOUNCING: [&str; 12] = [
    "answer",
    "is",
    "option",
    "choose",
    "choice",
    "pick",
    "select",
    "claim",
    "statement",
    "say",
    "boxed",
    "prefer",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(listed: &[(&str, f64)]) -> Vec<Token> {
        listed
            .iter()
            .map(|&(text, p)| Token { text: text.into(), logprob: f64::ln(p), listed: true })
            .collect()
    }

    fn exact(a: f64, b: f64) -> Odds {
        read(&tokens(&[("A", a), ("B", b)])).unwrap()
    }

    #[test]
    fn letters_of_every_spelling_are_read_and_words_are_not() {
        for spelling in [
            "A", " A", "a", " a", "(A", "A.", "\"A\"", "**A**", "▁A", "ĠA", "A)", "<0x41>", "\nA", "`A`",
            "[A]", "A:", "Ａ",
        ] {
            assert_eq!(read_letter(spelling), Some(0), "{spelling}");
        }
        assert_eq!(read_letter("ĠB"), Some(1));
        for other in ["AB", "An", "The", "", "▁", "(", "<0x42", "C", "Aa", "<0xZZ>"] {
            assert_eq!(read_letter(other), None, "{other}");
        }
    }

    #[test]
    fn spellings_add_up_and_position_cancels() {
        let odds = read(&tokens(&[("A", 0.3), (" A", 0.3), ("(B", 0.2), ("The", 0.1)])).unwrap();
        assert!((odds.low - (0.6_f64 / 0.2).ln()).abs() < 1e-9 && odds.low == odds.high);
        assert!((odds.coverage - 0.8).abs() < 1e-9);
        // A preference for A of 1 nat in any position, and for the positive claim of 0.5.
        let odds = |nats: f64| Odds { low: nats, high: nats, coverage: 1.0 };
        let reading = combine(odds(0.5), odds(1.5));
        assert!(
            (reading.log_odds - 0.5).abs() < 1e-9
                && (reading.position_bias - 1.0).abs() < 1e-9
                && !reading.open
        );
    }

    #[test]
    fn a_letter_outside_the_list_is_bounded_and_never_turns_the_sign() {
        let a_alone = read(&tokens(&[("A", 0.9), ("C", 0.06), ("D", 0.02)])).unwrap();
        assert!((a_alone.low - (0.9_f64 / 0.02).ln()).abs() < 1e-6 && a_alone.high == f64::INFINITY);
        // A in the first order, B in the second: the negative claim in both.
        let b_alone = read(&tokens(&[("B", 0.9), ("C", 0.06), ("D", 0.02)])).unwrap();
        let reading = combine(a_alone, b_alone);
        assert!(!reading.open && (reading.log_odds + (0.9_f64 / 0.02).ln()).abs() < 1e-6, "{reading:?}");
        // A in both orders: no preference between the claims can be inferred.
        let reading = combine(a_alone, a_alone);
        assert!(reading.open && reading.log_odds == 0.0 && reading.position_bias > 3.0, "{reading:?}");
        // The first order may be worth more nats than the second: the bound must not decide the sign.
        let reading = combine(a_alone, exact(0.995, 0.005));
        assert!(reading.open && reading.log_odds == 0.0, "{reading:?}");
        let reading = combine(a_alone, exact(0.4, 0.6));
        assert!(!reading.open && reading.log_odds < 0.0, "{reading:?}");
    }

    #[test]
    fn the_chosen_token_alone_bounds_the_other_letter_by_what_is_left() {
        let chosen = [Token { text: "B".into(), logprob: 0.75_f64.ln(), listed: false }];
        let odds = read(&chosen).unwrap();
        assert!((odds.high - (0.25_f64 / 0.75).ln()).abs() < 1e-9 && odds.low == f64::NEG_INFINITY);
        let certain = [Token { text: "B".into(), logprob: 0.0, listed: false }];
        assert_eq!(read(&certain).unwrap().high, LEAST_LOGPROB);
    }

    #[test]
    fn impossible_tokens_and_numbers_that_are_no_log_probabilities_do_no_harm() {
        let mut impossible = tokens(&[("A", 0.99)]);
        impossible.push(Token { text: "B".into(), logprob: -9999.0, listed: true });
        assert!((read(&impossible).unwrap().low - 30.0).abs() < 0.02);
        let probabilities = [("A", 0.7), ("B", 0.2)].map(|(text, logprob)| Token {
            text: text.into(),
            logprob,
            listed: true,
        });
        assert!(read(&probabilities).unwrap_err().contains("add up"));
        assert!(read(&[Token { text: "A".into(), logprob: f64::NAN, listed: true }]).is_err());
        assert_eq!(read(&[]).unwrap().coverage, 0.0);
    }

    #[test]
    fn counts_are_smoothed_by_one_half() {
        let reading = count([8, 0], [2, 6], 8);
        let (a, b) = ((8.5_f64 / 0.5).ln(), (2.5_f64 / 6.5).ln());
        assert!(
            (reading.log_odds - (b - a) / 2.0).abs() < 1e-12
                && (reading.position_bias - f64::midpoint(a, b)).abs() < 1e-12
        );
        assert_eq!(reading.coverage, 1.0);
        // A preference for a letter is not one for a claim.
        assert_eq!(count([8, 0], [8, 0], 8).log_odds, 0.0);
    }

    #[test]
    fn an_answer_gives_one_letter_or_none() {
        for (text, letter) in [
            ("A", 0),
            ("b", 1),
            ("(B)", 1),
            ("**A**", 0),
            ("A.", 0),
            ("\n\"B\"", 1),
            ("A: raise taxes", 0),
            ("B) cut taxes", 1),
            ("A - raise taxes", 0),
            ("The answer is B.", 1),
            ("Answer: A", 0),
            ("I choose B because it is right", 1),
            ("\\boxed{A}", 0),
            ("My answer is (A).", 0),
            ("**B**: cut taxes", 1),
            ("Option B", 1),
            ("The correct answer is **B**.", 1),
        ] {
            assert_eq!(said(text), Some(letter), "{text}");
        }
        for text in [
            "A good question",
            "Neither",
            "",
            "I would not choose B",
            "The answer is not A",
            "Both A and B",
            "A or B",
            "The answer is A or the answer is B",
            "Banana",
            "I can't choose between A and B.",
            "The answer is A hard one",
            "Well",
            "a claim like this",
        ] {
            assert_eq!(said(text), None, "{text}");
        }
    }
}
