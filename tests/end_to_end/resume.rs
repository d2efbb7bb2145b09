use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::harness::Scratch;

const EXPERIMENT: &str = r#"
name = "small"

[[part]]
axis = "gender"
data = "gender"
limit = 6
embedders = ["minilm"]
llms = ["smollm2-135m"]

[[part]]
axis = "politics"
data = "politics"
limit = 3
embedders = ["minilm"]
llms = ["smollm2-135m"]
"#;

/// Prompts of the experiment: every question without and with context.
const PROMPTS: u64 = 2 * (6 + 3);

pub(crate) fn answers_in(store: &std::path::Path) -> u64 {
    let count = || -> rusqlite::Result<i64> {
        let connection = rusqlite::Connection::open(store)?;
        connection.query_row(
            "SELECT (SELECT count(*) FROM answers_3) + (SELECT count(*) FROM choices_3)",
            [],
            |row| row.get(0),
        )
    };
    // The store does not exist yet, or has no tables.
    count().unwrap_or(0).unsigned_abs()
}

fn answers(run: &Value, what: &str) -> u64 {
    run["work"]["answers"][what].as_u64().unwrap()
}

#[test]
fn a_run_that_was_killed_goes_on_generates_nothing_twice_and_gives_the_same_results() {
    let killed = Scratch::new();
    killed.write("small.toml", EXPERIMENT);
    let mut child =
        killed.command(&["run", "small.toml"]).stderr(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
    let begun = Instant::now();
    while answers_in(&killed.store()) < 4 {
        assert!(child.try_wait().unwrap().is_none(), "the run ended before it could be killed");
        assert!(begun.elapsed() < Duration::from_mins(5), "no answer within five minutes");
        std::thread::sleep(Duration::from_millis(20));
    }
    // SIGKILL: the process cannot clean up.
    child.kill().unwrap();
    child.wait().unwrap();
    let before = answers_in(&killed.store());
    assert!(before < PROMPTS);
    assert!(!killed.path("runs/small/results.json").exists());

    let resumed = killed.json(&["run", "small.toml"]);
    assert_eq!(answers(&resumed, "computed"), PROMPTS - before, "{}", resumed["work"]);
    assert_eq!(answers(&resumed, "remembered"), before, "{}", resumed["work"]);

    let whole = Scratch::new();
    whole.write("small.toml", EXPERIMENT);
    let uninterrupted = whole.json(&["run", "small.toml"]);
    assert_eq!(answers(&uninterrupted, "computed"), PROMPTS);
    assert_eq!(resumed["results"], uninterrupted["results"]);

    let again = whole.json(&["run", "small.toml"]);
    assert_eq!(answers(&again, "computed"), 0);
    assert_eq!(again["work"]["vectors"]["computed"], 0);
    for file in
        ["manifest.json", "measurements.parquet", "measurements.csv", "outcomes.parquet", "report.html"]
    {
        assert!(whole.path("runs/small").join(file).is_file(), "{file}");
    }
    let report = whole.json(&["report", "runs/small"]);
    let html = fs_err::read_to_string(whole.path(report["report"].as_str().unwrap())).unwrap();
    assert!(html.contains("smollm2-135m") && !html.contains("http://"), "one file, without network");
}

const RECIPE: &str = r#"
name = "small"
base = "minilm"
axis = "gender"
data = "gender"

[[grid]]
towards = ["female"]
scope = ["head"]
learning-rate = [1e-3, 3e-4]
epochs = [400]
merge = [0.5, 1.0]
"#;

#[test]
fn a_family_that_was_killed_goes_on_from_its_last_epoch() {
    let scratch = Scratch::new();
    scratch.write("r.toml", RECIPE);
    let tune = ["tune", "--recipe", "r.toml", "--out", "family"];
    let mut child = scratch.command(&tune).stderr(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
    let begun = Instant::now();
    let state = scratch.path("family/.state/female-head-lr0.001-e400-s0.safetensors");
    while !state.is_file() {
        assert!(child.try_wait().unwrap().is_none(), "the family was done before it could be killed");
        assert!(begun.elapsed() < Duration::from_mins(5), "no state within five minutes");
        std::thread::sleep(Duration::from_millis(5));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!scratch.path("family/family.parquet").exists());

    let resumed = scratch.json(&tune);
    let members = resumed["members"].as_array().unwrap();
    assert_eq!(members.len(), 5, "the base and four members");
    for member in &members[1..] {
        assert_eq!(member["losses"].as_array().unwrap().len(), 400, "{member}");
        assert!(member["embedder_bias"].as_f64().unwrap() > members[0]["embedder_bias"].as_f64().unwrap());
    }
    assert!(!state.exists());

    let uninterrupted = Scratch::new();
    uninterrupted.write("r.toml", RECIPE);
    let whole = uninterrupted.json(&tune);
    for (a, b) in members.iter().zip(whole["members"].as_array().unwrap()) {
        assert_eq!(
            (&a["losses"], &a["embedder_bias"]),
            (&b["losses"], &b["embedder_bias"]),
            "{}",
            a["member"]
        );
    }

    // Finished members are kept: nothing is trained, and the table is the same.
    let modified = |member: &str| {
        let path = scratch.path("family/members").join(member).join("ragbias.json");
        fs_err::metadata(path).unwrap().modified().unwrap()
    };
    let name = members[1]["member"].as_str().unwrap();
    let before = modified(name);
    assert_eq!(scratch.json(&tune)["members"], resumed["members"]);
    assert_eq!(modified(name), before);
}
