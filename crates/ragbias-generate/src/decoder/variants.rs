//! Compares logits of small models, each with one change that affects them, with llama.cpp's
//! (`scripts/reference/gguf_variants.py`).

use super::Span;
use crate::architecture::Architecture;
use crate::testing::{VOCABULARY, Variant};

impl Variant {
    /// Tolerance for logits of size 1. llama.cpp looks GELU up in a table of 16-bit
    /// floats, which changes Gemma's logits.
    fn tolerance(&self) -> f64 {
        if self.architecture.starts_with("gemma") { 5e-3 } else { 1e-4 }
    }

    /// The logits after the reference's tokens, either all prefilled, or the last of them decoded one by one.
    fn logits(&self, steps: usize) -> Vec<f32> {
        let decoder = self.decoder();
        let tokens = Self::tokens();
        let (prompt, rest) = tokens.split_at(tokens.len() - steps);
        let mut state = decoder.start();
        let mut logits =
            decoder.read(vec![Span { state: &mut state, tokens: prompt, logits: true }]).remove(0);
        for token in rest.chunks(1) {
            logits = decoder.step(&mut [Span { state: &mut state, tokens: token, logits: true }]).remove(0);
        }
        logits
    }

    fn furthest(&self, logits: &[f32]) -> f64 {
        let received = logits.iter().step_by(10).map(|&logit| f64::from(logit));
        let furthest = received.zip(&self.logits).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        let norm = logits.iter().map(|&logit| f64::from(logit).powi(2)).sum::<f64>().sqrt();
        furthest.max((norm - self.norm).abs() / self.norm)
    }
}

#[test]
fn logits_of_every_variant_are_those_of_llama_cpp() {
    let variants = Variant::all();
    for family in Architecture::ALL {
        assert!(variants.iter().filter(|variant| variant.architecture == family.name).count() > 5);
    }
    for variant in variants {
        assert_eq!(variant.logits.len(), VOCABULARY as usize / 10);
        for steps in [0, 3] {
            let distance = variant.furthest(&variant.logits(steps));
            println!("{}: {distance:.1e}", variant.name);
            assert!(distance < variant.tolerance(), "{}, {steps} steps: {distance}", variant.name);
        }
    }
}

/// Checks that every variant changes the logits by more than the tolerance above.
#[test]
fn variants_differ_from_the_plain_model_by_more_than_the_tolerance() {
    let variants = Variant::all();
    let plain = |variant: &Variant| {
        variants.iter().find(|plain| plain.name == variant.architecture).unwrap().logits.clone()
    };
    let same: Vec<&str> = variants
        .iter()
        .filter(|variant| {
            let distances = variant.logits.iter().zip(plain(variant)).map(|(a, b)| (a - b).abs());
            distances.fold(0.0, f64::max) < 10.0 * variant.tolerance()
        })
        .map(|variant| variant.name.as_str())
        .collect();
    let unchanged = ["no scaling", "no base", "no rotary width", "lists for layers"];
    let expected = variants
        .iter()
        .map(|variant| variant.name.as_str())
        .filter(|name| unchanged.contains(name) || Architecture::named(name).is_some());
    assert_eq!(same, expected.collect::<Vec<_>>());
}
