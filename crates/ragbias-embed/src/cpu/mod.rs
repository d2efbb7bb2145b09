//! The encoder on the CPU: forward, and for layers of BERT's kind backward, on slices, in chunks of whole sequences.
//!
//! A batch is divided into chunks, each small enough for its states to stay in the cache from one operation to the next. A chunk
//! goes through all layers on one thread, so that threads synchronise once per batch; a single text is one chunk, whose
//! operations are spread over the threads instead. Gradients of weights are summed over the chunks of a batch in a fixed order,
//! whatever the number of threads: see `gradients.rs`.
//! [`DeviceEncoder`](crate::operators::DeviceEncoder) is the reference implementation made of candle's operators, with which tests
//! compare this one.
#![allow(clippy::inline_always, reason = "loops become vector code only where what they call is inlined")]

mod attention;
mod backward;
mod chunk;
mod function;
mod gradients;
mod int8;
mod layer;
mod layer_gradients;
mod layer_norm;
mod linear;
mod lines;
mod norm;
mod panels;
mod pool;
mod pooling;
mod relative;
mod rotation;
mod tape;
mod tile;
mod weight;

use std::sync::Arc;

use candle_core::{Device, Tensor};
use ragbias_core::Precision;
use ragbias_kernels::row::add;
use rayon::prelude::*;

pub(crate) use self::tape::CpuTape;

use self::chunk::{Chunk, is_spread, passing, with_threads_awake};
use self::layer::{Layer, Texts};
use self::layer_norm::{KeptNorm, LayerNorm};
use self::lines::Lines;
use self::pool::{Pool, Pools};
use self::relative::Relative;
use self::rotation::Angles;
use self::weight::Weight;
use crate::config::{EncoderConfig, Pooling, Positions};
use crate::input::{Boundary, Input};
use crate::parameters::{Parameters, WORD_EMBEDDINGS};
use crate::{Error, Result};

/// An encoder with its pooling.
#[derive(Clone)]
pub(crate) struct CpuEncoder {
    hidden: usize,
    pooling: Pooling,
    /// `(vocabulary, hidden)`.
    words: Weight,
    /// Their factor.
    word_scale: f32,
    /// The embeddings of positions, `(positions, hidden)`, unless they are rotary.
    places: Option<Weight>,
    positions: Positions,
    /// Embeddings of all segments, of which texts use the first.
    segments: Option<Weight>,
    norm: Option<LayerNorm>,
    relative: Option<Relative>,
    layers: Vec<Layer>,
    /// After the last layer.
    last_norm: Option<LayerNorm>,
    /// Width of an attention head.
    width: usize,
    /// Tokens of the longest text.
    longest: usize,
    /// Whether weights are kept in the layout of the backward pass, too.
    is_trainable: bool,
    pools: Arc<Pools>,
}

const POSITIONS: &str = "embeddings.position_embeddings.weight";
const SEGMENTS: &str = "embeddings.token_type_embeddings.weight";
const NORM: &str = "embeddings.LayerNorm";

impl CpuEncoder {
    pub(crate) fn new(config: &EncoderConfig, pooling: &Pooling, parameters: &Parameters) -> Result<Self> {
        Self::beside(config, pooling, parameters, None)
    }

    /// The encoder for inference alone: each matrix is kept once, and the layers' parameters are dropped as layers are made.
    pub(crate) fn for_inference(
        config: &EncoderConfig,
        pooling: &Pooling,
        mut parameters: Parameters,
        precision: Precision,
    ) -> Result<Self> {
        let relative = Relative::new(config, &parameters)?;
        let layers = (0..config.num_hidden_layers)
            .map(|number| {
                let layer = Layer::new(config, number, &parameters, relative.as_ref(), None)?;
                parameters.remove_layer(number);
                Ok(layer.for_inference(precision))
            })
            .collect::<Result<Vec<_>>>()?;
        let encoder = Self::of_layers(config, pooling, &parameters, relative, layers, Arc::default())?;
        Ok(Self { is_trainable: false, ..encoder })
    }

    /// The same encoder with other weights, reusing its memory, and the layouts of weights that are the same.
    pub(crate) fn with(&self, config: &EncoderConfig, parameters: &Parameters) -> Result<Self> {
        Self::beside(config, &self.pooling, parameters, Some(self))
    }

    fn beside(
        config: &EncoderConfig,
        pooling: &Pooling,
        parameters: &Parameters,
        other: Option<&Self>,
    ) -> Result<Self> {
        let relative = Relative::new(config, parameters)?;
        let layers = (0..config.num_hidden_layers)
            .map(|number| {
                let other = other.and_then(|other| other.layers.get(number));
                Layer::new(config, number, parameters, relative.as_ref(), other)
            })
            .collect::<Result<Vec<_>>>()?;
        let pools = other.map(|other| Arc::clone(&other.pools)).unwrap_or_default();
        Self::of_layers(config, pooling, parameters, relative, layers, pools)
    }

    fn of_layers(
        config: &EncoderConfig,
        pooling: &Pooling,
        parameters: &Parameters,
        relative: Option<Relative>,
        layers: Vec<Layer>,
        pools: Arc<Pools>,
    ) -> Result<Self> {
        let has_segments = config.type_vocab_size > 0;
        let has_places = config.positions != Positions::Rotary;
        let norm = |name| LayerNorm::if_named(parameters, name, config);
        Ok(Self {
            hidden: config.hidden_size,
            pooling: pooling.clone(),
            words: Weight::named(parameters, WORD_EMBEDDINGS)?,
            word_scale: config.architecture.embedding_scale,
            places: has_places.then(|| Weight::named(parameters, POSITIONS)).transpose()?,
            positions: config.positions,
            segments: has_segments.then(|| Weight::named(parameters, SEGMENTS)).transpose()?,
            norm: norm(config.embedding_norm())?,
            relative,
            layers,
            last_norm: norm(config.last_norm())?,
            width: config.head_width(),
            longest: config.most_tokens(),
            is_trainable: true,
            pools,
        })
    }

    /// Hidden states at a boundary, `(tokens, hidden)`, in batch order; after the last layer without the norm that follows it.
    pub(crate) fn states(&self, input: Input<'_>, at: Boundary) -> Result<Vec<f32>> {
        self.check(input)?;
        let mut all = vec![0.0; input.lengths().iter().sum::<usize>() * self.hidden];
        for (chunk, states) in self.each_chunk(input, at.half(), |_, states| states.to_vec()) {
            let mut from = 0;
            for (&start, &length) in chunk.starts.iter().zip(&chunk.lengths) {
                let rows = &states[from * self.hidden..(from + length) * self.hidden];
                all[start * self.hidden..][..rows.len()].copy_from_slice(rows);
                from += length;
            }
        }
        Ok(all)
    }

    /// One vector per text, `(texts, pooled)`, not normalised: each pooled over the tokens after the first `skipped`.
    pub(crate) fn vectors(&self, input: Input<'_>, skipped: usize) -> Result<Tensor> {
        self.check(input)?;
        if let Some(row) = input.lengths().iter().position(|&length| length <= skipped) {
            return Err(Error::OnlyPrompt { row });
        }
        let pooled = self.each_chunk(input, self.halves(), |chunk, states| {
            if let Some(norm) = &self.last_norm {
                norm.with(|norm| norm.plain(states, None));
            }
            self.pool(chunk, states, skipped)
        });
        self.in_order(input, pooled.iter().map(|(chunk, rows)| (chunk, rows.as_slice())))
    }

    /// Number of sublayers: an attention and an MLP per layer.
    fn halves(&self) -> usize {
        2 * self.layers.len()
    }

    /// The result of `work` for each chunk's states at the input of a sublayer.
    fn each_chunk<R: Send>(
        &self,
        input: Input<'_>,
        until: usize,
        work: impl Fn(&Chunk, &mut [f32]) -> R + Sync,
    ) -> Vec<(Chunk, R)> {
        if !self.is_trainable {
            // On one thread, whose allocator can use the memory of one weight for the next; afterwards this does nothing.
            self.layers.iter().for_each(Layer::lay_out);
        }
        let chunks = passing(input.lengths());
        let spread = is_spread(&chunks);
        let one = |chunk: Chunk| {
            self.pools.lend(|pool| {
                let mut states = self.enter(input, &chunk, None, pool);
                self.run(&mut states, &chunk, input.half()..until, pool, spread);
                let result = work(&chunk, &mut states);
                pool.give([states]);
                (chunk, result)
            })
        };
        if spread {
            return with_threads_awake(|| chunks.into_iter().map(one).collect());
        }
        chunks.into_par_iter().map(one).collect()
    }

    /// The initial states of a chunk.
    fn enter(&self, input: Input<'_>, chunk: &Chunk, kept: Option<&mut KeptNorm>, pool: &mut Pool) -> Lines {
        let mut states = pool.take(chunk.tokens() * self.hidden);
        let mut rest = &mut *states;
        for (&start, &length) in chunk.starts.iter().zip(&chunk.lengths) {
            let (rows, after) = rest.split_at_mut(length * self.hidden);
            match input {
                Input::States { rows: all, .. } => {
                    rows.copy_from_slice(&all[start * self.hidden..][..rows.len()]);
                }
                Input::Tokens(batch) => self.look_up(&batch.ids[start..start + length], rows),
            }
            rest = after;
        }
        if let (Input::Tokens(_), Some(norm)) = (input, &self.norm) {
            norm.with(|norm| norm.plain(&mut states, kept.map(KeptNorm::normed)));
        }
        states
    }

    /// The sum of the word, position and segment embeddings of each token of a text.
    fn look_up(&self, ids: &[u32], rows: &mut [f32]) {
        let words = self.words.values();
        let places = self.places.as_ref().map(Weight::values);
        let segments = self.segments.as_ref().map(Weight::values);
        for ((row, &id), position) in rows.chunks_exact_mut(self.hidden).zip(ids).zip(self.positions.of(ids))
        {
            let word = &words[id as usize * self.hidden..][..self.hidden];
            row.iter_mut().zip(word).for_each(|(x, w)| *x = w * self.word_scale);
            if let Some(places) = &places {
                add(row, &places[position * self.hidden..][..self.hidden]);
            }
            if let Some(segments) = &segments {
                add(row, segments);
            }
        }
    }

    /// Runs a chunk's states through some sublayers.
    fn run(
        &self,
        states: &mut [f32],
        chunk: &Chunk,
        halves: std::ops::Range<usize>,
        pool: &mut Pool,
        spread: bool,
    ) {
        let angles = self.angles(chunk);
        let texts = Texts { lengths: &chunk.lengths, angles: &angles, spread };
        for half in halves {
            let layer = &self.layers[half / 2];
            if half % 2 == 0 {
                layer.attend(states, texts, false, pool);
            } else {
                layer.transform(states, false, pool, spread);
            }
        }
    }

    /// The angles of rotary positions for the texts of a chunk.
    fn angles(&self, chunk: &Chunk) -> Angles {
        let longest = chunk.lengths.iter().copied().max().unwrap_or(0);
        Angles::new(self.layers.iter().filter_map(Layer::rotary), self.width, longest)
    }

    /// One vector per text, from the states after the last layer.
    fn pool(&self, chunk: &Chunk, states: &[f32], skipped: usize) -> Vec<f32> {
        let width = self.pooling.dim(self.hidden);
        let mut pooled = vec![0.0; chunk.texts.len() * width];
        let mut rest = states;
        for (vector, &length) in pooled.chunks_exact_mut(width).zip(&chunk.lengths) {
            let (rows, after) = rest.split_at(length * self.hidden);
            let rows = &rows[skipped * self.hidden..];
            for (part, mode) in vector.chunks_exact_mut(self.hidden).zip(self.pooling.modes()) {
                pooling::pool(*mode, part, rows, skipped);
            }
            rest = after;
        }
        pooled
    }

    /// Arranges rows of chunks in batch order, `(texts, pooled)`.
    fn in_order<'c>(
        &self,
        input: Input<'_>,
        chunks: impl Iterator<Item = (&'c Chunk, &'c [f32])>,
    ) -> Result<Tensor> {
        let (texts, width) = (input.lengths().len(), self.pooling.dim(self.hidden));
        let mut all = vec![0.0; texts * width];
        for (chunk, rows) in chunks {
            for (&text, row) in chunk.texts.iter().zip(rows.chunks_exact(width)) {
                all[text * width..][..width].copy_from_slice(row);
            }
        }
        Ok(Tensor::from_vec(all, (texts, width), &Device::Cpu)?)
    }

    /// Checks that all tokens have an embedding, and all states the right width.
    fn check(&self, input: Input<'_>) -> Result<()> {
        let refused = |what, expected: usize, received: usize| Err(Error::Input { what, expected, received });
        let tokens: usize = input.lengths().iter().sum();
        match input {
            Input::Tokens(batch) => {
                let vocabulary = self.words.shape()[0];
                let longest = self.longest;
                if batch.ids.len() != tokens {
                    return refused("tokens in a batch", tokens, batch.ids.len());
                }
                if let Some(&id) = batch.ids.iter().find(|&&id| id as usize >= vocabulary) {
                    return refused("a token below the size of the vocabulary,", vocabulary, id as usize);
                }
                if let Some(&length) = batch.lengths.iter().find(|&&length| length > longest) {
                    return refused("a sequence within the position embeddings,", longest, length);
                }
            }
            Input::States { rows, .. } if rows.len() != tokens * self.hidden => {
                return refused("values of hidden states", tokens * self.hidden, rows.len());
            }
            Input::States { .. } => {}
        }
        Ok(())
    }
}
