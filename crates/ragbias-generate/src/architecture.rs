//! Descriptions of the supported architectures, and the parameters of a model.
//!
//! A new architecture is a row of [`Architecture::ALL`]: what distinguishes it from the plain transformer of Llama. Keys and
//! tensors that its description does not ask for are refused by name.

mod families;
mod sizes;

pub(crate) use sizes::{LayerKind, Sizes};

use crate::file::GgufFile;
use crate::lanes::{Activation, Pairs};
use crate::{Error, Result};

/// What distinguishes an architecture.
#[derive(Debug)]
pub(crate) struct Architecture {
    /// `general.architecture`, and the prefix of its keys in the file's metadata.
    pub(crate) name: &'static str,
    /// The RoPE layout.
    pub(crate) pairs: Pairs,
    /// Whether RoPE may rotate only the first values of a head.
    turned_in_part: bool,
    /// Every layer with this number, counted from 1, is without RoPE.
    unturned_every: Option<usize>,
    frequencies: Frequencies,
    pub(crate) head_norms: HeadNorms,
    pub(crate) norms: Norms,
    pub(crate) biases: Biases,
    pub(crate) activation: Activation,
    /// Whether `ffn_up` holds the gate's rows, followed by its own.
    pub(crate) gate_in_up: bool,
    /// Whether embeddings are multiplied by √hidden.
    pub(crate) scaled_embedding: bool,
    pub(crate) output: Output,
    windows: Windows,
    /// Of scores, before their softmax.
    attention_cap: Cap,
    logit_cap: Cap,
    /// The number of layers by which the one model is recognised that divides scores by √(hidden / heads), not by
    /// √(width of a head).
    scaled_by_hidden: Option<usize>,
}

/// Where a layer normalises.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Norms {
    /// The inputs of attention and MLP.
    Before,
    /// The inputs and the outputs.
    Around,
    /// The outputs.
    After,
}

/// What of queries and keys is normalised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HeadNorms {
    None,
    /// Each head by itself.
    Each,
    /// All heads together.
    All,
}

/// The matrix of logits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Output {
    /// `output.weight`, or the embedding if the file has none.
    Either,
    /// `output.weight`.
    Own,
    /// The embedding.
    Tied,
}

/// The optional biases; a file with others has tensors that are never requested, and is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Biases {
    /// Of queries, keys and values.
    Inputs,
    /// Of every matrix of a layer.
    All,
}

/// Factors that the frequencies of RoPE are divided by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Frequencies {
    /// None.
    Plain,
    /// `rope_freqs.weight`, if the file has it.
    Divided,
    /// LongRoPE (<https://arxiv.org/abs/2402.13753>): `rope_factors_long.weight` if the context is longer than the original
    /// one, otherwise `rope_factors_short.weight`; or neither.
    LongOrShort,
}

/// Which layers attend to the last tokens only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Windows {
    /// None; a window shorter than the context is refused.
    None,
    /// All layers, if the file has a window.
    All,
    /// All layers but the last of every `global`, unless the file has another pattern.
    Alternating {
        global: usize,
        /// The window if the file has none.
        default: Option<u32>,
        positions: Local,
    },
}

/// The positions of layers with a window, where others have none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Local {
    /// A base of their own, `rope.freq_base_swa`, 10000 if absent; never scaled.
    Own,
    /// Those of the other layers, unless the file has `rope.freq_base_swa`.
    Same,
    /// Those of the other layers, never scaled.
    Unscaled,
}

/// A soft cap: x becomes cap · tanh(x / cap).
#[derive(Debug, Clone, Copy, PartialEq)]
enum Cap {
    /// None; a file that has one is refused.
    None,
    /// The file's, if it has one.
    Given,
    /// The file's, or this.
    Default(f32),
}

impl Architecture {
    /// The architecture named in the file.
    pub(crate) fn of(file: &GgufFile) -> Result<&'static Self> {
        if let Some(kind) = file.text("general.type")?.filter(|&kind| kind != "model") {
            return Err(file.refused(
                "`general.type`".into(),
                format!("it is `{}`, expected model: this file is not a whole model", kind.escape_debug()),
                "give the file of the model itself; an adapter is merged into it with `llama-export-lora`",
            ));
        }
        let received = file.text("general.architecture")?.unwrap_or("absent");
        Self::named(received).ok_or_else(|| Error::Architecture {
            path: file.path().into(),
            received: received.escape_debug().to_string(),
            expected: Self::ALL.iter().map(|family| family.name).collect::<Vec<_>>().join(", "),
        })
    }

    pub(crate) fn named(name: &str) -> Option<&'static Self> {
        Self::ALL.iter().find(|family| family.name == name)
    }
}
