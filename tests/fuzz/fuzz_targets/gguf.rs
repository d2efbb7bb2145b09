//! A GGUF file: it is loaded, and, if that succeeds, asked a prompt.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use ragbias_core::{ChoicePrompt, GenerateAll};
use ragbias_fuzz::{folder, names, put};
use ragbias_generate::{GenerateConfig, Gguf};

static FOLDER: LazyLock<tempfile::TempDir> = LazyLock::new(folder);

fuzz_target!(|file: &[u8]| {
    let path = put(FOLDER.path(), "model.gguf", file);
    let config = GenerateConfig::default().max_new_tokens(2);
    if let Some(llm) = names(Gguf::load(&path, &config), "model.gguf") {
        let _ = llm.generate_all(["ab a"]);
        let _ = llm.choose_all(&[ChoicePrompt { prompt: "ab".into(), positive: "a", negative: "b" }]);
    }
});
