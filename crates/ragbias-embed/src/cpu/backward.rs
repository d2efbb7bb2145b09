//! The backward pass of one layer of BERT's kind.

use ragbias_kernels::Into;

use super::attention::area;
use super::layer::{KeptAttention, KeptMlp, Layer};
use super::layer_gradients::{LayerGradients, Side};
use super::pool::Pool;

impl Layer {
    /// Replaces the gradient of the layer's output by that of the MLP's input, if `below` asks for it; the gradients of the weights
    /// are added to `gradients`.
    pub(super) fn transform_backward(
        &self,
        gradient: &mut [f32],
        kept: KeptMlp,
        gradients: &mut LayerGradients,
        below: bool,
        pool: &mut Pool,
    ) {
        self.mlp_norms.trained().backward(gradient, &kept.norm, &mut gradients.sums[10..12]);
        gradients.map(8, Side::Borrowed(gradient), kept.inner, pool);
        if below || gradients.wants(6) {
            let mut inner = kept.slopes;
            let mut of_inner = pool.take(inner.len());
            self.down.gradient_of_input(gradient, &mut of_inner, Into::Set);
            inner.iter_mut().zip(&*of_inner).for_each(|(slope, g)| *slope *= g);
            pool.give([of_inner]);
            if below {
                self.up.gradient_of_input(&inner, gradient, Into::Add);
            }
            gradients.map(6, Side::Owned(inner), kept.input, pool);
        } else {
            pool.give([kept.input, kept.slopes]);
        }
        pool.give([kept.norm.centred, kept.norm.scales]);
    }

    /// The same for the attention: replaces the gradient of the MLP's input by that of the layer's input.
    pub(super) fn attend_backward(
        &self,
        gradient: &mut [f32],
        lengths: &[usize],
        kept: KeptAttention,
        gradients: &mut LayerGradients,
        below: bool,
        pool: &mut Pool,
    ) {
        let hidden = self.hidden;
        self.attention_norms.trained().backward(gradient, &kept.norm, &mut gradients.sums[4..6]);
        gradients.map(2, Side::Borrowed(gradient), kept.contexts, pool);
        if below || gradients.wants(0) || gradients.relative.is_some() {
            let mut contexts = pool.take(gradient.len());
            self.attention_output.gradient_of_input(gradient, &mut contexts, Into::Set);
            let mut rows = pool.take(kept.rows.len());
            let longest = lengths.iter().copied().max().unwrap_or(0);
            let mut scratch = pool.take(area(longest));
            let (mut token, mut used) = (0, 0);
            for &length in lengths {
                let area = self.heads.count * area(length);
                let of = |width: usize| token * width..(token + length) * width;
                self.heads.backward(
                    &kept.rows[of(3 * hidden)],
                    gradients.relative.as_deref_mut(),
                    &kept.weights[used..used + area],
                    &contexts[of(hidden)],
                    &mut rows[of(3 * hidden)],
                    &mut scratch,
                );
                token += length;
                used += area;
            }
            pool.give([contexts, scratch]);
            if below {
                self.query_key_value.gradient_of_input(&rows, gradient, Into::Add);
            }
            gradients.map(0, Side::Owned(rows), kept.input, pool);
        } else {
            pool.give([kept.input]);
        }
        pool.give([kept.rows, kept.weights, kept.norm.centred, kept.norm.scales]);
    }
}
