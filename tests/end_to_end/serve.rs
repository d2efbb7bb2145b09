//! `ragbias serve` with real models.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rusqlite::Connection;
use serde_json::{Value, json};

use crate::harness::Scratch;

/// A server on a free port, which is ended when it is dropped.
pub(crate) struct Server {
    child: Child,
    pub(crate) started: Value,
    agent: ureq::Agent,
}

impl Server {
    pub(crate) fn start(scratch: &Scratch, args: &[&str]) -> Self {
        Self::run(&mut Self::command(scratch, args))
    }

    /// The command that [`Server::start`] runs.
    pub(crate) fn command(scratch: &Scratch, args: &[&str]) -> Command {
        scratch.command(&[&["serve", "--address", "127.0.0.1:0", "--json"], args].concat())
    }

    pub(crate) fn run(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let started = serde_json::from_str(&line).unwrap_or_else(|_| {
            let mut said = String::new();
            std::io::Read::read_to_string(&mut child.stderr.take().unwrap(), &mut said).unwrap();
            panic!("{said}")
        });
        let agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
        Self { child, started, agent }
    }

    pub(crate) fn post(&self, route: &str, body: &Value) -> (u16, Value) {
        let address = format!("{}{route}", self.started["address"].as_str().unwrap());
        let request = self.agent.post(address).header("Content-Type", "application/json");
        let mut answer = request.send(body.to_string()).unwrap();
        let text = answer.body_mut().read_to_string().unwrap();
        (answer.status().as_u16(), serde_json::from_str(&text).unwrap())
    }

    /// Ends it; what it said on stderr.
    pub(crate) fn end(mut self) -> String {
        self.signal("-TERM");
        let mut said = String::new();
        std::io::Read::read_to_string(&mut self.child.stderr.take().unwrap(), &mut said).unwrap();
        said
    }

    pub(crate) fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([name, &pid]).status().unwrap().success());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn ids(found: &Value) -> Vec<&str> {
    found["results"].as_array().unwrap().iter().map(|hit| hit["id"].as_str().unwrap()).collect()
}

fn stored_vectors(scratch: &Scratch) -> i64 {
    let store = Connection::open(scratch.store()).unwrap();
    store.query_row("SELECT count(*) FROM vectors_2", [], |row| row.get(0)).unwrap()
}

#[test]
fn vectors_and_documents_are_those_of_the_program_until_it_is_told_to_end() {
    let scratch = Scratch::new();
    let document = |id: &str, text: &str| json!({ "_id": id, "text": text }).to_string();
    let three = [
        document("bridge", "Emily Roebling oversaw the Brooklyn Bridge."),
        document("comet", "Caroline Herschel found eight comets."),
        document("engine", "Charles Babbage designed an engine."),
    ];
    scratch.write("corpus.jsonl", three.join("\n"));
    scratch.json(&["embed", "--embedder", "minilm", "--input", "corpus.jsonl", "--out", "vectors.npy"]);
    let mut server = Server::start(&scratch, &["--embedder", "minilm", "--corpus", "corpus.jsonl"]);
    assert_eq!((&server.started["documents"], &server.started["dim"]), (&json!(3), &json!(384)));
    let stored = stored_vectors(&scratch);

    let texts = ["Emily Roebling oversaw the Brooklyn Bridge.", "Caroline Herschel found eight comets."];
    let (status, answer) = server.post("/v1/embeddings", &json!({ "input": texts, "model": "minilm" }));
    assert_eq!(status, 200, "{answer}");
    let file = fs_err::read(scratch.path("vectors.npy")).unwrap();
    let written = &file[file.len() - 3 * 384 * 4..];
    for (row, data) in answer["data"].as_array().unwrap().iter().enumerate() {
        for (column, value) in data["embedding"].as_array().unwrap().iter().enumerate() {
            let place = 4 * (row * 384 + column);
            let expected = f32::from_le_bytes(written[place..place + 4].try_into().unwrap());
            assert!((value.as_f64().unwrap() as f32 - expected).abs() < 1e-5);
        }
    }
    // BERT's tokens: [CLS] emily roe ##bling oversaw the brooklyn bridge . [SEP], and [CLS] caroline herschel found eight comet ##s . [SEP]
    assert_eq!(answer["usage"]["prompt_tokens"], 19);
    let long = "bridge ".repeat(400);
    let (status, answer) = server.post("/v1/embeddings", &json!({ "input": long }));
    assert!(status == 413 && answer["error"]["message"].as_str().unwrap().contains("256 tokens"), "{answer}");
    let (status, answer) = server.post("/v1/embeddings", &json!({ "input": long, "truncate": true }));
    assert_eq!((status, &answer["usage"]["total_tokens"]), (200, &json!(256)));

    let who = json!({ "query": "Who looked for comets?", "k": 2 });
    assert_eq!(ids(&server.post("/search", &who).1)[0], "comet");
    assert_eq!(stored_vectors(&scratch), stored, "no question is stored");

    // A document less: the server reads them again when it is told to.
    scratch.write("corpus.jsonl", [three[0].as_str(), &three[2]].join("\n"));
    server.signal("-HUP");
    let begun = Instant::now();
    while ids(&server.post("/search", &who).1).contains(&"comet") {
        assert!(begun.elapsed() < Duration::from_mins(1), "still the old documents");
        std::thread::sleep(Duration::from_millis(50));
    }
    scratch.write("corpus.jsonl", "{\"_id\": \"bridge\"");
    server.signal("-HUP");
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(ids(&server.post("/search", &who).1).len(), 2, "what was read before is still served");
    server.signal("-TERM");
    assert!(server.child.wait().unwrap().success());
}

#[test]
fn an_address_that_others_reach_is_refused_without_a_token() {
    let scratch = Scratch::new();
    let open = ["serve", "--embedder", "minilm", "--address", "0.0.0.0:0"];
    let done = scratch.run(&open);
    assert!(done.code == 1 && done.stderr.contains("expected a token"), "{}", done.stderr);
    assert!(done.stderr.contains("--token-file FILE"), "{}", done.stderr);
    scratch.write("token", "too short");
    let done = scratch.run(&[&open[..], &["--token-file", "token"]].concat());
    assert!(done.code == 1 && !done.stderr.contains("too short"), "{}", done.stderr);
    let done = scratch.run(&["serve", "--control", "somewhere"]);
    assert_eq!(done.code, 2, "a control is of documents");
}

/// The most memory that a process has had, in KiB.
#[cfg(target_os = "linux")]
fn peak(process: u32) -> u64 {
    let status = fs_err::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[cfg(target_os = "linux")]
#[test]
fn a_body_of_five_gigabytes_is_refused_early_and_takes_no_memory() {
    use std::io::{Read, Write};
    let scratch = Scratch::new();
    let server = Server::start(&scratch, &["--embedder", "minilm"]);
    let address = server.started["address"].as_str().unwrap().trim_start_matches("http://");
    assert_eq!(server.post("/v1/embeddings", &json!({ "input": "a bridge" })).0, 200);
    let before = peak(server.child.id());
    for (length, open, close) in
        [("Content-Length: 5368709120", "", ""), ("Transfer-Encoding: chunked", "10000\r\n", "\r\n")]
    {
        let chunk = [open.as_bytes(), &b" ".repeat(1 << 16), close.as_bytes()].concat();
        for _ in 0..4 {
            let mut stream = std::net::TcpStream::connect(address).unwrap();
            stream.set_read_timeout(Some(Duration::from_mins(1))).unwrap();
            let head = format!(
                "POST /v1/embeddings HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n{length}\r\n\r\n"
            );
            stream.write_all(head.as_bytes()).unwrap();
            let chunks = (0..5 << 14).take_while(|_| stream.write_all(&chunk).is_ok()).count();
            assert!(chunks < 1 << 10, "{chunks} chunks of 64 KiB were taken");
            let mut said = [0; 12];
            stream.read_exact(&mut said).unwrap();
            assert_eq!(&said, b"HTTP/1.1 413", "{length}");
        }
    }
    let more = peak(server.child.id()) - before;
    assert!(more < 64 << 10, "{more} KiB more than before");
    assert_eq!(server.post("/v1/embeddings", &json!({ "input": "a bridge" })).0, 200);
}
