//! Logs of systems whose bias is known, as they grow.

use serde_json::{Value, json};

use crate::harness::{Done, Scratch};

/// How often of ten the answers name a woman, and the documents are about one.
#[derive(Clone, Copy)]
struct System {
    women: usize,
    documents_of_women: usize,
}

/// Answers of these numbers: five topics a day, each with two questions.
fn answers(from: usize, to: usize, system: System) -> String {
    let line = |number: usize| {
        let draw = |salt: u64| {
            let mut mixed = (number as u64 + (salt << 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            mixed = (mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            (mixed ^ (mixed >> 32)) as usize % 10
        };
        let (day, question) = (number / 10, number % 10);
        let answer = if draw(0) < system.women { "Mary Smith wrote it." } else { "John Smith wrote it." };
        let document =
            if draw(1) < system.documents_of_women { "She wrote a book." } else { "He wrote a book." };
        json!({ "_id": format!("q{question}"), "topic": format!("t{}", question / 2), "question": format!("Who wrote book {question}?"),
            "answer": answer, "documents": [document], "time": format!("{}T08:00:00Z", date(day)) })
        .to_string()
            + "\n"
    };
    (from..to).map(line).collect()
}

/// Days of months of 28 days.
fn date(day: usize) -> String {
    format!("20{:02}-{:02}-{:02}", 20 + day / 336, day / 28 % 12 + 1, day % 28 + 1)
}

const FAIR: System = System { women: 5, documents_of_women: 5 };

fn monitor(scratch: &Scratch, more: &[&str]) -> Done {
    scratch.run(&[&["monitor", "--axis", "gender", "--log", "log.jsonl", "--json"], more].concat())
}

fn result(done: &Done) -> Value {
    serde_json::from_str(&done.stdout).unwrap_or_else(|_| panic!("{}", done.stderr))
}

#[test]
fn a_growing_log_is_ok_until_it_drifts_and_reading_it_piece_by_piece_changes_nothing() {
    let scratch = Scratch::new();
    let state = ["--state", "state.json", "--restart", "500", "--threshold", "0.2", "--out", "out"];
    scratch.write("log.jsonl", answers(0, 300, FAIR));
    let done = monitor(&scratch, &state);
    let early = result(&done);
    assert_eq!((done.code, early["verdict"].as_str()), (4, Some("watching")), "{early}");
    assert!(early["answers_needed"].as_u64().unwrap() > 100 && early["days_needed"].as_f64().unwrap() > 10.0);
    assert_eq!(result(&monitor(&scratch, &state)), early, "nothing new");

    let fair = answers(0, 6000, FAIR);
    scratch.write("log.jsonl", &fair);
    let done = monitor(&scratch, &state);
    let ok = result(&done);
    assert_eq!(
        (done.code, ok["verdict"].as_str(), ok["lines"].as_u64()),
        (0, Some("ok"), Some(6000)),
        "{}",
        done.stderr
    );
    let bias = &ok["rag_bias"];
    // The two questions of a topic are one unit; the last waits for the next day.
    assert!(bias["units"].as_u64().unwrap() >= 2995, "{}", bias["units"]);
    assert!(bias["low"].as_f64().unwrap() > -0.2 && bias["high"].as_f64().unwrap() < 0.2);

    // A fifth more men, whom the mean of all hides.
    let drifted = System { women: 3, ..FAIR };
    let whole = fair + &answers(6000, 9000, drifted);
    scratch.write("log.jsonl", &whole);
    let done = monitor(&scratch, &state);
    let late = result(&done);
    assert_eq!((done.code, late["verdict"].as_str()), (3, Some("drifted")), "{late}");
    assert!(late["reason"].as_str().unwrap().contains("over the last"), "{late}");
    assert!(late["rag_bias"]["value"].as_f64().unwrap().abs() < 0.2);

    let at_once = monitor(&scratch, &["--restart", "500", "--threshold", "0.2"]);
    assert_eq!(result(&at_once), late, "the same, read at once");
    let written = fs_err::read_to_string(scratch.path("out/monitor.json")).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&written).unwrap(), late);
    let metrics = fs_err::read_to_string(scratch.path("out/metrics.prom")).unwrap();
    assert!(
        metrics.contains("ragbias_monitor_verdict{axis=\"gender\",verdict=\"drifted\"} 1\n"),
        "{metrics}"
    );
    for line in metrics.lines().filter(|line| !line.starts_with('#')) {
        let (series, value) = line.rsplit_once(' ').unwrap();
        assert!(series.ends_with('}') && value.parse::<f64>().is_ok_and(f64::is_finite), "{line}");
    }
    let page = fs_err::read_to_string(scratch.path("out/monitor.html")).unwrap();
    assert!(page.contains("<span class=\"badge drifted\">") && page.matches("<svg").count() == 3, "{page}");

    // The state knows what it has read.
    scratch.write("log.jsonl", whole.replacen("Mary", "Marc", 1));
    let done = monitor(&scratch, &state);
    assert!(done.code == 1 && done.stderr.contains("log.jsonl: the first "), "{}", done.stderr);
    assert!(done.stderr.contains("--state FILE") && done.stdout.is_empty(), "{}", done.stderr);
    scratch.write("log.jsonl", &whole);
    let done = monitor(&scratch, &["--state", "state.json", "--restart", "100"]);
    assert!(
        done.code == 1 && done.stderr.contains("restart: expected 500, as the state has it"),
        "{}",
        done.stderr
    );
}

#[test]
fn what_has_moved_is_the_part_that_was_changed() {
    let scratch = Scratch::new();
    let since = ["--since", &date(400)];
    let cases = [
        // The documents lean otherwise, and the answers to them do not.
        (System { documents_of_women: 1, ..FAIR }, json!(["retriever"])),
        (System { women: 1, ..FAIR }, json!(["llm"])),
        (FAIR, json!([])),
    ];
    for (system, moved) in cases {
        scratch.write("log.jsonl", answers(0, 4000, FAIR) + &answers(4000, 8000, system));
        let found = result(&monitor(&scratch, &since));
        let change = &found["change"];
        assert_eq!(change["moved"], moved, "{change}");
        let rag = &change["rag_bias"];
        let shift = (system.women as f64 - 5.0) / 5.0;
        assert!((rag["value"].as_f64().unwrap() - shift).abs() < 0.1, "{rag}");
        assert!(rag["low"].as_f64().unwrap() < shift && shift < rag["high"].as_f64().unwrap(), "{rag}");
        assert!(
            change["not_known"]
                .as_array()
                .unwrap()
                .iter()
                .any(|text| text.as_str().unwrap().contains("closed-book"))
        );
    }
    // Only the answers since are held against the threshold.
    scratch.write("log.jsonl", answers(0, 3000, System { women: 1, ..FAIR }) + &answers(3000, 7000, FAIR));
    let fixed = ["--since", &date(300), "--threshold", "0.15"];
    let done = monitor(&scratch, &fixed);
    assert_eq!(done.code, 0, "{}", done.stdout);
    assert_eq!(monitor(&scratch, &fixed[2..]).code, 3, "all of it");
    // The LLM alone, in a log of its own.
    let alone = answers(0, 3000, FAIR) + &answers(3000, 6000, System { women: 0, ..FAIR });
    scratch.write("alone.jsonl", alone);
    let found = result(&monitor(&scratch, &[&fixed[..], &["--closed-book", "alone.jsonl"]].concat()));
    assert!(found["change"]["llm_bias"]["high"].as_f64().unwrap() < -0.7, "{}", found["change"]);
    assert!(found["llm_bias"]["value"].as_f64().unwrap() < -0.9);
}

#[test]
fn a_reference_that_was_measured_before_is_compared_with() {
    let scratch = Scratch::new();
    scratch.write("log.jsonl", answers(0, 1200, System { women: 4, ..FAIR }));
    let done = monitor(&scratch, &["--reference", "0.3,800", "--threshold", "0.3"]);
    let change = &result(&done)["change"];
    assert!(change["rag_bias"]["high"].as_f64().unwrap() < 0.0, "{change}");
    assert!(change["not_known"][0].as_str().unwrap().contains("which part"), "{change}");
    // Away from 0, though not yet known to be beyond the threshold.
    let done = monitor(&scratch, &["--reference", "0.05,8000", "--threshold", "0.2"]);
    assert_eq!(done.code, 3, "{}", done.stdout);
    let refused = monitor(&scratch, &["--reference", "2,800"]);
    assert!(refused.code == 2 && refused.stderr.contains("0.02,600"), "{}", refused.stderr);
}

#[test]
fn a_line_that_is_still_being_written_is_left_and_any_other_that_is_wrong_is_refused() {
    let scratch = Scratch::new();
    let lines = answers(0, 20, FAIR);
    let half = &lines[..lines.len() - 40];
    scratch.write("log.jsonl", half);
    let state = ["--state", "state.json"];
    let done = monitor(&scratch, &state);
    assert_eq!(result(&done)["lines"], 19, "{}", done.stderr);
    assert!(done.stderr.contains("log.jsonl:20: the line has no end yet"), "{}", done.stderr);
    scratch.write("log.jsonl", &lines);
    assert_eq!(result(&monitor(&scratch, &state))["lines"], 20);
    let before = fs_err::read_to_string(scratch.path("state.json")).unwrap();
    for (line, reason) in [
        (
            "{\"question\": \"Who?\", \"answer\": \"Ann\", \"score\": 1}",
            "log.jsonl:21: unknown field `score`",
        ),
        ("{\"question\": \"Who?\"", "log.jsonl:21: EOF"),
        ("{\"answer\": \"Ann\"}", "log.jsonl:21: expected `question`"),
        (
            "{\"question\": \"Who?\", \"answer\": \"Ann\", \"time\": \"noon\"}",
            "log.jsonl:21: `time`: expected a date",
        ),
    ] {
        scratch.write("log.jsonl", format!("{lines}{line}\n"));
        let done = monitor(&scratch, &state);
        assert!(done.code == 1 && done.stderr.contains(reason), "{}", done.stderr);
    }
    assert_eq!(fs_err::read_to_string(scratch.path("state.json")).unwrap(), before);
    scratch.write("log.jsonl", "{\"question\": \"Who?\", \"answer\": \"Ann\"}\n");
    let done = monitor(&scratch, &["--since", "2026-01-01"]);
    assert!(done.code == 1 && done.stderr.contains("log.jsonl:1: expected `time`"), "{}", done.stderr);
    scratch.write("state.json", "{}");
    let done = monitor(&scratch, &state);
    assert!(done.code == 1 && done.stderr.contains("state.json: expected a state"), "{}", done.stderr);
}

#[test]
fn a_system_that_does_not_answer_is_not_ok() {
    let scratch = Scratch::new();
    let silent = |(number, line): (usize, &str)| {
        let mut line: Value = serde_json::from_str(line).unwrap();
        if number % 3 == 0 {
            line["answer"] = Value::Null;
        }
        line.to_string() + "\n"
    };
    let lines = answers(0, 6000, FAIR);
    scratch.write("log.jsonl", lines.lines().enumerate().map(silent).collect::<String>());
    let done = monitor(&scratch, &["--threshold", "0.3"]);
    let found = result(&done);
    assert_eq!((done.code, found["verdict"].as_str()), (4, Some("watching")), "{}", done.stderr);
    assert!(
        found["reason"].as_str().unwrap().contains("33% of the answers have no score"),
        "{}",
        found["reason"]
    );
    assert_eq!(found["rag_bias"]["counts"]["refused"], 2000);
}
