//! What a forward pass leaves behind, and the backward pass over it.

use std::collections::{BTreeMap, BTreeSet};

use candle_core::{Device, Tensor};
use rayon::prelude::*;

use super::chunk::{Chunk, RECORDED, chunks};
use super::layer::{KeptAttention, KeptMlp, KeptNorm, Layer, LayerSums};
use super::lines::Lines;
use super::pool::Pool;
use super::row::add;
use super::{CpuEncoder, NORM, POSITIONS, SEGMENTS, WORDS};
use crate::config::PoolingMode;
use crate::encoder::Input;
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

/// What a chunk leaves.
struct Kept {
    chunk: Chunk,
    /// Its token ids, where the embeddings are trained.
    ids: Vec<u32>,
    embeddings: Option<KeptNorm>,
    /// From the lowest half layer that is trained.
    halves: Vec<Half>,
}

enum Half {
    Attention(KeptAttention),
    Mlp(KeptMlp),
}

/// What gradients are asked for.
#[derive(Clone)]
struct Wanted {
    parameters: BTreeSet<String>,
    /// Whether embeddings are among them.
    embeddings: bool,
    /// The lowest half layer that must be recorded.
    lowest: usize,
}

/// Sums of gradients over the chunks of one worker.
struct Sums {
    layers: Vec<LayerSums>,
    norm: [Option<Vec<f32>>; 2],
}

impl CpuEncoder {
    /// One vector a text, as [`CpuEncoder::vectors`] gives it, and what the gradients of some parameters need.
    pub(crate) fn record(
        &self,
        input: Input<'_>,
        parameters: &BTreeSet<String>,
    ) -> Result<(Tensor, CpuTape)> {
        self.check(input)?;
        let pooling = self.trained_pooling()?;
        let wanted = self.wanted(input, parameters);
        let one = |chunk: Chunk| {
            self.pools.lend(|pool| {
                let mut embeddings =
                    wanted.embeddings.then(|| KeptNorm::new(chunk.tokens(), self.hidden, pool));
                let mut states = self.enter(input, &chunk, embeddings.as_mut(), pool);
                self.run(&mut states, &chunk, input.half()..wanted.lowest, pool, false);
                let halves = (wanted.lowest..self.halves()).map(|half| {
                    let layer = &self.layers[half / 2];
                    if half % 2 == 0 {
                        let kept = layer.attend(&mut states, &chunk.lengths, true, pool, false);
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
        let recorded: Vec<(Vec<f32>, Kept)> =
            chunks(input.lengths(), RECORDED).into_par_iter().map(one).collect();
        let pooled =
            self.in_order(input, recorded.iter().map(|(rows, kept)| (&kept.chunk, rows.as_slice())))?;
        let chunks = recorded.into_iter().map(|(_, kept)| kept).collect();
        Ok((pooled, CpuTape { encoder: self.clone(), wanted, pooling, chunks }))
    }

    /// The one way of pooling that gradients go through.
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
        let of_half = |half: usize| {
            Layer::names(half / 2)
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
    /// Gradients of the parameters that were asked for, from that of the vectors, `(texts, hidden)`.
    pub(crate) fn backward(self, gradient: &Tensor) -> Result<BTreeMap<String, Tensor>> {
        let Self { encoder, wanted, pooling, chunks } = self;
        let gradient = gradient.flatten_all()?.to_vec1::<f32>()?;
        // A worker takes every n-th chunk: sums are added up in an order that does not depend on which is faster.
        let workers = rayon::current_num_threads().min(chunks.len()).max(1);
        let mut shares: Vec<Vec<Kept>> = std::iter::repeat_with(Vec::new).take(workers).collect();
        for (number, kept) in chunks.into_iter().enumerate() {
            shares[number % workers].push(kept);
        }
        let work = |share: Vec<Kept>| {
            encoder.pools.lend(|pool| {
                let mut sums = Sums::new(&encoder, &wanted);
                let rows: Vec<_> = share
                    .into_iter()
                    .map(|kept| kept.backward(&encoder, &wanted, pooling, &gradient, &mut sums, pool))
                    .collect();
                (sums, rows)
            })
        };
        let mut results = shares.into_par_iter().map(work).collect::<Vec<_>>().into_iter();
        let (mut sums, mut rows) = results.next().expect("at least one worker; this is a bug");
        for (others, more) in results {
            sums.add(&others);
            rows.extend(more);
        }
        let mut gradients = sums.named(&encoder, &wanted)?;
        if wanted.embeddings {
            encoder.gradients_of_tables(&rows, &wanted, &mut gradients)?;
        }
        Ok(gradients)
    }
}

/// What the embedding tables learn from a chunk: ids, positions, and a gradient for each, `(tokens, hidden)`.
struct TableRows {
    ids: Vec<u32>,
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
        sums: &mut Sums,
        pool: &mut Pool,
    ) -> TableRows {
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
            let (layer, sums) = (&encoder.layers[half_layer / 2], &mut sums.layers[half_layer / 2]);
            let below = place > 0 || wanted.embeddings;
            match half {
                Half::Mlp(kept) => layer.transform_backward(&mut gradient, kept, sums, below, pool),
                Half::Attention(kept) => {
                    layer.attend_backward(&mut gradient, &self.chunk.lengths, kept, sums, below, pool);
                }
            }
        }
        if let Some(kept) = self.embeddings {
            encoder.norm.backward(&mut gradient, &kept, &mut sums.norm);
            pool.give([kept.centred, kept.scales]);
            return TableRows { ids: self.ids, lengths: self.chunk.lengths, gradient };
        }
        pool.give([gradient]);
        TableRows { ids: Vec::new(), lengths: Vec::new(), gradient: Lines::with_room(0) }
    }
}

impl Sums {
    fn new(encoder: &CpuEncoder, wanted: &Wanted) -> Self {
        let layer = |number: usize| {
            let (names, sizes) = (Layer::names(number), encoder.layers[number].sizes());
            std::array::from_fn(|part| {
                names[part]
                    .iter()
                    .any(|name| wanted.parameters.contains(name))
                    .then(|| vec![0.0; sizes[part]])
            })
        };
        let norm = ["weight", "bias"].map(|part| {
            let is_wanted = wanted.embeddings && wanted.parameters.contains(&format!("{NORM}.{part}"));
            is_wanted.then(|| vec![0.0; encoder.hidden])
        });
        Self { layers: (0..encoder.layers.len()).map(layer).collect(), norm }
    }

    fn all(&self) -> impl Iterator<Item = &Option<Vec<f32>>> {
        self.layers.iter().flatten().chain(&self.norm)
    }

    fn add(&mut self, others: &Self) {
        let mine = self.layers.iter_mut().flatten().chain(&mut self.norm);
        let mut pairs: Vec<_> =
            mine.zip(others.all()).filter_map(|(a, b)| Some((a.as_mut()?, b.as_ref()?))).collect();
        pairs.par_iter_mut().for_each(|(a, b)| add(a, b));
    }

    /// The sums by the names of their parameters; the three stacked maps taken apart.
    fn named(self, encoder: &CpuEncoder, wanted: &Wanted) -> Result<BTreeMap<String, Tensor>> {
        let mut named = BTreeMap::new();
        for (number, sums) in self.layers.into_iter().enumerate() {
            for ((names, shape), sum) in
                Layer::names(number).into_iter().zip(encoder.layers[number].shapes()).zip(sums)
            {
                let Some(sum) = sum else { continue };
                let mut shape = shape.to_vec();
                shape[0] /= names.len();
                let size: usize = shape.iter().product();
                if let [name] = &names[..] {
                    named.insert(name.clone(), Tensor::from_vec(sum, shape, &Device::Cpu)?);
                    continue;
                }
                for (name, part) in names.into_iter().zip(sum.chunks_exact(size)) {
                    if wanted.parameters.contains(&name) {
                        named.insert(name, Tensor::from_slice(part, shape.as_slice(), &Device::Cpu)?);
                    }
                }
            }
        }
        for (part, sum) in ["weight", "bias"].into_iter().zip(self.norm) {
            if let Some(sum) = sum {
                named.insert(format!("{NORM}.{part}"), Tensor::from_vec(sum, encoder.hidden, &Device::Cpu)?);
            }
        }
        Ok(named)
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
        let tables = [(WORDS, &self.words), (POSITIONS, &self.positions), (SEGMENTS, &self.segments)];
        for (name, weight) in tables {
            if !wanted.parameters.contains(name) {
                continue;
            }
            let mut table = vec![0.0; weight.shape().iter().product()];
            for chunk in chunks {
                let positions = chunk.lengths.iter().flat_map(|&length| 0..length);
                let rows = chunk.gradient.chunks_exact(hidden);
                for ((row, &id), position) in rows.zip(&chunk.ids).zip(positions) {
                    let place = match name {
                        WORDS => id as usize,
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
