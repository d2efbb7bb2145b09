//! Reads an answer sent as an event stream that was not requested.

use serde_json::{Value, json};

use super::content::content;
use super::failure::{self, Failure, Then, plain};

/// Whether a body is a stream of server-sent events.
pub(super) fn is_stream(text: &str) -> bool {
    ["data:", "event:", "id:", "retry:"].iter().any(|field| text.starts_with(field))
}

/// A body without the comments and empty lines that keep a connection alive.
pub(super) fn without_comments(text: &str) -> &str {
    let mut text = text.trim_start();
    while text.starts_with(':') {
        text = text.split_once('\n').map_or("", |(_, rest)| rest).trim_start();
    }
    text
}

/// The completion assembled from the events of a stream.
pub(super) fn join(text: &str) -> Result<Value, Failure> {
    let again = |reason: String| Failure::new(reason, failure::OVERLOADED, Then::Again(None));
    let (mut text_so_far, mut refusal) = (String::new(), String::new());
    let (mut reasoned, mut done) = (false, false);
    let (mut finish, mut logprobs) = (Value::Null, Vec::new());
    let mut whole = json!({});
    for event in events(text) {
        if event.trim() == "[DONE]" {
            done = true;
            break;
        }
        let chunk: Value = serde_json::from_str(&event).map_err(|error| {
            again(format!("an event of the stream is not JSON: {error}; it is `{}`", plain(&event)))
        })?;
        if chunk.get("error").is_some_and(|error| !error.is_null())
            || chunk.pointer("/choices/0/message").is_some()
        {
            return Ok(chunk);
        }
        for field in ["model", "system_fingerprint", "usage"] {
            if let Some(value) = chunk.get(field).filter(|value| !value.is_null()) {
                whole[field] = value.clone();
            }
        }
        for choice in chunk.get("choices").and_then(Value::as_array).into_iter().flatten() {
            if choice.get("index").and_then(Value::as_u64).unwrap_or(0) != 0 {
                continue;
            }
            if let Some(delta) = choice.get("delta") {
                let piece = content(delta)?;
                text_so_far.push_str(&piece.text);
                reasoned |= piece.reasoned;
                refusal.push_str(delta.get("refusal").and_then(Value::as_str).unwrap_or_default());
                if piece.refused {
                    refusal.push_str("refused");
                }
            }
            if let Some(reason) = choice.get("finish_reason").filter(|reason| !reason.is_null()) {
                finish = reason.clone();
            }
            logprobs.extend(
                choice.pointer("/logprobs/content").and_then(Value::as_array).into_iter().flatten().cloned(),
            );
        }
    }
    if !done && finish.is_null() {
        return Err(again("the stream of events broke off before its end".into()));
    }
    let mut message = json!({ "content": text_so_far, "refusal": refusal });
    if reasoned {
        message["reasoning_content"] = "thought".into();
    }
    let told = if logprobs.is_empty() { Value::Null } else { json!({ "content": logprobs }) };
    whole["choices"] = json!([{ "index": 0, "finish_reason": finish, "message": message, "logprobs": told }]);
    Ok(whole)
}

/// The data of each event, its lines joined.
fn events(text: &str) -> impl Iterator<Item = String> {
    let mut lines = text.lines();
    std::iter::from_fn(move || {
        let mut data: Option<String> = None;
        loop {
            let line = lines.next();
            match line.map(str::trim_end) {
                Some(line) if !line.is_empty() => {
                    if let Some(piece) = line.strip_prefix("data:") {
                        let piece = piece.strip_prefix(' ').unwrap_or(piece);
                        data = Some(data.map_or_else(|| piece.to_owned(), |data| format!("{data}\n{piece}")));
                    }
                }
                end if data.is_some() || end.is_none() => return data,
                _ => {}
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pieces_of_a_stream_are_joined() {
        let text = ": ping\n\nevent: x\ndata: {\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"Marie\"}}]}\r\n\r\n\
                    data: {\"choices\":[{\"index\":1,\"delta\":{\"content\":\"no\"}},\ndata: {\"index\":0,\"delta\":{\"content\":\" Curie\"},\"finish_reason\":\"stop\"}]}\n\n\
                    data: {\"choices\":[],\"usage\":{\"total_tokens\":3}}\n\ndata: [DONE]\n\n";
        assert!(is_stream(without_comments(text)));
        let whole = join(text).unwrap();
        assert_eq!(whole["choices"][0]["message"]["content"], "Marie Curie");
        assert_eq!((&whole["model"], &whole["choices"][0]["finish_reason"]), (&json!("m"), &json!("stop")));
    }

    #[test]
    fn comments_before_an_answer_are_passed_over() {
        assert_eq!(without_comments("\n: busy\n\n: busy\r\n\n{}"), "{}");
        assert_eq!(without_comments(": busy"), "");
    }

    #[test]
    fn a_stream_that_breaks_off_is_asked_for_again() {
        let failure = join("data: {\"choices\":[{\"delta\":{\"content\":\"Mar\"}}]}\n\n").unwrap_err();
        assert!(failure.then == Then::Again(None) && failure.reason.contains("broke off"));
        assert!(join("data: {\"choi").unwrap_err().reason.contains("not JSON"));
    }

    #[test]
    fn an_error_or_a_whole_message_within_a_stream_is_taken_as_it_is() {
        let error = join("data: {\"error\":{\"message\":\"no\"}}\n\n").unwrap();
        assert_eq!(error["error"]["message"], "no");
        let whole =
            join("data: {\"choices\":[{\"message\":{\"content\":\"x\"}}]}\n\ndata: [DONE]\n").unwrap();
        assert_eq!(whole["choices"][0]["message"]["content"], "x");
    }

    #[test]
    fn thinking_and_refusals_are_kept_apart() {
        let text = "data: {\"choices\":[{\"delta\":{\"reasoning_content\":\"hm\"}}]}\n\n\
                    data: {\"choices\":[{\"delta\":{\"refusal\":\"no\"},\"finish_reason\":\"stop\"}]}\n\n";
        let message = &join(text).unwrap()["choices"][0]["message"];
        assert!(message["reasoning_content"].is_string() && message["refusal"] == "no");
    }
}
