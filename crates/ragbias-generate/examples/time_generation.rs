//! Times loading, prefill and decode of a model; `benches/peers/generation.py` runs it, and compares it with llama.cpp, and
//! `scripts/gpu_check.sh` runs it on a GPU.
//!
//! ```text
//! cargo run --release -p ragbias-generate --example time_generation -- MODEL.gguf PROMPT_TOKENS NEW_TOKENS \
//!     [BATCH [DEVICE [PRECISION]]]
//! ```
//!
//! Prints a JSON object: seconds to load; tokens per second of prefill and decode, of all prompts of a batch together; answers
//! per second to 16 short questions, one by one and together.
#![expect(clippy::print_stdout, reason = "an example speaks to its reader")]

use std::error::Error;
use std::time::Instant;

use ragbias_core::{GenerateAll, Precision, Processor};
use ragbias_generate::{GenerateConfig, Gguf};

const TOPICS: [&str; 16] = [
    "radium",
    "gravity",
    "penicillin",
    "the telephone",
    "algebra",
    "evolution",
    "vaccines",
    "the atom",
    "radio",
    "genes",
    "printing",
    "the compass",
    "insulin",
    "the laser",
    "calculus",
    "oxygen",
];

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [path, prompt, new, rest @ ..] = arguments.as_slice() else {
        return Err("expected MODEL.gguf PROMPT_TOKENS NEW_TOKENS [BATCH [DEVICE [PRECISION]]]".into());
    };
    let batch: usize = rest.first().map_or(Ok(1), |batch| batch.parse())?;
    let device: Processor = rest.get(1).map_or(Ok(Processor::Cpu), |device| device.parse())?;
    let precision: Precision = rest.get(2).map_or(Ok(Precision::F32), |precision| precision.parse())?;
    let (prompt, new): (usize, usize) = (prompt.parse()?, new.parse()?);
    let begun = Instant::now();
    let llm = Gguf::load_on(path.as_ref(), &GenerateConfig::default(), device, precision)?;
    let load = begun.elapsed().as_secs_f64();
    // Warm-up: the first run allocates memory and starts threads.
    llm.time(batch, prompt, new)?;
    let [read, generated] = llm.time(batch, prompt, new)?;

    let question =
        |topic| format!("Question: Who is best known for {topic}?\nGive just one name of a person.");
    let questions = TOPICS.map(question);
    let questions = questions.each_ref().map(String::as_str);
    let begun = Instant::now();
    for question in questions {
        llm.generate_all([question])?;
    }
    let alone = begun.elapsed().as_secs_f64();
    let begun = Instant::now();
    llm.generate_all(questions)?;
    let together = begun.elapsed().as_secs_f64();

    let rate = |count: usize, seconds: f64| count as f64 / seconds;
    println!(
        r#"{{"load": {load:.3}, "prefill": {:.2}, "decode": {:.2}, "alone": {:.2}, "together": {:.2}}}"#,
        rate(batch * prompt, read),
        rate(batch * new, generated),
        rate(questions.len(), alone),
        rate(questions.len(), together),
    );
    Ok(())
}
