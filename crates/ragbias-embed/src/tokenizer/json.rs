//! Whether a file is JSON throughout, and its templates name special tokens that they have: the tokenizers crate ends the
//! program where they do not.

use std::fmt;
use std::path::Path;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use crate::files::parse_json;
use crate::{Error, Result};

/// Refuses a file that is no JSON somewhere, and a post-processor whose template names a special token that it does not define.
pub(super) fn check(path: &Path, bytes: &[u8]) -> Result<()> {
    match undefined(&parse_json::<PostProcessor>(path, bytes)?.0) {
        Some(token) => {
            let expected = "templates of tokens that its `special_tokens` define";
            Err(Error::unsupported(path, "post_processor", expected, token.to_owned()))
        }
        None => Ok(()),
    }
}

/// The first special token of a post-processor, or of one of several, that is not defined.
fn undefined(processor: &Value) -> Option<&str> {
    let list = |key: &str| processor[key].as_array().map(Vec::as_slice).unwrap_or_default();
    let known = &processor["special_tokens"];
    let named =
        list("single").iter().chain(list("pair")).filter_map(|piece| piece["SpecialToken"]["id"].as_str());
    let mut own = named.filter(|token| known.get(token).is_none());
    own.next().or_else(|| list("processors").iter().find_map(undefined))
}

/// The post-processor of a file that is JSON throughout; null where it has none.
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

/// Any JSON, every part of which was looked at and none kept.
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
