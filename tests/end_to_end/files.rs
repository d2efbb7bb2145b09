//! Files from other programs, output that ends early, and stores that cannot be written to.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use serde_json::{Value, json};

use crate::harness::{Scratch, done};

const CORPUS: [(&str, &str); 3] = [
    ("d1", "Radium was isolated in a shed. She won two prizes."),
    ("d2", "Gravity was explained in Cambridge. He never married."),
    ("d3", "A program for an engine was published in a note. She signed it."),
];
const QUESTIONS: [(&str, &str); 3] = [
    ("q1", "Who isolated radium?"),
    ("q2", "Who explained gravity?"),
    ("q3", "Who wrote the first program?"),
];

fn lines(records: &[(&str, &str)]) -> String {
    let lines: Vec<String> =
        records.iter().map(|(id, text)| json!({ "_id": id, "text": text }).to_string()).collect();
    lines.join("\n") + "\n"
}

fn evaluate(scratch: &Scratch, qrels: &str) -> Value {
    scratch.json(&[
        "evaluate",
        "--embedder",
        "minilm",
        "--corpus",
        "corpus.jsonl",
        "--queries",
        "queries.jsonl",
        "--qrels",
        qrels,
    ])
}

#[test]
fn judgements_of_any_layout_and_packed_data_give_the_same_figures() {
    let scratch = Scratch::new();
    scratch.write("corpus.jsonl", lines(&CORPUS));
    scratch.write("queries.jsonl", lines(&QUESTIONS));
    scratch.write("beir.tsv", "query-id\tcorpus-id\tscore\nq1\td1\t1\nq2\td2\t1\nq3\td3\t1\n");
    let expected = evaluate(&scratch, "beir.tsv");
    assert_eq!((&expected["ndcg@10"], &expected["queries"]), (&json!(1.0), &json!(3)));
    assert_eq!(expected["notes"], json!([]));
    scratch.write("trec.txt", "\u{feff}q1 0 d1 1\r\nq2 0 d2 1\r\nq3 0 d3 1\r\n");
    scratch.write(
        "quoted.csv",
        "\"qid\",\"docid\",\"rel\"\n\"q1 \",\"d1\",\"1.0\"\n\"q2\",\"d2\",1\n\"q3\",\"d3\",1\n",
    );
    for qrels in ["trec.txt", "quoted.csv"] {
        assert_eq!(evaluate(&scratch, qrels), expected, "{qrels}");
    }
    let corpus: Vec<u8> =
        format!("\u{feff}{}", lines(&CORPUS)).encode_utf16().flat_map(u16::to_le_bytes).collect();
    scratch.write("corpus.jsonl", corpus);
    assert_eq!(evaluate(&scratch, "beir.tsv"), expected);
}

#[test]
fn a_check_lists_what_is_wrong_with_a_file_of_any_kind_and_how_it_was_read() {
    let scratch = Scratch::new();
    scratch.write("c.csv", "id,text,lean,url\na,x,1,u\na,,2,u\nb ,\"two\nlines\",maybe,u\nc,x\nd,x,3,u\n");
    let done = scratch.run(&["data", "check", "c.csv"]);
    assert_eq!(done.code, 1);
    let expected = [
        "c.csv:3: _id `a` occurs twice; it was already used in line 2",
        "c.csv:6: expected 4 cells, as the first line has, received 2",
        "c.csv:7: lean: expected -1, 0, 1, the name of a pole or nothing, received `3`",
        "c.csv:4: spaces around an id, which are taken off",
        "c.csv: not read: url",
        "corpus: 2 records can be read",
    ];
    for line in expected {
        assert!(done.stdout.contains(line), "no `{line}` in {}", done.stdout);
    }
    assert!(done.stderr.contains("error: 3 problems"), "{}", done.stderr);
    for (name, text, kind) in [
        ("q.tsv", "q1\td1\t1\nq1\td2\t0\n", "judgements"),
        ("queries.jsonl", "{\"_id\":1,\"text\":\"Who?\"}\n{\"_id\":2,\"text\":\"Why?\"}\n", "questions"),
        (
            "m.csv",
            "embedder;llm;axis;embedder_bias;rag_bias;llm_bias\na;m;x;-0,5;0;0\nb;m;x;5%;0;0\n",
            "measurements",
        ),
    ] {
        scratch.write(name, text);
        let checked = scratch.json(&["data", "check", name]);
        let found = (&checked["kind"], &checked["records"], &checked["problems"]);
        assert_eq!(found, (&json!(kind), &json!(2), &json!([])), "{name}");
    }
}

#[test]
fn nothing_of_a_file_reaches_the_terminal_as_a_command() {
    let scratch = Scratch::new();
    let id = "a\tb\u{1b}[2J\u{202e}";
    let document = |text: &str| format!("{}\n", json!({ "_id": id, "text": text }));
    scratch.write("c.jsonl", document("She left."));
    let done = scratch.run(&["score", "--axis", "gender", "--input", "c.jsonl"]);
    assert_eq!(done.stdout, "a\\tb\\u{1b}[2J\\u{202e}\t1\n");
    scratch.write("twice.jsonl", document("x") + &document("y"));
    let done = scratch.run(&["score", "--axis", "gender", "--input", "twice.jsonl"]);
    assert!(done.stderr.contains("_id `a\\tb\\u{1b}[2J\\u{202e}` occurs twice"), "{}", done.stderr);
    scratch.write("columns.csv", "id,\u{1b}[31mtext\n1,x\n");
    let done = scratch.run(&["score", "--axis", "gender", "--input", "columns.csv"]);
    assert!(done.code == 1 && !done.stderr.contains('\u{1b}'), "{}", done.stderr);
}

#[cfg(unix)]
#[test]
fn output_that_ends_early_is_no_failure_and_a_full_disk_is_one() {
    let scratch = Scratch::new();
    let documents: Vec<String> =
        (0..20_000).map(|i| json!({ "_id": format!("d{i}"), "text": "She left." }).to_string()).collect();
    scratch.write("big.jsonl", documents.join("\n"));
    let args = ["score", "--axis", "gender", "--input", "big.jsonl"];
    let mut child = scratch.command(&args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut first = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut first).unwrap();
    assert_eq!(first, "d0\t1\n");
    let ended = child.wait_with_output().unwrap();
    assert!(ended.status.success(), "{ended:?}");
    assert_eq!(String::from_utf8(ended.stderr).unwrap(), "");
    for args in [&args[..], &["models", "list"], &["--help"]] {
        let full = fs_err::OpenOptions::new().write(true).open("/dev/full").unwrap().into_parts().0;
        let output = scratch.command(args).stdout(full).output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{args:?}: {stderr}");
        assert!(stderr.contains("error: standard output: No space left"), "{args:?}: {stderr}");
    }
}

#[cfg(unix)]
#[test]
fn a_store_that_cannot_be_one_is_named_with_what_to_do() {
    let scratch = Scratch::new();
    scratch.write("c.jsonl", "{\"_id\":\"a\",\"text\":\"x\"}\n");
    scratch.write("text.sqlite", "this is no database, it is a text that is long enough");
    scratch.write("file", "x");
    let embed = |store: &str| {
        let args =
            ["embed", "--embedder", "minilm", "--input", "c.jsonl", "--out", "v.npy", "--store", store];
        let done = done(&mut scratch.command(&args));
        assert_eq!(done.code, 1, "{}", done.stderr);
        assert!(done.stderr.contains("`--store FILE`"), "{}", done.stderr);
        done.stderr
    };
    let said = embed("text.sqlite");
    assert!(
        said.contains("the store text.sqlite: not an SQLite file, or its beginning is damaged; nothing in it was changed\nhint: "),
        "{said}"
    );
    let said = embed(".");
    assert!(said.contains("the store .: this is a folder, expected a file"), "{said}");
    let said = embed("file/store.sqlite");
    assert!(said.contains("the store file/store.sqlite: "), "{said}");
}
