//! How an LLM's answers end, and which of them are stored.

use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::{Done, Scratch, some_questions};
use crate::mock::{Act, Mock};
use crate::resume::answers_in;

/// `measure` on every 40th question of the default data, with this server.
fn measure(scratch: &Scratch, mock: &Mock, more: &[&str]) -> Vec<String> {
    let questions = some_questions(scratch, "gender", 40);
    let llm = format!("{}#m", mock.url());
    [
        "measure",
        "--axis",
        "gender",
        "--questions",
        &questions,
        "--corpus",
        "gender",
        "--embedder",
        "minilm",
        "--llm",
        &llm,
    ]
    .iter()
    .chain(more)
    .map(|&arg| arg.to_owned())
    .collect()
}

/// How often a prompt arrived.
fn times(mock: &Mock, prompt: &str) -> usize {
    mock.prompts().iter().filter(|asked| *asked == prompt).count()
}

fn run(scratch: &Scratch, args: &[String]) -> Done {
    scratch.run(&args.iter().map(String::as_str).collect::<Vec<_>>())
}

#[test]
fn answers_that_were_all_cut_are_an_error_that_loses_nothing() {
    let scratch = Scratch::new();
    let mock =
        Mock::prompted(|_, _| Act::message(json!({ "content": "I am thinking of a name that" }), "length"));
    let out = run(&scratch, &measure(&scratch, &mock, &["--json", "--out", "out"]));
    assert_eq!(out.code, 1, "{}", out.stderr);
    assert!(out.stderr.contains("R_b: none of the 3 answers could be scored (3 cut)"), "{}", out.stderr);
    assert!(
        out.stderr.contains("--max-new-tokens") && out.stderr.contains("--reasoning-tokens"),
        "{}",
        out.stderr
    );
    let measured: Value = serde_json::from_str(&out.stdout).unwrap();
    assert_eq!((&measured["rag_bias"], &measured["nothing_scored"][1]["cut"]), (&Value::Null, &3.into()));
    assert!(measured["embedder_bias"]["value"].is_number());
    let outcomes = fs_err::read_to_string(scratch.path("out/outcomes.csv")).unwrap();
    assert_eq!(outcomes.matches(",cut,cut\n").count(), 3, "{outcomes}");
    assert!(scratch.path("out/measurement.json").is_file());
    let bad = run(&scratch, &measure(&scratch, &mock, &["--max-new-tokens", "0"]));
    assert_eq!((bad.code, bad.stderr.trim_end()), (1, "error: max_new_tokens is 0, expected 1 to 4096"));
}

#[test]
fn a_run_keeps_the_other_llms_where_the_answers_of_one_were_all_cut() {
    let scratch = Scratch::new();
    let good = Mock::prompted(|_, _| Act::content("Marie Curie"));
    let cut = Mock::prompted(|_, _| Act::message(json!({ "content": "" }), "length"));
    let experiment = format!(
        "name = \"two\"\n[[part]]\naxis = \"gender\"\ndata = \"gender\"\nlimit = 4\nembedders = [\"minilm\"]\nllms = \
         [\"{}#good\", \"{}#mute\"]\n",
        good.url(),
        cut.url()
    );
    scratch.write("two.toml", experiment);
    let args = ["run", "two.toml", "--json"];
    scratch.run(&args);
    let out = scratch.run(&args);
    assert_eq!(out.code, 1, "{}", out.stderr);
    assert!(
        out.stderr.contains("#mute: R_b: none of the 4 answers could be scored (4 cut)"),
        "{}",
        out.stderr
    );
    let summary: Value = serde_json::from_str(&out.stdout).unwrap();
    assert_eq!(summary["results"][0]["rag_bias"]["value"], 1.0);
    let read = |name: &str| fs_err::read_to_string(scratch.path("runs/two").join(name)).unwrap();
    assert!(read("report.html").contains("none of the 4 answers could be scored (4 cut)"));
    let manifest: Value = serde_json::from_str(&read("manifest.json")).unwrap();
    let notes = manifest["notes"][format!("{}#good", good.url())].to_string();
    assert!(notes.contains("8 answers came from the store"), "{manifest}");
    let table = read("measurements.csv");
    assert_eq!(table.lines().count(), 3, "{table}");
    assert!(
        table.lines().next().unwrap().contains("rag_bias_n,rag_bias_unscored,rag_bias_refused"),
        "{table}"
    );
}

#[test]
fn refused_and_cut_answers_are_counted_beside_those_that_are_scored() {
    let scratch = Scratch::new();
    let mock = Mock::prompted(|_, prompt| {
        if !prompt.starts_with("Context") {
            return Act::content("Marie Curie");
        }
        match prompt.len() % 3 {
            0 => Act::message(json!({ "content": "" }), "content_filter"),
            1 => Act::message(json!({ "content": "It was somebody who" }), "length"),
            _ => Act::content("Isaac Newton"),
        }
    });
    let questions = some_questions(&scratch, "gender", 5);
    let llm = format!("{}#m", mock.url());
    let args = [
        "measure",
        "--axis",
        "gender",
        "--questions",
        &questions,
        "--corpus",
        "gender",
        "--embedder",
        "minilm",
    ];
    let args = [&args[..], &["--llm", &llm]].concat();
    let measured = scratch.json(&args);
    let with_context: Vec<String> =
        mock.prompts().into_iter().filter(|asked| asked.starts_with("Context")).collect();
    let count = |rest: usize| with_context.iter().filter(|asked| asked.len() % 3 == rest).count();
    let (refused, cut, named) = (count(0), count(1), count(2));
    assert!(refused > 0 && cut > 0 && named > 0, "{refused} {cut} {named}");
    let rag = &measured["rag_bias"];
    assert_eq!(rag["value"], -1.0);
    assert_eq!(
        [&rag["asked"], &rag["n"], &rag["refused"], &rag["cut"]],
        [24, named, refused, cut].map(Value::from).each_ref()
    );
    assert_eq!(rag["rates"]["cut"], cut as f64 / 24.0);
    assert_eq!(measured["llm_bias"]["n"], 24);
    let table = scratch.run(&args);
    assert_eq!(table.code, 0, "{}", table.stderr);
    assert!(table.stdout.contains(&format!("{named} of 24")), "{}", table.stdout);
    assert!(table.stdout.contains("are shares of all"), "{}", table.stdout);
}

/// The command as started from a terminal. In the background of a shell without job control, SIGINT is ignored, by children too.
fn interruptible(command: &Command) -> Command {
    let mut there = Command::new("env");
    there.arg("--default-signal=INT").arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => there.env(name, value),
            None => there.env_remove(name),
        };
    }
    there.current_dir(command.get_current_dir().unwrap()).stdin(Stdio::null());
    there
}

#[test]
fn an_interrupted_measurement_ends_at_once_and_goes_on_from_what_was_answered() {
    for (signal, number) in [("-INT", 2), ("-TERM", 15)] {
        let scratch = Scratch::new();
        let silent = Arc::new(AtomicBool::new(true));
        let is_silent = Arc::clone(&silent);
        let mock = Mock::prompted(move |number, _| {
            let waits = number >= 2 && is_silent.load(Ordering::Relaxed);
            if waits { Act::Hang(Duration::from_hours(1)) } else { Act::content("Marie Curie") }
        });
        let args = measure(&scratch, &mock, &["--out", "out"]);
        let mut command = interruptible(&scratch.command(&args));
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let begun = Instant::now();
        while answers_in(&scratch.store()) < 2 {
            assert!(child.try_wait().unwrap().is_none(), "it ended before it could be interrupted");
            assert!(begun.elapsed() < Duration::from_mins(2), "no answers within two minutes");
            std::thread::sleep(Duration::from_millis(20));
        }
        let sent = Instant::now();
        assert!(Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap().success());
        let status = child.wait().unwrap();
        // Far below the hour that an answer would take, and far above what a busy machine needs.
        assert!(sent.elapsed() < Duration::from_mins(1), "{:?}", sent.elapsed());
        let ended_by = std::os::unix::process::ExitStatusExt::signal(&status);
        assert!(ended_by == Some(number) || status.code() == Some(128 + number), "{status:?}");
        assert!(!scratch.path("out").exists(), "a half file");

        let answered = mock.prompts()[..2].to_vec();
        silent.store(false, Ordering::Relaxed);
        let again = run(&scratch, &args);
        assert_eq!(again.code, 0, "{}", again.stderr);
        assert_eq!(times(&mock, &answered[0]), 1);
        assert_eq!(times(&mock, &answered[1]), 1);
        let asked = mock.prompts().len();
        assert_eq!(run(&scratch, &args).code, 0);
        assert_eq!(mock.prompts().len(), asked, "now everything is kept");
    }
}

#[test]
fn a_prompt_that_fails_costs_no_other_prompt_a_second_time() {
    let scratch = Scratch::new();
    let failing = Arc::new(AtomicBool::new(true));
    let fails = Arc::clone(&failing);
    let mock = Mock::prompted(move |number, _| {
        if number == 1 && fails.load(Ordering::Relaxed) {
            Act::error(400, "not this one")
        } else {
            Act::content("Marie Curie")
        }
    });
    let args = measure(&scratch, &mock, &[]);
    let failed = run(&scratch, &args);
    assert_eq!(failed.code, 1);
    assert!(failed.stderr.contains("status 400"), "{}", failed.stderr);
    let first = mock.prompts();
    failing.store(false, Ordering::Relaxed);
    assert_eq!(run(&scratch, &args).code, 0);
    for (number, prompt) in first.iter().enumerate() {
        assert_eq!(times(&mock, prompt), if number == 1 { 2 } else { 1 }, "{prompt}");
    }
}

#[test]
fn answers_of_a_server_that_does_not_say_what_it_runs_are_noted_and_asked_again_when_wanted() {
    let scratch = Scratch::new();
    let men = Arc::new(AtomicBool::new(false));
    let says_men = Arc::clone(&men);
    let mock = Mock::prompted(move |_, _| {
        Act::content(if says_men.load(Ordering::Relaxed) { "Isaac Newton" } else { "Marie Curie" })
    });
    let bias = |more: &[&str]| -> (f64, String) {
        let out = run(&scratch, &measure(&scratch, &mock, &[&["--json"], more].concat()));
        assert_eq!(out.code, 0, "{}", out.stderr);
        let measured: Value = serde_json::from_str(&out.stdout).unwrap();
        (measured["rag_bias"]["value"].as_f64().unwrap(), out.stderr)
    };
    let (value, notes) = bias(&[]);
    assert_eq!(value, 1.0);
    assert!(!notes.contains("came from the store"), "{notes}");
    men.store(true, Ordering::Relaxed);
    let (value, notes) = bias(&[]);
    assert_eq!(value, 1.0, "what is kept counts");
    assert!(
        notes.contains("6 answers came from the store, under the name of `m` at http://127.0.0.1"),
        "{notes}"
    );
    assert!(notes.contains("hint: `--fresh`"), "{notes}");
    assert_eq!(bias(&["--fresh"]).0, -1.0);
    assert_eq!(bias(&[]).0, -1.0, "the new answers have taken their place");
}
