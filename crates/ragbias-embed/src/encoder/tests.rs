use candle_core::DType;

use super::*;
use crate::Packed;
use crate::config::{Activation, Attention, Family, Local, PoolingMode, Positions, Reach};

const FAMILIES: [Family; 4] = [Family::Bert, Family::DistilBert, Family::XlmRoberta, Family::Mpnet];
/// Those of other parts than BERT's.
const OTHERS: [Family; 5] =
    [Family::ModernBert, Family::NomicBert, Family::Gte, Family::Qwen3, Family::Gemma3];

/// A small encoder with random weights, on the CPU kernels and on candle's operators.
fn cpu_and_reference(pooling: impl Into<Pooling>, activation: Activation) -> [Encoder; 2] {
    of_family(Family::Bert, pooling, activation)
}

fn of_family(family: Family, pooling: impl Into<Pooling>, activation: Activation) -> [Encoder; 2] {
    let usual = EncoderConfig::of(family);
    let attention = &usual.architecture.attention;
    let few = |tokens: Option<usize>| tokens.map(|tokens| tokens.min(4));
    let attention = Attention {
        key_value_heads: attention.key_value_heads.map(|_| 1),
        head_width: attention.head_width.map(|_| 10),
        local: attention.local.as_ref().map(|local| Local {
            layers: vec![true, false, true],
            reach: Reach { before: few(local.reach.before), after: few(local.reach.after) },
            ..*local
        }),
        ..attention.clone()
    };
    let config = EncoderConfig {
        architecture: Architecture { attention, ..usual.architecture.clone() },
        vocab_size: 50,
        hidden_size: 24,
        num_hidden_layers: 3,
        num_attention_heads: 3,
        intermediate_size: 60,
        hidden_act: activation,
        max_position_embeddings: 40 + usual.positions.skipped(),
        ..usual
    };
    let parameters = Parameters::from_fn(&config, |name, shape| {
        let seed: usize = name.bytes().map(usize::from).sum();
        let random = |i: usize| ((i * 7919 + seed * 104_729) % 2003) as f32 / 1001.5 - 1.0;
        let centre = if name.ends_with("LayerNorm.weight") { 1.0 } else { 0.0 };
        let values = (0..shape.iter().product()).map(|i| 0.3_f32.mul_add(random(i), centre)).collect();
        Tensor::from_vec(values, shape, &Device::Cpu)
    })
    .unwrap();
    let kernels = Encoder::new(&config, &pooling.into(), &parameters, Precision::F32).unwrap();
    let encoder = DeviceEncoder::new(&config, &parameters, DType::F32).unwrap();
    [kernels.clone(), Encoder { on: On::Device { encoder, parameters }, ..kernels }]
}

fn batch() -> Packed {
    let lengths = [5, 17, 1, 40, 9];
    Packed { ids: (0..72_u32).map(|i| i * 31 % 50).collect(), lengths: lengths.to_vec() }
}

fn difference(a: &Tensor, b: &Tensor) -> f32 {
    assert_eq!(a.dims(), b.dims());
    (a - b).unwrap().abs().unwrap().max_all().unwrap().to_scalar().unwrap()
}

#[test]
fn kernels_give_the_vectors_and_states_of_candles_operators() {
    let activations = [Activation::Gelu, Activation::GeluTanh, Activation::Relu, Activation::Silu];
    let of_bert = activations.map(|activation| (Family::Bert, activation));
    let others = FAMILIES[1..].iter().chain(&OTHERS).map(|family| (*family, Activation::Gelu));
    for (family, activation) in of_bert.into_iter().chain(others) {
        for pooling in [PoolingMode::Mean, PoolingMode::Cls] {
            let [kernels, operators] = of_family(family, pooling, activation);
            let batch = batch();
            let input = Input::Tokens(&batch);
            let [a, b] = [&kernels, &operators].map(|encoder| encoder.vectors(input).unwrap());
            let difference = difference(&a, &b);
            assert!(difference < 1e-5, "{family:?} {activation:?} {pooling:?}: {difference}");
            for boundary in [Boundary::Layer(1), Boundary::Mlp(2)] {
                let rows = kernels.states(input, boundary).unwrap();
                let same = operators.states(input, boundary).unwrap();
                assert!(rows.iter().zip(&same).all(|(a, b)| (a - b).abs() < 1e-5 * b.abs().max(1.0)));
                let states = Input::States { boundary, rows: &rows, lengths: &batch.lengths };
                for encoder in [&kernels, &operators] {
                    assert!(self::difference(&encoder.vectors(states).unwrap(), &a) < 1e-5);
                }
            }
        }
    }
}

/// Keys are laid out for some queries at a time, and so are scores, alone and on several threads.
#[test]
fn texts_longer_than_any_block_have_the_vectors_of_candles_operators() {
    for family in OTHERS {
        let [kernels, operators] = of_family(family, PoolingMode::Mean, Activation::Silu);
        for lengths in [vec![300], vec![129, 7, 64, 301, 65]] {
            let tokens: usize = lengths.iter().sum();
            let ids = (0..tokens as u32).map(|i| i * 31 % 47).collect();
            let batch = Packed { ids, lengths };
            let input = Input::Tokens(&batch);
            let [a, b] = [&kernels, &operators].map(|encoder| encoder.vectors(input).unwrap());
            let difference = difference(&a, &b);
            assert!(difference < 1e-5, "{family:?} {:?}: {difference}", batch.lengths);
        }
    }
}

#[test]
fn a_texts_vector_is_the_same_to_the_bit_alone_in_a_batch_and_on_any_number_of_threads() {
    for family in FAMILIES.into_iter().chain(OTHERS) {
        let [kernels, _] = of_family(family, PoolingMode::Mean, Activation::Gelu);
        // The families with position embeddings have 40.
        let most = if OTHERS.contains(&family) { 301 } else { 39 };
        let lengths: [u32; 5] = [most, 7, 25, most - 20, 1];
        let texts: Vec<Vec<u32>> =
            lengths.iter().map(|&length| (0..length).map(|i| i * 31 % 47).collect()).collect();
        let bits = |texts: &[Vec<u32>], threads: usize| -> Vec<Vec<u32>> {
            let threads = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let batch = Packed::new(texts);
            let vectors = threads.install(|| kernels.vectors(Input::Tokens(&batch)).unwrap());
            let rows = vectors.to_vec2::<f32>().unwrap();
            rows.into_iter().map(|row| row.into_iter().map(f32::to_bits).collect()).collect()
        };
        let together = bits(&texts, 1);
        for threads in [1, 2, 3] {
            assert!(bits(&texts, threads) == together, "{family:?}, {threads} threads");
            for (text, vector) in texts.iter().zip(&together) {
                let alone = bits(std::slice::from_ref(text), threads);
                assert!(alone[0] == *vector, "{family:?}, {threads} threads, {} tokens", text.len());
            }
        }
    }
}

/// The kernels have no backward pass of these; the vectors of the slope are theirs, the gradients those of candle's operators.
#[test]
fn the_gradient_of_every_parameter_of_other_families_is_the_slope_of_the_kernels_vectors() {
    for family in OTHERS {
        let [kernels, operators] = of_family(family, PoolingMode::LastToken, Activation::Silu);
        let On::Device { parameters, .. } = operators.on else { unreachable!() };
        let all: BTreeSet<String> = parameters.iter().map(|(name, _)| name.to_owned()).collect();
        let batch = batch();
        let input = Input::Tokens(&batch);
        let weights: Vec<f32> = (0..5 * 24).map(|i| ((i * 37) % 19) as f32 / 9.0 - 1.0).collect();
        let weights = Tensor::from_vec(weights, (5, 24), &Device::Cpu).unwrap();
        let (_, tape) = kernels.record(input, &all).unwrap();
        let gradients = tape.backward(&weights).unwrap();
        let product = |a: &Tensor, b: &Tensor| -> f64 {
            f64::from((a * b).unwrap().sum_all().unwrap().to_scalar::<f32>().unwrap())
        };
        for name in all {
            let gradient = gradients.get(&name).unwrap_or_else(|| panic!("{family:?}: {name}"));
            let length = product(gradient, gradient).sqrt();
            assert!(length > 0.0, "{family:?}: {name}");
            let at = |distance: f64| {
                let mut there = parameters.clone();
                let step = (gradient * (distance / length)).unwrap();
                there.set(&name, (parameters.get(&name).unwrap() + step).unwrap()).unwrap();
                product(&kernels.with(&there).unwrap().vectors(input).unwrap(), &weights)
            };
            let step = 0.02;
            let slope = (at(step) - at(-step)) / (2.0 * step);
            let error = (slope - length).abs();
            assert!(error < 0.05 * length + 2e-3, "{family:?} {name}: {slope}, {length}");
        }
    }
}

#[test]
fn every_way_of_pooling_and_several_joined_are_those_of_candles_operators() {
    let modes = [
        PoolingMode::Cls,
        PoolingMode::Max,
        PoolingMode::Mean,
        PoolingMode::MeanSqrtLen,
        PoolingMode::WeightedMean,
        PoolingMode::LastToken,
    ];
    let [kernels, operators] = cpu_and_reference(Pooling::joined(modes.to_vec()), Activation::Gelu);
    let lengths = [5, 17, 3, 40, 9];
    let batch = Packed { ids: (0..74_u32).map(|i| i * 31 % 50).collect(), lengths: lengths.to_vec() };
    for skipped in [0, 2] {
        let input = Input::Tokens(&batch);
        let [a, b] = [&kernels, &operators].map(|encoder| encoder.vectors_after(input, skipped).unwrap());
        assert_eq!(a.dims(), [5, 6 * 24]);
        assert!(difference(&a, &b) < 1e-5, "{skipped}: {}", difference(&a, &b));
        for (place, &mode) in modes.iter().enumerate() {
            let [single, _] = cpu_and_reference(mode, Activation::Gelu);
            let alone = single.vectors_after(input, skipped).unwrap();
            assert!(difference(&alone, &a.narrow(1, 24 * place, 24).unwrap()) < 1e-6, "{mode:?}");
        }
    }
}

#[test]
fn pooling_that_cannot_be_trained_through_is_refused() {
    let [kernels, _] = cpu_and_reference(PoolingMode::Max, Activation::Gelu);
    let error = kernels.record(Input::Tokens(&batch()), &BTreeSet::new()).err().unwrap().to_string();
    assert!(error.contains("pooling that is trained through, mean or cls, received max"), "{error}");
}

#[test]
fn an_encoder_for_inference_gives_the_same_bits_and_no_gradients() {
    for family in [Family::Mpnet, Family::Gemma3] {
        let [kernels, operators] = of_family(family, PoolingMode::Mean, Activation::Gelu);
        let On::Device { parameters, .. } = operators.on else { unreachable!() };
        let Encoder { config, pooling, precision, .. } = &kernels;
        let lean = Encoder::for_inference(config, pooling, parameters.clone(), *precision).unwrap();
        let batch = batch();
        let input = Input::Tokens(&batch);
        assert_eq!(difference(&lean.vectors(input).unwrap(), &kernels.vectors(input).unwrap()), 0.0);
        assert!(matches!(lean.record(input, &BTreeSet::new()), Err(Error::ForInference)));
        // With parameters of its own it can be trained, whatever it was made from.
        assert!(lean.with(&parameters).unwrap().record(input, &BTreeSet::new()).is_ok());
    }
}

#[test]
fn eight_bits_give_nearly_the_same_vectors_whatever_the_batch_and_no_gradients() {
    for family in FAMILIES {
        let [kernels, operators] = of_family(family, PoolingMode::Mean, Activation::Gelu);
        let On::Device { parameters, .. } = operators.on else { unreachable!() };
        let Encoder { config, pooling, .. } = &kernels;
        let encoder = Encoder::for_inference(config, pooling, parameters.clone(), Precision::Int8).unwrap();
        let batch = batch();
        let vectors = |encoder: &Encoder, batch: &Packed| -> Vec<Vec<f32>> {
            encoder.vectors(Input::Tokens(batch)).unwrap().to_vec2().unwrap()
        };
        let (ours, exact) = (vectors(&encoder, &batch), vectors(&kernels, &batch));
        assert_ne!(ours, exact);
        for (a, b) in ours.iter().zip(&exact) {
            let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
            let cosine = dot(a, b) / (dot(a, a) * dot(b, b)).sqrt();
            assert!(cosine > 0.999, "{family:?}: {cosine}");
        }
        let alone = Packed { ids: batch.ids[5..22].to_vec(), lengths: vec![17] };
        assert_eq!(vectors(&encoder, &alone)[0], ours[1]);
        for refused in [
            encoder.record(Input::Tokens(&batch), &BTreeSet::new()).err(),
            encoder.with(&parameters).err(),
            Encoder::new(config, pooling, &parameters, Precision::Int8).err(),
        ] {
            assert!(matches!(refused, Some(Error::NotInInt8 | Error::ForInference)), "{refused:?}");
        }
    }
}

#[test]
fn kernels_give_the_gradients_of_candles_operators() {
    let families = FAMILIES.map(|family| (family, PoolingMode::Mean, Activation::Gelu));
    for (family, pooling, activation) in
        families.into_iter().chain([(Family::Bert, PoolingMode::Cls, Activation::GeluTanh)])
    {
        let [kernels, operators] = of_family(family, pooling, activation);
        let On::Device { parameters, .. } = &operators.on else { unreachable!() };
        let all: BTreeSet<String> = parameters.iter().map(|(name, _)| name.to_owned()).collect();
        let top = all
            .iter()
            .filter(|name| name.contains("layer.2.") && !name.contains(".self."))
            .cloned()
            .collect();
        let batch = batch();
        let slope: Vec<f32> = (0..5 * 24).map(|i| ((i * 37) % 19) as f32 / 9.0 - 1.0).collect();
        let slope = Tensor::from_vec(slope, (5, 24), &Device::Cpu).unwrap();
        let relative = all.iter().filter(|name| name.contains("relative")).cloned().collect();
        for trained in [&all, &top, &relative] {
            let gradients = |encoder: &Encoder| {
                let (vectors, tape) = encoder.record(Input::Tokens(&batch), trained).unwrap();
                assert!(difference(&vectors, &encoder.vectors(Input::Tokens(&batch)).unwrap()) < 1e-5);
                tape.backward(&slope).unwrap()
            };
            let (ours, theirs) = (gradients(&kernels), gradients(&operators));
            assert!(ours.keys().eq(trained), "{:?}", ours.keys());
            for (name, theirs) in &theirs {
                let size = theirs.abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
                let difference = difference(&ours[name], theirs);
                assert!(difference < 1e-4 * size.max(1.0), "{name}: {difference} of {size}");
            }
        }
    }
}

/// Every token occurs once, so that the slope along a row of the table is that of one place.
#[test]
fn the_gradient_of_the_input_at_every_place_is_the_slope_of_the_vectors() {
    for family in FAMILIES.into_iter().chain(OTHERS) {
        let [kernels, operators] = of_family(family, PoolingMode::Mean, Activation::Gelu);
        let On::Device { parameters, .. } = &operators.on else { unreachable!() };
        let lengths = vec![5, 17, 1, 12];
        let tokens: usize = lengths.iter().sum();
        // Not in the order of the table, and without the token that fills up batches.
        let batch = Packed { ids: (0..tokens as u32).map(|i| 3 + i * 31 % 47).collect(), lengths };
        let weights: Vec<f32> = (0..4 * 24).map(|i| ((i * 37) % 19) as f32 / 9.0 - 1.0).collect();
        let weights = Tensor::from_vec(weights, (4, 24), &Device::Cpu).unwrap();
        let gradients = |encoder: &Encoder| {
            let (vectors, tape) = encoder.record_inputs(&batch).unwrap();
            assert!(difference(&vectors, &kernels.vectors(Input::Tokens(&batch)).unwrap()) < 1e-5);
            tape.backward(&weights).unwrap()
        };
        let (ours, theirs) = (gradients(&kernels), gradients(&operators));
        assert_eq!(ours.len(), tokens * 24);
        let size = theirs.iter().fold(0.0_f32, |size, x| size.max(x.abs()));
        assert!(ours.iter().zip(&theirs).all(|(a, b)| (a - b).abs() < 1e-4 * size.max(1.0)), "{family:?}");
        let table = parameters.get(WORD_EMBEDDINGS).unwrap();
        for place in [0, 4, 5, 21, 22, 30, tokens - 1] {
            let gradient = &ours[place * 24..][..24];
            let length = gradient.iter().map(|x| f64::from(x * x)).sum::<f64>().sqrt();
            let at = |distance: f64| {
                let mut values = table.flatten_all().unwrap().to_vec1::<f32>().unwrap();
                let row = &mut values[batch.ids[place] as usize * 24..][..24];
                row.iter_mut().zip(gradient).for_each(|(x, g)| *x += g * (distance / length) as f32);
                let mut there = parameters.clone();
                there
                    .set(WORD_EMBEDDINGS, Tensor::from_vec(values, table.dims(), &Device::Cpu).unwrap())
                    .unwrap();
                let vectors = kernels.with(&there).unwrap().vectors(Input::Tokens(&batch)).unwrap();
                f64::from((vectors * &weights).unwrap().sum_all().unwrap().to_scalar::<f32>().unwrap())
            };
            let step = 0.02;
            let slope = (at(step) - at(-step)) / (2.0 * step);
            let error = (slope - length).abs();
            assert!(error < 0.05 * length + 2e-3, "{family:?} at {place}: {slope}, {length}");
        }
    }
}

#[test]
fn a_padding_token_within_a_text_has_a_position_of_its_own_and_is_not_counted() {
    let positions = |positions: Positions| positions.of(&[7, 1, 8, 1, 9]).collect::<Vec<_>>();
    assert_eq!(positions(Positions::FromZero), [0, 1, 2, 3, 4]);
    assert_eq!(positions(Positions::AfterPadding(1)), [2, 1, 3, 1, 4]);
    assert_eq!(positions(Positions::AfterPadding(0)), [1, 2, 3, 4, 5]);
}

#[test]
fn what_an_encoder_cannot_take_is_refused_with_the_reason() {
    let [kernels, _] = cpu_and_reference(PoolingMode::Mean, Activation::Gelu);
    let refused = |ids: &[u32], lengths: &[usize]| {
        let batch = Packed { ids: ids.to_vec(), lengths: lengths.to_vec() };
        kernels.vectors(Input::Tokens(&batch)).unwrap_err().to_string()
    };
    assert_eq!(refused(&[3, 50], &[2]), "expected a token below the size of the vocabulary, 50, received 50");
    assert_eq!(
        refused(&[3; 41], &[41]),
        "expected a sequence within the position embeddings, 40, received 41"
    );
    assert_eq!(refused(&[3; 4], &[5]), "expected tokens in a batch 5, received 4");
}
