//! `tokenizer_config.json` and the files beside it.

use std::path::{Path, PathBuf};

use serde_json::Value;
use tokenizers::{PaddingDirection, Tokenizer, TruncationDirection};

use super::class::Class;
use super::wanted::Wanted;
use crate::files::{Object, get, read_optional_json};
use crate::{Error, Result};

/// Settings that are not in `tokenizer.json`, or that override it.
pub(super) struct Settings {
    pub(super) class: Class,
    /// `model_max_length`; the largest number if there is none.
    pub(super) max_length: usize,
    pub(super) truncation: Option<TruncationDirection>,
    /// `tokenizer_config.json`.
    pub(super) path: PathBuf,
    /// Its content, including `special_tokens_map.json` if that is used.
    pub(super) file: Object,
    /// Special tokens with names of a model's own, which are not in `file`.
    pub(super) extra_by_name: Object,
    /// `special_tokens_map.json` and `added_tokens.json` are used if `added_tokens_decoder` is missing.
    pub(super) is_older: bool,
}

/// Larger limits mean no limit.
const NO_LIMIT: f64 = 1e20;

impl Settings {
    pub(super) fn read(folder: &Path, wanted: &Wanted<'_>) -> Result<Self> {
        let path = folder.join("tokenizer_config.json");
        let mut file: Object = read_optional_json(&path)?;
        let named: Option<String> = get(&path, &file, "tokenizer_class")?;
        let class = match named.as_deref().or(wanted.class) {
            Some(name) => Class::named(&path, name)?,
            None => Class::of_model(folder)?,
        };
        refuse(&path, &file, class, wanted.pads_anywhere)?;
        rename_extra(&mut file);
        let mut extra_by_name = take_by_name(&mut file);
        let is_older = !file.contains_key("added_tokens_decoder");
        if is_older {
            let mut map: Object = read_optional_json(&folder.join("special_tokens_map.json"))?;
            if let (Some(Value::Array(own)), Some(Value::Array(more))) =
                (file.get_mut(EXTRA), map.get_mut(EXTRA))
            {
                own.append(more);
                map.remove(EXTRA);
            }
            file.extend(map);
            extra_by_name.extend(take_by_name(&mut file));
        }
        let truncation = match get::<String>(&path, &file, "truncation_side")?.as_deref() {
            None => None,
            Some("right") => Some(TruncationDirection::Right),
            Some("left") => Some(TruncationDirection::Left),
            Some(other) => return Err(Error::unsupported(&path, "truncation_side", "right or left", other)),
        };
        Ok(Self {
            class,
            max_length: max_length(&path, &file)?,
            truncation,
            path,
            file,
            extra_by_name,
            is_older,
        })
    }

    /// A setting of a class; null is refused, because it means neither.
    pub(super) fn flag(&self, key: &'static str, default: bool) -> Result<bool> {
        match self.file.get(key) {
            None => Ok(default),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(other) => Err(Error::unsupported(&self.path, key, "true or false", other.to_string())),
        }
    }

    /// A setting that is false where it is missing or null.
    pub(super) fn flag_or_null(&self, key: &'static str) -> Result<bool> {
        Ok(get(&self.path, &self.file, key)?.unwrap_or(false))
    }
}

/// Special tokens without a key of their own, under their newer and their older name.
pub(super) const EXTRA: &str = "extra_special_tokens";
pub(super) const ADDITIONAL: &str = "additional_special_tokens";

/// Removes special tokens that are given by names, not in a list.
fn take_by_name(file: &mut Object) -> Object {
    let Some(Value::Object(map)) = file.get(EXTRA) else { return Object::new() };
    let map = map.clone();
    file.shift_remove(EXTRA);
    map
}

/// The older name counts if there is nothing under the newer one.
fn rename_extra(file: &mut Object) {
    let is_empty = match file.get(EXTRA) {
        None | Some(Value::Null) => true,
        Some(Value::Array(list)) => list.is_empty(),
        Some(Value::Object(map)) => map.is_empty(),
        Some(_) => false,
    };
    if is_empty && let Some(tokens) = file.shift_remove(ADDITIONAL) {
        file.insert(EXTRA.to_owned(), tokens);
    }
}

fn max_length(path: &Path, file: &Object) -> Result<usize> {
    let key = if file.contains_key("model_max_length") { "model_max_length" } else { "max_len" };
    match get::<f64>(path, file, key)? {
        None => Ok(usize::MAX),
        Some(length) if length > NO_LIMIT => Ok(usize::MAX),
        Some(length) if length >= 1.0 && length.fract() == 0.0 =>
        {
            #[expect(clippy::cast_sign_loss, reason = "it is 1 or more")]
            Ok(length as usize)
        }
        Some(length) => Err(Error::unsupported(path, key, "a whole number above 0", length.to_string())),
    }
}

/// Keys that name other code or other files, or whose values replace parts of the tokenizer.
const OTHERS: [&str; 8] = [
    "auto_map",
    "init_inputs",
    "fast_tokenizer_files",
    "gguf_file",
    "vocab",
    "merges",
    "tokenizer_object",
    "post_processor",
];

/// Keys that would change tokens and are not supported.
fn refuse(path: &Path, file: &Object, class: Class, pads_anywhere: bool) -> Result<()> {
    if get::<bool>(path, file, "split_special_tokens")?.unwrap_or(false) {
        return Err(Error::unsupported(path, "split_special_tokens", "false", "true"));
    }
    let usual = if class.pads_left() { "left" } else { "right" };
    let side = get::<String>(path, file, "padding_side")?.unwrap_or_else(|| usual.into());
    if !(side == "right" || (side == "left" && pads_anywhere)) {
        let expected = "right: on the left, a text's positions depend on its batch";
        return Err(Error::unsupported(path, "padding_side", expected, side));
    }
    for key in OTHERS {
        let is_nothing = |value: &Value| value.is_null() || value.as_array().is_some_and(Vec::is_empty);
        if let Some(value) = file.get(key).filter(|value| !is_nothing(value)) {
            return Err(Error::unsupported(path, key, "nothing", value.to_string()));
        }
    }
    Ok(())
}

/// The padding of `tokenizer.json` is not used, except its side.
pub(super) fn refuse_left_padding(path: &Path, tokenizer: &Tokenizer) -> Result<()> {
    match tokenizer.get_padding() {
        Some(padding) if matches!(padding.direction, PaddingDirection::Left) => {
            let expected = "Right: on the left, a text's positions depend on its batch";
            Err(Error::unsupported(path, "padding", expected, "Left"))
        }
        _ => Ok(()),
    }
}
