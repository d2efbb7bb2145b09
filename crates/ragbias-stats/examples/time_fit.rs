//! Seconds of a joint bootstrap of 10,000 draws over 60 embedders and 200 questions, with one topic per question.
//!
//! `cargo run --release -p ragbias-stats --example time_fit`
#![allow(clippy::print_stdout, reason = "prints what it is for")]

use std::time::Instant;

use ragbias_core::Lean;
use ragbias_stats::{JointBootstrap, QuestionOutcome, TopicCounts};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

fn main() -> Result<(), ragbias_stats::Error> {
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let names: Vec<String> = (0..200).map(|i| format!("{i:03}")).collect();
    let mut lean = |p: f64| Some(if rng.random_bool(p) { Lean::Positive } else { Lean::Negative });
    let mut outcomes = Vec::new();
    for (i, embedder) in names[..60].iter().enumerate() {
        for topic in &names {
            let document = lean((i + 1) as f64 / 62.0);
            let (answer, llm) = (if lean(0.5) == document { document } else { lean(0.3) }, lean(0.3));
            outcomes.push(QuestionOutcome { embedder, topic, document, answer, llm });
        }
    }
    let start = Instant::now();
    let fit = JointBootstrap::default().fit(&TopicCounts::new(outcomes)?)?;
    println!("{:.2} s; s {:?}", start.elapsed().as_secs_f64(), fit.sensitivity);
    Ok(())
}
