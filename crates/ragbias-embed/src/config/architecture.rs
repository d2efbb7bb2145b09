//! What the layers of an encoder are made of.

/// The parts of an encoder's layers, from which its weights and what is computed with them follow, on every device.
///
/// A layer is an attention and an MLP, each a function f added to its input, with norms around it ([`NormOrder`]).
#[derive(Debug, Clone, PartialEq)]
pub struct Architecture {
    /// The norms.
    pub norms: Norms,
    /// The attention.
    pub attention: Attention,
    /// The MLP.
    pub mlp: Mlp,
    /// Factor of a token's embedding.
    pub embedding_scale: f32,
}

/// The norms of an encoder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Norms {
    /// What each of them computes.
    pub kind: NormKind,
    /// Where they are in a layer. Unless it is [`NormOrder::After`], there is one after the last layer.
    pub order: NormOrder,
    /// Whether there is one after the embeddings.
    pub after_embeddings: bool,
}

/// What a norm computes of x, with a weight w.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NormKind {
    /// w·(x − mean)/deviation + b.
    LayerNorm {
        /// Whether there is b.
        bias: bool,
    },
    /// w·x/√mean(x²).
    Rms,
    /// (1 + w)·x/√mean(x²).
    RmsFromOne,
}

/// Where the norms of a layer are, with f for its attention or MLP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NormOrder {
    /// norm(f(x) + x).
    After,
    /// f(norm(x)) + x.
    Before {
        /// Whether the first layer's attention has no norm.
        skips_first: bool,
    },
    /// norm(f(norm(x))) + x.
    Around,
}

/// The attention of an encoder's layers.
#[derive(Debug, Clone, PartialEq)]
pub struct Attention {
    /// Heads of keys and values, which divide those of queries; `None` if they are as many.
    pub key_value_heads: Option<usize>,
    /// Width of a head; `None` if the heads divide a hidden state.
    pub head_width: Option<usize>,
    /// Scores are divided by the root of this; `None` if by that of the width of a head.
    pub scale_of: Option<f64>,
    /// The matrices that give queries, keys and values.
    pub matrices: Matrices,
    /// Whether the maps to queries, keys and values have biases.
    pub input_bias: bool,
    /// Whether the map after the attention has a bias.
    pub output_bias: bool,
    /// Whether queries and keys are normalised, head by head.
    pub norms: bool,
    /// Which tokens a token attends to.
    pub reach: Reach,
    /// Rotary positions.
    pub rotary: Option<Rotary>,
    /// Layers of another reach.
    pub local: Option<Local>,
}

/// The matrices that give queries, keys and values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Matrices {
    /// One each.
    Separate,
    /// One for all, in this order.
    Stacked,
}

/// Layers that attend to fewer tokens.
#[derive(Debug, Clone, PartialEq)]
pub struct Local {
    /// By layer, whether it is one of these; those that are missing are not.
    pub layers: Vec<bool>,
    /// Which tokens a token attends to there.
    pub reach: Reach,
    /// Rotary positions there.
    pub rotary: Option<Rotary>,
}

/// The tokens that a token attends to, besides itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reach {
    /// Number of tokens before it; `None` if all.
    pub before: Option<usize>,
    /// Number of tokens after it; `None` if all.
    pub after: Option<usize>,
}

impl Reach {
    /// All tokens.
    pub const ALL: Self = Self { before: None, after: None };
    /// Those before.
    pub const CAUSAL: Self = Self { before: None, after: Some(0) };

    /// As many tokens on either side.
    pub fn within(distance: usize) -> Self {
        Self { before: Some(distance), after: Some(distance) }
    }

    /// The tokens of a text of this length that token `query` attends to.
    pub(crate) fn of(self, query: usize, length: usize) -> std::ops::Range<usize> {
        let start = self.before.map_or(0, |before| query.saturating_sub(before));
        let end =
            self.after.map_or(length, |after| query.saturating_add(after).saturating_add(1).min(length));
        start..end
    }

    /// Those that some consecutive tokens attend to: from the first of the first to the last of the last.
    pub(crate) fn of_all(self, queries: std::ops::Range<usize>, length: usize) -> std::ops::Range<usize> {
        let last = queries.end.saturating_sub(1);
        self.of(queries.start, length).start..self.of(last, length).end
    }
}

/// Rotary positions: dimensions j and j + width/2 of a query or key at position p are turned by p·f(j).
///
/// Su et al., 2021, <https://arxiv.org/abs/2104.09864>; f(j) = θ^(−2j/width).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rotary {
    /// θ.
    pub theta: f64,
    /// How the frequencies are changed for texts longer than those of the pre-training.
    pub scaling: RotaryScaling,
}

/// A change of all frequencies.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum RotaryScaling {
    /// None.
    None,
    /// Divided by a factor.
    Linear(f64),
    /// With θ·s for θ, and divided by s^(2/width): the lowest frequency is divided by s·s^(2/width), the highest by s^(2/width).
    Ntk(f64),
}

impl Rotary {
    /// The plain frequencies of θ.
    pub fn of(theta: f64) -> Self {
        Self { theta, scaling: RotaryScaling::None }
    }

    /// f(j) in radians per position, `(width/2,)`, rounded as by transformers.
    pub(crate) fn frequencies(&self, width: usize) -> Vec<f32> {
        let theta = match self.scaling {
            RotaryScaling::Ntk(factor) => self.theta * factor,
            _ => self.theta,
        } as f32;
        let divisor = match self.scaling {
            RotaryScaling::None => 1.0,
            RotaryScaling::Linear(factor) => factor,
            RotaryScaling::Ntk(factor) => factor.powf(2.0 / width as f64),
        } as f32;
        (0..width / 2).map(|j| 1.0 / theta.powf((2 * j) as f32 / width as f32) / divisor).collect()
    }

    /// Cosines and sines of the angles at the positions from 0 on, `(length, width/2)` each.
    pub(crate) fn angles(&self, width: usize, length: usize) -> (Vec<f32>, Vec<f32>) {
        let frequencies = self.frequencies(width);
        let angles = (0..length).flat_map(|position| frequencies.iter().map(move |f| position as f32 * f));
        angles.map(|angle| (angle.cos(), angle.sin())).unzip()
    }
}

/// The MLP of a layer: a map up to the inner width, a non-linearity f, and a map down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mlp {
    /// How the map up is gated, f(gate(x))·up(x), instead of f(up(x)).
    pub gate: Option<Gate>,
    /// Whether the maps up and to the gate have biases.
    pub up_bias: bool,
    /// Whether the map down has a bias.
    pub down_bias: bool,
}

/// The weights of a gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gate {
    /// A matrix of its own.
    Separate,
    /// In one matrix with the map up, before it.
    First,
    /// In one matrix with the map up, after it.
    Last,
}

impl Architecture {
    /// Layers of BERT's kind: a LayerNorm after each part, a head's width from the number of heads, a plain MLP, biases.
    pub const BERT: Self = Self {
        norms: Norms {
            kind: NormKind::LayerNorm { bias: true },
            order: NormOrder::After,
            after_embeddings: true,
        },
        attention: Attention {
            key_value_heads: None,
            head_width: None,
            scale_of: None,
            matrices: Matrices::Separate,
            input_bias: true,
            output_bias: true,
            norms: false,
            reach: Reach::ALL,
            rotary: None,
            local: None,
        },
        mlp: Mlp { gate: None, up_bias: true, down_bias: true },
        embedding_scale: 1.0,
    };

    /// The tokens that a token of a layer attends to, and the layer's rotary positions.
    pub(crate) fn attention_of(&self, layer: usize) -> (Reach, Option<Rotary>) {
        match &self.attention.local {
            Some(local) if local.layers.get(layer) == Some(&true) => (local.reach, local.rotary),
            _ => (self.attention.reach, self.attention.rotary),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_attends_to_itself_and_to_those_within_its_reach() {
        let keys = |reach: Reach| (0..4).map(|query| reach.of(query, 4)).collect::<Vec<_>>();
        assert_eq!(keys(Reach::ALL), [0..4, 0..4, 0..4, 0..4]);
        assert_eq!(keys(Reach::CAUSAL), [0..1, 0..2, 0..3, 0..4]);
        assert_eq!(keys(Reach::within(1)), [0..2, 0..3, 1..4, 2..4]);
        assert_eq!(keys(Reach { before: Some(1), after: Some(0) }), [0..1, 0..2, 1..3, 2..4]);
        assert_eq!(Reach::within(2).of_all(3..5, 9), 1..7);
        assert_eq!(Reach::within(usize::MAX).of(3, 9), 0..9);
    }

    #[test]
    fn frequencies_fall_from_one_and_are_scaled_as_asked() {
        let plain = Rotary::of(10_000.0).frequencies(4);
        assert!((plain[0] - 1.0).abs() < 1e-7 && (plain[1] - 0.01).abs() < 1e-8, "{plain:?}");
        let linear = Rotary { theta: 10_000.0, scaling: RotaryScaling::Linear(2.0) };
        assert_eq!(linear.frequencies(4), [plain[0] / 2.0, plain[1] / 2.0]);
        // 1/8^(1/2) and 1/(80000^(1/2)·8^(1/2)).
        let ntk = Rotary { theta: 10_000.0, scaling: RotaryScaling::Ntk(8.0) }.frequencies(4);
        assert!((ntk[0] - 0.353_553_4).abs() < 1e-6 && (ntk[1] - 0.001_25).abs() < 1e-8, "{ntk:?}");
        let (cosines, sines) = Rotary::of(10_000.0).angles(4, 3);
        assert!((cosines[4] - 2.0_f32.cos()).abs() < 1e-6 && (sines[5] - 0.02_f32.sin()).abs() < 1e-6);
    }
}
