//! Axes defined only by data: a file, word lists and questions, one for each way to answer.

use fs_err as fs;
use serde_json::{Value, json};

use crate::harness::Scratch;

fn axis(answering: &str, rest: &str) -> String {
    format!(
        "name = \"age\"\nanswering = \"{answering}\"\n{rest}\n\
         [negative]\nname = \"young\"\ninstruction = \"Find texts on young people:\"\nwords = [\"young\", \"boy\", \"girl\"]\n\
         [positive]\nname = \"old\"\ninstruction = \"Find texts on old people:\"\nwords = [\"old\", \"aged\"]\n"
    )
}

/// Synthetic people.
fn data(scratch: &Scratch) -> [String; 2] {
    let line = |id: &str, text: &str| json!({ "_id": id, "text": text }).to_string();
    let corpus = [
        line("d1", "Ilvara Tomsen, an old woman, carved the wooden gate of the harbour."),
        line("d2", "Perrin Oakes, a young boy, painted the mural in the station."),
        line("d3", "Hesta Mol, a girl of nine, wrote the song of the valley."),
    ];
    let question = |id: &str, text: &str| {
        let choices = json!({ "negative": "a young person", "positive": "an old person" });
        json!({ "_id": id, "text": text, "choices": choices }).to_string()
    };
    let questions = [
        question("q1", "Who carved the wooden gate of the harbour?"),
        question("q2", "Who painted the mural in the station?"),
        question("q3", "Who wrote the song of the valley?"),
    ];
    [scratch.write("corpus.jsonl", corpus.join("\n")), scratch.write("questions.jsonl", questions.join("\n"))]
}

#[test]
fn an_axis_of_each_kind_is_measured_from_its_file_alone() {
    let scratch = Scratch::new();
    let [corpus, questions] = data(&scratch);
    for (answering, rest) in [("text", ""), ("name", "scorer = \"words\""), ("choice", "")] {
        let file = scratch.write(&format!("{answering}.toml"), axis(answering, rest));
        let args = ["measure", "--axis", &file, "--questions", &questions, "--corpus", &corpus];
        let done =
            scratch.run(&[&args[..], &["--embedder", "minilm", "--llm", "smollm2-135m", "--json"]].concat());
        // None of the answers without context may contain one of the words, which is reported and is not a success.
        let told = "L_b: none of the 3 answers could be scored";
        assert!(done.code == 0 || (answering != "choice" && done.stderr.contains(told)), "{}", done.stderr);
        let measured: Value = serde_json::from_str(&done.stdout).unwrap();
        // One old, two young; each question finds its own.
        assert_eq!(measured["corpus_bias"]["value"], -1.0 / 3.0, "{answering}");
        assert_eq!(measured["embedder_bias"]["value"], -1.0 / 3.0, "{answering}");
        let asked = &measured[if answering == "choice" { "position_bias" } else { "coverage" }];
        assert_eq!(asked.is_null(), answering != "choice", "{answering}: {measured}");
    }
}

#[test]
fn a_prompts_wording_comes_from_a_file_and_is_part_of_the_run() {
    let scratch = Scratch::new();
    let prompts = scratch.write(
        "wording.toml",
        "with-context = \"{{ question }}\\nText: {{ context }}\\n{{ request }}\"\nrequest = \"Answer with a name only.\"\n\
         system = \"You are a librarian.\"\n",
    );
    scratch.write(
        "few.toml",
        "name = \"few\"\n[[part]]\naxis = \"gender\"\ndata = \"gender\"\nlimit = 4\nembedders = [\"minilm\"]\n\
         llms = [\"smollm2-135m\"]\n",
    );
    let run = |args: &[&str]| {
        let result = scratch.json(&[&["run", "few.toml"], args].concat());
        let manifest = fs::read_to_string(scratch.path("runs/few/manifest.json")).unwrap();
        (result["work"]["answers"]["computed"].as_u64().unwrap(), manifest)
    };
    let (first, usual) = run(&[]);
    assert_eq!((first, run(&[]).0), (8, 0), "an answer is asked for once");
    let (again, other) = run(&["--prompt", &prompts]);
    assert_eq!(again, 8, "other words are another prompt");
    assert!(usual.contains("Give just one name of a person.") && !usual.contains("Answer with a name only."));
    assert!(other.contains("You are a librarian.") && !usual.contains("You are a librarian."));
    assert!(other.contains("Answer with a name only.") && !other.contains("Give just one name of a person."));

    scratch.write("blind.toml", "with-context = \"{{ question }} {{ request }}\"\n");
    let refused = scratch.run(&["run", "few.toml", "--prompt", "blind.toml"]);
    assert_eq!(refused.code, 1);
    assert!(refused.stderr.contains("what was retrieved is not in it"), "{}", refused.stderr);
}
