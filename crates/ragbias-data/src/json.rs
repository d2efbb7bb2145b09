//! JSON Lines: an object per line, with unique keys, each of which is read, refused or reported.

use std::fmt;

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use crate::findings::{Findings, Place};
use crate::lines::Lines;
use crate::names::{Likeness, likeness};
use crate::text::shown;
use crate::{Error, Result};

/// Calls `each` with the object of every line and its position; empty lines are skipped.
///
/// # Errors
/// Problems of the file or a line, as the findings decide, and errors of `each`.
pub(crate) fn each_object(
    lines: &mut Lines<'_>,
    findings: &mut Findings,
    mut each: impl FnMut(Place, Map<String, Value>, &mut Findings) -> Result<()>,
) -> Result<()> {
    let path = lines.path().to_owned();
    let mut first = true;
    while let Some(line) = lines.next()? {
        if line.text.trim().is_empty() {
            continue;
        }
        match object(line.text) {
            Ok(object) => each(Place::Line(line.number), object, findings)?,
            Err(reason) => {
                if let Some(reason) = other_layout(line.text).filter(|_| first) {
                    // Every line of such a file would be an error.
                    return Err(Error::Line { path, line: line.number, reason: reason.into() });
                }
                findings.wrong(Place::Line(line.number), reason)?;
            }
        }
        first = false;
    }
    lines.say(findings);
    Ok(())
}

/// The kind of JSON file that begins this way and is not JSON Lines.
fn other_layout(first: &str) -> Option<&'static str> {
    match first.trim() {
        start if start.starts_with('[') => {
            Some("a JSON array, expected an object on each line\nhint: `jq -c '.[]' FILE > NEW` writes it so")
        }
        "{" => Some(
            "an object over several lines, expected one on each line\nhint: `jq -c . FILE > NEW` writes it so",
        ),
        _ => None,
    }
}

/// The object in a line, or the problem with it.
fn object(line: &str) -> Result<Map<String, Value>, String> {
    match serde_json::from_str(line) {
        Ok(Strict(Value::Object(object))) => Ok(object),
        Ok(Strict(other)) => Err(format!("expected an object {{…}}, received {}", written(&other))),
        Err(error) => Err(reason(&error, line)),
    }
}

/// serde's message without its own "at line 1": a record is one line, and we give its number ourselves.
fn reason(error: &serde_json::Error, line: &str) -> String {
    let text = error.to_string();
    let reason = text.split(" at line ").next().unwrap_or(&text);
    let rest = line.get(error.column().saturating_sub(1)..).unwrap_or_default();
    let hint = if ["NaN", "Infinity", "-Infinity"].iter().any(|word| rest.starts_with(word)) {
        "\nhint: JSON has no NaN and no Infinity; what is missing is null"
    } else if !line.trim_start().starts_with('{') {
        "; expected an object {…} on each line"
    } else {
        ""
    };
    format!("{} (column {}){hint}", shown(reason), error.column())
}

/// A value as written, shortened if it is long.
pub(crate) fn written(value: &Value) -> String {
    let text = value.to_string();
    let cut: String = text.chars().take(60).collect();
    let more = if cut.len() < text.len() { "…" } else { "" };
    format!("{}{more}", shown(&cut))
}

/// Takes the value of a key; null is the same as absent.
pub(crate) fn take(object: &mut Map<String, Value>, key: &str) -> Option<Value> {
    object.remove(key).filter(|value| !value.is_null())
}

/// A text, or a whole number converted to text as in other files: `1`, not `1.0`.
pub(crate) fn text_or_number(value: Value) -> Result<String, String> {
    match value {
        Value::String(text) => Ok(text),
        Value::Number(number) => whole(&number).ok_or_else(|| {
            format!(
                "expected a text, received the number {number}, which is not exact\nhint: put it in quotes"
            )
        }),
        other => Err(format!("expected a text, received {}", written(&other))),
    }
}

/// The digits of a number without a fraction; none if digits may have been lost.
fn whole(number: &Number) -> Option<String> {
    /// 2⁵³: from here on, not every whole number can be an f64.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if number.is_i64() || number.is_u64() {
        return Some(number.to_string());
    }
    let value = number.as_f64().filter(|value| value.fract() == 0.0 && value.abs() < EXACT)?;
    Some(format!("{}", value + 0.0))
}

/// Refuses a key that resembles one of `absent`, the expected keys that are missing, or notes that it may be a misspelling.
///
/// Returns whether it resembles one.
pub(crate) fn check_key<'k>(
    key: &str,
    within: &str,
    absent: impl Iterator<Item = &'k str>,
    place: Place,
    findings: &mut Findings,
) -> Result<bool> {
    let key_shown = shown(key);
    for known in absent {
        match likeness(key, known) {
            Likeness::Spelling => {
                findings
                    .wrong(place, format!("the field `{within}{key_shown}`: expected `{within}{known}`"))?;
            }
            Likeness::Typo => findings.note_at(
                place,
                format!("the field `{within}{key_shown}` is not read; is it `{within}{known}`?"),
            ),
            Likeness::None => continue,
        }
        return Ok(true);
    }
    Ok(false)
}

/// Checks every remaining key of an object in this way, and records the others that have a value as not read.
pub(crate) fn check_rest(
    rest: &Map<String, Value>,
    absent: &[&str],
    place: Place,
    findings: &mut Findings,
) -> Result<()> {
    for (key, _) in rest.iter().filter(|(_, value)| !is_empty(value)) {
        if !check_key(key, "", absent.iter().copied(), place, findings)? {
            findings.unread(&shown(key).to_string());
        }
    }
    Ok(())
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.trim().is_empty(),
        Value::Array(values) => values.is_empty(),
        Value::Object(object) => object.is_empty(),
        _ => false,
    }
}

/// A JSON value in which no object has duplicate keys.
struct Strict(Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(StrictVisitor).map(Self)
    }
}

struct StrictVisitor;

impl<'de> Visitor<'de> for StrictVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut values: A) -> Result<Value, A::Error> {
        let mut array = Vec::new();
        while let Some(Strict(value)) = values.next_element()? {
            array.push(value);
        }
        Ok(array.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            let Strict(value) = entries.next_value()?;
            if object.contains_key(&key) {
                return Err(de::Error::custom(format_args!("the field `{key}` is there twice")));
            }
            object.insert(key, value);
        }
        Ok(object.into())
    }
}
