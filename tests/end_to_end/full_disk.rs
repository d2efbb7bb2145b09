//! Outputs and stores for which there is no room: the size of files is limited, so that writing fails in the middle with `EFBIG`, as it does
//! with `ENOSPC` on a full disk.

use std::collections::BTreeSet;
use std::process::{Command, Stdio};

use fs_err as fs;
use serde_json::{Value, json};

use crate::harness::{Done, Scratch, done, gender_recipe};
use crate::mock::{Act, Mock};
use crate::resume::answers_in;

/// KiB of room: less than every output, and more than the 32 that the store's index in shared memory has.
const ROOM: usize = 40;

/// The program, whose files may have so many KiB.
fn limited(scratch: &Scratch, kib: usize, args: &[&str]) -> Command {
    let program = scratch.command(args);
    let mut command = Command::new("sh");
    // A signal that is ignored stays ignored: writing fails, instead of ending the process. A block has 512 bytes.
    command.args(["-c", "trap '' XFSZ; ulimit -f \"$0\"; exec \"$@\"", &(2 * kib).to_string()]);
    command.arg(program.get_program()).args(program.get_args()).stdin(Stdio::null());
    command.current_dir(program.get_current_dir().unwrap());
    for (name, value) in program.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command
}

/// The names of all files, but those of the store.
fn names(scratch: &Scratch) -> BTreeSet<String> {
    let (mut names, mut folders) = (BTreeSet::new(), vec![scratch.path("")]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                names.insert(path.strip_prefix(scratch.path("")).unwrap().to_str().unwrap().to_owned());
            }
        }
    }
    names.retain(|name| !name.starts_with("store.sqlite"));
    names
}

/// Sixteen documents and a hundred questions, whose ids alone fill a table.
fn inputs() -> Scratch {
    let scratch = Scratch::new();
    let document =
        |number: usize, text: String| json!({ "_id": format!("d{number}"), "text": text }).to_string();
    let corpus =
        (0..16).map(|number| document(number, format!("Mary Smith wrote a book on subject {number}.")));
    scratch.write("corpus.jsonl", corpus.collect::<Vec<_>>().join("\n"));
    let many = (0..120).map(|number| {
        document(number, format!("Mary Smith wrote book {number}. {}", "It was read. ".repeat(40)))
    });
    scratch.write("many.jsonl", many.collect::<Vec<_>>().join("\n"));
    let long = "x".repeat(600);
    let questions = (0..100).map(|number| {
        json!({ "_id": format!("{number}{long}"), "text": format!("Who wrote book {number}?"), "topic": format!("t{}", number / 4) }).to_string()
    });
    scratch.write("questions.jsonl", questions.collect::<Vec<_>>().join("\n"));
    let answers = (0..120).map(|number| {
        json!({ "question": format!("Who wrote book {number}?"), "answer": format!("Mary Smith wrote it. {}", "It was read. ".repeat(40)) }).to_string()
    });
    scratch.write("log.jsonl", answers.collect::<Vec<_>>().join("\n"));
    scratch
}

fn assert_named(done: &Done, parts: &[&str]) {
    assert_eq!(done.code, 1, "{}", done.stderr);
    assert!(done.stderr.contains("File too large"), "the cause: {}", done.stderr);
    for part in parts {
        assert!(done.stderr.contains(part), "`{part}`: {}", done.stderr);
    }
    assert!(!done.stderr.contains("panicked"), "{}", done.stderr);
}

#[test]
fn an_output_without_room_is_named_and_nothing_half_written_is_left() {
    let mock = Mock::prompted(|_, _| Act::content("Mary Smith"));
    let experiment = format!(
        "name = \"few\"\n[[part]]\naxis = \"gender\"\ndata = \"gender\"\nsplit = \"validation\"\nlimit = 6\n\
         embedders = [\"minilm\"]\nllms = [\"{}\"]\n",
        mock.url()
    );
    let scratch = inputs();
    scratch.write("few.toml", experiment);
    // So many documents that their table has no room.
    scratch.write("recipe.toml", gender_recipe("few", "[1.0]") + "[mine]\ntop-k = 30\n");
    let measure = "measure --axis gender --questions questions.jsonl --corpus corpus.jsonl --embedder minilm --retrieve-only --out out";
    for (line, output, named) in [
        ("embed --embedder minilm --input many.jsonl --out v.npy", "v.npy", "v.npy"),
        (measure, "out", "outcomes.csv"),
        ("twins --axis gender --corpus many.jsonl --out twins", "twins", "twins: "),
        ("data pull gender --out set", "set", "set/"),
        ("audit --axis gender --log log.jsonl --out audit", "audit", "audit: "),
        ("mine --recipe recipe.toml --out mined.csv", "mined.csv", "mined.csv"),
        ("run few.toml", "runs/few", "runs/few/"),
    ] {
        let args: Vec<&str> = line.split(' ').collect();
        let is_audit = output == "audit";
        let succeed = || {
            let done = scratch.run(&args);
            // Everybody in the log is a woman.
            assert_eq!(done.code, if is_audit { 3 } else { 0 }, "{line}: {}", done.stderr);
        };
        // What the command needs of the store is then in it: only its outputs are written.
        succeed();
        let place = scratch.path(output);
        let remove = || {
            if place.is_dir() {
                fs::remove_dir_all(&place).unwrap();
            } else {
                fs::remove_file(&place).unwrap();
            }
        };
        let whole = names(&scratch);
        remove();
        let before = names(&scratch);
        let failed = done(&mut limited(&scratch, ROOM, &args));
        assert_named(&failed, &[named, "hint: make room"]);
        assert_eq!(names(&scratch), before, "{line}");
        // Answers of an audit are not stored: what was found is not lost with its files.
        assert_eq!(failed.stdout.contains("fail: R_b = +1.00"), is_audit, "{line}: {}", failed.stdout);
        succeed();
        assert_eq!(names(&scratch), whole, "{line}");
    }
}

#[test]
fn a_member_without_room_is_named_and_made_when_there_is_some() {
    let scratch = Scratch::new();
    scratch.write("recipe.toml", gender_recipe("few", "[1.0]"));
    let tune = ["tune", "--recipe", "recipe.toml", "--out", "family"];
    // Hidden states and the state of a training fit; a checkpoint of 90 MB does not.
    let failed = done(&mut limited(&scratch, 40 << 10, &tune));
    assert_named(&failed, &["model.safetensors"]);
    let members = scratch.path("family/members");
    let left = if members.is_dir() { fs::read_dir(&members).unwrap().count() } else { 0 };
    assert_eq!(left, 0, "{:?}", names(&scratch));
    let tuned = scratch.json(&tune);
    assert_eq!(tuned["members"].as_array().unwrap().len(), 3, "the base and two members");
    assert!(!names(&scratch).iter().any(|name| name.contains(".ragbias-tmp-")), "{:?}", names(&scratch));
}

#[test]
fn a_store_without_room_is_named_and_what_was_stored_is_not_asked_again() {
    let scratch = inputs();
    let parallel = 4;
    let mock = Mock::prompted(|_, prompt| {
        Act::content(&format!("Mary Smith. {prompt} {}", "It was read. ".repeat(200)))
    });
    let url = mock.url();
    let measure = [
        "measure",
        "--axis",
        "gender",
        "--questions",
        "questions.jsonl",
        "--corpus",
        "corpus.jsonl",
        "--embedder",
        "minilm",
        "--parallel",
        "4",
        "--llm",
        url.as_str(),
        "--json",
    ];
    let failed = done(&mut limited(&scratch, 700, &measure));
    assert_eq!((failed.code, failed.stdout.as_str()), (1, ""), "{}", failed.stderr);
    for part in ["the store ", "store.sqlite", "hint: "] {
        assert!(failed.stderr.contains(part), "`{part}`: {}", failed.stderr);
    }
    let (asked, stored) = (mock.asked().len() as u64, answers_in(&scratch.store()));
    assert!(stored > 0 && stored < 200, "{stored} answers are stored");
    assert!(
        asked <= stored + parallel,
        "{asked} were asked, {stored} are stored: the others were paid for in vain"
    );
    let whole = scratch.json(&measure[..measure.len() - 1]);
    assert_eq!(mock.asked().len() as u64 - asked, 200 - stored, "what was stored is not asked again");
    assert_eq!(whole["rag_bias"]["n"], 100);
}

#[test]
fn json_for_which_there_is_no_room_is_an_error_of_every_command() {
    let scratch = inputs();
    let labels = (0..40).map(|number| {
        let (text, lean) = if number % 2 == 0 { ("She left.", 1) } else { ("He left.", -1) };
        json!({ "_id": format!("t{number}"), "text": text, "metadata": { "lean": lean, "topic": format!("{number}") } }).to_string()
    });
    scratch.write("labels.jsonl", labels.collect::<Vec<_>>().join("\n"));
    let timed = fs::read_to_string(scratch.path("log.jsonl")).unwrap();
    let timed: Vec<String> = timed
        .lines()
        .map(|line| {
            let mut line: Value = serde_json::from_str(line).unwrap();
            line["time"] = "2026-01-01T08:00:00Z".into();
            line.to_string()
        })
        .collect();
    scratch.write("timed.jsonl", timed.join("\n"));
    for line in [
        "models list",
        "data list",
        "data pull gender --out set",
        "data check corpus.jsonl",
        "score --axis gender --input corpus.jsonl",
        "embed --embedder minilm --input corpus.jsonl --out v.npy",
        "evaluate --embedder minilm --corpus gender",
        "measure --axis gender --questions questions.jsonl --corpus corpus.jsonl --embedder minilm --retrieve-only",
        "calibrate --axis gender --labels labels.jsonl --out c.json",
        "twins --axis gender --corpus corpus.jsonl --out twins",
        "plan --rates 0.4,0.3",
        "audit --axis gender --log log.jsonl",
        "monitor --axis gender --log timed.jsonl",
        "serve --embedder minilm --address 127.0.0.1:0",
    ] {
        let args: Vec<&str> = line.split(' ').chain(["--json"]).collect();
        let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap().into_parts().0;
        let output = scratch.command(&args).stdout(full).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{line}: {said}");
        assert!(said.contains("error: standard output: No space left"), "{line}: {said}");
    }
}
