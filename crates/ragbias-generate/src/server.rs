use std::time::Duration;

use ragbias_core::{Answer, Choice, ChoicePrompt, Chosen, ContentHasher, ContentId, Finish, Generator, Keep};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};

use crate::choice::{LETTERS, log_sum_exp, render};
use crate::config::GenerateConfig;
use crate::{Error, Result};

/// How a server is asked.
///
/// | parameter | default | purpose | range |
/// | --- | --- | --- | --- |
/// | `model` | | the model's name at the server | any |
/// | `timeout` | 60 s | longest wait for one answer | above 0 |
/// | `attempts` | 5 | how often one prompt is tried | 1 and more; 0 is taken as 1 |
/// | `backoff` | 0.5 s | wait before the second try; doubles with every further one, ± 25% | any |
#[derive(Debug, Clone, PartialEq)]
pub struct ServerConfig {
    /// The model's name at the server.
    pub model: String,
    /// Longest wait for one answer.
    pub timeout: Duration,
    /// How often one prompt is tried.
    pub attempts: u32,
    /// Wait before the second try.
    pub backoff: Duration,
}

impl ServerConfig {
    /// The defaults for a model.
    pub fn new(model: impl Into<String>) -> Self {
        Self {
            model: model.into(),
            timeout: Duration::from_mins(1),
            attempts: 5,
            backoff: Duration::from_millis(500),
        }
    }
}

/// An OpenAI-compatible endpoint.
///
/// `POST {url}/chat/completions`, with the key from `RAGBIAS_API_KEY` or `OPENAI_API_KEY` where one is set; the key is
/// kept out of errors and of `Debug`. Refusals that may pass (429, 5xx, a cut connection, an answer that is no JSON) are
/// tried again with exponential backoff, or after the time that the server's `Retry-After` names. Choices need a
/// server that answers `logprobs`.
pub struct Server {
    agent: ureq::Agent,
    url: String,
    key: Option<String>,
    settings: ServerConfig,
    config: GenerateConfig,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server")
            .field("url", &self.url)
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

/// What became of one attempt.
enum Attempt {
    Answer(Value),
    Again { reason: String, after: Option<Duration> },
    Failed { reason: String, hint: &'static str },
}

/// The longest `Retry-After` that is waited for.
const LONGEST_WAIT: Duration = Duration::from_mins(1);

impl Server {
    /// A server at `url`, which ends before `/chat/completions`, as in `http://localhost:8080/v1`.
    ///
    /// # Errors
    /// A setting out of range. Nothing is sent yet.
    pub fn new(url: &str, settings: ServerConfig, config: &GenerateConfig) -> Result<Self> {
        config.check()?;
        let key = ["RAGBIAS_API_KEY", "OPENAI_API_KEY"]
            .iter()
            .find_map(|name| std::env::var(name).ok().filter(|key| !key.is_empty()));
        let agent = ureq::Agent::config_builder()
            .timeout_global(Some(settings.timeout))
            .http_status_as_error(false)
            .build()
            .new_agent();
        let url = format!("{}/chat/completions", url.trim_end_matches('/'));
        Ok(Self { agent, url, key, settings, config: config.clone() })
    }

    fn ask(&self, prompt: &str, more: &Value) -> Result<Value> {
        let mut body = json!({
            "model": self.settings.model,
            "messages": [{ "role": "user", "content": prompt }],
            "temperature": self.config.temperature,
            "seed": self.config.seed,
        });
        if let (Some(body), Some(more)) = (body.as_object_mut(), more.as_object()) {
            body.extend(more.clone());
        }
        let attempts = self.settings.attempts.max(1);
        let mut wait = self.settings.backoff;
        let mut jitter = ChaCha8Rng::from_seed(*ContentId::of(prompt.as_bytes()).as_bytes());
        let mut last = String::new();
        for attempt in 1..=attempts {
            match self.attempt(&body) {
                Attempt::Answer(answer) => return Ok(answer),
                Attempt::Failed { reason, hint } => return Err(self.error(reason, attempt, hint)),
                Attempt::Again { reason, after } => {
                    last = reason;
                    if attempt < attempts {
                        let backoff = wait.mul_f64(jitter.random_range(0.75..1.25));
                        std::thread::sleep(after.unwrap_or(backoff).min(LONGEST_WAIT));
                        wait *= 2;
                    }
                }
            }
        }
        Err(self.error(
            last,
            attempts,
            "see whether the server is up and not overloaded, then run again: what was answered is kept",
        ))
    }

    fn attempt(&self, body: &Value) -> Attempt {
        let again = |reason: String| Attempt::Again { reason, after: None };
        let mut request = self.agent.post(&self.url);
        if let Some(key) = &self.key {
            request = request.header("Authorization", format!("Bearer {key}"));
        }
        let mut response = match request.content_type("application/json").send(body.to_string()) {
            Ok(response) => response,
            Err(error) => return again(error.to_string()),
        };
        let status = response.status().as_u16();
        let header = response.headers().get("retry-after").and_then(|value| value.to_str().ok());
        let after = header.and_then(|seconds| seconds.trim().parse().ok()).map(Duration::from_secs);
        let text = match response.body_mut().read_to_string() {
            Ok(text) => text,
            Err(error) => return again(format!("the answer broke off: {error}")),
        };
        match status {
            200..=299 => match serde_json::from_str(&text) {
                Ok(answer) => Attempt::Answer(answer),
                Err(error) => again(format!("the answer is no JSON: {error}")),
            },
            429 | 500..=599 => Attempt::Again { reason: format!("status {status}"), after },
            401 | 403 => Attempt::Failed {
                reason: format!("status {status}"),
                hint: "set RAGBIAS_API_KEY (or OPENAI_API_KEY) to a key of this server",
            },
            _ => Attempt::Failed {
                reason: format!("status {status}: {}", text.chars().take(200).collect::<String>()),
                hint: "check the address, which ends before /chat/completions, and the model's name",
            },
        }
    }

    fn error(&self, reason: String, attempts: u32, hint: &'static str) -> Error {
        Error::Server { url: self.url.clone(), reason, attempts, hint }
    }

    fn answer(&self, prompt: &str) -> Result<Answer> {
        let more = json!({ "max_tokens": self.config.max_new_tokens });
        let answer = self.ask(prompt, &more)?;
        let of = |path| answer.pointer(path).and_then(Value::as_str);
        let finish = finish(&answer);
        if let Some(refusal) = of("/choices/0/message/refusal").filter(|refusal| !refusal.is_empty()) {
            return Ok(Answer::refused(refusal));
        }
        match (of("/choices/0/message/content"), finish) {
            (Some(text), Finish::Stop) => Ok(Answer::whole(self.config.cut(text).0)),
            (Some(text), Finish::Cut) => {
                let (text, stopped) = self.config.cut(text);
                Ok(if stopped { Answer::whole(text) } else { Answer::cut(text) })
            }
            (text, Finish::Refused) => Ok(Answer::refused(text.unwrap_or_default())),
            (None, Finish::Cut) => Ok(Answer::cut("")),
            (None, Finish::Stop) => Err(self.error(
                "the answer has no choices[0].message.content".into(),
                1,
                "the endpoint must speak OpenAI's chat completions",
            )),
        }
    }

    fn letters(&self, prompt: &str) -> Result<[f64; 2]> {
        let more = json!({ "max_tokens": 1, "logprobs": true, "top_logprobs": 20 });
        let answer = self.ask(prompt, &more)?;
        let unanswered = || {
            self.error(
                "the answer has no log-probabilities of A and B".into(),
                1,
                "choices need a server that answers `logprobs` with `top_logprobs`",
            )
        };
        let tokens = answer
            .pointer("/choices/0/logprobs/content/0/top_logprobs")
            .and_then(Value::as_array)
            .ok_or_else(unanswered)?;
        let candidates: Vec<(&str, f64)> = tokens
            .iter()
            .filter_map(|token| Some((token.get("token")?.as_str()?.trim(), token.get("logprob")?.as_f64()?)))
            .collect();
        // A letter outside the list is less likely than all in it.
        let floor = candidates.iter().map(|(_, logprob)| *logprob).fold(f64::INFINITY, f64::min);
        let of = |letter| {
            log_sum_exp(
                candidates.iter().filter(|(token, _)| *token == letter).map(|(_, p)| *p).collect::<Vec<_>>(),
            )
        };
        let found = LETTERS.map(of);
        if found.iter().all(|value| !value.is_finite()) {
            return Err(unanswered());
        }
        Ok(found.map(|value| if value.is_finite() { value } else { floor }))
    }

    fn choice(&self, asked: &ChoicePrompt<'_>) -> Result<Chosen> {
        let negative_first = self.letters(&render(asked.prompt, asked.negative, asked.positive))?;
        let positive_first = self.letters(&render(asked.prompt, asked.positive, asked.negative))?;
        Ok(Chosen::Choice(Choice::from_log_probabilities(negative_first, positive_first)))
    }
}

impl Generator for Server {
    fn id(&self) -> ContentId {
        ContentHasher::new("server/1")
            .field(&self.url)
            .field(&self.settings.model)
            .field(self.config.fingerprint())
            .finish()
    }

    fn generate(&self, prompts: &[&str], keep: &Keep<'_, Answer>) -> ragbias_core::Result<()> {
        for (number, prompt) in prompts.iter().enumerate() {
            keep(number, self.answer(prompt)?)?;
        }
        Ok(())
    }

    fn choose(&self, prompts: &[ChoicePrompt<'_>], keep: &Keep<'_, Chosen>) -> ragbias_core::Result<()> {
        for (number, prompt) in prompts.iter().enumerate() {
            keep(number, self.choice(prompt)?)?;
        }
        Ok(())
    }

    fn assumed(&self) -> Option<String> {
        Some(format!("`{}` at {}", self.settings.model, self.url))
    }
}

/// How the server says that its answer ended.
fn finish(answer: &Value) -> Finish {
    match answer.pointer("/choices/0/finish_reason").and_then(Value::as_str) {
        Some("length") => Finish::Cut,
        Some("content_filter") => Finish::Refused,
        _ => Finish::Stop,
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Read, Write};
    use std::net::TcpListener;
    use std::sync::mpsc;

    use super::*;

    /// What the mock server does with one connection.
    #[derive(Clone)]
    enum Act {
        Status(u16, &'static str),
        Cut,
        Body(String),
    }

    fn content(text: &str) -> Act {
        Act::Body(json!({ "choices": [{ "message": { "content": text } }] }).to_string())
    }

    /// A server on loopback that plays these acts, one per request, and sends on what it was asked.
    fn mock(acts: Vec<Act>) -> (String, mpsc::Receiver<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/v1", listener.local_addr().unwrap());
        let (sender, receiver) = mpsc::channel();
        std::thread::spawn(move || {
            for act in acts {
                let Ok((mut stream, _)) = listener.accept() else { return };
                let mut reader = BufReader::new(stream.try_clone().unwrap());
                let (mut head, mut length) = (String::new(), 0);
                loop {
                    let mut line = String::new();
                    reader.read_line(&mut line).unwrap();
                    if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
                        length = value.trim().parse().unwrap();
                    }
                    if line.trim().is_empty() {
                        break;
                    }
                    head += &line;
                }
                let mut body = vec![0; length];
                reader.read_exact(&mut body).unwrap();
                let _ = sender.send(head + &String::from_utf8(body).unwrap());
                let (status, headers, text) = match act {
                    Act::Cut => {
                        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{\"cho");
                        continue;
                    }
                    Act::Status(status, headers) => (status, headers, String::new()),
                    Act::Body(text) => (200, "", text),
                };
                let _ = write!(
                    stream,
                    "HTTP/1.1 {status} X\r\n{headers}Connection: close\r\nContent-Length: {}\r\n\r\n{text}",
                    text.len()
                );
            }
        });
        (url, receiver)
    }

    fn server(url: &str, attempts: u32) -> Server {
        let config = ServerConfig {
            attempts,
            backoff: Duration::from_millis(2),
            timeout: Duration::from_secs(5),
            ..ServerConfig::new("m")
        };
        Server::new(url, config, &GenerateConfig::default()).unwrap()
    }

    #[test]
    fn a_server_that_misbehaves_in_every_way_is_asked_again_until_it_answers() {
        let (url, asked) = mock(vec![
            Act::Status(429, "Retry-After: 0\r\n"),
            Act::Status(500, ""),
            Act::Cut,
            Act::Body("{ not json".into()),
            content("\nMarie Curie\nand others"),
        ]);
        let answers = server(&url, 5).generate_all(&["Who?"]).unwrap();
        assert_eq!(answers, [Answer::whole("Marie Curie")]);
        let asked: Vec<_> = asked.iter().collect();
        assert_eq!(asked.len(), 5);
        assert!(
            asked[0].starts_with("POST /v1/chat/completions") && asked[0].contains("\"content\":\"Who?\"")
        );
    }

    #[test]
    fn what_was_cut_filtered_or_refused_is_told_from_an_answer() {
        let act = |message: Value, finish: &str| {
            let choice = json!({ "message": message, "finish_reason": finish });
            Act::Body(json!({ "choices": [choice] }).to_string())
        };
        let (url, _asked) = mock(vec![
            act(json!({ "content": "A name that comes to mind" }), "length"),
            act(json!({ "content": null }), "length"),
            act(json!({ "content": "Marie Curie\nShe" }), "length"),
            act(json!({ "content": "" }), "content_filter"),
            act(json!({ "content": null, "refusal": "I cannot name anybody." }), "stop"),
            act(json!({ "content": " \n" }), "stop"),
        ]);
        let answers = server(&url, 1).generate_all(&["a", "b", "c", "d", "e", "f"]).unwrap();
        let expected = [
            Answer::cut("A name that comes to mind"),
            Answer::cut(""),
            Answer::whole("Marie Curie"),
            Answer::refused(""),
            Answer::refused("I cannot name anybody."),
            Answer::refused(""),
        ];
        assert_eq!(answers, expected);
    }

    #[test]
    fn attempts_are_bounded_and_the_last_reason_is_told() {
        let (url, _asked) = mock(vec![Act::Status(503, ""); 3]);
        let error = server(&url, 3).generate_all(&["Who?"]).unwrap_err().to_string();
        assert!(error.contains("status 503 (after 3 attempts)") && error.contains("hint:"), "{error}");
    }

    #[test]
    fn a_refused_key_is_not_tried_again() {
        let (url, asked) = mock(vec![Act::Status(401, ""); 2]);
        let error = server(&url, 5).generate_all(&["Who?"]).unwrap_err().to_string();
        assert!(
            error.contains("status 401 (after 1 attempt)") && error.contains("RAGBIAS_API_KEY"),
            "{error}"
        );
        assert_eq!(asked.try_iter().count(), 1);
    }

    #[test]
    fn the_key_is_in_no_error_and_no_debug() {
        let (url, asked) = mock(vec![Act::Status(400, "")]);
        let mut server = server(&url, 1);
        server.key = Some("sk-secret".into());
        let error = server.generate_all(&["Who?"]).unwrap_err();
        assert!(!format!("{error} {error:?} {server:?}").contains("sk-secret"));
        assert!(asked.recv().unwrap().to_lowercase().contains("authorization: bearer sk-secret"));
    }

    #[test]
    fn a_choice_is_read_from_both_orders() {
        let logprobs = |a: f64, b: f64| {
            let top = json!([{ "token": "A", "logprob": a }, { "token": " B", "logprob": b }, { "token": "The", "logprob": -9.0 }]);
            Act::Body(
                json!({ "choices": [{ "logprobs": { "content": [{ "top_logprobs": top }] } }] }).to_string(),
            )
        };
        // A is liked by 1 nat wherever it stands, the positive claim by 0.5.
        let (url, asked) = mock(vec![logprobs(-0.5, -1.0), logprobs(-0.2, -1.7)]);
        let prompt = ChoicePrompt { prompt: "Q", negative: "left", positive: "right" };
        let choice = server(&url, 1).choose_all(&[prompt]).unwrap()[0];
        let choice = *choice.choice().unwrap();
        assert!(
            (choice.log_odds - 0.5).abs() < 1e-9 && (choice.position_bias - 1.0).abs() < 1e-9,
            "{choice:?}"
        );
        let asked: Vec<_> = asked.iter().collect();
        assert!(asked[0].contains("A: left\\nB: right") && asked[1].contains("A: right\\nB: left"));
    }

    #[test]
    fn a_server_without_log_probabilities_says_what_is_missing() {
        let (url, _asked) = mock(vec![content("A")]);
        let prompt = ChoicePrompt { prompt: "Q", negative: "left", positive: "right" };
        let error = server(&url, 1).choose_all(&[prompt]).unwrap_err().to_string();
        assert!(error.contains("no log-probabilities") && error.contains("top_logprobs"), "{error}");
    }
}
