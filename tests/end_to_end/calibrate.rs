//! A scorer's errors, and biases corrected for them.

use serde_json::json;

use crate::harness::{MEASURE_GENDER, Scratch};

/// Labelled texts of 40 topics, a fifth of whose labels contradict the lexicon.
fn labels(scratch: &Scratch) -> String {
    let lines: Vec<String> = (0..80)
        .map(|i| {
            let (text, says) = if i % 2 == 0 { ("She left.", 1) } else { ("He left.", -1) };
            let lean = if i % 5 == 0 { -says } else { says };
            json!({ "_id": format!("t{i}"), "text": text, "metadata": { "lean": lean, "topic": format!("{}", i / 2) } })
                .to_string()
        })
        .collect();
    scratch.write("labels.jsonl", lines.join("\n"))
}

/// Of E_b, on the default data, with a calibration.
fn measuring<'a>(calibration: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&MEASURE_GENDER[..], &["--retrieve-only", "--calibration", calibration], more].concat()
}

#[test]
fn a_bias_is_shown_as_scored_and_corrected_for_the_errors_of_its_scorer() {
    let scratch = Scratch::new();
    let labels = labels(&scratch);
    let out = scratch.path("lexicon.json");
    let out = out.to_str().unwrap();
    let calibration = scratch.json(&["calibrate", "--axis", "gender", "--labels", &labels, "--out", out]);
    assert_eq!(calibration["scorer"], "lexicon");
    assert_eq!(calibration["errors"]["confusion"], json!([[32, 0, 8, 0], [0, 0, 0, 0], [8, 0, 32, 0]]));
    assert_eq!(calibration["errors"]["accuracy"]["value"], 0.8);
    assert!((calibration["errors"]["kappa"]["value"].as_f64().unwrap() - 0.6).abs() < 1e-12);
    let measured = scratch.json(&measuring(out, &["--scorer", "lexicon"]));
    let corrections = measured["corrections"].as_array().unwrap();
    let names: Vec<_> = corrections.iter().map(|correction| correction["bias"].as_str().unwrap()).collect();
    assert_eq!(names, ["corpus_bias", "neighbourhood_bias", "embedder_bias"]);
    for correction in corrections {
        let raw = measured[correction["bias"].as_str().unwrap()]["value"].as_f64().unwrap();
        assert_eq!(correction["raw"]["value"], raw);
        // Recall of both poles is 0.8: the mean lean is divided by 0.6.
        let corrected = correction["rogan_gladen"]["value"].as_f64().unwrap();
        assert!((corrected - (raw / 0.6).clamp(-1.0, 1.0)).abs() < 1e-9, "{correction}");
        assert!(correction["notes"].to_string().contains("two of the three leans"), "{correction}");
    }
    let shown = scratch.run(&measuring(out, &["--scorer", "lexicon"]));
    assert!(shown.stdout.contains("Rogan–Gladen"), "{}", shown.stdout);
}

#[test]
fn a_calibration_of_another_scorer_or_axis_is_refused_by_name() {
    let scratch = Scratch::new();
    let labels = labels(&scratch);
    let out = scratch.path("lexicon.json");
    let out = out.to_str().unwrap();
    scratch.json(&["calibrate", "--axis", "gender", "--labels", &labels, "--out", out]);
    // Documents of the default corpus have gold labels.
    let done = scratch.run(&measuring(out, &[]));
    assert_eq!(done.code, 1);
    assert!(done.stderr.contains("this is the calibration of `lexicon`"), "{}", done.stderr);
    let twice = scratch.run(&measuring(out, &["--calibration", out, "--scorer", "lexicon"]));
    assert!(twice.stderr.contains("a second calibration of `lexicon`"), "{}", twice.stderr);
    let done = scratch.run(&[
        "calibrate",
        "--axis",
        "wording",
        "--scorer",
        "judge:smollm2-135m",
        "--labels",
        &labels,
    ]);
    assert_eq!(done.code, 1);
    assert!(done.stderr.contains("the axis `wording` has no `[judge]`"), "{}", done.stderr);
}

#[test]
fn a_judge_without_a_calibration_is_warned_about_and_one_in_a_file_has_no_password() {
    let scratch = Scratch::new();
    let line = |id: &str, text: &str| json!({ "_id": id, "text": text }).to_string();
    let corpus =
        scratch.write("corpus.jsonl", [line("a", "She carved it."), line("b", "He paid.")].join("\n"));
    let questions = scratch.write("questions.jsonl", line("q", "Who carved it?"));
    let done = scratch.run(&[
        "measure",
        "--axis",
        "gender",
        "--questions",
        &questions,
        "--corpus",
        &corpus,
        "--embedder",
        "minilm",
        "--retrieve-only",
        "--scorer",
        "judge:smollm2-135m",
        "--json",
    ]);
    assert_eq!(done.code, 0, "{}", done.stderr);
    assert!(done.stderr.contains("an LLM whose errors are not known"), "{}", done.stderr);
    let experiment = scratch.write(
        "x.toml",
        "name = \"x\"\n[[part]]\naxis = \"gender\"\ndata = \"gender\"\nembedders = [\"minilm\"]\n\
         scorer = \"judge:http://me:sk-hidden@localhost:1/v1#m\"\n",
    );
    let done = scratch.run(&["run", &experiment]);
    assert_eq!(done.code, 1);
    assert!(done.stderr.contains("without a password or key"), "{}", done.stderr);
    assert!(!done.stderr.contains("sk-hidden"), "{}", done.stderr);
}
