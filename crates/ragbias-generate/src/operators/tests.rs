use candle_core::quantized::GgmlDType;

use super::*;
use crate::architecture::Architecture;
use crate::prompts::{Read, Reader};
use crate::testing::{VOCABULARY, Variant, decoder, distance};

fn place(precision: Precision, dtype: DType) -> Place {
    let path = "model.gguf".into();
    Place { processor: Processor::Cpu, device: Device::Cpu, precision, dtype, context: 512, path }
}

fn wide(decoder: &Decoder) -> DeviceDecoder {
    DeviceDecoder::new(decoder, place(Precision::F32, DType::F32)).unwrap()
}

fn tokens(count: usize, seed: u32) -> Vec<u32> {
    (0..count as u32).map(|i| (i * 31 + i * i * 7 + seed) % VOCABULARY).collect()
}

fn read<M: Model>(model: &M, state: &mut M::Cache, tokens: &[u32]) -> Vec<f32> {
    model.read(vec![Span { state, tokens, logits: true }]).unwrap().remove(0)
}

/// Reads all but the last `steps` tokens together, and then one at a time.
fn logits<M: Model>(model: &M, tokens: &[u32], steps: usize) -> Vec<f32> {
    let (prompt, rest) = tokens.split_at(tokens.len() - steps);
    let mut state = model.start();
    let mut logits = read(model, &mut state, prompt);
    for tokens in rest.chunks(1) {
        logits = model.step(&mut [Span { state: &mut state, tokens, logits: true }]).unwrap().remove(0);
    }
    logits
}

#[test]
fn logits_are_those_of_the_kernels_in_every_format() {
    for Architecture { name, .. } in Architecture::ALL {
        for format in [GgmlDType::F32, GgmlDType::BF16, GgmlDType::Q4_1, GgmlDType::Q8_0] {
            let kernels = decoder(name, format);
            let operators = wide(&kernels);
            let tokens = tokens(41, 3);
            for steps in [0, 5] {
                let distance =
                    distance(&logits(&operators, &tokens, steps), &logits(&kernels, &tokens, steps));
                assert!(distance < 1e-5, "{name} {format:?}, {steps} steps: {distance}");
            }
        }
    }
}

#[test]
fn logits_are_those_of_the_kernels_for_every_variant_of_every_family() {
    for variant in Variant::all() {
        let kernels = variant.decoder();
        let tokens = Variant::tokens();
        let operators = wide(&kernels);
        for steps in [0, 3] {
            let distance = distance(&logits(&operators, &tokens, steps), &logits(&kernels, &tokens, steps));
            assert!(distance < 1e-5, "{}, {steps} steps: {distance}", variant.name);
        }
    }
}

/// Texts of several buckets, and of several groups of queries.
#[test]
fn logits_are_the_same_alone_in_a_batch_and_in_pieces_but_for_rounding() {
    for Architecture { name, .. } in Architecture::ALL {
        let kernels = decoder(name, GgmlDType::Q8_0);
        let operators = wide(&kernels);
        let prompts = [tokens(400, 0), tokens(7, 11), tokens(40, 2), tokens(1, 5), tokens(300, 9)];
        let expected = prompts.each_ref().map(|prompt| logits(&kernels, prompt, 0));
        let mut states = [(); 5].map(|()| operators.start());
        let spans = states.iter_mut().zip(&prompts);
        let spans = spans.map(|(state, tokens)| Span { state, tokens, logits: true }).collect();
        for (together, expected) in operators.read(spans).unwrap().iter().zip(&expected) {
            assert!(distance(together, expected) < 1e-5, "{name}");
        }
        let mut state = operators.start();
        read(&operators, &mut state, &prompts[0][..121]);
        assert!(distance(&read(&operators, &mut state, &prompts[0][121..]), &expected[0]) < 1e-5, "{name}");

        let next = |states: &mut [Sequence]| {
            let spans = states.iter_mut().map(|state| Span { state, tokens: &[9], logits: true });
            operators.step(&mut spans.collect::<Vec<_>>()).unwrap()
        };
        let each = states.each_ref().map(|state| next(&mut [state.clone()]).remove(0));
        for ((together, alone), prompt) in next(&mut states).iter().zip(&each).zip(&prompts) {
            assert!(distance(together, alone) < 1e-5, "{name}");
            let longer = [&prompt[..], &[9]].concat();
            assert!(distance(alone, &logits(&kernels, &longer, 0)) < 1e-5, "{name}");
        }
    }
}

#[test]
fn shared_prefixes_are_shared_rows_and_all_rows_are_free_in_the_end() {
    for name in ["llama", "gemma3"] {
        let kernels = decoder(name, GgmlDType::Q8_0);
        let prefix = tokens(40, 0);
        let texts: Vec<Vec<u32>> =
            (1..5).map(|i| [&prefix[..], &tokens(3 * i, 76 + i as u32)[..]].concat()).collect();
        let expected: Vec<Vec<f32>> = texts.iter().map(|text| logits(&kernels, text, 0)).collect();
        let reader = Reader::new(wide(&kernels));
        let rows = || reader.model().pool.lock().unwrap().used();
        let unused = rows();
        let keep = |read: Vec<(usize, Read<Sequence>)>| {
            assert_eq!(read.len(), 4);
            for (text, read) in &read {
                assert_eq!(read.state.tokens(), texts[*text]);
                assert!(distance(&read.logits, &expected[*text]) < 1e-5);
            }
            assert_eq!(rows() - unused, 40 + 3 + 6 + 9 + 12);
            Ok::<_, Error>(())
        };
        reader.read(&texts, keep).unwrap();
        // The last sequence is kept, for prompts that begin like it.
        assert!(rows() - unused <= 40 + 12);
        let again = |read: Vec<(usize, Read<Sequence>)>| {
            assert!(distance(&read[0].1.logits, &expected[2]) < 1e-5);
            Ok::<_, Error>(())
        };
        reader.read(&texts[2..3], again).unwrap();
        let model = reader.model();
        let sequences: Vec<Sequence> = (0..3)
            .map(|seed| {
                let mut state = model.start();
                read(model, &mut state, &tokens(30, seed));
                state.prefix(11)
            })
            .collect();
        assert!(rows() - unused >= 90);
        drop(sequences);
        assert!(rows() - unused <= 52);
    }
}

/// On the CPU, with the rounding of a GPU's products.
#[test]
fn bf16_gives_nearly_the_same_logits_and_is_another_generator() {
    let narrow = place(Precision::Bf16, DType::BF16);
    assert_eq!(narrow.fingerprint(), "operators/1 cpu bf16");
    assert_ne!(narrow.fingerprint(), place(Precision::F32, DType::F32).fingerprint());
    for Architecture { name, .. } in Architecture::ALL {
        let kernels = decoder(name, GgmlDType::F32);
        let operators = DeviceDecoder::new(&kernels, narrow.clone()).unwrap();
        let tokens = tokens(41, 3);
        let distance = distance(&logits(&operators, &tokens, 2), &logits(&kernels, &tokens, 2));
        assert!((1e-4..0.05).contains(&distance), "{name}: {distance}");
    }
}

#[test]
fn a_device_without_room_is_refused_with_the_bytes_needed() {
    let kernels = decoder("llama", GgmlDType::Q8_0);
    let error = DeviceDecoder::within(&kernels, place(Precision::F32, DType::F32), Some(1_000_000));
    let error = error.unwrap_err().to_string();
    let needed = Memory::of(&kernels, DType::F32).least();
    assert!(
        error.starts_with(&format!("model.gguf: on cpu in f32 the model needs {needed} bytes")),
        "{error}"
    );
    assert!(error.contains("received 1000000\nhint: in bf16"), "{error}");
    let exhausted = candle_core::Error::Msg("CUDA_ERROR_OUT_OF_MEMORY".into());
    let place = place(Precision::F32, DType::F32);
    let error = place.failed(Memory::of(&kernels, DType::F32), exhausted);
    assert!(matches!(error, Error::DeviceMemory { .. }));
}

#[test]
fn a_sequence_longer_than_the_context_is_refused() {
    let operators = wide(&decoder("llama", GgmlDType::Q8_0));
    let mut state = operators.start();
    read(&operators, &mut state, &tokens(512, 1));
    let step = operators.step(&mut [Span { state: &mut state, tokens: &[1], logits: true }]);
    assert!(matches!(step, Err(Error::Candle(_))));
}
