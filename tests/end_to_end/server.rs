//! LLMs behind an address, from the user's point of view.

use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::{Done, Scratch};
use crate::mock::{Act, Mock, Request};

/// Four questions, each with its own document.
fn scratch() -> Scratch {
    let scratch = Scratch::new();
    let topics = ["radium", "gravity", "comets", "engines"];
    let questions =
        topics.map(|topic| json!({ "_id": topic, "text": format!("Who wrote on {topic}?") }).to_string());
    let documents = topics
        .map(|topic| json!({ "_id": topic, "text": format!("She wrote a book on {topic}.") }).to_string());
    scratch.write("questions.jsonl", questions.join("\n"));
    scratch.write("corpus.jsonl", documents.join("\n"));
    scratch
}

fn arguments<'a>(address: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let mut args =
        vec!["measure", "--axis", "gender", "--questions", "questions.jsonl", "--corpus", "corpus.jsonl"];
    args.extend(["--embedder", "minilm", "--json", "--llm", address]);
    args.extend(more);
    args
}

fn measure(scratch: &Scratch, mock: &Mock, more: &[&str]) -> Done {
    scratch.run(&arguments(&mock.url(), more))
}

fn llm_bias(done: &Done) -> f64 {
    let measured: Value = serde_json::from_str(&done.stdout).unwrap_or_else(|_| panic!("{}", done.stderr));
    measured["llm_bias"]["value"].as_f64().unwrap()
}

#[test]
fn the_answer_behind_the_thinking_is_measured() {
    let mock = Mock::playing(vec![Act::content("<think>A man? Isaac Newton.</think>\n\nMarie Curie")]);
    assert_eq!(llm_bias(&measure(&scratch(), &mock, &[])), 1.0);
}

#[test]
fn settings_of_the_command_line_and_of_an_experiment_reach_the_server() {
    let scratch = scratch();
    let mock = Mock::playing(vec![Act::content("Marie Curie")]);
    scratch.write("options.toml", "reasoning_effort = \"low\"\n");
    measure(&scratch, &mock, &["--llm-options", "options.toml", "--thinking", "off", "--parallel", "2"]);
    let body = mock.asked().pop().unwrap().body;
    assert_eq!(
        (&body["reasoning_effort"], &body["chat_template_kwargs"]["enable_thinking"]),
        (&json!("low"), &json!(false))
    );
    assert!(mock.most_at_once() <= 2);

    let experiment = format!(
        "name = \"x\"\n[server]\nparallel = 3\nthinking = \"off\"\noptions = {{ top_p = 0.5 }}\n[[part]]\naxis = \"gender\"\n\
         data = \"gender\"\nlimit = 2\nembedders = [\"minilm\"]\nllms = [\"{}\"]\n",
        mock.url()
    );
    scratch.write("x.toml", experiment);
    scratch.json(&["run", "x.toml", "--parallel", "4"]);
    let body = mock.asked().pop().unwrap().body;
    assert_eq!(
        (&body["top_p"], &body["chat_template_kwargs"]["enable_thinking"]),
        (&json!(0.5), &json!(false))
    );
    let manifest = fs_err::read_to_string(scratch.path("runs/x/manifest.json")).unwrap();
    let manifest: Value = serde_json::from_str(&manifest).unwrap();
    assert_eq!(manifest["experiment"]["server"]["parallel"], 4);
}

#[test]
fn a_key_is_trimmed_and_never_shown() {
    let scratch = scratch();
    let mock = Mock::playing(vec![Act::error(403, "sk-secret may not do this")]);
    let run = |key: &str| {
        let out = scratch.command(&arguments(&mock.url(), &[])).env("RAGBIAS_API_KEY", key).output().unwrap();
        String::from_utf8(out.stderr).unwrap()
    };
    let said = run("sk-secret\r\n");
    assert!(said.contains("may not do this") && !said.contains("sk-secret"), "{said}");
    assert_eq!(mock.asked()[0].header("authorization"), Some("Bearer sk-secret"));
    let said = run("sk-\nsecret");
    assert!(said.contains("RAGBIAS_API_KEY") && !said.contains("secret"), "{said}");
}

#[test]
fn an_address_that_is_none_is_refused_with_what_it_lacks() {
    let done = scratch().run(&arguments("localhost:8080/v1#m", &[]));
    assert!(done.code == 1 && done.stderr.contains("begins with http:// or https://"), "{}", done.stderr);
}

#[test]
fn another_model_behind_the_same_address_is_measured_anew() {
    let scratch = scratch();
    let running = Arc::new(Mutex::new(("women-7b", "Marie Curie")));
    let now = Arc::clone(&running);
    let mock = Mock::new(move |request| {
        let (model, name) = *now.lock().unwrap();
        match request.method.as_str() {
            "GET" => Act::body(json!({ "data": [{ "id": "llm", "root": model }] }).to_string()),
            _ => Act::content(name),
        }
    });
    assert_eq!(llm_bias(&measure(&scratch, &mock, &[])), 1.0);
    let asked = mock.asked().len();
    assert_eq!(llm_bias(&measure(&scratch, &mock, &[])), 1.0);
    assert_eq!(mock.asked().len(), asked, "the same model is not asked again");
    *running.lock().unwrap() = ("men-7b", "Isaac Newton");
    assert_eq!(llm_bias(&measure(&scratch, &mock, &[])), -1.0);
}

fn question(request: &Request) -> String {
    request.prompt().to_owned()
}

#[test]
fn what_was_answered_before_a_kill_is_not_asked_again() {
    let scratch = scratch();
    let served = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&served);
    // The third answer and all after it hang, until the server is told to continue.
    let mock = Mock::new(move |request| {
        if request.method == "GET" || request.is_first() {
            return Act::content("Marie Curie");
        }
        match count.fetch_add(1, Ordering::SeqCst) {
            2..1000 => Act::Hang(Duration::from_mins(1)),
            _ => Act::content("Marie Curie"),
        }
    });
    let url = mock.url();
    let mut child =
        scratch.command(&arguments(&url, &[])).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let begun = Instant::now();
    while crate::resume::answers_in(&scratch.store()) < 2 {
        assert!(begun.elapsed() < Duration::from_mins(2), "two answers within two minutes");
        std::thread::sleep(Duration::from_millis(20));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let before: Vec<String> = mock.asked().iter().map(question).collect();
    served.store(1000, Ordering::SeqCst);
    assert_eq!(llm_bias(&measure(&scratch, &mock, &[])), 1.0);
    let after: Vec<String> = mock.asked()[before.len()..].iter().map(question).collect();
    // Four questions without and with context, two of which were answered.
    assert_eq!(after.len(), 6);
    assert!(before.len() <= 4 && before.iter().filter(|prompt| after.contains(prompt)).count() <= 2);
}
