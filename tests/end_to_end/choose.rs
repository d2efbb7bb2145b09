use ragbias::core::QuestionSet;
use ragbias::data::{Dataset, Split};
use ragbias::index::Exact;
use ragbias::{Models, Retriever, Workspace};

use crate::harness::{MEASURE_GENDER, Scratch};

const RECIPE: &str = r#"
name = "few"
base = "minilm"
axis = "gender"
data = "gender"
utility = "politics"

[[grid]]
towards = ["female", "male"]
scope = ["head"]
learning-rate = [1e-3]
epochs = [10]
merge = [0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0, 1.5, 2.0]
"#;

fn experiment(split: &str) -> String {
    format!(
        "name = \"few\"\n[[part]]\naxis = \"gender\"\ndata = \"gender\"\nsplit = \"{split}\"\nembedders = [\"minilm\"]\n\
         families = [\"few-recipe.toml\"]\nllms = [\"smollm2-135m\"]\n"
    )
}

#[test]
fn a_setting_is_chosen_on_validation_topics_and_confirmed_on_test_topics() {
    let scratch = Scratch::new();
    scratch.write("few-recipe.toml", RECIPE);
    scratch.write("few.toml", experiment("validation"));
    scratch.json(&["run", "few.toml"]);
    // Only the run folder is needed, wherever it is.
    fs_err::create_dir_all(scratch.path("elsewhere")).unwrap();
    fs_err::rename(scratch.path("runs/few"), scratch.path("elsewhere/moved")).unwrap();
    fs_err::remove_file(scratch.path("few.toml")).unwrap();
    fs_err::remove_file(scratch.path("few-recipe.toml")).unwrap();
    let done = scratch.run(&["choose", "--run", "elsewhere/moved", "--json"]);
    assert!(matches!(done.code, 0 | 4), "{}", done.stderr);
    let chosen: serde_json::Value = serde_json::from_str(&done.stdout).unwrap();
    let choice = &chosen["choices"][0];
    assert_eq!((choice["axis"].as_str(), choice["llm"].as_str()), (Some("gender"), Some("smollm2-135m")));
    assert_eq!(choice["base"]["validation"]["embedder_bias"]["n"], 25);
    assert_eq!(choice["base"]["test"]["embedder_bias"]["n"], 30);
    let saved = fs_err::read_to_string(scratch.path("elsewhere/moved/choice.json")).unwrap();
    let mut saved = serde_json::from_str::<serde_json::Value>(&saved).unwrap();
    assert!(saved[0].as_object_mut().unwrap().remove("checksum").is_some());
    assert_eq!(saved, chosen["choices"]);

    let before = choice["base"]["validation"]["rag_bias"]["value"].as_f64().unwrap().abs();
    let turned = choice["controls"].as_array().unwrap();
    assert_eq!(turned.len(), 3, "{}", choice["reason"]);
    let workspace = Workspace::new(Models::from_env().unwrap());
    let set = Dataset::bundled("gender").unwrap();
    for turned in turned {
        let after = turned["validation"]["rag_bias"]["value"].as_f64().unwrap().abs();
        assert!(after <= before, "{turned}");
        let folder = scratch.path("elsewhere/moved").join(turned["path"].as_str().unwrap());
        let control = fs_err::read_to_string(folder.join("control.json")).unwrap();
        let control: serde_json::Value = serde_json::from_str(&control).unwrap();
        assert_eq!((&control["control"], &control["setting"]), (&turned["control"], &turned["setting"]));
        // Retrieval as in a service matches the measurement. Draws depend on a question's text there, and on its id here.
        let retriever = Retriever::with(&folder, &set.corpus, Exact, &workspace).unwrap();
        let served = embedder_bias(&retriever, &set.split(Split::Test).unwrap());
        let measured = turned["test"]["embedder_bias"]["value"].as_f64().unwrap();
        assert!(
            (served - measured).abs() < 1e-12 || turned["control"] == "ranking",
            "{served}, measured {measured}"
        );
    }

    // The merged embedder is a checkpoint like any other.
    let merged = &turned[0];
    assert_eq!(merged["control"], "merge");
    let embedder = scratch.path("elsewhere/moved").join(merged["path"].as_str().unwrap()).join("embedder");
    let embedder = embedder.to_str().unwrap();
    let measured =
        scratch.json(&[&MEASURE_GENDER[..7], &["--retrieve-only", "--embedder", embedder]].concat());
    assert_eq!(measured["embedder_bias"]["n"], 120);

    // A control with a changed digit is refused.
    let path = scratch.path("elsewhere/moved").join(turned[1]["path"].as_str().unwrap()).join("control.json");
    let text = fs_err::read_to_string(&path).unwrap();
    fs_err::write(&path, text.replacen("\"alpha\": ", "\"alpha\": 1", 1)).unwrap();
    let refused =
        Retriever::with(path.parent().unwrap(), &set.corpus, Exact, &workspace).err().unwrap().to_string();
    assert!(refused.contains("control.json") && refused.contains("not what was written here"), "{refused}");
}

/// Mean gold lean of the first documents.
fn embedder_bias(retriever: &Retriever, questions: &QuestionSet) -> f64 {
    let texts: Vec<&str> = questions.questions().iter().map(|question| question.text.as_str()).collect();
    let found = retriever.search_all(&texts, 1).unwrap();
    let leans = found.iter().map(|found| found[0].document.gold_lean().unwrap().unwrap().value());
    leans.sum::<f64>() / texts.len() as f64
}

#[test]
fn a_run_without_a_family_on_validation_topics_is_refused_with_the_reason() {
    let scratch = Scratch::new();
    scratch.write(
        "plain.toml",
        "name = \"plain\"\n[[part]]\naxis = \"gender\"\ndata = \"gender\"\nlimit = 3\nembedders = [\"minilm\"]\n",
    );
    scratch.json(&["run", "plain.toml"]);
    let done = scratch.run(&["choose", "--run", "runs/plain"]);
    assert_eq!(done.code, 1);
    for part in ["no part with a family and an LLM on validation topics", "hint: ", "split = \"validation\""]
    {
        assert!(done.stderr.contains(part), "{}", done.stderr);
    }
    let done = scratch.run(&["choose", "--run", "runs/plain", "--control", "merging"]);
    assert!(done.stderr.contains("expected merge, projection or ranking"), "{}", done.stderr);
    let done = scratch.run(&["choose", "--run", "elsewhere"]);
    assert!(done.stderr.contains("not a run folder"), "{}", done.stderr);
}
