//! An OpenAI-like server on loopback.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

/// What the server does with a prompt.
pub(crate) enum Act {
    /// Answers with this `content` and `finish_reason`.
    Say(&'static str, &'static str),
    /// Says that the request is wrong.
    Fail,
    /// Never answers.
    Wait,
}

/// A server that lives as long as the test.
pub(crate) struct Mock {
    pub(crate) url: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Mock {
    /// Does with the n-th prompt, from 0, what `act` says.
    pub(crate) fn new(act: impl Fn(usize, &str) -> Act + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/v1", listener.local_addr().unwrap());
        let (asked, act) = (Arc::new(Mutex::new(Vec::new())), Arc::new(act));
        let shared = Arc::clone(&asked);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (act, asked) = (Arc::clone(&act), Arc::clone(&shared));
                // A client that is gone is the test's affair.
                std::thread::spawn(move || drop(serve(stream, act.as_ref(), &asked)));
            }
        });
        Self { url, asked }
    }

    /// Every prompt so far, in the order in which they came.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }

    /// How often a prompt came.
    pub(crate) fn times(&self, prompt: &str) -> usize {
        self.asked.lock().unwrap().iter().filter(|asked| *asked == prompt).count()
    }
}

fn serve(
    stream: TcpStream,
    act: &dyn Fn(usize, &str) -> Act,
    asked: &Mutex<Vec<String>>,
) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    let (mut first, mut length) = (String::new(), 0);
    reader.read_line(&mut first)?;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        if line.trim().is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let mut stream = reader.into_inner();
    let mut reply = |status: &str, body: Value| {
        let body = body.to_string();
        let length = body.len();
        write!(
            stream,
            "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
        )
    };
    if !first.starts_with("POST") {
        return reply("404 Not Found", json!({ "error": "no such page" }));
    }
    let body: Value = serde_json::from_slice(&body)?;
    let prompt = body["messages"][0]["content"].as_str().unwrap().to_owned();
    let number = {
        let mut asked = asked.lock().unwrap();
        asked.push(prompt.clone());
        asked.len() - 1
    };
    match act(number, &prompt) {
        Act::Say(content, finish) => {
            let message = json!({ "role": "assistant", "content": content });
            reply(
                "200 OK",
                json!({ "choices": [{ "index": 0, "message": message, "finish_reason": finish }] }),
            )
        }
        Act::Fail => reply("400 Bad Request", json!({ "error": { "message": "not this one" } })),
        Act::Wait => loop {
            std::thread::park();
        },
    }
}
