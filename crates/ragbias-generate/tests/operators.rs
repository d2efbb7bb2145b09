//! Answers, choices and likelihoods by candle's operators, which a GPU uses, compared with the CPU's kernels.
#![allow(clippy::unwrap_used, reason = "a test says what went wrong by panicking")]

use std::path::{Path, PathBuf};

use ragbias_core::{ChoicePrompt, Error, GenerateAll, Generator, PossibleAnswer, Precision, Processor};
use ragbias_generate::{GenerateConfig, Gguf};

const PROMPTS: [&str; 6] =
    ["ab a", "b", "ab a b ba", "a a a a a a a a a a a a a a a a a a b", "ab a b", "ab a"];

/// Small files with tokenizers.
fn files() -> Vec<PathBuf> {
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fuzz/seeds/gguf");
    let files: Vec<PathBuf> = fs_err::read_dir(seeds).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(files.len(), 4);
    files
}

#[test]
fn answers_choices_and_likelihoods_are_those_of_the_kernels() {
    for file in files() {
        for temperature in [0.0, 1.5] {
            let config = GenerateConfig::default().max_new_tokens(12).temperature(temperature).seed(3);
            let kernels = Gguf::load(&file, &config).unwrap();
            let operators = Gguf::with_operators(&file, &config, Precision::F32).unwrap();
            assert_eq!(operators.generate_all(PROMPTS).unwrap(), kernels.generate_all(PROMPTS).unwrap());
            let choices =
                PROMPTS.map(|prompt| ChoicePrompt { prompt: prompt.into(), positive: "a b", negative: "b" });
            let [ours, expected] = [&operators, &kernels].map(|llm| llm.choose_all(&choices).unwrap());
            for (ours, expected) in ours.iter().zip(&expected) {
                let (ours, expected) = (ours.choice().unwrap(), expected.choice().unwrap());
                assert!((ours.log_odds - expected.log_odds).abs() < 1e-4, "{ours:?} {expected:?}");
                assert!((ours.position_bias - expected.position_bias).abs() < 1e-4, "{ours:?} {expected:?}");
            }
            let answers: Vec<PossibleAnswer<'_>> = (PROMPTS.iter())
                .flat_map(|&prompt| {
                    ["a", "b a", "ab ab ab"].map(|answer| PossibleAnswer { prompt: prompt.into(), answer })
                })
                .collect();
            let [ours, expected] = [&operators, &kernels].map(|llm| llm.likelihoods_all(&answers).unwrap());
            for (ours, expected) in ours.iter().zip(&expected) {
                assert_eq!(ours.tokens(), expected.tokens());
                assert!((ours.per_token() - expected.per_token()).abs() < 1e-4, "{ours:?} {expected:?}");
            }
        }
    }
}

#[test]
fn each_device_and_precision_has_an_identity_of_its_own() {
    let (file, config) = (&files()[0], GenerateConfig::default());
    let cpu = Gguf::load(file, &config).unwrap().id();
    let [wide, narrow] =
        [Precision::F32, Precision::Bf16].map(|p| Gguf::with_operators(file, &config, p).unwrap().id());
    assert!(cpu != wide && cpu != narrow && wide != narrow);
    // The CPU's kernels compute in f32 whatever the precision of embedders.
    for precision in [Precision::F32, Precision::Bf16, Precision::Int8] {
        assert_eq!(Gguf::load_on(file, &config, Processor::Cpu, precision).unwrap().id(), cpu);
    }
}

#[cfg(not(feature = "cuda"))]
#[test]
fn a_gpu_that_the_build_does_not_know_is_refused_with_a_hint() {
    let loaded = Gguf::load_on(&files()[0], &GenerateConfig::default(), Processor::Cuda(0), Precision::F32);
    let error = Error::from(loaded.err().unwrap()).to_string();
    assert!(error.contains("built without it") && error.contains("hint: "), "{error}");
    let refused = Gguf::with_operators(&files()[0], &GenerateConfig::default(), Precision::Int8);
    assert!(refused.err().unwrap().to_string().contains("int8"));
}
