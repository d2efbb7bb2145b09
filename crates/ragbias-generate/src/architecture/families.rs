//! The supported architectures.

use super::{Architecture, Biases, Cap, Frequencies, Norms, Windows};
use crate::lanes::{Activation, Pairs};

/// The transformer of Llama (<https://arxiv.org/abs/2302.13971>) and Mistral; the others differ from it.
const LLAMA: Architecture = Architecture {
    name: "llama",
    pairs: Pairs::Neighbours,
    turned_in_part: false,
    frequencies: Frequencies::Divided,
    head_norms: false,
    norms: Norms::Before,
    biases: Biases::All,
    activation: Activation::Silu,
    scaled_embedding: false,
    windows: Windows::None,
    logit_cap: Cap::None,
    scaled_by_hidden: None,
};

/// Gemma 3 (<https://arxiv.org/abs/2503.19786>), text only.
const GEMMA_3: Architecture = Architecture {
    name: "gemma3",
    pairs: Pairs::Halves,
    turned_in_part: true,
    frequencies: Frequencies::Plain,
    head_norms: true,
    norms: Norms::Around,
    biases: Biases::Inputs,
    activation: Activation::Gelu,
    scaled_embedding: true,
    windows: Windows::Alternating { global: 6 },
    logit_cap: Cap::Given,
    scaled_by_hidden: Some(62),
};

/// Qwen2 and Qwen2.5 (<https://arxiv.org/abs/2412.15115>).
const QWEN_2: Architecture = Architecture {
    name: "qwen2",
    pairs: Pairs::Halves,
    frequencies: Frequencies::Plain,
    biases: Biases::Inputs,
    ..LLAMA
};

/// Qwen3 (<https://arxiv.org/abs/2505.09388>), dense.
const QWEN_3: Architecture = Architecture { name: "qwen3", head_norms: true, ..QWEN_2 };

impl Architecture {
    pub(crate) const ALL: &[Self] = &[LLAMA, GEMMA_3, QWEN_2, QWEN_3];
}
