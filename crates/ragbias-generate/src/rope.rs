//! Rotary position embeddings (<https://arxiv.org/abs/2104.09864>), and their scaling to longer contexts.

mod scaling;

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

    /// Frequencies for layers with a window too short for scaling.
    pub(crate) fn of_windows(self) -> Self {
        Self { magnitude: self.magnitude, ..Self::NONE }
    }
}

impl Rope {
    /// Nothing is rotated.
    pub(crate) const NONE: Self = Self { frequencies: Vec::new(), magnitude: 1.0 };

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

    /// Cosine and sine of a position for each rotated pair, multiplied by the magnitude.
    pub(crate) fn turns(&self, position: usize) -> impl Iterator<Item = [f32; 2]> {
        self.frequencies.iter().map(move |frequency| {
            let angle = position as f32 * frequency;
            [angle.cos(), angle.sin()].map(|turn| turn * self.magnitude)
        })
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
