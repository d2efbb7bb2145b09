//! Checks that a file is valid JSON throughout, and that its templates use only special tokens that are defined: otherwise the
//! tokenizers crate ends the program.

use std::fmt;
use std::path::Path;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use crate::files::parse_json;
use crate::{Error, Result};

/// Refuses a file with invalid JSON, and a post-processor whose template uses an undefined special token.
pub(super) fn check(path: &Path, bytes: &[u8]) -> Result<()> {
    match undefined(&parse_json::<PostProcessor>(path, bytes)?.0) {
        Some(token) => {
            let expected = "templates of tokens that its `special_tokens` define";
            Err(Error::unsupported(path, "post_processor", expected, token.to_owned()))
        }
        None => Ok(()),
    }
}

/// The first undefined special token of a post-processor, or of a sequence of them.
fn undefined(processor: &Value) -> Option<&str> {
    let list = |key: &str| processor[key].as_array().map(Vec::as_slice).unwrap_or_default();
    let known = &processor["special_tokens"];
    let named =
        list("single").iter().chain(list("pair")).filter_map(|piece| piece["SpecialToken"]["id"].as_str());
    let mut own = named.filter(|token| known.get(token).is_none());
    own.next().or_else(|| list("processors").iter().find_map(undefined))
}

/// The post-processor of a valid JSON file; null if it has none.
struct PostProcessor(Value);

impl<'de> Deserialize<'de> for PostProcessor {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        deserializer.deserialize_map(Top)
    }
}

struct Top;

impl<'de> Visitor<'de> for Top {
    type Value = PostProcessor;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> std::result::Result<PostProcessor, A::Error> {
        let mut own = Value::Null;
        while let Some(key) = object.next_key::<String>()? {
            if key == "post_processor" {
                own = object.next_value()?;
            } else {
                object.next_value::<Sound>()?;
            }
        }
        Ok(PostProcessor(own))
    }
}

/// Any JSON, parsed completely and discarded.
struct Sound;

impl<'de> Deserialize<'de> for Sound {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        deserializer.deserialize_any(Looking)
    }
}

struct Looking;

impl<'de> Visitor<'de> for Looking {
    type Value = Sound;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, _: bool) -> std::result::Result<Sound, E> {
        Ok(Sound)
    }

    fn visit_i64<E>(self, _: i64) -> std::result::Result<Sound, E> {
        Ok(Sound)
    }

    fn visit_u64<E>(self, _: u64) -> std::result::Result<Sound, E> {
        Ok(Sound)
    }

    fn visit_f64<E>(self, _: f64) -> std::result::Result<Sound, E> {
        Ok(Sound)
    }

    fn visit_str<E>(self, _: &str) -> std::result::Result<Sound, E> {
        Ok(Sound)
    }

    fn visit_unit<E>(self) -> std::result::Result<Sound, E> {
        Ok(Sound)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> std::result::Result<Sound, A::Error> {
        while list.next_element::<Sound>()?.is_some() {}
        Ok(Sound)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> std::result::Result<Sound, A::Error> {
        while object.next_entry::<Sound, Sound>()?.is_some() {}
        Ok(Sound)
    }
}
