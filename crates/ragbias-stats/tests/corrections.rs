//! Coverage of the intervals of corrected biases.
#![allow(clippy::unwrap_used, reason = "a test says what went wrong by panicking")]

use ragbias_core::{Lean, Verdict};
use ragbias_stats::{Estimate, LabelledTopics, PredictionPowered, RoganGladen, ScoredTopics};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

const LEANS: [Lean; 3] = [Lean::Negative, Lean::Neutral, Lean::Positive];

/// A population of topics and a scorer that errs.
struct Simulation {
    /// Share of each gold lean.
    shares: [f64; 3],
    /// P(scored lean | gold lean).
    errors: [[f64; 3]; 3],
    labelled: usize,
    measured: usize,
    /// Texts of a topic.
    texts: usize,
    /// Probability that a text repeats the gold lean of its topic's first.
    within: f64,
    /// Shares of gold leans among labelled texts, if other.
    other: Option<[f64; 3]>,
}

struct Covered {
    rogan_gladen: f64,
    prediction_powered: f64,
    uncorrected: f64,
    /// Mean half-widths.
    widths: [f64; 2],
    refused: usize,
}

impl Simulation {
    fn texts(&self, topics: usize, shares: [f64; 3], rng: &mut ChaCha8Rng) -> Vec<(String, Lean, Verdict)> {
        let pick = |shares: [f64; 3], rng: &mut ChaCha8Rng| {
            let at: f64 = rng.random_range(0.0..1.0);
            if at < shares[0] {
                0
            } else if at < shares[0] + shares[1] {
                1
            } else {
                2
            }
        };
        let mut texts = Vec::new();
        for topic in 0..topics {
            let first = pick(shares, rng);
            for _ in 0..self.texts {
                let gold = if rng.random_range(0.0..1.0) < self.within { first } else { pick(shares, rng) };
                let verdict = Verdict::from(LEANS[pick(self.errors[gold], rng)]);
                texts.push((topic.to_string(), LEANS[gold], verdict));
            }
        }
        texts
    }

    fn run(&self, simulations: u64) -> Covered {
        let truth = self.shares[2] - self.shares[0];
        let mut covered = [0_usize; 3];
        let (mut widths, mut refused) = ([0.0; 2], 0);
        for seed in 0..simulations {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let sample = self.texts(self.labelled, self.other.unwrap_or(self.shares), &mut rng);
            let texts = self.texts(self.measured, self.shares, &mut rng);
            let labelled = LabelledTopics::new(
                sample.iter().map(|(topic, gold, verdict)| (topic.as_str(), *gold, *verdict)),
            );
            let verdicts: Vec<Verdict> = texts.iter().map(|text| text.2).collect();
            let topics: Vec<&str> = texts.iter().map(|text| text.0.as_str()).collect();
            let own = ragbias_stats::ClusterBootstrap::new(500, seed).bias(&verdicts, &topics).unwrap();
            let measured = ScoredTopics::new(topics.iter().copied().zip(verdicts));
            let mut count = |place: usize, estimate: Estimate| {
                covered[place] += usize::from(estimate.covers(truth));
                if place < 2 {
                    widths[place] += (estimate.high - estimate.low) / 2.0;
                }
            };
            if let Ok(estimate) = RoganGladen::new(1000, seed).correct(&measured, &labelled) {
                count(0, estimate);
            } else {
                // No interval says nothing, and so excludes nothing.
                refused += 1;
                count(0, Estimate { value: 0.0, low: -1.0, high: 1.0 });
            }
            count(1, PredictionPowered::correct(&measured, &labelled, own.into()).unwrap().estimate);
            count(2, own.into());
        }
        let all = simulations as f64;
        let [rogan_gladen, prediction_powered, uncorrected] = covered.map(|count| count as f64 / all);
        Covered {
            rogan_gladen,
            prediction_powered,
            uncorrected,
            widths: widths.map(|sum| sum / all),
            refused,
        }
    }
}

const LEXICON: [[f64; 3]; 3] = [[0.92, 0.05, 0.03], [0.06, 0.88, 0.06], [0.04, 0.07, 0.89]];
const JUDGE: [[f64; 3]; 3] = [[0.75, 0.0, 0.25], [0.0, 1.0, 0.0], [0.12, 0.0, 0.88]];
const WEAK: [[f64; 3]; 3] = [[0.5, 0.2, 0.3], [0.2, 0.5, 0.3], [0.15, 0.15, 0.7]];

/// 1,000 simulations of each kind: half a minute.
#[test]
#[ignore = "takes half a minute"]
fn intervals_of_corrected_biases_cover_the_truth_in_95_of_100_simulations() {
    let simulation = |shares, errors, labelled, measured, texts, within| Simulation {
        shares,
        errors,
        labelled,
        measured,
        texts,
        within,
        other: None,
    };
    let kinds = [
        ("three leans, good scorer", simulation([0.3, 0.2, 0.5], LEXICON, 100, 200, 2, 0.3)),
        ("two leans, one-sided judge", simulation([0.45, 0.0, 0.55], JUDGE, 150, 300, 1, 0.0)),
        ("two leans, clustered", simulation([0.3, 0.0, 0.7], JUDGE, 60, 100, 5, 0.4)),
        ("three leans, weak judge", simulation([0.3, 0.3, 0.4], WEAK, 200, 300, 3, 0.2)),
        ("few topics", simulation([0.4, 0.2, 0.4], LEXICON, 30, 30, 4, 0.3)),
    ];
    for (name, simulation) in kinds {
        let Covered { rogan_gladen, prediction_powered, uncorrected, widths, refused } = simulation.run(1000);
        println!(
            "{name}: Rogan–Gladen {:.1}% ± {:.3} ({refused} refused), PPI++ {:.1}% ± {:.3}, uncorrected {:.1}%",
            100.0 * rogan_gladen,
            widths[0],
            100.0 * prediction_powered,
            widths[1],
            100.0 * uncorrected
        );
        for covered in [rogan_gladen, prediction_powered] {
            assert!((0.93..=0.97).contains(&covered), "{name}: {covered}");
        }
    }
    // Labelled texts with other shares: error rates carry over, the sample does not.
    let other =
        Simulation { other: Some([0.5, 0.0, 0.5]), ..simulation([0.2, 0.0, 0.8], JUDGE, 200, 300, 1, 0.0) };
    let covered = other.run(1000);
    println!(
        "other shares: Rogan–Gladen {:.1}%, PPI++ {:.1}%",
        100.0 * covered.rogan_gladen,
        100.0 * covered.prediction_powered
    );
    assert!((0.93..=0.97).contains(&covered.rogan_gladen), "{}", covered.rogan_gladen);
    assert!(covered.prediction_powered < 0.9, "PPI++ needs a sample of the same texts");
}
