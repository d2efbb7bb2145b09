use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Cursor, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};

use ragbias_core::Silent;
use ragbias_files::sha256_of;
use zip::write::SimpleFileOptions;

use super::*;

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// What a server answers.
#[derive(Clone)]
enum Reply {
    Body(Vec<u8>),
    /// A body that ends before the length that was announced.
    Cut(Vec<u8>, usize),
    Redirect(String),
    /// Nothing, for ever.
    Hang,
}

/// A server on loopback: its replies by path, and the paths that were asked for with GET.
#[derive(Clone)]
struct Host {
    address: String,
    replies: Arc<Mutex<BTreeMap<String, Reply>>>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Host {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let host = Self { address, replies: Arc::default(), asked: Arc::default() };
        let own = host.clone();
        std::thread::spawn(move || {
            let mut hanging = Vec::new();
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let lines = BufReader::new(stream.try_clone().unwrap()).lines();
                let mut lines = lines.map_while(std::io::Result::ok);
                let first = lines.next().unwrap_or_default();
                lines.take_while(|line| !line.is_empty()).for_each(drop);
                let mut words = first.split(' ');
                let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
                if method == "GET" {
                    own.asked.lock().unwrap().push(path.to_owned());
                }
                let reply = own.replies.lock().unwrap().get(path).cloned();
                let (status, extra, length, body) = match reply {
                    Some(Reply::Body(body)) => ("200 OK", String::new(), body.len(), body),
                    Some(Reply::Cut(body, length)) => ("200 OK", String::new(), length, body),
                    Some(Reply::Redirect(to)) => ("302 Found", format!("location: {to}\r\n"), 0, Vec::new()),
                    Some(Reply::Hang) => {
                        hanging.push(stream);
                        continue;
                    }
                    None => ("404 Not Found", String::new(), 0, Vec::new()),
                };
                let head = format!(
                    "HTTP/1.1 {status}\r\n{extra}content-length: {length}\r\nconnection: close\r\n\r\n"
                );
                let body = if method == "HEAD" { Vec::new() } else { body };
                // A client may stop reading before the end.
                let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body));
            }
        });
        host
    }

    fn reply(&self, path: &str, reply: Reply) {
        self.replies.lock().unwrap().insert(path.into(), reply);
    }
}

const TABLE: &str = "num,question,left_claim,right_claim\n1,Why?,more,less\n";

/// A set of one file in a folder with a space, with these further keys of the file.
fn of_github(keys: &str) -> String {
    format!(
        "[[set]]\nname = \"s\"\nabout = \"\"\nlayout = \"tables\"\nlicence = \"MIT\"\ncitation = \"\"\ngithub = \"o/r\"\n\
         commit = \"{COMMIT}\"\nfiles = [{{ path = \"a.csv\", from = \"d e/a.csv\"{keys} }}]\n"
    )
}

fn known() -> String {
    format!(", bytes = {}, sha256 = \"{}\"", TABLE.len(), sha256_of(TABLE.as_bytes()))
}

fn path() -> String {
    format!("/raw.githubusercontent.com/o/r/{COMMIT}/d%20e/a.csv")
}

/// A store that asks a host for the files of a registry.
struct World {
    folder: tempfile::TempDir,
    host: Host,
    store: SetStore,
}

impl World {
    fn new(registry: &str) -> Self {
        let (folder, host) = (tempfile::tempdir().unwrap(), Host::start());
        let root = folder.path().join("data");
        let mut store = SetStore::new(root, Some(host.address.clone())).unwrap();
        store.sets = PublishedSets::read(registry).unwrap();
        store.longest_stall = Duration::from_millis(300);
        Self { folder, host, store }
    }

    fn pull(&self) -> Result<Pulled> {
        self.store.pull("s", &Silent)
    }

    /// The error of a failed pull, after which nothing must look complete.
    fn refusal(&self) -> String {
        let error = self.pull().unwrap_err().to_string();
        assert!(self.store.path("s").unwrap().is_none() && !self.folder.path().join("data/s").exists());
        assert!(error.starts_with("data set `s` could not be had from https://"), "{error}");
        error
    }
}

#[test]
fn a_set_is_pulled_through_a_mirror_once_and_verified_whenever_it_is_used() {
    let world = World::new(&of_github(&known()));
    assert!(world.store.resolve("s").unwrap().is_none());
    world.host.reply(&path(), Reply::Body(TABLE.into()));
    let pulled = world.pull().unwrap();
    assert_eq!(fs_err::read_to_string(pulled.path.join("a.csv")).unwrap(), TABLE);
    let received = Received {
        file: "a.csv".into(),
        bytes: TABLE.len() as u64,
        sha256: sha256_of(TABLE.as_bytes()),
        known: true,
    };
    assert_eq!(pulled.files, [received]);
    world.pull().unwrap();
    assert_eq!(*world.host.asked.lock().unwrap(), [path()]);
    assert_eq!(fs_err::read_dir(&pulled.path).unwrap().count(), 1);

    fs_err::write(pulled.path.join("a.csv"), TABLE.replace("more", "none")).unwrap();
    let error = world.store.resolve("s").unwrap_err().to_string();
    assert!(error.contains("a.csv: the file of the data set `s` is damaged"), "{error}");
    world.pull().unwrap();
    assert!(world.store.resolve("s").unwrap().is_some());
}

#[test]
fn what_is_not_the_file_of_the_registry_is_refused_and_leaves_nothing() {
    let world = World::new(&of_github(&known()));
    let error = world.refusal();
    assert!(error.contains("a.csv: http status: 404") && error.contains("RAGBIAS_DATA_MIRROR"), "{error}");

    world.host.reply(&path(), Reply::Body(TABLE.replace("more", "none").into()));
    let error = world.refusal();
    let sum = sha256_of(TABLE.as_bytes());
    assert!(error.contains(&format!("a.csv: expected the SHA-256 {sum}, received")), "{error}");
    assert!(error.contains("(twice)"), "{error}");

    world.host.reply(&path(), Reply::Body([TABLE, "x"].concat().into()));
    let error = world.refusal();
    assert!(
        error.contains(&format!("expected {} bytes, received {}", TABLE.len(), TABLE.len() + 1)),
        "{error}"
    );

    world.host.reply(&path(), Reply::Cut(TABLE[..20].into(), TABLE.len()));
    let error = world.refusal();
    assert!(error.contains("a.csv: "), "{error}");

    world.host.reply(&path(), Reply::Hang);
    let error = world.refusal();
    assert!(error.contains("timeout"), "{error}");

    world.host.reply(&path(), Reply::Body(TABLE.into()));
    world.pull().unwrap();
}

#[test]
fn another_host_is_believed_only_where_the_checksum_is_known() {
    let other = Host::start();
    other.reply("/there", Reply::Body(TABLE.into()));
    let elsewhere = Reply::Redirect(format!("{}/there", other.address));
    let world = World::new(&of_github(&known()));
    world.host.reply(&path(), elsewhere.clone());
    world.pull().unwrap();

    for keys in [String::new(), format!(", bytes = {}", TABLE.len())] {
        let world = World::new(&of_github(&keys));
        world.host.reply(&path(), elsewhere.clone());
        let error = world.refusal();
        let expected = format!(
            "expected an answer of {}, as no checksum is known, received a redirect to {}",
            world.host.address, other.address
        );
        assert!(error.contains(&expected), "{error}");
    }
}

#[test]
fn a_checksum_that_is_not_known_is_that_of_the_first_pull() {
    let world = World::new(&of_github(""));
    world.host.reply(&path(), Reply::Body(TABLE.into()));
    let pulled = world.pull().unwrap();
    assert!(!pulled.files[0].known);
    assert_eq!(pulled.files[0].sha256, sha256_of(TABLE.as_bytes()));

    // The folder is removed; the record outlasts it.
    fs_err::remove_dir_all(&pulled.path).unwrap();
    world.host.reply(&path(), Reply::Body(TABLE.replace("more", "none").into()));
    let error = world.refusal();
    assert!(error.contains("expected the SHA-256") && error.contains(".s.received.json"), "{error}");
    world.host.reply(&path(), Reply::Body(TABLE.into()));
    let pulled = world.pull().unwrap();

    // A record that cannot be read is not taken for none.
    let record = world.folder.path().join("data/.s.received.json");
    fs_err::write(&record, "{}").unwrap();
    fs_err::remove_dir_all(&pulled.path).unwrap();
    let error = world.pull().unwrap_err().to_string();
    assert!(error.contains(".s.received.json: expected the checksums of the first pull"), "{error}");
    assert!(error.contains("hint: if you remove it"), "{error}");
}

fn archive(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in members {
        zip.start_file(*name, SimpleFileOptions::default()).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

fn of_archive(files: &str, keys: &str) -> String {
    format!(
        "[[set]]\nname = \"s\"\nabout = \"\"\nlayout = \"beir\"\nlicence = \"\"\ncitation = \"\"\nfiles = [{files}]\n\
         [set.archive]\naddress = \"https://example.org/s.zip\"\n{keys}"
    )
}

#[test]
fn members_of_an_archive_are_taken_and_nothing_else_of_it() {
    let files = "{ path = \"corpus.jsonl\", from = \"s/corpus.jsonl\" }, { path = \"qrels/test.tsv\", from = \"s/qrels/test.tsv\" }";
    let corpus = "{\"_id\":\"1\",\"text\":\"a\"}\n".repeat(9000);
    let whole =
        archive(&[("s/qrels/test.tsv", b"q"), ("s/corpus.jsonl", corpus.as_bytes()), ("../evil", b"x")]);
    let keys = format!("bytes = {}\nsha256 = \"{}\"\n", whole.len(), sha256_of(&whole));
    for (keys, known) in [(keys.as_str(), true), ("", false)] {
        let world = World::new(&of_archive(files, keys));
        world.host.reply("/example.org/s.zip", Reply::Body(whole.clone()));
        let pulled = world.pull().unwrap();
        assert_eq!(fs_err::read_to_string(pulled.path.join("corpus.jsonl")).unwrap(), corpus);
        assert_eq!(fs_err::read_to_string(pulled.path.join("qrels/test.tsv")).unwrap(), "q");
        assert!(pulled.files.iter().all(|file| file.known == known));
        assert_eq!(fs_err::read_dir(&pulled.path).unwrap().count(), 2);
        world.pull().unwrap();
        assert_eq!(world.host.asked.lock().unwrap().len(), 1);
    }
    let world = World::new(&of_archive("{ path = \"other\", from = \"s/other\" }", &keys));
    world.host.reply("/example.org/s.zip", Reply::Body(whole.clone()));
    let error = world.refusal();
    assert!(error.contains("s/other: "), "{error}");
    let world = World::new(&of_archive(files, ""));
    world.host.reply("/example.org/s.zip", Reply::Body(b"<html>not here</html>".to_vec()));
    let error = world.refusal();
    assert!(error.contains("s.zip: "), "{error}");
}

#[test]
fn a_mirror_that_is_no_address_is_refused() {
    let error = SetStore::new("x", Some("mirror.example.org".into())).unwrap_err().to_string();
    assert!(error.contains("RAGBIAS_DATA_MIRROR is `mirror.example.org`, expected an address"), "{error}");
}
