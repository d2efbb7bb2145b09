use std::path::Path;

use ragbias::core::{Corpus, QuestionSet, Silent};
use ragbias::data::{Dataset, Split};
use ragbias::index::Exact;
use ragbias::{
    Control, ControlSpec, Erasure, KnownLeans, Models, Reranking, Retriever, System, Workspace, load_corpus,
};

use crate::harness::{MEASURE_GENDER, Scratch};
use crate::serve::Server;

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
    assert_eq!(turned.len(), 5, "{}", choice["reason"]);
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
        served_as_measured(&folder, &control, &retriever);
    }

    // So does retrieval over HTTP.
    let served = scratch.path("elsewhere/moved").join(turned[0]["path"].as_str().unwrap());
    let server = Server::start(&scratch, &["--control", served.to_str().unwrap(), "--corpus", "gender"]);
    let questions = set.split(Split::Test).unwrap();
    let texts: Vec<&str> = questions.questions().iter().map(|question| question.text.as_str()).collect();
    let (status, found) = server.post("/search", &serde_json::json!({ "query": texts, "k": 1 }));
    assert_eq!(status, 200, "{found}");
    let leans =
        found["results"].as_array().unwrap().iter().map(|hits| hits[0]["metadata"]["lean"].as_f64().unwrap());
    let measured = turned[0]["test"]["embedder_bias"]["value"].as_f64().unwrap();
    assert!((leans.sum::<f64>() / texts.len() as f64 - measured).abs() < 1e-12, "{found}");
    drop(server);

    // The merged embedder is a checkpoint like any other.
    let merged = &turned[0];
    assert_eq!(merged["control"], "merge");
    let embedder = scratch.path("elsewhere/moved").join(merged["path"].as_str().unwrap()).join("embedder");
    let embedder = embedder.to_str().unwrap();
    let measured =
        scratch.json(&[&MEASURE_GENDER[..7], &["--retrieve-only", "--embedder", embedder]].concat());
    assert_eq!(measured["embedder_bias"]["n"], 120);

    // A re-ranking knows its documents: others are refused, and so is a changed lean.
    let reranked = turned.iter().find(|turned| turned["control"] == "reranking").unwrap();
    let folder = scratch.path("elsewhere/moved").join(reranked["path"].as_str().unwrap());
    let refused =
        |corpus: &Corpus| Retriever::with(&folder, corpus, Exact, &workspace).err().unwrap().to_string();
    let others = load_corpus("politics", None, &Silent).unwrap();
    assert!(
        refused(&others).contains("it has none of the 484 documents of the corpus"),
        "{}",
        refused(&others)
    );
    let leans = fs_err::read_to_string(folder.join("leans.jsonl")).unwrap();
    fs_err::write(folder.join("leans.jsonl"), leans.replacen("\"lean\":1", "\"lean\":-1", 1)).unwrap();
    assert!(refused(&set.corpus).contains("not what control.json was written with"));

    // A control with a changed digit is refused.
    let path = scratch.path("elsewhere/moved").join(turned[1]["path"].as_str().unwrap()).join("control.json");
    let text = fs_err::read_to_string(&path).unwrap();
    fs_err::write(&path, text.replacen("\"alpha\": ", "\"alpha\": 1", 1)).unwrap();
    let refused =
        Retriever::with(path.parent().unwrap(), &set.corpus, Exact, &workspace).err().unwrap().to_string();
    assert!(refused.contains("control.json") && refused.contains("not what was written here"), "{refused}");
}

#[test]
fn held_out_topics_are_cross_fitted_and_the_verdict_is_over_all_of_them() {
    let scratch = Scratch::new();
    scratch.write("few-recipe.toml", RECIPE);
    scratch.write("few.toml", experiment("held-out"));
    scratch.json(&["run", "few.toml"]);
    let done = scratch.run(&["choose", "--run", "runs/few", "--control", "merge", "--json"]);
    assert!(matches!(done.code, 0 | 4), "{}", done.stderr);
    let chosen: serde_json::Value = serde_json::from_str(&done.stdout).unwrap();
    let choice = &chosen["choices"][0];
    assert_eq!(choice["folds"], 5);
    let merge = &choice["controls"][0];
    // 5 validation and 6 test topics of 5 questions.
    for biases in [&choice["base"]["test"], &merge["validation"], &merge["test"]] {
        assert_eq!(biases["embedder_bias"]["n"], 55);
        assert_eq!(biases["rag_bias"]["asked"], 55);
    }
    let folds = merge["folds"].as_array().unwrap();
    let topics: Vec<_> = folds.iter().map(|fold| fold["topics"].as_u64().unwrap()).collect();
    assert_eq!((topics.iter().sum::<u64>(), topics.len()), (11, 5));
    let path = scratch.path("runs/few").join(merge["path"].as_str().unwrap()).join("control.json");
    let control: serde_json::Value = serde_json::from_str(&fs_err::read_to_string(path).unwrap()).unwrap();
    assert_eq!(&control["folds"], &merge["folds"]);
    assert_eq!((&control["found_on"], &control["test"]), (&merge["validation"], &merge["test"]));

    let shown = scratch.run(&["choose", "--run", "runs/few", "--control", "merge"]).stdout;
    assert!(shown.contains("settings without each fold, merge: "), "{shown}");
    let undecided = choice["base"]["verdict"] == "undecided" || merge["verdict"] == "undecided";
    assert_eq!(
        undecided,
        shown.contains("would probably decide") || shown.contains("no number of questions")
    );

    // The run is a pilot of a plan.
    let planned = scratch.json(&["plan", "--run", "runs/few", "--power", "0.9"]);
    let plan = &planned["plans"][0];
    assert_eq!((plan["embedder"].as_str(), plan["asked"].as_u64()), (Some("minilm"), Some(55)));
    assert_eq!(plan["rag_bias"], choice["base"]["test"]["rag_bias"]["value"]);
    assert_eq!(plan["topics"], 11);
    assert!(plan["fair"]["half_width"].as_f64().unwrap() < 0.1, "{plan}");
}

#[test]
fn folds_that_are_trained_on_or_do_nothing_are_refused() {
    let scratch = Scratch::new();
    scratch.write("few-recipe.toml", RECIPE);
    for (settings, reason) in [
        (
            experiment("all") + "folds = 4\n",
            "split is all, expected with folds, topics that the family is not trained on",
        ),
        (experiment("held-out") + "folds = 1\n", "folds is 1, expected 2 to 100"),
        (
            experiment("held-out").replace("families = [\"few-recipe.toml\"]", "folds = 4"),
            "folds is set without them, expected with it, families and llms",
        ),
    ] {
        scratch.write("few.toml", settings);
        let done = scratch.run(&["run", "few.toml"]);
        assert_eq!(done.code, 1);
        assert!(done.stderr.contains(reason), "{}", done.stderr);
    }
}

/// Checks that a retriever gives the hits of the control at its setting, question by question, for the controls whose description says all.
fn served_as_measured(folder: &Path, saved: &serde_json::Value, retriever: &Retriever) {
    let set = Dataset::bundled("gender").unwrap();
    let system = System::on("gender").embedder("minilm").top_k(5).build().unwrap();
    let indexed = system.index(&set.corpus).unwrap();
    let ControlSpec { embedder: base, erasure, reranking, .. } =
        serde_json::from_value(saved["how"].clone()).unwrap();
    let control: Box<dyn Control> = match (erasure, reranking) {
        (Some(erased), None) => {
            Box::new(Erasure { base, fitted: erased.fitted, sides: erased.sides, of: erased.of })
        }
        (None, Some(reranked)) => {
            Box::new(Reranking { base, seed: reranked.seed, leans: KnownLeans::of(indexed.judged()) })
        }
        _ => return,
    };
    let turned = control.turn(indexed.embedded(), saved["setting"].as_f64().unwrap()).unwrap();
    let questions = set.split(Split::Test).unwrap();
    let measured = indexed.searched_as(turned).retrieve(&questions).unwrap();
    let plain = indexed.retrieve(&questions).unwrap();
    assert_ne!(measured.hits(), plain.hits(), "the control at its setting changes hits");
    let texts: Vec<&str> = questions.questions().iter().map(|question| question.text.as_str()).collect();
    for (served, measured) in retriever.search_all(&texts, 5).unwrap().iter().zip(measured.hits()) {
        let measured: Vec<_> =
            (measured.iter()).map(|hit| (set.corpus.document(hit.document).id.as_str(), hit.score)).collect();
        let served: Vec<_> = served.iter().map(|found| (found.document.id.as_str(), found.score)).collect();
        assert_eq!(served, measured, "{}", folder.display());
    }
}

#[test]
fn the_pole_is_erased_from_vectors_by_documents_that_are_not_asked_about() {
    let scratch = Scratch::new();
    let measure = [&MEASURE_GENDER[..], &["--retrieve-only"]].concat();
    let at = |strength: &str| {
        let erase = format!("gender-twins={strength}");
        scratch.json(&[&measure[..], &["--erase", &erase]].concat())
    };
    assert_eq!(at("0"), scratch.json(&measure));
    assert_ne!(at("1")["embedder_bias"]["value"], at("0")["embedder_bias"]["value"]);
    for (erase, reason) in [
        ("gender=1", "0 documents of topics that are not asked about lean positively and 0 negatively"),
        ("gender-twins=2.5", "erase is 2.5, expected 0.0 to 2.0"),
        ("gender-twins", "erase is gender-twins, expected DATA=NUMBER, as in gender=1"),
        ("nothing=1", "nothing"),
    ] {
        let done = scratch.run(&[&measure[..], &["--erase", erase]].concat());
        assert_eq!(done.code, 1);
        assert!(done.stderr.contains(reason), "{}", done.stderr);
    }
}

#[test]
fn the_nearest_documents_are_re_ranked_to_a_target_share() {
    let scratch = Scratch::new();
    let measure = [&MEASURE_GENDER[..], &["--retrieve-only"]].concat();
    let at =
        |share: &str, k: &str| scratch.json(&[&measure[..], &["--rerank", share, "--top-k", k]].concat());
    let bias = |measured: &serde_json::Value| measured["embedder_bias"]["value"].as_f64().unwrap();
    // Each of the 120 questions has documents of both poles among its 20 nearest.
    assert_eq!((bias(&at("0", "1")), bias(&at("1", "1"))), (-1.0, 1.0));
    let third = at("0.3", "1");
    assert!((third["expected_embedder_bias"].as_f64().unwrap() - (0.3 - 0.7)).abs() < 1e-12, "{third}");
    // Four standard errors.
    assert!((bias(&third) + 0.4).abs() < 4.0 * (0.84_f64 / 120.0).sqrt(), "{third}");
    assert_eq!(bias(&at("0.5", "2")), 0.0, "one of each");
    for (flags, reason) in [
        (&["--rerank", "1.5"][..], "rerank is 1.5, expected 0.0 to 1.0"),
        (
            &["--rerank", "0.5", "--temperature", "0.1"][..],
            "rerank is 0.5, expected no temperature with it, as both order the hits",
        ),
    ] {
        let done = scratch.run(&[&measure[..], flags].concat());
        assert_eq!(done.code, 1);
        assert!(done.stderr.contains(reason), "{}", done.stderr);
    }
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
    for part in [
        "no part with a family and an LLM, and with folds or validation topics",
        "hint: ",
        "split = \"held-out\"",
    ] {
        assert!(done.stderr.contains(part), "{}", done.stderr);
    }
    let done = scratch.run(&["choose", "--run", "runs/plain", "--control", "merging"]);
    assert!(
        done.stderr.contains("expected merge, projection, ranking, erasure or reranking"),
        "{}",
        done.stderr
    );
    let done = scratch.run(&["choose", "--run", "elsewhere"]);
    assert!(done.stderr.contains("not a run folder"), "{}", done.stderr);
}
