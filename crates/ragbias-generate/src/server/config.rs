use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use ragbias_core::limits::{ATTEMPTS, CHOICE_SAMPLES, PARALLEL, REASONING_TOKENS};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{Error, Result};

/// Settings of requests to a server.
///
/// | parameter | default | purpose | range |
/// | --- | --- | --- | --- |
/// | `parallel` | 16 | maximum requests in flight; fewer if the server answers 429 | 1 to 1024 |
/// | `timeout` | 60 | seconds allowed for one answer; ten times as long if a model may reason | above 0, up to 86 400 |
/// | `attempts` | 5 | attempts per prompt if the server is down or overloaded | 1 to 100 |
/// | `reasoning-tokens` | 4096 | tokens added to the budget of a reasoning model | 0 to 1 000 000 |
/// | `thinking` | auto | whether reasoning is switched off where possible | |
/// | `choices` | auto | how a choice between two claims is read | |
/// | `samples` | 8 | letters sampled in each order of the claims | 1 to 1000 |
/// | `options` | none | further fields of the request; `null` removes one of ours | no `messages`, `model`, `n`, keys |
///
/// `parallel`, `timeout` and `attempts` change no answer; everything else is part of a server's identity.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
#[non_exhaustive]
pub struct ServerConfig {
    /// Maximum number of requests in flight.
    pub parallel: usize,
    /// Seconds allowed for one answer.
    pub timeout: f64,
    /// Number of attempts per prompt.
    pub attempts: u32,
    /// Delay before the second attempt; doubles with every further one, ± 25%.
    #[serde(skip, default = "half_a_second")]
    pub backoff: Duration,
    /// Tokens added to the budget of a reasoning model.
    pub reasoning_tokens: usize,
    /// Whether reasoning is switched off where possible.
    pub thinking: Thinking,
    /// How a choice is read.
    pub choices: ChoiceMethod,
    /// Number of letters sampled in each order.
    pub samples: usize,
    /// Further fields of the request.
    #[serde(skip_serializing_if = "Options::is_empty")]
    pub options: Options,
}

ragbias_core::setters!(ServerConfig {
    parallel: usize,
    timeout: f64,
    attempts: u32,
    backoff: Duration,
    reasoning_tokens: usize,
    thinking: Thinking,
    choices: ChoiceMethod,
    samples: usize,
    options: Options,
});

fn half_a_second() -> Duration {
    Duration::from_millis(500)
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            parallel: 16,
            timeout: 60.0,
            attempts: 5,
            backoff: half_a_second(),
            reasoning_tokens: 4096,
            thinking: Thinking::default(),
            choices: ChoiceMethod::default(),
            samples: 8,
            options: Options::default(),
        }
    }
}

/// Whether reasoning is switched off for models that support it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Thinking {
    /// `enable_thinking: false` is sent if the server shows a chat template that reads it.
    #[default]
    Auto,
    /// `enable_thinking: false` is sent.
    Off,
    /// Nothing is sent: the model reasons by its own default.
    On,
}

/// How a choice between two claims is read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ChoiceMethod {
    /// By log-probabilities if A and B have at least half of the probability, else by sampled letters.
    #[default]
    Auto,
    /// By log-probabilities; an error if A and B have less than half of the probability, or the server returns none.
    Logprobs,
    /// By letters sampled at temperature 1.
    Sample,
}

macro_rules! named {
    ($type:ident, $setting:literal, $expected:literal, $($name:literal => $variant:ident),+) => {
        impl FromStr for $type {
            type Err = Error;

            fn from_str(name: &str) -> Result<Self> {
                match name {
                    $($name => Ok(Self::$variant),)+
                    _ => Err(Error::Setting { setting: $setting, expected: $expected, received: name.into() }),
                }
            }
        }

        impl $type {
            /// Its name in files and on the command line.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }
        }

        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.name())
            }
        }
    };
}

named!(Thinking, "thinking", "auto, on or off", "auto" => Auto, "off" => Off, "on" => On);
named!(ChoiceMethod, "choices", "auto, logprobs or sample", "auto" => Auto, "logprobs" => Logprobs, "sample" => Sample);

impl ServerConfig {
    /// Checks the range of every setting.
    ///
    /// # Errors
    /// [`Error::Setting`] for the first value outside its range.
    pub fn check(&self) -> Result<()> {
        PARALLEL.check("parallel", self.parallel)?;
        if !(self.timeout > 0.0 && self.timeout <= 86_400.0) {
            let (setting, expected) = ("the LLM's timeout", "seconds above 0, up to 86400");
            return Err(Error::Setting { setting, expected, received: self.timeout.to_string() });
        }
        ATTEMPTS.check("attempts", self.attempts)?;
        REASONING_TOKENS.check("reasoning-tokens", self.reasoning_tokens)?;
        CHOICE_SAMPLES.check("samples", self.samples)?;
        self.options.check()
    }

    /// Everything that changes an answer.
    pub(super) fn fingerprint(&self) -> String {
        let Self { reasoning_tokens, choices, samples, options, .. } = self;
        format!("{reasoning_tokens} {choices} {samples} {}", canonical(&Value::Object(options.0.clone())))
    }
}

/// Additional fields of a request.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Options(pub(super) Map<String, Value>);

/// Names of fields that contain a key, in lower case, without `-` and `_`.
const KEYS: [&str; 8] = [
    "apikey",
    "xapikey",
    "authorization",
    "accesstoken",
    "password",
    "secret",
    "clientsecret",
    "subscriptionkey",
];

impl Options {
    /// Reads a `.json` or a `.toml` file.
    ///
    /// # Errors
    /// A file that is neither, does not contain a table, or sets a forbidden field.
    pub fn read(path: &Path) -> Result<Self> {
        let wrong = |reason: String| Error::Options { path: path.into(), reason };
        let text = fs_err::read_to_string(path)?;
        let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
        let toml = path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("toml"));
        let read = if toml {
            // Without the line itself, which may contain a key.
            toml::from_str(text).map_err(|error: toml::de::Error| {
                let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
                format!("line {}: {}", before.matches('\n').count() + 1, error.message())
            })
        } else {
            serde_json::from_str(text).map_err(|error| error.to_string())
        };
        let options = Self(read.map_err(wrong)?);
        options.check().map_err(|error| wrong(error.to_string()))?;
        if toml {
            options.check_of_toml().map_err(|error| wrong(error.to_string()))?;
        }
        Ok(options)
    }

    /// Refuses TOML values that JSON does not have: non-finite numbers, which have become null, and dates.
    ///
    /// # Errors
    /// [`Error::Setting`] with the name of the option.
    pub fn check_of_toml(&self) -> Result<()> {
        match beyond_json(&self.0) {
            None => Ok(()),
            Some(field) => Err(Error::Setting {
                setting: "option",
                expected: "what JSON has: no dates (write them as texts), no nan and no inf",
                received: field.into(),
            }),
        }
    }

    /// Whether there are no options.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the user may set a field.
    pub(super) fn has(&self, field: &str) -> bool {
        self.0.contains_key(field)
    }

    fn check(&self) -> Result<()> {
        let wrong = |setting, expected, received: &Value| {
            Err(Error::Setting { setting, expected, received: shortened(received) })
        };
        if let Some(field) = key_in(&self.0) {
            let expected = "no key among the options, which a run keeps (set RAGBIAS_API_KEY)";
            return wrong("option", expected, &Value::from(field));
        }
        for (field, value) in &self.0 {
            match field.as_str() {
                "messages" => {
                    return wrong(
                        "option `messages`",
                        "no such option: the messages are what is measured",
                        value,
                    );
                }
                "model" => return wrong("option `model`", "the model's name after # in the address", value),
                "n" if value.as_u64() != Some(1) && !value.is_null() => {
                    return wrong("option `n`", "1: a prompt has one answer", value);
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// The name of a field that contains a key, at any depth.
fn key_in(fields: &Map<String, Value>) -> Option<&str> {
    fn within(value: &Value) -> Option<&str> {
        match value {
            Value::Object(fields) => key_in(fields),
            Value::Array(items) => items.iter().find_map(within),
            _ => None,
        }
    }
    fields.iter().find_map(|(field, value)| {
        let name = field.to_ascii_lowercase().replace(['-', '_'], "");
        if KEYS.contains(&name.as_str()) { Some(field.as_str()) } else { within(value) }
    })
}

/// The toml crate's name for the only field of a date.
const DATE: &str = "$__toml_private_datetime";

/// The name of a field with a value that JSON does not have, at any depth.
fn beyond_json(fields: &Map<String, Value>) -> Option<&str> {
    fn is(value: &Value) -> bool {
        match value {
            Value::Null => true,
            Value::Object(fields) => fields.contains_key(DATE) || fields.values().any(is),
            Value::Array(items) => items.iter().any(is),
            _ => false,
        }
    }
    fields.iter().find_map(|(field, value)| is(value).then_some(field.as_str()))
}

fn shortened(value: &Value) -> String {
    value.to_string().chars().take(60).collect()
}

/// JSON with sorted keys, so that the order of a file's lines has no effect.
pub(super) fn canonical(value: &Value) -> String {
    match value {
        Value::Object(map) => {
            let mut fields: Vec<String> = map
                .iter()
                .map(|(key, value)| format!("{}:{}", Value::from(key.as_str()), canonical(value)))
                .collect();
            fields.sort();
            format!("{{{}}}", fields.join(","))
        }
        Value::Array(items) => format!("[{}]", items.iter().map(canonical).collect::<Vec<_>>().join(",")),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn options(name: &str, text: &str) -> Result<Options> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        fs_err::write(&path, text).unwrap();
        Options::read(&path)
    }

    #[test]
    fn options_are_read_from_json_and_from_toml() {
        let json =
            options("o.json", r#"{"reasoning_effort": "low", "seed": null, "provider": {"order": ["a"]}}"#)
                .unwrap();
        assert!(json.has("seed") && json.0["provider"]["order"][0] == "a");
        let toml = options(
            "o.toml",
            "reasoning_effort = \"low\"\n[chat_template_kwargs]\nenable_thinking = false\n",
        )
        .unwrap();
        assert_eq!(toml.0["chat_template_kwargs"], json!({ "enable_thinking": false }));
    }

    #[test]
    fn what_json_has_not_is_refused_and_not_sent_as_something_else() {
        for (text, field) in [
            ("top_p = nan", "top_p"),
            ("a = 1\nb = { c = [1.0, -inf] }", "b"),
            ("day = 2024-07-26", "day"),
            ("[[x]]\nat = [07:32:00]", "x"),
        ] {
            let error = options("o.toml", text).unwrap_err().to_string();
            assert!(error.contains(&format!("o.toml: option is {field}, expected what JSON has")), "{error}");
        }
        assert!(options("o.json", r#"{"seed": null}"#).is_ok());
    }

    #[test]
    fn options_that_would_replace_the_question_are_refused_with_the_file() {
        let error = options("o.json", r#"{"messages": []}"#).unwrap_err().to_string();
        assert!(error.contains("o.json") && error.contains("`messages`"), "{error}");
        assert!(options("o.json", r#"{"model": "other"}"#).unwrap_err().to_string().contains("after #"));
        assert!(options("o.json", r#"{"n": 3}"#).is_err());
        let error = options("o.json", r#"{"api_key": "sk-secret"}"#).unwrap_err().to_string();
        assert!(error.contains("RAGBIAS_API_KEY") && !error.contains("sk-secret"), "{error}");
        for nested in
            [r#"{"extra": {"X-Api-Key": "sk-secret"}}"#, r#"{"a": [{"Authorization": "Bearer sk-secret"}]}"#]
        {
            let error = options("o.json", nested).unwrap_err().to_string();
            assert!(error.contains("RAGBIAS_API_KEY") && !error.contains("sk-secret"), "{error}");
        }
        assert!(options("o.json", r#"{"max_tokens": 5, "top_k": 1}"#).is_ok());
        let error = options("o.toml", "a = 1\nkey = \"sk-secret\" x").unwrap_err().to_string();
        assert!(error.contains("o.toml: line 2: ") && !error.contains("sk-secret"), "{error}");
        assert!(options("o.json", "[1]").is_err());
        assert!(options("o.toml", "a =").unwrap_err().to_string().contains("o.toml"));
    }

    #[test]
    fn the_identity_of_settings_is_theirs_and_not_the_order_of_their_lines() {
        let of = |text| {
            ServerConfig { options: options("o.json", text).unwrap(), ..ServerConfig::default() }
                .fingerprint()
        };
        assert_eq!(of(r#"{"a": 1, "b": {"c": 2, "d": 3}}"#), of(r#"{"b": {"d": 3, "c": 2}, "a": 1}"#));
        assert_ne!(of(r#"{"a": 1}"#), of(r#"{"a": 2}"#));
        let quick = ServerConfig { parallel: 1, timeout: 5.0, attempts: 1, ..ServerConfig::default() };
        assert_eq!(quick.fingerprint(), ServerConfig::default().fingerprint());
    }

    #[test]
    fn settings_outside_their_range_are_refused() {
        let bad = |change: fn(&mut ServerConfig)| {
            let mut config = ServerConfig::default();
            change(&mut config);
            config.check().is_err()
        };
        assert!(ServerConfig::default().check().is_ok());
        assert!(bad(|c| c.parallel = 0) && bad(|c| c.timeout = f64::NAN) && bad(|c| c.timeout = 0.0));
        assert!(bad(|c| c.samples = 0) && bad(|c| c.attempts = 0) && bad(|c| c.reasoning_tokens = 2_000_000));
        assert!("sometimes".parse::<ChoiceMethod>().is_err());
        assert_eq!("off".parse::<Thinking>().unwrap(), Thinking::Off);
    }
}
