//! Checkpoints of the Hugging Face hub that are not in the registry: by id, or in a folder of the hub's cache.

use std::path::{Path, PathBuf};

use ragbias_core::{Progress, Unit};
use ragbias_files::{move_file, write_file};

use crate::hub::{Hub, Network};
use crate::hub_cache::{self, MAIN};
use crate::listing::{Listed, Listing};
use crate::receive::{Wanted, once_more};
use crate::{Error, Result};

/// The folder for files that are not complete, within a model's folder of the cache.
const PARTS: &str = ".ragbias";

/// Whether a name can be the id of a model on the hub: `org/name`.
pub(crate) fn is_hub_id(name: &str) -> bool {
    let is_part = |part: &str| {
        let known = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        !part.is_empty() && part.len() <= 96 && part.chars().all(known) && !part.starts_with(['.', '-'])
    };
    name.split_once('/').is_some_and(|(org, name)| is_part(org) && is_part(name))
}

/// The checkpoint in a folder: for a model's folder in the hub's cache (`models--org--name`), the snapshot of its `main`,
/// or the only one; any other folder is itself the checkpoint.
pub(crate) fn in_folder(folder: &Path) -> Result<PathBuf> {
    let snapshots = folder.join("snapshots");
    if !snapshots.is_dir() || folder.join("config.json").exists() || folder.join("modules.json").exists() {
        return Ok(folder.into());
    }
    let main = folder.join(MAIN);
    if main.is_file() {
        let commit = fs_err::read_to_string(&main)?;
        let snapshot = hub_cache::snapshot(folder, commit.trim());
        if let Some(snapshot) = snapshot.filter(|snapshot| snapshot.is_dir()) {
            return Ok(snapshot);
        }
        let expected = "a commit that is among the snapshots: name one of their folders instead";
        return Err(Error::cache(&main, "the commit", expected, commit.trim()));
    }
    let mut all = Vec::new();
    for entry in fs_err::read_dir(&snapshots)? {
        all.push(entry?.path());
    }
    match &all[..] {
        [one] => Ok(one.clone()),
        all => {
            let expected = "one, or refs/main that says which: name one of their folders instead";
            Err(Error::cache(&snapshots, "the number of snapshots", expected, &all.len().to_string()))
        }
    }
}

/// The checkpoint of a hub id: from the hub's cache, or downloaded into it. `HF_HOME`, `HF_ENDPOINT` and `HF_TOKEN` are honoured.
pub(crate) fn of_hub_id(id: &str, progress: &dyn Progress) -> Result<PathBuf> {
    find(id, &Hub::from_env(), progress)
}

fn find(id: &str, hub: &Hub, progress: &dyn Progress) -> Result<PathBuf> {
    let folder = hub.cache.model(id);
    if let Some(snapshot) = in_folder(&folder).ok().filter(|snapshot| has_weights(snapshot)) {
        progress.note(&format!("{id}: {}, of the hub's cache", snapshot.display()));
        return Ok(snapshot);
    }
    let source = format!("Hugging Face hub, {id}");
    let fail = |reason: String| Error::Unavailable { name: id.into(), failures: vec![(source, reason)] };
    match &hub.network {
        None => Err(fail("not in its cache, and HF_HUB_OFFLINE is set".into())),
        Some(network) => fetch(id, network, &folder, progress).map_err(fail),
    }
}

/// A snapshot without weights is an incomplete download.
fn has_weights(snapshot: &Path) -> bool {
    let is_weights = |path: &Path| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        path.is_file() && (name == "pytorch_model.bin" || name.ends_with(".safetensors"))
    };
    let entries = |folder: &Path| -> Vec<PathBuf> {
        let entries = fs_err::read_dir(folder).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).collect()
    };
    let own = entries(snapshot);
    own.iter().any(|path| is_weights(path))
        || own
            .iter()
            .filter(|path| path.ends_with("0_Transformer"))
            .flat_map(|path| entries(path))
            .any(|path| is_weights(&path))
}

/// Downloads every file that a checkpoint may consist of into a model's folder of the cache, and returns the snapshot's folder.
///
/// All files are of one commit. They are moved into place when all of them are complete, the weights last.
fn fetch(
    id: &str,
    network: &Network,
    folder: &Path,
    progress: &dyn Progress,
) -> std::result::Result<PathBuf, String> {
    let text = |error: std::io::Error| error.to_string();
    let listing = Listing::read(&network.describe(id)?)?;
    let wanted = wanted(&listing.names());
    if wanted.is_empty() {
        return Err("no checkpoint of transformers: neither modules.json nor config.json".into());
    }
    let snapshot = hub_cache::snapshot(folder, &listing.commit)
        .ok_or_else(|| format!("the hub names no commit: `{}`", listing.shown_commit()))?;
    let parts = folder.join(PARTS).join(&listing.commit);
    fs_err::create_dir_all(&parts).map_err(text)?;
    // If two processes want the same model, the second waits, and finds the files of the first.
    let lock = fs_err::File::create(folder.join(PARTS).join("lock")).map_err(text)?;
    lock.file().lock().map_err(text)?;
    let step = progress.begin(&format!("fetching {id}"), 0, Unit::Bytes);
    for name in &wanted {
        let Listed { bytes, sha256, .. } = listing.of(name);
        let url = network.file(id, &listing.commit, name);
        let bytes = bytes
            .map_or_else(|| network.client.length(&url), Ok)
            .map_err(|error| format!("{name}: {error}"))?;
        let wanted = Wanted { name, bytes, sha256: sha256.as_deref() };
        let part = parts.join(name);
        if wanted.check(&snapshot.join(name)).is_err() {
            let forget = || fs_err::remove_file(&part).or_else(crate::receive::ignore_missing);
            once_more(progress, || network.client.get(&url, wanted, &part, step.as_ref()), forget)?;
        }
    }
    for name in &wanted {
        let part = parts.join(name);
        if part.is_file() {
            move_file(&part, &snapshot.join(name)).map_err(text)?;
        }
    }
    write_file(&folder.join(MAIN), &listing.commit).map_err(text)?;
    fs_err::remove_dir_all(&parts).map_err(text)?;
    Ok(snapshot)
}

/// The files of a repository that a checkpoint may need, weights last: safetensors if there are any.
fn wanted<'n>(names: &[&'n str]) -> Vec<&'n str> {
    if !names.iter().any(|name| ["modules.json", "config.json"].contains(name)) {
        return Vec::new();
    }
    let depth = |name: &str| name.matches('/').count();
    let stays = |name: &str| {
        let plain = |part: &str| !part.is_empty() && part != "." && !part.contains("..");
        name.split('/').all(plain) && !name.contains(['\\', ':', '\0'])
    };
    let other = ["onnx/", "openvino/", "coreml/", ".git"];
    let near = names.iter().copied().filter(|name| {
        depth(name) <= 1 && stays(name) && !other.iter().any(|prefix| name.starts_with(prefix))
    });
    let near: Vec<&str> = near.collect();
    let folder = |name: &str| name.rsplit_once('/').map_or(String::new(), |(folder, _)| folder.to_owned());
    let is_text = |name: &str| is_called(name, "", ".json") || name.ends_with("vocab.txt");
    let is_bin = |name: &str| is_called(name, "pytorch_model", ".bin");
    let is_safe = |name: &str| is_called(name, "model", ".safetensors");
    let has_safe = |own: &str| near.iter().any(|name| is_safe(name) && folder(name) == own);
    let texts = near.iter().copied().filter(|name| is_text(name));
    let weights =
        near.iter().copied().filter(|name| is_safe(name) || (is_bin(name) && !has_safe(&folder(name))));
    // The weights of small modules, then the transformer's, whose presence marks a complete snapshot.
    let mut weights: Vec<&str> = weights.collect();
    weights.sort_by_key(|name| (folder(name).is_empty() || folder(name) == "0_Transformer", *name));
    texts.chain(weights).collect()
}

/// Whether the last part of a path has this prefix and this suffix.
fn is_called(path: &str, start: &str, end: &str) -> bool {
    path.rsplit('/').next().is_some_and(|name| name.starts_with(start) && name.ends_with(end))
}

#[cfg(test)]
mod tests;
