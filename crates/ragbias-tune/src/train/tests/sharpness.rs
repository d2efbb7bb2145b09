//! The forms of sharpness-aware minimisation, on vectors of a formula.

use super::*;
use crate::sharpness::Sharpness;

const TEXTS: usize = 11;

/// The vectors of `scripts/reference/sharpness.py`: three questions and eight documents.
fn vectors() -> Texts {
    let row = |i: usize| -> Vec<f32> {
        let i = i as f64;
        let value = |k: f64| (1.0 + 0.37 * k).sin() + 1.2 * (0.5 + 1.7 * i + 0.011 * k * (i + 1.0)).sin();
        (0..384).map(|k| value(f64::from(k)) as f32).collect()
    };
    let role = |i: usize| if i < 3 { Role::Question } else { Role::Document };
    Texts::of_vectors((0..TEXTS).map(|i| ((role(i), format!("text {i}")), row(i))))
}

fn corpus() -> Corpus {
    Corpus::new((3..TEXTS).map(|i| Document::new(i.to_string(), format!("text {i}"))).collect()).unwrap()
}

fn examples() -> Vec<Example> {
    let ids = |places: &[u32]| places.iter().map(|place| ragbias_core::DocId(place - 3)).collect();
    let example = |question: usize, positives: &[u32], negatives: &[u32]| Example {
        question: Question {
            id: question.to_string(),
            text: format!("text {question}"),
            topic: None,
            choices: None,
        },
        positives: ids(positives),
        negatives: ids(negatives),
    };
    vec![example(0, &[3, 4], &[5]), example(1, &[5, 6], &[7, 8]), example(2, &[9], &[10, 3, 4])]
}

/// The reference's head M.
fn head() -> Values {
    let values: Vec<f32> =
        (0..384 * 384).map(|n| (0.02 * (0.3 + 0.0017 * f64::from(n)).sin()) as f32).collect();
    let tensor = Tensor::from_vec(values, (384, 384), &MINILM.device).unwrap();
    Values::from([(crate::trainable::HEAD.to_owned(), tensor)])
}

fn settings(form: Option<Sharpness>, radius: f64) -> TrainConfig {
    let plain = TrainConfig { scale: 20.0, ..TrainConfig::new(Scope::Head, 1e-3, 3) };
    form.map_or(plain.clone(), |sharpness| TrainConfig { sam: radius, sharpness, ..plain })
}

/// Runs `work` on a run that begins at the reference's head, and its examples.
fn with_run<T>(config: &TrainConfig, work: impl FnOnce(&mut Run<'_>, &[Placed]) -> T) -> T {
    let (texts, corpus, examples) = (vectors(), corpus(), examples());
    let training = Training {
        base: &MINILM,
        config,
        examples: &examples,
        validation: &[],
        corpus: &corpus,
        anchors: &[],
        texts: &texts,
    };
    let mut trainable = Trainable::new(&MINILM, config).unwrap();
    trainable.set(head());
    let placed = training.place(&examples).unwrap();
    let optimiser = AdamW::new(trainable.values(), 0.01).unwrap();
    let mut run =
        Run { training: &training, optimiser, trainable, anchors: None, curve: Vec::new(), best: None };
    work(&mut run, &placed)
}

fn length_and_probe(gradients: &Values) -> [f64; 2] {
    let gradient = gradients["head"].flatten_all().unwrap().to_vec1::<f32>().unwrap();
    let length: f64 = gradient.iter().map(|&g| f64::from(g).powi(2)).sum();
    let probe = gradient.iter().enumerate().map(|(i, &g)| f64::from(g) * (i as f64).cos()).sum();
    [length.sqrt(), probe]
}

#[test]
fn every_form_has_the_gradients_shares_and_importance_of_pytorch() {
    use Sharpness::{Asam, OneSam, OneSamJacobian, OneSamLogits, Penalty, Sam};
    // scripts/reference/sharpness.py: for each form the norm of the gradient and its product with cos(0), cos(1), …; the share of the
    // first example; the importance of each.
    let reference = [
        (
            None,
            [5.792_616_19, -0.009_809_675_7],
            0.000_629_273_316,
            [0.000_513_377_471, 0.716_734_827, 0.405_411_225],
        ),
        (
            Some(Sam),
            [7.867_741_5, 0.013_729_087_6],
            0.000_468_575_308,
            [0.000_518_629_441, 0.837_126_159, 0.626_496_765],
        ),
        (
            Some(Asam),
            [5.925_937_38, -0.007_846_685_81],
            0.000_614_385_955,
            [0.000_512_735_9, 0.725_630_331, 0.421_135_904],
        ),
        (
            Some(OneSam),
            [8.855_214_7, 0.027_123_005_1],
            0.001_153_997_79,
            [0.001_471_582_55, 0.865_518_875, 0.737_501_238],
        ),
        (
            Some(OneSamLogits),
            [8.827_140_08, 0.017_425_484_5],
            0.001_178_124_01,
            [0.001_471_582_55, 0.865_518_875, 0.737_501_238],
        ),
        (
            Some(OneSamJacobian),
            [5.812_771_14, -0.002_654_599_35],
            0.000_616_356_963,
            [0.000_513_377_471, 0.716_734_827, 0.405_411_225],
        ),
        (
            Some(Penalty),
            [5.812_048_73, -0.006_437_213_36],
            0.000_625_148_655,
            [0.000_513_377_471, 0.716_734_827, 0.405_411_225],
        ),
    ];
    for (form, expected, share, importance) in reference {
        with_run(&settings(form, 0.05), |run, examples| {
            let all: Vec<&Placed> = examples.iter().collect();
            let (loss, gradients) = run.direction(&all, 0).unwrap();
            assert!((loss - 0.593_923_523_251_763_9).abs() < 1e-5, "{form:?}: loss {loss}");
            let ours = length_and_probe(&gradients);
            for (ours, expected) in ours.iter().zip(expected) {
                assert!(
                    (ours - expected).abs() < 1e-5 * ours.abs().max(1.0),
                    "{form:?}: {ours}, expected {expected}"
                );
            }
            let mut after = AfterEpoch { run, examples };
            let ours = after.gradient_share(&[true, false, false]).unwrap().unwrap();
            assert!((ours - share).abs() < 1e-5, "{form:?}: share {ours}, expected {share}");
            assert_eq!(after.gradient_share(&[true; 3]).unwrap(), None);
            for (ours, expected) in after.importance().unwrap().iter().zip(importance) {
                assert!((ours - expected).abs() < 1e-5, "{form:?}: importance {ours}, expected {expected}");
            }
        });
    }
}

#[test]
fn a_radius_of_zero_is_plain_adamw_to_the_bit_and_any_other_is_not() {
    let after_step = |config: &TrainConfig| -> Vec<u32> {
        with_run(config, |run, examples| {
            run.step(&examples.iter().collect::<Vec<_>>(), 0, 1e-3).unwrap();
            let values = run.trainable.values()["head"].flatten_all().unwrap().to_vec1::<f32>().unwrap();
            values.into_iter().map(f32::to_bits).collect()
        })
    };
    let plain = after_step(&settings(None, 0.0));
    for form in Sharpness::ALL {
        assert_eq!(after_step(&settings(Some(form), 0.0)), plain, "{form}");
        assert_ne!(after_step(&settings(Some(form), 0.05)), plain, "{form}");
    }
}

#[test]
fn a_tiny_radius_gives_the_plain_gradient_by_every_path() {
    let at = |form, radius| {
        let direction = |run: &mut Run<'_>, examples: &[Placed]| {
            run.direction(&examples.iter().collect::<Vec<_>>(), 0).unwrap().1
        };
        length_and_probe(&with_run(&settings(form, radius), direction))
    };
    let plain = at(None, 0.0);
    for form in Sharpness::ALL {
        for (ours, plain) in at(Some(form), 1e-7).iter().zip(plain) {
            assert!((ours - plain).abs() < 1e-4, "{form}: {ours}, expected {plain}");
        }
    }
}

#[test]
fn the_two_parts_of_one_sam_add_up_to_first_order() {
    // Both are the plain gradient and a change; for small radii the changes of the parts add up to that of the whole.
    let at = |form, radius| -> Vec<f64> {
        let direction = |run: &mut Run<'_>, examples: &[Placed]| {
            run.direction(&examples.iter().collect::<Vec<_>>(), 0).unwrap().1
        };
        let gradients = with_run(&settings(form, radius), direction);
        let values = gradients["head"].flatten_all().unwrap().to_vec1::<f32>().unwrap();
        values.into_iter().map(f64::from).collect()
    };
    let plain = at(None, 0.0);
    let change = |form| -> Vec<f64> { at(Some(form), 1e-3).iter().zip(&plain).map(|(a, b)| a - b).collect() };
    let whole = change(Sharpness::OneSam);
    let (logits, jacobian) = (change(Sharpness::OneSamLogits), change(Sharpness::OneSamJacobian));
    let length = |values: &[f64]| values.iter().map(|v| v * v).sum::<f64>().sqrt();
    let rest: Vec<f64> = (0..whole.len()).map(|i| whole[i] - logits[i] - jacobian[i]).collect();
    assert!(length(&rest) < 0.03 * length(&whole), "{} of {}", length(&rest), length(&whole));
    assert!(length(&jacobian) > 0.01 * length(&whole));
}

#[test]
fn every_variable_has_a_gradient_in_every_form_and_scope() {
    let folder = tempfile::tempdir().unwrap();
    for scope in [Scope::MlpTop(1), Scope::Lora, Scope::Head] {
        let texts = texts(scope, folder.path());
        for form in Sharpness::ALL {
            let config = TrainConfig { sam: 0.05, sharpness: form, ..TrainConfig::new(scope, 1e-3, 1) };
            let training = training(&config, &texts);
            let trainable = Trainable::new(&MINILM, &config).unwrap();
            let placed = training.place(&EXAMPLES[..2]).unwrap();
            let optimiser = AdamW::new(trainable.values(), 0.0).unwrap();
            let mut run = Run {
                training: &training,
                optimiser,
                trainable,
                anchors: None,
                curve: Vec::new(),
                best: None,
            };
            let here = run.trainable.values().clone();
            let (_, gradients) = run.direction(&placed.iter().collect::<Vec<_>>(), 0).unwrap();
            assert_eq!(gradients.len(), run.trainable.values().len(), "{scope} {form}");
            for (name, gradient) in &gradients {
                // A perturbation moves B from 0, and then A has a gradient.
                let perturbs_b = !matches!(form, Sharpness::Penalty | Sharpness::OneSamLogits);
                let length = norm(&Values::from([(name.clone(), gradient.clone())])).unwrap();
                assert!(length > 0.0 || (name.ends_with(".lora_a") && !perturbs_b), "{scope} {form}: {name}");
            }
            // The perturbation is taken back.
            for (name, value) in run.trainable.values() {
                assert_eq!(value.id(), here[name].id(), "{scope} {form}: {name}");
            }
        }
    }
}

#[test]
fn a_watched_training_is_the_same_one_and_ends_where_it_is_told() {
    let config = TrainConfig { batch: 2, ..TrainConfig::new(Scope::Head, 1e-3, 4) };
    let folder = tempfile::tempdir().unwrap();
    let texts = texts(config.scope, folder.path());
    let whole = training(&config, &texts).run(None, &Silent).unwrap();
    let mut heads = Vec::new();
    let watched = |until: usize, heads: &mut Vec<Tensor>| {
        training(&config, &texts)
            .watched::<crate::Error>(&Silent, |after| {
                heads.push(after.weights()?.head.unwrap());
                after.importance()?;
                Ok(if after.epochs() == until { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
            })
            .unwrap()
    };
    assert_eq!(difference(&watched(4, &mut heads), &whole), 0.0);
    assert_eq!(heads.len(), 4);
    let short = watched(2, &mut heads);
    assert_eq!((short.curve.len(), heads.len()), (2, 6));
    let moved = (short.weights.head.unwrap() - &heads[1]).unwrap().abs().unwrap().max_all().unwrap();
    assert_eq!(moved.to_scalar::<f32>().unwrap(), 0.0);
}
