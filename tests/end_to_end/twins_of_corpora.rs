//! `ragbias twins`: pairs of any corpus, written, read again and measured.

use serde_json::{Value, json};

use crate::harness::Scratch;

const PASSAGES: [(&str, &str); 4] = [
    ("bees", "Clara Fell keeps bees in the old town. She sells her honey on Sundays."),
    ("clocks", "Peter Holm repairs clocks. His shop is by the river, and he opens at nine."),
    ("bread", "Emily Dunmore bakes bread with rye. People like her for it."),
    ("rain", "It rains on the hill for weeks."),
];

fn corpus(scratch: &Scratch) -> String {
    let line = |(id, text): &(&str, &str)| json!({ "_id": id, "text": text }).to_string();
    scratch.write("c.jsonl", PASSAGES.iter().map(line).collect::<Vec<_>>().join("\n"))
}

fn questions(scratch: &Scratch) -> String {
    let asked = [("q1", "Who keeps bees?"), ("q2", "Who repairs clocks?"), ("q3", "Who bakes rye bread?")];
    let line = |(id, text): &(&str, &str)| json!({ "_id": id, "text": text }).to_string();
    scratch.write("q.jsonl", asked.iter().map(line).collect::<Vec<_>>().join("\n"))
}

fn make(scratch: &Scratch, out: &str, more: &[&str]) -> Value {
    let corpus = corpus(scratch);
    let args = [&["twins", "--axis", "gender", "--corpus", &corpus, "--out", out], more].concat();
    scratch.json(&args)
}

#[test]
fn twins_of_a_corpus_are_counted_listed_and_measured_over_every_draw() {
    let scratch = Scratch::new();
    let questions = questions(&scratch);
    let card = make(&scratch, "one", &[]);
    assert_eq!((&card["documents"], &card["passages"], &card["twins"]), (&json!(4), &json!(3), &json!(6)));
    assert_eq!((&card["of_men"], &card["of_women"]), (&json!(1), &json!(2)));
    let left_out = fs_err::read_to_string(scratch.path("one/left-out.jsonl")).unwrap();
    assert_eq!(left_out, "{\"_id\":\"rain\",\"reason\":\"nobody\",\"words\":\"\"}\n");
    let three = make(&scratch, "three", &["--draws", "3", "--seed", "7"]);
    assert_eq!(three["twins"], 18);
    for (folder, n) in [("one", 3), ("three", 9)] {
        let measured = scratch.json(&[
            "measure",
            "--axis",
            "gender",
            "--questions",
            &questions,
            "--corpus",
            folder,
            "--embedder",
            "minilm",
            "--retrieve-only",
        ]);
        let preference = &measured["twin_preference"];
        assert_eq!((&preference["n"], &preference["draws"]), (&json!(n), &json!(n / 3)), "{folder}");
    }
    // The same seed and corpus give the same files.
    let first = fs_err::read(scratch.path("three/corpus.jsonl")).unwrap();
    make(&scratch, "three", &["--draws", "3", "--seed", "7"]);
    assert_eq!(fs_err::read(scratch.path("three/corpus.jsonl")).unwrap(), first);
}

#[test]
fn a_data_set_keeps_its_questions_and_judgements() {
    let scratch = Scratch::new();
    let card = scratch.json(&[
        "twins",
        "--axis",
        "gender",
        "--corpus",
        "gender",
        "--with-questions",
        "--out",
        "twins",
    ]);
    assert!(card["questions"].as_u64().unwrap() > 5, "{card}");
    let measured = scratch.json(&[
        "measure",
        "--axis",
        "gender",
        "--questions",
        "twins",
        "--corpus",
        "twins",
        "--qrels",
        "twins",
        "--embedder",
        "minilm",
        "--retrieve-only",
    ]);
    assert_eq!(measured["twin_preference"]["twins_of"], "relevant");
    assert_eq!(measured["embedder_bias"]["n"], card["questions"]);
}

#[test]
fn what_is_not_twins_is_neither_replaced_nor_made_again() {
    let scratch = Scratch::new();
    scratch.write("mine/notes.txt", "keep");
    let corpus = corpus(&scratch);
    let made = |corpus: &str, axis: &str, out: &str, draws: &str| {
        scratch.run(&["twins", "--axis", axis, "--corpus", corpus, "--out", out, "--draws", draws])
    };
    let occupied = made(&corpus, "gender", "mine", "1");
    assert!(
        occupied.code == 1 && occupied.stderr.contains("mine: expected no folder"),
        "{}",
        occupied.stderr
    );
    assert_eq!(fs_err::read_to_string(scratch.path("mine/notes.txt")).unwrap(), "keep");
    let again = made("gender-twins", "gender", "out", "1");
    assert!(again.code == 1 && again.stderr.contains("not of twins already"), "{}", again.stderr);
    assert!(made(&corpus, "politics", "out", "1").stderr.contains("axis is politics, expected gender"));
    assert!(made(&corpus, "gender", "out", "21").stderr.contains("draws is 21, expected 1 to 20"));
    let rain = scratch.write("rain.jsonl", json!({ "_id": "r", "text": "It rains." }).to_string());
    let none = made(&rain, "gender", "out", "1");
    assert!(
        none.code == 1 && none.stderr.contains("none of 1 documents has twins: 1 nobody is named"),
        "{}",
        none.stderr
    );
    assert!(!scratch.path("out").exists());
}

/// Published data, where it is there: every twin is a twin of its passage, and none has a word of the other gender.
#[test]
fn twins_of_published_passages_have_no_word_of_the_other_gender() {
    let Some(data) = std::env::var_os("RAGBIAS_DATA_DIR") else {
        return;
    };
    let scratch = Scratch::new();
    for (set, least) in [("gap/corpus.jsonl", 50), ("genderbias-qa/train.csv", 150)] {
        let source = std::path::Path::new(&data).join(set);
        let card = scratch.json(&[
            "twins",
            "--axis",
            "gender",
            "--corpus",
            source.to_str().unwrap(),
            "--draws",
            "2",
            "--out",
            "out",
        ]);
        assert!(card["passages"].as_u64().unwrap() > least, "{card}");
        let corpus = scratch.path("out/corpus.jsonl");
        for line in fs_err::read_to_string(corpus).unwrap().lines() {
            let twin: Value = serde_json::from_str(line).unwrap();
            let other: &[&str] = if twin["metadata"]["lean"] == 1 {
                &["he", "him", "his", "himself"]
            } else {
                &["she", "her", "hers", "herself"]
            };
            let text = twin["text"].as_str().unwrap().to_lowercase();
            // Quoted titles of works stay.
            let quoted = text.contains(['"', '“', '`', '*', '\'']);
            let mut words = text.split(|c: char| !c.is_alphanumeric());
            assert!(quoted || !words.any(|word| other.contains(&word)), "{line}");
        }
    }
}
