//! Numbers in fewer bits.

use ragbias::core::{ContentId, Embedder, Embeddings, Role, Similarity};
use ragbias::tune::Tuned;
use serde::{Deserialize, Serialize};

/// A format of fewer bits than 32.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Format {
    /// bfloat16: the upper half of a 32-bit number, rounded to even.
    Bf16,
    /// Integers of so many bits, 2 to 8, from −(2^(bits−1) − 1) to 2^(bits−1) − 1, with one scale for a row.
    Int(u32),
    /// The sign, and for a row the mean magnitude.
    Sign,
}

impl Format {
    /// Formats of weights.
    pub(super) const ALL: [Self; 6] =
        [Self::Bf16, Self::Int(8), Self::Int(4), Self::Int(3), Self::Int(2), Self::Sign];
    /// Formats of vectors.
    pub(super) const OF_VECTORS: [Self; 4] = [Self::Bf16, Self::Int(8), Self::Int(4), Self::Sign];

    /// Number of bits.
    pub(super) fn bits(self) -> f64 {
        match self {
            Self::Bf16 => 16.0,
            Self::Int(bits) => f64::from(bits),
            Self::Sign => 1.0,
        }
    }

    /// The number of bits, and of which kind if there are two.
    pub(super) fn name(self) -> String {
        match self {
            Self::Bf16 => "16 (bfloat)".into(),
            Self::Int(bits) => bits.to_string(),
            Self::Sign => "1 (sign)".into(),
        }
    }

    /// Rounds rows of this many columns to the nearest numbers of the format.
    pub(super) fn round_rows(self, values: &mut [f32], columns: usize) {
        values.chunks_mut(columns).for_each(|row| self.round(row));
    }

    fn round(self, row: &mut [f32]) {
        match self {
            Self::Bf16 => {
                for value in row {
                    let bits = value.to_bits();
                    let even = (bits >> 16) & 1;
                    *value = f32::from_bits((bits + 0x7fff + even) & 0xffff_0000);
                }
            }
            Self::Int(bits) => {
                let most = row.iter().fold(0.0_f32, |most, value| most.max(value.abs()));
                let levels = ((1_u32 << (bits - 1)) - 1) as f32;
                if most > 0.0 {
                    for value in row {
                        *value = (*value / most * levels).round_ties_even() / levels * most;
                    }
                }
            }
            Self::Sign => {
                let magnitude = row.iter().map(|value| value.abs()).sum::<f32>() / row.len() as f32;
                for value in row {
                    *value = magnitude.copysign(*value);
                }
            }
        }
    }
}

/// An embedder whose vectors are rounded, and of unit length again.
pub(super) struct RoundedVectors {
    pub(super) embedder: Tuned,
    pub(super) format: Format,
    pub(super) id: ContentId,
}

impl Embedder for RoundedVectors {
    fn id(&self) -> ContentId {
        self.id
    }

    fn dim(&self) -> usize {
        self.embedder.dim()
    }

    fn similarity(&self) -> Similarity {
        self.embedder.similarity()
    }

    fn embed(&self, texts: &[&str], role: Role) -> ragbias::core::Result<Embeddings> {
        let mut rows = self.embedder.embed(texts, role)?.into_inner();
        for mut row in rows.rows_mut() {
            self.format.round(row.as_slice_mut().expect("rows of one block; this is a bug"));
        }
        Embeddings::new(rows)?.normalised()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// torch: `tensor.to(torch.bfloat16)`, `torch.fake_quantize_per_tensor_affine` with the same scale.
    #[test]
    fn numbers_are_rounded_as_torch_rounds_them() {
        let rounded = |format: Format| {
            let mut row = [0.1234_f32, -0.7, 0.35, 0.003, -0.05];
            format.round(&mut row);
            row
        };
        let close = |format, expected: [f32; 5]| {
            let found = rounded(format);
            assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6), "{found:?}");
        };
        close(Format::Bf16, [0.123_535_16, -0.699_218_75, 0.349_609_38, 0.003_005_981_4, -0.050_048_828]);
        close(Format::Int(8), [0.121_259_84, -0.7, 0.352_755_9, 0.005_511_811, -0.049_606_3]);
        close(Format::Int(4), [0.1, -0.7, 0.4, 0.0, 0.0]);
        close(Format::Int(2), [0.0, -0.7, 0.0, 0.0, 0.0]);
        close(Format::Sign, [0.245_28, -0.245_28, 0.245_28, 0.245_28, -0.245_28]);
    }

    #[test]
    fn a_row_of_zeros_stays_zero() {
        for format in Format::ALL {
            let mut row = [0.0_f32; 4];
            format.round_rows(&mut row, 2);
            assert_eq!(row, [0.0; 4], "{format:?}");
        }
    }
}
