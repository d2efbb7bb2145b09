//! Error responses of a server, and how they are handled.

use std::time::Duration;

use serde_json::Value;

/// The longest wait accepted from a server.
pub(super) const LONGEST_WAIT: Duration = Duration::from_mins(1);

/// Why a request was not answered.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Failure {
    /// The status and the server's message.
    pub(super) reason: String,
    /// What the user can do.
    pub(super) hint: &'static str,
    /// How it is handled.
    pub(super) then: Then,
}

/// How a failure is handled.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Then {
    /// Temporary: the prompt is retried after the delay that the server gives.
    Again(Option<Duration>),
    /// Like `Again`, and fewer requests are in flight from now on.
    Slower(Option<Duration>),
    /// A timeout: retried once.
    Late,
    /// A field of the request may be the cause; retried without it, or with another.
    Adapt(Complaint),
    /// A filter refused the prompt or the answer.
    Refused,
    /// The token budget was spent before there was any answer.
    Spent,
    /// Only this prompt fails.
    Fail,
    /// Every prompt would fail.
    Stop,
}

/// A complaint about a field of the request.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Complaint {
    /// The field that the server names separately from its message.
    pub(super) param: Option<String>,
    /// Its message, in lower case.
    pub(super) words: String,
}

impl Failure {
    pub(super) fn new(reason: impl Into<String>, hint: &'static str, then: Then) -> Self {
        Self { reason: reason.into(), hint, then }
    }
}

pub(super) const NOT_CHAT: &str = "the address must be of OpenAI's chat completions, and ends before /chat/completions, \
                                   as in http://localhost:8080/v1";
pub(super) const OVERLOADED: &str =
    "see whether the server is up and not overloaded, then run again: what was answered is kept";
const KEY: &str = "set RAGBIAS_API_KEY (or OPENAI_API_KEY) to a key of this server";
const QUOTA: &str = "the account has no quota left; once it has, run again: what was answered is kept";
pub(super) const ADDRESS: &str =
    "check the address, which ends before /chat/completions, and the model's name, after #";
const LENGTH: &str = "retrieve fewer or shorter documents, allow fewer `reasoning-tokens`, or take a model that reads longer prompts";
const WORDS: &str =
    "the server's own words say what it does not take; `llm-options FILE` sets or removes fields";
const WAIT: &str = "run again after that time: what was answered is kept";

/// The contents of an error body.
#[derive(Debug, Default)]
struct Words {
    message: String,
    /// Codes and types, in lower case.
    codes: Vec<String>,
    param: Option<String>,
    /// A delay given in the body.
    wait: Option<Duration>,
}

/// Classifies a response with this status, or with an `error` and status 200.
pub(super) fn of(status: u16, body: &str, after: Option<Duration>) -> Failure {
    let words = read(body);
    let reason = if words.message.is_empty() {
        format!("status {status}")
    } else {
        format!("status {status}: {}", words.message)
    };
    let lower = words.message.to_lowercase();
    let says = |any: &[&str]| any.iter().any(|part| lower.contains(part));
    let code = |any: &[&str]| words.codes.iter().any(|code| any.contains(&code.as_str()));
    let after = after.or(words.wait);
    let fail = |hint, then| Failure::new(reason.clone(), hint, then);

    if code(&[
        "content_filter",
        "content_policy_violation",
        "responsibleaipolicyviolation",
        "data_inspection_failed",
        "moderation",
    ]) || (status < 500
        && says(&["content management policy", "content_filter", "content policy", "safety system"]))
    {
        return fail("", Then::Refused);
    }
    if status == 402
        || code(&[
            "insufficient_quota",
            "billing_hard_limit_reached",
            "billing_not_active",
            "insufficient_balance",
        ])
        || (status == 429
            && after.is_none()
            && says(&["billing", "insufficient balance", "insufficient quota", "out of credits"]))
    {
        return fail(QUOTA, Then::Stop);
    }
    if status != 429
        && (code(&["context_length_exceeded", "exceed_context_size_error", "string_above_max_length"])
            || too_long(&lower))
    {
        return fail(LENGTH, Then::Fail);
    }
    if matches!(status, 400 | 422) && says(&["output limit was reached", "output limit reached"]) {
        return fail("", Then::Spent);
    }
    match status {
        429 | 500 | 502..=599 | 408 | 409 | 425 if after.is_some_and(|wait| wait > LONGEST_WAIT) => {
            let wait = after.unwrap_or_default().as_secs();
            let reason = format!(
                "{reason}; the server asks to wait {wait} s, and {} s are waited",
                LONGEST_WAIT.as_secs()
            );
            Failure::new(reason, WAIT, Then::Stop)
        }
        429 => fail(OVERLOADED, Then::Slower(after)),
        500 | 502..=599 | 408 | 409 | 425 => fail(OVERLOADED, Then::Again(after)),
        401 | 403 => fail(KEY, Then::Stop),
        404 | 405 | 410 => fail(ADDRESS, Then::Stop),
        400 | 422 if code(&["model_not_found"]) => fail(ADDRESS, Then::Stop),
        400 | 422 => fail(WORDS, Then::Adapt(Complaint { param: words.param, words: lower })),
        _ => fail(ADDRESS, Then::Fail),
    }
}

fn too_long(words: &str) -> bool {
    const SIGNS: [&str; 11] = [
        "context length",
        "context size",
        "context window",
        "context limit",
        "maximum context",
        "prompt is too long",
        "input is too long",
        "too many tokens",
        "reduce the length",
        "exceeds the model's maximum",
        "prompt too long",
    ];
    SIGNS.iter().any(|sign| words.contains(sign))
}

/// The message of a body: `error.message`, `detail`, `message`, or the text itself.
fn read(body: &str) -> Words {
    let value: Option<Value> = serde_json::from_str(body).ok();
    let Some(value) = value else {
        return Words {
            message: plain(&page_title(body).unwrap_or_else(|| body.to_owned())),
            ..Words::default()
        };
    };
    let value = match value {
        Value::Array(mut items) if !items.is_empty() => items.swap_remove(0),
        other => other,
    };
    let mut words = Words::default();
    let inner = value.get("error").filter(|error| !error.is_null()).unwrap_or(&value);
    for holder in
        [Some(inner), inner.get("innererror"), inner.get("metadata"), Some(&value)].into_iter().flatten()
    {
        for field in ["code", "type", "status", "error_type"] {
            match holder.get(field) {
                Some(Value::String(code)) => words.codes.push(code.to_lowercase()),
                Some(Value::Number(code)) => words.codes.push(code.to_string()),
                _ => {}
            }
        }
        if words.param.is_none() {
            words.param = holder.get("param").and_then(Value::as_str).map(str::to_lowercase);
        }
    }
    for detail in inner.get("details").and_then(Value::as_array).into_iter().flatten() {
        let seconds = detail
            .get("retryDelay")
            .and_then(Value::as_str)
            .and_then(|delay| delay.strip_suffix('s')?.parse().ok());
        words.wait = words.wait.or(seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()));
    }
    let texts = [inner, &value].into_iter().flat_map(|holder| {
        ["message", "detail", "msg", "error", "error_message", "errors"]
            .into_iter()
            .filter_map(|field| holder.get(field))
    });
    let texts = std::iter::once(inner).filter(|inner| inner.is_string()).chain(texts);
    for text in texts {
        match text {
            Value::String(text) if !text.trim().is_empty() => words.message = plain(text),
            Value::Array(items) => {
                // FastAPI's format: one entry per field.
                let said = items.iter().map(|item| {
                    let place = item
                        .get("loc")
                        .and_then(Value::as_array)
                        .and_then(|loc| loc.last())
                        .and_then(Value::as_str);
                    if words.param.is_none() {
                        words.param = place.map(str::to_lowercase);
                    }
                    let text = item.get("msg").or(item.get("message")).unwrap_or(item);
                    let text = text.as_str().map_or_else(|| text.to_string(), str::to_owned);
                    place.map_or_else(|| text.clone(), |place| format!("{place}: {text}"))
                });
                words.message = plain(&said.collect::<Vec<_>>().join("; "));
            }
            _ => continue,
        }
        if !words.message.is_empty() {
            return words;
        }
    }
    words.message = plain(&value.to_string());
    words
}

/// Whether a body is a web page.
pub(super) fn is_page(kind: &str, body: &str) -> bool {
    let start: String = body.trim_start().chars().take(15).collect::<String>().to_ascii_lowercase();
    start.starts_with("<!doctype html")
        || start.starts_with("<html")
        || (kind.contains("text/html") && start.starts_with('<'))
}

/// The title of a web page.
pub(super) fn page_title(body: &str) -> Option<String> {
    let body: String = body.chars().take(10_000).collect();
    if !body.trim_start().starts_with('<') {
        return None;
    }
    let lower = body.to_ascii_lowercase();
    let from = lower.find("<title>")? + "<title>".len();
    let to = from + lower[from..].find("</title>")?;
    Some(body[from..to].to_owned())
}

/// A server's message, shortened to one line, without characters that a terminal acts on.
pub(super) fn plain(text: &str) -> String {
    const LONGEST: usize = 300;
    let obeyed = |c: char| {
        c.is_control()
            || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    let readable: String = text.chars().take(20 * LONGEST).map(|c| if obeyed(c) { ' ' } else { c }).collect();
    let words = readable.split_whitespace().collect::<Vec<_>>().join(" ");
    match words.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &words[..end]),
        None => words,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shape_of_an_error_is_shown_in_the_servers_words() {
        for (body, words) in [
            (r#"{"error": {"message": "no such\nthing", "code": "x"}}"#, "no such thing"),
            (r#"{"error": "plain words"}"#, "plain words"),
            (r#"{"detail": "Not Found"}"#, "Not Found"),
            (
                r#"{"detail": [{"loc": ["body", "seed"], "msg": "Extra inputs are not permitted"}]}"#,
                "seed: Extra inputs are not permitted",
            ),
            (r#"{"object": "error", "message": "vllm says"}"#, "vllm says"),
            (r#"[{"error": {"code": 418, "message": "in a list"}}]"#, "in a list"),
            (r#"{"error": {"type": "odd"}}"#, r#"{"error":{"type":"odd"}}"#),
            ("just text\u{1b}[31m red", "just text [31m red"),
            ("<html><head><title>502 Bad Gateway</title></head></html>", "502 Bad Gateway"),
            ("<title>ʼn</TITLE>", "ʼn"),
        ] {
            assert_eq!(of(418, body, None).reason, format!("status 418: {words}"));
        }
        assert_eq!(of(418, "", None).reason, "status 418");
        assert!(of(418, &"x".repeat(9999), None).reason.len() < 330);
    }

    #[test]
    fn a_spent_quota_stops_and_a_passing_limit_slows_down() {
        let quota =
            r#"{"error": {"message": "You exceeded your current quota", "code": "insufficient_quota"}}"#;
        assert_eq!(of(429, quota, None).then, Then::Stop);
        assert_eq!(of(402, "{}", None).then, Then::Stop);
        let minute =
            r#"[{"error": {"message": "check your plan and billing", "details": [{"retryDelay": "1.5s"}]}}]"#;
        assert_eq!(of(429, minute, None).then, Then::Slower(Some(Duration::from_millis(1500))));
        assert_eq!(of(429, "slow down", None).then, Then::Slower(None));
        let long = of(429, "tomorrow", Some(Duration::from_hours(1)));
        assert!(long.then == Then::Stop && long.reason.contains("wait 3600 s"), "{long:?}");
    }

    #[test]
    fn a_prompt_that_is_too_long_is_not_tried_again_whatever_the_status() {
        for status in [400, 413, 422, 500, 503] {
            let body = r#"{"error": {"message": "the request exceeds the available context size"}}"#;
            let failure = of(status, body, None);
            assert!(
                failure.then == Then::Fail && failure.hint.contains("fewer or shorter documents"),
                "{failure:?}"
            );
        }
        assert_eq!(of(500, "boom", None).then, Then::Again(None));
        assert_eq!(
            of(503, "loading", Some(Duration::from_secs(2))).then,
            Then::Again(Some(Duration::from_secs(2)))
        );
    }

    #[test]
    fn filters_are_refusals_and_keys_models_and_addresses_stop_everything() {
        let azure = r#"{"error": {"code": "content_filter", "message": "The response was filtered", "innererror": {"code": "ResponsibleAIPolicyViolation"}}}"#;
        assert_eq!(of(400, azure, None).then, Then::Refused);
        assert_eq!(
            of(
                400,
                r#"{"error": {"message": "x", "innererror": {"code": "ResponsibleAIPolicyViolation"}}}"#,
                None
            )
            .then,
            Then::Refused
        );
        for status in [401, 403, 404, 405] {
            assert_eq!(of(status, "", None).then, Then::Stop);
        }
        assert_eq!(of(400, r#"{"error": {"code": "model_not_found"}}"#, None).then, Then::Stop);
    }

    #[test]
    fn a_complaint_names_its_field() {
        let failure = of(400, r#"{"error": {"message": "Unsupported", "param": "Temperature"}}"#, None);
        let Then::Adapt(complaint) = failure.then else { panic!("{failure:?}") };
        assert_eq!(complaint.param.as_deref(), Some("temperature"));
        let failure = of(422, r#"{"detail": [{"loc": ["body", "seed"], "msg": "Extra"}]}"#, None);
        assert!(matches!(failure.then, Then::Adapt(Complaint { param: Some(param), .. }) if param == "seed"));
    }
}
