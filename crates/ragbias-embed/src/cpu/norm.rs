//! LayerNorm and RMSNorm over rows, fused with the residual addition before it; and its backward pass.

use ragbias_kernels::dot;
use ragbias_kernels::row::{add, sum};

/// Weight, bias and ε of a LayerNorm, or of an RMSNorm: one that does not centre.
#[derive(Clone, Copy)]
pub(super) struct Norm<'a> {
    pub(super) weight: &'a [f32],
    pub(super) bias: &'a [f32],
    pub(super) eps: f32,
    /// Whether the mean is subtracted first.
    pub(super) centres: bool,
}

/// The state of a LayerNorm's forward pass that its backward pass needs.
pub(super) struct Normed<'t> {
    /// (x − mean) / deviation, `(rows, width)`.
    pub(super) centred: &'t mut [f32],
    /// 1 / deviation, `(rows,)`.
    pub(super) scales: &'t mut [f32],
}

impl Norm<'_> {
    /// states ← norm(added + states), `(rows, width)` both.
    #[inline(always)]
    pub(super) fn residual(&self, states: &mut [f32], added: &[f32], mut kept: Option<Normed<'_>>) {
        let width = self.weight.len();
        let rows = states.chunks_exact_mut(width).zip(added.chunks_exact(width));
        for (number, (state, added)) in rows.enumerate() {
            add(state, added);
            let scale = self.row(state);
            if let Some(kept) = &mut kept {
                kept.scales[number] = scale;
                kept.centred[number * width..(number + 1) * width].copy_from_slice(state);
            }
            self.stretch(state);
        }
    }

    /// states ← norm(states).
    #[inline(always)]
    pub(super) fn plain(&self, states: &mut [f32], mut kept: Option<Normed<'_>>) {
        let width = self.weight.len();
        for (number, state) in states.chunks_exact_mut(width).enumerate() {
            let scale = self.row(state);
            if let Some(kept) = &mut kept {
                kept.scales[number] = scale;
                kept.centred[number * width..(number + 1) * width].copy_from_slice(state);
            }
            self.stretch(state);
        }
    }

    /// Centres a row, unless it is not to be, and scales it to mean square 1; returns the scale.
    #[inline(always)]
    fn row(&self, row: &mut [f32]) -> f32 {
        let n = row.len() as f32;
        let mean = if self.centres { sum(row, |x| x) / n } else { 0.0 };
        let variance = sum(row, |x| (x - mean) * (x - mean)) / n;
        let scale = 1.0 / (variance + self.eps).sqrt();
        for x in row {
            *x = (*x - mean) * scale;
        }
        scale
    }

    #[inline(always)]
    fn stretch(&self, row: &mut [f32]) {
        for ((x, w), b) in row.iter_mut().zip(self.weight).zip(self.bias) {
            *x = x.mul_add(*w, *b);
        }
    }

    /// Replaces the gradient of the output by that of the input: with g = gradient·weight and ĉ the centred row,
    /// scale·(g − mean(g) − ĉ·mean(g·ĉ)). Adds the gradients of weight and bias to their sums, if requested.
    #[inline(always)]
    pub(super) fn backward(
        &self,
        gradient: &mut [f32],
        centred: &[f32],
        scales: &[f32],
        mut weight: Option<&mut [f32]>,
        mut bias: Option<&mut [f32]>,
    ) {
        let width = self.weight.len();
        let rows = gradient.chunks_exact_mut(width).zip(centred.chunks_exact(width)).zip(scales);
        for ((row, centred), &scale) in rows {
            if let Some(weight) = &mut weight {
                for ((sum, g), c) in weight.iter_mut().zip(&*row).zip(centred) {
                    *sum = g.mul_add(*c, *sum);
                }
            }
            if let Some(bias) = &mut bias {
                add(bias, row);
            }
            for (g, w) in row.iter_mut().zip(self.weight) {
                *g *= w;
            }
            let n = width as f32;
            let (mean, slope) = (sum(row, |x| x) / n, dot::in_16_lanes(row, centred) / n);
            for (g, c) in row.iter_mut().zip(centred) {
                *g = scale * (*g - mean - c * slope);
            }
        }
    }
}
