//! How much memory of a device a model takes.

use candle_core::{DType, Device};

use super::batch::SCORES;
use crate::decoder::Decoder;

/// Number of tokens in a forward pass: enough to keep a GPU busy.
pub(super) const TOKENS: usize = 4096;
/// Number of sequences whose logits are computed at once.
pub(super) const SEQUENCES: usize = 128;
/// The fewest tokens whose keys and values must fit, which those of the longest prompt do, and the most that are of use.
const ROOM: std::ops::RangeInclusive<u64> = 8192..=65_536;

/// Bytes on the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Memory {
    weights: u64,
    /// Of keys and values in all layers.
    per_token: u64,
    /// Intermediate results.
    working: u64,
}

impl Memory {
    /// Of a model whose matrices, keys and values are in this type, but for that of the logits.
    pub(super) fn of(decoder: &Decoder, dtype: DType) -> Self {
        let (size, wide) = (dtype.size_in_bytes(), DType::F32.size_in_bytes());
        let numbers = |matrix: &crate::matrix::Matrix| matrix.height() * matrix.width();
        let is_tied = decoder.embedding.is_same(&decoder.output);
        let embedding = if is_tied { 0 } else { numbers(&decoder.embedding) * size };
        let layers: usize = (decoder.layers.iter())
            .map(|layer| {
                let attention = [&layer.query, &layer.key, &layer.value, &layer.output];
                let mlp = [&layer.gate, &layer.up, &layer.down];
                attention.iter().chain(&mlp).map(|part| numbers(&part.matrix) * size).sum::<usize>()
            })
            .sum();
        let widest = decoder.layers.iter().map(|layer| {
            let projected = [&layer.query, &layer.key, &layer.value].map(|part| part.matrix.height());
            2 * projected.iter().sum::<usize>() + 3 * layer.gate.matrix.height()
        });
        let activations = TOKENS * (widest.max().unwrap_or(0) + 6 * decoder.embedding.width());
        let logits = 2 * SEQUENCES * decoder.vocabulary();
        let keys = decoder.key_heads * decoder.head_width;
        Self {
            weights: (embedding + numbers(&decoder.output) * wide + layers) as u64,
            per_token: (2 * decoder.layers.len() * keys * size) as u64,
            // Scores, their softmax, keys and values.
            working: ((activations + logits + 4 * SCORES) * wide) as u64,
        }
    }

    /// The fewest bytes with which any prompt can be answered.
    pub(super) fn least(self) -> u64 {
        self.weights + self.working + ROOM.start() * self.per_token
    }

    /// Number of tokens whose keys and values fit, for as many bytes that are free, if that is known. Half of the memory is
    /// left to the answers, and to the pool while it grows.
    pub(super) fn tokens(self, free: Option<u64>) -> usize {
        let left = free.map(|free| free.saturating_sub(self.weights + self.working));
        let fit = left.map_or(*ROOM.end(), |left| left / 2 / self.per_token.max(1));
        fit.clamp(*ROOM.start(), *ROOM.end()) as usize
    }
}

/// Free bytes of a device, if it tells.
pub(super) fn free(device: &Device) -> Option<u64> {
    #[cfg(feature = "cuda")]
    if let Device::Cuda(device) = device {
        return device.cuda_stream().context().mem_get_info().ok().map(|(free, _)| free as u64);
    }
    let _ = device;
    None
}

/// Whether an operation failed for want of memory.
pub(super) fn is_exhausted(error: &candle_core::Error) -> bool {
    let text = error.to_string().to_ascii_lowercase().replace('_', " ");
    text.contains("out of memory")
}

#[cfg(test)]
mod tests {
    use candle_core::quantized::GgmlDType;

    use super::*;
    use crate::testing::decoder;

    #[test]
    fn less_free_memory_means_fewer_tokens_at_once_and_never_fewer_than_a_prompt_has() {
        let memory = Memory { weights: 1000, per_token: 10, working: 500 };
        assert_eq!(memory.least(), 1500 + 81_920);
        assert_eq!(memory.tokens(None), 65_536);
        assert_eq!(memory.tokens(Some(1500 + 2 * 10 * 10_000)), 10_000);
        assert_eq!(memory.tokens(Some(2)), 8192);
    }

    #[test]
    fn weights_take_two_bytes_each_in_bf16_and_those_of_logits_four() {
        let decoder = decoder("llama", GgmlDType::F32);
        let [wide, narrow] = [DType::F32, DType::BF16].map(|dtype| Memory::of(&decoder, dtype));
        let logits = (4 * decoder.output.height() * decoder.output.width()) as u64;
        assert_eq!(wide.weights - logits, 2 * (narrow.weights - logits));
        assert_eq!(wide.per_token, 2 * narrow.per_token);
    }

    #[test]
    fn an_allocation_that_failed_is_recognised() {
        let error = |text: &str| candle_core::Error::Msg(text.into());
        let message = "DriverError(CUDA_ERROR_OUT_OF_MEMORY, \"out of memory\")";
        assert!(is_exhausted(&error(message)));
        assert!(!is_exhausted(&error("shape mismatch")));
    }
}
