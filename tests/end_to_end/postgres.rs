//! `ragbias ingest` and `ragbias serve --table` with MiniLM and a real PostgreSQL. Where there is none with pgvector, the tests say so
//! and pass.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::{Done, Scratch, done, root};
use crate::postgres_server::{PASSWORD, Server as Postgres};
use crate::serve::Server;

const ADDRESS: &str = "RAGBIAS_POSTGRES";

/// `ragbias ingest` with the address in the environment.
fn ingest(scratch: &Scratch, address: &str, args: &[&str]) -> Done {
    done(scratch.command(&[&["ingest", "--json"], args].concat()).env(ADDRESS, address))
}

/// The same where it must succeed.
fn ingested(scratch: &Scratch, address: &str, args: &[&str]) -> Value {
    let done = ingest(scratch, address, args);
    assert_eq!(done.code, 0, "{}", done.stderr);
    assert_hidden(&done);
    serde_json::from_str(&done.stdout).unwrap()
}

fn assert_hidden(done: &Done) {
    assert!(
        !done.stdout.contains(PASSWORD) && !done.stderr.contains(PASSWORD),
        "{} {}",
        done.stdout,
        done.stderr
    );
}

fn serve(scratch: &Scratch, address: &str, args: &[&str]) -> Server {
    Server::run(Server::command(scratch, args).env(ADDRESS, address))
}

fn questions(set: &str) -> Vec<String> {
    let all = fs_err::read_to_string(root().join("corpora").join(set).join("questions.jsonl")).unwrap();
    let text = |line: &str| serde_json::from_str::<Value>(line).unwrap()["text"].as_str().unwrap().to_owned();
    all.lines().map(text).collect()
}

/// Ids and scores of the documents for a question.
type Hits = Vec<(String, f64)>;

/// The hits of each question.
fn search(server: &Server, asked: &Value) -> Vec<Hits> {
    let (status, answer) = server.post("/search", asked);
    assert_eq!(status, 200, "{answer}");
    let hit = |hit: &Value| (hit["id"].as_str().unwrap().to_owned(), hit["score"].as_f64().unwrap());
    let lists = answer["results"].as_array().unwrap().iter();
    lists.map(|list| list.as_array().unwrap().iter().map(hit).collect()).collect()
}

/// Whether any file below a folder contains the password.
fn holds_password(folder: &Path) -> bool {
    fs_err::read_dir(folder).unwrap().any(|entry| {
        let path = entry.unwrap().path();
        if path.is_dir() {
            return holds_password(&path);
        }
        fs_err::read(&path).unwrap().windows(PASSWORD.len()).any(|part| part == PASSWORD.as_bytes())
    })
}

#[test]
fn documents_in_a_table_are_served_as_those_in_memory() {
    let Some(postgres) = Postgres::start() else { return };
    let (address, _) = postgres.database();
    let scratch = Scratch::new();
    let args = ["--corpus", "gender", "--embedder", "minilm"];
    let stored = ingested(&scratch, &address, &[&args[..], &["--table", "docs"]].concat());
    let n = stored["documents"].as_u64().unwrap();
    assert!(n > 100 && stored["added"] == n && stored["index"] == "exact", "{stored}");
    assert_eq!(
        (&stored["type"], &stored["dim"], &stored["embedder"]),
        (&json!("vector"), &json!(384), &json!("minilm"))
    );
    let again = ingested(&scratch, &address, &[&args[..], &["--table", "docs", "--prune"]].concat());
    assert_eq!(
        (&again["unchanged"], &again["added"], &again["deleted"]),
        (&stored["documents"], &json!(0), &json!(0))
    );
    let half = ["--table", "half", "--halfvec", "--index", "hnsw"];
    let half = ingested(&scratch, &address, &[&args[..], &half].concat());
    assert_eq!((&half["type"], &half["index"]), (&json!("halfvec"), &json!("hnsw")));

    let asked = json!({ "query": questions("gender"), "k": 10 });
    let memory = Server::start(&scratch, &["--corpus", "gender", "--embedder", "minilm"]);
    let table = serve(&scratch, &address, &["--table", "docs", "--embedder", "minilm"]);
    assert_eq!(table.started["documents"], n);
    let (expected, found) = (search(&memory, &asked), search(&table, &asked));
    assert!(expected.len() > 100);
    for (found, expected) in found.iter().zip(&expected) {
        for ((id, score), (wanted, other)) in found.iter().zip(expected) {
            assert_eq!(id, wanted, "{found:?}, expected {expected:?}");
            assert!((score - other).abs() < 1e-5, "{score}, expected {other}");
        }
        assert_eq!(found.len(), 10);
    }
    let filtered = json!({ "query": ["Who designed the bridge?"], "k": 10, "filter": { "lean": [1] } });
    assert_eq!(search(&table, &filtered)[0].len(), 10);
    let ids = |lists: &[Hits]| lists[0].iter().map(|(id, _)| id.clone()).collect::<Vec<_>>();
    assert_eq!(ids(&search(&table, &filtered)), ids(&search(&memory, &filtered)));
    let unknown = json!({ "query": "a", "filter": { "laen": 1 } });
    assert_eq!(table.post("/search", &unknown), memory.post("/search", &unknown));

    let halved = serve(&scratch, &address, &["--table", "half", "--embedder", "minilm"]);
    let found = search(&halved, &asked);
    let common = |(found, expected): (&Hits, &Hits)| {
        expected.iter().filter(|(id, _)| found.iter().any(|(other, _)| other == id)).count()
    };
    let share = found.iter().zip(&expected).map(common).sum::<usize>() as f64 / (10 * expected.len()) as f64;
    assert!(share >= 0.95, "{share}");
    for server in [table, halved] {
        assert!(!server.end().contains(PASSWORD));
    }
    assert!(!holds_password(&scratch.path("")));
}

#[test]
fn an_ingestion_that_was_killed_goes_on_where_it_ended() {
    let Some(postgres) = Postgres::start() else { return };
    let (address, database) = postgres.database();
    let scratch = Scratch::new();
    let text = |at: usize| {
        format!("{{\"_id\": \"d{at}\", \"text\": \"person {at} built bridge {}\"}}", at * 7919 % 1800)
    };
    scratch.write("corpus.jsonl", (0..1800).map(text).collect::<Vec<_>>().join("\n"));
    let args = |table| ["--corpus", "corpus.jsonl", "--embedder", "minilm", "--table", table];
    let mut child =
        scratch.command(&[&["ingest"], &args("killed")[..]].concat()).env(ADDRESS, &address).spawn().unwrap();
    let count = || {
        postgres.sql(&database, "SELECT to_regclass('killed') IS NOT NULL") == "t"
            && postgres.sql(&database, "SELECT count(*) FROM killed").parse::<usize>().unwrap() > 0
    };
    let begun = Instant::now();
    while !count() {
        assert!(begun.elapsed() < Duration::from_mins(2), "nothing is stored");
        std::thread::sleep(Duration::from_millis(20));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let stored: u64 = postgres.sql(&database, "SELECT count(*) FROM killed").parse().unwrap();
    assert!((512..1800).contains(&stored), "{stored}");
    let done = ingested(&scratch, &address, &args("killed"));
    assert_eq!((&done["unchanged"], &done["added"]), (&json!(stored), &json!(1800 - stored)));
    ingested(&scratch, &address, &args("whole"));
    let rows = |table: &str| {
        postgres.sql(
            &database,
            &format!("SELECT count(*), md5(string_agg(t::text, E'\\n' ORDER BY id)) FROM {table} t"),
        )
    };
    assert_eq!(rows("killed"), rows("whole"));
}

#[test]
fn a_database_that_ends_while_it_is_served_is_a_503_until_it_is_back() {
    let Some(mut postgres) = Postgres::start() else { return };
    let (address, _) = postgres.database();
    let scratch = Scratch::new();
    let line = |id: &str, text: &str| json!({ "_id": id, "text": text }).to_string();
    scratch.write(
        "corpus.jsonl",
        [
            line("bridge", "Emily Roebling oversaw the Brooklyn Bridge."),
            line("comet", "Caroline Herschel found comets."),
        ]
        .join("\n"),
    );
    ingested(&scratch, &address, &["--corpus", "corpus.jsonl", "--embedder", "minilm", "--table", "docs"]);
    let server = serve(&scratch, &address, &["--table", "docs", "--embedder", "minilm"]);
    let asked = json!({ "query": ["Who looked for comets?"], "k": 1 });
    let before = search(&server, &asked);
    assert_eq!(before[0][0].0, "comet");
    postgres.stop();
    for _ in 0..2 {
        let (status, answer) = server.post("/search", &asked);
        let said = answer["error"]["message"].as_str().unwrap();
        assert!(
            status == 503 && said.contains("cannot be reached") && !said.contains(PASSWORD),
            "{status} {answer}"
        );
    }
    assert_eq!(server.post("/v1/embeddings", &json!({ "input": "a" })).0, 200, "vectors are still served");
    // What cannot be read again does not replace what is served.
    server.signal("-HUP");
    std::thread::sleep(Duration::from_millis(500));
    postgres.resume();
    assert_eq!(search(&server, &asked), before);
    // Documents that are stored while they are served are found; at SIGHUP they are counted again.
    scratch.write("corpus.jsonl", line("comet", "Caroline Herschel found eight comets."));
    let args = ["--corpus", "corpus.jsonl", "--embedder", "minilm", "--table", "docs", "--prune"];
    let done = ingested(&scratch, &address, &args);
    assert_eq!((&done["replaced"], &done["deleted"]), (&json!(1), &json!(1)));
    let (_, answer) = server.post("/search", &json!({ "query": "Who looked for comets?", "k": 5 }));
    let found = answer["results"].as_array().unwrap();
    assert!(found.len() == 1 && found[0]["text"] == "Caroline Herschel found eight comets.", "{answer}");
    server.signal("-HUP");
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(search(&server, &asked)[0][0].0, "comet");
    let said = server.end();
    assert!(!said.contains(PASSWORD) && said.contains("still serving what was read before"), "{said}");
}

#[test]
fn what_cannot_be_ingested_or_served_is_refused_by_name() {
    let Some(postgres) = Postgres::start() else { return };
    let (address, _) = postgres.database();
    let scratch = Scratch::new();
    scratch.write("corpus.jsonl", json!({ "_id": "a", "text": "a bridge" }).to_string());
    let args = ["--corpus", "corpus.jsonl", "--embedder", "minilm", "--table", "docs"];
    ingested(&scratch, &address, &args);
    let other = ingest(&scratch, &address, &[&args[..], &["--precision", "int8"]].concat());
    assert!(
        other.code == 1 && other.stderr.contains("the embedder of its vectors is `minilm`"),
        "{}",
        other.stderr
    );
    assert_hidden(&other);
    let table = ["serve", "--embedder", "minilm", "--table", "docs", "--address", "127.0.0.1:0"];
    let run = |args: &[&str], address: &str| done(scratch.command(args).env(ADDRESS, address));
    let other = run(&[&table[..], &["--precision", "int8"]].concat(), &address);
    assert!(
        other.code == 1 && other.stderr.contains("the stored vectors are those of `minilm`"),
        "{}",
        other.stderr
    );
    let other = run(&[&table[..], &["--index", "hnsw"]].concat(), &address);
    assert!(other.code == 1 && other.stderr.contains("`--index hnsw` creates one"), "{}", other.stderr);
    for (args, address, code, said) in [
        (&table[..], "", 1, "expected its address"),
        (&table[..], "postgres://me:pass-word-7f3a@h/db?sslmode=require&sslrootcert=nowhere", 1, "nowhere: "),
        (&table[..], "me:pass-word-7f3a@h/db", 1, "it does not begin with `postgres://`"),
        (
            &["serve", "--embedder", "minilm", "--postgres", "postgres://me:pass-word-7f3a@h/db"],
            "",
            2,
            "--table",
        ),
        (&["serve", "--embedder", "minilm", "--table", "a", "--corpus", "gender"], "", 2, "cannot be used"),
        (&["serve", "--control", "somewhere"], "", 2, "required"),
        (&[&table[..], &["postgres://me:pass-word-7f3a@h/db"]].concat(), "", 2, "unexpected"),
    ] {
        let refused = run(args, address);
        assert!(
            refused.code == code && refused.stderr.contains(said),
            "{}: {}",
            refused.code,
            refused.stderr
        );
        assert_hidden(&refused);
    }
    // A password on the command line is used, and the user told who sees it.
    let flag = scratch.run(&[&["ingest"], &args[..], &["--postgres", &address]].concat());
    assert!(flag.code == 0 && flag.stderr.contains("RAGBIAS_POSTGRES holds the address"), "{}", flag.stderr);
    assert_hidden(&flag);
}
