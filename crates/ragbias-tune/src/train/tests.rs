//! Training against PyTorch, and its properties.

mod sharpness;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::LazyLock;

use candle_core::Tensor;
use ragbias_core::{ContentId, Corpus, Document, Question, Role, Silent};
use ragbias_embed::TextEmbedderConfig;
use ragbias_models::{ModelKind, ModelStore};
use serde::Deserialize;

use super::run::Objective;
use super::*;
use crate::base::Base;
use crate::config::{Scope, TrainConfig};
use crate::loss::anchor;
use crate::mine::Example;
use crate::optimiser::norm;
use crate::texts::{Texts, finish};
use crate::trainable::Values;

/// The output of `scripts/reference/training.py`.
#[derive(Deserialize)]
struct Reference {
    examples: Vec<ReferenceExample>,
    full: ReferenceRun,
    #[serde(rename = "mlp-top-1")]
    mlp_top_1: ReferenceRun,
}

#[derive(Deserialize)]
struct ReferenceExample {
    question: String,
    positives: Vec<String>,
    negatives: Vec<String>,
}

#[derive(Deserialize)]
struct ReferenceRun {
    gradients: BTreeMap<String, [f64; 2]>,
    losses: Vec<f64>,
}

static MINILM: LazyLock<Base> = LazyLock::new(|| {
    let store = ModelStore::from_env().unwrap();
    Base::load(
        &store.resolve("minilm", ModelKind::Embedder, &Silent).unwrap(),
        &TextEmbedderConfig::default(),
    )
    .unwrap()
});

static REFERENCE: LazyLock<Reference> =
    LazyLock::new(|| serde_json::from_str(include_str!("../../tests/fixtures/training.json")).unwrap());

fn lines<T: for<'d> Deserialize<'d>>(text: &str) -> Vec<T> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

static CORPUS: LazyLock<Corpus> = LazyLock::new(|| {
    let documents: Vec<Document> = lines(include_str!("../../../../corpora/gender/corpus.jsonl"));
    Corpus::new(documents).unwrap()
});

static EXAMPLES: LazyLock<Vec<Example>> = LazyLock::new(|| {
    let questions: Vec<Question> = lines(include_str!("../../../../corpora/gender/questions.jsonl"));
    let ids = |names: &[String]| names.iter().map(|name| CORPUS.position(name).unwrap()).collect();
    let example = |example: &ReferenceExample| Example {
        question: questions.iter().find(|question| question.id == example.question).unwrap().clone(),
        positives: ids(&example.positives),
        negatives: ids(&example.negatives),
    };
    REFERENCE.examples.iter().map(example).collect()
});

fn texts(scope: Scope, cache: &Path) -> Texts {
    let of = |example: &Example| {
        let documents = example.positives.iter().chain(&example.negatives);
        let documents = documents.map(|&id| (Role::Document, CORPUS.document(id).full_text()));
        std::iter::once((Role::Question, example.question.text.clone())).chain(documents).collect::<Vec<_>>()
    };
    Texts::prepare(&MINILM, scope, EXAMPLES.iter().flat_map(of), cache, &Silent).unwrap()
}

fn training<'a>(config: &'a TrainConfig, texts: &'a Texts) -> Training<'a> {
    Training {
        base: &MINILM,
        config,
        examples: &EXAMPLES,
        validation: &[],
        corpus: &CORPUS,
        anchors: &[],
        texts,
    }
}

/// Loss and gradients of the first step, over all examples.
fn first_gradients(config: &TrainConfig) -> (f64, Values, usize) {
    let folder = tempfile::tempdir().unwrap();
    let texts = texts(config.scope, folder.path());
    let training = training(config, &texts);
    let trainable = Trainable::new(&MINILM, config).unwrap();
    let placed = training.place(&EXAMPLES).unwrap();
    let run = Run {
        training: &training,
        optimiser: AdamW::new(trainable.values(), 0.0).unwrap(),
        trainable,
        anchors: training.anchors().unwrap(),
        curve: Vec::new(),
        best: None,
    };
    let (loss, gradients) = run.gradients(&placed.iter().collect::<Vec<_>>(), 0, &Objective::Loss).unwrap();
    (loss, gradients, run.trainable.values().len())
}

fn assert_gradients(scope: Scope, reference: &ReferenceRun, tolerance: f64) {
    let (loss, gradients, _) = first_gradients(&TrainConfig::new(scope, 3e-5, 1));
    assert!((loss - reference.losses[0]).abs() < tolerance, "{loss} {}", reference.losses[0]);
    assert!(gradients.keys().eq(reference.gradients.keys()), "other parameters are trained");
    let whole = norm(&gradients).unwrap();
    for (name, &[length, product]) in &reference.gradients {
        let gradient = gradients[name].flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let ours: f64 = gradient.iter().map(|&g| f64::from(g).powi(2)).sum::<f64>().sqrt();
        let probe: f64 = gradient.iter().enumerate().map(|(i, &g)| f64::from(g) * (i as f64).cos()).sum();
        // The gradient of a key's bias is 0 up to rounding: a softmax is invariant to a common shift of all scores.
        let allowed = tolerance * length.max(1e-4 * whole);
        assert!((ours - length).abs() <= allowed, "{name}: length {ours}, expected {length}");
        // A probe sums entries of both signs, so its rounding error scales with their norm.
        assert!((probe - product).abs() <= 3.0 * allowed, "{name}: product {probe}, expected {product}");
    }
}

#[test]
fn gradients_of_all_parameters_are_those_of_pytorch() {
    assert_gradients(Scope::Full, &REFERENCE.full, 1e-4);
}

#[test]
fn gradients_above_cached_states_are_those_of_pytorch() {
    // Half-precision states: 3 digits.
    assert_gradients(Scope::MlpTop(1), &REFERENCE.mlp_top_1, 5e-3);
}

#[test]
fn twenty_steps_have_the_losses_of_pytorch() {
    let config = TrainConfig::new(Scope::Full, 3e-5, 20);
    let folder = tempfile::tempdir().unwrap();
    let texts = texts(config.scope, folder.path());
    let trained = training(&config, &texts).run(None, &Silent).unwrap();
    assert_eq!(trained.curve.len(), 20);
    for (step, (epoch, expected)) in trained.curve.iter().zip(&REFERENCE.full.losses).enumerate() {
        assert!(
            (epoch.loss - expected).abs() <= 1e-3 * expected + 1e-5,
            "step {step}: {} {expected}",
            epoch.loss
        );
    }
}

#[test]
fn the_gradient_is_the_slope_of_the_loss() {
    let config = TrainConfig::new(Scope::LayersTop(1), 3e-5, 1);
    let folder = tempfile::tempdir().unwrap();
    let texts = texts(config.scope, folder.path());
    let training = training(&config, &texts);
    let trainable = Trainable::new(&MINILM, &config).unwrap();
    let placed = training.place(&EXAMPLES).unwrap();
    let batch: Vec<&Placed> = placed.iter().collect();
    let optimiser = AdamW::new(trainable.values(), 0.0).unwrap();
    let mut run =
        Run { training: &training, optimiser, trainable, anchors: None, curve: Vec::new(), best: None };
    let gradients = run.gradients(&batch, 0, &Objective::Loss).unwrap().1;
    let (here, length) = (run.trainable.values().clone(), norm(&gradients).unwrap());
    let mut at = |distance: f64| {
        let mut there = here.clone();
        for (name, gradient) in &gradients {
            there.insert(name.clone(), (&here[name] + (gradient * (distance / length)).unwrap()).unwrap());
        }
        run.trainable.set(there);
        run.gradients(&batch, 0, &Objective::Loss).unwrap().0
    };
    let slope = (at(1e-2) - at(-1e-2)) / 2e-2;
    assert!((slope / length - 1.0).abs() < 0.01, "slope {slope}, gradient {length}");
}

#[test]
fn every_variable_has_a_gradient_whatever_the_scope() {
    for scope in [Scope::MlpTop(2), Scope::LayersTop(1), Scope::Lora, Scope::Head] {
        let (_, gradients, variables) = first_gradients(&TrainConfig::new(scope, 1e-3, 1));
        assert_eq!(gradients.len(), variables, "{scope}");
        for (name, gradient) in &gradients {
            let length = gradient.sqr().unwrap().sum_all().unwrap().to_scalar::<f32>().unwrap();
            // A does not change until B, initially 0, has changed.
            assert!(length > 0.0 || name.ends_with(".lora_a"), "{scope}: {name}");
        }
    }
}

#[test]
fn parts_of_a_batch_add_up_to_its_gradient() {
    let whole = TrainConfig::new(Scope::Head, 1e-3, 1);
    let parts = TrainConfig { accumulate: 4, batch: 4, ..whole.clone() };
    let ((a, x, _), (b, y, _)) = (first_gradients(&whole), first_gradients(&parts));
    assert!((a - b).abs() < 1e-5);
    let difference = (&x["head"] - &y["head"]).unwrap().abs().unwrap().max_all().unwrap();
    assert!(difference.to_scalar::<f32>().unwrap() < 1e-4);
}

fn head_run(config: &TrainConfig, state: Option<&Path>) -> Trained {
    let folder = tempfile::tempdir().unwrap();
    let texts = texts(config.scope, folder.path());
    training(config, &texts).run(state, &Silent).unwrap()
}

fn difference(a: &Trained, b: &Trained) -> f32 {
    let [a, b] = [a, b].map(|trained| trained.weights.head.clone().unwrap());
    (a - b).unwrap().abs().unwrap().max_all().unwrap().to_scalar().unwrap()
}

#[test]
fn a_training_that_was_stopped_goes_on_from_its_last_epoch() {
    let config = TrainConfig { batch: 2, ..TrainConfig::new(Scope::Head, 1e-3, 4) };
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state.safetensors");
    let whole = head_run(&config, Some(&state));
    // The state after the last epoch: nothing remains to be done.
    let again = head_run(&config, Some(&state));
    assert_eq!(again.curve, whole.curve);
    assert_eq!(difference(&again, &whole), 0.0);
    // The state of another training is refused.
    let other = TrainConfig { seed: 1, ..config };
    let texts = texts(other.scope, folder.path());
    let error = training(&other, &texts).run(Some(&state), &Silent).unwrap_err().to_string();
    assert!(error.contains("the state of another training") && error.contains("hint:"), "{error}");
}

#[test]
fn the_same_seed_gives_the_same_weights_and_sam_other_ones() {
    let config = TrainConfig { batch: 2, ..TrainConfig::new(Scope::Head, 1e-3, 2) };
    let first = head_run(&config, None);
    assert_eq!(difference(&first, &head_run(&config, None)), 0.0);
    assert!(difference(&first, &head_run(&TrainConfig { seed: 1, ..config.clone() }, None)) > 0.0);
    let sharp = head_run(&TrainConfig { sam: 0.05, ..config }, None);
    assert!(difference(&first, &sharp) > 0.0 && sharp.curve[1].loss < sharp.curve[0].loss);
}

#[test]
fn weights_are_the_same_to_the_bit_whatever_the_number_of_threads() {
    for scope in [Scope::Head, Scope::MlpTop(1), Scope::LayersTop(2), Scope::Lora, Scope::Full] {
        let config = TrainConfig { batch: 2, warmup: 0, ..TrainConfig::new(scope, 1e-3, 2) };
        let folder = tempfile::tempdir().unwrap();
        let texts = texts(scope, folder.path());
        let trained = |threads: usize| -> BTreeMap<String, Vec<u32>> {
            let threads = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let Weights { parameters, head } =
                threads.install(|| training(&config, &texts).run(None, &Silent)).unwrap().weights;
            let head = head.iter().map(|tensor| ("head".to_owned(), tensor));
            let all = parameters
                .iter()
                .flat_map(ragbias_embed::Parameters::iter)
                .map(|(name, t)| (name.to_owned(), t));
            let bits = |tensor: &Tensor| -> Vec<u32> {
                let values = tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
                values.into_iter().map(f32::to_bits).collect()
            };
            all.chain(head).map(|(name, tensor)| (name, bits(tensor))).collect()
        };
        let one = trained(1);
        for threads in [2, 3] {
            let several = trained(threads);
            let other: Vec<&String> =
                one.iter().filter(|(name, bits)| several[*name] != **bits).map(|(name, _)| name).collect();
            assert!(other.is_empty(), "{scope}, {threads} threads: {other:?}");
        }
    }
}

#[test]
fn a_loss_that_is_no_number_ends_training_with_the_weights_before() {
    let config = TrainConfig { warmup: 0, clip: 1e30, ..TrainConfig::new(Scope::Head, 1e30, 5) };
    let trained = head_run(&config, None);
    let diverged = trained.diverged.unwrap();
    assert!(diverged.epoch >= 2 && diverged.batch == 1, "{diverged:?}");
    assert_eq!(trained.curve.len(), diverged.epoch - 1);
}

#[test]
fn merging_interpolates_and_both_ends_are_exact() {
    let config = TrainConfig::new(Scope::Head, 1e-3, 2);
    let trained = head_run(&config, None);
    let at = |w: f64| trained.weights.merged(&MINILM, w).unwrap().head.unwrap();
    let largest = |tensor: Tensor| tensor.abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
    assert_eq!(largest(at(0.0)), 0.0);
    assert_eq!(largest((at(1.0) - trained.weights.head.clone().unwrap()).unwrap()), 0.0);
    assert!(largest((at(2.0) + at(-2.0)).unwrap()) < 1e-9);
}

#[test]
fn the_anchor_holds_unrelated_texts_in_place() {
    let folder = tempfile::tempdir().unwrap();
    let anchors: Vec<String> = CORPUS.documents()[100..120].iter().map(Document::full_text).collect();
    let moved = |weight: f64| {
        let config = TrainConfig { anchor: weight, warmup: 0, ..TrainConfig::new(Scope::Head, 3e-3, 6) };
        let questions = EXAMPLES.iter().map(|example| (Role::Question, example.question.text.clone()));
        let documents = CORPUS.documents().iter().map(|document| (Role::Document, document.full_text()));
        let texts = Texts::prepare(&MINILM, config.scope, questions.chain(documents), folder.path(), &Silent)
            .unwrap();
        let training = Training { anchors: &anchors, ..training(&config, &texts) };
        let trained = training.run(None, &Silent).unwrap();
        let places: Vec<usize> =
            anchors.iter().map(|text| texts.place(Role::Document, text).unwrap()).collect();
        let vectors = |head| {
            let vectors = texts.vectors(MINILM.embedder.encoder(), &MINILM.device, &places).unwrap();
            finish(&vectors, head).unwrap()
        };
        let distance = anchor(&vectors(trained.weights.head.as_ref()), &vectors(None)).unwrap();
        distance.to_scalar::<f32>().unwrap()
    };
    let (free, held) = (moved(0.0), moved(20.0));
    assert!(held < 0.5 * free, "moved by {free} without and {held} with the anchor");
}
fn largest_difference(a: &Tensor, b: &Tensor) -> f32 {
    (a - b).unwrap().abs().unwrap().max_all().unwrap().to_scalar().unwrap()
}

#[test]
fn a_recorded_pass_gives_the_vectors_of_inference() {
    let folder = tempfile::tempdir().unwrap();
    let texts = texts(Scope::Full, folder.path());
    let (encoder, device, places) = (MINILM.embedder.encoder(), &MINILM.device, [0, 1, 2, 3, 4]);
    let trained = MINILM.parameters.iter().map(|(name, _)| name.to_owned()).collect();
    let (recorded, tape) = texts.record(encoder, device, &places, &trained).unwrap();
    assert!(tape.is_some());
    assert!(largest_difference(&recorded, &texts.vectors(encoder, device, &places).unwrap()) < 1e-6);
}

#[test]
fn frozen_parameters_have_no_gradient() {
    for (scope, trained) in [(Scope::MlpTop(2), 12), (Scope::LayersTop(1), 16), (Scope::Full, 101)] {
        let (_, gradients, variables) = first_gradients(&TrainConfig::new(scope, 1e-3, 1));
        assert_eq!((gradients.len(), variables), (trained, trained), "{scope}");
    }
}

#[test]
fn shared_states_give_the_vectors_of_whole_passes() {
    let folder = tempfile::tempdir().unwrap();
    let vectors = |scope| {
        let vectors = texts(scope, folder.path()).vectors(
            MINILM.embedder.encoder(),
            &MINILM.device,
            &[0, 1, 2, 3, 4, 5],
        );
        finish(&vectors.unwrap(), None).unwrap()
    };
    let whole = vectors(Scope::Full);
    for scope in [Scope::MlpTop(1), Scope::MlpTop(4), Scope::LayersTop(3), Scope::Head] {
        // States are stored in half precision.
        let difference = largest_difference(&whole, &vectors(scope));
        assert!(difference < 3e-4, "{scope}: {difference}");
    }
}

#[test]
fn a_saved_member_is_loaded_as_it_was() {
    use std::sync::Arc;

    use ragbias_core::Embedder;
    let folder = tempfile::tempdir().unwrap();
    for scope in [Scope::Head, Scope::LayersTop(1), Scope::Lora] {
        let config = TrainConfig { warmup: 0, ..TrainConfig::new(scope, 1e-3, 1) };
        let texts = Arc::new(texts(scope, folder.path()));
        let weights = training(&config, &texts).run(None, &Silent).unwrap().weights;
        let merged = weights.merged(&MINILM, 0.7).unwrap();
        let saved = folder.path().join(scope.to_string());
        merged.save(&MINILM, &saved, serde_json::json!({ "seed": 0 })).unwrap();
        let loaded = ragbias_embed::TextEmbedder::load(&saved, &TextEmbedderConfig::default()).unwrap();
        let id = ContentId::of(b"a test");
        let tuned = crate::Tuned::new(&MINILM, &texts, &merged, id).unwrap();
        // A text that was not prepared goes through the whole encoder, as in the loaded checkpoint.
        let unknown = ["a text about rivers and bridges"];
        let (a, b) = (loaded.embed(&unknown, Role::Document), tuned.embed(&unknown, Role::Document));
        let (a, b) = (a.unwrap(), b.unwrap());
        let base = MINILM.embedder().embed(&unknown, Role::Document).unwrap();
        let difference = |x: &ragbias_core::Embeddings| {
            x.row(0).iter().zip(a.row(0)).map(|(x, y)| (x - y).abs()).fold(0.0, f32::max)
        };
        assert!(difference(&b) < 1e-5, "{scope}: {}", difference(&b));
        assert!(difference(&base) > 1e-4, "{scope} has changed nothing");
        let again = Weights::load(&MINILM, &saved).unwrap();
        let reloaded = crate::Tuned::new(&MINILM, &texts, &again, id).unwrap();
        let reloaded = reloaded.embed(&unknown, Role::Document).unwrap();
        assert!(difference(&reloaded) < 1e-5, "{scope}");
    }
}
