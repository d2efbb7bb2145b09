//! A checkpoint folder: the first byte says which of its files is replaced, the rest is the file.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use ragbias_core::{Embedder, Role};
use ragbias_embed::{TextEmbedder, TextEmbedderConfig};
use ragbias_fuzz::{folder, names, put};

macro_rules! files {
    ($($path:literal = $seed:literal),+ $(,)?) => {
        /// Every file with its place in the folder, behind the byte that selects it.
        const FILES: &[(&str, &[u8])] = &[$(($path, include_bytes!(concat!("../seeds/checkpoint/", $seed)))),+];
    };
}

files![
    "config.json" = "config",
    "modules.json" = "modules",
    "sentence_bert_config.json" = "sentence-bert",
    "config_sentence_transformers.json" = "sentence-transformers",
    "tokenizer_config.json" = "tokenizer-config",
    "tokenizer.json" = "tokenizer",
    "1_Pooling/config.json" = "pooling",
    "2_Dense/config.json" = "dense",
    "2_Dense/model.safetensors" = "dense-safetensors",
    "model.safetensors" = "safetensors",
    // Read where the one before it is not there.
    "pytorch_model.bin" = "pytorch",
    "vocab.txt" = "vocabulary",
];

/// The whole folder, which `each` puts a file into and takes it out again.
static FOLDER: LazyLock<tempfile::TempDir> = LazyLock::new(|| {
    let folder = folder();
    for (path, seed) in FILES.iter().filter(|(path, _)| replaced_by(path).is_none()) {
        put(folder.path(), path, &seed[1..]);
    }
    folder
});

/// The file that must be away for this one to be read.
fn replaced_by(path: &str) -> Option<&'static str> {
    match path {
        "pytorch_model.bin" => Some("model.safetensors"),
        "vocab.txt" => Some("tokenizer.json"),
        _ => None,
    }
}

fuzz_target!(|input: &[u8]| {
    let [kind, file @ ..] = input else { return };
    let (path, seed) = FILES[usize::from(*kind) % FILES.len()];
    let folder = FOLDER.path();
    put(folder, path, file);
    let away = replaced_by(path).map(|other| (folder.join(other), folder.join("away")));
    if let Some((other, away)) = &away {
        fs_err::rename(other, away).expect("the other file");
    }
    let place = folder.to_str().expect("a name in UTF-8");
    if let Some(embedder) = names(TextEmbedder::load(folder, &TextEmbedderConfig::default()), place) {
        let _ = embedder.embed(&["the mill by the sea"], Role::Question);
    }
    if let Some((other, away)) = away {
        fs_err::rename(away, other).expect("the other file");
        fs_err::remove_file(folder.join(path)).expect("the file");
    } else {
        put(folder, path, &seed[1..]);
    }
});
