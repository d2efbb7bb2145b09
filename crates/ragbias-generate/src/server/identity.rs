//! The identity of the model behind a server.

use std::time::{Duration, SystemTime};

use ragbias_core::{ContentHasher, ContentId};
use serde_json::{Map, Value};

use super::address::Address;
use super::config::canonical;
use super::failure::{self, Failure, Then, plain};
use super::transport::Response;
use crate::{Error, Result};

/// The server's list of models.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Listing {
    /// The entries of `GET /models`.
    Models(Vec<Value>),
    /// There is no list, for this reason.
    Nothing(String),
}

/// The identity of a model.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Identity {
    /// The name that is sent.
    pub(super) name: String,
    /// Its entry in the list of models.
    details: Map<String, Value>,
    /// Why it has no entry.
    unlisted: Option<String>,
    /// The name in its answers.
    pub(super) answered: Option<String>,
}

/// The name that is sent if none is known.
const UNNAMED: &str = "default";

/// Fields that identify the weights, beside the model's name. Other fields (prices, permissions, whether it is loaded) change
/// independently of the model.
const TELLING: [&str; 9] =
    ["root", "parent", "meta", "digest", "sha", "revision", "quantization", "arch", "hugging_face_id"];

/// If a model was created within this time, its `created` may be the time of the request.
const RECENT: Duration = Duration::from_hours(1);

impl Listing {
    /// Reads the answer to `GET /models`.
    ///
    /// # Errors
    /// A failure after which another attempt may succeed, unless it is the `last`.
    pub(super) fn read(response: &Response, last: bool) -> Result<Self, Failure> {
        let nothing = |why: String| Ok(Self::Nothing(format!("GET /models: {why}")));
        match response.status {
            200..=299 => {}
            status @ (429 | 502..=504) if !last => {
                return Err(failure::of(status, &response.text, response.after));
            }
            status => return nothing(format!("status {status}")),
        }
        let Ok(value) = serde_json::from_str::<Value>(&response.text) else {
            return nothing("no JSON".into());
        };
        let list = [value.get("data"), value.get("models"), Some(&value)]
            .into_iter()
            .flatten()
            .find_map(Value::as_array);
        match list {
            Some(list) if list.iter().any(|entry| id(entry).is_some()) => Ok(Self::Models(list.clone())),
            _ => nothing("no list of models".into()),
        }
    }
}

fn id(entry: &Value) -> Option<&str> {
    ["id", "model", "name"].iter().find_map(|field| entry.get(field)?.as_str())
}

impl Identity {
    /// The model of this name; if none is given, the only one listed.
    ///
    /// # Errors
    /// No name is given and there are several models.
    pub(super) fn of(address: &Address, listing: Listing, now: SystemTime) -> Result<Self> {
        let unlisted = |name: &str, why: String| Self {
            name: name.into(),
            details: Map::new(),
            unlisted: Some(why),
            answered: None,
        };
        let models = match listing {
            Listing::Nothing(why) => return Ok(unlisted(address.name().unwrap_or(UNNAMED), why)),
            Listing::Models(models) => models,
        };
        let called = |name: &str| {
            let tagged = format!("{name}:latest");
            models.iter().find(|entry| id(entry).is_some_and(|id| id == name || id == tagged))
        };
        let (name, entry) = match (address.name(), models.as_slice()) {
            (Some(name), [only]) => (name, Some(called(name).unwrap_or(only))),
            (Some(name), _) => (name, called(name)),
            (None, [only]) => (id(only).unwrap_or(UNNAMED), Some(only)),
            (None, several) => {
                let names: Vec<String> = several.iter().filter_map(id).take(10).map(plain).collect();
                let more = if several.len() > 10 { ", …" } else { "" };
                return Err(Error::Setting {
                    setting: "the LLM's address",
                    expected: "one with the model's name after #, as the server has several",
                    received: format!("{address} without a name; there are {}{more}", names.join(", ")),
                });
            }
        };
        let Some(entry) = entry else {
            return Ok(unlisted(name, format!("GET /models lists no `{}`", plain(name))));
        };
        let mut details: Map<String, Value> = TELLING
            .iter()
            .filter_map(|field| {
                Some(((*field).to_owned(), entry.get(field).filter(|value| !value.is_null())?.clone()))
            })
            .collect();
        let own = id(entry).unwrap_or(name);
        if details.get("root").and_then(Value::as_str) == Some(own) {
            details.remove("root");
        }
        let seconds = entry.get("created").and_then(Value::as_u64).filter(|&seconds| seconds > 0);
        let made =
            seconds.and_then(|seconds| SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds)));
        if made.is_some_and(|made| now.duration_since(made).is_ok_and(|age| age > RECENT)) {
            details.insert("created".into(), entry["created"].clone());
        }
        let unlisted = details.is_empty().then(|| "GET /models tells its name alone".to_owned());
        for field in ["id", "owned_by"] {
            if let Some(value) = entry.get(field) {
                details.insert(field.into(), value.clone());
            }
        }
        Ok(Self { name: name.into(), details, unlisted, answered: None })
    }

    /// Whether the server is llama.cpp's, which shows its chat template.
    pub(super) fn is_llama_cpp(&self) -> bool {
        self.details.get("owned_by").and_then(Value::as_str) == Some("llamacpp")
    }

    /// All fields that distinguish this model from others. The fingerprint is not included: a hosted service answers from
    /// several replicas with different fingerprints, and every answer would be paid for again.
    pub(super) fn hash(&self, hasher: ContentHasher) -> ContentHasher {
        hasher
            .field(&self.name)
            .field(canonical(&Value::Object(self.details.clone())))
            .field(self.answered.as_deref().unwrap_or_default())
    }

    /// A note for the user if only a name identifies the model, or another model than the requested one answers.
    pub(super) fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        let answered = self.answered.as_deref();
        if let Some(answered) = answered
            && self.name != UNNAMED
            && !same_model(&self.name, answered)
        {
            notes.push(format!("asked for `{}`, the server answers as `{answered}`", plain(&self.name)));
        }
        if let Some(why) = &self.unlisted {
            let name = self.carried();
            notes.push(format!("which model answers is known by the name `{name}` alone ({why})"));
        }
        notes
    }

    /// The name, if it alone identifies the model.
    pub(super) fn assumed(&self) -> Option<String> {
        self.unlisted.as_ref().map(|_| format!("`{}`", self.carried()))
    }

    fn carried(&self) -> String {
        self.answered.clone().unwrap_or_else(|| plain(&self.name))
    }
}

/// Whether the name in an answer is that of the request, apart from a date, a path or a tag.
fn same_model(asked: &str, answered: &str) -> bool {
    let bare = |name: &str| name.rsplit('/').next().unwrap_or(name).to_lowercase();
    let (asked, answered) = (bare(asked), bare(answered));
    asked.contains(&answered) || answered.contains(&asked)
}

/// A model's new name, if it differs from the one at the start of the run.
///
/// # Errors
/// An answer of another model: a measurement must not mix two models.
pub(super) fn check(expected: Option<&str>, received: Option<&str>) -> Result<(), Failure> {
    match (expected, received) {
        (Some(expected), Some(received)) if expected != received => Err(Failure::new(
            format!("an answer came from `{received}`, where the model was `{expected}` before"),
            "a measurement over two models is of neither: name one that the server does not replace, after # in the address",
            Then::Stop,
        )),
        _ => Ok(()),
    }
}

/// The current id of a server.
pub(super) fn id_of(address: &Address, identity: &Identity, settings: &[&str]) -> ContentId {
    let hasher = ContentHasher::new("server/2").field(address.without_key("/chat/completions"));
    settings.iter().fold(identity.hash(hasher), ContentHasher::field).finish()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOW: u64 = 1_700_000_000;

    fn now() -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(NOW)
    }

    fn identity(address: &str, listing: Value) -> Result<Identity> {
        let response = Response {
            status: 200,
            kind: String::new(),
            after: None,
            held_secret: false,
            text: listing.to_string(),
        };
        Identity::of(&Address::parse(address).unwrap(), Listing::read(&response, true).unwrap(), now())
    }

    fn id(listing: Value) -> ContentId {
        let address = Address::parse("http://h/v1#m").unwrap();
        id_of(&address, &identity("http://h/v1#m", listing).unwrap(), &["settings"])
    }

    #[test]
    fn other_weights_under_the_same_name_are_another_model() {
        let meta = |parameters: u64| json!({ "data": [{ "id": "m", "owned_by": "llamacpp", "meta": { "n_params": parameters } }] });
        assert_ne!(id(meta(1)), id(meta(2)));
        let root = |root: &str| json!({ "data": [{ "id": "m", "root": root }] });
        assert_ne!(id(root("/models/a")), id(root("/models/b")));
        let made = |created: u64| json!({ "data": [{ "id": "m", "created": created }] });
        assert_ne!(id(made(NOW - 90_000)), id(made(NOW - 80_000)));
    }

    #[test]
    fn what_changes_without_the_model_changes_nothing() {
        let entry = |created: u64, permission: &str| json!({ "data": [{ "id": "m", "created": created, "permission": [{ "id": permission }], "pricing": { "prompt": permission } }] });
        assert_eq!(id(entry(NOW, "a")), id(entry(NOW - 60, "b")));
    }

    #[test]
    fn the_name_that_answers_carry_is_part_of_the_identity() {
        let address = Address::parse("http://h/v1#m").unwrap();
        let of = |answered: &str| {
            let mut identity = identity("http://h/v1#m", json!({ "data": [{ "id": "m" }] })).unwrap();
            identity.answered = Some(answered.into());
            id_of(&address, &identity, &[])
        };
        assert_ne!(of("m-2024-05"), of("m-2024-08"));
    }

    #[test]
    fn without_a_name_the_only_model_is_taken_and_of_several_none() {
        assert_eq!(identity("http://h/v1", json!({ "data": [{ "id": "only" }] })).unwrap().name, "only");
        let error = identity("http://h/v1", json!([{ "id": "a" }, { "id": "b" }])).unwrap_err().to_string();
        assert!(error.contains("there are a, b") && error.contains("after #"), "{error}");
        assert_eq!(identity("http://h/v1#b", json!([{ "id": "a" }, { "id": "b" }])).unwrap().name, "b");
        let tagged = identity(
            "http://h/v1#llama3",
            json!({ "data": [{ "id": "llama3:latest", "created": 5 }, { "id": "x" }] }),
        )
        .unwrap();
        assert!(tagged.unlisted.is_none());
    }

    #[test]
    fn a_server_that_says_nothing_is_known_by_its_name_and_that_is_said() {
        for (status, text) in [
            (405, "GET is not allowed"),
            (404, ""),
            (200, "<html>"),
            (200, "{}"),
            (200, "{\"data\": []}"),
            (503, ""),
        ] {
            let response =
                Response { status, kind: String::new(), after: None, held_secret: false, text: text.into() };
            let listing = Listing::read(&response, true).unwrap();
            let identity = Identity::of(&Address::parse("http://h/v1").unwrap(), listing, now()).unwrap();
            let notes = identity.notes();
            assert!(identity.name == "default" && notes[0].contains("`default` alone (GET /models:"));
            assert_eq!(identity.assumed().as_deref(), Some("`default`"));
        }
        let named =
            identity("http://h/v1#m", json!({ "data": [{ "id": "m", "root": "m", "owned_by": "x" }] }))
                .unwrap();
        assert!(named.notes()[0].contains("tells its name alone"));
        let told = identity("http://h/v1#m", json!({ "data": [{ "id": "m", "root": "org/m" }] })).unwrap();
        assert_eq!((told.notes(), told.assumed()), (Vec::<String>::new(), None));
        let busy = Response {
            status: 429,
            kind: String::new(),
            after: None,
            held_secret: false,
            text: String::new(),
        };
        assert_eq!(Listing::read(&busy, false).unwrap_err().then, Then::Slower(None));
    }

    #[test]
    fn another_model_than_was_asked_for_is_told() {
        let notes = |asked: &str, answered: &str| {
            let mut identity =
                identity(&format!("http://h/v1#{asked}"), json!({ "data": [{ "id": asked, "created": 5 }] }))
                    .unwrap();
            identity.answered = Some(answered.into());
            identity.notes()
        };
        assert!(
            notes("llama3", "qwen2").len() == 1 && notes("llama3", "qwen2")[0].contains("answers as `qwen2`")
        );
        assert!(notes("gpt-x", "gpt-x-2024-08-06").is_empty() && notes("org/m", "m").is_empty());
    }

    #[test]
    fn an_answer_of_another_model_than_before_is_refused() {
        assert!(
            check(Some("a"), Some("a")).is_ok()
                && check(None, Some("a")).is_ok()
                && check(Some("a"), None).is_ok()
        );
        let failure = check(Some("a"), Some("b")).unwrap_err();
        assert!(
            failure.reason.contains("`b`") && failure.reason.contains("`a`") && failure.then == Then::Stop
        );
    }
}
