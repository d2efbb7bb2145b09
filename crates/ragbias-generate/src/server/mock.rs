//! A scripted mock server on loopback, for tests and benches.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};

/// A received request.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) method: String,
    /// Including the query.
    pub(crate) path: String,
    /// Names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Value,
    /// Its index among [`Mock::asked`], if it is one of them.
    pub(crate) number: usize,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The prompt.
    pub(crate) fn prompt(&self) -> &str {
        let message = self.body["messages"].as_array().and_then(|messages| messages.last());
        message.and_then(|message| message["content"].as_str()).unwrap_or_default()
    }

    /// Whether it carries a prompt, and is not the first request.
    fn is_prompt(&self) -> bool {
        self.method == "POST" && !self.is_first()
    }

    /// Whether it is the first request to a server when connecting.
    pub(crate) fn is_first(&self) -> bool {
        self.prompt() == "Reply with the letter A."
    }
}

/// The server's reaction to a request.
#[derive(Debug, Clone)]
pub(crate) enum Act {
    Reply {
        status: u16,
        headers: String,
        body: Vec<u8>,
    },
    /// An answer that is cut off.
    Cut,
    /// No answer for this long.
    Hang(Duration),
}

impl Act {
    pub(crate) fn status(status: u16, body: impl Into<String>) -> Self {
        Self::Reply {
            status,
            headers: "Content-Type: application/json\r\n".into(),
            body: body.into().into_bytes(),
        }
    }

    pub(crate) fn body(body: impl Into<String>) -> Self {
        Self::status(200, body)
    }

    /// An error in OpenAI's format.
    pub(crate) fn error(status: u16, message: &str) -> Self {
        Self::status(status, json!({ "error": { "message": message } }).to_string())
    }

    /// A complete answer.
    pub(crate) fn content(text: &str) -> Self {
        Self::message(json!({ "content": text }), "stop")
    }

    pub(crate) fn message(message: Value, finish: &str) -> Self {
        Self::body(
            json!({ "model": "m", "choices": [{ "index": 0, "message": message, "finish_reason": finish }] })
                .to_string(),
        )
    }

    pub(crate) fn with(self, header: &str) -> Self {
        match self {
            Self::Reply { status, headers, body } => {
                Self::Reply { status, headers: format!("{headers}{header}\r\n"), body }
            }
            other => other,
        }
    }
}

/// The server; it ends with the process.
#[derive(Clone)]
pub(crate) struct Mock {
    address: String,
    came: Arc<Mutex<Vec<Request>>>,
    /// Requests in flight, and their maximum.
    busy: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
}

impl Mock {
    /// A server that reacts as `act` determines, over many connections at once.
    pub(crate) fn new(act: impl Fn(&Request) -> Act + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
        let address = listener.local_addr().expect("a bound socket has an address").to_string();
        let mock = Self { address, came: Arc::default(), busy: Arc::default(), most: Arc::default() };
        let (served, act) = (mock.clone(), Arc::new(act));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (served, act) = (served.clone(), Arc::clone(&act));
                // Clients that disconnect in between are part of the tests.
                std::thread::spawn(move || served.serve(stream, act.as_ref()).ok());
            }
        });
        mock
    }

    /// A server that does not list models, answers the first request, and reacts to the n-th prompt after it,
    /// from 0, as `act` determines.
    pub(crate) fn prompted(act: impl Fn(usize, &str) -> Act + Send + Sync + 'static) -> Self {
        Self::new(move |request| match request.method.as_str() {
            "GET" => Act::status(405, ""),
            _ if request.is_first() => Act::content("A"),
            _ => act(request.number, request.prompt()),
        })
    }

    /// Like [`prompted`](Self::prompted), playing these acts and repeating the last one.
    pub(crate) fn playing(acts: Vec<Act>) -> Self {
        Self::prompted(move |number, _| acts[number.min(acts.len() - 1)].clone())
    }

    /// `http://127.0.0.1:PORT/v1`
    pub(crate) fn url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// `127.0.0.1:PORT`
    pub(crate) fn host(&self) -> &str {
        &self.address
    }

    /// Every request so far.
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.came.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// All prompts so far, without the first request.
    pub(crate) fn asked(&self) -> Vec<Request> {
        self.requests()
            .into_iter()
            .filter(|request| request.method == "POST" && !request.is_first())
            .collect()
    }

    /// The prompts so far, without the first request, in the order of arrival.
    pub(crate) fn prompts(&self) -> Vec<String> {
        self.asked().iter().map(|request| request.prompt().to_owned()).collect()
    }

    /// The maximum number of concurrent requests.
    pub(crate) fn most_at_once(&self) -> usize {
        self.most.load(Ordering::SeqCst)
    }

    fn serve(&self, mut stream: TcpStream, act: &dyn Fn(&Request) -> Act) -> std::io::Result<()> {
        let mut reader = BufReader::new(stream.try_clone()?);
        let mut first = String::new();
        reader.read_line(&mut first)?;
        let mut words = first.split_whitespace().map(str::to_owned);
        let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let (mut headers, mut length) = (Vec::new(), 0);
        loop {
            let mut line = String::new();
            reader.read_line(&mut line)?;
            let Some((name, value)) = line.trim_end().split_once(':') else { break };
            let (name, value) = (name.to_lowercase(), value.trim().to_owned());
            if name == "content-length" {
                length = value.parse().unwrap_or(0);
            }
            headers.push((name, value));
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
        let mut request = Request { method, path, headers, body, number: 0 };
        {
            let mut came = self.came.lock().unwrap_or_else(PoisonError::into_inner);
            request.number = came.iter().filter(|request| request.is_prompt()).count();
            came.push(request.clone());
        }
        self.most.fetch_max(self.busy.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        let act = act(&request);
        self.busy.fetch_sub(1, Ordering::SeqCst);
        match act {
            Act::Cut => stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{\"cho"),
            Act::Hang(time) => {
                std::thread::sleep(time);
                Ok(())
            }
            Act::Reply { status, headers, body } => {
                write!(
                    stream,
                    "HTTP/1.1 {status} X\r\n{headers}Connection: close\r\nContent-Length: {}\r\n\r\n",
                    body.len()
                )?;
                stream.write_all(&body)
            }
        }
    }
}
