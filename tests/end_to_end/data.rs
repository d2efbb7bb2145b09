//! Data sets: pulled from a host, checked as a whole, measured by name.

use std::process::Command;

use serde_json::Value;

use crate::harness::{Done, Scratch, done};
use crate::host::{host, zip};

/// The program with a data cache in the scratch folder, and this mirror.
pub(crate) fn with_cache(scratch: &Scratch, mirror: &str, args: &[&str]) -> Command {
    let mut command = scratch.command(args);
    command.env("RAGBIAS_DATA_CACHE", scratch.path("cache")).env("RAGBIAS_DATA_MIRROR", mirror);
    command
}

fn json(done: &Done) -> Value {
    assert_eq!(done.code, 0, "{}", done.stderr);
    serde_json::from_str(&done.stdout).unwrap()
}

const CORPUS: &str = "{\"_id\":\"1\",\"title\":\"\",\"text\":\"Trains cross the bridge at noon.\"}\n\
                      {\"_id\":\"2\",\"title\":\"\",\"text\":\"Bread is baked before dawn.\"}\n";
const QUERIES: &str = "{\"_id\":\"a\",\"text\":\"When do trains cross the bridge?\"}\n{\"_id\":\"b\",\"text\":\"When is bread baked?\"}\n";
const QRELS: &str = "query-id\tcorpus-id\tscore\na\t1\t1\nb\t2\t1\n";

#[test]
fn a_published_set_is_pulled_once_trusted_aloud_and_known_by_its_name() {
    let scratch = Scratch::new();
    let members = [
        ("scifact/corpus.jsonl", CORPUS),
        ("scifact/queries.jsonl", QUERIES),
        ("scifact/qrels/test.tsv", QRELS),
    ];
    let path = "/public.ukp.informatik.tu-darmstadt.de/thakur/BEIR/datasets/scifact.zip";
    let mirror = host([(path.to_owned(), zip(&members))]);
    let run = |args: &[&str]| done(&mut with_cache(&scratch, &mirror, args));
    let evaluate = ["evaluate", "--embedder", "minilm", "--corpus", "scifact", "--json"];
    let early = run(&evaluate);
    assert_eq!(early.code, 1);
    assert!(early.stderr.contains("hint: `ragbias data pull scifact` fetches it"), "{}", early.stderr);

    let pulled = run(&["data", "pull", "scifact", "--json"]);
    for expected in ["licence: ", "trusted on first use", "corpus.jsonl: no checksum of it is known"] {
        assert!(pulled.stderr.contains(expected), "{expected}: {}", pulled.stderr);
    }
    let pulled = json(&pulled);
    assert_eq!(pulled["commands"][0], "ragbias evaluate --embedder minilm --corpus scifact");
    assert_eq!(pulled["files"].as_array().unwrap().len(), 3);
    assert_eq!(fs_err::read_to_string(scratch.path("cache/scifact/corpus.jsonl")).unwrap(), CORPUS);

    let evaluated = json(&run(&evaluate));
    assert_eq!(
        (&evaluated["documents"], &evaluated["queries"], &evaluated["ndcg@10"]),
        (&2.into(), &2.into(), &1.0.into())
    );
    let listed = json(&run(&["data", "list", "--json"]));
    let named = |name: &str| {
        listed["published"].as_array().unwrap().iter().find(|set| set["name"] == name).unwrap().clone()
    };
    assert!(named("scifact")["path"].is_string() && named("bbq")["path"].is_null());

    fs_err::write(scratch.path("cache/scifact/corpus.jsonl"), CORPUS.replace("noon", "five")).unwrap();
    let damaged = run(&evaluate);
    assert!(
        damaged.code == 1 && damaged.stderr.contains("is damaged: expected the SHA-256"),
        "{}",
        damaged.stderr
    );
    // Another archive than the first one is refused.
    let other =
        host([(path.to_owned(), zip(&[members[0], members[1], ("scifact/qrels/test.tsv", "changed")]))]);
    fs_err::remove_dir_all(scratch.path("cache/scifact")).unwrap();
    let refused = done(&mut with_cache(&scratch, &other, &["data", "pull", "scifact"]));
    assert!(refused.code == 1 && refused.stderr.contains(".scifact.received.json"), "{}", refused.stderr);
    assert!(!scratch.path("cache/scifact").exists());
}

#[test]
fn sets_that_cannot_be_had_or_measured_are_refused_by_name() {
    let scratch = Scratch::new();
    let mirror = host([]);
    for (args, expected) in [
        (&["data", "pull", "genderbias-qa"][..], "train.csv: http status: 404"),
        (&["data", "pull", "nothing"], "`nothing` is no published data set"),
        (&["data", "pull", "gap", "--out", "here"], "RAGBIAS_DATA_CACHE names another folder"),
        (&["data", "check", "genderbias-qa/dev"], "expected one of genderbias-qa/train, genderbias-qa/test"),
        (&["data", "check", "bbq"], "no command reads its layout"),
    ] {
        let failed = done(&mut with_cache(&scratch, &mirror, args));
        assert_eq!(failed.code, 1, "{args:?}");
        assert!(failed.stderr.contains(expected), "{expected}: {}", failed.stderr);
    }
}

#[test]
fn a_data_set_is_checked_as_a_whole_and_an_error_of_it_fails() {
    let scratch = Scratch::new();
    let checked = scratch.json(&["data", "check", "gender-twins"]);
    assert_eq!((&checked["questions"], &checked["documents"]), (&1050.into(), &2100.into()));
    let errors = |checked: &Value| -> Vec<String> {
        let findings = checked["findings"].as_array().unwrap().iter();
        let errors = findings.filter(|finding| finding["severity"] == "error");
        errors.map(|finding| finding["message"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(errors(&checked), Vec::<String>::new());
    let power = &checked["power"][0];
    // (1.96 + 0.84)/√n for answers that all lean and are independent.
    let expected = 2.801_6 / power["questions"].as_f64().unwrap().sqrt();
    assert!((power["minimum_detectable_bias"].as_f64().unwrap() - expected).abs() < 1e-3, "{power}");

    scratch.json(&["data", "pull", "gender", "--out", "set"]);
    assert_eq!(scratch.run(&["data", "check", "set"]).code, 0);
    let path = scratch.path("set/qrels.tsv");
    let text = fs_err::read_to_string(&path).unwrap();
    fs_err::write(&path, format!("{text}no-such-question\tno-such-document\t1\n")).unwrap();
    let failed = done(scratch.command(&["data", "check", "set", "--json"]).env("NO_COLOR", "1"));
    assert_eq!(failed.code, 1, "{}", failed.stderr);
    assert!(failed.stderr.contains("1 error"), "{}", failed.stderr);
    let checked: Value = serde_json::from_str(&failed.stdout).unwrap();
    assert_eq!(
        errors(&checked),
        ["document `no-such-document`, judged for question `no-such-question`, is not in the corpus"]
    );
}

#[test]
fn corpora_of_other_biases_are_measured_and_fitted_together() {
    let scratch = Scratch::new();
    let part = |bias: &str| {
        format!(
            "[[part]]\naxis = \"gender\"\ndata = \"gender\"\nsplit = \"validation\"\nlimit = 24\nembedders = [\"minilm\"]\n\
             families = [\"recipe.toml\"]\nllms = [\"smollm2-135m\"]\nresample = {{ corpus_bias = {bias} }}\n"
        )
    };
    scratch.write("recipe.toml", crate::harness::gender_recipe("few", "[0.3, 1.0]"));
    let parts: String = ["-0.6", "0.0", "0.6"].map(part).concat();
    scratch.write("swept.toml", format!("name = \"swept\"\n{parts}"));
    let run = scratch.json(&["run", "swept.toml"]);
    let surfaces = run["fits"]["surfaces"].as_array().unwrap();
    assert_eq!(surfaces.len(), 1, "{}", run["fits"]);
    // Three corpora, and the base with a head merged at two weights towards either pole.
    assert_eq!(surfaces[0]["n"], 15);
    let corpora = surfaces[0]["corpora"].as_object().unwrap();
    let name = "gender, resampled to +0.6";
    assert!((corpora[name].as_f64().unwrap() - 0.6).abs() < 1.0 / 192.0, "{corpora:?}");
    let manifest: Value =
        serde_json::from_str(&fs_err::read_to_string(scratch.path("runs/swept/manifest.json")).unwrap())
            .unwrap();
    assert_eq!(manifest["experiment"]["part"][2]["resample"]["corpus_bias"], 0.6);
    assert!(manifest["inputs"].get(format!("corpus {name}")).is_some(), "{}", manifest["inputs"]);
    let again = scratch.json(&["fit", "--measurements", "runs/swept"]);
    assert_eq!(again["surfaces"], run["fits"]["surfaces"]);
}
