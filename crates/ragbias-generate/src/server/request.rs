//! Builds requests, with the fields that a server accepts.

use ragbias_core::Prompt;
use serde_json::{Map, Value, json};

use super::config::Options;
use super::failure::Complaint;

/// The parameters of one request.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Asked<'a> {
    pub(super) prompt: Prompt<'a>,
    /// Token budget of the answer.
    pub(super) budget: usize,
    pub(super) temperature: f64,
    pub(super) seed: u64,
    /// Whether to request the most likely tokens.
    pub(super) logprobs: bool,
}

/// The fields that a server accepts, according to its rejections so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a field of the request, sent or not")]
pub(super) struct Fields {
    pub(super) budget: Budget,
    /// Whether the budget's other name has been tried.
    renamed: bool,
    /// The largest budget that the server allows.
    largest: usize,
    pub(super) temperature: bool,
    pub(super) seed: bool,
    stream: bool,
    /// Whether reasoning is switched off.
    pub(super) no_thinking: bool,
    /// Number of most likely tokens to request; 0 if the server returns none.
    pub(super) likeliest: u64,
    /// Whether the model reasons, and has a larger budget.
    pub(super) reasons: bool,
}

/// The field name of the token budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Budget {
    MaxTokens,
    MaxCompletionTokens,
}

impl Budget {
    fn name(self) -> &'static str {
        match self {
            Self::MaxTokens => "max_tokens",
            Self::MaxCompletionTokens => "max_completion_tokens",
        }
    }
}

/// The fields of a request that a server may reject, longer names before those that they contain.
const NAMES: [&str; 9] = [
    "max_completion_tokens",
    "max_tokens",
    "top_logprobs",
    "logprobs",
    "temperature",
    "chat_template_kwargs",
    "enable_thinking",
    "seed",
    "stream",
];

/// The note about a rejected field or value.
const COMPLAINTS: [&str; 22] = [
    "unsupported",
    "not supported",
    "does not support",
    "doesn't support",
    "unrecognized",
    "unrecognised",
    "unknown",
    "unexpected",
    "not permitted",
    "not allowed",
    "extra inputs",
    "extra field",
    "invalid",
    "only the default",
    "must be",
    "should be",
    "greater than",
    "less than",
    "at most",
    "maximum",
    "too large",
    "not available",
];

impl Fields {
    pub(super) fn new(no_thinking: bool) -> Self {
        Self {
            budget: Budget::MaxTokens,
            renamed: false,
            largest: usize::MAX,
            temperature: true,
            seed: true,
            stream: true,
            no_thinking,
            likeliest: 20,
            reasons: false,
        }
    }

    /// The JSON of a request; `options` take precedence, and remove fields that they set to `null`.
    pub(super) fn body(&self, model: &str, asked: &Asked<'_>, options: &Options) -> String {
        let mut body = Map::new();
        let mut set = |name: &str, value: Value| body.insert(name.into(), value);
        set("model", model.into());
        let message = |role: &str, content: &str| json!({ "role": role, "content": content });
        let Prompt { system, user } = asked.prompt;
        let system = system.map(|system| message("system", system));
        set("messages", system.into_iter().chain([message("user", user)]).collect());
        if !sets_budget(options) {
            set(self.budget.name(), asked.budget.min(self.largest).into());
        }
        if self.temperature {
            set("temperature", asked.temperature.into());
        }
        if self.seed {
            set("seed", asked.seed.into());
        }
        if self.stream {
            set("stream", false.into());
        }
        if asked.logprobs && self.likeliest > 0 {
            set("logprobs", true.into());
            set("top_logprobs", self.likeliest.into());
        }
        if self.no_thinking {
            set("chat_template_kwargs", json!({ "enable_thinking": false }));
        }
        for (name, value) in &options.0 {
            if value.is_null() {
                body.shift_remove(name);
            } else {
                body.insert(name.clone(), value.clone());
            }
        }
        Value::Object(body).to_string()
    }

    /// The fields without the one that the server rejects; none if no field can be left out.
    ///
    /// Fields that the user set or insists on are not left out.
    pub(super) fn adapted(
        self,
        complaint: &Complaint,
        options: &Options,
        insists_on_no_thinking: bool,
    ) -> Option<Self> {
        let field = self.field(complaint)?;
        if options.has(field) {
            return None;
        }
        let mut fields = self;
        match field {
            "max_tokens" | "max_completion_tokens" => {
                if sets_budget(options) {
                    return None;
                }
                let other = match self.budget {
                    Budget::MaxTokens => Budget::MaxCompletionTokens,
                    Budget::MaxCompletionTokens => Budget::MaxTokens,
                };
                // A budget that is too large is not a wrong field name.
                let too_large =
                    ["too large", "at most", "less than", "maximum", "greater than", "must be <="];
                if !complaint.words.contains(other.name())
                    && too_large.iter().any(|sign| complaint.words.contains(sign))
                {
                    let largest = numbers(&complaint.words).filter(|&n| n > 0).min()?;
                    let largest = usize::try_from(largest).ok()?;
                    if largest >= self.largest {
                        return None;
                    }
                    fields.largest = largest;
                } else if self.renamed {
                    return None;
                } else {
                    fields.renamed = true;
                    fields.budget = other;
                }
            }
            "temperature" => fields.temperature = false,
            "seed" => fields.seed = false,
            "stream" => fields.stream = false,
            "chat_template_kwargs" | "enable_thinking" if self.no_thinking && !insists_on_no_thinking => {
                fields.no_thinking = false;
            }
            "top_logprobs" | "logprobs" => fields.likeliest = self.fewer(&complaint.words),
            _ => return None,
        }
        (fields != self).then_some(fields)
    }

    /// Notes for the user about the fields that are left out.
    pub(super) fn notes(&self, switched_off: bool) -> Vec<String> {
        let mut notes = Vec::new();
        if !self.temperature {
            notes.push("the server takes no `temperature`: its answers are sampled at its own, and may differ from run to run".into());
        }
        if !self.seed {
            notes.push(
                "the server takes no `seed`: an answer that is sampled is another one in every run".into(),
            );
        }
        if self.largest < usize::MAX {
            notes.push(format!("the server allows {} tokens for an answer at most", self.largest));
        }
        if self.no_thinking && switched_off {
            notes.push(
                "the model is asked not to think (`enable_thinking: false`)\nhint: `thinking on` lets it"
                    .into(),
            );
        }
        notes
    }

    /// The rejected field.
    fn field(&self, complaint: &Complaint) -> Option<&'static str> {
        let named = |text: &str| NAMES.into_iter().find(|name| text.contains(name));
        // A limit of 5 log-probabilities may be reported without the field's name.
        if let Some(field) = complaint.param.as_deref().and_then(named) {
            return Some(field);
        }
        if !COMPLAINTS.iter().any(|sign| complaint.words.contains(sign)) {
            return None;
        }
        // Of the two names of the budget, the one that was sent is the rejected one.
        match named(&complaint.words)? {
            "max_tokens" | "max_completion_tokens" => Some(self.budget.name()),
            field => Some(field),
        }
    }

    /// A smaller number of most likely tokens: the one that the server names, else the next of 10, 5, 2; 0 if there is none.
    fn fewer(&self, words: &str) -> u64 {
        let limit = words.contains("top_logprobs") || numbers(words).any(|n| n == self.likeliest);
        if !limit {
            return 0;
        }
        let named = numbers(words).filter(|&n| (2..self.likeliest).contains(&n)).max();
        named.unwrap_or_else(|| [10, 5, 2].into_iter().find(|&n| n < self.likeliest).unwrap_or(0))
    }
}

/// Whether the user sets the budget.
pub(super) fn sets_budget(options: &Options) -> bool {
    options.has("max_tokens") || options.has("max_completion_tokens")
}

/// The whole numbers in a text.
fn numbers(text: &str) -> impl Iterator<Item = u64> {
    text.split(|c: char| !c.is_ascii_digit()).filter_map(|digits| digits.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHO: Prompt<'_> = Prompt { system: None, user: "Who?" };
    const ASKED: Asked<'_> = Asked { prompt: WHO, budget: 24, temperature: 0.0, seed: 7, logprobs: false };

    fn options(json: &str) -> Options {
        serde_json::from_str(json).unwrap()
    }

    fn body(fields: Fields, asked: &Asked<'_>, set: &str) -> Value {
        serde_json::from_str(&fields.body("m", asked, &options(set))).unwrap()
    }

    fn adapted(fields: Fields, words: &str) -> Option<Fields> {
        let complaint = Complaint { param: None, words: words.to_lowercase() };
        fields.adapted(&complaint, &Options::default(), false)
    }

    #[test]
    fn a_request_has_the_fields_that_every_server_knows() {
        let sent = body(Fields::new(false), &ASKED, "{}");
        let expected = json!({ "model": "m", "messages": [{ "role": "user", "content": "Who?" }], "max_tokens": 24,
            "temperature": 0.0, "seed": 7, "stream": false });
        assert_eq!(sent, expected);
        let prompt = Prompt { system: Some("Be brief."), ..WHO };
        let sent = body(Fields::new(false), &Asked { prompt, ..ASKED }, "{}");
        let messages =
            json!([{ "role": "system", "content": "Be brief." }, { "role": "user", "content": "Who?" }]);
        assert_eq!(sent["messages"], messages);
        let sent = body(Fields::new(true), &Asked { logprobs: true, ..ASKED }, "{}");
        assert_eq!((&sent["logprobs"], &sent["top_logprobs"]), (&json!(true), &json!(20)));
        assert_eq!(sent["chat_template_kwargs"]["enable_thinking"], false);
    }

    #[test]
    fn options_have_the_last_word() {
        let sent = body(
            Fields::new(false),
            &ASKED,
            r#"{"seed": null, "temperature": 0.5, "max_completion_tokens": 99, "x": {"y": 1}}"#,
        );
        assert!(sent.get("seed").is_none() && sent.get("max_tokens").is_none());
        assert_eq!(
            (&sent["temperature"], &sent["max_completion_tokens"], &sent["x"]["y"]),
            (&json!(0.5), &json!(99), &json!(1))
        );
    }

    #[test]
    fn a_budget_of_the_other_name_is_tried_once() {
        let words = "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.";
        let fields = adapted(Fields::new(false), words).unwrap();
        assert_eq!(body(fields, &ASKED, "{}")["max_completion_tokens"], 24);
        assert_eq!(adapted(fields, words), None, "not back again");
        let strict = adapted(Fields::new(false), "max_tokens: Extra inputs are not permitted").unwrap();
        assert_eq!(strict.budget, Budget::MaxCompletionTokens);
        let large =
            adapted(Fields::new(false), "max_tokens is too large: 4120. This model supports at most 2048")
                .unwrap();
        assert_eq!(body(large, &Asked { budget: 4120, ..ASKED }, "{}")["max_tokens"], 2048);
        assert_eq!(body(large, &ASKED, "{}")["max_tokens"], 24);
    }

    #[test]
    fn temperature_seed_and_stream_are_left_out_where_they_are_not_taken() {
        let words = "Unsupported value: 'temperature' does not support 0.0 with this model. Only the default (1) value is supported.";
        assert!(!adapted(Fields::new(false), words).unwrap().temperature);
        assert!(!adapted(Fields::new(false), "seed: Extra inputs are not permitted").unwrap().seed);
        assert!(!adapted(Fields::new(false), "unknown field `stream`").unwrap().stream);
        let complaint = Complaint { param: Some("temperature".into()), words: "no".into() };
        assert!(Fields::new(false).adapted(&complaint, &Options::default(), false).is_some());
        assert_eq!(
            Fields::new(false).adapted(&complaint, &options(r#"{"temperature": 2}"#), false),
            None,
            "the user's own"
        );
    }

    #[test]
    fn words_that_complain_of_no_field_change_nothing() {
        for words in [
            "try later",
            "the temperature of the sea is warm",
            "invalid prompt",
            "the stream of consciousness",
        ] {
            assert_eq!(adapted(Fields::new(false), words), None, "{words}");
        }
    }

    #[test]
    fn fewer_log_probabilities_are_asked_for_where_fewer_are_allowed() {
        let fields = Fields::new(false);
        for (words, likeliest) in [
            ("Invalid value for 'top_logprobs': must be less than or equal to 5.", 5),
            ("Requested sample logprobs of 20, which is greater than max allowed: 8", 8),
            ("top_logprobs is too large", 10),
            ("'logprobs' is not supported with this model", 0),
            ("logprobs: Extra inputs are not permitted", 0),
        ] {
            assert_eq!(adapted(fields, words).unwrap().likeliest, likeliest, "{words}");
        }
        let (mut fields, mut tried) = (fields, vec![]);
        while let Some(fewer) = adapted(fields, "top_logprobs is too large") {
            fields = fewer;
            tried.push(fields.likeliest);
        }
        assert_eq!(tried, [10, 5, 2, 0]);
        assert!(body(fields, &Asked { logprobs: true, ..ASKED }, "{}").get("logprobs").is_none());
    }

    #[test]
    fn a_switch_that_the_user_insists_on_is_not_left_out() {
        let complaint = Complaint { param: None, words: "unknown field chat_template_kwargs".into() };
        let fields = Fields::new(true);
        assert!(!fields.adapted(&complaint, &Options::default(), false).unwrap().no_thinking);
        assert_eq!(fields.adapted(&complaint, &Options::default(), true), None);
    }
}
