//! Writes the files of a folder that a fixture describes: those of a base, and changes to them.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

/// Files by name; null removes one.
pub(crate) type Files = BTreeMap<String, Value>;

/// Writes a base's files with their changes.
pub(crate) fn write_files(folder: &Path, base: &Files, changes: &Files) {
    let mut files: BTreeMap<&String, &Value> = base.iter().collect();
    files.extend(changes);
    for (file, value) in files {
        if let Some(text) = content(base, file, value) {
            write(folder, file, text.as_bytes());
        }
    }
}

/// Writes a file, and the folders that it lies in.
pub(crate) fn write(folder: &Path, file: &str, bytes: &[u8]) {
    let path = folder.join(file);
    fs_err::create_dir_all(path.parent().unwrap()).unwrap();
    fs_err::write(path, bytes).unwrap();
}

/// A file's text: given directly, as a change of the base's file of this name, or as the file of another name.
fn content(base: &Files, file: &str, content: &Value) -> Option<String> {
    if let Some(change) = content.get("$merge") {
        return Some(merged(&base[file], change).to_string());
    }
    if let Some(other) = content.get("$base") {
        return Some(base[other.as_str().unwrap()].to_string());
    }
    match content {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}

fn merged(base: &Value, change: &Value) -> Value {
    let (Value::Object(base), Value::Object(changes)) = (base, change) else { return change.clone() };
    let mut all = base.clone();
    for (key, value) in changes {
        let value = merged(base.get(key).unwrap_or(&Value::Null), value);
        all.insert(key.clone(), value);
    }
    Value::Object(all)
}
