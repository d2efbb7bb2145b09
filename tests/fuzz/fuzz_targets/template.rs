//! A chat template in a GGUF file: the template up to the first zero byte, after it the prompt.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use ragbias_core::{ChoicePrompt, GenerateAll};
use ragbias_fuzz::template::with_template;
use ragbias_fuzz::{folder, names, put};
use ragbias_generate::{GenerateConfig, Gguf};

static FOLDER: LazyLock<tempfile::TempDir> = LazyLock::new(folder);

fuzz_target!(|input: &[u8]| {
    let (template, prompt) = match input.iter().position(|&byte| byte == 0) {
        Some(end) => (&input[..end], String::from_utf8_lossy(&input[end + 1..])),
        None => (input, "ab a".into()),
    };
    let path = put(FOLDER.path(), "model.gguf", &with_template(template));
    let config = GenerateConfig::default().max_new_tokens(1);
    let Some(llm) = names(Gguf::load(&path, &config), "model.gguf") else { return };
    let _ = llm.generate_all([&prompt]);
    let _ = llm.choose_all(&[ChoicePrompt { prompt: (&prompt).into(), positive: "a", negative: "b" }]);
});
