//! Responses of a server: the first byte selects the request, the status and the content type; the rest is the body, or
//! everything sent over the connection.
#![no_main]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use ragbias_core::{ChoicePrompt, GenerateAll};
use ragbias_fuzz::names;
use ragbias_generate::{GenerateConfig, Server, ServerConfig};

const WHOLE: &[u8] =
    br#"{"model": "m", "choices": [{"message": {"content": "A"}, "finish_reason": "stop"}]}"#;
const STATUSES: [u16; 8] = [200, 201, 302, 400, 404, 429, 500, 503];
const TYPES: [&str; 4] =
    ["application/json", "text/event-stream", "text/html; charset=utf-8", "application/octet-stream"];

/// The request that the input responds to.
#[derive(Clone, Copy, PartialEq)]
enum To {
    /// Every prompt after the first request.
    Prompts,
    /// Every prompt.
    Everything,
    /// `GET /models`.
    Models,
    /// Every prompt, including the headers of the response.
    Raw,
}

#[derive(Clone)]
struct Input {
    to: To,
    status: u16,
    kind: &'static str,
    bytes: Vec<u8>,
}

static INPUT: Mutex<Option<Input>> = Mutex::new(None);

/// The address of a server of this process.
static ADDRESS: LazyLock<String> = LazyLock::new(|| {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    let address = listener.local_addr().expect("a bound socket has an address");
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // Clients that disconnect are part of the test.
            let _ = serve(stream);
        }
    });
    format!("http://{address}/v1#m")
});

fn serve(mut stream: TcpStream) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut request = String::new();
    reader.read_line(&mut request)?;
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse().unwrap_or(0);
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let is_list = request.starts_with("GET");
    let is_first = !is_list && String::from_utf8_lossy(&body).contains("Reply with the letter A.");
    let Some(input) = INPUT.lock().unwrap_or_else(PoisonError::into_inner).clone() else { return Ok(()) };
    let own = match input.to {
        To::Prompts => !is_list && !is_first,
        To::Everything | To::Raw => !is_list,
        To::Models => is_list,
    };
    if own && input.to == To::Raw {
        return stream.write_all(&input.bytes);
    }
    let (status, kind, body) = match (own, is_list) {
        (true, _) => (input.status, input.kind, input.bytes.as_slice()),
        (false, true) => (404, TYPES[0], b"".as_slice()),
        (false, false) => (200, TYPES[0], WHOLE),
    };
    write!(
        stream,
        "HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
        body.len()
    )?;
    stream.write_all(body)
}

fuzz_target!(|input: &[u8]| {
    let [how, bytes @ ..] = input else { return };
    let to = [To::Prompts, To::Everything, To::Models, To::Raw][usize::from(how & 3)];
    let (status, kind) = (STATUSES[usize::from(how >> 2 & 7)], TYPES[usize::from(how >> 5 & 3)]);
    *INPUT.lock().unwrap_or_else(PoisonError::into_inner) =
        Some(Input { to, status, kind, bytes: bytes.into() });
    let config = ServerConfig::default().attempts(1).backoff(Duration::ZERO).samples(1).timeout(2.0);
    let place = ADDRESS.trim_start_matches("http://").trim_end_matches("/v1#m");
    let Some(server) = names(Server::connect(&ADDRESS, &config, &GenerateConfig::default()), place) else {
        return;
    };
    names(server.generate_all(["Who discovered radium?"]), place);
    names(server.choose_all(&[ChoicePrompt { prompt: "Which?".into(), positive: "a", negative: "b" }]), place);
});
