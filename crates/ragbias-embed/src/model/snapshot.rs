//! Checkpoints of the Hugging Face hub that the registry does not know: by id, or by a folder of the hub's cache.

use std::path::{Path, PathBuf};

use hf_hub::api::sync::{ApiBuilder, ApiRepo};
use hf_hub::{Cache, Repo, RepoType};
use ragbias_core::{Progress, Unit};

use super::hub::{Bytes, is_offline};
use crate::{Error, Result};

/// Whether a name can be the id of a model on the hub: `org/name`.
pub(super) fn is_hub_id(name: &str) -> bool {
    let is_part = |part: &str| {
        let known = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        !part.is_empty() && part.len() <= 96 && part.chars().all(known) && !part.starts_with(['.', '-'])
    };
    name.split_once('/').is_some_and(|(org, name)| is_part(org) && is_part(name))
}

/// The checkpoint in a folder: of a model's folder in the hub's cache (`models--org--name`), the snapshot that its `main` is,
/// or the only one; any other folder is one itself.
pub(super) fn in_folder(folder: &Path) -> Result<PathBuf> {
    let snapshots = folder.join("snapshots");
    if !snapshots.is_dir() || folder.join("config.json").exists() || folder.join("modules.json").exists() {
        return Ok(folder.into());
    }
    let main = folder.join("refs/main");
    if main.is_file() {
        let commit = fs_err::read_to_string(&main)?;
        let snapshot = snapshots.join(commit.trim());
        if is_commit(commit.trim()) && snapshot.is_dir() {
            return Ok(snapshot);
        }
        let expected = "a commit that is among the snapshots: name one of their folders instead";
        return Err(Error::unsupported(&main, "the commit", expected, commit.trim()));
    }
    let mut all = Vec::new();
    for entry in fs_err::read_dir(&snapshots)? {
        all.push(entry?.path());
    }
    match &all[..] {
        [one] => Ok(one.clone()),
        all => {
            let expected = "one, or refs/main that says which: name one of their folders instead";
            Err(Error::unsupported(&snapshots, "the number of snapshots", expected, all.len().to_string()))
        }
    }
}

fn is_commit(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric())
}

/// The checkpoint of a hub id: from the hub's cache, or fetched into it. `HF_HOME`, `HF_ENDPOINT` and `HF_TOKEN` are honoured.
pub(super) fn of_hub_id(id: &str, progress: &dyn Progress) -> Result<PathBuf> {
    let api = || ApiBuilder::from_env().with_progress(false);
    find(id, &Cache::from_env(), (!is_offline()).then_some(&api), progress)
}

fn find(
    id: &str,
    cache: &Cache,
    api: Option<&dyn Fn() -> ApiBuilder>,
    progress: &dyn Progress,
) -> Result<PathBuf> {
    let repo = Repo::new(id.to_owned(), RepoType::Model);
    let folder = cache.path().join(repo.folder_name());
    if let Some(snapshot) = in_folder(&folder).ok().filter(|snapshot| has_weights(snapshot)) {
        progress.note(&format!("{id}: {}, of the hub's cache", snapshot.display()));
        return Ok(snapshot);
    }
    let source = format!("Hugging Face hub, {id}");
    let fail =
        |reason: String| Error::Unavailable { name: id.into(), failures: vec![(source.clone(), reason)] };
    let Some(api) = api else { return Err(fail("not in its cache, and HF_HUB_OFFLINE is set".into())) };
    let api = api().build().map_err(|error| fail(error.to_string()))?.model(id.to_owned());
    fetch(id, &api, progress).map_err(fail)
}

/// A snapshot without weights is one that was not fetched to its end.
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

/// Fetches every file that a checkpoint may consist of, and gives the snapshot's folder.
fn fetch(id: &str, api: &ApiRepo, progress: &dyn Progress) -> std::result::Result<PathBuf, String> {
    let info = api.info().map_err(|error| error.to_string())?;
    let names: Vec<String> = info.siblings.into_iter().map(|sibling| sibling.rfilename).collect();
    let wanted = wanted(&names);
    if wanted.is_empty() {
        return Err("no checkpoint of transformers: neither modules.json nor config.json".into());
    }
    let mut snapshot = None;
    let step = progress.begin(&format!("fetching {id}"), 0, Unit::Bytes);
    // The files that make it a checkpoint come last: what has them is whole.
    for name in wanted {
        let path = api
            .download_with_progress(name, Bytes { step: step.as_ref() })
            .map_err(|error| format!("{name}: {error}"))?;
        let depth = Path::new(name).components().count();
        snapshot = path.ancestors().nth(depth).map(Path::to_path_buf);
    }
    snapshot.ok_or_else(|| "its files have no folder".into())
}

/// Of a repository's files, those that a checkpoint may need, weights last: safetensors where there are any.
fn wanted(names: &[String]) -> Vec<&str> {
    if !names.iter().any(|name| name == "modules.json" || name == "config.json") {
        return Vec::new();
    }
    let depth = |name: &str| name.matches('/').count();
    let other = ["onnx/", "openvino/", "coreml/", ".git"];
    let near = names.iter().map(String::as_str).filter(|name| {
        depth(name) <= 1
            && !name.starts_with('/')
            && !name.contains("..")
            && !other.iter().any(|prefix| name.starts_with(prefix))
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
    // A small module's weights, then the transformer's, which say that all is there.
    let mut weights: Vec<&str> = weights.collect();
    weights.sort_by_key(|name| (folder(name).is_empty() || folder(name) == "0_Transformer", *name));
    texts.chain(weights).collect()
}

/// Whether the last part of a path begins and ends so.
fn is_called(path: &str, start: &str, end: &str) -> bool {
    path.rsplit('/').next().is_some_and(|name| name.starts_with(start) && name.ends_with(end))
}

#[cfg(test)]
mod tests {
    use ragbias_core::Silent;

    use super::*;

    #[test]
    fn ids_of_the_hub_have_an_organisation_and_a_name() {
        assert!(is_hub_id("sentence-transformers/all-MiniLM-L6-v2") && is_hub_id("intfloat/e5-small_v2.1"));
        for name in ["minilm", "./a", "../a", "a/b/c", "/a", "a/", "a b/c", "C:\\a/b"] {
            assert!(!is_hub_id(name), "{name}");
        }
    }

    #[test]
    fn of_a_repository_only_the_files_of_a_checkpoint_are_fetched() {
        let names = [
            "README.md",
            "config.json",
            "modules.json",
            "model.safetensors",
            "pytorch_model.bin",
            "tf_model.h5",
            "onnx/model.onnx",
            "onnx/config.json",
            "1_Pooling/config.json",
            "2_Dense/pytorch_model.bin",
            "vocab.txt",
            "tokenizer.json",
            "rust_model.ot",
            "a/b/config.json",
            "/config.json",
            "../config.json",
        ]
        .map(str::to_owned);
        assert_eq!(
            wanted(&names),
            [
                "config.json",
                "modules.json",
                "1_Pooling/config.json",
                "vocab.txt",
                "tokenizer.json",
                "2_Dense/pytorch_model.bin",
                "model.safetensors"
            ]
        );
        assert!(wanted(&["model.gguf".to_owned()]).is_empty());
    }

    fn cache() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let model = folder.path().join("models--org--name");
        for commit in ["aa11", "bb22"] {
            fs_err::create_dir_all(model.join("snapshots").join(commit)).unwrap();
            fs_err::write(model.join("snapshots").join(commit).join("model.safetensors"), commit).unwrap();
        }
        (folder, model)
    }

    #[test]
    fn a_folder_of_the_cache_is_the_snapshot_that_its_main_is() {
        let (root, model) = cache();
        let error = in_folder(&model).unwrap_err().to_string();
        assert!(error.contains("the number of snapshots is `2`"), "{error}");
        fs_err::create_dir(model.join("refs")).unwrap();
        fs_err::write(model.join("refs/main"), "bb22").unwrap();
        let snapshot = model.join("snapshots/bb22");
        assert_eq!(in_folder(&model).unwrap(), snapshot);
        assert_eq!(in_folder(&snapshot).unwrap(), snapshot);
        let found = find("org/name", &Cache::new(root.path().into()), None, &Silent).unwrap();
        assert_eq!(found, snapshot);
        fs_err::write(model.join("refs/main"), "../../x").unwrap();
        assert!(in_folder(&model).unwrap_err().to_string().contains("refs/main: the commit is `../../x`"));
    }

    #[test]
    fn what_is_neither_in_the_cache_nor_to_be_fetched_is_said_to_be_so() {
        let (root, _) = cache();
        let error =
            find("org/absent", &Cache::new(root.path().into()), None, &Silent).unwrap_err().to_string();
        assert!(
            error.contains("model `org/absent` could not be had") && error.contains("HF_HUB_OFFLINE"),
            "{error}"
        );
    }

    /// A hub on this machine that has one repository, and answers as many requests as a checkpoint of these files takes.
    fn hub(files: &'static [(&'static str, &'static str)]) -> String {
        use std::io::{BufRead, BufReader, Write};
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut lines =
                    BufReader::new(stream.try_clone().unwrap()).lines().map_while(std::result::Result::ok);
                let path = lines.next().unwrap_or_default().split(' ').nth(1).unwrap_or_default().to_owned();
                lines.take_while(|line| !line.is_empty()).for_each(drop);
                let names: Vec<_> =
                    files.iter().map(|(name, _)| serde_json::json!({ "rfilename": name })).collect();
                let file = files.iter().find(|(name, _)| path == format!("/org/name/resolve/main/{name}"));
                let (status, body) = match file {
                    Some((_, text)) => ("206 Partial Content", (*text).to_owned()),
                    None if path == "/api/models/org/name/revision/main" => {
                        ("200 OK", serde_json::json!({ "siblings": names, "sha": "c0ffee" }).to_string())
                    }
                    None => ("404 Not Found", "Repository not found".to_owned()),
                };
                let _ = write!(
                    stream,
                    "HTTP/1.1 {status}\r\nx-repo-commit: c0ffee\r\netag: \"{}\"\r\ncontent-range: bytes 0-0/{length}\r\n\
                     content-length: {length}\r\nconnection: close\r\n\r\n{body}",
                    path.len(),
                    length = body.len()
                );
            }
        });
        address
    }

    #[test]
    fn a_checkpoint_is_fetched_whole_into_the_cache_and_found_there_the_next_time() {
        let files = [
            ("README.md", "not asked for"),
            ("config.json", "{}"),
            ("1_Pooling/config.json", "{\"a\": 1}"),
            ("model.safetensors", "weights"),
        ];
        let address = hub(Box::leak(Box::new(files)));
        let root = tempfile::tempdir().unwrap();
        let cache = Cache::new(root.path().into());
        let api = || {
            let api = ApiBuilder::new().with_endpoint(address.clone()).with_progress(false);
            api.with_cache_dir(root.path().into()).with_token(None)
        };
        let fetched = find("org/name", &cache, Some(&api), &Silent).unwrap();
        assert!(fetched.ends_with("models--org--name/snapshots/c0ffee"), "{}", fetched.display());
        assert_eq!(fs_err::read_to_string(fetched.join("1_Pooling/config.json")).unwrap(), "{\"a\": 1}");
        assert_eq!(fs_err::read_to_string(fetched.join("model.safetensors")).unwrap(), "weights");
        assert!(!fetched.join("README.md").exists());
        assert_eq!(find("org/name", &cache, None, &Silent).unwrap(), fetched);
        let error = find("org/other", &cache, Some(&api), &Silent).unwrap_err().to_string();
        assert!(error.contains("Hugging Face hub, org/other") && error.contains("404"), "{error}");
    }
}
