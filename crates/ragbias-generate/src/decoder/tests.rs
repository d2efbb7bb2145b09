use std::io::Cursor;

use candle_core::quantized::GgmlDType;
use candle_core::quantized::gguf_file::Content;
use candle_core::{Device, Tensor};
use candle_transformers::models::quantized_llama::ModelWeights;

use super::*;
use crate::architecture::Architecture;
use crate::testing::{VOCABULARY, decoder, gguf};

fn tokens(count: usize, seed: u32) -> Vec<u32> {
    (0..count as u32).map(|i| (i * 31 + i * i * 7 + seed) % VOCABULARY).collect()
}

fn read(decoder: &Decoder, state: &mut State, tokens: &[u32]) -> Vec<f32> {
    decoder.read(vec![Span { state, tokens, logits: true }]).remove(0)
}

fn assert_near(a: &[f32], b: &[f32], tolerance: f32) {
    assert_eq!(a.len(), b.len());
    for (a, b) in a.iter().zip(b) {
        assert!((a - b).abs() < tolerance, "{a} {b}");
    }
}

#[test]
fn logits_are_those_of_plain_loops() {
    for Architecture { name, .. } in Architecture::ALL {
        for format in [GgmlDType::F32, GgmlDType::Q4_1, GgmlDType::Q8_0] {
            let decoder = decoder(name, format);
            let tokens = tokens(41, 3);
            let logits = read(&decoder, &mut decoder.start(), &tokens);
            assert_near(&logits, &slow(&decoder, &tokens), 1e-4);
        }
    }
}

#[test]
fn llama_s_logits_are_those_of_candle() {
    let mut file = Cursor::new(gguf("llama", GgmlDType::F32));
    let content = Content::read(&mut file).unwrap();
    let mut candle = ModelWeights::from_gguf(content, &mut file, &Device::Cpu).unwrap();
    let tokens = tokens(41, 5);
    let input = Tensor::new(&tokens[..], &Device::Cpu).unwrap().unsqueeze(0).unwrap();
    let expected = candle.forward(&input, 0).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
    let decoder = decoder("llama", GgmlDType::F32);
    assert_near(&read(&decoder, &mut decoder.start(), &tokens), &expected, 1e-4);
}

#[test]
fn steps_go_on_as_a_longer_prompt_would() {
    for Architecture { name, .. } in Architecture::ALL {
        let decoder = decoder(name, GgmlDType::Q8_0);
        let tokens = tokens(30, 1);
        let mut state = decoder.start();
        read(&decoder, &mut state, &tokens[..20]);
        let mut logits = Vec::new();
        for token in tokens[20..].chunks(1) {
            logits = decoder.step(&mut [Span { state: &mut state, tokens: token, logits: true }]).remove(0);
        }
        assert_near(&logits, &read(&decoder, &mut decoder.start(), &tokens), 1e-4);
    }
}

#[test]
fn neither_pieces_nor_company_change_a_bit() {
    for Architecture { name, .. } in Architecture::ALL {
        let decoder = decoder(name, GgmlDType::Q4_1);
        // More than one batch of prompt tokens.
        let prompts = [tokens(300, 0), tokens(7, 11), tokens(40, 2)];
        let alone = prompts.each_ref().map(|prompt| read(&decoder, &mut decoder.start(), prompt));
        let mut states = [(); 3].map(|()| decoder.start());
        let spans = states.iter_mut().zip(&prompts);
        let spans = spans.map(|(state, tokens)| Span { state, tokens, logits: true }).collect();
        assert_eq!(decoder.read(spans), alone);
        let mut state = decoder.start();
        read(&decoder, &mut state, &prompts[0][..121]);
        assert_eq!(read(&decoder, &mut state, &prompts[0][121..]), alone[0]);

        let next = |states: &mut [State]| {
            let spans = states.iter_mut().map(|state| Span { state, tokens: &[9], logits: true });
            decoder.step(&mut spans.collect::<Vec<_>>())
        };
        let each = states.each_ref().map(|state| next(&mut [state.clone()]).remove(0));
        assert_eq!(next(&mut states), each);
    }
}

/// Reference implementation of the logits, with scalar loops in f64.
fn slow(decoder: &Decoder, tokens: &[u32]) -> Vec<f32> {
    let (heads, width) = (decoder.heads, decoder.head_width);
    let mut cache = vec![Vec::<[Vec<f64>; 2]>::new(); decoder.layers.len()];
    let mut x = Vec::new();
    for (position, &token) in tokens.iter().enumerate() {
        let scale = f64::from(decoder.embedding_scale);
        x = decoder.embedding.row(token as usize).iter().map(|x| f64::from(*x) * scale).collect();
        for (layer, cache) in decoder.layers.iter().zip(&mut cache) {
            let before = |x: &[f64], norm: &Option<Vec<f32>>| {
                norm.as_ref().map_or(x.to_vec(), |norm| slow_norm(x, norm, decoder.eps))
            };
            let normed = before(&x, &layer.attention_norm);
            let norms = layer.query_key_norms.as_ref();
            let frequencies = &decoder.ropes[layer.kind.rope].frequencies;
            let prepare = |affine: &Affine, norm: Option<&Vec<f32>>| -> Vec<f64> {
                let mut heads = slow_affine(affine, &normed);
                if let Some(norm) = norm {
                    let pieces = heads.chunks(norm.len());
                    heads = pieces.flat_map(|piece| slow_norm(piece, norm, decoder.eps)).collect();
                }
                let heads = heads.chunks(width);
                heads.flat_map(|head| slow_turn(head, decoder.pairs, position, frequencies)).collect()
            };
            let query = prepare(&layer.query, norms.map(|norms| &norms[0]));
            let key = prepare(&layer.key, norms.map(|norms| &norms[1]));
            cache.push([key, slow_affine(&layer.value, &normed)]);
            let seen = &cache[layer.kind.window.map_or(0, |window| (position + 1).saturating_sub(window))..];
            let mut attended = vec![0.0; query.len()];
            for head in 0..heads {
                let at = |i: usize| head / (heads / decoder.key_heads) * width + i;
                let score =
                    |key: &[f64]| (0..width).map(|i| query[head * width + i] * key[at(i)]).sum::<f64>();
                let scaled = |key: &[f64]| score(key) / (width as f64).sqrt();
                let weights: Vec<f64> =
                    seen.iter().map(|[key, _]| slow_cap(scaled(key), decoder.attention_cap).exp()).collect();
                let total: f64 = weights.iter().sum();
                for ([_, value], weight) in seen.iter().zip(&weights) {
                    (0..width).for_each(|i| attended[head * width + i] += weight / total * value[at(i)]);
                }
            }
            let add = |x: &mut Vec<f64>, part: Vec<f64>, norm: &Option<Vec<f32>>| {
                let part = norm.as_ref().map_or(part.clone(), |norm| slow_norm(&part, norm, decoder.eps));
                x.iter_mut().zip(part).for_each(|(x, part)| *x += part);
            };
            add(&mut x, slow_affine(&layer.output, &attended), &layer.after_attention_norm);
            let normed = before(&x, &layer.mlp_norm);
            let (gate, up) = (slow_affine(&layer.gate, &normed), slow_affine(&layer.up, &normed));
            let activate = |x: f64| match decoder.activation {
                Activation::Silu => x / (1.0 + (-x).exp()),
                Activation::Gelu => {
                    let u = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044_715 * x.powi(3));
                    0.5 * x * (1.0 + u.tanh())
                }
            };
            let inner: Vec<f64> = gate.iter().zip(&up).map(|(gate, up)| activate(*gate) * up).collect();
            add(&mut x, slow_affine(&layer.down, &inner), &layer.after_mlp_norm);
        }
    }
    let last = slow_norm(&x, &decoder.norm, decoder.eps);
    let logits = slow_product(&decoder.output, &last);
    logits.iter().map(|x| slow_cap(*x, decoder.logit_cap) as f32).collect()
}

fn slow_cap(x: f64, cap: Option<f32>) -> f64 {
    cap.map_or(x, |cap| f64::from(cap) * (x / f64::from(cap)).tanh())
}

fn slow_product(matrix: &Matrix, x: &[f64]) -> Vec<f64> {
    let row = |row| matrix.row(row).iter().zip(x).map(|(w, x)| f64::from(*w) * x).sum();
    (0..matrix.height()).map(row).collect()
}

fn slow_affine(affine: &Affine, x: &[f64]) -> Vec<f64> {
    let mut product = slow_product(&affine.matrix, x);
    let bias = affine.bias.iter().flatten();
    product.iter_mut().zip(bias).for_each(|(x, bias)| *x += f64::from(*bias));
    product
}

fn slow_norm(x: &[f64], weight: &[f32], eps: f32) -> Vec<f64> {
    let scale = 1.0 / (x.iter().map(|x| x * x).sum::<f64>() / x.len() as f64 + f64::from(eps)).sqrt();
    x.iter().zip(weight).map(|(x, weight)| x * scale * f64::from(*weight)).collect()
}

fn slow_turn(head: &[f64], pairs: Pairs, position: usize, frequencies: &[f32]) -> Vec<f64> {
    let mut out = head.to_vec();
    for (i, frequency) in frequencies.iter().enumerate() {
        let (a, b) = match pairs {
            Pairs::Neighbours => (2 * i, 2 * i + 1),
            Pairs::Halves => (i, i + head.len() / 2),
        };
        let (sin, cos) = (position as f64 * f64::from(*frequency)).sin_cos();
        out[a] = head[a] * cos - head[b] * sin;
        out[b] = head[a] * sin + head[b] * cos;
    }
    out
}
