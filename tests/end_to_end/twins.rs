//! The bundled twins as the default embedder and the axes' own words see them.

use std::path::Path;

use crate::harness::Scratch;

/// The share of questions whose first document is one of their own passage's twins.
fn found(outcomes: &Path) -> f64 {
    let mut table = fs_err::read_to_string(outcomes).unwrap();
    table.retain(|c| c != '"');
    let mut lines = table.lines();
    let header: Vec<&str> = lines.next().unwrap().split(',').collect();
    let column = |name: &str| header.iter().position(|column| *column == name).unwrap();
    let (question, document) = (column("question"), column("document"));
    let own: Vec<bool> = lines
        .map(|line| {
            let cells: Vec<&str> = line.split(',').collect();
            cells[question].rsplit_once('-').unwrap().0 == cells[document].rsplit_once('-').unwrap().0
        })
        .collect();
    own.iter().filter(|own| **own).count() as f64 / own.len() as f64
}

#[test]
fn nine_questions_in_ten_find_their_own_passage() {
    let scratch = Scratch::new();
    for (axis, set) in
        [("religion", "religion-twins"), ("nationality", "nationality-twins"), ("age", "age-twins")]
    {
        let out = scratch.path(set);
        scratch.json(&[
            "measure",
            "--axis",
            axis,
            "--questions",
            set,
            "--corpus",
            set,
            "--embedder",
            "minilm",
            "--retrieve-only",
            "--out",
            out.to_str().unwrap(),
        ]);
        let share = found(&out.join("outcomes.csv"));
        assert!((0.9..=1.0).contains(&share), "{set}: {share}");
    }
}

#[test]
fn the_words_of_an_axis_tell_its_twins_apart() {
    let scratch = Scratch::new();
    for (axis, set) in
        [("religion", "religion-twins"), ("nationality", "nationality-twins"), ("age", "age-twins")]
    {
        let folder = scratch.path(set);
        scratch.json(&["data", "pull", set, "--out", folder.to_str().unwrap()]);
        let corpus = folder.join("corpus.jsonl");
        let agreement = scratch.json(&[
            "score",
            "--axis",
            axis,
            "--scorer",
            "words",
            "--input",
            corpus.to_str().unwrap(),
        ]);
        // In two documents on a young person a thing is "an old" one.
        assert!(
            agreement["accuracy"].as_f64().unwrap() > 0.99 && agreement["unscored"] == 0,
            "{set}: {agreement}"
        );
        assert_eq!(agreement["documents"], 600, "{set}: {agreement}");
    }
}

/// An LLM's answer to a question of retrieval is of neither pole, so that one is refused before anything is computed.
#[test]
fn an_axis_of_documents_alone_refuses_an_llm() {
    let scratch = Scratch::new();
    for set in ["brevity", "position", "wording"] {
        let done = scratch.run(&[
            "measure",
            "--axis",
            set,
            "--questions",
            set,
            "--corpus",
            set,
            "--embedder",
            "minilm",
            "--llm",
            "smollm2-135m",
        ]);
        assert!(
            done.code == 1 && done.stderr.contains(set) && done.stderr.contains("hint:"),
            "{}",
            done.stderr
        );
    }
}
