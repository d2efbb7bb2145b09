//! Documents per second of embedding; `benches/peers/embedding.py` runs it beside sentence-transformers and ONNX Runtime.
//!
//! ```text
//! cargo run --release -p ragbias-embed --example time_embedding -- MODEL_FOLDER TEXTS.json N|together|products
//! ```
//!
//! A number embeds so many texts a call, `together` all of them; `products` computes nothing but the matrix products
//! that the texts need, in chunks of 512 tokens on every core: what no encoder on this gemm can exceed.
#![expect(clippy::print_stdout, reason = "an example speaks to its reader")]
#![allow(unsafe_code, reason = "gemm takes pointers, here to buffers of the size of each product")]

use std::error::Error;
use std::path::Path;
use std::time::Instant;

use ragbias_core::{Embedder, Role};
use ragbias_embed::{BertConfig, TextEmbedder, TextEmbedderConfig};
use rayon::prelude::*;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [model, texts, how] = arguments.as_slice() else {
        return Err("expected MODEL_FOLDER TEXTS.json N|together|products".into());
    };
    let embedder = TextEmbedder::load(Path::new(model), &TextEmbedderConfig::default())?;
    let texts: Vec<String> = serde_json::from_str(&fs_err::read_to_string(texts)?)?;
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let work = || -> Result<(), Box<dyn Error>> {
        match how.as_str() {
            "together" => drop(embedder.embed(&texts, Role::Document)?),
            "products" => {
                let tokens = embedder.tokenise(&texts, Role::Document)?.iter().map(Vec::len).sum();
                products(&embedder.config().bert, tokens);
            }
            number => {
                for texts in texts.chunks(number.parse()?) {
                    embedder.embed(texts, Role::Document)?;
                }
            }
        }
        Ok(())
    };
    embedder.embed(&texts[..texts.len().min(64)], Role::Document)?;
    let begun = Instant::now();
    work()?;
    println!("{:.3}", texts.len() as f64 / begun.elapsed().as_secs_f64());
    Ok(())
}

/// The linear maps of all layers over this many tokens.
fn products(config: &BertConfig, tokens: usize) {
    const ROWS: usize = 512;
    let (hidden, inner) = (config.hidden_size, config.intermediate_size);
    let maps = [(hidden, 3 * hidden), (hidden, hidden), (hidden, inner), (inner, hidden)];
    (0..tokens.div_ceil(ROWS)).into_par_iter().for_each(|_| {
        let (x, mut y) = (vec![0.5_f32; ROWS * inner], vec![0.0_f32; ROWS * inner]);
        let weights = vec![0.5_f32; hidden * inner];
        for (inputs, outputs) in maps.iter().copied().cycle().take(4 * config.num_hidden_layers) {
            let (k, n) = (inputs.cast_signed(), outputs.cast_signed());
            // SAFETY: x holds ROWS·inner values, y as many, and the weights as many as the largest map has.
            unsafe {
                gemm::gemm(
                    ROWS,
                    outputs,
                    inputs,
                    y.as_mut_ptr(),
                    1,
                    n,
                    false,
                    x.as_ptr(),
                    1,
                    k,
                    weights.as_ptr(),
                    k,
                    1,
                    0.0,
                    1.0,
                    false,
                    false,
                    false,
                    gemm::Parallelism::None,
                );
            }
        }
        std::hint::black_box(&y);
    });
}
