use std::process::{Command, Stdio};

use fs_err as fs;
use ragbias::core::ContentId;
use serde_json::{Value, json};

use crate::harness::{Scratch, gender_recipe};

const EXPERIMENT: &str = r#"
name = "few"
[[part]]
axis = "gender"
data = "gender"
split = "validation"
limit = 10
embedders = ["minilm"]
families = ["few-recipe.toml"]
llms = ["smollm2-135m"]
"#;

/// The page has every figure, each of which is also a file, needs no network and shows no NaN.
fn check(page: &str, scratch: &Scratch, run: &str, figures: &[String]) {
    for figure in figures {
        assert!(page.contains(&format!("id=\"{figure}\"")), "{figure}");
        let svg = scratch.path(run).join("figures").join(format!("{figure}.svg"));
        let svg = fs::read_to_string(svg).unwrap();
        assert!(svg.starts_with("<svg ") && !svg.contains("var(--"), "{figure}");
        let png = scratch.path(run).join("figures").join(format!("{figure}.png"));
        match fs::read(png) {
            Ok(bytes) => assert!(bytes.starts_with(b"\x89PNG") && bytes.len() > 2000, "{figure}"),
            Err(error) => eprintln!("no PNG, as where there are no fonts: {error}"),
        }
    }
    assert_eq!(page.matches("class=\"drawing\"").count(), figures.len());
    for wrong in ["http:", "https:", "NaN", "inf<", "none<"] {
        assert!(!page.contains(wrong), "{wrong}");
    }
}

fn read_json(scratch: &Scratch, file: &str) -> Value {
    serde_json::from_str(&fs::read_to_string(scratch.path(file)).unwrap()).unwrap()
}

/// Opens the page in a headless browser, if this machine has one, and selects a point.
fn open(scratch: &Scratch, page: &str) {
    let has = |name: &&&str| {
        Command::new(name).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
    };
    let Some(browser) = ["chromium", "google-chrome"].iter().find(has) else {
        eprintln!("no chromium or google-chrome on PATH: the page's script is not run");
        return;
    };
    let select = "<script>document.querySelector('td button').click();\
                  document.querySelectorAll('th button').forEach((head) => head.click());</script></html>";
    let file = scratch.write("page.html", page.replace("</html>", select));
    let output = Command::new(browser)
        .args(["--headless=new", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--dump-dom"])
        .arg(format!("--user-data-dir={}", scratch.path("browser").display()))
        .arg(format!("file://{file}"))
        .output()
        .unwrap();
    let log = String::from_utf8_lossy(&output.stderr);
    assert!(!log.contains("CONSOLE"), "{log}");
    let dom = String::from_utf8_lossy(&output.stdout);
    assert!(dom.contains("<article class=\"asked\">"), "a selected embedder shows its questions\n{log}");
    assert!(dom.contains("aria-sort="), "a table is sorted by its heads");
}

#[test]
fn the_report_of_a_family_has_every_figure_and_the_questions_behind_each_point() {
    let scratch = Scratch::new();
    scratch.write("few-recipe.toml", gender_recipe("few", "[0.2, 1.0]"));
    scratch.write("few.toml", EXPERIMENT);
    scratch.json(&["run", "few.toml"]);
    let read = || fs::read_to_string(scratch.path("runs/few/report.html")).unwrap();
    let ids = |kinds: &[&str]| -> Vec<String> {
        kinds.iter().map(|kind| format!("gender-smollm2-135m-validation-{kind}")).collect()
    };
    let kinds = ["conflict", "components", "front", "topics", "residuals"];
    check(&read(), &scratch, "runs/few", &ids(&kinds));

    let bias = |value: f64| {
        let (positive, negative) = (f64::midpoint(1.0, value), f64::midpoint(1.0, -value));
        json!({ "value": value, "low": value - 0.2, "high": value + 0.2, "n": 10, "unscored": 0,
            "rates": { "positive": positive, "negative": negative, "both": 0.0, "neither": 0.0 } })
    };
    let system = |rag: f64| {
        let biases = json!({ "embedder_bias": bias(0.2), "rag_bias": bias(rag) });
        json!({ "embedder": "minilm", "validation": biases, "test": biases, "verdict": "undecided", "ndcg10": 0.8 })
    };
    let mut turned = system(0.0);
    let settings =
        json!({ "control": "merge", "setting": 0.4, "reached": "zero", "trail": [], "path": "choice/merge" });
    turned.as_object_mut().unwrap().extend(settings.as_object().unwrap().clone());
    let manifest = read_json(&scratch, "runs/few/manifest.json");
    let mut choice = json!({ "run": manifest["run"], "axis": "gender", "data": "gender", "llm": "smollm2-135m",
        "delta": 0.1, "status": "ok", "base": system(-0.4), "controls": [turned], "chosen": "merge", "reason": null });
    choice["checksum"] = ContentId::of(choice.to_string().as_bytes()).to_string().into();
    scratch.write("runs/few/choice.json", json!([choice]).to_string());
    scratch.json(&["report", "runs/few"]);
    let page = read();
    check(&page, &scratch, "runs/few", &ids(&[&kinds[..], &["choice"]].concat()));
    assert!(page.contains("Chosen on validation topics: merge at 0.4."));
    open(&scratch, &page);
}

#[test]
fn the_report_of_one_embedder_without_an_llm_shows_what_is_retrieved() {
    let scratch = Scratch::new();
    scratch.write(
        "plain.toml",
        "name = \"plain\"\n[[part]]\naxis = \"gender\"\ndata = \"gender\"\nlimit = 5\nembedders = [\"minilm\"]\n",
    );
    scratch.json(&["run", "plain.toml"]);
    let page = fs::read_to_string(scratch.path("runs/plain/report.html")).unwrap();
    let id = page
        .split("id=\"")
        .find_map(|part| part.split_once('"').filter(|(id, _)| id.ends_with("-components")));
    check(&page, &scratch, "runs/plain", &[id.unwrap().0.to_owned()]);
    open(&scratch, &page);
}
