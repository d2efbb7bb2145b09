//! The gradients of one layer's parameters from a chunk.

use ragbias_kernels::row::add_rows;

use super::lines::Lines;
use super::pool::Pool;

/// Indices of the linear layers' weights among the parameters of a layer.
pub(super) const MAPS: [usize; 4] = [0, 2, 6, 8];

/// The gradients of one layer's parameters from a chunk, in the order of the layer's names.
pub(super) struct LayerGradients {
    /// For biases and norms; `None` if one is frozen, and for weights.
    pub(super) sums: [Option<Vec<f32>>; 12],
    /// Whether a parameter is trained.
    pub(super) wanted: [bool; 12],
    pub(super) factors: [Option<Factors>; 12],
    /// For the biases of relative attention by distance, if they are trained.
    pub(super) relative: Option<Vec<f32>>,
}

/// gradientᵀ·x, `(out, in)`, as factors.
pub(super) struct Factors {
    /// `(tokens, out)`.
    pub(super) gradient: Lines,
    /// `(tokens, in)`.
    pub(super) x: Lines,
}

/// The gradient of a linear layer's outputs, `(tokens, out)`: borrowed if still in use, or owned.
pub(super) enum Side<'a> {
    Borrowed(&'a [f32]),
    Owned(Lines),
}

impl LayerGradients {
    /// Empty; `sizes` are those of the layer's parameters, `relative` that of the biases by distance if they are trained.
    pub(super) fn new(wanted: [bool; 12], sizes: [usize; 12], relative: Option<usize>) -> Self {
        let sum = |part: usize| (wanted[part] && !MAPS.contains(&part)).then(|| vec![0.0; sizes[part]]);
        Self {
            sums: std::array::from_fn(sum),
            wanted,
            factors: Default::default(),
            relative: relative.map(|size| vec![0.0; size]),
        }
    }

    /// Whether the weight at this index or its bias is trained.
    pub(super) fn wants(&self, map: usize) -> bool {
        self.wanted[map] || self.wanted[map + 1]
    }

    /// Adds the gradient of the linear layer with its weight at this index, from the gradient of its outputs and its inputs.
    pub(super) fn map(&mut self, map: usize, gradient: Side<'_>, x: Lines, pool: &mut Pool) {
        let values = match &gradient {
            Side::Borrowed(values) => values,
            Side::Owned(lines) => &**lines,
        };
        if let Some(sum) = &mut self.sums[map + 1] {
            add_rows(sum, values);
        }
        match (self.wanted[map], gradient) {
            (true, Side::Borrowed(values)) => {
                self.factors[map] = Some(Factors { gradient: pool.copy(values), x });
            }
            (true, Side::Owned(gradient)) => self.factors[map] = Some(Factors { gradient, x }),
            (false, Side::Borrowed(_)) => pool.give([x]),
            (false, Side::Owned(gradient)) => pool.give([gradient, x]),
        }
    }
}
