//! The supported architectures.

use super::{Architecture, Biases, Cap, Frequencies, HeadNorms, Local, Norms, Output, Windows};
use crate::lanes::{Activation, Pairs};

/// The transformer of Llama (<https://arxiv.org/abs/2302.13971>) and Mistral; the others differ from it.
const LLAMA: Architecture = Architecture {
    name: "llama",
    pairs: Pairs::Neighbours,
    turned_in_part: false,
    unturned_every: None,
    frequencies: Frequencies::Divided,
    head_norms: HeadNorms::None,
    norms: Norms::Before,
    biases: Biases::All,
    activation: Activation::Silu,
    gate_in_up: false,
    scaled_embedding: false,
    output: Output::Either,
    windows: Windows::None,
    attention_cap: Cap::None,
    logit_cap: Cap::None,
    scaled_by_hidden: None,
};

/// Gemma 2 (<https://arxiv.org/abs/2408.00118>).
const GEMMA_2: Architecture = Architecture {
    name: "gemma2",
    pairs: Pairs::Halves,
    turned_in_part: true,
    frequencies: Frequencies::Plain,
    norms: Norms::Around,
    biases: Biases::Inputs,
    activation: Activation::Gelu,
    scaled_embedding: true,
    output: Output::Tied,
    windows: Windows::Alternating { global: 2, default: Some(4096), positions: Local::Same },
    attention_cap: Cap::Default(50.0),
    logit_cap: Cap::Default(30.0),
    scaled_by_hidden: Some(46),
    ..LLAMA
};

/// Gemma 3 (<https://arxiv.org/abs/2503.19786>), text only.
const GEMMA_3: Architecture = Architecture {
    name: "gemma3",
    head_norms: HeadNorms::Each,
    output: Output::Either,
    windows: Windows::Alternating { global: 6, default: None, positions: Local::Own },
    attention_cap: Cap::None,
    logit_cap: Cap::Given,
    scaled_by_hidden: Some(62),
    ..GEMMA_2
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
const QWEN_3: Architecture = Architecture { name: "qwen3", head_norms: HeadNorms::Each, ..QWEN_2 };

/// Phi-3, Phi-3.5 and Phi-4 (<https://arxiv.org/abs/2404.14219>), dense.
const PHI_3: Architecture = Architecture {
    name: "phi3",
    turned_in_part: true,
    frequencies: Frequencies::LongOrShort,
    gate_in_up: true,
    windows: Windows::All,
    ..QWEN_2
};

/// SmolLM3 (<https://huggingface.co/blog/smollm3>).
const SMOLLM_3: Architecture = Architecture {
    name: "smollm3",
    unturned_every: Some(4),
    frequencies: Frequencies::Plain,
    biases: Biases::Inputs,
    ..LLAMA
};

/// OLMo 2 (<https://arxiv.org/abs/2501.00656>), and OLMo 3, which has windows.
const OLMO_2: Architecture = Architecture {
    name: "olmo2",
    head_norms: HeadNorms::All,
    norms: Norms::After,
    output: Output::Own,
    windows: Windows::Alternating { global: 4, default: None, positions: Local::Unscaled },
    ..QWEN_2
};

impl Architecture {
    pub(crate) const ALL: &[Self] = &[LLAMA, QWEN_2, QWEN_3, GEMMA_2, GEMMA_3, PHI_3, SMOLLM_3, OLMO_2];
}
