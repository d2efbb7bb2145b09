//! User errors: status 1, the place, what to do, nothing on stdout and no partial files.

use crate::harness::{Done, Scratch, done, root};

fn measure(scratch: &Scratch, questions: &str, corpus: &str, more: &[&str]) -> Done {
    let mut args = vec!["measure", "--axis", "gender", "--questions", questions, "--corpus", corpus];
    args.extend(more);
    if !more.contains(&"--embedder") {
        args.extend(["--embedder", "minilm"]);
    }
    if !more.contains(&"--llm") {
        args.push("--retrieve-only");
    }
    scratch.run(&args)
}

#[track_caller]
fn assert_refused(done: &Done, parts: &[&str]) {
    assert_eq!(done.code, 1, "{}", done.stderr);
    assert_eq!(done.stdout, "");
    assert!(done.stderr.contains("error: ") && !done.stderr.contains("panicked"), "{}", done.stderr);
    for part in parts {
        assert!(done.stderr.contains(part), "no `{part}` in: {}", done.stderr);
    }
}

#[test]
fn files_that_are_not_there_or_malformed_are_named_with_their_line() {
    let scratch = Scratch::new();
    assert_refused(
        &measure(&scratch, "gender", "no/such.jsonl", &[]),
        &["no/such.jsonl", "gender, politics"],
    );
    let bad = scratch.write("bad.jsonl", "{\"_id\":\"a\",\"text\":\"x\"}\n{\"_id\": }\n");
    assert_refused(&measure(&scratch, "gender", &bad, &[]), &["bad.jsonl:2: expected value"]);
    let twice =
        scratch.write("twice.jsonl", "{\"_id\":\"a\",\"text\":\"x\"}\n{\"_id\":\"a\",\"text\":\"y\"}\n");
    assert_refused(&measure(&scratch, "gender", &twice, &[]), &["twice.jsonl", "`a` occurs twice"]);
    let empty = scratch.write("empty.jsonl", "{\"_id\":\"a\",\"text\":\"  \"}\n");
    assert_refused(&measure(&scratch, "gender", &empty, &[]), &["empty.jsonl", "`a` has no text"]);
    let columns = scratch.write("a.csv", "x,y\n1,2\n");
    assert_refused(&measure(&scratch, &columns, "gender", &[]), &["a.csv", "its columns are x, y"]);
    let other = scratch.write("a.xlsx", "x");
    assert_refused(
        &measure(&scratch, "gender", &other, &[]),
        &["a.xlsx", ".jsonl, .csv, .tsv (.gz, .zst) or .parquet"],
    );
}

#[test]
fn an_unknown_axis_scorer_or_model_is_answered_with_the_known_ones() {
    let scratch = Scratch::new();
    let done = scratch.run(&["score", "--axis", "height", "--input", "a.jsonl"]);
    assert_refused(&done, &["`height`", "gender, politics"]);
    assert_refused(&measure(&scratch, "gender", "gender", &["--scorer", "classifier"]), &["lexicon, gold"]);
    assert_refused(
        &measure(&scratch, "gender", "gender", &["--embedder", "minilm-l6"]),
        &["`minilm-l6`", "minilm, smollm2-135m"],
    );
    assert_refused(&measure(&scratch, "gender", "gender", &["--project", "woman"]), &["WORD=NUMBER"]);
}

#[test]
fn settings_that_would_exhaust_the_machine_are_refused_with_their_range() {
    let scratch = Scratch::new();
    let refused = |args: &[&str], part: &str| assert_refused(&scratch.run(args), &[part]);
    for (flag, value, range) in [
        ("--top-k", "4000000000", "top-k is 4000000000, expected 1 to 1000"),
        ("--temperature", "nan", "temperature is NaN, expected 0.0 to 1000000.0"),
        ("--temperature", "inf", "temperature is inf, expected 0.0 to 1000000.0"),
        ("--project", "woman=1e30", "expected -1000.0 to 1000.0"),
    ] {
        assert_refused(&measure(&scratch, "gender", "gender", &[flag, value]), &[range]);
    }
    let table =
        "embedder,llm,axis,embedder_bias,rag_bias,llm_bias\na,m,x,0,0,0\nb,m,x,1,1,0\nc,m,x,0.5,0.4,0\n";
    let table = scratch.write("m.csv", table);
    for (draws, range) in [("10", "draws is 10,"), ("100000000000", "expected 200 to 1000000")] {
        refused(&["fit", "--measurements", &table, "--draws", draws], range);
    }
    refused(&["choose", "--run", "no/run", "--steps", "1000000"], "steps is 1000000, expected 2 to 1000");
    let shard = ["tune", "--recipe", "r.toml", "--out", "f", "--shard", "1/99999999"];
    refused(&shard, "as in 3/16, n up to 10000");
}

#[test]
fn a_data_set_with_a_question_that_no_document_answers_is_refused_before_work() {
    let scratch = Scratch::new();
    scratch.json(&["data", "pull", "gender", "--out", "mine"]);
    let qrels = fs_err::read_to_string(scratch.path("mine/qrels.tsv")).unwrap();
    let kept: Vec<&str> = qrels.lines().filter(|line| !line.starts_with("dance-q2\t")).collect();
    scratch.write("mine/qrels.tsv", kept.join("\n"));
    let part = "[[part]]\naxis = \"gender\"\ndata = \"mine\"\nembedders = [\"minilm\"]\n";
    scratch.write("e.toml", format!("name = \"e\"\n{part}"));
    assert_refused(&scratch.run(&["run", "e.toml"]), &["qrels.tsv", "question `dance-q2` has no document"]);
    assert!(!scratch.path("runs").exists());
    scratch.write("typo.toml", format!("name = \"e\"\n{part}embedder = 3\n"));
    assert_refused(&scratch.run(&["run", "typo.toml"]), &["typo.toml", "line 6", "embedder"]);
}

#[test]
fn model_files_that_are_cut_or_of_another_kind_are_refused() {
    let scratch = Scratch::new();
    let llm = |file: &str| measure(&scratch, "gender", "gender", &["--llm", file]);
    let pulled = scratch.json(&["models", "pull", "smollm2-135m"]);
    let whole = fs_err::read(pulled["path"].as_str().unwrap()).unwrap();
    let cut = scratch.write("cut.gguf", &whole[..2_000_000]);
    assert_refused(&llm(&cut), &["cut.gguf: the file is truncated", "hint: the download was cut"]);
    let text = scratch.write("text.gguf", "not a model");
    assert_refused(&llm(&text), &["it begins with `not `, expected `GGUF`"]);
    // Version 3, no tensor, one key: general.architecture = "mamba".
    let mut other = b"GGUF".to_vec();
    other.extend(3_u32.to_le_bytes());
    other.extend(0_u64.to_le_bytes());
    other.extend(1_u64.to_le_bytes());
    for (kind, text) in [(None, "general.architecture"), (Some(8_u32), "mamba")] {
        other.extend(kind.iter().flat_map(|kind| kind.to_le_bytes()));
        other.extend((text.len() as u64).to_le_bytes());
        other.extend(text.as_bytes());
    }
    let other = scratch.write("other.gguf", other);
    assert_refused(&llm(&other), &["architecture `mamba`, expected one of llama, qwen2"]);
    scratch.write("bert/config.json", "{\"model_type\": \"t5\"}");
    assert_refused(
        &measure(&scratch, "gender", "gender", &["--embedder", "bert"]),
        &["model_type is `t5`, expected bert"],
    );
    assert_refused(
        &measure(&scratch, "gender", "gender", &["--llm", "minilm"]),
        &["`minilm` is an embedder, expected an LLM"],
    );
}

#[test]
fn a_text_of_100_000_words_is_embedded_and_scored_and_too_long_for_an_llm() {
    let scratch = Scratch::new();
    let long = "She wrote that the committee had met and that it would meet again. ".repeat(7_700);
    let corpus = scratch
        .write("long.jsonl", format!("{{\"_id\":\"a\",\"text\":\"{long}\",\"metadata\":{{\"lean\":1}}}}\n"));
    let question = scratch.write("q.jsonl", "{\"_id\":\"q\",\"text\":\"Who wrote it?\"}\n");
    let agreement = scratch.json(&["score", "--axis", "gender", "--scorer", "lexicon", "--input", &corpus]);
    assert_eq!(agreement["accuracy"], 1.0);
    let retrieved = measure(&scratch, &question, &corpus, &["--top-k", "9"]);
    assert_eq!(retrieved.code, 0, "{}", retrieved.stderr);
    let asked = measure(&scratch, &question, &corpus, &["--llm", "smollm2-135m", "--out", "out"]);
    assert_refused(&asked, &["does not fit this model's", "hint: retrieve fewer or shorter documents"]);
    assert!(!scratch.path("out").exists());
}

#[cfg(unix)]
#[test]
fn a_full_disk_leaves_no_half_written_file() {
    let scratch = Scratch::new();
    let corpus = root().join("corpora/gender/corpus.jsonl");
    let args = ["embed", "--embedder", "minilm", "--input", corpus.to_str().unwrap(), "--out", "out/v.npy"];
    assert_eq!(scratch.run(&args).code, 0);
    fs_err::remove_dir_all(scratch.path("out")).unwrap();
    // Files may grow to 128 KiB; the vectors need 288. They come from the store, which is not written to.
    let limited = "trap '' XFSZ; ulimit -f 256; exec \"$0\" \"$@\"";
    let program = env!("CARGO_BIN_EXE_ragbias");
    let mut command = std::process::Command::new("sh");
    command.args(["-c", limited, program]).args(args).current_dir(scratch.path(""));
    let full = done(command.env("RAGBIAS_STORE", scratch.store()));
    assert_refused(&full, &["v.npy", "File too large", "hint: "]);
    assert_eq!(fs_err::read_dir(scratch.path("out")).unwrap().count(), 0);
}

#[test]
fn a_store_that_is_none_and_a_folder_that_is_no_run_are_refused() {
    let scratch = Scratch::new();
    let text = scratch.write("notes.txt", "this is a text file and no database, however long it may be");
    let done = measure(&scratch, "gender", "gender", &["--store", &text]);
    assert_refused(&done, &["the store", "notes.txt", "hint: "]);
    assert_refused(&scratch.run(&["report", "."]), &["not a run folder", "hint: `ragbias run"]);
}

#[test]
fn a_recipe_that_cannot_be_trained_is_refused_with_the_reason() {
    let scratch = Scratch::new();
    let recipe = |towards: &str, scope: &str, more: &str| {
        let head = "name = \"r\"\nbase = \"minilm\"\naxis = \"gender\"\ndata = \"gender\"\n";
        let grid = format!("[[grid]]\ntowards = [\"{towards}\"]\nscope = [\"{scope}\"]\n");
        scratch.write("r.toml", format!("{head}{grid}learning-rate = [1e-3]\nepochs = [1]\n{more}"));
        scratch.run(&["tune", "--recipe", "r.toml", "--out", "family"])
    };
    assert_refused(&recipe("women", "head", ""), &["towards is women, expected male or female"]);
    assert_refused(&recipe("male", "mlp-top-9", ""), &["scope is mlp-top-9, expected 1 to 6 top layers"]);
    assert_refused(&recipe("male", "head", "epoch = 2\n"), &["r.toml", "unknown field `epoch`"]);
    assert!(!scratch.path("family").exists());
    assert_refused(
        &scratch.run(&["tune", "--recipe", "r.toml", "--out", "family", "--shard", "4/3"]),
        &["shard is 4/3"],
    );
    // Another base's family in the folder.
    let id = "0".repeat(64);
    scratch
        .write("family/family.json", format!("{{\"family\":\"r\",\"base\":\"other\",\"base_id\":\"{id}\"}}"));
    assert_refused(&recipe("male", "head", ""), &["holds the family `r` of the base `other`", "hint: "]);
}

#[test]
fn questions_without_documents_of_both_poles_are_skipped_and_counted() {
    let scratch = Scratch::new();
    scratch.json(&["data", "pull", "gender", "--out", "mine"]);
    let part = "base = \"minilm\"\naxis = \"gender\"\ndata = \"mine\"\n[[grid]]\ntowards = [\"female\"]\n";
    let grid = "scope = [\"head\"]\nlearning-rate = [1e-3]\nepochs = [1]\n";
    scratch.write("r.toml", format!("name = \"r\"\n{part}{grid}"));
    // Every document is labelled as about a man: there are no negatives.
    let corpus = fs_err::read_to_string(scratch.path("mine/corpus.jsonl")).unwrap();
    scratch.write("mine/corpus.jsonl", corpus.replace("\"lean\":1", "\"lean\":-1"));
    let done = scratch.run(&["tune", "--recipe", "r.toml", "--out", "family"]);
    assert_refused(&done, &["none of the 65 questions", "leans to `female`", "hint: "]);
    // Judgements of one topic only: its questions are left out.
    let one = corpus.lines().map(|line| {
        if line.contains("\"physics-") { line.replace("\"lean\":1", "\"lean\":-1") } else { line.to_owned() }
    });
    scratch.write("mine/corpus.jsonl", one.collect::<Vec<_>>().join("\n"));
    let done = scratch.run(&["tune", "--recipe", "r.toml", "--out", "family2"]);
    assert_eq!(done.code, 0, "{}", done.stderr);
    assert!(done.stderr.contains("without documents of both kinds"), "{}", done.stderr);
}
