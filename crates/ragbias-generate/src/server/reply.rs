//! Parses an answer: its text, how it ended, the model's name, the most likely tokens.

use serde_json::Value;

use super::content::{content, start};
use super::failure::{self, Failure, NOT_CHAT, Then, plain};
use super::reasoning;
use super::stream;
use super::tokens::{Token, tokens};
use super::transport::Response;

/// How an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    /// By itself.
    Stop,
    /// At the token budget.
    Cut,
    /// Refused, filtered, or empty.
    Refused,
}

/// One answer.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Reply {
    /// The name of the model, as given by the server.
    pub(super) model: Option<String>,
    /// The server's `system_fingerprint`.
    pub(super) fingerprint: Option<String>,
    /// The text after the reasoning; the text of a refusal if it has its own field.
    pub(super) text: String,
    pub(super) ended: Ended,
    /// Whether there was reasoning before it.
    pub(super) reasoned: bool,
    /// The most likely first tokens; none if the server returns no log-probabilities.
    pub(super) tokens: Option<Vec<Token>>,
    /// Harmless irregularities.
    pub(super) remarks: Vec<String>,
}

impl Reply {
    /// A server's response instead of an answer.
    pub(super) fn without_text(ended: Ended) -> Self {
        let reasoned = ended == Ended::Cut;
        let (text, remarks) = (String::new(), Vec::new());
        Self { model: None, fingerprint: None, text, ended, reasoned, tokens: None, remarks }
    }
}

/// Reads a response.
pub(super) fn read(response: &Response) -> Result<Reply, Failure> {
    let text = response.text.as_str();
    if !(200..300).contains(&response.status) {
        return Err(failure::of(response.status, text, response.after));
    }
    if failure::is_page(&response.kind, text) {
        let title =
            failure::page_title(text).map(|title| format!(", `{}`", plain(&title))).unwrap_or_default();
        return Err(Failure::new(format!("this is a web page{title}"), NOT_CHAT, Then::Stop));
    }
    let text = stream::without_comments(text);
    if text.is_empty() {
        return Err(Failure::new("the answer has no body", NOT_CHAT, Then::Again(response.after)));
    }
    let value = if stream::is_stream(text) { stream::join(text)? } else { first_json(text)? };
    if let Some(error) = value.get("error").filter(|error| !error.is_null() && **error != Value::Bool(false))
    {
        let code = error.get("code").and_then(|code| code.as_u64().or_else(|| code.as_str()?.parse().ok()));
        let status = code
            .and_then(|code| u16::try_from(code).ok())
            .filter(|code| (400..600).contains(code))
            .unwrap_or(400);
        let mut failed = failure::of(status, &value.to_string(), response.after);
        if let Some(words) = failed.reason.strip_prefix(&format!("status {status}")) {
            failed.reason = format!("status {} with an error{words}", response.status);
        }
        return Err(failed);
    }
    completion(&value)
}

/// The JSON at the beginning of a text; the end marker of a stream may follow.
fn first_json(text: &str) -> Result<Value, Failure> {
    let again = |reason: String| Failure::new(reason, failure::OVERLOADED, Then::Again(None));
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<Value>();
    let value = match values.next() {
        Some(Ok(value)) => value,
        Some(Err(error)) => {
            return Err(again(format!("the answer is not JSON: {error}; it begins `{}`", start(text))));
        }
        None => return Err(again("the answer is not JSON".into())),
    };
    let rest = text[values.byte_offset()..].trim();
    if rest.is_empty() || rest == "data: [DONE]" || rest == "[DONE]" {
        Ok(value)
    } else {
        Err(again(format!("there is more behind the answer's JSON: `{}`", start(rest))))
    }
}

fn completion(value: &Value) -> Result<Reply, Failure> {
    let fail = |reason: String| Failure::new(reason, NOT_CHAT, Then::Stop);
    let mut remarks = Vec::new();
    let choices = match value.get("choices") {
        Some(Value::Array(choices)) if !choices.is_empty() => choices,
        Some(Value::Array(_)) => {
            return Err(Failure::new("the answer's `choices` are empty", NOT_CHAT, Then::Fail));
        }
        _ => {
            let keys =
                value.as_object().map(|object| object.keys().take(8).cloned().collect::<Vec<_>>().join(", "));
            return Err(fail(format!(
                "the answer has no `choices`, but {}",
                keys.map_or_else(|| format!("is {}", start(&value.to_string())), |keys| plain(&keys))
            )));
        }
    };
    let index = |choice: &Value| choice.get("index").and_then(Value::as_u64).unwrap_or(0);
    let choice = choices.iter().min_by_key(|choice| index(choice)).unwrap_or(&choices[0]);
    if choices.len() > 1 {
        remarks.push("several choices came where one was asked for; the first was taken".into());
    }
    let message = choice.get("message").or_else(|| choice.get("delta")).filter(|message| message.is_object());
    let Some(message) = message else { return Err(fail("the answer has no choices[0].message".into())) };
    let content = content(message)?;
    let said = reasoning::take_off(&content.text);
    let counted = value.pointer("/usage/completion_tokens_details/reasoning_tokens").and_then(Value::as_u64);
    let reasoned = said.reasoned || content.reasoned || counted.is_some_and(|tokens| tokens > 0);
    let refusal =
        message.get("refusal").and_then(Value::as_str).map(str::trim).filter(|refusal| !refusal.is_empty());
    let mut ended = finish(choice, !said.text.is_empty(), &mut remarks)?;
    if said.unfinished {
        ended = Ended::Cut;
    } else if refusal.is_some() || content.refused || (ended == Ended::Stop && said.text.is_empty()) {
        ended = Ended::Refused;
    }
    let text =
        |field: &str| value.get(field).and_then(Value::as_str).map(plain).filter(|text| !text.is_empty());
    Ok(Reply {
        model: text("model"),
        fingerprint: text("system_fingerprint"),
        text: if said.text.is_empty() { refusal.unwrap_or_default().into() } else { said.text },
        ended,
        reasoned,
        tokens: tokens(choice),
        remarks,
    })
}

/// The meaning of `finish_reason`.
fn finish(choice: &Value, answered: bool, remarks: &mut Vec<String>) -> Result<Ended, Failure> {
    let reason = match choice.get("finish_reason") {
        Some(Value::String(reason)) => reason.to_lowercase(),
        _ => String::new(),
    };
    Ok(match reason.as_str() {
        "" | "stop" | "eos" | "eos_token" | "end_turn" | "stop_sequence" | "tool_calls" | "function_call" => {
            Ended::Stop
        }
        "length" | "max_tokens" | "max_output_tokens" | "model_length" => Ended::Cut,
        "content_filter" | "safety" | "recitation" | "blocklist" | "prohibited_content" | "spii"
        | "refusal" | "sensitive" => Ended::Refused,
        "error" | "abort" | "insufficient_system_resource" | "network_error" => {
            let reason = format!("the answer ended with finish_reason `{}`", plain(&reason));
            return Err(Failure::new(reason, failure::OVERLOADED, Then::Again(None)));
        }
        _ if answered => {
            remarks
                .push(format!("finish_reason `{}` is not known, and was taken for `stop`", plain(&reason)));
            Ended::Stop
        }
        _ => {
            let reason = format!("the answer is empty, with the unknown finish_reason `{}`", plain(&reason));
            return Err(Failure::new(reason, NOT_CHAT, Then::Fail));
        }
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn response(status: u16, kind: &str, text: impl Into<String>) -> Response {
        Response { status, kind: kind.into(), after: None, text: text.into(), held_secret: false }
    }

    fn reply(text: impl Into<String>) -> Result<Reply, Failure> {
        read(&response(200, "application/json", text))
    }

    fn said(message: &Value, finish: &str) -> (String, Ended, bool) {
        let reply =
            reply(json!({ "choices": [{ "message": message, "finish_reason": finish }] }).to_string())
                .unwrap();
        (reply.text, reply.ended, reply.reasoned)
    }

    #[test]
    fn content_is_a_text_or_parts_and_thinking_is_beside_it() {
        assert_eq!(said(&json!({ "content": "Marie" }), "stop"), ("Marie".into(), Ended::Stop, false));
        let parts = json!({ "content": [{ "type": "thinking", "thinking": "he" }, { "type": "text", "text": "Marie " }, "Curie"] });
        assert_eq!(said(&parts, "stop"), ("Marie Curie".into(), Ended::Stop, true));
        for field in ["reasoning_content", "reasoning"] {
            assert_eq!(
                said(&json!({ "content": "Marie", field: "Isaac" }), "stop"),
                ("Marie".into(), Ended::Stop, true)
            );
            assert_eq!(
                said(&json!({ "content": null, field: "Isaac" }), "length"),
                (String::new(), Ended::Cut, true)
            );
        }
        let image = reply(r#"{"choices": [{"message": {"content": [{"type": "image_url"}]}}]}"#).unwrap_err();
        assert!(image.reason.contains("`image_url`"), "{image:?}");
        assert!(reply(r#"{"choices": [{"message": {"content": 7}}]}"#).unwrap_err().reason.contains("is 7"));
    }

    #[test]
    fn refusals_filters_and_empty_answers_are_refused_and_spent_budgets_cut() {
        for (message, finish) in [
            (json!({ "content": null, "refusal": "I cannot" }), "stop"),
            (json!({ "content": [{ "type": "refusal", "refusal": "no" }] }), "stop"),
            (json!({ "content": "Mar" }), "content_filter"),
            (json!({ "content": "" }), "stop"),
            (json!({ "content": " \n" }), ""),
            (json!({ "content": null }), "content_filter"),
            (json!({}), "stop"),
        ] {
            assert_eq!(said(&message, finish).1, Ended::Refused, "{message} {finish}");
        }
        for (message, finish) in [
            (json!({ "content": "Mar" }), "length"),
            (json!({ "content": "" }), "length"),
            (json!({ "content": "<think>hm" }), "stop"),
        ] {
            assert_eq!(said(&message, finish).1, Ended::Cut, "{message} {finish}");
        }
        let odd = reply(r#"{"choices": [{"message": {"content": "x"}, "finish_reason": "weird"}]}"#).unwrap();
        assert!(odd.ended == Ended::Stop && odd.remarks[0].contains("`weird`"));
        assert!(reply(r#"{"choices": [{"message": {"content": ""}, "finish_reason": "weird"}]}"#).is_err());
        let broken =
            reply(r#"{"choices": [{"message": {"content": "x"}, "finish_reason": "error"}]}"#).unwrap_err();
        assert_eq!(broken.then, Then::Again(None));
    }

    #[test]
    fn the_model_and_its_fingerprint_are_read() {
        let reply = reply(
            r#"{"model": "m-2", "system_fingerprint": "fp", "choices": [{"message": {"content": "x"}}]}"#,
        )
        .unwrap();
        assert_eq!((reply.model.as_deref(), reply.fingerprint.as_deref()), (Some("m-2"), Some("fp")));
    }

    #[test]
    fn the_first_choice_is_taken_wherever_it_stands() {
        let choices = json!({ "choices": [{ "index": 1, "message": { "content": "b" } }, { "index": 0, "message": { "content": "a" } }] });
        let reply = reply(choices.to_string()).unwrap();
        assert!(reply.text == "a" && reply.remarks[0].contains("several choices"));
    }

    #[test]
    fn what_is_no_completion_is_named() {
        for (text, reason, then) in [
            ("{\"message\": {}, \"done\": true}", "no `choices`, but message, done", Then::Stop),
            ("{\"choices\": []}", "`choices` are empty", Then::Fail),
            ("{\"choices\": [{\"text\": \"x\"}]}", "no choices[0].message", Then::Stop),
            ("[1]", "is [1]", Then::Stop),
            ("{ not json", "not JSON", Then::Again(None)),
            ("{\"choices\": []} and more", "`and more`", Then::Again(None)),
            ("", "no body", Then::Again(None)),
        ] {
            let failure = reply(text).unwrap_err();
            assert!(failure.reason.contains(reason) && failure.then == then, "{failure:?}");
        }
        let page = read(&response(200, "text/html", "<!DOCTYPE html><title>Sign in</title>")).unwrap_err();
        assert!(
            page.reason.contains("web page, `Sign in`")
                && page.then == Then::Stop
                && page.hint.contains("ends before /chat")
        );
        let error = reply(r#"{"error": {"message": "overloaded", "code": 529}}"#).unwrap_err();
        assert!(
            error.reason == "status 200 with an error: overloaded" && error.then == Then::Again(None),
            "{error:?}"
        );
        let error = reply(r#"{"error": {"message": "no"}, "choices": []}"#).unwrap_err();
        assert_eq!(error.reason, "status 200 with an error: no");
    }

    #[test]
    fn the_end_of_a_stream_may_stand_behind_the_answer() {
        let text = "{\"choices\": [{\"message\": {\"content\": \"x\"}}]}\n\ndata: [DONE]\n\n";
        assert_eq!(reply(text).unwrap().text, "x");
    }
}
