//! Seconds to load a model, tokens per second of reading a prompt and of generating;
//! `benches/peers/generation.py` runs it beside llama.cpp.
//!
//! ```text
//! cargo run --release -p ragbias-generate --example time_generation -- MODEL.gguf PROMPT_TOKENS NEW_TOKENS ROUNDS
//! ```
#![expect(clippy::print_stdout, reason = "an example speaks to its reader")]

use std::error::Error;
use std::time::Instant;

use ragbias_generate::{GenerateConfig, Gguf};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [path, prompt, new, rounds] = arguments.as_slice() else {
        return Err("expected MODEL.gguf PROMPT_TOKENS NEW_TOKENS ROUNDS".into());
    };
    let (prompt, new, rounds): (usize, usize, usize) = (prompt.parse()?, new.parse()?, rounds.parse()?);
    let begun = Instant::now();
    let llm = Gguf::load(path.as_ref(), &GenerateConfig::default())?;
    println!("load {:.3}", begun.elapsed().as_secs_f64());
    for _ in 0..rounds {
        let [read, generated] = llm.time(prompt, new);
        println!("{:.2} {:.2}", prompt as f64 / read, new as f64 / generated);
    }
    Ok(())
}
