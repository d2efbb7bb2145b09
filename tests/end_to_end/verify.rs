//! `ragbias verify` against `ragbias serve`, with real models that differ in one thing each.

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::harness::{Scratch, done, root};
use crate::serve::Server;

/// The folder of a model.
fn model(scratch: &Scratch, name: &str) -> PathBuf {
    PathBuf::from(scratch.json(&["models", "path", name])["path"].as_str().unwrap())
}

/// A copy of MiniLM with these files written anew, as text for the command line.
fn changed(scratch: &Scratch, name: &str, files: &[(&str, Value)]) -> String {
    let (from, into) = (model(scratch, "minilm"), scratch.path(name));
    for file in [
        "config.json",
        "model.safetensors",
        "modules.json",
        "sentence_bert_config.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "1_Pooling/config.json",
    ] {
        fs_err::create_dir_all(into.join(file).parent().unwrap()).unwrap();
        fs_err::copy(from.join(file), into.join(file)).unwrap();
    }
    for (file, content) in files {
        fs_err::write(into.join(file), content.to_string()).unwrap();
    }
    into.to_str().unwrap().to_owned()
}

/// Every eighth document of the bundled gender corpus.
fn some_texts(scratch: &Scratch) -> String {
    let all = fs_err::read_to_string(root().join("corpora/gender/corpus.jsonl")).unwrap();
    scratch.write("texts.jsonl", all.lines().step_by(8).collect::<Vec<_>>().join("\n"))
}

/// The exit code and the result of verifying a server of `served` against MiniLM.
fn verified(scratch: &Scratch, served: &[&str], more: &[&str]) -> (i32, Value) {
    // No test depends on how fast a machine is.
    let server = Server::start(scratch, &[served, &["--timeout", "600"]].concat());
    let address = format!("{}/v1", server.started["address"].as_str().unwrap());
    let texts = some_texts(scratch);
    let args = [&["verify", "--server", &address, "--against", "minilm", "--texts", &texts, "--json"], more]
        .concat();
    let done = done(&mut scratch.command(&args));
    (done.code, serde_json::from_str(&done.stdout).unwrap_or_else(|_| panic!("{}", done.stderr)))
}

#[test]
fn vectors_of_the_checkpoint_are_equal() {
    let scratch = Scratch::new();
    let (code, found) = verified(&scratch, &["--embedder", "minilm"], &["--axis", "gender"]);
    assert_eq!((code, &found["is_equal"], &found["cause"]), (0, &json!(true), &Value::Null), "{found}");
    for agreement in ["documents", "long_texts"] {
        assert!(found[agreement]["least_cosine"].as_f64().unwrap() > 1.0 - 1e-6, "{}", found[agreement]);
    }
    assert_eq!(found["documents"]["texts"], 24);
    assert!(found["top10_overlap"].as_f64().unwrap() > 0.999);
    let biases = &found["embedder_bias"];
    assert_eq!(biases["checkpoint"], biases["server"]);
    let measured = scratch.json(&[
        "measure",
        "--axis",
        "gender",
        "--questions",
        "gender",
        "--corpus",
        "gender",
        "--embedder",
        "minilm",
        "--retrieve-only",
    ]);
    assert_eq!(biases["server"]["value"], measured["embedder_bias"]["value"]);
}

#[test]
fn a_server_that_pools_cuts_or_prefixes_otherwise_is_told_so() {
    let scratch = Scratch::new();
    let pooling = json!({ "word_embedding_dimension": 384, "pooling_mode_cls_token": true, "pooling_mode_mean_tokens": false });
    let cls = changed(&scratch, "cls", &[("1_Pooling/config.json", pooling)]);
    let (code, found) = verified(&scratch, &["--embedder", &cls, "--name", "m"], &["--axis", "gender"]);
    assert_eq!(
        (code, &found["cause"]),
        (3, &json!({ "kind": "pooling", "expected": "mean", "received": "cls" })),
        "{found}"
    );
    assert!(found["said"].as_str().unwrap().contains("another pooling: cls, expected mean"));
    assert!(found["top10_overlap"].as_f64().unwrap() < 0.9);
    assert_ne!(found["embedder_bias"]["checkpoint"], found["embedder_bias"]["server"]);

    let short = changed(
        &scratch,
        "short",
        &[("sentence_bert_config.json", json!({ "max_seq_length": 128, "do_lower_case": false }))],
    );
    let (code, found) = verified(&scratch, &["--embedder", &short, "--name", "m"], &[]);
    assert_eq!(
        (code, &found["cause"]),
        (3, &json!({ "kind": "truncation", "expected": 256, "received": 128 })),
        "{found}"
    );
    assert!(found["documents"]["least_cosine"].as_f64().unwrap() > 1.0 - 1e-6, "{}", found["documents"]);

    let prompts =
        json!({ "prompts": { "query": "query: ", "document": "query: " }, "default_prompt_name": null });
    let prefixed = changed(&scratch, "prefixed", &[("config_sentence_transformers.json", prompts)]);
    let (code, found) = verified(&scratch, &["--embedder", &prefixed, "--name", "m"], &[]);
    assert_eq!(
        (code, &found["cause"]),
        (3, &json!({ "kind": "prefix", "expected": "", "received": "query: " })),
        "{found}"
    );
}

#[test]
fn a_missing_and_a_swapped_prefix_are_told_apart() {
    let scratch = Scratch::new();
    let prompts = |question: &str, document: &str| {
        let prompts =
            json!({ "prompts": { "query": question, "document": document }, "default_prompt_name": null });
        [("config_sentence_transformers.json", prompts)]
    };
    let e5 = changed(&scratch, "e5", &prompts("query: ", "passage: "));
    let cases = [("swapped", prompts("passage: ", "query: "), "query: "), ("missing", prompts("", ""), "")];
    for (name, files, received) in cases {
        let served = changed(&scratch, name, &files);
        let server = Server::start(&scratch, &["--embedder", &served, "--name", "m"]);
        let address = format!("{}/v1", server.started["address"].as_str().unwrap());
        let done = scratch.run(&[
            "verify",
            "--server",
            &address,
            "--against",
            &e5,
            "--texts",
            &some_texts(&scratch),
            "--json",
        ]);
        let found: Value = serde_json::from_str(&done.stdout).unwrap_or_else(|_| panic!("{}", done.stderr));
        let expected = json!({ "kind": "prefix", "expected": "passage: ", "received": received });
        assert_eq!((done.code, &found["cause"]), (3, &expected), "{found}");
    }
}

#[test]
fn another_precision_another_model_and_lengths_other_than_1_are_told_so() {
    let scratch = Scratch::new();
    let (code, found) = verified(&scratch, &["--embedder", "minilm", "--precision", "int8"], &[]);
    assert_eq!(
        (code, &found["cause"]["kind"], &found["cause"]["precision"]),
        (3, &json!("precision"), &json!("int8")),
        "{found}"
    );
    assert_eq!(found["cause"]["is_exact"], true);
    assert!(found["documents"]["median_cosine"].as_f64().unwrap() > 0.99);

    let (code, found) = verified(&scratch, &["--embedder", "mpnet"], &[]);
    assert_eq!(
        (code, &found["cause"]),
        (3, &json!({ "kind": "dimension", "expected": 384, "received": 768 })),
        "{found}"
    );
    assert_eq!((&found["documents"], &found["embedder_bias"]), (&Value::Null, &Value::Null));

    // The same layers in another order are a model of its own.
    let other = changed(&scratch, "other", &[]);
    let path = PathBuf::from(&other).join("model.safetensors");
    let mut bytes = fs_err::read(&path).unwrap();
    let header = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let text = String::from_utf8(bytes[8..8 + header].to_vec()).unwrap();
    let swapped =
        text.replace("layer.1.", "layer.x.").replace("layer.4.", "layer.1.").replace("layer.x.", "layer.4.");
    assert_ne!(text, swapped);
    bytes[8..8 + header].copy_from_slice(swapped.as_bytes());
    fs_err::write(&path, bytes).unwrap();
    let (code, found) = verified(&scratch, &["--embedder", &other, "--name", "m"], &[]);
    assert_eq!((code, &found["cause"]), (3, &json!({ "kind": "other-model" })), "{found}");
    assert!(found["tried"].as_array().unwrap().len() > 10, "{found}");

    let modules = json!([
        { "idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer" },
        { "idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling" }
    ]);
    let dot = json!({ "similarity_fn_name": "dot" });
    let raw =
        changed(&scratch, "raw", &[("modules.json", modules), ("config_sentence_transformers.json", dot)]);
    let (code, found) = verified(&scratch, &["--embedder", &raw, "--name", "m"], &[]);
    assert_eq!((code, &found["cause"]), (3, &json!({ "kind": "not-normalised" })), "{found}");
    assert!(found["lengths"][1].as_f64().unwrap() > 1.5, "{}", found["lengths"]);
}

#[test]
fn a_server_that_is_not_there_or_gives_no_vectors_is_an_error() {
    let scratch = Scratch::new();
    let done = scratch.run(&["verify", "--server", "http://127.0.0.1:9/v1#m", "--against", "minilm"]);
    assert!(done.code == 1 && done.stderr.contains("127.0.0.1:9"), "{}", done.stderr);
    let server = Server::start(&scratch, &["--embedder", "minilm"]);
    let address = server.started["address"].as_str().unwrap();
    let done = scratch.run(&["verify", "--server", &format!("{address}/v2"), "--against", "minilm"]);
    assert!(done.code == 1 && done.stderr.contains("hint: the address must be"), "{}", done.stderr);
    let done = scratch.run(&["verify", "--server", address, "--against", "minilm", "--tolerance", "2"]);
    assert!(done.code == 1 && done.stderr.contains("tolerance is 2"), "{}", done.stderr);
}
