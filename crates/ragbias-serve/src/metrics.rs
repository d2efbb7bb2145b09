use std::fmt::{self, Write};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

/// Upper bounds of the histogram of seconds.
const SECONDS: [f64; 13] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
/// Upper bounds of the histogram of texts.
const TEXTS: [f64; 8] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0];

/// What is counted, in Prometheus' text format.
pub(crate) struct Metrics {
    registry: Registry,
    requests: Family<Request, Counter>,
    seconds: Family<Route, Histogram, fn() -> Histogram>,
    /// Texts embedded together.
    pub(crate) batches: Histogram,
    pub(crate) texts: Counter,
    pub(crate) refused: Counter,
    pub(crate) swaps: Counter,
    waiting: Gauge<u64, AtomicU64>,
    documents: Gauge<u64, AtomicU64>,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Request {
    route: Name,
    status: u16,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Route {
    route: Name,
}

/// A route, shared by all of its requests.
#[derive(Clone, Debug, Hash, PartialEq, Eq)]
struct Name(Arc<str>);

impl EncodeLabelValue for Name {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
        encoder.write_str(&self.0)
    }
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("ragbias"),
            requests: Family::default(),
            seconds: Family::new_with_constructor(|| Histogram::new(SECONDS)),
            batches: Histogram::new(TEXTS),
            texts: Counter::default(),
            refused: Counter::default(),
            swaps: Counter::default(),
            waiting: Gauge::default(),
            documents: Gauge::default(),
        };
        let registry = &mut metrics.registry;
        registry.register("requests", "Requests, by route and status", metrics.requests.clone());
        registry.register("request_seconds", "Time to answer, by route", metrics.seconds.clone());
        registry.register("batch_texts", "Texts embedded together", metrics.batches.clone());
        registry.register("texts", "Texts embedded", metrics.texts.clone());
        registry.register(
            "refused",
            "Requests refused because too many texts waited",
            metrics.refused.clone(),
        );
        registry.register("swaps", "Times that what is served was replaced", metrics.swaps.clone());
        registry.register("waiting_texts", "Texts that wait to be embedded", metrics.waiting.clone());
        registry.register("documents", "Documents that are searched", metrics.documents.clone());
        metrics
    }

    pub(crate) fn answered(&self, route: &str, status: u16, took: Duration) {
        let route = Name(route.into());
        self.requests.get_or_create(&Request { route: route.clone(), status }).inc();
        self.seconds.get_or_create(&Route { route }).observe(took.as_secs_f64());
    }

    pub(crate) fn text(&self, waiting: usize, documents: usize) -> Result<String, fmt::Error> {
        self.waiting.set(waiting as u64);
        self.documents.set(documents as u64);
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}
