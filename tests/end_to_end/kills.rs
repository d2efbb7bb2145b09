//! Every command that writes, killed (SIGKILL) at random moments: what is left is of one writing, and the same command, run to its end,
//! gives what it gives undisturbed.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use fs_err as fs;
use serde_json::{Value, json};

use crate::data::with_cache;
use crate::harness::{Scratch, done, gender_recipe, program};
use crate::host::{host, zip};
use crate::mock::{Act, Mock};
use crate::postgres_server::Server as Postgres;

/// Moments, the same in every run.
struct Chance(u64);

impl Chance {
    /// A share, from 0 to 1.
    fn share(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// Files by name; those of temporary names are of killed processes, and are removed by the next one.
pub(crate) type Files = BTreeMap<String, Vec<u8>>;

fn is_temporary(name: &str) -> bool {
    name.split('/').any(|part| part.starts_with(".ragbias-tmp-") || part == ".state")
}

/// A file without what differs between two equal runs: times, hashes of files with times in them, and how many answers came from the store.
fn content(path: &Path) -> Vec<u8> {
    let bytes = fs::read(path).unwrap();
    match path.file_name().and_then(|name| name.to_str()) {
        Some("family.parquet") => Vec::new(),
        Some("family.csv") => {
            let text = String::from_utf8(bytes).unwrap();
            let seconds = text.lines().next().and_then(|head| head.split(',').position(|c| c == "seconds"));
            let without = |line: &str| {
                let cells = line.split(',').enumerate().filter(|(column, _)| Some(*column) != seconds);
                cells.map(|(_, cell)| cell).collect::<Vec<_>>().join(",") + "\n"
            };
            text.lines().map(without).collect::<String>().into()
        }
        Some("ragbias.json") => without(&bytes, &["seconds", "hashes", "files", "checksum"]),
        Some("manifest.json") => without(&bytes, &["notes", "checksum"]),
        Some("report.html") => {
            let text = String::from_utf8(bytes).unwrap();
            let (head, notes) = text.split_once("<tr><th>note on ").unwrap_or((&text, ""));
            format!("{head}{}", notes.rsplit("</td></tr>\n").next().unwrap()).into()
        }
        _ => bytes,
    }
}

/// A JSON object without these fields.
fn without(object: &[u8], fields: &[&str]) -> Vec<u8> {
    let mut object: Value = serde_json::from_slice(object).unwrap();
    for field in fields {
        object.as_object_mut().unwrap().remove(*field);
    }
    serde_json::to_vec(&object).unwrap()
}

/// The files of these outputs, files or folders of the scratch folder.
pub(crate) fn files(scratch: &Scratch, outputs: &[&str]) -> Files {
    let mut found = Files::new();
    let mut paths: Vec<_> = outputs.iter().map(|output| scratch.path(output)).collect();
    while let Some(path) = paths.pop() {
        let name = path.strip_prefix(scratch.path("")).unwrap().to_str().unwrap().to_owned();
        if is_temporary(&name) {
            continue;
        }
        if path.is_dir() {
            paths.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else if path.is_file() {
            found.insert(name, content(&path));
        }
    }
    found
}

/// A command, what it writes, and what it needs.
struct Case {
    args: Vec<String>,
    /// Makes other files in the place of the outputs, which the command replaces.
    earlier: Vec<String>,
    /// Each is a file or folder that is whole or absent.
    outputs: &'static [&'static str],
    /// The file of an output that vouches for those beside it: without it, nothing is said to be whole.
    mark: Option<&'static str>,
    /// A folder of which each member is whole or absent.
    members: Option<&'static str>,
    /// Commands that make the inputs.
    before: Vec<Vec<String>>,
    /// A command that reads the outputs, and finishes what a killed one left undone.
    reads: Vec<String>,
    codes: &'static [i32],
}

fn words(line: &str) -> Vec<String> {
    line.split_whitespace().map(str::to_owned).collect()
}

impl Case {
    fn new(line: &str, outputs: &'static [&'static str]) -> Self {
        let (args, earlier) = (words(line), Vec::new());
        Self {
            args,
            earlier,
            outputs,
            mark: None,
            members: None,
            before: Vec::new(),
            reads: Vec::new(),
            codes: &[0],
        }
    }

    fn over(self, line: &str) -> Self {
        Self { earlier: words(line), ..self }
    }

    fn marked(self, mark: &'static str) -> Self {
        Self { mark: Some(mark), ..self }
    }

    fn after(self, line: &str) -> Self {
        Self { before: [self.before, vec![words(line)]].concat(), ..self }
    }

    fn read_by(self, line: &str) -> Self {
        Self { reads: words(line), ..self }
    }

    /// A folder with the inputs.
    fn prepare(&self, mock: &Mock) -> Scratch {
        let scratch = inputs(mock);
        for args in &self.before {
            self.succeed(&scratch, args);
        }
        scratch
    }

    fn succeed(&self, scratch: &Scratch, args: &[String]) -> Duration {
        let begun = Instant::now();
        let done = done(&mut scratch.command(args));
        assert!(done.code == 0 || self.codes.contains(&done.code), "{args:?}: {}", done.stderr);
        begun.elapsed()
    }

    /// Kills the command so many times, in turns with an empty store and, over the outputs of `earlier`, with a full one.
    fn kill(&self, mock: &Mock, kills: usize, chance: &mut Chance) {
        let name = self.args.join(" ");
        let undisturbed = self.prepare(mock);
        let cold = self.succeed(&undisturbed, &self.args);
        let expected = files(&undisturbed, self.outputs);
        assert!(!expected.is_empty(), "{name}: no outputs");
        if !self.earlier.is_empty() {
            self.succeed(&undisturbed, &self.earlier);
            assert!(files(&undisturbed, self.outputs) != expected, "{name}: nothing is replaced");
        }
        let warm = self.succeed(&undisturbed, &self.args);
        self.assert_equal(&undisturbed, &expected, "undisturbed, over earlier outputs");
        let mut killed = 0;
        for number in 0..kills {
            let fresh;
            let (scratch, whole) = if number % 2 == 1 {
                if !self.earlier.is_empty() {
                    self.succeed(&undisturbed, &self.earlier);
                }
                (&undisturbed, warm)
            } else {
                fresh = self.prepare(mock);
                (&fresh, cold)
            };
            let before = files(scratch, self.outputs);
            let moment = whole.mul_f64(1.05 * chance.share());
            killed += usize::from(kill_after(&mut scratch.command(&self.args), moment));
            if !self.reads.is_empty() && is_begun(&scratch.path(self.outputs[0])) {
                self.succeed(scratch, &self.reads);
            }
            let what = format!("{name}, killed after {moment:?}");
            self.assert_whole(scratch, &[&before, &expected], &what);
            self.succeed(scratch, &self.args);
            self.assert_equal(scratch, &expected, &what);
            assert_nothing_left(scratch, &what);
        }
        eprintln!("{name}: {killed} of {kills} were killed before they ended ({cold:.1?}, {warm:.1?})");
    }

    /// Every output is absent, or wholly one of these.
    fn assert_whole(&self, scratch: &Scratch, wholes: &[&Files], what: &str) {
        let left = files(scratch, self.outputs);
        let unit = |name: &str| self.unit(name);
        let mut units: BTreeMap<String, Files> = BTreeMap::new();
        for (name, bytes) in left {
            units.entry(unit(&name)).or_default().insert(name, bytes);
        }
        for (of, found) in units {
            if self.mark.is_some_and(|mark| !found.contains_key(mark)) {
                continue;
            }
            let is_one = wholes.iter().any(|whole| {
                let whole: BTreeMap<_, _> = whole.iter().filter(|(name, _)| unit(name) == of).collect();
                found.iter().eq(whole)
            });
            assert!(is_one, "{what}: {of} is not whole: {:?}", found.keys());
        }
    }

    /// What is whole or absent by itself: an output, or in a folder of members, each member and each file.
    fn unit(&self, name: &str) -> String {
        let parts: Vec<&str> = name.split('/').collect();
        match self.members {
            Some(members) if parts.get(1) == Some(&members) => parts[..parts.len().min(3)].join("/"),
            Some(_) => name.to_owned(),
            None => {
                let of = self.outputs.iter().find(|output| {
                    name.strip_prefix(**output).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
                });
                (*of.unwrap()).to_owned()
            }
        }
    }

    fn assert_equal(&self, scratch: &Scratch, expected: &Files, what: &str) {
        let found = files(scratch, self.outputs);
        let differs = |name: &&String| found.get(*name) != expected.get(*name);
        let other: Vec<_> = expected.keys().chain(found.keys()).filter(differs).collect();
        assert!(other.is_empty(), "{what}: {other:?} differ from an undisturbed run");
    }
}

/// Whether a run folder holds a run, or is about to.
fn is_begun(run: &Path) -> bool {
    run.join("manifest.json").exists() || run.join(".next").exists()
}

/// Whether a command was still running when it was killed.
fn kill_after(command: &mut Command, moment: Duration) -> bool {
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    std::thread::sleep(moment);
    let running = child.try_wait().unwrap().is_none();
    let _ = child.kill();
    child.wait().unwrap();
    running
}

/// No temporary file below the folder, except in the store's and the family's own state.
fn assert_nothing_left(scratch: &Scratch, what: &str) {
    let mut folders = vec![scratch.path("")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            assert!(
                !name.starts_with(".ragbias-tmp-") && name != ".next",
                "{what}: left {}",
                entry.path().display()
            );
            folders.extend(entry.path().is_dir().then(|| entry.path()));
        }
    }
}

/// A folder with the inputs of all commands.
pub(crate) fn inputs(mock: &Mock) -> Scratch {
    let scratch = Scratch::new();
    let topics = ["radium", "gravity", "comets", "engines", "bridges", "ferns", "stars", "vaccines"];
    let mut corpus = String::new();
    let mut questions = String::new();
    let mut log = String::new();
    let mut labels = String::new();
    for (number, topic) in topics.iter().enumerate() {
        for (said, lean) in [("Mary Smith wrote a book on", 1), ("John Clark gave a talk on", -1)] {
            let text = format!("{said} {topic}.");
            let document =
                json!({ "_id": format!("{topic}{lean}"), "text": text, "metadata": { "lean": lean } });
            writeln!(corpus, "{document}").unwrap();
            let lean = if number == 0 { -lean } else { lean };
            let label = json!({ "_id": text, "text": text, "metadata": { "lean": lean, "topic": topic } });
            writeln!(labels, "{label}").unwrap();
        }
        for part in ["on", "about"] {
            let question = json!({ "_id": format!("{topic} {part}"), "text": format!("Who wrote {part} {topic}?"), "topic": topic });
            writeln!(questions, "{question}").unwrap();
        }
    }
    for number in 0..2000 {
        let name = if number % 3 == 0 { "Mary Smith" } else { "John Clark" };
        let line = json!({ "question": format!("Who wrote book {number}?"), "topic": format!("t{}", number / 2),
            "answer": format!("{name} wrote it."), "time": "2026-01-01T08:00:00Z" });
        writeln!(log, "{line}").unwrap();
    }
    scratch.write("short.jsonl", log.split_inclusive('\n').take(600).collect::<String>());
    scratch.write("log.jsonl", log);
    scratch.write("labels.jsonl", labels);
    scratch.write("other.jsonl", corpus.replace("wrote", "read"));
    scratch.write("corpus.jsonl", corpus);
    scratch.write("questions.jsonl", questions);
    scratch.write("recipe.toml", gender_recipe("few", "[0.5, 1.0]"));
    for (name, limit) in [("few", 6), ("fewer", 4)] {
        let experiment = format!(
            "name = \"few\"\n[[part]]\naxis = \"gender\"\ndata = \"gender\"\nsplit = \"validation\"\nlimit = {limit}\n\
             embedders = [\"minilm\"]\nllms = [\"{}\"]\n",
            mock.url()
        );
        scratch.write(&format!("{name}.toml"), experiment);
    }
    let rag = scratch.write(
        "rag.sh",
        "#!/bin/sh\nwhile read -r line; do id=${line#*'\"_id\":\"'}; id=${id%%'\"'*}; echo '{\"_id\":\"'\"$id\"'\",\"answer\":\"Mary Smith\"}'; done\n",
    );
    fs::set_permissions(rag, std::fs::Permissions::from_mode(0o755)).unwrap();
    scratch
}

/// An LLM that names a woman or a man, by the length of what it is asked.
pub(crate) fn llm() -> Mock {
    Mock::prompted(|_, prompt| Act::content(["Mary Smith", "John Clark"][prompt.len() % 2]))
}

/// The commands that take a second or two.
fn quick(mock: &Mock) -> Vec<Case> {
    let measure = format!(
        "measure --axis gender --questions questions.jsonl --corpus corpus.jsonl --embedder minilm --out out --llm {}",
        mock.url()
    );
    let audit = "audit --axis gender --questions questions.jsonl --command ./rag.sh --out audit";
    let mut audited = Case::new(audit, &["audit"]).over(&format!("{audit} --seed 1"));
    audited.codes = &[0, 3, 4];
    let monitor = "monitor --axis gender --threshold 0.2 --state state.json --out watched --log";
    let mut watched = Case::new(&format!("{monitor} log.jsonl"), &["watched", "state.json"]);
    watched.codes = &[0, 3, 4];
    vec![
        Case::new("embed --embedder minilm --input corpus.jsonl --out v.npy", &["v.npy"])
            .over("embed --embedder minilm --input other.jsonl --out v.npy"),
        Case::new(&measure, &["out"]).over(&format!("{measure} --seed 1")).marked("out/measurement.json"),
        Case::new("calibrate --axis gender --labels labels.jsonl --out c.json", &["c.json"])
            .over("calibrate --axis gender --labels labels.jsonl --out c.json --texts documents"),
        Case::new("twins --axis gender --corpus corpus.jsonl --out twins", &["twins"])
            .over("twins --axis gender --corpus corpus.jsonl --out twins --seed 1"),
        Case::new("data pull gender --out set", &["set"])
            .over("data pull politics --out set")
            .marked("set/manifest.toml"),
        audited,
        watched,
    ]
}

/// Those that take longer.
fn slow() -> Vec<Case> {
    let mut tuned = Case::new("tune --recipe recipe.toml --out family", &["family"]);
    tuned.members = Some("members");
    let choose = "choose --run runs/few --control projection --control ranking --steps 2";
    let mut chosen = Case::new(choose, &["runs/few"]).over(&format!("{choose} --delta 0.3"));
    chosen.codes = &[0, 4];
    vec![
        Case::new("mine --recipe recipe.toml --out mined.csv", &["mined.csv"]),
        tuned,
        Case::new("run few.toml", &["runs/few"]).over("run fewer.toml").read_by("report runs/few"),
        chosen.after("run few.toml").read_by("report runs/few"),
        Case::new("report runs/few", &["runs/few"]).after("run few.toml").read_by("report runs/few"),
    ]
}

#[test]
fn a_command_that_is_killed_leaves_nothing_half_written_and_ends_as_if_it_had_not_been() {
    let mock = llm();
    let mut chance = Chance(1);
    for case in quick(&mock) {
        case.kill(&mock, 2, &mut chance);
    }
}

#[test]
#[ignore = "some ten minutes: cargo test --release --workspace --test end_to_end kills -- --ignored --nocapture"]
fn twenty_kills_of_every_command_leave_nothing_half_written() {
    let mock = llm();
    let mut chance = Chance(2);
    for case in quick(&mock).into_iter().chain(slow()) {
        case.kill(&mock, 20, &mut chance);
    }
}

/// Every key and value of a store.
fn rows(scratch: &Scratch) -> Vec<(String, Vec<u8>, Vec<u8>)> {
    let store = rusqlite::Connection::open(scratch.store()).unwrap();
    let mut rows = Vec::new();
    for (table, column) in [("vectors_2", "vector"), ("verdicts_2", "checksum"), ("answers_3", "answer")] {
        let mut all =
            store.prepare(&format!("SELECT key, CAST({column} AS BLOB) FROM {table} ORDER BY key")).unwrap();
        let found = all.query_map([], |row| Ok((table.to_owned(), row.get(0)?, row.get(1)?))).unwrap();
        rows.extend(found.map(Result::unwrap));
    }
    rows
}

fn merges(kills: usize) {
    let mock = llm();
    let other = inputs(&mock);
    let documents: String = (0..1500)
        .map(|number| {
            json!({ "_id": number.to_string(), "text": format!("Book {number}.") }).to_string() + "\n"
        })
        .collect();
    other.write("many.jsonl", documents);
    other.json(&["embed", "--embedder", "minilm", "--input", "many.jsonl", "--out", "v.npy"]);
    let expected = rows(&other);
    assert_eq!(expected.len(), 1500);
    let store = other.store();
    let args = ["merge", store.to_str().unwrap()];
    let begun = Instant::now();
    Scratch::new().json(&args);
    let (whole, mut chance) = (begun.elapsed(), Chance(3));
    for _ in 0..kills {
        let scratch = Scratch::new();
        kill_after(&mut scratch.command(&args), whole.mul_f64(1.05 * chance.share()));
        let merged = scratch.json(&args);
        assert_eq!(
            (&merged["different"], merged["new"].as_u64().unwrap() + merged["known"].as_u64().unwrap()),
            (&json!(0), 1500)
        );
        assert!(rows(&scratch) == expected, "a value is lost or changed");
    }
}

/// `models pull` of MiniLM and `data pull` of a published set, from hosts on loopback.
fn pulls(kills: usize) {
    let model = done(program().args(["models", "path", "minilm"])).stdout.trim().to_owned();
    let names = [
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
        "config.json",
        "modules.json",
        "sentence_bert_config.json",
        "1_Pooling/config.json",
    ];
    let file = |name: &str| {
        let path = format!("/sentence-transformers/all-MiniLM-L6-v2/resolve/main/{name}");
        (path, fs::read(Path::new(&model).join(name)).unwrap())
    };
    let hub = host(names.map(file));
    let corpus: String = (0..20_000)
        .map(|number| {
            json!({ "_id": number.to_string(), "title": "", "text": format!("Train {number} is late.") })
                .to_string()
                + "\n"
        })
        .collect();
    let members = [
        ("scifact/corpus.jsonl", corpus.as_str()),
        ("scifact/queries.jsonl", "{\"_id\":\"a\",\"text\":\"Which train is late?\"}\n"),
        ("scifact/qrels/test.tsv", "query-id\tcorpus-id\tscore\na\t1\t1\n"),
    ];
    let archive = "/public.ukp.informatik.tu-darmstadt.de/thakur/BEIR/datasets/scifact.zip".to_owned();
    let mirror = host([(archive, zip(&members))]);
    let pulling = |scratch: &Scratch, args: &[&str]| {
        let mut command = with_cache(scratch, &mirror, args);
        command.env("HF_ENDPOINT", &hub).env("HF_HOME", scratch.path("hub")).env_remove("HF_TOKEN");
        command.env("RAGBIAS_MODEL_DIR", scratch.path("models")).env_remove("HF_HUB_OFFLINE");
        command
    };
    let mut chance = Chance(4);
    for (args, place, verify) in [
        (["models", "pull", "minilm"], "models/minilm", Some(["models", "verify", "minilm"])),
        (["data", "pull", "scifact"], "cache/scifact", None),
    ] {
        let undisturbed = Scratch::new();
        let begun = Instant::now();
        let pulled = done(&mut pulling(&undisturbed, &args));
        assert_eq!(pulled.code, 0, "{}", pulled.stderr);
        let (whole, expected) = (begun.elapsed(), files(&undisturbed, &[place]));
        assert!(expected.len() >= 3, "{:?}", expected.keys());
        for _ in 0..kills {
            let scratch = Scratch::new();
            let moment = whole.mul_f64(1.05 * chance.share());
            kill_after(&mut pulling(&scratch, &args), moment);
            let left = files(&scratch, &[place]);
            assert!(left.is_empty() || left == expected, "{args:?} after {moment:?}: {:?}", left.keys());
            let pulled = done(&mut pulling(&scratch, &args));
            assert_eq!(pulled.code, 0, "{}", pulled.stderr);
            assert!(files(&scratch, &[place]) == expected, "{args:?} after {moment:?}");
            if let Some(verify) = verify {
                assert_eq!(done(&mut pulling(&scratch, &verify)).code, 0);
            }
        }
    }
}

/// `ingest` into PostgreSQL, if there is one.
fn ingests(kills: usize) {
    let Some(postgres) = Postgres::start() else { return };
    let mock = llm();
    let args = ["ingest", "--corpus", "gender", "--embedder", "minilm", "--table", "docs", "--json"];
    let ingest = |scratch: &Scratch, address: &str| {
        let mut command = scratch.command(&args);
        command.env("RAGBIAS_POSTGRES", address);
        command
    };
    let digest = |database: &str| {
        postgres.sql(database, "SELECT count(*), md5(string_agg(d::text, ';' ORDER BY id)) FROM docs d")
    };
    let scratch = inputs(&mock);
    let (address, database) = postgres.database();
    let begun = Instant::now();
    assert_eq!(done(&mut ingest(&scratch, &address)).code, 0);
    let (whole, expected, mut chance) = (begun.elapsed(), digest(&database), Chance(5));
    for number in 0..kills {
        let fresh = inputs(&mock);
        // Every other time with the vectors in the store, so that the sending is interrupted.
        let scratch = if number % 2 == 0 { &fresh } else { &scratch };
        let (address, database) = postgres.database();
        kill_after(&mut ingest(scratch, &address), whole.mul_f64(1.05 * chance.share()));
        let ingested = done(&mut ingest(scratch, &address));
        assert_eq!(ingested.code, 0, "{}", ingested.stderr);
        assert_eq!(digest(&database), expected);
        let again = done(&mut ingest(scratch, &address));
        let again: Value = serde_json::from_str(&again.stdout).unwrap();
        assert_eq!((&again["added"], &again["replaced"]), (&json!(0), &json!(0)), "{again}");
    }
}

#[test]
fn stores_pulls_and_tables_are_whole_after_a_kill() {
    merges(2);
    pulls(1);
    ingests(2);
}

#[test]
#[ignore = "some minutes: cargo test --release --workspace --test end_to_end kills -- --ignored --nocapture"]
fn stores_pulls_and_tables_are_whole_after_twenty_kills_each() {
    merges(20);
    pulls(20);
    ingests(20);
}
