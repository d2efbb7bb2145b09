//! A forward pass of an encoder, whose instructions `.ci/counts` counts.
//!
//! ```text
//! valgrind --tool=callgrind --toggle-collect='*count_encoder::counted*' target/release/examples/count_encoder
//! ```
//!
//! One layer of MiniLM's shape with synthetic weights: Valgrind emulates each vector multiply-add by a call, and
//! takes minutes for what the model itself does in a tenth of a second. Everything runs on the main thread, so that the
//! count does not depend on thread scheduling.
#![expect(clippy::print_stdout, reason = "an example speaks to its reader")]

use std::error::Error;
use std::hint::black_box;
use std::path::Path;

use candle_core::Device;
use ragbias_embed::{
    Encoder, EncoderConfig, Family, Input, Packed, Parameters, Pooling, PoolingMode, Precision,
};
use safetensors::tensor::TensorView;

const HIDDEN: usize = 384;
const INNER: usize = 4 * HIDDEN;
const WORDS: usize = 1000;
const PLACES: usize = 128;

fn main() -> Result<(), Box<dyn Error>> {
    rayon::ThreadPoolBuilder::new().num_threads(1).use_current_thread().build_global()?;
    let config = EncoderConfig {
        vocab_size: WORDS,
        hidden_size: HIDDEN,
        num_hidden_layers: 1,
        num_attention_heads: 12,
        intermediate_size: INNER,
        max_position_embeddings: PLACES,
        ..EncoderConfig::of(Family::Bert)
    };
    let folder = tempfile::tempdir()?;
    write_weights(folder.path())?;
    let parameters = Parameters::load(folder.path(), &config, &Device::Cpu)?;
    let encoder = Encoder::new(&config, &Pooling::from(PoolingMode::Mean), &parameters, Precision::F32)?;
    // The first pass detects the processor's features, which is not counted.
    encoder.vectors(Input::Tokens(&packed(&[2])))?;
    let value = counted(&encoder)?;
    println!("{value:.3}");
    Ok(())
}

/// The counted part: a short text alone, and a batch of two.
#[inline(never)]
fn counted(encoder: &Encoder) -> Result<f32, Box<dyn Error>> {
    black_box(encoder.vectors(Input::Tokens(&packed(&[9])))?);
    let vectors = encoder.vectors(Input::Tokens(&packed(&[17, 38])))?;
    Ok(vectors.sqr()?.sum_all()?.to_scalar()?)
}

/// Some tokens in sequences of these lengths.
fn packed(lengths: &[usize]) -> Packed {
    let tokens = lengths.iter().sum::<usize>() as u32;
    Packed { ids: (0..tokens).map(|i| i * 31 % WORDS as u32).collect(), lengths: lengths.to_vec() }
}

/// A `model.safetensors` of fixed small numbers.
fn write_weights(folder: &Path) -> Result<(), Box<dyn Error>> {
    let mut shapes = vec![
        ("embeddings.word_embeddings.weight".to_owned(), vec![WORDS, HIDDEN]),
        ("embeddings.position_embeddings.weight".into(), vec![PLACES, HIDDEN]),
        ("embeddings.token_type_embeddings.weight".into(), vec![2, HIDDEN]),
    ];
    let layer = |part: &str| format!("encoder.layer.0.{part}");
    let maps = [
        ("attention.self.query", HIDDEN, HIDDEN),
        ("attention.self.key", HIDDEN, HIDDEN),
        ("attention.self.value", HIDDEN, HIDDEN),
        ("attention.output.dense", HIDDEN, HIDDEN),
        ("intermediate.dense", HIDDEN, INNER),
        ("output.dense", INNER, HIDDEN),
    ];
    for (part, inputs, outputs) in maps {
        shapes.push((format!("{}.weight", layer(part)), vec![outputs, inputs]));
        shapes.push((format!("{}.bias", layer(part)), vec![outputs]));
    }
    let norms = ["attention.output.LayerNorm", "output.LayerNorm"].map(layer);
    for norm in norms.into_iter().chain(["embeddings.LayerNorm".into()]) {
        shapes.push((format!("{norm}.weight"), vec![HIDDEN]));
        shapes.push((format!("{norm}.bias"), vec![HIDDEN]));
    }
    let largest = shapes.iter().map(|(_, shape)| shape.iter().product::<usize>()).max().unwrap_or(0);
    let values = (0..largest).flat_map(|i| ((i * 7919 % 2003) as f32 / 20_000.0).to_le_bytes());
    let values: Vec<u8> = values.collect();
    let tensors = shapes.into_iter().map(|(name, shape)| {
        let bytes = 4 * shape.iter().product::<usize>();
        Ok((name, TensorView::new(safetensors::Dtype::F32, shape, &values[..bytes])?))
    });
    let tensors = tensors.collect::<Result<Vec<_>, safetensors::SafeTensorError>>()?;
    fs_err::write(folder.join("model.safetensors"), safetensors::serialize(tensors, None)?)?;
    Ok(())
}
