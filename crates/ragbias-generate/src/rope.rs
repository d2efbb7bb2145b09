//! Rotary positions (<https://arxiv.org/abs/2104.09864>) and the ways in which models stretch them to longer contexts.

use std::f32::consts::PI;

use crate::Result;
use crate::file::GgufFile;

/// How fast each pair of a head's numbers turns, and what turning multiplies it by.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Rope {
    /// Radians a token, for each pair that is turned; numbers of a head beyond twice as many stay as they are.
    pub(crate) frequencies: Vec<f32>,
    /// YaRN's temperature of attention, as a factor of cosine and sine: 1 elsewhere.
    pub(crate) magnitude: f32,
}

impl Rope {
    /// base^(−2i / turned) for each pair i.
    pub(crate) fn plain(base: f32, turned: usize) -> Self {
        let frequencies = (0..turned).step_by(2).map(|i| 1.0 / base.powf(i as f32 / turned as f32));
        Self { frequencies: frequencies.collect(), magnitude: 1.0 }
    }

    /// What the keys `NAME.rope.*` of a file say.
    ///
    /// # Errors
    /// Another kind of scaling than `none`, `linear` and `yarn`, or numbers out of range.
    pub(crate) fn read(file: &GgufFile, name: &str, turned: usize, base: f32) -> Result<Self> {
        let key = |key: &str| format!("{name}.rope.{key}");
        let factor = match file.float(&key("scaling.factor"))? {
            Some(factor) => Some(factor),
            None => file.float(&key("scale_linear"))?,
        };
        let attention = file.float(&key("scaling.attn_factor"))?;
        let trained = file.number(&key("scaling.original_context_length"))?;
        let yarn = |part: &str| file.float(&key(&format!("scaling.yarn_{part}")));
        let (extrapolated, yarn_attention) = (yarn("ext_factor")?, yarn("attn_factor")?);
        let (fast, slow) = (yarn("beta_fast")?.unwrap_or(32.0), yarn("beta_slow")?.unwrap_or(1.0));
        let mut rope = Self::plain(base, turned);
        // 0 stands for no scaling, as in llama.cpp.
        let factor = factor.filter(|&factor| factor != 0.0).unwrap_or(1.0);
        if factor <= 0.0 {
            return Err(file
                .broken(format!("key `{}` is {factor}, expected a number above 0", key("scaling.factor"))));
        }
        match file.text(&key("scaling.type"))?.unwrap_or("linear") {
            "none" => {}
            "linear" => rope.frequencies.iter_mut().for_each(|frequency| *frequency /= factor),
            "yarn" => {
                let context = match trained {
                    Some(trained) => trained,
                    None => file.required(&format!("{name}.context_length"))?,
                };
                rope.stretch(factor, context as f32, base, [fast, slow], extrapolated.unwrap_or(1.0));
            }
            other => {
                return Err(file.broken(format!(
                    "key `{}` is {other}, expected none, linear or yarn",
                    key("scaling.type")
                )));
            }
        }
        rope.magnitude *= attention.unwrap_or(1.0) * yarn_attention.unwrap_or(1.0);
        if file.has_tensor("rope_freqs.weight") {
            // Llama 3.1's stretching, as a divisor of each frequency.
            let divisors = file.vector("rope_freqs.weight", turned / 2)?;
            if divisors.contains(&0.0) {
                return Err(file
                    .broken("tensor `rope_freqs.weight` holds a 0, by which nothing can be divided".into()));
            }
            rope.frequencies.iter_mut().zip(divisors).for_each(|(frequency, divisor)| *frequency /= divisor);
        }
        Ok(rope)
    }

    /// YaRN (<https://arxiv.org/abs/2309.00071>): pairs that turn often within the context that the model was trained on
    /// keep their frequency, those that turn less than once are slowed down by `factor`, between them a ramp; attention
    /// sharpens by 0.1·ln(factor) + 1.
    fn stretch(&mut self, factor: f32, context: f32, base: f32, [fast, slow]: [f32; 2], extrapolated: f32) {
        let turned = (2 * self.frequencies.len()) as f32;
        // The pair that makes so many turns within the context.
        let pair = |turns: f32| turned * (context / (turns * 2.0 * PI)).ln() / (2.0 * base.ln());
        let (low, high) = (pair(fast).floor().max(0.0), pair(slow).ceil().min(turned - 1.0));
        for (i, frequency) in self.frequencies.iter_mut().enumerate() {
            let ramp = (i as f32 - low) / (high - low).max(0.001);
            let kept = (1.0 - ramp.clamp(0.0, 1.0)) * extrapolated;
            *frequency *= (1.0 - kept) / factor + kept;
        }
        if extrapolated != 0.0 && factor > 1.0 {
            self.magnitude = 0.1_f32.mul_add(factor.ln(), 1.0);
        }
    }
}
