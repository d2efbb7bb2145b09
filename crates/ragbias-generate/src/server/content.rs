//! The content of a message: a text, or parts, some of which are reasoning or a refusal.

use serde_json::Value;

use super::failure::{Failure, NOT_CHAT, Then, plain};

/// A message's text and its other fields.
#[derive(Debug, Default)]
pub(super) struct Content {
    pub(super) text: String,
    pub(super) reasoned: bool,
    pub(super) refused: bool,
}

/// The content of a message or of a part of one: a string, parts, or nothing.
pub(super) fn content(message: &Value) -> Result<Content, Failure> {
    let reasoned = ["reasoning_content", "reasoning", "thinking", "reasoning_details"].iter().any(|field| {
        message.get(field).is_some_and(|thought| match thought {
            Value::String(thought) => !thought.trim().is_empty(),
            Value::Array(thoughts) => !thoughts.is_empty(),
            Value::Object(thought) => !thought.is_empty(),
            _ => false,
        })
    });
    let mut content = Content { reasoned, ..Content::default() };
    match message.get("content") {
        None | Some(Value::Null) => {}
        Some(Value::String(text)) => content.text.clone_from(text),
        Some(Value::Array(parts)) => {
            for part in parts {
                content.add(part)?;
            }
        }
        Some(part @ Value::Object(_)) => content.add(part)?,
        Some(other) => {
            let reason =
                format!("choices[0].message.content is {}, expected a text", start(&other.to_string()));
            return Err(Failure::new(reason, NOT_CHAT, Then::Fail));
        }
    }
    Ok(content)
}

impl Content {
    fn add(&mut self, part: &Value) -> Result<(), Failure> {
        let text = part.as_str().or_else(|| part.get("text").and_then(Value::as_str));
        match (part.get("type").and_then(Value::as_str).unwrap_or("text"), text) {
            ("text" | "output_text", Some(text)) => self.text.push_str(text),
            ("thinking" | "reasoning" | "redacted_thinking", _) => self.reasoned = true,
            ("refusal", _) => self.refused = true,
            (kind, _) => {
                let reason = format!("the answer has a part of type `{}`, expected text", plain(kind));
                return Err(Failure::new(reason, NOT_CHAT, Then::Fail));
            }
        }
        Ok(())
    }
}

/// The start of a text, as an error message shows it.
pub(super) fn start(text: &str) -> String {
    plain(&text.chars().take(60).collect::<String>())
}
