//! The files of a run folder belong together, and are unchanged since they were written.

use std::collections::BTreeMap;
use std::path::Path;

use fs_err as fs;

use crate::harness::{Scratch, gender_recipe};

fn experiment(limit: usize) -> String {
    format!(
        "name = \"few\"\n[[part]]\naxis = \"gender\"\ndata = \"gender\"\nsplit = \"validation\"\nlimit = {limit}\n\
         embedders = [\"minilm\"]\nfamilies = [\"recipe.toml\"]\nllms = [\"smollm2-135m\"]\n"
    )
}

/// The files of a folder except those of its members, by name.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.extend((!path.ends_with("embedders")).then_some(path));
            } else {
                let name = path.strip_prefix(folder).unwrap().display().to_string();
                files.insert(name, fs::read(&path).unwrap());
            }
        }
    }
    files
}

#[test]
fn a_run_its_choice_and_its_report_belong_together() {
    let scratch = Scratch::new();
    scratch.write("recipe.toml", gender_recipe("few members/of a recipe", "[0.2, 1.0]"));
    scratch.write("few.toml", experiment(10));
    let run = scratch.path("runs/few");
    scratch.json(&["run", "few.toml"]);
    let members = fs::read_dir(run.join("embedders")).unwrap().map(|entry| entry.unwrap().file_name());
    let members: Vec<_> = members.map(|name| name.into_string().unwrap()).collect();
    assert!(members.len() == 1 && members[0].starts_with("few-members-of-a-recipe--"), "{members:?}");
    let done = scratch.run(&["choose", "--run", "runs/few"]);
    assert!(matches!(done.code, 0 | 4), "{}", done.stderr);
    let chosen = files(&run);

    let id = serde_json::from_slice::<serde_json::Value>(&chosen["manifest.json"]).unwrap()["run"].clone();
    let id = id.as_str().unwrap();
    for file in ["fit.json", "results.json", "choice.json", "measurements.csv", "report.html"] {
        let text = String::from_utf8(chosen[file].clone()).unwrap();
        assert!(text.contains(id), "{file}");
    }
    let tables = ["measurements.parquet", "outcomes.parquet"];
    for table in tables {
        assert!(chosen[table].windows(id.len()).any(|bytes| bytes == id.as_bytes()), "{table}");
    }

    // Repeating the run gives the same run, which keeps its choice.
    scratch.json(&["run", "few.toml"]);
    assert_eq!(files(&run), chosen);

    // A choice that fails changes nothing.
    let family = run.join("embedders").join(&members[0]).join("family.json");
    let ours = fs::read_to_string(&family).unwrap();
    fs::write(&family, ours.replace("few members", "other members")).unwrap();
    assert_eq!(scratch.run(&["choose", "--run", "runs/few"]).code, 1);
    fs::write(&family, ours).unwrap();
    assert_eq!(files(&run), chosen);

    // Damage is refused by name.
    let refused = |args: &[&str], file: &str| {
        let mut bytes = chosen[file].clone();
        let middle = bytes.len() / 2;
        // One digit is changed, if there is one: the file can still be parsed.
        let place =
            bytes[middle..].iter().position(u8::is_ascii_digit).map_or(middle, |place| middle + place);
        bytes[place] ^= 1;
        fs::write(run.join(file), bytes).unwrap();
        let done = scratch.run(args);
        assert_eq!(done.code, 1, "{file}: {}", done.stdout);
        assert!(done.stderr.contains(file) && done.stderr.contains("hint: "), "{file}: {}", done.stderr);
        fs::write(run.join(file), &chosen[file]).unwrap();
    };
    for file in ["manifest.json", "results.json", "fit.json", "choice.json", "outcomes.parquet"] {
        refused(&["report", "runs/few"], file);
    }
    for file in ["manifest.json", "measurements.parquet", "outcomes.parquet"] {
        refused(&["fit", "--measurements", "runs/few"], file);
        refused(&["choose", "--run", "runs/few"], file);
    }
    refused(&["fit", "--measurements", "runs/few/measurements.csv"], "measurements.csv");
    assert_eq!(files(&run), chosen);

    // Another run of the same name has no choice yet; the earlier choice is not lost.
    scratch.write("few.toml", experiment(8));
    let done = scratch.run(&["run", "few.toml"]);
    assert!(done.code == 0 && done.stderr.contains("a choice was there"), "{}", done.stderr);
    let after = files(&run);
    assert!(!after.contains_key("choice.json") && !after.keys().any(|name| name.starts_with("choice/")));
    let earlier = format!("earlier/{}/choice.json", &id[..12]);
    assert_eq!(after[&earlier], chosen["choice.json"]);
    assert!(!String::from_utf8_lossy(&after["report.html"]).contains("Chosen on validation topics"));
    assert!(!String::from_utf8_lossy(&after["report.html"]).contains(id));
}

#[test]
fn names_that_no_file_can_have_reach_no_file() {
    let scratch = Scratch::new();
    let long = "a very long topic ".repeat(40);
    let corpus = "{\"_id\": \"d1\", \"text\": \"She builds bridges.\", \"metadata\": {\"lean\": 1}}\n\
                  {\"_id\": \"d2\", \"text\": \"He builds bridges.\", \"metadata\": {\"lean\": -1}}\n";
    let questions =
        serde_json::json!({ "_id": "q1", "text": "Who builds bridges?", "topic": "form\u{c}feed\u{0}" });
    let second = serde_json::json!({ "_id": "q2", "text": "Who designs bridges?", "topic": long });
    let set = "a set/with\u{c}every thing";
    scratch.write(&format!("{set}/corpus.jsonl"), corpus);
    scratch.write(&format!("{set}/questions.jsonl"), format!("{questions}\n{second}\n"));
    scratch.write(&format!("{set}/qrels.tsv"), "query-id\tcorpus-id\tscore\nq1\td1\t1\nq2\td2\t1\n");
    scratch.write(
        &format!("{set}/manifest.toml"),
        "name = \"x\"\naxis = \"gender\"\nabout = \"x\"\nlicence = \"CC0\"\n[splits]\nvalidation = []\ntest = []\n",
    );
    let data = serde_json::Value::from(set);
    scratch.write(
        "odd.toml",
        format!("name = \"odd\"\n[[part]]\naxis = \"gender\"\ndata = {data}\nembedders = [\"minilm\"]\nllms = [\"smollm2-135m\"]\n"),
    );
    let done = scratch.run(&["run", "odd.toml"]);
    assert_eq!(done.code, 0, "{}", done.stderr);
    let files = files(&scratch.path("runs/odd"));
    assert!(files.keys().any(|name| name.starts_with("figures/")));
    for name in files.keys() {
        let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || "-._/".contains(c));
        assert!(plain && name.len() < 120, "{name}");
    }
}
