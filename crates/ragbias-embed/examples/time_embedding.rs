//! Documents embedded per second; `benches/peers/embedding.py` runs it, and compares sentence-transformers and ONNX Runtime.
//!
//! ```text
//! cargo run --release -p ragbias-embed --example time_embedding -- MODEL_FOLDER TEXTS.json N|together|maps|products [int8]
//! ```
//!
//! A number embeds this many texts per call, `together` all of them; `products` computes only the matrix products for the
//! texts, by the gemm crate on every core, and `maps` only those of the linear layers.
#![expect(clippy::print_stdout, reason = "an example speaks to its reader")]

use std::error::Error;
use std::path::Path;
use std::time::Instant;

use ragbias_core::{Embedder, Role};
use ragbias_embed::{EncoderConfig, TextEmbedder, TextEmbedderConfig};
use ragbias_kernels::{Into, Matrix, product};
use rayon::prelude::*;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [model, texts, how, precision @ ..] = arguments.as_slice() else {
        return Err("expected MODEL_FOLDER TEXTS.json N|together|maps|products [int8]".into());
    };
    let precision = precision.first().map(|precision| precision.parse()).transpose()?.unwrap_or_default();
    let embedder = TextEmbedder::load(Path::new(model), &TextEmbedderConfig::default().precision(precision))?;
    let texts: Vec<String> = serde_json::from_str(&fs_err::read_to_string(texts)?)?;
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let work = || -> Result<(), Box<dyn Error>> {
        match how.as_str() {
            "together" => drop(embedder.embed(&texts, Role::Document)?),
            "maps" | "products" => {
                let tokens = embedder.tokenise(&texts, Role::Document)?;
                let lengths: Vec<usize> = tokens.iter().map(Vec::len).collect();
                products(&embedder.config().encoder, &lengths, how == "products");
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

/// The linear layers over texts of these lengths, 512 tokens at a time, and the products of their attention.
fn products(config: &EncoderConfig, lengths: &[usize], attention: bool) {
    const ROWS: usize = 512;
    let (hidden, inner) = (config.hidden_size, config.intermediate_size);
    let maps = [(hidden, 3 * hidden), (hidden, hidden), (hidden, inner), (inner, hidden)];
    let tokens: usize = lengths.iter().sum();
    (0..tokens.div_ceil(ROWS)).into_par_iter().for_each(|_| {
        let (x, mut y) = (vec![0.5_f32; ROWS * inner], vec![0.0_f32; ROWS * inner]);
        let weights = vec![0.5_f32; hidden * inner];
        for (inputs, outputs) in maps.iter().copied().cycle().take(4 * config.num_hidden_layers) {
            let (x, weights) = (Matrix::new(&x, ROWS, inputs), Matrix::new(&weights, outputs, inputs));
            product(&mut y, outputs, Into::Set, 1.0, x, weights.t());
        }
        std::hint::black_box(&y);
    });
    if !attention {
        return;
    }
    let width = hidden / config.num_attention_heads;
    lengths.par_iter().for_each(|&length| {
        let (x, mut y) = (vec![0.5_f32; length * 3 * hidden], vec![0.0_f32; length * hidden]);
        let mut weights = vec![0.0_f32; length * length];
        for _ in 0..config.num_hidden_layers * config.num_attention_heads {
            let rows = Matrix::strided(&x, length, width, 3 * hidden);
            product(&mut weights, length, Into::Set, 1.0, rows, rows.t());
            product(&mut y, hidden, Into::Set, 1.0, Matrix::new(&weights, length, length), rows);
        }
        std::hint::black_box(&y);
    });
}
