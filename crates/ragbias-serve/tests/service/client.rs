use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use ragbias_serve::{Service, serve};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::Notify;

/// Time for what a test waits for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A server on a port of its own, and a client.
pub(crate) struct Running {
    pub(crate) service: Service,
    pub(crate) token: Option<&'static str>,
    address: String,
    agent: ureq::Agent,
    end: std::sync::Arc<Notify>,
    ended: std::sync::Mutex<Receiver<()>>,
}

impl Running {
    pub(crate) fn start(service: Service) -> Self {
        let (bound, address) = channel();
        let (tell, ended) = channel();
        let end = std::sync::Arc::new(Notify::new());
        let (running, until) = (service.clone(), std::sync::Arc::clone(&end));
        std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                bound.send(listener.local_addr().unwrap()).unwrap();
                serve(&running, running.router(), listener, until.notified()).await;
            });
            let _ = tell.send(());
        });
        let agent = ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(PATIENCE));
        Self {
            service,
            token: None,
            address: format!("http://{}", address.recv().unwrap()),
            agent: agent.build().into(),
            end,
            ended: ended.into(),
        }
    }

    /// Its address and port.
    pub(crate) fn host(&self) -> &str {
        self.address.trim_start_matches("http://")
    }

    pub(crate) fn post(&self, route: &str, body: &Value) -> (u16, Value) {
        self.post_as(route, "application/json", body.to_string().as_bytes())
    }

    pub(crate) fn post_as(&self, route: &str, kind: &str, body: &[u8]) -> (u16, Value) {
        let request = self.agent.post(format!("{}{route}", self.address)).header("Content-Type", kind);
        read(request.send(body).unwrap())
    }

    /// The answer to a request that must succeed.
    pub(crate) fn ok(&self, route: &str, body: &Value) -> Value {
        let (status, answer) = self.post(route, body);
        assert_eq!(status, 200, "{answer}");
        answer
    }

    pub(crate) fn get(&self, route: &str) -> (u16, Value) {
        let mut request = self.agent.get(format!("{}{route}", self.address));
        if let Some(token) = self.token {
            request = request.header("Authorization", format!("Bearer {token}"));
        }
        read(request.call().unwrap())
    }

    pub(crate) fn retry_after(&self, route: &str, body: &Value) -> Option<u64> {
        let request =
            self.agent.post(format!("{}{route}", self.address)).header("Content-Type", "application/json");
        let answer = request.send(body.to_string()).unwrap();
        answer.headers().get("retry-after")?.to_str().ok()?.parse().ok()
    }

    pub(crate) fn metrics(&self) -> String {
        let mut answer = self.agent.get(format!("{}/metrics", self.address)).call().unwrap();
        answer.body_mut().read_to_string().unwrap()
    }

    /// Waits until so many texts wait in the queue.
    pub(crate) fn until_waiting(&self, texts: usize) {
        let line = format!("ragbias_waiting_texts {texts}\n");
        until(|| self.metrics().contains(&line));
    }

    /// Ends the server, which may still be answering.
    pub(crate) fn end(&self) {
        self.end.notify_one();
    }

    pub(crate) fn until_ended(&self) {
        self.ended.lock().unwrap().recv_timeout(PATIENCE).unwrap();
    }
}

/// Waits until an embedder was called so often.
pub(crate) fn until_calls(calls: &AtomicUsize, number: usize) {
    until(|| calls.load(Ordering::SeqCst) >= number);
}

fn until(reached: impl Fn() -> bool) {
    let begun = Instant::now();
    while !reached() {
        assert!(begun.elapsed() < PATIENCE, "it never came to that");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Status and body; a body that is not JSON as text.
fn read(mut answer: ureq::http::Response<ureq::Body>) -> (u16, Value) {
    let status = answer.status().as_u16();
    let text = answer.body_mut().read_to_string().unwrap();
    (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
}
