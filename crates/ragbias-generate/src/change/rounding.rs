//! Weights in fewer bits.

use half::f16;

use super::{LayerMatrix, WeightChange};
use crate::{Error, Result};

/// A format to which weights are rounded: 16 bits, or blocks of 32 integers of 2 to 8 bits with a common scale in 16 bits, as in the
/// formats Q8_0, Q5_0 and Q4_0 of ggml.
///
/// Of a block whose weight of largest magnitude is m, 8 bits store round(x/d) with d = |m|/127; b < 8 bits store
/// min(⌊x/d + 2^(b−1) + ½⌋, 2^b − 1) − 2^(b−1) with d = −m/2^(b−1), so that m itself is stored exactly but for the rounding of d. 2, 3, 6 and 7 bits
/// follow the rule of 4 and 5, for which ggml has no format of that kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WeightFormat(u32);

/// Weights of a block.
const BLOCK: usize = 32;

impl WeightFormat {
    /// Of so many bits: 16, or 2 to 8.
    ///
    /// # Errors
    /// [`Error::Setting`] for another number.
    pub fn new(bits: u32) -> Result<Self> {
        if bits == 16 || (2..=8).contains(&bits) {
            return Ok(Self(bits));
        }
        let (setting, expected) = ("bits of a weight", "16, or 2 to 8");
        Err(Error::Setting { setting, expected, received: bits.to_string() })
    }

    /// Number of bits of a weight, without its share of the scale.
    pub fn bits(self) -> u32 {
        self.0
    }

    /// Rounds the blocks of a row, of which the last may be shorter.
    fn round(self, row: &mut [f32]) {
        match self.0 {
            16 => row.iter_mut().for_each(|x| *x = f16::from_f32(*x).to_f32()),
            8 => row.chunks_mut(BLOCK).for_each(round_to_8),
            bits => row.chunks_mut(BLOCK).for_each(|block| round_to(bits, block)),
        }
    }
}

fn round_to_8(block: &mut [f32]) {
    let most = block.iter().fold(0.0_f32, |most, x| most.max(x.abs()));
    let scale = most / 127.0;
    let (inverse, stored) = (if scale == 0.0 { 0.0 } else { 1.0 / scale }, f16::from_f32(scale).to_f32());
    for x in block {
        *x = (*x * inverse).round() * stored;
    }
}

fn round_to(bits: u32, block: &mut [f32]) {
    let most = block.iter().fold(0.0_f32, |most, &x| if x.abs() > most.abs() { x } else { most });
    let half = (1_u32 << (bits - 1)) as f32;
    let scale = most / -half;
    let (inverse, stored) = (if scale == 0.0 { 0.0 } else { 1.0 / scale }, f16::from_f32(scale).to_f32());
    for x in block {
        let level = (*x * inverse + half + 0.5).trunc().min(2.0 * half - 1.0);
        *x = (level - half) * stored;
    }
}

impl WeightChange for WeightFormat {
    fn fingerprint(&self) -> Vec<u8> {
        format!("blocks of {BLOCK}/1 {}", self.0).into_bytes()
    }

    fn change(&self, _: usize, _: LayerMatrix, width: usize, weights: &mut [f32]) -> Result<()> {
        weights.chunks_mut(width).for_each(|row| self.round(row));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use candle_core::quantized::{GgmlDType, QTensor};
    use candle_core::{Device, Tensor};

    use super::*;
    use crate::testing::random;

    fn rounded(bits: u32, values: &[f32]) -> Vec<f32> {
        let mut values = values.to_vec();
        WeightFormat::new(bits).unwrap().change(0, LayerMatrix::Query, 64, &mut values).unwrap();
        values
    }

    #[test]
    fn weights_are_rounded_block_by_block_as_candle_quantises_them() {
        let mut values = random(64 * 40, 3);
        values[..32].fill(0.0);
        let tensor = Tensor::from_slice(&values, (40, 64), &Device::Cpu).unwrap();
        let formats =
            [(16, GgmlDType::F16), (8, GgmlDType::Q8_0), (5, GgmlDType::Q5_0), (4, GgmlDType::Q4_0)];
        for (bits, format) in formats {
            let quantised = QTensor::quantize(&tensor, format).unwrap().dequantize(&Device::Cpu).unwrap();
            let expected: Vec<f32> = quantised.flatten_all().unwrap().to_vec1().unwrap();
            assert_eq!(rounded(bits, &values), expected, "{bits} bits");
        }
    }

    /// Made by scripts/reference/gguf_rounding.py with gguf 0.19.0.
    #[test]
    fn weights_are_rounded_block_by_block_as_gguf_quantises_them() {
        let reference: BTreeMap<String, Vec<f32>> =
            serde_json::from_str(include_str!("fixtures/gguf_rounding.json")).unwrap();
        for bits in [16, 8, 5, 4] {
            let own = rounded(bits, &reference["weights"]);
            let differing: Vec<_> = own
                .iter()
                .zip(&reference[&bits.to_string()])
                .enumerate()
                .filter(|(_, (a, b))| a != b)
                .collect();
            assert!(differing.is_empty(), "{bits} bits: {differing:?}");
        }
    }

    #[test]
    fn the_largest_error_is_half_a_step_of_the_block_and_fewer_bits_err_more() {
        let values = random(64 * 10, 9);
        let mut before = 0.0;
        for bits in [8, 7, 6, 5, 4, 3, 2] {
            let rounded = rounded(bits, &values);
            let mut squares = 0.0;
            for (block, rounded) in values.chunks(32).zip(rounded.chunks(32)) {
                let most = block.iter().fold(0.0_f32, |most, x| most.max(x.abs()));
                // The level on the other side of the largest weight is missing: there the error is up to a whole step.
                let step = most / ((1 << (bits - 1)) - u32::from(bits == 8)) as f32 * 1.001;
                for (x, y) in block.iter().zip(rounded) {
                    assert!((x - y).abs() <= step, "{bits} bits: {x} {y}");
                    squares += f64::from((x - y).powi(2));
                }
                let levels: std::collections::BTreeSet<u32> = rounded.iter().map(|y| y.to_bits()).collect();
                assert!(levels.len() <= 1 << bits);
            }
            assert!(squares > before, "{bits} bits");
            before = squares;
        }
    }

    #[test]
    fn bits_without_a_format_are_refused() {
        for bits in [0, 1, 9, 32] {
            assert!(WeightFormat::new(bits).is_err());
        }
    }
}
