//! Tokens outside the vocabulary: special and added tokens.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};

use serde_json::Value;
use tokenizers::{AddedToken, Tokenizer};

use super::class::NAMED;
use super::settings::{ADDITIONAL, EXTRA, Settings};
use crate::files::{Object, read_optional_json};
use crate::{Error, Result};

/// The tokens that transformers adds to a tokenizer, in the same order.
pub(super) struct Added {
    /// By the id in the file; the vocabulary's own id takes precedence, else the next free one.
    listed: BTreeMap<u32, AddedToken>,
    /// `cls_token` and so on, by key.
    named: Vec<(&'static str, AddedToken)>,
    /// Special tokens without a name.
    extra: Vec<AddedToken>,
}

impl Added {
    pub(super) fn read(folder: &Path, settings: &Settings, loaded: Option<&Tokenizer>) -> Result<Self> {
        let (path, class) = (&settings.path, settings.class);
        let mut named = Vec::new();
        for key in NAMED {
            let token = match settings.file.get(key) {
                Some(Value::Null) => None,
                Some(Value::String(content)) => Some(class.token(key, content)),
                Some(value) => Some(token(path, key, value, true)?),
                None => class.default_token(key).map(|content| class.token(key, content)),
            };
            named.extend(token.map(|token| (key, token)));
        }
        let extra = extra(settings)?;
        let listed =
            if settings.is_older { older(folder, &named, &extra, loaded)? } else { decoder(path, settings)? };
        let mut added = Self { listed, named, extra };
        added.take_listed();
        Ok(added)
    }

    /// A named token that is also listed has the properties given in the list.
    fn take_listed(&mut self) {
        for (_, token) in &mut self.named {
            if let Some(listed) = self.listed.values().find(|listed| listed.content == token.content) {
                *token = listed.clone();
            }
        }
    }

    /// The text of a named token.
    pub(super) fn named(&self, key: &str) -> Option<&str> {
        self.named.iter().find(|(name, _)| *name == key).map(|(_, token)| token.content.as_str())
    }

    /// Adds the tokens that the tokenizer lacks.
    pub(super) fn add_to(&self, path: &Path, tokenizer: &mut Tokenizer) -> Result<()> {
        let have: Vec<AddedToken> = tokenizer.get_added_tokens_decoder().into_values().collect();
        let is_named =
            |token: &AddedToken| self.named.iter().any(|(_, named)| named.content == token.content);
        let mut missing: Vec<AddedToken> =
            self.listed.values().filter(|token| !have.contains(token)).cloned().collect();
        let special = self.named.iter().map(|(_, token)| token).chain(&self.extra);
        for token in special {
            let is_there = |other: &AddedToken| other.content == token.content;
            if !have.iter().any(is_there) && !missing.iter().any(is_there) {
                missing.push(token.clone());
            }
        }
        for token in &mut missing {
            token.special |= is_named(token);
        }
        tokenizer.add_tokens(missing).map_err(|reason| Error::Tokenizer { path: path.into(), reason })?;
        Ok(())
    }

    /// Ids of special tokens.
    pub(super) fn special_ids(&self, tokenizer: &Tokenizer) -> HashSet<u32> {
        let special = self.named.iter().map(|(_, token)| token).chain(&self.extra);
        special.filter_map(|token| tokenizer.token_to_id(&token.content)).collect()
    }
}

/// Special tokens under keys of a model's own, such as `image_token`, then those in lists.
fn extra(settings: &Settings) -> Result<Vec<AddedToken>> {
    let path = &settings.path;
    let is_own = |key: &str, value: &Value| {
        key.ends_with("_token") && !NAMED.contains(&key) && (value.is_string() || value.is_object())
    };
    let own = settings.file.iter().filter(|(key, value)| is_own(key, value));
    let mut by_name: Object = own.map(|(key, value)| (key.clone(), value.clone())).collect();
    by_name.extend(settings.extra_by_name.clone());
    // The older key counts where the newer one is missing.
    let key = if settings.file.contains_key(EXTRA) { EXTRA } else { ADDITIONAL };
    let listed = match settings.file.get(key) {
        None | Some(Value::Null) => &[][..],
        Some(Value::Array(list)) => list,
        Some(other) => {
            return Err(Error::unsupported(path, key, "a list of tokens", other.to_string()));
        }
    };
    let by_name = by_name.values().map(|value| token(path, "a special token", value, true));
    by_name.chain(listed.iter().map(|value| token(path, key, value, true))).collect()
}

/// A token as text, or as an object with its properties.
fn token(path: &Path, key: &'static str, value: &Value, is_special: bool) -> Result<AddedToken> {
    let flag = |object: &Object, key: &str, default: bool| {
        object.get(key).and_then(Value::as_bool).unwrap_or(default)
    };
    match value {
        Value::String(content) => Ok(AddedToken::from(content, is_special)),
        Value::Object(object) if object.get("content").is_some_and(Value::is_string) => {
            let content = object["content"].as_str().unwrap_or_default();
            let is_special = flag(object, "special", is_special);
            Ok(AddedToken::from(content, is_special)
                .single_word(flag(object, "single_word", false))
                .lstrip(flag(object, "lstrip", false))
                .rstrip(flag(object, "rstrip", false))
                .normalized(flag(object, "normalized", !is_special)))
        }
        other => Err(Error::unsupported(path, key, "a token", other.to_string())),
    }
}

/// `added_tokens_decoder`: tokens by id.
fn decoder(path: &Path, settings: &Settings) -> Result<BTreeMap<u32, AddedToken>> {
    const KEY: &str = "added_tokens_decoder";
    let mut listed = BTreeMap::new();
    let value = settings.file.get(KEY).unwrap_or(&Value::Null);
    let Some(map) = value.as_object() else {
        return Err(Error::unsupported(path, KEY, "tokens by id", value.to_string()));
    };
    for (id, value) in map {
        let id = id.parse().map_err(|_| Error::unsupported(path, KEY, "tokens by id", id))?;
        listed.insert(id, token(path, KEY, value, false)?);
    }
    Ok(listed)
}

/// Those of `added_tokens.json`, overridden by those of `tokenizer.json`.
fn older(
    folder: &Path,
    named: &[(&'static str, AddedToken)],
    extra: &[AddedToken],
    loaded: Option<&Tokenizer>,
) -> Result<BTreeMap<u32, AddedToken>> {
    let path: PathBuf = folder.join("added_tokens.json");
    let file: BTreeMap<String, u32> = read_optional_json(&path)?;
    let is_special = |content: &str| {
        let mut all = named.iter().map(|(_, token)| token).chain(extra);
        all.any(|token| token.content == content)
    };
    let mut listed: BTreeMap<u32, AddedToken> = BTreeMap::new();
    for (content, id) in file {
        let special = is_special(&content);
        listed.insert(id, AddedToken::from(content, special).normalized(!special));
    }
    listed.extend(loaded.map(|loaded| loaded.get_added_tokens_decoder()).into_iter().flatten());
    Ok(listed)
}
