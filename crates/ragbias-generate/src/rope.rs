//! Rotary position embeddings (<https://arxiv.org/abs/2104.09864>), and their scaling to longer contexts.

use crate::Result;
use crate::file::GgufFile;

/// Frequencies and scale for one kind of layer.
#[derive(Debug, Clone)]
pub(crate) struct Rope {
    /// In radians per token, for each rotated pair.
    pub(crate) frequencies: Vec<f32>,
    /// Factor of cosines and sines.
    pub(crate) magnitude: f32,
}

/// The scaling of positions beyond the training context.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Scaling {
    /// Positions are divided by this.
    factor: f32,
    /// Factor of cosines and sines, in scaled layers and in all layers.
    sharpened: f32,
    magnitude: f32,
    yarn: Option<Yarn>,
}

/// YaRN (<https://arxiv.org/abs/2309.00071>): pairs that rotate often within the training context keep their frequency,
/// those that rotate seldom are slowed down, and those in between are interpolated.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Yarn {
    /// The share of the original frequency for fast pairs.
    extrapolation: f32,
    /// Rotations within the training context above which pairs keep their frequency, and below which they are slowed down.
    fast: f32,
    slow: f32,
    /// Training context in tokens.
    context: f32,
}

impl Scaling {
    pub(crate) const NONE: Self = Self { factor: 1.0, sharpened: 1.0, magnitude: 1.0, yarn: None };

    /// The scaling in the file, interpreted as in llama.cpp; keys of `architecture`, which was trained on `context` tokens.
    pub(crate) fn read(file: &GgufFile, architecture: &str, context: u32) -> Result<Self> {
        let key = |key: &str| format!("{architecture}.rope.{key}");
        let positive = |name: &str| match file.float(&key(name))? {
            Some(number) if number <= 0.0 => {
                Err(file.broken(format!("`{}` is {number}, expected more than 0", key(name))))
            }
            number => Ok(number),
        };
        let given = positive("scaling.factor")?;
        let given = given.map_or_else(|| positive("scale_linear"), |factor| Ok(Some(factor)))?;
        let factor = given.unwrap_or(1.0);
        let magnitude = positive("scaling.attn_factor")?.unwrap_or(1.0);
        let original = file.number(&key("scaling.original_context_length"))?.filter(|&tokens| tokens > 0);
        let yarn = match file.text(&key("scaling.type"))?.unwrap_or("linear") {
            // A factor without a scaling type is ignored, as in llama.cpp.
            "none" => return Ok(Self { magnitude, ..Self::NONE }),
            "linear" => false,
            "yarn" => true,
            other => {
                return Err(file.refused(
                    format!("`{}`", key("scaling.type")),
                    format!("it is `{}`, expected none, linear or yarn", other.escape_debug()),
                    "take another model, or a server that runs this one",
                ));
            }
        };
        if !yarn {
            return Ok(Self { factor, magnitude, ..Self::NONE });
        }
        if factor < 1.0 {
            return Err(file.broken(format!("`{}` is {factor}, expected at least 1", key("scaling.factor"))));
        }
        let extrapolation = file.float(&key("scaling.yarn_ext_factor"))?.filter(|&share| share >= 0.0);
        let yarn = Yarn {
            extrapolation: extrapolation.unwrap_or(1.0),
            fast: positive("scaling.yarn_beta_fast")?.unwrap_or(32.0),
            slow: positive("scaling.yarn_beta_slow")?.unwrap_or(1.0),
            context: original.unwrap_or(context) as f32,
        };
        // Attention is sharpened by this factor for longer contexts.
        let sharpened = 0.1 * factor.ln() + 1.0;
        let name = "scaling.yarn_attn_factor";
        if let Some(given) = positive(name)?
            && (given - 1.0).abs() > 1e-5
            && (given - sharpened).abs() > 1e-5
        {
            return Err(file.refused(
                format!("`{}`", key(name)),
                format!("it is {given}, expected 1 or {sharpened}: other programs disagree on what it means"),
                "take another conversion of the model, or a server that runs it",
            ));
        }
        let sharpened = if yarn.extrapolation > 0.0 { sharpened } else { 1.0 };
        Ok(Self { factor, sharpened, magnitude, yarn: Some(yarn) })
    }

    /// Frequencies for layers with a window too short for scaling.
    pub(crate) fn of_windows(self) -> Self {
        Self { magnitude: self.magnitude, ..Self::NONE }
    }
}

impl Rope {
    /// `width` values of a head are rotated, the first pair by one radian per token, each further pair more slowly; if
    /// the file has factors, frequencies are divided by them.
    pub(crate) fn new(width: usize, base: f32, scaling: Scaling, factors: Option<&[f32]>) -> Self {
        let pairs = width / 2;
        let frequency = |pair: usize| {
            let frequency = base.powf(-(2.0 * pair as f32) / width as f32);
            frequency / factors.map_or(1.0, |factors| factors[pair])
        };
        let share = |pair: usize| scaling.yarn.map_or(0.0, |yarn| yarn.share(pair, width, base));
        let frequencies = (0..pairs).map(|pair| {
            let (own, share) = (frequency(pair), share(pair));
            own / scaling.factor * (1.0 - share) + own * share
        });
        Self { frequencies: frequencies.collect(), magnitude: scaling.magnitude * scaling.sharpened }
    }
}

impl Yarn {
    /// The share of its own frequency that a pair keeps.
    fn share(&self, pair: usize, width: usize, base: f32) -> f32 {
        let width = width as f32;
        // The index of the pair with this number of rotations within the training context.
        let pair_of = |turns: f32| {
            width * (self.context / (turns * 2.0 * std::f32::consts::PI)).ln() / (2.0 * base.ln())
        };
        let first = pair_of(self.fast).floor().max(0.0);
        let last = pair_of(self.slow).ceil().min(width - 1.0);
        let slowed = (pair as f32 - first) / (last - first).max(0.001);
        (1.0 - slowed.clamp(0.0, 1.0)) * self.extrapolation
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn yarn_keeps_fast_pairs_slows_slow_ones_and_mixes_between() {
        let yarn = Yarn { extrapolation: 1.0, fast: 32.0, slow: 1.0, context: 2048.0 };
        let scaling = Scaling { factor: 4.0, yarn: Some(yarn), ..Scaling::NONE };
        let stretched = Rope::new(64, 10_000.0, scaling, None).frequencies;
        let plain = Rope::new(64, 10_000.0, Scaling::NONE, None).frequencies;
        let ratios: Vec<f32> = stretched.iter().zip(&plain).map(|(a, b)| a / b).collect();
        assert_eq!((ratios[0], ratios[31]), (1.0, 0.25));
        assert!(
            ratios.is_sorted_by(|a, b| a >= b) && ratios.iter().any(|r| (0.3..0.9).contains(r)),
            "{ratios:?}"
        );
    }

    #[test]
    fn factors_divide_frequencies() {
        let plain = Rope::new(4, 10_000.0, Scaling::NONE, None).frequencies;
        assert_eq!(plain, [1.0, 0.01]);
        assert_eq!(Rope::new(4, 10_000.0, Scaling::NONE, Some(&[1.0, 8.0])).frequencies, [1.0, 0.00125]);
    }
}
