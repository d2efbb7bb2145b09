//! Files written by the program, with the input in place of one of them. The tests of `ragbias` include this
//! file.
//!
//! A checksum detects accidental damage, but does not protect against an attacker who computes it. The stored checksums of
//! a file are therefore set to those of the input.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ragbias::core::testing::HashEmbedder;
use ragbias::core::{ContentHasher, ContentId, Corpus, Document, Embedder, Role, Silent, VectorIndex};
use ragbias::embed::{TextEmbedder, TextEmbedderConfig};
use ragbias::index::{Exact, ExactIndex, HnswConfig, HnswIndex};
use ragbias::tune::{Base, Scope, Texts, Tuned, Weights};
use ragbias::{FitConfig, Models, Retriever, Workspace, fit_files, report, report_without_pixels};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use crate::checkpoint::Folders;

/// Files of a run folder: four heads on a small embedder, measured on ten topics, with a choice. Each is stored
/// after the byte that selects it.
const RUN: [(&str, &[u8]); 7] = [
    ("manifest.json", include_bytes!("../seeds/saved/manifest")),
    ("results.json", include_bytes!("../seeds/saved/results")),
    ("fit.json", include_bytes!("../seeds/saved/fit")),
    ("choice.json", include_bytes!("../seeds/saved/choice")),
    ("measurements.csv", include_bytes!("../seeds/saved/measurements-csv")),
    ("measurements.parquet", include_bytes!("../seeds/saved/measurements-parquet")),
    ("outcomes.parquet", include_bytes!("../seeds/saved/outcomes")),
];

/// The other files, by folder.
const INDEX: [&str; 3] = ["index.json", "graph.bin", "vectors.vec"];
const EXACT: &str = "exact.vec";
const CONTROL: &str = "control.json";
const CARD: &str = "ragbias.json";
const STATES: &str = "states.f16";
const VERIFIED: &str = ".minilm.verified.json";

/// The text of an error and its causes.
fn message(error: &dyn std::error::Error) -> String {
    let mut message = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        message = format!("{message} {inner}");
        source = inner.source();
    }
    message
}

/// Accepts success; an error must name a place.
fn named<T, E: std::error::Error>(result: Result<T, E>, place: impl Display) -> Option<T> {
    let place = place.to_string();
    match result {
        Ok(value) => Some(value),
        Err(error) => {
            let message = message(&error);
            assert!(message.contains(&place), "no {place} in: {message}");
            None
        }
    }
}

/// All folders that are read, intact.
pub struct Saved {
    root: TempDir,
    base: Base,
    /// The files of the index and of the member, with their paths.
    files: BTreeMap<&'static str, (PathBuf, Vec<u8>)>,
    questions: HashEmbedder,
    member_id: ContentId,
}

/// A text that every member embeds.
const TEXT: &str = "the mill by the sea";

impl Saved {
    /// Creates the files that are not seeds, in a folder.
    pub fn new(folder: impl Fn() -> TempDir) -> Self {
        let root = folder();
        let checkpoint = Folders::new(&folder);
        let modules = ["Transformer", "Pooling", "Normalize"].iter().enumerate().map(|(idx, name)| {
            let path = ["", "1_Pooling", "2_Normalize"][idx];
            json!({ "idx": idx, "name": idx.to_string(), "path": path, "type": format!("sentence_transformers.models.{name}") })
        });
        let base = checkpoint.plain(&Value::Array(modules.collect()).to_string(), |folder| {
            Base::load(folder, &TextEmbedderConfig::default()).expect("a base")
        });
        let questions = HashEmbedder::new(8, 1);
        let texts: Vec<String> = (0..40).map(|i| format!("the mill {i} by the sea {}", i % 7)).collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let documents = || questions.embed(&texts, Role::Document).expect("vectors");
        let at = |name: &str| root.path().join(name);
        let index = HnswIndex::build(documents(), HnswConfig::default().neighbours(4));
        index.expect("an index").save(&at("index")).expect("a folder");
        ExactIndex::new(documents()).expect("an index").save(&at(EXACT)).expect("a file");
        let card = json!({ "version": "0.1.0", "about": "a member" });
        Weights::base().save(&base, &at("member"), card).expect("a folder");
        Self::states(&base, &at("states")).expect("hidden states");
        let mut files = BTreeMap::new();
        let mut add = |name, path: PathBuf| {
            let bytes = fs_err::read(&path).expect("a file that was written");
            files.insert(name, (path, bytes));
        };
        for name in INDEX {
            add(name, at("index").join(name));
        }
        add(EXACT, at(EXACT));
        add(CARD, at("member").join(CARD));
        let mut entries = fs_err::read_dir(at("states")).expect("a folder");
        add(STATES, entries.next().expect("one file").expect("one file").path());
        let control = include_bytes!("../seeds/saved/control");
        files.insert(CONTROL, (at("control").join(CONTROL), control[1..].to_vec()));
        fs_err::create_dir(at("control")).expect("a folder");
        files.insert(VERIFIED, (at("models").join(VERIFIED), b"{}".to_vec()));
        fs_err::create_dir(at("models")).expect("a folder");
        let member = TextEmbedder::load(&at("member"), &TextEmbedderConfig::default()).expect("a member");
        Self { base, files, questions, member_id: member.id(), root }
    }

    /// Hidden states of a text, from a file in a folder if present.
    fn states(base: &Base, folder: &Path) -> Option<Texts> {
        let texts = [(Role::Question, TEXT.into()), (Role::Document, "the bridge".into())];
        named(Texts::prepare(base, Scope::MlpTop(1), texts, folder, &Silent), folder.display())
    }

    /// Replaces the file selected by the input's first byte, reads what the file belongs to, and restores the file.
    /// Returns whether it was read.
    pub fn read(&self, input: &[u8]) -> bool {
        let [kind, bytes @ ..] = input else { return false };
        let kind = usize::from(*kind) % (RUN.len() + self.files.len());
        if let Some((name, _)) = RUN.get(kind) {
            return self.read_run(name, bytes);
        }
        let (name, (path, whole)) = self.files.iter().nth(kind - RUN.len()).expect("one of the files");
        let folder = path.parent().expect("a folder");
        fs_err::write(path, self.sealed(name, bytes)).expect("a file");
        if INDEX[1..].contains(name) {
            let index = self.sealed(INDEX[0], &self.files[INDEX[0]].1);
            fs_err::write(folder.join(INDEX[0]), index).expect("a file");
        }
        let read = match *name {
            EXACT => self.search(named(ExactIndex::load(path), EXACT)),
            CARD => self.embed(folder),
            CONTROL => self.retrieve(folder),
            STATES => self.vectors(folder),
            VERIFIED => {
                let models = Models::in_folder(folder).expect("the registry");
                let missing = models.store().verify("minilm", &Silent).expect("a model that is not there");
                missing.iter().all(|check| check.received.is_none())
            }
            _ => self.search(named(HnswIndex::load(folder), folder.display())),
        };
        fs_err::write(path, whole).expect("a file");
        let (path, index) = &self.files[INDEX[0]];
        fs_err::write(path, index).expect("a file");
        read
    }

    /// An input with the checksums set that its file, or one beside it, contains.
    fn sealed(&self, name: &str, input: &[u8]) -> Vec<u8> {
        let mut bytes = input.to_vec();
        match name {
            "index.json" => {
                let path = self.files["graph.bin"].0.as_path();
                let graph = fs_err::read(path).expect("a graph");
                let Ok(mut meta) = serde_json::from_slice::<Value>(input) else { return bytes };
                let setting = |key: &str| meta["config"][key].as_u64().unwrap_or_default().to_le_bytes();
                let settings = ["neighbours", "construction_width", "search_width"].map(setting);
                let seal = ContentHasher::new("hnsw/3").field(settings.as_flattened()).field(graph).finish();
                if let Some(checksum) = meta.get_mut("checksum") {
                    *checksum = seal.to_string().into();
                    return meta.to_string().into();
                }
            }
            "vectors.vec" | EXACT if bytes.len() > 64 => {
                let id = ContentId::of(&bytes[64..]);
                let seal = match bytes[56] {
                    0 => id,
                    which => {
                        let names = ["cosine", "dot", "euclidean"];
                        let name = names.get(usize::from(which)).copied().unwrap_or_default();
                        ContentHasher::new("vectors/1").field(id.as_bytes()).field(name).finish()
                    }
                };
                bytes[24..56].copy_from_slice(seal.as_bytes());
            }
            STATES if bytes.len() > 32 => {
                let end = bytes.len() - 32;
                let seal = ContentId::of(&bytes[..end]);
                bytes[end..].copy_from_slice(seal.as_bytes());
            }
            CONTROL => {
                let Ok(mut control) = serde_json::from_slice::<Value>(input) else { return bytes };
                // An embedder given by name would be downloaded.
                if let Some(how) = control.get_mut("how").and_then(Value::as_object_mut) {
                    how.shift_remove("merge");
                    let member = self.root.path().join("member");
                    how.insert("embedder".into(), member.to_str().expect("a name in UTF-8").into());
                }
                if let Some(ids) = control.get_mut("ids").and_then(Value::as_object_mut) {
                    ids.insert("base".into(), self.member_id.to_string().into());
                }
                return sealed(control).to_string().into();
            }
            CARD => {
                let Ok(Value::Object(mut card)) = serde_json::from_slice(input) else { return bytes };
                let Some(checksum) = card.shift_remove("checksum") else { return bytes };
                let sum = format!("{:x}", Sha256::digest(Value::Object(card.clone()).to_string()));
                card.insert("checksum".into(), if checksum.is_string() { sum.into() } else { checksum });
                return Value::Object(card).to_string().into();
            }
            _ => {}
        }
        bytes
    }

    fn search(&self, index: Option<impl VectorIndex>) -> bool {
        let Some(index) = index else { return false };
        let questions =
            HashEmbedder::new(index.dim(), 2).embed(&[TEXT, "bridge"], Role::Question).expect("vectors");
        let Ok(hits) = index.search(&questions, 3) else { return false };
        for hits in &hits {
            assert_eq!(hits.len(), 3.min(index.len()));
            assert!(hits.iter().all(|hit| hit.document.index() < index.len()), "{hits:?}");
            assert!(hits.iter().all(|hit| hit.score.is_finite()), "{hits:?}");
        }
        index.dim() == self.questions.dim()
    }

    fn embed(&self, member: &Path) -> bool {
        let models = Models::in_folder(self.root.path().join("models")).expect("the registry");
        let name = member.to_str().expect("a name in UTF-8");
        let Some(embedder) = named(models.embedder(name, &Silent), name) else { return false };
        embedder.embed(&[TEXT], Role::Question).is_ok()
    }

    /// Whether a control retrieves, with finite scores.
    fn retrieve(&self, folder: &Path) -> bool {
        let documents = ["the mill", "a bridge by the sea", "the council hall"];
        let documents = (0..).zip(documents).map(|(i, text): (usize, _)| Document::new(i.to_string(), text));
        let corpus = Corpus::new(documents.collect()).expect("a corpus");
        let models = Models::in_folder(self.root.path().join("models")).expect("the registry");
        let retriever = Retriever::with(folder, &corpus, Exact, &Workspace::new(models));
        let Some(retriever) = named(retriever, CONTROL) else { return false };
        let Ok(found) = retriever.search(TEXT, 2) else { return false };
        assert!(found.len() == 2 && found.iter().all(|found| found.score.is_finite()));
        true
    }

    fn vectors(&self, folder: &Path) -> bool {
        let Some(texts) = Self::states(&self.base, folder) else { return false };
        let tuned = Tuned::new(&self.base, &Arc::new(texts), &Weights::base(), ContentId::of(b"member"));
        let Ok(tuned) = tuned else { return false };
        tuned.embed(&[TEXT], Role::Question).is_ok() && tuned.embed(&["the bridge"], Role::Document).is_ok()
    }

    /// A new run folder, with the input in place of a file.
    fn read_run(&self, name: &str, input: &[u8]) -> bool {
        let folder = tempfile::tempdir_in(self.root.path()).expect("a folder");
        let put = |name: &str, bytes: &[u8]| fs_err::write(folder.path().join(name), bytes).expect("a file");
        let mut manifest: Value = serde_json::from_slice(&RUN[0].1[1..]).expect("the manifest");
        for (other, seed) in &RUN[1..] {
            let bytes = if *other == name { input } else { &seed[1..] };
            put(other, bytes);
            if let Some(kept) = manifest["files"].get_mut(*other) {
                *kept = ContentId::of(bytes).to_string().into();
            }
        }
        put(RUN[0].0, sealed(manifest).to_string().as_bytes());
        match (name, serde_json::from_slice(input)) {
            ("manifest.json", Ok(manifest)) => put(name, sealed(manifest).to_string().as_bytes()),
            ("choice.json", Ok(Value::Array(choices))) => {
                let choices: Vec<Value> = choices.into_iter().map(sealed).collect();
                put(name, Value::Array(choices).to_string().as_bytes());
            }
            ("manifest.json" | "choice.json", _) => put(name, input),
            _ => {}
        }
        let place = folder.path().display();
        let config = FitConfig::default().draws(200);
        let table = if name == "measurements.csv" { folder.path().join(name) } else { folder.path().into() };
        let is_fitted = named(fit_files(&table, None, &config), &place).is_some();
        // Rendering PNG files takes nearly all of the time.
        let reported = if input.len().is_multiple_of(32) {
            report(folder.path(), &Silent).map(drop)
        } else {
            report_without_pixels(folder.path(), &folder.path().join("report"))
        };
        named(reported, place).is_some() && is_fitted
    }
}

/// An object with its checksum recomputed, if it has one.
fn sealed(object: Value) -> Value {
    let Value::Object(mut fields) = object else { return object };
    if let Some(checksum) = fields.shift_remove("checksum") {
        let seal = ContentId::of(Value::Object(fields.clone()).to_string().as_bytes()).to_string();
        fields.insert("checksum".into(), if checksum.is_string() { seal.into() } else { checksum });
    }
    Value::Object(fields)
}
