//! A checkpoint folder: the first byte selects the file to replace in one of two folders, the rest is the file.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use ragbias_core::{Embedder, Role};
use ragbias_embed::{TextEmbedder, TextEmbedderConfig};
use ragbias_fuzz::checkpoint::Folders;
use ragbias_fuzz::{folder, names};

static FOLDERS: LazyLock<Folders> = LazyLock::new(|| Folders::new(folder));

fuzz_target!(|input: &[u8]| {
    FOLDERS.with(input, |folder| {
        let place = folder.to_str().expect("a name in UTF-8");
        if let Some(embedder) = names(TextEmbedder::load(folder, &TextEmbedderConfig::default()), place) {
            let _ = embedder.embed(&["the mill by the sea"], Role::Question);
        }
    });
});
