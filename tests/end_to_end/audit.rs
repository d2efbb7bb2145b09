//! Audits of systems whose bias is known.

use serde_json::{Value, json};

use crate::harness::{Done, Scratch};
use crate::mock::{Act, Mock};
use crate::serve::Server;

/// Forty topics of five questions.
fn questions(scratch: &Scratch) -> String {
    let lines = (0..200).map(|number| {
        json!({ "_id": format!("q{number}"), "text": format!("Who wrote book {number}?"), "topic": format!("t{}", number / 5) }).to_string()
    });
    scratch.write("questions.jsonl", lines.collect::<Vec<_>>().join("\n"))
}

/// A shell script that answers the question of each line by what `answer` does with its number in `$n`.
fn system(scratch: &Scratch, answer: &str) -> String {
    let script = format!(
        "while read -r line; do\n  id=${{line#*'\"_id\":\"'}}; id=${{id%%'\"'*}}; n=${{id#q}}\n  {answer}\ndone\n"
    );
    format!("sh '{}'", scratch.write("rag.sh", script))
}

fn says(name: &str) -> String {
    format!("echo '{{\"_id\":\"'$id'\",\"answer\":\"{name}\"}}'")
}

fn audit(scratch: &Scratch, command: &str, more: &[&str]) -> Done {
    let args =
        ["audit", "--axis", "gender", "--questions", "questions.jsonl", "--command", command, "--json"];
    scratch.run(&[&args, more].concat())
}

fn result(done: &Done) -> Value {
    serde_json::from_str(&done.stdout).unwrap_or_else(|_| panic!("{}", done.stderr))
}

#[test]
fn a_system_is_passed_or_failed_by_the_interval_of_its_bias() {
    let scratch = Scratch::new();
    questions(&scratch);
    let male = system(&scratch, &says("John Smith"));
    let done = audit(&scratch, &male, &[]);
    let failed = result(&done);
    assert_eq!(
        (done.code, failed["verdict"].as_str(), failed["rag_bias"]["value"].as_f64()),
        (3, Some("fail"), Some(-1.0))
    );
    assert_eq!((failed["questions_needed"].as_u64(), failed["rag_bias"]["n"].as_u64()), (Some(0), Some(200)));
    assert!(failed["not_measured"]["embedder_bias"].as_str().unwrap().contains("does not show"), "{failed}");

    // Within every topic women and men alternate, and so do the topics that have one more of either.
    let fair = system(
        &scratch,
        &format!("if [ $((n % 2)) = 0 ]; then {}; else {}; fi", says("Mary Smith"), says("John Smith")),
    );
    let done = audit(&scratch, &fair, &["--out", "audit"]);
    let passed = result(&done);
    assert_eq!((done.code, passed["verdict"].as_str()), (0, Some("pass")), "{passed}");
    assert_eq!(passed["rag_bias"]["value"], 0.0);
    let written = fs_err::read_to_string(scratch.path("audit/audit.json")).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&written).unwrap(), passed);
    assert_eq!(fs_err::read_to_string(scratch.path("audit/answers.jsonl")).unwrap().lines().count(), 200);
    assert!(
        fs_err::read_to_string(scratch.path("audit/junit.xml"))
            .unwrap()
            .contains("failures=\"0\" skipped=\"0\"")
    );
    assert!(fs_err::read_to_string(scratch.path("audit/summary.md")).unwrap().contains("| R_b | +0.00 |"));
    let page = fs_err::read_to_string(scratch.path("audit/audit.html")).unwrap();
    assert!(page.contains("<span class=\"pass\">pass</span>") && page.contains("200 of 200"), "{page}");
    // A folder of something else is not replaced.
    scratch.write("mine/notes.txt", "mine");
    let refused = audit(&scratch, &fair, &["--out", "mine"]);
    assert!(refused.code == 1 && refused.stderr.contains("holds `notes.txt`"), "{}", refused.stderr);
}

#[test]
fn no_more_is_asked_once_the_answers_so_far_decide() {
    let scratch = Scratch::new();
    questions(&scratch);
    let counting = format!("echo $n >> asked; {}", says("John Smith"));
    let done = audit(&scratch, &system(&scratch, &counting), &["--looks", "5"]);
    let failed = result(&done);
    let looks = failed["looks"].as_array().unwrap();
    assert_eq!((done.code, looks.len(), looks[0]["asked"].as_u64()), (3, 2, Some(40)), "{failed}");
    assert_eq!(fs_err::read_to_string(scratch.path("asked")).unwrap().lines().count(), 80);
    assert!(looks[0]["boundary"].as_f64().unwrap() > looks[1]["boundary"].as_f64().unwrap());
}

#[test]
fn a_system_that_does_not_answer_does_not_pass() {
    let scratch = Scratch::new();
    questions(&scratch);
    let answer = format!(
        "case $((n % 4)) in 0) {};; 1) {};; *) echo '{{\"_id\":\"'$id'\",\"answer\":null}}';; esac",
        says("Mary Smith"),
        says("John Smith")
    );
    let done = audit(&scratch, &system(&scratch, &answer), &["--fail-above", "0.3"]);
    let silent = result(&done);
    assert_eq!((done.code, silent["verdict"].as_str()), (4, Some("undecided")), "{silent}");
    assert!(silent["reason"].as_str().unwrap().contains("does not pass"), "{silent}");
    assert_eq!(silent["rag_bias"]["refused"], 100);
}

#[test]
fn documents_that_the_system_shows_give_the_bias_of_its_retrieval() {
    let scratch = Scratch::new();
    let lines = (0..60).map(|number| {
        json!({ "question": format!("Who wrote book {number}?"), "topic": format!("t{}", number / 2), "answer": "Mary Smith wrote it.",
            "documents": [{ "text": "He wrote a book." }, "She wrote another."] }).to_string()
    });
    scratch.write("log.jsonl", lines.collect::<Vec<_>>().join("\n"));
    let done = scratch.run(&["audit", "--axis", "gender", "--log", "log.jsonl", "--json"]);
    let audit = result(&done);
    assert_eq!(
        (done.code, audit["rag_bias"]["value"].as_f64(), audit["embedder_bias"]["value"].as_f64()),
        (3, Some(1.0), Some(-1.0))
    );
}

#[test]
fn answers_that_cannot_be_read_are_refused_with_their_place() {
    let scratch = Scratch::new();
    questions(&scratch);
    for (answer, reason) in [
        (
            "echo '{\"_id\":\"'$id'\",\"answer\":\"a\",\"score\":1}'",
            "line 1 of the command: unknown field `score`",
        ),
        ("echo '{\"answer\":\"a\"}'", "line 1 of the command: expected `_id`"),
        ("echo '{\"_id\":\"q0\",\"answer\":\"a\"}'", "`q0` was"),
        ("exit 7", "the command has closed its output"),
    ] {
        let done = audit(&scratch, &system(&scratch, answer), &[]);
        assert!(done.code == 1 && done.stderr.contains(reason) && done.stdout.is_empty(), "{}", done.stderr);
    }
    let done = audit(&scratch, "sleep 5", &["--patience", "0.2"]);
    assert!(done.code == 1 && done.stderr.contains("within 0.2 s"), "{}", done.stderr);
    scratch.write("log.jsonl", "{\"question\":\"a\",\"answer\":\"b\"}\n{\"question\":\"a\"");
    let done = scratch.run(&["audit", "--axis", "gender", "--log", "log.jsonl"]);
    assert!(done.code == 1 && done.stderr.contains("log.jsonl:2: "), "{}", done.stderr);
}

/// Documents about the subjects of [`questions`], two thirds of them about women.
fn documents(scratch: &Scratch) {
    let lines = (0..200).map(|number| {
        let who = if number % 3 == 0 { "John Clark" } else { "Mary Smith" };
        json!({ "_id": format!("d{number}"), "text": format!("Book {number} was written by {who}.") })
            .to_string()
    });
    scratch.write("corpus.jsonl", lines.collect::<Vec<_>>().join("\n"));
}

#[test]
fn the_search_of_a_system_gives_the_bias_of_its_retrieval() {
    let scratch = Scratch::new();
    questions(&scratch);
    documents(&scratch);
    let measured = scratch.json(&[
        "measure",
        "--axis",
        "gender",
        "--questions",
        "questions.jsonl",
        "--corpus",
        "corpus.jsonl",
        "--embedder",
        "minilm",
        "--scorer",
        "lexicon",
        "--retrieve-only",
    ]);
    let server = Server::start(&scratch, &["--embedder", "minilm", "--corpus", "corpus.jsonl"]);
    let male = system(&scratch, &says("John Smith"));
    let address = server.started["address"].as_str().unwrap();
    for retriever in [address.to_owned(), format!("{address}/search")] {
        let done = audit(&scratch, &male, &["--retriever", &retriever]);
        let audited = result(&done);
        assert_eq!(done.code, 3, "{}", done.stderr);
        let bias = &audited["embedder_bias"];
        for field in ["value", "n"] {
            assert_eq!(bias[field], measured["embedder_bias"][field], "{field}: {bias}");
        }
        assert!(bias["value"].as_f64().unwrap() > 0.0, "{bias}");
        assert!(
            audited["not_measured"]["corpus_bias"].is_string()
                && audited["not_measured"].get("embedder_bias").is_none()
        );
        assert!(
            audited["system"].as_str().unwrap().contains(&format!("with the search of {address}")),
            "{audited}"
        );
    }
}

#[test]
fn a_search_that_fails_ends_the_audit_before_anything_is_asked() {
    let scratch = Scratch::new();
    questions(&scratch);
    let counting = system(&scratch, &format!("echo $n >> asked; {}", says("John Smith")));
    let vectors = Server::start(&scratch, &["--embedder", "minilm"]);
    let redirecting =
        Mock::new(|_| Act::status(307, "").with("Location: http://elsewhere.example.org/search"));
    let other = Mock::new(|_| Act::body("{\"results\": []}"));
    for (address, reason) in [
        (vectors.started["address"].as_str().unwrap().to_owned(), "no documents are served, only embeddings"),
        (redirecting.url(), "redirects to"),
        (other.url(), "expected 32 lists of documents, received 0"),
        (format!("{}#minilm", other.url()), "without a model's name"),
    ] {
        let done = audit(&scratch, &counting, &["--retriever", &address]);
        assert!(
            done.code == 1 && done.stderr.contains(reason) && done.stdout.is_empty(),
            "{reason}: {}",
            done.stderr
        );
        assert!(!scratch.path("asked").exists(), "{reason}");
    }
    // Answers that show their documents have an E_b of their own.
    let lines = (0..10).map(|number| {
        json!({ "question": format!("Who wrote book {number}?"), "answer": "Mary Smith", "documents": ["She wrote it."] }).to_string()
    });
    scratch.write("log.jsonl", lines.collect::<Vec<_>>().join("\n"));
    documents(&scratch);
    let server = Server::start(&scratch, &["--embedder", "minilm", "--corpus", "corpus.jsonl"]);
    let address = server.started["address"].as_str().unwrap();
    let done = scratch.run(&["audit", "--axis", "gender", "--log", "log.jsonl", "--retriever", address]);
    assert!(done.code == 1 && done.stderr.contains("shows its documents"), "{}", done.stderr);
}
