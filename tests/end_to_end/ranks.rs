//! Runs whose LLM is given several documents, with a threshold declared beforehand.

use crate::harness::Scratch;

const RECIPE: &str = r#"
name = "two"
base = "minilm"
axis = "gender"
data = "gender"

[[grid]]
towards = ["female", "male"]
scope = ["head"]
learning-rate = [1e-3]
epochs = [10]
merge = [0.3]
"#;

fn experiment(threshold: &str) -> String {
    format!(
        "name = \"ranks\"\n{threshold}\n[measure]\ntop-k = 2\ndiscount = \"reciprocal\"\n\n[[part]]\naxis = \"gender\"\n\
         data = \"gender\"\nsplit = \"validation\"\nlimit = 12\nembedders = [\"minilm\"]\nfamilies = [\"two.toml\"]\n\
         llms = [\"smollm2-135m\"]\n\n[[part]]\naxis = \"gender\"\ndata = \"gender\"\nsplit = \"test\"\nembedders = [\"minilm\"]\n"
    )
}

const THRESHOLD: &str = "[threshold]\ndelta = 0.2\ndeclared = \"2026-11-01\"\nreason = \"as agreed\"\n";

#[test]
fn ranks_have_biases_exposure_and_sensitivities_and_the_threshold_is_the_one_declared() {
    let scratch = Scratch::new();
    scratch.write("two.toml", RECIPE);
    scratch.write("ranks.toml", experiment(THRESHOLD));
    let run = scratch.json(&["run", "ranks.toml", "--store", "first.sqlite"]);
    assert_eq!(run["delta"], 0.2);
    let base = &run["results"][0];
    let ranks = base["by_rank"]["embedder_bias"].as_array().unwrap();
    assert_eq!((ranks.len(), ranks[1]["n"].as_u64()), (2, Some(12)));
    let exposure = &base["by_rank"]["exposure"];
    assert_eq!(exposure["discount"], "reciprocal");
    // With both documents scored, as all are: (1·E_b,1 + E_b,2/2)/(3/2).
    let bias = |rank: usize| ranks[rank]["value"].as_f64().unwrap();
    let expected = (bias(0) + bias(1) / 2.0) / 1.5;
    assert!((exposure["bias"]["value"].as_f64().unwrap() - expected).abs() < 1e-12, "{exposure}");
    let fitted = &run["fits"]["by_rank"][0];
    assert_eq!(
        (fitted["embedders"].as_u64(), fitted["within_questions"].as_bool()),
        (Some(3), Some(true)),
        "{fitted}"
    );
    assert_eq!(fitted["sensitivities"].as_array().unwrap().len(), 2);
    // The tables of the folder say the same.
    let again = scratch.json(&["fit", "--measurements", "runs/ranks"]);
    assert_eq!(again["by_rank"], run["fits"]["by_rank"]);

    // One base system is judged in each part.
    let tests = run["tests"].as_array().unwrap();
    let part = |number: usize| (tests[number]["split"].as_str(), tests[number]["llm"].as_str());
    assert_eq!((part(0), part(1)), ((Some("validation"), Some("smollm2-135m")), (Some("test"), None)));
    assert!(tests[0]["p_holm"].as_f64() >= tests[0]["p"].as_f64());
    let report = fs_err::read_to_string(scratch.path("runs/ranks/report.html")).unwrap();
    for said in ["δ = 0.2 was declared on 2026-11-01: as agreed.", "By rank, E", "Several systems tested"] {
        assert!(report.contains(said), "{said}");
    }

    // Another threshold is refused when the figures are known.
    let refused = scratch.run(&["choose", "--run", "runs/ranks", "--delta", "0.3"]);
    assert_eq!(refused.code, 1);
    assert!(
        refused.stderr.contains("delta is 0.3, expected 0.2, as the experiment declared on 2026-11-01"),
        "{}",
        refused.stderr
    );

    // With the values of the first store, merged into another, nothing is computed again.
    let merged = scratch.json(&["merge", "first.sqlite", "--store", "second.sqlite"]);
    assert!(merged["new"].as_u64() > Some(50) && merged["known"] == 0, "{merged}");
    let repeated = scratch.json(&["run", "ranks.toml", "--store", "second.sqlite"]);
    assert_eq!(repeated["work"]["answers"]["computed"], 0);
    assert_eq!(repeated["results"], run["results"]);
}

#[test]
fn a_threshold_of_tomorrow_and_a_discount_that_is_none_are_refused() {
    let scratch = Scratch::new();
    scratch.write("two.toml", RECIPE);
    for (text, expected) in [
        (
            experiment(&THRESHOLD.replace("2026-11-01", "2999-01-01")),
            "declared is 2999-01-01, which is still to come, expected a day up to today",
        ),
        (
            experiment(&THRESHOLD.replace("2026-11-01", "last week")),
            "expected a day such as 2026-11-01, received `last week`",
        ),
        (experiment(&THRESHOLD.replace("0.2", "0")), "above 0"),
        (
            experiment("").replace("reciprocal", "harmonic"),
            "expected `log2`, `reciprocal`, `none` or a number in (0, 1), received `harmonic`",
        ),
    ] {
        scratch.write("bad.toml", text);
        let done = scratch.run(&["run", "bad.toml"]);
        assert_eq!(done.code, 1);
        assert!(done.stderr.contains(expected), "{}", done.stderr);
    }
}
