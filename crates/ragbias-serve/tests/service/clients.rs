//! Clients that send too much, too slowly, or go away in the middle.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use ragbias_serve::ServeConfig;
use serde_json::json;

use crate::client::{PATIENCE, Running, until_calls};
use crate::{gated, running};

/// The head of a request whose body is described by this header.
fn head(body: &str) -> String {
    format!(
        "POST /v1/embeddings HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nConnection: close\r\n{body}\r\n\r\n"
    )
}

/// A connection on which this was sent.
fn having_sent(running: &Running, text: &str) -> TcpStream {
    let mut stream = TcpStream::connect(running.host()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(text.as_bytes()).unwrap();
    stream
}

/// All that the server says until it closes the connection.
fn answer(mut stream: TcpStream) -> String {
    let (mut said, mut buffer) = (Vec::new(), [0; 4096]);
    // A server that closes before it has read everything ends the connection with an error, after its answer.
    while let Ok(read @ 1..) = stream.read(&mut buffer) {
        said.extend_from_slice(&buffer[..read]);
    }
    String::from_utf8(said).unwrap()
}

#[test]
fn a_body_that_is_announced_as_too_large_is_refused_before_it_is_sent() {
    let running = running(ServeConfig::default());
    let begun = Instant::now();
    let said = answer(having_sent(&running, &head("Content-Length: 5368709120")));
    assert!(said.starts_with("HTTP/1.1 413 ") && said.contains("more than the 8388608 bytes"), "{said}");
    assert!(begun.elapsed() < Duration::from_secs(5), "it waited for the body");
}

#[test]
fn a_body_of_unknown_length_is_refused_once_it_is_too_large() {
    let running = running(ServeConfig::default().body_bytes(1 << 20));
    let mut stream = having_sent(&running, &head("Transfer-Encoding: chunked"));
    let chunk = [b"10000\r\n".as_slice(), &b" ".repeat(1 << 16), b"\r\n"].concat();
    let chunks = (0..5 << 14).take_while(|_| stream.write_all(&chunk).is_ok()).count();
    // The system's buffers take some of what nobody reads.
    assert!(chunks < 1 << 10, "{chunks} chunks of 64 KiB were taken");
    let said = answer(stream);
    assert!(said.starts_with("HTTP/1.1 413 ") && said.contains("more than the 1048576 bytes"), "{said}");
}

#[test]
fn a_client_that_sends_its_body_too_slowly_is_given_up_and_holds_up_nobody() {
    let running = running(ServeConfig::default().timeout(Duration::from_millis(500)));
    let begun = Instant::now();
    let mut slow = having_sent(&running, &head("Content-Length: 100000"));
    let sending = slow.try_clone().unwrap();
    let trickle = std::thread::spawn(move || {
        let mut sending = sending;
        while begun.elapsed() < PATIENCE && sending.write_all(b" ").is_ok() {
            std::thread::sleep(Duration::from_millis(20));
        }
    });
    for number in 0..10 {
        running.ok("/v1/embeddings", &json!({ "input": format!("text {number}") }));
    }
    let mut said = [0; 12];
    slow.read_exact(&mut said).unwrap();
    assert_eq!(&said, b"HTTP/1.1 503");
    assert!(begun.elapsed() < Duration::from_secs(10));
    drop(slow);
    trickle.join().unwrap();
}

#[test]
fn connections_on_which_little_is_said_take_no_others_place_and_are_free_when_they_end() {
    let running = running(ServeConfig::default().connections(4));
    // Each on a connection of its own.
    let ask = || {
        let asked = "GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        let said = answer(having_sent(&running, asked));
        assert!(said.starts_with("HTTP/1.1 200 "), "{said}");
    };
    let mut slow: Vec<TcpStream> = (0..3).map(|_| having_sent(&running, "POST /v1/emb")).collect();
    ask();
    for stream in &mut slow {
        stream.write_all(b"e").unwrap();
    }
    ask();
    // As many again as there are places: they wait to be accepted, until the others end.
    let more: Vec<TcpStream> = (0..4).map(|_| having_sent(&running, "POST /v1/emb")).collect();
    drop((slow, more));
    ask();
}

#[test]
fn texts_of_clients_that_have_gone_are_not_embedded() {
    let (gate, running) = gated(ServeConfig::default().batch(1));
    std::thread::scope(|scope| {
        let running = &running;
        let first = scope.spawn(|| running.post("/v1/embeddings", &json!({ "input": "first" })).0);
        until_calls(&gate.calls, 1);
        let body = json!({ "input": "gone" }).to_string();
        let whole = head(&format!("Content-Length: {}", body.len())) + &body;
        let waiting: Vec<TcpStream> = (0..3).map(|_| having_sent(running, &whole)).collect();
        running.until_waiting(3);
        // This one goes away in the middle of its body.
        drop(having_sent(running, &head("Content-Length: 1000")));
        drop(waiting);
        // Time to notice it.
        std::thread::sleep(Duration::from_millis(500));
        gate.set(true);
        assert_eq!(first.join().unwrap(), 200);
        running.ok("/v1/embeddings", &json!({ "input": "last" }));
    });
    assert_eq!(gate.calls.load(Ordering::SeqCst), 1, "the last alone, after the first");
}
