//! A fit with its joint bootstrap, whose instructions `.ci/counts` counts.
//!
//! ```text
//! valgrind --tool=callgrind --toggle-collect='*count_fit::counted*' target/release/examples/count_fit
//! ```
#![expect(clippy::print_stdout, reason = "an example speaks to its reader")]

use ragbias_core::Lean;
use ragbias_stats::{ConflictFit, JointBootstrap, QuestionOutcome, Result, TopicCounts};

fn main() -> Result<()> {
    let names: Vec<String> = (0..200).map(|i| format!("{i:03}")).collect();
    let lean = |positive: bool| Some(if positive { Lean::Positive } else { Lean::Negative });
    let mut outcomes = Vec::new();
    for (i, embedder) in names[..60].iter().enumerate() {
        for (j, topic) in names.iter().enumerate() {
            // Fixed numbers from 0 to 60 in no order: the count must not depend on the version of a random generator.
            let [a, b] = [7919, 104_729].map(|factor| (i * 31 + j) * factor % 61);
            let (document, llm) = (lean(a <= i), lean(j % 3 == 0));
            let answer = if b < 30 { document } else { llm };
            outcomes.push(QuestionOutcome { embedder, topic, document, answer, llm });
        }
    }
    let fit = counted(&outcomes)?;
    println!("{:.3}", fit.sensitivity.value);
    Ok(())
}

/// The counted part: from outcomes to the fit and its intervals.
#[inline(never)]
fn counted(outcomes: &[QuestionOutcome<'_>]) -> Result<ConflictFit> {
    JointBootstrap::new(1000, 0).fit(&TopicCounts::new(outcomes.iter().copied())?)
}
