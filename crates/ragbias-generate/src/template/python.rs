//! Extensions that templates expect from Python's Jinja and from transformers.

use std::io;

use minijinja::value::{Kwargs, Value};
use minijinja::{Environment, Error, ErrorKind};
use serde::Serialize;
use serde_json::ser::{Formatter, PrettyFormatter, Serializer};

/// The date given to templates, which is the default date in Llama 3's templates: a measurement must not depend
/// on the day it is made.
pub(super) const DAY: &str = "Friday, 26 July 2024";

pub(super) fn teach(environment: &mut Environment<'static>) {
    environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
    environment.add_function("raise_exception", |message: String| -> Result<String, Error> {
        Err(Error::new(ErrorKind::InvalidOperation, message))
    });
    environment.add_function("strftime_now", |format: &str| strftime(format));
    environment.add_filter("tojson", to_json);
}

/// The template without `{% generation %}` and `{% endgeneration %}`, which mark the trained part; the white
/// space around them is handled as if they were there.
pub(super) fn without_generation(source: &str) -> String {
    let mut out = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(start) = rest.find("{%") {
        let (before, block) = rest.split_at(start);
        out.push_str(before);
        rest = block;
        let (replaced, length) = generation(block).unwrap_or(("{%".into(), 2));
        out.push_str(&replaced);
        rest = &rest[length..];
    }
    out.push_str(rest);
    out
}

/// The replacement for the block at the beginning of a text, and the length of the block, if it is a generation block.
fn generation(block: &str) -> Option<(String, usize)> {
    // In `{%}`, the percent sign cannot also end the block.
    let inner = &block[2..];
    let inner = &inner[..inner.find("%}")?];
    let begun = inner.strip_prefix(['-', '+']).unwrap_or(inner);
    let word = begun.strip_suffix(['-', '+']).unwrap_or(begun).trim();
    let instead = match word {
        "generation" => "if true",
        "endgeneration" => "endif",
        _ => return None,
    };
    // Within a quoted string it is not a block.
    let after = &block[inner.len() + 4..];
    if after.starts_with(['\'', '"']) {
        return None;
    }
    Some((format!("{{%{}%}}", inner.replacen(word, instead, 1)), inner.len() + 4))
}

/// `DAY` at midnight, formatted as by C's strftime.
fn strftime(format: &str) -> Result<String, Error> {
    let mut out = String::new();
    let mut letters = format.chars();
    while let Some(letter) = letters.next() {
        if letter != '%' {
            out.push(letter);
            continue;
        }
        let rest = letters.as_str();
        let length = if rest.starts_with('-') { 2 } else { 1 };
        let directive: String = letters.by_ref().take(length).collect();
        out.push_str(match &*directive {
            "Y" => "2024",
            "y" => "24",
            "m" => "07",
            "-m" => "7",
            "d" | "e" | "-d" => "26",
            "B" => "July",
            "b" | "h" => "Jul",
            "A" => "Friday",
            "a" => "Fri",
            "j" => "208",
            "F" => "2024-07-26",
            "D" | "x" => "07/26/24",
            "H" | "M" | "S" => "00",
            "-H" | "-M" | "-S" => "0",
            "I" | "-I" => "12",
            "p" => "AM",
            "T" | "X" => "00:00:00",
            "R" => "00:00",
            "Z" => "UTC",
            "z" => "+0000",
            "%" => "%",
            other => {
                let message = format!("strftime_now does not know `%{other}`");
                return Err(Error::new(ErrorKind::InvalidOperation, message));
            }
        });
    }
    Ok(out)
}

/// As in transformers: no escapes for HTML or for non-ASCII characters, and a space after each comma and colon.
fn to_json(value: &Value, options: Kwargs) -> Result<Value, Error> {
    let indent: Option<usize> = options.get("indent")?;
    options.get::<Option<bool>>("ensure_ascii")?;
    options.assert_all_used()?;
    let mut out = Vec::new();
    let written = match indent {
        Some(indent) => {
            let spaces = vec![b' '; indent.min(16)];
            value.serialize(&mut Serializer::with_formatter(&mut out, PrettyFormatter::with_indent(&spaces)))
        }
        None => value.serialize(&mut Serializer::with_formatter(&mut out, Spaced)),
    };
    let wrong = |error: String| Error::new(ErrorKind::BadSerialization, error);
    written.map_err(|error| wrong(error.to_string()))?;
    let text = String::from_utf8(out).map_err(|error| wrong(error.to_string()))?;
    Ok(Value::from_safe_string(text))
}

/// `{"a": 1, "b": [2, 3]}`.
struct Spaced;

impl Formatter for Spaced {
    fn begin_array_value<W: ?Sized + io::Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_key<W: ?Sized + io::Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_value<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(b": ")
    }
}
