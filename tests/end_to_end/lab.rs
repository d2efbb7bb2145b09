use serde_json::{Value, json};

use crate::harness::{Scratch, root};

/// The finding whose quantity begins so.
fn finding<'a>(report: &'a Value, what: &str) -> &'a Value {
    let findings = report["findings"].as_array().unwrap();
    findings.iter().find(|finding| finding["what"].as_str().unwrap().starts_with(what)).unwrap()
}

#[test]
fn every_instrument_is_listed_with_its_question_and_has_help() {
    let scratch = Scratch::new();
    let list = scratch.json(&["lab", "list"]);
    let instruments = list["instruments"].as_array().unwrap();
    assert_eq!(instruments.len(), 9, "{list}");
    for instrument in instruments {
        let name = instrument["name"].as_str().unwrap();
        assert!(instrument["question"].as_str().unwrap().ends_with('?'), "{instrument}");
        let help = scratch.run(&["lab", name, "--help"]);
        assert_eq!(help.code, 0, "{}", help.stderr);
        assert!(help.stdout.contains(&format!("ragbias lab {name}")), "{}", help.stdout);
        assert!(help.stdout.contains(&format!("docs/lab/{name}.md")), "{}", help.stdout);
    }
}

#[test]
fn documents_that_are_added_move_what_is_retrieved_from_what_measure_says_and_a_second_run_takes_what_was_kept()
 {
    let scratch = Scratch::new();
    let file = scratch.write(
        "plant.toml",
        "name = \"plant\"\n[lab.planting]\ndata = \"gender\"\nsplit = \"all\"\nunseen = []\nllm = \"\"\nparaphraser = \"\"\nquestions = 6\n\
         ranks = [20, 101, 501]\nwords = 2\ncandidates = 4\nadded = [1, 4]\n",
    );
    let said = scratch.json(&["lab", "run", &file]);
    let report = &said["reports"][0];
    let bias = |what: &str| finding(report, what)["estimate"]["value"].as_f64().unwrap();
    let args = ["measure", "--axis", "gender", "--questions", "gender", "--corpus", "gender"];
    let measured = scratch.json(&[&args[..], &["--embedder", "minilm", "--retrieve-only"]].concat());
    let own = measured["embedder_bias"]["value"].as_f64().or(measured["embedder_bias"].as_f64()).unwrap();
    assert!((bias("E_b of the corpus as it is") - own).abs() < 1e-12, "{report}\n{measured}");
    assert!(bias("E_b with 4 documents") > own + 0.2, "questions before passages are found: {report}");
    assert!(
        finding(report, "share that reaches rank 1 with the question")["estimate"]["value"].as_f64().unwrap()
            > 0.5
    );
    assert!(
        report["notes"].to_string().contains("R_b is not measured"),
        "its documents have no twins: {report}"
    );
    // There are 192 documents: no rank 501.
    assert!(!report["tables"].to_string().contains("\"501\""), "{report}");

    let page = scratch.path("runs/plant/index.html");
    assert!(fs_err::read_to_string(&page).unwrap().contains("E_b of the corpus as it is"));
    assert!(scratch.path("runs/plant/planting/eb-added.svg").is_file());
    let kept = || fs_err::read_dir(scratch.path("runs/plant/planting/kept")).unwrap().count();
    let before = kept();
    assert_eq!(before, 6);
    assert_eq!(scratch.json(&["lab", "run", &file]), said);
    assert_eq!(kept(), before);
}

#[test]
fn every_instrument_says_what_it_found_with_its_interval_and_a_second_run_says_the_same() {
    let scratch = Scratch::new();
    let file = scratch.write("tiny.toml", format!("{}{}", include_str!("lab.toml"), pictures(&scratch)));
    let said = scratch.json(&["lab", "run", &file]);
    let reports = said["reports"].as_array().unwrap();
    let list = scratch.json(&["lab", "list"]);
    let name = |of: &Value, key: &str| of[key].as_str().unwrap().to_owned();
    let all: Vec<String> =
        list["instruments"].as_array().unwrap().iter().map(|one| name(one, "name")).collect();
    assert_eq!(reports.iter().map(|report| name(report, "instrument")).collect::<Vec<_>>(), all);
    for report in reports {
        let instrument = name(report, "instrument");
        let findings = report["findings"].as_array().unwrap();
        assert!(!findings.is_empty() && !report["tables"].as_array().unwrap().is_empty(), "{report}");
        for finding in findings {
            assert!(finding["n"].as_u64().is_some() && finding["meaning"].is_string(), "{finding}");
            let estimate = |key: &str| finding["estimate"][key].as_f64();
            if let (Some(low), Some(value), Some(high)) =
                (estimate("low"), estimate("value"), estimate("high"))
            {
                assert!(low <= value && value <= high, "{instrument}: {finding}");
            }
        }
        for figure in report["figures"].as_array().unwrap() {
            let file = format!("runs/tiny/{instrument}/{}.svg", name(figure, "id"));
            assert!(scratch.path(&file).is_file(), "{file}");
        }
    }
    let trigger = reports.last().unwrap();
    let of_pictures = |what: &str| finding(trigger, &format!("pictures: {what}"));
    assert!(of_pictures("flips of an encoder left out")["estimate"]["value"].is_number(), "{trigger}");
    // A change moves pictures where it was made.
    let tables = trigger["tables"].as_array().unwrap();
    let changes =
        tables.iter().find(|table| name(table, "title").starts_with("Changes of pictures")).unwrap();
    for row in changes["rows"].as_array().unwrap() {
        let loss = |column: usize| row[column].as_str().unwrap().parse::<f64>().unwrap();
        assert!(loss(2) < 0.8 * loss(1), "{row}");
    }
    assert!(trigger["notes"].to_string().contains("changes of at most 32/255"), "{trigger}");
    assert_eq!(scratch.json(&["lab", "run", &file]), said);
}

/// Settings of a trigger in pictures: eight questions with two pictures each, and two CLIPs with random weights.
fn pictures(scratch: &Scratch) -> String {
    let fixtures = root().join("tests/fixtures/clip");
    let row = |number: usize| {
        let [female, male] = [2 * number, 2 * number + 1].map(|page| format!("page-{page}.png"));
        for file in [&female, &male] {
            fs_err::copy(fixtures.join(file), scratch.path(file)).unwrap();
        }
        let split = if number < 4 { "train" } else { "test" };
        let question = format!("What is on page {number}?");
        let row = json!({ "question": question, "topic": number.to_string(), "split": split, "female": female, "male": male });
        row.to_string()
    };
    let rows: Vec<String> = (0..8).map(row).collect();
    let file = scratch.write("pictures.jsonl", rows.join("\n"));
    let clips = ["quick", "gelu"].map(|name| fixtures.join(name));
    format!("\n[lab.trigger.pictures]\nfile = {file:?}\nclips = {clips:?}\nbound = 32\nsteps = 200\n")
}

#[test]
fn an_unknown_key_and_a_size_of_nothing_are_refused_before_work_starts() {
    let scratch = Scratch::new();
    let file = scratch.write("x.toml", "name = \"x\"\n[lab.planting]\nrank = [1]\n");
    let refused = scratch.run(&["lab", "run", &file]);
    assert_eq!(refused.code, 1);
    assert!(
        refused.stderr.contains("x.toml") && refused.stderr.contains("unknown field `rank`"),
        "{}",
        refused.stderr
    );
    let refused = scratch.run(&["lab", "planting", "--size", "0"]);
    assert_eq!(refused.code, 1);
    assert!(refused.stderr.contains("size is 0, expected above 0"), "{}", refused.stderr);
    assert!(!scratch.path("runs").exists());
}
