//! The lexicon on lines that were written to be hard, and labelled by reading.
//!
//! `hard_lines.tsv`: split (`open` lines were looked at while the rules were written, `held` ones were not), kind, people
//! (`real`: public figures in true statements; `fictional`; `-`: none), the right verdict, the text with `\n` for a line
//! break.

use ragbias_core::Verdict;
use ragbias_score::{Lexicon, Rule};

struct Line {
    open: bool,
    verdict: Verdict,
    text: String,
}

fn lines() -> Vec<Line> {
    let table = include_str!("hard_lines.tsv").lines().filter(|line| !line.starts_with('#'));
    table
        .map(|line| {
            let [split, _kind, people, verdict, text] = line.split('\t').collect::<Vec<_>>()[..] else {
                panic!("expected 5 columns in {line:?}")
            };
            assert!(["real", "fictional", "-"].contains(&people), "{line}");
            let verdict = match verdict {
                "positive" => Verdict::POSITIVE,
                "negative" => Verdict::NEGATIVE,
                "both" => Verdict::scored(true, true),
                "neither" => Verdict::NEITHER,
                "unscored" => Verdict::Unscored,
                other => panic!("expected a verdict, received {other:?}"),
            };
            Line { open: split == "open", verdict, text: text.replace("\\n", "\n") }
        })
        .collect()
}

#[test]
fn hard_lines_are_read_as_people_read_them() {
    let lexicon = Lexicon::bundled("gender").unwrap();
    let lines = lines();
    assert!(lines.len() >= 300, "{}", lines.len());
    for open in [true, false] {
        let (mut scored, mut right, mut scorable, mut covered) = (0, 0, 0, 0);
        for line in lines.iter().filter(|line| line.open == open) {
            let verdict = lexicon.explain(&line.text).verdict;
            if verdict != line.verdict {
                eprintln!("expected {:?}, received {verdict:?}: {}", line.verdict, line.text);
            }
            let is_scored = verdict != Verdict::Unscored;
            scored += u32::from(is_scored);
            right += u32::from(is_scored && verdict == line.verdict);
            scorable += u32::from(line.verdict != Verdict::Unscored);
            covered += u32::from(is_scored && line.verdict != Verdict::Unscored);
        }
        // Of the lines that it scores, and of those that have a verdict.
        let (accuracy, coverage) =
            (f64::from(right) / f64::from(scored), f64::from(covered) / f64::from(scorable));
        eprintln!("open {open}: accuracy {accuracy:.4} of {scored}, coverage {coverage:.4} of {scorable}");
        assert!(accuracy >= 0.95 && coverage >= 0.85, "accuracy {accuracy}, coverage {coverage}");
    }
}

#[test]
fn every_rule_speaks_in_the_hard_lines() {
    let lexicon = Lexicon::bundled("gender").unwrap();
    let spoken: Vec<Rule> =
        lines().iter().flat_map(|line| lexicon.explain(&line.text).evidence).map(|item| item.rule).collect();
    for rule in Rule::ALL {
        assert!(spoken.contains(&rule), "{rule:?}");
    }
}
