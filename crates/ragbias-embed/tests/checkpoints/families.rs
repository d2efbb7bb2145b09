//! Every family but BERT beside sentence-transformers.
//!
//! `families.json` and `families-next.json` are made by scripts/reference/families.py and families_next.py with
//! sentence-transformers 6.2.0, torch 2.15.0, transformers 5.24.0.

use ragbias_core::Role;
use serde_json::{Value, json};

use crate::folder::families;
use crate::{check_ids, check_refusals, compare_vectors, load};

/// The least cosine: vectors differ by less than 2e-5 of their length, and those of another GELU by more than 4e-5.
const CLOSE: f64 = 1.0 - 2e-10;

#[test]
fn vectors_of_every_family_are_those_of_sentence_transformers() {
    let (mut compared, mut wrong) = (0, Vec::new());
    for (family, variants) in families() {
        let (count, differing) = compare_vectors(&variants, CLOSE, 1e-4);
        wrong.extend(differing.into_iter().map(|line| format!("{family}/{line}")));
        compared += count;
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(compared >= 120, "{compared} variants");
}

#[test]
fn token_ids_of_every_family_are_those_that_its_encoder_gets_in_transformers() {
    let mut compared = 0;
    for (family, variants) in families() {
        let texts = variants.texts();
        for (name, variant) in variants.iter() {
            if variant.documents.is_none() {
                continue;
            }
            let embedder = load(variants.make(name).path()).unwrap();
            for role in [Role::Document, Role::Question] {
                let ids = embedder.tokenise(&texts, role).unwrap();
                assert_eq!(ids, variants.ids(name, role), "{family}/{name} {role:?}");
            }
            compared += 1;
        }
    }
    assert!(compared >= 120, "{compared} variants");
}

#[test]
fn what_sentence_transformers_refuses_of_a_family_is_refused_with_its_place() {
    let refused: usize = families().values().map(check_refusals).sum();
    assert!(refused >= 9, "{refused} variants");
}

#[test]
fn variants_of_a_family_with_other_vectors_have_other_ids() {
    let ids: usize = families().values().map(check_ids).sum();
    assert!(ids >= 80, "{ids} ids");
}

/// Settings that a release of transformers honours, and that would change numbers.
#[test]
fn other_computations_of_a_family_are_refused_by_name() {
    let of_all = [
        ("quantization_config", json!({"bits": 4})),
        ("pruned_heads", json!({"0": [1]})),
        ("auto_map", json!({"AutoModel": "own.OwnModel"})),
    ];
    let of_roberta = [
        ("position_embedding_type", json!("relative_key")),
        ("is_decoder", json!(true)),
        ("add_cross_attention", json!(true)),
    ];
    for (family, variants) in families() {
        let of_family = if family.ends_with("roberta") { &of_roberta[..] } else { &[] };
        for (key, value) in of_all.iter().chain(of_family) {
            let folder = variants.make("base");
            let path = folder.path().join("config.json");
            let mut config: Value = serde_json::from_slice(&fs_err::read(&path).unwrap()).unwrap();
            config[*key] = value.clone();
            fs_err::write(&path, config.to_string()).unwrap();
            let error = load(folder.path()).expect_err(key).to_string();
            assert!(error.contains("config.json") && error.contains(key), "{family}: {error}");
        }
    }
}

/// Rotary positions count from any token on; sentence-transformers takes a padding token for the first one.
#[test]
fn padding_before_a_text_is_refused_where_its_vector_would_depend_on_it() {
    let families = families();
    let load_with = |family: &str, name: &str| {
        let folder = families[family].make(name);
        let path = folder.path().join("tokenizer_config.json");
        let mut config: Value = serde_json::from_slice(&fs_err::read(&path).unwrap()).unwrap();
        config["padding_side"] = json!("left");
        fs_err::write(&path, config.to_string()).unwrap();
        load(folder.path()).map(|_| ()).map_err(|error| error.to_string())
    };
    for (family, name) in
        [("modernbert", "mean"), ("nomic_bert", "base"), ("qwen3", "base"), ("gemma3_text", "base")]
    {
        assert_eq!(load_with(family, name), Ok(()), "{family}");
    }
    for (family, name) in
        [("modernbert", "base"), ("nomic_bert", "cls"), ("roberta", "base"), ("mpnet", "base")]
    {
        let error = load_with(family, name).unwrap_err();
        assert!(error.contains("tokenizer_config.json: padding_side is `left`, expected right"), "{error}");
    }
}

#[test]
fn no_changed_byte_of_a_config_ends_in_a_panic() {
    for (family, variants) in families() {
        let folder = variants.make("base");
        let path = folder.path().join("config.json");
        let whole = fs_err::read(&path).unwrap();
        let mut refused = 0;
        for at in (0..whole.len()).step_by(3) {
            for byte in [b'9', b'0', b'-', b'"', b'}'] {
                let mut changed = whole.clone();
                changed[at] = byte;
                fs_err::write(&path, &changed).unwrap();
                if let Err(error) = load(folder.path()) {
                    let error = error.to_string();
                    assert!(error.contains(folder.path().to_str().unwrap()), "{family}, byte {at}: {error}");
                    refused += 1;
                }
            }
        }
        assert!(refused > 100, "{family}: {refused}");
    }
}
