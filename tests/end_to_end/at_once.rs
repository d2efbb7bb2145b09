//! Two processes with one store and one folder: both are right, or one is refused by name.

use std::process::{Child, Output, Stdio};

use crate::harness::Scratch;
use crate::kills::{Files, files, inputs, llm};

fn begun(scratch: &Scratch, line: &str) -> Child {
    let args: Vec<&str> = line.split(' ').collect();
    scratch.command(&args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Runs two commands at once; at least one of them succeeds, and the other is refused by name if it does not.
fn both(scratch: &Scratch, lines: [&str; 2]) -> usize {
    let ended: Vec<Output> =
        lines.map(|line| begun(scratch, line)).map(|child| child.wait_with_output().unwrap()).into();
    for output in ended.iter().filter(|output| !output.status.success()) {
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.code() == Some(1) && said.contains("another run was written here meanwhile"),
            "{said}"
        );
    }
    ended.iter().filter(|output| output.status.success()).count()
}

fn alone(line: &str, outputs: &[&str]) -> Files {
    let mock = llm();
    let scratch = inputs(&mock);
    let done = scratch.run(&line.split(' ').collect::<Vec<_>>());
    assert_eq!(done.code, 0, "{}", done.stderr);
    files(&scratch, outputs)
}

#[test]
fn the_same_command_twice_at_once_gives_what_one_gives() {
    for (line, output) in [
        ("embed --embedder minilm --input corpus.jsonl --out v.npy", "v.npy"),
        ("twins --axis gender --corpus corpus.jsonl --out twins", "twins"),
        ("tune --recipe recipe.toml --out family", "family"),
    ] {
        let expected = alone(line, &[output]);
        let scratch = inputs(&llm());
        assert_eq!(both(&scratch, [line, line]), 2, "{line}");
        assert!(files(&scratch, &[output]) == expected, "{line}");
    }
}

#[test]
fn two_runs_at_once_in_one_folder_leave_one_run_whole() {
    let mock = llm();
    let single = ["few.toml", "fewer.toml"].map(|experiment| {
        let scratch = inputs(&mock);
        scratch.json(&["run", experiment]);
        files(&scratch, &["runs/few"])
    });
    assert!(single[0] != single[1]);
    for (lines, wholes) in
        [(["run few.toml", "run few.toml"], &single[..1]), (["run few.toml", "run fewer.toml"], &single[..])]
    {
        let scratch = inputs(&mock);
        assert!(both(&scratch, lines) >= 1);
        let left = files(&scratch, &["runs/few"]);
        assert!(wholes.contains(&left), "{lines:?}: {:?}", left.keys());
        // Whoever comes next finds all of it in the store.
        let again = scratch.json(&["run", lines[0].trim_start_matches("run ")]);
        assert_eq!(again["work"]["answers"]["computed"], 0, "{lines:?}");
        let after = files(&scratch, &["runs/few"]);
        let names = after.keys().chain(single[0].keys());
        let differ: Vec<&String> = names.filter(|name| after.get(*name) != single[0].get(*name)).collect();
        assert!(differ.is_empty(), "{lines:?}: {differ:?}");
    }
}
