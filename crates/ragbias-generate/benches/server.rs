//! Speed-up of a slow server by concurrent prompts: `cargo bench --bench server`.
//!
//! The server is a mock on loopback that takes 200 ms per answer, however many are in flight.
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a bench prints, and ends where something fails"
)]

#[path = "../src/server/mock.rs"]
#[expect(dead_code, reason = "it serves the tests too")]
mod mock;

use std::time::{Duration, Instant};

use ragbias_core::GenerateAll;
use ragbias_generate::{GenerateConfig, Server, ServerConfig};

use crate::mock::{Act, Mock};

const LATENCY: Duration = Duration::from_millis(200);
const PROMPTS: usize = 64;
const RUNS: usize = 3;

fn main() {
    let mock = Mock::new(|request| {
        if request.method == "POST" && !request.is_first() {
            std::thread::sleep(LATENCY);
        }
        Act::content("Marie Curie")
    });
    let prompts: Vec<String> = (0..PROMPTS).map(|number| format!("question {number}")).collect();
    let seconds = |parallel: usize| {
        let config = ServerConfig::default().parallel(parallel);
        let server =
            Server::connect(&format!("{}#m", mock.url()), &config, &GenerateConfig::default()).unwrap();
        let runs = (0..RUNS).map(|_| {
            let begun = Instant::now();
            assert_eq!(server.generate_all(&prompts).unwrap().len(), PROMPTS);
            begun.elapsed().as_secs_f64()
        });
        let mut runs: Vec<f64> = runs.collect();
        runs.sort_by(f64::total_cmp);
        runs[RUNS / 2]
    };
    let alone = seconds(1);
    println!("{PROMPTS} prompts, {} ms each; median of {RUNS} runs", LATENCY.as_millis());
    println!("--parallel 1: {alone:.2} s");
    for parallel in [4, 16, 64] {
        let together = seconds(parallel);
        println!("--parallel {parallel}: {together:.2} s, {:.1} times as fast", alone / together);
    }
}
