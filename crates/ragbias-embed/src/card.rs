//! `ragbias.json`: the description of a tuned checkpoint, and the check that it is unchanged since it was saved.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::path::Path;

use ragbias_files::{remember_sha256, sha256_of, sha256_once};
use serde_json::{Value, json};

use crate::files::{Object, read_json};
use crate::{Error, Result};

/// The card's file.
const CARD: &str = "ragbias.json";

/// SHA-256 of every other file of the folder, by its path with `/` between folders.
const FILES: &str = "files";

/// SHA-256 of the card without this field, as compact JSON.
const CHECKSUM: &str = "checksum";

/// Extensions of files that affect what a checkpoint computes.
const DECIDE: [&str; 4] = [".json", ".safetensors", ".bin", ".txt"];

/// The content of a folder's `ragbias.json`.
#[derive(Debug, Clone, PartialEq)]
pub enum Card {
    /// There is no card: the checkpoint was not made by ragbias.
    None,
    /// A card without checksums, as written by earlier versions: the folder cannot be verified.
    Unchecked(Value),
    /// Every file of the folder, and the card itself, match their checksums.
    Whole(Value),
}

impl Card {
    /// Reads the card of a checkpoint, and every file of the folder.
    ///
    /// # Errors
    /// [`Error::DamagedCheckpoint`] for the first file that was changed, removed or added since saving; a card that is
    /// not JSON.
    pub fn read(folder: &Path) -> Result<Self> {
        let path = folder.join(CARD);
        if !path.exists() {
            return Ok(Self::None);
        }
        let mut card: Object = read_json(&path)?;
        let (files, checksum) = (card.get(FILES).cloned(), card.shift_remove(CHECKSUM));
        let damaged = |path: &Path, expected: &str, received: &str| {
            let (expected, received) = (expected.into(), received.into());
            Err(Error::DamagedCheckpoint { path: path.into(), expected, received })
        };
        if files.is_none() && checksum.is_none() {
            return Ok(Self::Unchecked(Value::Object(card)));
        }
        let card = Value::Object(card);
        let received = sum_of(&card);
        match checksum.as_ref().and_then(Value::as_str) {
            Some(expected) if expected == received => {}
            other => return damaged(&path, &format!("the checksum {}", other.unwrap_or("none")), &received),
        }
        let expected: BTreeMap<String, String> = serde_json::from_value(files.unwrap_or_default())
            .map_err(|reason| Error::Json { path, reason })?;
        let received = sums(folder, None)?;
        for (name, sum) in &expected {
            match received.get(name) {
                Some(received) if received == sum => {}
                received => {
                    let received = received.map_or("no such file", String::as_str);
                    return damaged(&folder.join(name), &format!("the SHA-256 {sum}"), received);
                }
            }
        }
        let decides = |name: &String| DECIDE.iter().any(|end| name.ends_with(end));
        match received.keys().find(|name| decides(name) && !expected.contains_key(*name)) {
            Some(added) => damaged(&folder.join(added), "no such file", "one that was added"),
            None => Ok(Self::Whole(card)),
        }
    }

    /// Writes the card of a folder that has everything else; of the file `known`, which was just written, the sum is given.
    pub(crate) fn write(folder: &Path, card: &Value, known: (&str, String)) -> Result<()> {
        let mut card = card.clone();
        remember_sha256(&folder.join(known.0), &known.1)?;
        card[FILES] = json!(sums(folder, Some(known))?);
        card[CHECKSUM] = sum_of(&card).into();
        let path = folder.join(CARD);
        let text = serde_json::to_string_pretty(&card)
            .map_err(|reason| Error::Json { path: path.clone(), reason })?;
        Ok(fs_err::write(path, text)?)
    }
}

fn sum_of(card: &Value) -> String {
    sha256_of(card.to_string().as_bytes())
}

/// The sums of every file below a folder but its card; the file of `known` is not read.
fn sums(folder: &Path, known: Option<(&str, String)>) -> Result<BTreeMap<String, String>> {
    let mut sums: BTreeMap<String, String> =
        known.into_iter().map(|(name, sum)| (name.into(), sum)).collect();
    add_sums(folder, "", &mut sums)?;
    sums.remove(CARD);
    Ok(sums)
}

fn add_sums(folder: &Path, above: &str, sums: &mut BTreeMap<String, String>) -> Result<()> {
    for entry in fs_err::read_dir(folder)? {
        let entry = entry?;
        let path = entry.path();
        let name = format!("{above}{}", entry.file_name().to_string_lossy());
        // A link counts as its target, as when loading; nothing below a linked folder was saved.
        if path.is_file() {
            if let Entry::Vacant(sum) = sums.entry(name) {
                sum.insert(sha256_once(&path)?);
            }
        } else if entry.file_type()?.is_dir() {
            add_sums(&path, &format!("{name}/"), sums)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn saved() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs_err::create_dir(folder.path().join("2_Dense")).unwrap();
        fs_err::write(folder.path().join("config.json"), "{}").unwrap();
        fs_err::write(folder.path().join("2_Dense/model.safetensors"), "weights").unwrap();
        Card::write(
            folder.path(),
            &json!({ "member": "m", "embedder_bias": 0.1 + 0.2, "none": null, "n": 5 }),
            ("config.json", sha256_of(b"{}")),
        )
        .unwrap();
        folder
    }

    #[test]
    fn a_folder_is_whole_until_a_file_of_it_changes() {
        let folder = saved();
        let at = |name: &str| folder.path().join(name);
        let Card::Whole(card) = Card::read(folder.path()).unwrap() else { panic!("not whole") };
        assert_eq!((card["member"].as_str(), card["embedder_bias"].as_f64()), (Some("m"), Some(0.1 + 0.2)));
        fs_err::write(at("README.md"), "mine").unwrap();
        assert!(matches!(Card::read(folder.path()).unwrap(), Card::Whole(_)));

        let refusal = || Card::read(folder.path()).unwrap_err().to_string();
        fs_err::write(at("2_Dense/model.safetensors"), "Weights").unwrap();
        let error = refusal();
        assert!(
            error.contains("2_Dense/model.safetensors: damaged") && error.contains(&sha256_of(b"Weights")),
            "{error}"
        );
        fs_err::remove_file(at("2_Dense/model.safetensors")).unwrap();
        assert!(refusal().contains("received no such file"));
        fs_err::write(at("2_Dense/model.safetensors"), "weights").unwrap();
        fs_err::write(at("modules.json"), "[]").unwrap();
        assert!(refusal().contains("modules.json: damaged"));
    }

    #[test]
    fn no_byte_of_a_card_changes_unseen() {
        let folder = saved();
        let path = folder.path().join(CARD);
        let (text, whole) = (fs_err::read(&path).unwrap(), Card::read(folder.path()).unwrap());
        for place in 0..text.len() {
            for flip in [1, 0x20] {
                let mut changed = text.clone();
                changed[place] ^= flip;
                fs_err::write(&path, &changed).unwrap();
                // White space between values may differ.
                if let Ok(card) = Card::read(folder.path()) {
                    assert_eq!(card, whole, "byte {place}");
                }
            }
        }
    }

    #[test]
    fn a_card_without_sums_is_told_from_one_with() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Card::read(folder.path()).unwrap(), Card::None);
        fs_err::write(folder.path().join(CARD), "{\"member\": \"m\"}").unwrap();
        assert_eq!(Card::read(folder.path()).unwrap(), Card::Unchecked(json!({ "member": "m" })));
        fs_err::write(folder.path().join(CARD), "{\"member\": \"m\", \"files\": {}}").unwrap();
        assert!(Card::read(folder.path()).is_err());
    }
}
