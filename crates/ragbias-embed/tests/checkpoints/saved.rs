//! Checkpoints saved after training.

use ragbias_core::{Embedder, Role};
use ragbias_embed::{Checkpoint, TextEmbedder, TextEmbedderConfig};
use serde_json::json;

use crate::folder::{Variants, families};
use crate::load;

/// The files that text-embeddings-inference requires.
const ASKED: [&str; 7] = [
    "config.json",
    "model.safetensors",
    "tokenizer.json",
    "tokenizer_config.json",
    "modules.json",
    "sentence_bert_config.json",
    "1_Pooling/config.json",
];

/// Bases of every kind that can be tuned.
const BASES: [&str; 20] = [
    "base",
    "pooling-cls",
    "pooling-older-joined",
    "new-type-names",
    "older-layout",
    "plain-transformers",
    "no-modules-other-files-idle",
    "length-null",
    "cut-at-the-start",
    "case-by-tokenizer-config",
    "case-no-tokenizer-config",
    "case-by-sentence-bert",
    "tokenizer-json-as-it-is",
    "vocabulary-alone",
    "added-tokens",
    "prompts",
    "prompt-left-out-mean",
    "f16",
    "gamma-and-beta",
    "sharded",
];

#[test]
fn a_saved_checkpoint_has_the_vectors_of_its_base_and_every_file_that_servers_ask_for() {
    let (variants, families) = (Variants::read(), families());
    let of_families = ["modernbert", "nomic_bert", "gte", "new", "qwen3", "gemma3_text"];
    let of_families = of_families.into_iter().flat_map(|family| {
        let heads = ["base", "with-head", "without-prefix", "biases", "cut-at-the-start", "bf16-in-parts"];
        let all: Vec<&str> = families[family].iter().map(|(name, _)| name).collect();
        heads.into_iter().filter(move |name| all.contains(name)).map(move |name| (family, name))
    });
    let of_families = of_families.map(|(family, name)| (&families[family], name));
    for (variants, name) in BASES.into_iter().map(|name| (&variants, name)).chain(of_families) {
        let texts = variants.texts();
        let base = variants.make(name);
        let settings = TextEmbedderConfig::default();
        let (embedder, parameters) = TextEmbedder::load_with_parameters(base.path(), &settings).unwrap();
        for parameters in [None, Some(&parameters)] {
            let out = tempfile::tempdir().unwrap();
            let folder = out.path().join("member");
            let card = json!({"recipe": "test"});
            Checkpoint { base: base.path(), parameters, head: None, card }.save(&folder).unwrap();
            for file in ASKED {
                assert!(folder.join(file).is_file(), "{name}: {file}");
            }
            let saved = load(&folder).unwrap();
            for role in [Role::Question, Role::Document] {
                let (a, b) = (embedder.embed(&texts, role).unwrap(), saved.embed(&texts, role).unwrap());
                let most = (a.into_inner() - b.view()).iter().fold(0.0_f32, |most, x| most.max(x.abs()));
                assert!(most < 1e-6, "{name}: {role:?} {most}");
            }
        }
    }
}

#[test]
fn a_base_whose_modules_would_be_lost_is_refused_when_it_is_saved() {
    let variants = Variants::read();
    for (name, module) in [("dense-tanh", "Dense"), ("layer-norm", "LayerNorm")] {
        let base = variants.make(name);
        let out = tempfile::tempdir().unwrap();
        let checkpoint = Checkpoint { base: base.path(), parameters: None, head: None, card: json!({}) };
        let error = checkpoint.save(&out.path().join("member")).unwrap_err().to_string();
        assert!(error.contains(&format!("a module of the base is `{module}`")), "{error}");
        assert!(!out.path().join("member").exists());
    }
}
