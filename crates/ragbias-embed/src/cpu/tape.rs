//! The recorded state of a forward pass, and the backward pass over it.

use std::collections::{BTreeMap, BTreeSet};

use candle_core::{Device, Tensor};
use ragbias_kernels::row::add;
use rayon::prelude::*;

use super::chunk::{Chunk, recorded};
use super::gradients::{ChunkGradients, Wanted, added_up};
use super::layer::{KeptAttention, KeptMlp, Layer, Texts};
use super::layer_norm::KeptNorm;
use super::lines::Lines;
use super::pool::Pool;
use super::{CpuEncoder, POSITIONS, SEGMENTS};
use crate::config::PoolingMode;
use crate::input::{Input, Packed};
use crate::parameters::{RELATIVE, WORD_EMBEDDINGS};
use crate::{Error, Result};

/// A recorded forward pass.
pub(crate) struct CpuTape {
    encoder: CpuEncoder,
    wanted: Wanted,
    pooling: TrainedPooling,
    chunks: Vec<Kept>,
}

#[derive(Clone, Copy)]
enum TrainedPooling {
    Mean,
    Cls,
}

/// The recorded state of a chunk.
struct Kept {
    chunk: Chunk,
    /// Its token ids, if the embeddings are trained.
    ids: Vec<u32>,
    embeddings: Option<KeptNorm>,
    /// From the lowest trained sublayer.
    halves: Vec<Half>,
}

enum Half {
    Attention(KeptAttention),
    Mlp(KeptMlp),
}

impl CpuEncoder {
    /// One vector per text, as by [`CpuEncoder::vectors`], and the tape for the gradients of some parameters.
    pub(crate) fn record(
        &self,
        input: Input<'_>,
        parameters: &BTreeSet<String>,
    ) -> Result<(Tensor, CpuTape)> {
        self.record_for(input, self.wanted(input, parameters))
    }

    /// The same, and the tape for the gradients of the word embeddings at every place: see [`CpuTape::backward_to_inputs`].
    pub(crate) fn record_inputs(&self, batch: &Packed) -> Result<(Tensor, CpuTape)> {
        let wanted = Wanted { parameters: BTreeSet::new(), embeddings: true, lowest: 0 };
        self.record_for(Input::Tokens(batch), wanted)
    }

    fn record_for(&self, input: Input<'_>, wanted: Wanted) -> Result<(Tensor, CpuTape)> {
        if !self.is_trainable {
            return Err(Error::ForInference);
        }
        self.check(input)?;
        let pooling = self.trained_pooling()?;
        let one = |chunk: Chunk| {
            self.pools.lend(|pool| {
                let mut embeddings =
                    wanted.embeddings.then(|| KeptNorm::new(chunk.tokens(), self.hidden, pool));
                let mut states = self.enter(input, &chunk, embeddings.as_mut(), pool);
                self.run(&mut states, &chunk, input.half()..wanted.lowest, pool, false);
                let angles = self.angles(&chunk);
                let texts = Texts { lengths: &chunk.lengths, angles: &angles, spread: false };
                let halves = (wanted.lowest..self.halves()).map(|half| {
                    let layer = &self.layers[half / 2];
                    if half % 2 == 0 {
                        let kept = layer.attend(&mut states, texts, true, pool);
                        Half::Attention(kept.expect("kept where it is asked for; this is a bug"))
                    } else {
                        let kept = layer.transform(&mut states, true, pool, false);
                        Half::Mlp(kept.expect("kept where it is asked for; this is a bug"))
                    }
                });
                let halves = halves.collect();
                let rows = self.pool(&chunk, &states, 0);
                pool.give([states]);
                let mut ids = Vec::new();
                if let (Input::Tokens(batch), true) = (input, wanted.embeddings) {
                    for (&start, &length) in chunk.starts.iter().zip(&chunk.lengths) {
                        ids.extend_from_slice(&batch.ids[start..start + length]);
                    }
                }
                (rows, Kept { chunk, ids, embeddings, halves })
            })
        };
        let recorded: Vec<(Vec<f32>, Kept)> = recorded(input.lengths()).into_par_iter().map(one).collect();
        let pooled =
            self.in_order(input, recorded.iter().map(|(rows, kept)| (&kept.chunk, rows.as_slice())))?;
        let chunks = recorded.into_iter().map(|(_, kept)| kept).collect();
        Ok((pooled, CpuTape { encoder: self.clone(), wanted, pooling, chunks }))
    }

    /// The pooling mode, which must be one that supports gradients.
    fn trained_pooling(&self) -> Result<TrainedPooling> {
        match self.pooling.single() {
            Some(PoolingMode::Mean) => Ok(TrainedPooling::Mean),
            Some(PoolingMode::Cls) => Ok(TrainedPooling::Cls),
            _ => {
                let names: Vec<&str> = self.pooling.modes().iter().map(|mode| mode.name()).collect();
                Err(Error::NotTrained { received: names.join(" and ") })
            }
        }
    }

    fn wanted(&self, input: Input<'_>, parameters: &BTreeSet<String>) -> Wanted {
        let embeddings = parameters.iter().any(|name| name.starts_with("embeddings.")) && input.half() == 0;
        let relative = self.relative.is_some() && parameters.contains(RELATIVE);
        let of_half = |half: usize| {
            (relative && half.is_multiple_of(2))
                || Layer::names(half / 2)
                    .into_iter()
                    .skip(6 * (half % 2))
                    .take(6)
                    .flatten()
                    .any(|name| parameters.contains(&name))
        };
        let first = (input.half()..self.halves()).find(|&half| of_half(half)).unwrap_or(self.halves());
        let lowest = if embeddings { 0 } else { first };
        Wanted { parameters: parameters.clone(), embeddings, lowest }
    }
}

impl CpuTape {
    /// The requested gradients of parameters, from that of the vectors, `(texts, hidden)`.
    pub(crate) fn backward(self, gradient: &Tensor) -> Result<BTreeMap<String, Tensor>> {
        let Passed { encoder, wanted, chunk_gradients, rows } = self.pass(gradient)?;
        let mut gradients = added_up(&encoder, &wanted, chunk_gradients)?;
        if wanted.embeddings {
            encoder.gradients_of_tables(&rows, &wanted, &mut gradients)?;
        }
        Ok(gradients)
    }

    /// The gradient of the word embedding of every token, `(tokens, hidden)` in the order of the batch, from that of the vectors.
    pub(crate) fn backward_to_inputs(self, gradient: &Tensor) -> Result<Vec<f32>> {
        let Passed { encoder, rows, .. } = self.pass(gradient)?;
        let hidden = encoder.hidden;
        let mut all = vec![0.0; rows.iter().map(|chunk| chunk.gradient.len()).sum()];
        for chunk in &rows {
            let mut rest: &[f32] = &chunk.gradient;
            for (&start, &length) in chunk.starts.iter().zip(&chunk.lengths) {
                let (own, after) = rest.split_at(length * hidden);
                all[start * hidden..][..own.len()].copy_from_slice(own);
                rest = after;
            }
        }
        Ok(all)
    }

    fn pass(self, gradient: &Tensor) -> Result<Passed> {
        let Self { encoder, wanted, pooling, chunks } = self;
        let gradient = gradient.flatten_all()?.to_vec1::<f32>()?;
        let one = |kept: Kept| {
            encoder.pools.lend(|pool| kept.backward(&encoder, &wanted, pooling, &gradient, pool))
        };
        let (chunk_gradients, rows) = chunks.into_par_iter().map(one).unzip();
        Ok(Passed { encoder, wanted, chunk_gradients, rows })
    }
}

/// The backward pass of all chunks.
struct Passed {
    encoder: CpuEncoder,
    wanted: Wanted,
    chunk_gradients: Vec<ChunkGradients>,
    rows: Vec<TableRows>,
}

/// The gradients of the embedding tables from a chunk: ids, positions, and a gradient for each, `(tokens, hidden)`.
struct TableRows {
    ids: Vec<u32>,
    /// Where each text begins in the batch.
    starts: Vec<usize>,
    lengths: Vec<usize>,
    gradient: Lines,
}

impl Kept {
    fn backward(
        self,
        encoder: &CpuEncoder,
        wanted: &Wanted,
        pooling: TrainedPooling,
        vectors: &[f32],
        pool: &mut Pool,
    ) -> (ChunkGradients, TableRows) {
        let mut chunk_gradients = ChunkGradients::new(encoder, wanted);
        let hidden = encoder.hidden;
        let mut gradient = pool.take(self.chunk.tokens() * hidden);
        let mut rest = &mut *gradient;
        for (&text, &length) in self.chunk.texts.iter().zip(&self.chunk.lengths) {
            let (rows, after) = rest.split_at_mut(length * hidden);
            let vector = &vectors[text * hidden..][..hidden];
            match pooling {
                TrainedPooling::Cls => {
                    rows.fill(0.0);
                    rows[..hidden].copy_from_slice(vector);
                }
                TrainedPooling::Mean => {
                    let share = 1.0 / length as f32;
                    for row in rows.chunks_exact_mut(hidden) {
                        row.iter_mut().zip(vector).for_each(|(x, v)| *x = v * share);
                    }
                }
            }
            rest = after;
        }
        for (place, half) in self.halves.into_iter().enumerate().rev() {
            let half_layer = wanted.lowest + place;
            let (layer, own) = (&encoder.layers[half_layer / 2], &mut chunk_gradients.layers[half_layer / 2]);
            let below = place > 0 || wanted.embeddings;
            match half {
                Half::Mlp(kept) => layer.transform_backward(&mut gradient, kept, own, below, pool),
                Half::Attention(kept) => {
                    layer.attend_backward(&mut gradient, &self.chunk.lengths, kept, own, below, pool);
                }
            }
        }
        if let Some(kept) = self.embeddings {
            let norm = encoder.norm.as_ref().expect("kept for this norm; this is a bug");
            norm.backward(&mut gradient, &kept, &mut chunk_gradients.norm);
            pool.give([kept.centred, kept.scales]);
            let Chunk { starts, lengths, .. } = self.chunk;
            return (chunk_gradients, TableRows { ids: self.ids, starts, lengths, gradient });
        }
        pool.give([gradient]);
        let (ids, starts, lengths) = (Vec::new(), Vec::new(), Vec::new());
        (chunk_gradients, TableRows { ids, starts, lengths, gradient: Lines::with_room(0) })
    }
}

impl CpuEncoder {
    /// Gradients of the three embedding tables.
    fn gradients_of_tables(
        &self,
        chunks: &[TableRows],
        wanted: &Wanted,
        gradients: &mut BTreeMap<String, Tensor>,
    ) -> Result<()> {
        let hidden = self.hidden;
        let tables = [
            (WORD_EMBEDDINGS, Some(&self.words)),
            (POSITIONS, self.places.as_ref()),
            (SEGMENTS, self.segments.as_ref()),
        ];
        for (name, weight) in tables {
            let Some(weight) = weight else { continue };
            if !wanted.parameters.contains(name) {
                continue;
            }
            let mut table = vec![0.0; weight.shape().iter().product()];
            for chunk in chunks {
                let positions = self.positions.of_all(&chunk.ids, &chunk.lengths);
                let rows = chunk.gradient.chunks_exact(hidden);
                for ((row, &id), position) in rows.zip(&chunk.ids).zip(positions) {
                    let place = match name {
                        WORD_EMBEDDINGS => id as usize,
                        POSITIONS => position,
                        _ => 0,
                    };
                    add(&mut table[place * hidden..][..hidden], row);
                }
            }
            gradients.insert(name.into(), Tensor::from_vec(table, weight.shape(), &Device::Cpu)?);
        }
        Ok(())
    }
}
