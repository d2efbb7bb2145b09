//! A fit with its joint bootstrap, at the size of a family, and the interval of a single bias.
//!
//! `cargo bench --bench fit`

use std::error::Error;

use criterion::Criterion;
use ragbias_core::{Lean, Verdict};
use ragbias_stats::{ClusterBootstrap, JointBootstrap, QuestionOutcome, TopicCounts};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

fn main() -> Result<(), Box<dyn Error>> {
    let counts = family(60, 200)?;
    let mut criterion = Criterion::default().configure_from_args();
    let mut group = criterion.benchmark_group("fit of 60 embedders and 200 topics");
    group.sample_size(10);
    group.bench_function("10,000 draws", |bencher| {
        bencher.iter(|| JointBootstrap::default().fit(&counts).expect("these embedders have a line"));
    });
    group.finish();

    let topics: Vec<String> = (0..200).map(|i| (i / 2).to_string()).collect();
    let verdicts: Vec<Verdict> =
        (0..200).map(|i| if i * 7 % 5 < 2 { Verdict::POSITIVE } else { Verdict::NEGATIVE }).collect();
    criterion.bench_function("interval of a bias/10,000 draws of 100 topics", |bencher| {
        bencher.iter(|| ClusterBootstrap::default().bias(&verdicts, &topics).expect("all are scored"));
    });
    criterion.final_summary();
    Ok(())
}

/// Outcomes of embedders from one pole to the other, with one topic per question.
fn family(embedders: usize, questions: usize) -> ragbias_stats::Result<TopicCounts> {
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let names: Vec<String> = (0..embedders.max(questions)).map(|i| format!("{i:03}")).collect();
    let mut lean = |p: f64| Some(if rng.random_bool(p) { Lean::Positive } else { Lean::Negative });
    let mut outcomes = Vec::with_capacity(embedders * questions);
    for (i, embedder) in names[..embedders].iter().enumerate() {
        for topic in &names[..questions] {
            let document = lean((i + 1) as f64 / (embedders + 2) as f64);
            let (answer, llm) = (if lean(0.5) == document { document } else { lean(0.3) }, lean(0.3));
            outcomes.push(QuestionOutcome { embedder, topic, document, answer, llm });
        }
    }
    TopicCounts::new(outcomes)
}
