//! The decoder made of candle's operators, for devices other than the CPU.
//!
//! It is made from the CPU's [`Decoder`], which read the file and knows the architecture: weights are dequantised once, to f32 or
//! bf16, and kept on the device. In bf16 the products of the layers and the cache are bf16; everything else is f32: the states,
//! norms, positions, scores and their softmax, and the logits, whose differences would otherwise be lost in rounding.
//!
//! The new tokens of all sequences are one `(tokens, hidden)` matrix. Attention is one masked product for each bucket of
//! sequences with similar lengths, over keys and values that are gathered from one pool of rows: shared prefixes are shared rows.
//! What else is in a batch changes the shapes of products and thereby the order of their sums, and nothing else: a
//! sequence's logits are the same in any batch but for rounding.

mod attention;
mod batch;
mod heads;
mod layer;
mod memory;
mod pool;
mod rows;
mod sequence;
mod weights;

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use candle_core::{DType, Device, Tensor};
use ragbias_core::{Precision, Processor};

pub(crate) use self::sequence::Sequence;

pub(crate) use self::attention::soft_cap;
use self::batch::Batch;
use self::heads::HeadLayout;
use self::layer::{Layer, Norm, Turns};
use self::memory::{Memory, SEQUENCES, TOKENS};
use self::pool::{Pool, joined};
use self::rows::{Rows, deal};
use self::weights::{Target, product};
use crate::decoder::Decoder;
use crate::model::{KvCache, Model, Room, Span, in_groups};
use crate::rope::Rope;
use crate::{Error, Result};

/// Where a decoder of candle's operators runs.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) processor: Processor,
    pub(crate) device: Device,
    pub(crate) precision: Precision,
    pub(crate) dtype: DType,
    /// The most tokens of a sequence.
    pub(crate) context: usize,
    /// The model's file, for messages.
    pub(crate) path: PathBuf,
}

/// A model on a device.
#[derive(Debug)]
pub(crate) struct DeviceDecoder {
    place: Place,
    embedding: Tensor,
    embedding_scale: f64,
    layers: Vec<Layer>,
    norm: Norm,
    /// f32.
    output: Tensor,
    logit_cap: Option<f32>,
    heads: HeadLayout,
    /// For each kind of positions a row for each of them.
    turns: Vec<Turns>,
    pool: Mutex<Pool>,
    memory: Memory,
    room: usize,
}

impl DeviceDecoder {
    /// The same model on a device.
    ///
    /// # Errors
    /// [`Error::DeviceMemory`] if it does not fit, before any weight is copied if the device tells how much is free.
    pub(crate) fn new(decoder: &Decoder, place: Place) -> Result<Self> {
        let free = memory::free(&place.device);
        Self::within(decoder, place, free)
    }

    /// The same, on a device with so many bytes free, if it tells.
    fn within(decoder: &Decoder, place: Place, free: Option<u64>) -> Result<Self> {
        let memory = Memory::of(decoder, place.dtype);
        if free.is_some_and(|free| free < memory.least()) {
            return Err(place.too_small(memory, free));
        }
        let copied = Self::copy(decoder, place.clone(), memory, memory.tokens(free));
        copied.map_err(|error| place.failed(memory, error))
    }

    fn copy(decoder: &Decoder, place: Place, memory: Memory, room: usize) -> candle_core::Result<Self> {
        let &Decoder { heads, key_heads, head_width: width, .. } = decoder;
        let heads = HeadLayout { heads, key_heads, width };
        let target = Target { device: place.device.clone(), dtype: place.dtype };
        let hidden = decoder.embedding.width();
        let output = target.matrix(decoder.output.values(), hidden, DType::F32)?;
        let embedding = if decoder.embedding.is_same(&decoder.output) {
            output.clone()
        } else {
            target.matrix(decoder.embedding.values(), hidden, place.dtype)?
        };
        let layers = (0..decoder.layers.len()).map(|number| Layer::new(number, decoder, heads, &target));
        let turns = decoder.ropes.iter().map(|rope| turns(rope, width, place.context, &place.device));
        let pool = Pool::new(decoder.layers.len(), key_heads * width, 2 * room, place.dtype, &place.device)?;
        Ok(Self {
            embedding,
            embedding_scale: decoder.embedding_scale.into(),
            layers: layers.collect::<candle_core::Result<_>>()?,
            norm: Norm::new(target.vector(&decoder.norm)?, decoder.eps),
            output,
            logit_cap: decoder.logit_cap,
            heads,
            turns: turns.collect::<candle_core::Result<_>>()?,
            pool: Mutex::new(pool),
            memory,
            room,
            place,
        })
    }

    /// The logits after each span that requests them, whose tokens are added to its sequence.
    fn forward(&self, spans: &mut [Span<'_, Sequence>]) -> Result<Vec<Vec<f32>>> {
        self.pass(spans).map_err(|error| self.place.failed(self.memory, error))
    }

    fn pass(&self, spans: &mut [Span<'_, Sequence>]) -> candle_core::Result<Vec<Vec<f32>>> {
        let mut pool = self.pool.lock().unwrap_or_else(PoisonError::into_inner);
        let rows = pool.take(spans.iter().map(|span| span.tokens.len()).sum())?;
        let ranges = joined(rows.iter().map(Rows::range));
        let counts: Vec<usize> = spans.iter().map(|span| span.tokens.len()).collect();
        for (span, rows) in spans.iter_mut().zip(deal(rows, counts.into_iter())) {
            span.state.push(span.tokens, rows);
            let length = span.state.tokens().len();
            if length > self.place.context {
                candle_core::bail!("a sequence of {length} tokens, expected at most {}", self.place.context);
            }
        }
        let windows = self.layers.iter().map(|layer| layer.window);
        let batch = Batch::new(spans, windows, self.heads, &self.place.device)?;
        let mut states = self.embedding.index_select(&batch.ids, 0)?.to_dtype(DType::F32)?;
        if self.embedding_scale != 1.0 {
            states = (states * self.embedding_scale)?;
        }
        let of_batch = |turns: &Turns| -> candle_core::Result<Turns> {
            let Some(tables) = turns else { return Ok(None) };
            let [cosines, sines] = tables.each_ref().map(|table| table.index_select(&batch.positions, 0));
            Ok(Some([cosines?, sines?]))
        };
        let turns = self.turns.iter().map(of_batch).collect::<candle_core::Result<Vec<_>>>()?;
        for (number, layer) in self.layers.iter().enumerate() {
            // After the last layer's attention, only the tokens whose logits are wanted are needed.
            let is_last = number + 1 == self.layers.len();
            let kept = batch.wanted.as_ref().filter(|_| is_last);
            states = layer.forward(&states, &batch, &turns, (&pool, &ranges), kept)?;
        }
        if batch.wanted.is_none() {
            return Ok(Vec::new());
        }
        let mut logits = product(&self.norm.forward(&states)?, &self.output)?;
        if let Some(cap) = self.logit_cap {
            logits = soft_cap(&logits, cap)?;
        }
        logits.to_vec2()
    }
}

/// Cosines and sines of the positions, `(context, head_width / 2)` each; those that do not turn are 1 and 0.
fn turns(rope: &Rope, width: usize, context: usize, device: &Device) -> candle_core::Result<Turns> {
    if rope.frequencies.is_empty() {
        return Ok(None);
    }
    let table = |part: usize| {
        let rest = std::iter::repeat([1.0, 0.0]);
        let rows = (0..context).flat_map(|position| rope.turns(position).chain(rest.clone()).take(width / 2));
        let values: Vec<f32> = rows.map(|turn| turn[part]).collect();
        Tensor::from_vec(values, (context, width / 2), device)
    };
    Ok(Some([table(0)?, table(1)?]))
}

impl Model for DeviceDecoder {
    type Cache = Sequence;

    fn vocabulary(&self) -> usize {
        self.output.dims()[0]
    }

    fn start(&self) -> Sequence {
        Sequence::default()
    }

    fn room(&self) -> Room {
        Room { tokens: self.room, prompts: SEQUENCES }
    }

    fn read(&self, spans: Vec<Span<'_, Sequence>>) -> Result<Vec<Vec<f32>>> {
        in_groups(spans, TOKENS, |spans| {
            let groups = spans.chunks_mut(SEQUENCES).map(|spans| self.forward(spans));
            Ok(groups.collect::<Result<Vec<_>>>()?.concat())
        })
    }

    fn step(&self, spans: &mut [Span<'_, Sequence>]) -> Result<Vec<Vec<f32>>> {
        let groups = spans.chunks_mut(SEQUENCES).map(|spans| self.forward(spans));
        Ok(groups.collect::<Result<Vec<_>>>()?.concat())
    }
}

impl Place {
    fn too_small(&self, memory: Memory, free: Option<u64>) -> Error {
        Error::DeviceMemory {
            path: self.path.clone(),
            place: format!("{} in {}", self.processor, self.precision),
            needed: memory.least(),
            received: free.map_or_else(|| "less".into(), |free| format!("{free}")),
        }
    }

    fn failed(&self, memory: Memory, error: candle_core::Error) -> Error {
        if memory::is_exhausted(&error) { self.too_small(memory, None) } else { error.into() }
    }

    /// What of the place changes answers, for the identity of a generator.
    pub(crate) fn fingerprint(&self) -> String {
        let kind = match self.device {
            Device::Cpu => "cpu",
            Device::Cuda(_) => "cuda",
            Device::Metal(_) => "metal",
        };
        format!("operators/1 {kind} {}", self.precision)
    }
}

#[cfg(test)]
mod tests;
