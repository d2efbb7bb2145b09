//! `ragbias fit`: its results for tables and outcomes, and its errors about either.

use std::fmt::Write;

use serde_json::{Value, json};

use crate::harness::{Done, Scratch};

/// A table of embedders close to the line R_b = s·E_b + β0; L_b is 0.1.
fn table(scratch: &Scratch, name: &str, biases: &[f64], s: f64, b0: f64) -> String {
    let mut text = "embedder,llm,axis,embedder_bias,rag_bias,llm_bias\n".to_owned();
    for (i, x) in biases.iter().enumerate() {
        let wiggle = [0.01, -0.02, 0.0, 0.02, -0.01][i % 5];
        writeln!(text, "e{i},m,gender,{x},{},0.1", s * x + b0 + wiggle).unwrap();
    }
    scratch.write(name, text)
}

const FAMILY: [f64; 9] = [-0.8, -0.6, -0.45, -0.2, 0.0, 0.15, 0.4, 0.55, 0.75];

fn fit_of(fits: &Value) -> &Value {
    let [fit] = fits["fits"].as_array().unwrap().as_slice() else { panic!("{fits}") };
    fit
}

fn number(value: &Value, key: &str) -> f64 {
    value[key].as_f64().unwrap_or_else(|| panic!("no number `{key}` in {value}"))
}

#[test]
fn fit_gives_the_line_with_intervals_and_the_target() {
    let scratch = Scratch::new();
    let file = table(&scratch, "F.csv", &FAMILY, 0.4, -0.1);
    let fits = scratch.json(&["fit", "--measurements", &file]);
    let fit = fit_of(&fits);
    assert_eq!((&fit["llm"], &fit["axis"], &fit["n"]), (&json!("m"), &json!("gender"), &json!(9)));
    for (key, expected) in [("sensitivity", 0.4), ("intercept", -0.1), ("residual_conflict", -0.2)] {
        let (value, low, high) =
            (number(&fit[key], "value"), number(&fit[key], "low"), number(&fit[key], "high"));
        assert!((value - expected).abs() < 0.02 && low <= value && value <= high, "{key}: {}", fit[key]);
        assert!(low < expected && expected < high, "{key}: {}", fit[key]);
    }
    assert!(number(fit, "r_squared") > 0.95 && number(fit, "r_squared_low") <= number(fit, "r_squared_high"));
    let target = &fit["target"];
    assert_eq!(target["status"], "ok");
    assert!((number(target, "value") - 0.25).abs() < 0.05, "{target}");
    assert!(
        number(target, "low") < number(target, "value") && number(target, "value") < number(target, "high")
    );
    assert_eq!((&fit["interval"], &fits["comparisons"]), (&json!("embedders"), &json!([])));
    assert_eq!(scratch.json(&["fit", "--measurements", &file]), fits, "the same seed, the same draws");
    let done = scratch.run(&["fit", "--measurements", &file]);
    for part in ["sensitivity", "residual conflict", "target: ok", "attenuation", "linearity"] {
        assert!(done.stdout.contains(part), "no `{part}` in {}", done.stdout);
    }
    assert!(done.stdout.lines().count() <= 20, "{}", done.stdout);
    assert!(done.stderr.contains("intervals come from embedders alone"), "{}", done.stderr);
}

#[test]
fn a_target_beyond_the_family_or_of_a_flat_line_is_no_bare_number() {
    let scratch = Scratch::new();
    let target = |name: &str, biases: &[f64], s: f64, b0: f64| {
        let file = table(&scratch, name, biases, s, b0);
        fit_of(&scratch.json(&["fit", "--measurements", &file]))["target"].clone()
    };
    let outside = target("outside.csv", &[-0.8, -0.6, -0.5, -0.3, -0.2], 0.5, -0.2);
    assert_eq!(outside["status"], "outside the family");
    let beyond = target("beyond.csv", &FAMILY, 0.2, -0.5);
    assert_eq!((&beyond["status"], &beyond["value"]), (&json!("outside the family"), &Value::Null));
    let unbounded = target("flat.csv", &FAMILY, 0.0, -0.1);
    assert_eq!(unbounded, json!({ "value": null, "low": null, "high": null, "status": "unbounded" }));
    let words = scratch.run(&["fit", "--measurements", "flat.csv"]).stdout;
    assert!(words.contains("unbounded; s may be 0"), "{words}");
}

#[test]
fn rows_without_an_answer_are_skipped_and_every_llm_has_its_line() {
    let scratch = Scratch::new();
    let mut text = "note,embedder,llm,axis,split,embedder_bias,rag_bias,llm_bias\n".to_owned();
    for (i, x) in FAMILY.iter().enumerate() {
        let wiggle = if i % 2 == 0 { 0.01 } else { -0.01 };
        for (llm, s) in [("follows", 0.8), ("stubborn", 0.2)] {
            writeln!(text, "x,e{i},{llm},gender,test,{x},{},0", s * x + wiggle).unwrap();
        }
        writeln!(text, "x,e{i},,gender,test,{x},,").unwrap();
    }
    scratch.write("F.csv", text);
    let fits = scratch.json(&["fit", "--measurements", "F.csv"]);
    let llms: Vec<_> =
        fits["fits"].as_array().unwrap().iter().map(|fit| fit["llm"].as_str().unwrap()).collect();
    assert_eq!((llms, &fits["skipped"]), (vec!["follows", "stubborn"], &json!(9)));
    let comparison = &fits["comparisons"][0];
    assert_eq!((&comparison["first"], &comparison["second"]), (&json!("follows"), &json!("stubborn")));
    assert!((number(&comparison["difference"], "value") - 0.6).abs() < 1e-9, "{comparison}");
    assert!(number(comparison, "p_holm") < 0.05, "{comparison}");
    let said = scratch.run(&["fit", "--measurements", "F.csv"]).stderr;
    assert!(said.contains("rows without a rag_bias, skipped: 9"), "{said}");
}

#[test]
fn swapping_the_poles_keeps_the_sensitivity_and_negates_the_target() {
    let scratch = Scratch::new();
    let file = table(&scratch, "F.csv", &FAMILY, 0.4, -0.1);
    let text = fs_err::read_to_string(&file).unwrap();
    let negate = |cell: &str| cell.strip_prefix('-').map_or_else(|| format!("-{cell}"), str::to_owned);
    let swapped = text.lines().skip(1).map(|line| {
        let cells: Vec<_> = line.split(',').collect();
        cells[..3]
            .iter()
            .map(ToString::to_string)
            .chain(cells[3..].iter().map(|cell| negate(cell)))
            .collect::<Vec<_>>()
    });
    let header = text.lines().next().unwrap().to_owned();
    let lines: Vec<_> = std::iter::once(header).chain(swapped.map(|cells| cells.join(","))).collect();
    let other = scratch.write("swapped.csv", lines.join("\n"));
    let (a, b) =
        (scratch.json(&["fit", "--measurements", &file]), scratch.json(&["fit", "--measurements", &other]));
    let (a, b) = (fit_of(&a), fit_of(&b));
    let close = |x: f64, y: f64| (x - y).abs() < 1e-9;
    for end in ["value", "low", "high"] {
        assert!(close(number(&a["sensitivity"], end), number(&b["sensitivity"], end)), "{a} {b}");
    }
    for part in ["intercept", "residual_conflict", "target"] {
        for (end, other) in [("value", "value"), ("low", "high"), ("high", "low")] {
            assert!(
                close(number(&a[part], end), -number(&b[part], other)),
                "{part}: {} {}",
                a[part],
                b[part]
            );
        }
    }
    assert_eq!(a["target"]["status"], b["target"]["status"]);
}

#[test]
fn a_run_leaves_its_fits_which_fit_finds_again_in_its_tables() {
    let scratch = Scratch::new();
    let recipe = "name = \"r\"\nbase = \"minilm\"\naxis = \"politics\"\ndata = \"politics\"\n[[grid]]\n\
                  towards = [\"left\", \"right\"]\nscope = [\"head\"]\nlearning-rate = [1e-3]\nepochs = [2]\n";
    scratch.write("r.toml", recipe);
    let part = "[[part]]\naxis = \"politics\"\ndata = \"politics\"\nsplit = \"test\"\nlimit = 5\n\
                embedders = [\"minilm\"]\nfamilies = [\"r.toml\"]\nllms = [\"smollm2-135m\"]\n";
    scratch.write("e.toml", format!("name = \"e\"\n{part}"));
    let run = scratch.json(&["run", "e.toml"]);
    let read = |name: &str| -> Value {
        serde_json::from_str(&fs_err::read_to_string(scratch.path(name)).unwrap()).unwrap()
    };
    let (mut written, manifest) = (read("runs/e/fit.json"), read("runs/e/manifest.json"));
    // The file has the id of its run; the lines are the same wherever they are fitted.
    let of = written.as_object_mut().unwrap().remove("run").unwrap();
    assert!(of.is_string() && of == manifest["run"], "{of}");
    assert_eq!(run["fits"], written);
    let fit = fit_of(&written);
    assert_eq!((&fit["n"], &fit["topics"]), (&json!(3), &json!(5)));
    assert_eq!((&fit["interval"], &fit["split"]), (&json!("topics and embedders"), &json!("test")));
    // By the folder, by its Parquet files, and by its CSV file with the outcomes beside it.
    for measurements in ["runs/e", "runs/e/measurements.parquet", "runs/e/measurements.csv"] {
        assert_eq!(scratch.json(&["fit", "--measurements", measurements]), written, "{measurements}");
    }
    // Elsewhere, outcomes must be named, or there are none.
    fs_err::copy(scratch.path("runs/e/measurements.csv"), scratch.path("m.csv")).unwrap();
    let named = ["fit", "--measurements", "m.csv", "--outcomes", "runs/e/outcomes.parquet"];
    assert_eq!(scratch.json(&named), written);
    fs_err::copy(scratch.path("runs/e/measurements.parquet"), scratch.path("m.parquet")).unwrap();
    let alone = scratch.json(&["fit", "--measurements", "m.csv"]);
    assert_eq!(fit_of(&alone)["interval"], "embedders");
    assert_eq!(scratch.json(&["fit", "--measurements", "m.parquet"]), alone, "CSV and Parquet say the same");
}

#[track_caller]
fn assert_refused(done: &Done, parts: &[&str]) {
    assert_eq!((done.code, done.stdout.as_str()), (1, ""), "{}", done.stderr);
    assert!(!done.stderr.contains("panicked"), "{}", done.stderr);
    for part in parts {
        assert!(done.stderr.contains(part), "no `{part}` in: {}", done.stderr);
    }
}

#[test]
fn tables_that_cannot_be_fitted_are_refused_with_the_place() {
    let scratch = Scratch::new();
    let header = "embedder,llm,axis,embedder_bias,rag_bias,llm_bias\n";
    let fit = |name: &str, text: &str, more: &[&str]| {
        let file = scratch.write(name, text);
        let mut args = vec!["fit", "--measurements", &file];
        args.extend(more);
        scratch.run(&args)
    };
    let rows = "a,m,x,0.1,0,0\nb,m,x,0.2,0.1,0\nc,m,x,0.3,0.1,0\n";
    let missing = fit("F.csv", &header.replace("rag_bias,", ""), &[]);
    assert_refused(&missing, &["F.csv: expected a column `rag_bias`", "its columns are embedder, llm"]);
    let wrong = fit("F.csv", &format!("{header}{rows}d,m,x,0.4,1.3,0\n"), &[]);
    assert_refused(&wrong, &["F.csv:5: rag_bias: expected a number in [-1, 1], received 1.3"]);
    let few = fit("F.csv", &format!("{header}a,m,x,0.1,0,0\nb,m,x,0.2,0.1,0\n"), &[]);
    assert_refused(
        &few,
        &["F.csv: no line", "x with m: embedders with an R_b: expected at least 3, received 2"],
    );
    let same = fit("F.csv", &format!("{header}a,m,x,0.1,0,0\nb,m,x,0.1,0.1,0\nc,m,x,0.1,0.2,0\n"), &[]);
    assert_refused(&same, &["all 3 embedders have the same E_b, 0.1", "hint: `ragbias tune`"]);
    let retrieval = fit("F.csv", &format!("{header}a,,x,0.1,,\n"), &[]);
    assert_refused(&retrieval, &["F.csv: no line can be fitted", "no row has a rag_bias"]);
    let delta = fit("F.csv", &format!("{header}{rows}"), &["--delta", "2"]);
    assert_refused(&delta, &["delta is 2, expected a number above 0 and up to 1"]);
    assert_refused(&fit("F.xlsx", "x", &[]), &["F.xlsx: expected a file that ends in .jsonl, .csv"]);
    assert_refused(&scratch.run(&["fit", "--measurements", "none.csv"]), &["none.csv"]);
    let outcomes = scratch.write("o.csv", "embedder,llm,axis,corpus,split,question\n");
    let without_topic = fit("F.csv", &format!("{header}{rows}"), &["--outcomes", &outcomes]);
    assert_refused(&without_topic, &["o.csv: expected a column `topic`"]);
}
