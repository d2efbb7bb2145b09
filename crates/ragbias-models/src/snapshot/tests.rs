use std::io::{BufRead, BufReader, Write};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use ragbias_core::Silent;

use super::*;
use ragbias_files::sha256_of;

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
        "..\\config.json",
        "C:config.json",
        "./config.json",
        "a//config.json",
    ];
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
    assert!(wanted(&["model.gguf"]).is_empty());
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
    let found = find("org/name", &Hub::at(None, root.path()), &Silent).unwrap();
    assert_eq!(found, snapshot);
    fs_err::write(model.join("refs/main"), "../../x").unwrap();
    assert!(in_folder(&model).unwrap_err().to_string().contains("refs/main: the commit is `../../x`"));
}

#[test]
fn what_is_neither_in_the_cache_nor_to_be_fetched_is_said_to_be_so() {
    let (root, _) = cache();
    let error = find("org/absent", &Hub::at(None, root.path()), &Silent).unwrap_err().to_string();
    assert!(
        error.contains("model `org/absent` could not be had") && error.contains("HF_HUB_OFFLINE"),
        "{error}"
    );
}

/// Responses of a local hub for one repository.
#[derive(Clone, Default)]
struct Repository {
    /// Whether it gives sizes and checksums in addition to file names.
    says_sizes: bool,
    commit: &'static str,
    /// The `etag` of every answer.
    etag: &'static str,
    /// The file that it truncates the first time.
    stalls_at: &'static str,
}

const FILES: [(&str, &str); 4] = [
    ("README.md", "not asked for"),
    ("config.json", "{}"),
    ("1_Pooling/config.json", "{\"a\": 1}"),
    ("model.safetensors", "weights of a model"),
];

/// The hub's address, and the requests it received, with their ranges.
fn hub(repository: Repository) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let asked: Arc<Mutex<Vec<String>>> = Arc::default();
    let seen = Arc::clone(&asked);
    std::thread::spawn(move || {
        let mut held = Vec::new();
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let lines =
                BufReader::new(stream.try_clone().unwrap()).lines().map_while(std::result::Result::ok);
            let lines: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
            let words: Vec<&str> = lines.first().map(|line| line.split(' ').collect()).unwrap_or_default();
            let &[method, path, _] = words.as_slice() else { continue };
            let start: usize = (lines.iter())
                .find_map(|line| {
                    line.to_lowercase().strip_prefix("range: bytes=")?.strip_suffix('-')?.parse().ok()
                })
                .unwrap_or(0);
            seen.lock().unwrap().push(format!("{method} {path} {start}"));
            let resolved = format!("/org/name/resolve/{}/", repository.commit);
            let file = FILES.iter().find(|(name, _)| path.strip_prefix(&resolved) == Some(name));
            let (mut status, mut body) = match file {
                Some((_, text)) => ("200 OK", (*text).to_owned()),
                None if path.starts_with("/api/models/org/name/revision/main") => {
                    ("200 OK", listing(&repository))
                }
                None => ("404 Not Found", "Repository not found".to_owned()),
            };
            let mut range = String::new();
            if start > 0 {
                range = format!("content-range: bytes {start}-{}/{}\r\n", body.len() - 1, body.len());
                (status, body) = ("206 Partial Content", body[start..].to_owned());
            }
            let head = format!(
                "HTTP/1.1 {status}\r\netag: {}\r\n{range}content-length: {}\r\nconnection: close\r\n\r\n",
                repository.etag,
                body.len()
            );
            let stalls =
                start == 0 && !repository.stalls_at.is_empty() && path.ends_with(repository.stalls_at);
            let sent = match method {
                "HEAD" => "",
                _ if stalls => &body[..5],
                _ => &body,
            };
            let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(sent.as_bytes()));
            if stalls {
                // Neither continued nor closed.
                held.push(stream);
            }
        }
    });
    (address, asked)
}

fn listing(repository: &Repository) -> String {
    let sibling = |(name, text): &(&str, &str)| match (repository.says_sizes, name.ends_with(".safetensors"))
    {
        (false, _) => serde_json::json!({ "rfilename": name }),
        (true, false) => serde_json::json!({ "rfilename": name, "size": text.len() }),
        (true, true) => {
            let lfs = serde_json::json!({ "sha256": sha256_of(text.as_bytes()), "size": text.len() });
            serde_json::json!({ "rfilename": name, "lfs": lfs })
        }
    };
    let siblings: Vec<_> = FILES.iter().map(sibling).collect();
    serde_json::json!({ "siblings": siblings, "sha": repository.commit }).to_string()
}

fn plain() -> Repository {
    Repository { says_sizes: true, commit: "c0ffee", etag: "\"1\"", ..Repository::default() }
}

/// Every file below a folder.
fn files(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs_err::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        if entry.path().is_dir() {
            found.extend(files(&entry.path()).into_iter().map(|below| format!("{name}/{below}")));
        } else {
            found.push(name);
        }
    }
    found.sort();
    found
}

#[test]
fn a_checkpoint_is_fetched_whole_into_the_cache_and_found_there_the_next_time() {
    for says_sizes in [true, false] {
        let (address, _) = hub(Repository { says_sizes, ..plain() });
        let root = tempfile::tempdir().unwrap();
        let online = Hub::at(Some(&address), root.path());
        let fetched = find("org/name", &online, &Silent).unwrap();
        assert!(fetched.ends_with("models--org--name/snapshots/c0ffee"), "{}", fetched.display());
        assert_eq!(files(&fetched), ["1_Pooling/config.json", "config.json", "model.safetensors"]);
        assert_eq!(fs_err::read_to_string(fetched.join("1_Pooling/config.json")).unwrap(), "{\"a\": 1}");
        assert_eq!(fs_err::read_to_string(fetched.join("model.safetensors")).unwrap(), "weights of a model");
        assert_eq!(find("org/name", &Hub::at(None, root.path()), &Silent).unwrap(), fetched);
        let error = find("org/other", &online, &Silent).unwrap_err().to_string();
        assert!(error.contains("Hugging Face hub, org/other") && error.contains("404"), "{error}");
    }
}

#[test]
fn a_hub_that_names_paths_elsewhere_writes_nothing_outside_its_folder() {
    let root = tempfile::tempdir().unwrap();
    let planted = root.path().join("planted");
    let etag: &'static str = format!("\"{}\"", planted.display()).leak();
    let (address, _) = hub(Repository { etag, ..plain() });
    find("org/name", &Hub::at(Some(&address), &root.path().join("hub")), &Silent).unwrap();
    assert!(!planted.exists());
    assert_eq!(fs_err::read_dir(root.path()).unwrap().count(), 1);

    for commit in ["../../../planted", "", "/planted", "c0ffee/../x"] {
        let root = tempfile::tempdir().unwrap();
        let (address, _) = hub(Repository { commit, ..plain() });
        let hub = Hub::at(Some(&address), &root.path().join("hub"));
        let error = find("org/name", &hub, &Silent).unwrap_err().to_string();
        assert!(error.contains(&format!("the hub names no commit: `{commit}`")), "{error}");
        assert_eq!(fs_err::read_dir(root.path()).unwrap().count(), 0, "{commit}");
    }
}

#[test]
fn a_download_that_stalls_ends_says_so_and_goes_on_the_next_time() {
    let (address, asked) = hub(Repository { stalls_at: "model.safetensors", ..plain() });
    let root = tempfile::tempdir().unwrap();
    let hub = Hub::impatient(Some(&address), root.path(), Duration::from_millis(300));
    let begun = Instant::now();
    let error = find("org/name", &hub, &Silent).unwrap_err().to_string();
    assert!(begun.elapsed() < Duration::from_secs(30));
    for part in
        ["model.safetensors: no byte came for", "after 5 of 18", "hint: try again; it goes on from there"]
    {
        assert!(error.contains(part), "{part}: {error}");
    }
    // No snapshot at all, not even one that looks complete.
    assert!(find("org/name", &Hub::at(None, root.path()), &Silent).is_err());
    let fetched = find("org/name", &hub, &Silent).unwrap();
    assert_eq!(fs_err::read_to_string(fetched.join("model.safetensors")).unwrap(), "weights of a model");
    let asked = asked.lock().unwrap();
    let of = |name: &str| asked.iter().filter(|line| line.contains(name)).collect::<Vec<_>>();
    assert_eq!(
        of("model.safetensors").last().unwrap().as_str(),
        "GET /org/name/resolve/c0ffee/model.safetensors 5"
    );
    assert_eq!(of("1_Pooling").len(), 1, "what was there is not fetched again");
}
