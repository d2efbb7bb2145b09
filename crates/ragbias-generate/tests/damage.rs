//! For any content of a GGUF file, it is read, or refused with its name.
#![allow(clippy::unwrap_used, reason = "a test says what went wrong by panicking")]

#[path = "../../../tests/fuzz/src/template.rs"]
#[allow(unreachable_pub, reason = "a fuzz target has it, too")]
mod template;

use std::path::Path;

use ragbias_core::testing::damaged;
use ragbias_core::{ChoicePrompt, GenerateAll};
use ragbias_generate::{GenerateConfig, Gguf};

/// Number of damaged versions of each file. The fuzz target `gguf` in `tests/fuzz` searches for many more.
const SEEDS: u64 = 500;

#[test]
fn a_damaged_model_answers_or_is_refused_with_its_name() {
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fuzz/seeds/gguf");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    let config = GenerateConfig::default().max_new_tokens(2);
    let ask = |llm: &Gguf| {
        let choice = ChoicePrompt { prompt: "ab".into(), positive: "a", negative: "b" };
        llm.generate_all(["ab a"]).and(llm.choose_all(&[choice]))
    };
    let mut files = 0;
    for entry in fs_err::read_dir(seeds).unwrap() {
        let whole = fs_err::read(entry.unwrap().path()).unwrap();
        fs_err::write(&path, &whole).unwrap();
        ask(&Gguf::load(&path, &config).unwrap()).unwrap();
        files += 1;
        // Most of a file are weights; the rules concern its header.
        let header = whole.len().min(6 << 10);
        for seed in 0..SEEDS {
            let mut bytes = damaged(&whole[..header], seed);
            bytes.extend(&whole[header..]);
            fs_err::write(&path, &bytes).unwrap();
            match Gguf::load(&path, &config) {
                Ok(llm) => drop(ask(&llm)),
                Err(error) => assert!(error.to_string().contains("model.gguf"), "damage {seed}: {error}"),
            }
        }
    }
    assert_eq!(files, 4);
}

/// Found by the fuzz target `template`: a prompt rendered by a template was tokenised whatever its length, at 2 s for half a
/// megabyte.
#[test]
fn what_a_template_makes_of_a_prompt_is_measured_before_it_is_tokenised() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    let answer = |template: &str| {
        fs_err::write(&path, template::with_template(template.as_bytes())).unwrap();
        Gguf::load(&path, &GenerateConfig::default()).unwrap().generate_all(["ab a"])
    };
    answer("{{ messages[0].content }} b").unwrap();
    let error = answer(include_str!("../../../tests/fuzz/seeds/template/doubling")).unwrap_err().to_string();
    assert!(error.contains("a prompt of 524288 bytes does not fit this model's 256 tokens"), "{error}");
}
