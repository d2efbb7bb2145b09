//! Small encoders of the families with rotary positions, tuned in every scope that they are trained in.
#![allow(clippy::unwrap_used, reason = "a test says what went wrong by panicking")]

#[path = "../../ragbias-embed/tests/checkpoints/files.rs"]
mod files;
#[path = "../../ragbias-embed/tests/checkpoints/folder.rs"]
#[allow(dead_code, reason = "vectors and ids are compared in the other crate")]
mod folder;

use std::path::Path;
use std::sync::Arc;

use ragbias_core::{ContentId, Corpus, Document, Embedder, Embeddings, Question, Role, Silent};
use ragbias_embed::{TextEmbedder, TextEmbedderConfig};
use ragbias_tune::{Base, Example, Scope, Texts, TrainConfig, Trained, Training, Tuned, Weights};

const FAMILIES: [&str; 4] = ["modernbert", "nomic_bert", "gte", "new"];
/// Of which only a head is trained.
const DECODERS: [&str; 2] = ["qwen3", "gemma3_text"];

fn base(family: &str) -> (tempfile::TempDir, Base) {
    let folder = folder::families()[family].make("base");
    let base = Base::load(folder.path(), &TextEmbedderConfig::default()).unwrap();
    (folder, base)
}

fn corpus() -> Corpus {
    let texts =
        ["the mill by the sea", "the council met in the old hall", "a note on the harvest", "who spoke"];
    let documents = texts.iter().enumerate().map(|(at, text)| Document::new(at.to_string(), *text));
    Corpus::new(documents.collect()).unwrap()
}

fn texts(base: &Base, scope: Scope, cache: &Path) -> ragbias_tune::Result<Texts> {
    let corpus = corpus();
    let documents = corpus.documents().iter().map(|document| (Role::Document, document.full_text()));
    let question = (Role::Question, "who opened the bridge".to_owned());
    Texts::prepare(base, scope, documents.chain([question]).collect::<Vec<_>>(), cache, &Silent)
}

fn trained(base: &Base, texts: &Texts, scope: Scope) -> ragbias_tune::Result<Trained> {
    let question =
        Question { id: "q".into(), text: "who opened the bridge".into(), topic: None, choices: None };
    let corpus = corpus();
    let ids = |names: [&str; 2]| names.map(|name| corpus.position(name).unwrap()).to_vec();
    let examples = [Example { question, positives: ids(["0", "3"]), negatives: ids(["1", "2"]) }];
    let mut config = TrainConfig::new(scope, 1e-3, 3);
    config.warmup = 0;
    let training = Training {
        base,
        config: &config,
        examples: &examples,
        validation: &[],
        corpus: &corpus,
        anchors: &[],
        texts,
    };
    training.run(None, &Silent)
}

fn difference(a: &Embeddings, b: &Embeddings) -> f32 {
    assert_eq!((a.len(), a.dim()), (b.len(), b.dim()));
    a.view().iter().zip(b.view()).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

#[test]
fn every_scope_lowers_the_loss_and_is_saved_as_it_was_trained() {
    let scopes = [Scope::Head, Scope::MlpTop(2), Scope::LayersTop(1), Scope::Full];
    let all = FAMILIES.into_iter().flat_map(|family| scopes.map(|scope| (family, scope)));
    for (family, scope) in all.chain(DECODERS.map(|family| (family, Scope::Head))) {
        let (_folder, base) = base(family);
        let cache = tempfile::tempdir().unwrap();
        let texts = Arc::new(texts(&base, scope, cache.path()).unwrap());
        let Trained { weights, curve, diverged } = trained(&base, &texts, scope).unwrap();
        assert!(diverged.is_none() && curve[2].loss < curve[0].loss, "{family} {scope}: {curve:?}");
        let saved = cache.path().join("member");
        weights.save(&base, &saved, serde_json::json!({})).unwrap();
        let loaded = TextEmbedder::load(&saved, &TextEmbedderConfig::default()).unwrap();
        let again = Weights::load(&base, &saved).unwrap();
        let id = ContentId::of(b"a test");
        // A text that was prepared, from its states in half precision, and one that was not.
        for (text, most) in [("the mill by the sea", 5e-3), ("the bridge in the harbour", 1e-5)] {
            let vectors = |embedder: &dyn Embedder| embedder.embed(&[text], Role::Document).unwrap();
            let saved = vectors(&loaded);
            for weights in [&weights, &again] {
                let tuned = Tuned::new(&base, &texts, weights, id).unwrap();
                let difference = difference(&vectors(&tuned), &saved);
                assert!(difference < most, "{family} {scope}: {difference}");
            }
            assert!(difference(&vectors(base.embedder()), &saved) > 1e-4, "{family} {scope} changed nothing");
        }
    }
}

#[test]
fn weights_are_the_same_to_the_bit_whatever_the_number_of_threads() {
    for (family, scope) in
        [("modernbert", Scope::Full), ("nomic_bert", Scope::LayersTop(2)), ("gte", Scope::MlpTop(1))]
    {
        let (_folder, base) = base(family);
        let cache = tempfile::tempdir().unwrap();
        let saved = |threads: usize| {
            let threads = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let folder = cache.path().join(threads.current_num_threads().to_string());
            threads.install(|| {
                let texts = texts(&base, scope, &folder).unwrap();
                let trained = trained(&base, &texts, scope).unwrap();
                trained.weights.save(&base, &folder.join("member"), serde_json::json!({})).unwrap();
            });
            fs_err::read(folder.join("member/model.safetensors")).unwrap()
        };
        fs_err::create_dir(cache.path().join("1")).unwrap();
        let one = saved(1);
        for threads in [2, 3] {
            fs_err::create_dir(cache.path().join(threads.to_string())).unwrap();
            assert!(saved(threads) == one, "{family} {scope}: {threads} threads");
        }
    }
}

#[test]
fn a_scope_that_a_family_is_not_trained_in_is_refused_by_name() {
    let cache = tempfile::tempdir().unwrap();
    let refused = |family: &str, scope: Scope| {
        let (_folder, base) = base(family);
        texts(&base, scope, cache.path()).err().unwrap().to_string()
    };
    for family in FAMILIES {
        let error = refused(family, Scope::Lora);
        let expected = "scope is lora, expected full, mlp-top-N, layers-top-N or head for a base with a ";
        assert!(error.starts_with(expected), "{error}");
    }
    for (family, name) in DECODERS.into_iter().zip(["Qwen3", "Gemma3"]) {
        for scope in [Scope::Full, Scope::MlpTop(1), Scope::LayersTop(1), Scope::Lora] {
            let error = refused(family, scope);
            let expected = format!("scope is {scope}, expected head for a base with a {name} encoder");
            assert_eq!(error, expected);
        }
    }
}
