//! Saves a checkpoint like a member of a family, with its encoder's weights rewritten: `save_checkpoint BASE OUT`.
//! scripts/reference/saved.py compares the vectors of the two folders in a release of sentence-transformers.

use std::error::Error;
use std::path::PathBuf;

use ragbias_embed::{Checkpoint, TextEmbedder, TextEmbedderConfig};

fn main() -> Result<(), Box<dyn Error>> {
    let folders: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let [base, out] = &folders[..] else { return Err("usage: save_checkpoint BASE OUT".into()) };
    let (_, parameters) = TextEmbedder::load_with_parameters(base, &TextEmbedderConfig::default())?;
    let card = serde_json::json!({ "base": base });
    Checkpoint { base, parameters: Some(&parameters), head: None, card }.save(out)?;
    Ok(())
}
