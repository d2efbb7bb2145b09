//! The service over real connections.
#![allow(clippy::unwrap_used)]

mod client;
mod clients;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use base64::Engine;
use ragbias::core::testing::HashEmbedder;
use ragbias::core::{ContentId, Corpus, Document, Embedder, Embeddings, Result, Role};
use ragbias::index::Exact;
use ragbias::{Embedded, Models, Retriever, Workspace};
use ragbias_serve::{ServeConfig, Service, Serving, Token};
use serde_json::{Value, json};

use crate::client::{Running, until_calls};

fn hash(seed: u64) -> Arc<dyn Embedder> {
    Arc::new(HashEmbedder::new(16, seed))
}

fn retriever(seed: u64) -> Retriever {
    let documents = (0..60).map(|number| {
        let mut document = Document::new(format!("d{number}"), format!("the bridge number {number}"));
        document.metadata.insert("decade".into(), (number % 6).into());
        document
    });
    let corpus = Corpus::new(documents.collect()).unwrap();
    let workspace = Workspace::new(Models::in_folder("no models are needed").unwrap());
    Retriever::new(Embedded::new(&corpus, hash(seed), Arc::new(Exact), &workspace).unwrap())
}

fn running(config: ServeConfig) -> Running {
    let serving = Serving::retriever("hash", retriever(1)).unwrap();
    Running::start(Service::new(serving, config).unwrap())
}

fn vector(value: &Value) -> Vec<f32> {
    value.as_array().unwrap().iter().map(|value| value.as_f64().unwrap() as f32).collect()
}

#[test]
fn vectors_are_those_of_the_embedder_in_either_encoding() {
    let running = running(ServeConfig::default().batch(2));
    let texts = ["one bridge", "another", "a third", "naïve ✓", "fifth"];
    let expected = hash(1).embed(&texts, Role::Document).unwrap();
    for encoding in ["float", "base64"] {
        let answer = running
            .ok("/v1/embeddings", &json!({ "input": texts, "model": "hash", "encoding_format": encoding }));
        assert_eq!((answer["model"].as_str(), answer["object"].as_str()), (Some("hash"), Some("list")));
        for (row, data) in answer["data"].as_array().unwrap().iter().enumerate() {
            assert_eq!(data["index"], row);
            let given = match data["embedding"].as_str() {
                Some(text) => {
                    let bytes = base64::engine::general_purpose::STANDARD.decode(text).unwrap();
                    bytes.chunks_exact(4).map(|value| f32::from_le_bytes(value.try_into().unwrap())).collect()
                }
                None => vector(&data["embedding"]),
            };
            assert_eq!(given, expected.row(row).to_vec(), "{encoding}, text {row}");
        }
        assert_eq!(answer["data"].as_array().unwrap().len(), texts.len());
        // The embedder does not count tokens; a number would be made up.
        assert!(answer.get("usage").is_none());
    }
    let one = running.ok("/v1/embeddings", &json!({ "input": "another" }));
    assert_eq!(vector(&one["data"][0]["embedding"]), expected.row(1).to_vec());
}

#[test]
fn search_finds_what_the_library_finds() {
    let running = running(ServeConfig::default());
    let retriever = retriever(1);
    let questions = ["number 17", "which bridge", "the bridge number 3"];
    let ids = |results: &Value| -> Vec<(String, f32)> {
        let hits = results.as_array().unwrap().iter();
        hits.map(|hit| (hit["id"].as_str().unwrap().into(), hit["score"].as_f64().unwrap() as f32)).collect()
    };
    let of = |found: &[ragbias::Found<'_>]| -> Vec<(String, f32)> {
        found.iter().map(|found| (found.document.id.clone(), found.score)).collect()
    };
    let many = running.ok("/search", &json!({ "query": questions, "k": 7 }));
    for (question, results) in questions.iter().zip(many["results"].as_array().unwrap()) {
        let expected = of(&retriever.search(question, 7).unwrap());
        assert_eq!(ids(results), expected);
        let one = running.ok("/search", &json!({ "query": question, "k": 7 }));
        assert_eq!(ids(&one["results"]), expected);
        let (status, by_address) = running.get(&format!("/search?q={}&k=7", question.replace(' ', "+")));
        assert_eq!((status, ids(&by_address["results"])), (200, expected));
    }
    let filtered =
        running.ok("/search", &json!({ "query": questions[0], "k": 30, "filter": { "decade": [1, 4] } }));
    let all = of(&retriever.search(questions[0], 60).unwrap());
    let expected: Vec<_> =
        all.into_iter().filter(|(id, _)| [1, 4].contains(&(id[1..].parse::<u32>().unwrap() % 6))).collect();
    assert_eq!(ids(&filtered["results"]), expected, "20 of 60 documents, all of them");
    assert_eq!(filtered["results"][0]["metadata"].as_object().unwrap().len(), 1);
}

#[test]
fn a_request_for_something_else_is_refused_by_name() {
    let running = running(ServeConfig::default().texts(3).text_bytes(100).body_bytes(2000).top_k(50));
    let refused = |route: &str, body: Value, status: u16, part: &str| {
        let (received, answer) = running.post(route, &body);
        let message = answer["error"]["message"].as_str().unwrap_or_else(|| panic!("{answer}"));
        assert_eq!(received, status, "{message}");
        assert!(message.contains(part), "{message}");
    };
    let embeddings = "/v1/embeddings";
    refused(embeddings, json!({ "input": "a", "normalize": false }), 400, "unknown field `normalize`");
    refused(embeddings, json!({ "input": "a", "model": "other" }), 404, "`other` is not served; `hash` is");
    refused(
        embeddings,
        json!({ "input": "a", "dimensions": 8 }),
        400,
        "`dimensions` is 8; the vectors of `hash` have 16",
    );
    refused(embeddings, json!({ "input": [1, 2, 3] }), 400, "expected a string, or a list of strings");
    refused(embeddings, json!({ "input": [] }), 400, "`input` is an empty list");
    refused(embeddings, json!({ "input": ["a", " "] }), 400, "text 1 of `input` is empty");
    refused(embeddings, json!({ "input": ["a", "b", "c", "d"] }), 413, "has 4 texts, at most 3");
    refused(embeddings, json!({ "input": "a".repeat(101) }), 413, "has 101 bytes, at most 100");
    refused(embeddings, json!({ "input": "a", "user": "u".repeat(2000) }), 413, "more than the 2000 bytes");
    refused(embeddings, json!({ "input": "a", "encoding_format": "int8" }), 400, "unknown variant `int8`");
    refused("/search", json!({ "query": "a", "k": 51 }), 400, "`k` is 51, expected 1 to 50");
    refused(
        "/search",
        json!({ "query": "a", "filter": { "year": 1 } }),
        400,
        "no document has a field `year`",
    );
    refused("/nowhere", json!({}), 404, "no such route");
    refused("/healthz", json!({}), 405, "other methods");
    let (status, answer) = running.get("/search?q=a&top=3");
    assert!(status == 400 && answer["error"]["message"].as_str().unwrap().contains("top"), "{answer}");
    let (status, answer) = running.post_as(embeddings, "text/plain", b"{\"input\": \"a\"}");
    assert_eq!((status, &answer["error"]["code"]), (415, &json!(415)));
    let (status, answer) = running.post_as(embeddings, "application/json", b"{\"input\": \"\xff\"}");
    assert!(
        status == 400 && answer["error"]["message"].as_str().unwrap().starts_with("the body"),
        "{answer}"
    );
}

#[test]
fn the_role_of_a_text_is_asked_for_where_it_changes_the_vector() {
    struct Prefixed;
    impl Embedder for Prefixed {
        fn id(&self) -> ContentId {
            HashEmbedder::new(16, 9).id()
        }
        fn dim(&self) -> usize {
            16
        }
        fn embed(&self, texts: &[&str], role: Role) -> Result<Embeddings> {
            let texts: Vec<String> = texts.iter().map(|text| format!("{role:?}: {text}")).collect();
            let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
            HashEmbedder::new(16, 9).embed(&texts, role)
        }
    }
    let serving = Serving::embedder("prefixed", Arc::new(Prefixed)).unwrap();
    let running = Running::start(Service::new(serving, ServeConfig::default()).unwrap());
    let (status, answer) = running.post("/v1/embeddings", &json!({ "input": "a bridge" }));
    assert!(status == 400 && answer["error"]["message"].as_str().unwrap().contains("input_type"), "{answer}");
    for (name, role) in [("query", Role::Question), ("document", Role::Document)] {
        let answer = running.ok("/v1/embeddings", &json!({ "input": "a bridge", "input_type": name }));
        let expected = Prefixed.embed(&["a bridge"], role).unwrap();
        assert_eq!(vector(&answer["data"][0]["embedding"]), expected.row(0).to_vec());
    }
    let (status, answer) = running.post("/search", &json!({ "query": "a" }));
    assert!(
        status == 404 && answer["error"]["message"].as_str().unwrap().contains("no documents"),
        "{answer}"
    );
}

#[test]
fn without_the_token_only_health_is_answered() {
    let serving = Serving::embedder("hash", hash(1)).unwrap();
    let service = Service::new(serving, ServeConfig::default()).unwrap();
    let mut running = Running::start(service.guarded_by(Token::new("0123456789abcdef").unwrap()));
    for route in ["/", "/metrics", "/v1/models", "/openapi.json", "/search?q=a", "/nowhere"] {
        assert_eq!(running.get(route).0, 401, "{route}");
    }
    assert_eq!(running.get("/healthz").0, 200);
    running.token = Some("0123456789abcdef");
    assert_eq!(running.get("/v1/models").1["data"][0]["id"], "hash");
}

/// An embedder that embeds when it is let, and counts its calls.
struct Gate {
    open: Mutex<bool>,
    opened: Condvar,
    calls: AtomicUsize,
}

impl Gate {
    fn new() -> Arc<Self> {
        // Open at first, for the probes of `Serving`.
        Arc::new(Self { open: Mutex::new(true), opened: Condvar::new(), calls: AtomicUsize::new(0) })
    }

    fn set(&self, open: bool) {
        *self.open.lock().unwrap() = open;
        self.calls.store(0, Ordering::SeqCst);
        self.opened.notify_all();
    }
}

impl Embedder for Gate {
    fn id(&self) -> ContentId {
        hash(1).id()
    }
    fn dim(&self) -> usize {
        16
    }
    fn embed(&self, texts: &[&str], role: Role) -> Result<Embeddings> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        let open = self.open.lock().unwrap();
        drop(self.opened.wait_while(open, |open| !*open).unwrap());
        assert!(!texts.contains(&"panic"), "as asked");
        if texts.contains(&"fail") {
            return Err(ragbias::core::Error::component("as asked"));
        }
        hash(1).embed(texts, role)
    }
}

fn gated(config: ServeConfig) -> (Arc<Gate>, Running) {
    let gate = Gate::new();
    let serving = Serving::embedder("gate", Arc::<Gate>::clone(&gate)).unwrap();
    gate.set(false);
    (gate, Running::start(Service::new(serving, config).unwrap()))
}

#[test]
fn requests_that_wait_are_embedded_together_and_each_gets_its_own_vector() {
    let (gate, running) = gated(ServeConfig::default().batch(16));
    std::thread::scope(|scope| {
        let asked: Vec<_> = (0..33)
            .map(|number| {
                let running = &running;
                let asked = scope.spawn(move || {
                    let text = format!("text {number}");
                    let answer = running.ok("/v1/embeddings", &json!({ "input": text }));
                    assert_eq!(
                        vector(&answer["data"][0]["embedding"]),
                        hash(1).embed(&[&text], Role::Document).unwrap().row(0).to_vec()
                    );
                });
                // The first is alone; the others wait while it is embedded.
                until_calls(&gate.calls, 1);
                asked
            })
            .collect();
        running.until_waiting(32);
        gate.open.lock().map(|mut open| *open = true).unwrap();
        gate.opened.notify_all();
        for asked in asked {
            asked.join().unwrap();
        }
    });
    assert_eq!(gate.calls.load(Ordering::SeqCst), 3, "the first alone, then 16 and 16");
}

#[test]
fn what_would_wait_too_long_is_refused_at_once_with_a_time_to_come_back() {
    let (gate, running) = gated(ServeConfig::default().batch(1).queue(2).texts(2));
    std::thread::scope(|scope| {
        let running = &running;
        let ask = || scope.spawn(|| running.post("/v1/embeddings", &json!({ "input": "a" })).0);
        let first = ask();
        until_calls(&gate.calls, 1);
        let asked = [first, ask(), ask()];
        running.until_waiting(2);
        let (status, answer) = running.post("/v1/embeddings", &json!({ "input": "b" }));
        assert_eq!((status, answer["error"]["type"].as_str()), (503, Some("overloaded_error")));
        let after = running.retry_after("/v1/embeddings", &json!({ "input": "b" })).unwrap();
        assert!((1..=60).contains(&after), "{after}");
        gate.set(true);
        assert_eq!(asked.map(|asked| asked.join().unwrap()), [200, 200, 200]);
    });
    assert!(running.metrics().contains("ragbias_refused_total 2"), "{}", running.metrics());
}

#[test]
fn a_request_that_is_not_answered_in_time_is_given_up_and_not_embedded_later() {
    let (gate, running) = gated(ServeConfig::default().timeout(Duration::from_millis(200)).batch(1));
    std::thread::scope(|scope| {
        let running = &running;
        let asked: Vec<_> = (0..4)
            .map(|_| scope.spawn(|| running.post("/v1/embeddings", &json!({ "input": "a" })).0))
            .collect();
        assert_eq!(asked.into_iter().map(|asked| asked.join().unwrap()).collect::<Vec<_>>(), [503; 4]);
    });
    gate.open.lock().map(|mut open| *open = true).unwrap();
    gate.opened.notify_all();
    running.ok("/v1/embeddings", &json!({ "input": "b" }));
    assert_eq!(gate.calls.load(Ordering::SeqCst), 2, "the one that had begun, and the last");
}

#[test]
fn a_text_that_cannot_be_embedded_fails_its_own_request_alone() {
    let (gate, running) = gated(ServeConfig::default());
    std::thread::scope(|scope| {
        let running = &running;
        let ask = |text: &'static str| {
            scope.spawn(move || running.post("/v1/embeddings", &json!({ "input": text })).0)
        };
        let first = ask("first");
        until_calls(&gate.calls, 1);
        let asked = [ask("good"), ask("fail"), ask("panic"), ask("better")];
        running.until_waiting(4);
        gate.set(true);
        assert_eq!(first.join().unwrap(), 200);
        assert_eq!(asked.map(|asked| asked.join().unwrap()), [200, 500, 500, 200]);
    });
    running.ok("/v1/embeddings", &json!({ "input": "again" }));
}

#[test]
fn what_is_served_is_replaced_without_losing_a_request() {
    let running = running(ServeConfig::default());
    let ended = AtomicBool::new(false);
    let texts = ["a bridge"];
    let vectors: Vec<Vec<f32>> =
        [1, 2].map(|seed| hash(seed).embed(&texts, Role::Document).unwrap().row(0).to_vec()).into();
    std::thread::scope(|scope| {
        let asking: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    let mut seen = [0, 0];
                    while !ended.load(Ordering::Relaxed) || seen[1] == 0 {
                        let answer = running.ok("/v1/embeddings", &json!({ "input": texts }));
                        let given = vector(&answer["data"][0]["embedding"]);
                        let which =
                            vectors.iter().position(|vector| *vector == given).expect("one of the two");
                        seen[which] += 1;
                    }
                    seen
                })
            })
            .collect();
        std::thread::sleep(Duration::from_millis(50));
        for swap in 0..20 {
            let serving = Serving::retriever("hash", retriever(1 + (swap + 1) % 2)).unwrap();
            running.service.swap(serving);
        }
        running.service.swap(Serving::retriever("hash", retriever(2)).unwrap());
        ended.store(true, Ordering::Relaxed);
        for asked in asking {
            let seen = asked.join().unwrap();
            assert!(seen[0] > 0 && seen[1] > 0, "{seen:?}");
        }
    });
    assert!(running.metrics().contains("ragbias_swaps_total 21"));
}

#[test]
fn a_server_that_ends_answers_what_it_has_begun() {
    let (gate, running) = gated(ServeConfig::default());
    std::thread::scope(|scope| {
        let asked = scope.spawn(|| running.post("/v1/embeddings", &json!({ "input": "a" })).0);
        until_calls(&gate.calls, 1);
        running.end();
        std::thread::sleep(Duration::from_millis(50));
        gate.set(true);
        assert_eq!(asked.join().unwrap(), 200);
    });
    running.until_ended();
}

#[test]
fn every_route_is_described_and_every_described_route_answers() {
    let running = running(ServeConfig::default());
    let (_, api) = running.get("/openapi.json");
    let mut described = 0;
    for (path, methods) in api["paths"].as_object().unwrap() {
        for (method, route) in methods.as_object().unwrap() {
            described += 1;
            let status = match method.as_str() {
                "get" if path == "/search" => running.get("/search?q=a").0,
                "get" => running.get(path).0,
                _ => running.post(path, &route["requestBody"]["content"]["application/json"]["example"]).0,
            };
            assert_eq!(status, 200, "{method} {path}");
        }
    }
    assert_eq!(described, 8);
    let metrics = running.metrics();
    for line in [
        "ragbias_requests_total{route=\"/v1/embeddings\",status=\"200\"} 1",
        "ragbias_request_seconds_count{route=\"/search\"} 2",
        "ragbias_documents 60",
        "ragbias_waiting_texts 0",
    ] {
        assert!(metrics.contains(line), "{line} in {metrics}");
    }
}
