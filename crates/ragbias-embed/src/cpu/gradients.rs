//! Gradients of parameters over the chunks of a batch, summed in an order that does not depend on threads.
//!
//! The backward pass of a chunk leaves the sums for biases and norms and, for each layer y = x·Wᵀ + b, the two factors of the
//! weight's gradient, (∂y)ᵀ·x. The factors are multiplied when all chunks are done: a thread takes some outputs of a weight and
//! goes over the chunks in order, so that these values stay in its cache.

use std::collections::{BTreeMap, BTreeSet};

use candle_core::{Device, Tensor};
use ragbias_kernels::row::add;
use ragbias_kernels::{Into, Matrix, product};
use rayon::prelude::*;

use super::layer::Layer;
use super::layer_gradients::{Factors, LayerGradients, MAPS};
use super::lines::Lines;
use super::relative::Relative;
use super::{CpuEncoder, NORM};
use crate::Result;
use crate::parameters::RELATIVE;

/// Number of outputs of a weight per task.
const OUTPUTS: usize = 384;

/// The requested gradients.
#[derive(Clone)]
pub(super) struct Wanted {
    pub(super) parameters: BTreeSet<String>,
    /// Whether embeddings are among them.
    pub(super) embeddings: bool,
    /// The lowest sublayer that must be recorded.
    pub(super) lowest: usize,
}

/// The gradients of all parameters except the embedding tables from a chunk.
pub(super) struct ChunkGradients {
    pub(super) layers: Vec<LayerGradients>,
    /// For the LayerNorm after the embeddings.
    pub(super) norm: [Option<Vec<f32>>; 2],
}

impl ChunkGradients {
    pub(super) fn new(encoder: &CpuEncoder, wanted: &Wanted) -> Self {
        let relative = encoder.relative.as_ref().filter(|_| wanted.parameters.contains(RELATIVE));
        let relative = relative.map(Relative::size);
        let layer = |number: usize| {
            let is_wanted =
                Layer::names(number).map(|names| names.iter().any(|name| wanted.parameters.contains(name)));
            LayerGradients::new(is_wanted, encoder.layers[number].sizes(), relative)
        };
        let norm = ["weight", "bias"].map(|part| {
            let is_wanted = wanted.embeddings && wanted.parameters.contains(&format!("{NORM}.{part}"));
            is_wanted.then(|| vec![0.0; encoder.hidden])
        });
        Self { layers: (0..encoder.layers.len()).map(layer).collect(), norm }
    }

    fn add(&mut self, other: &Self) {
        let others = other.layers.iter().flat_map(|layer| layer.sums.iter().chain([&layer.relative]));
        let others = others.chain(&other.norm);
        let mine = self.layers.iter_mut();
        let mine = mine.flat_map(|layer| layer.sums.iter_mut().chain([&mut layer.relative]));
        let mine = mine.chain(&mut self.norm);
        for pair in mine.zip(others) {
            if let (Some(mine), Some(other)) = pair {
                add(mine, other);
            }
        }
    }

    /// The memory of the factors.
    fn buffers(self) -> Vec<Lines> {
        let factors = self.layers.into_iter().flat_map(|layer| layer.factors).flatten();
        factors.flat_map(|Factors { gradient, x }| [gradient, x]).collect()
    }

    /// The sums by parameter name; the three stacked layers are separated.
    fn named(self, encoder: &CpuEncoder, wanted: &Wanted) -> Result<BTreeMap<String, Tensor>> {
        let mut named = BTreeMap::new();
        if let Some(relative) = &encoder.relative {
            let layers = self.layers.iter().filter_map(|layer| layer.relative.clone());
            let all = layers.reduce(|mut sums, layer| {
                add(&mut sums, &layer);
                sums
            });
            if let Some(all) = all {
                named.insert(RELATIVE.into(), relative.gradient_of_table(&all)?);
            }
        }
        for (number, LayerGradients { sums, .. }) in self.layers.into_iter().enumerate() {
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

/// The requested gradients of all parameters except the embedding tables, by name.
pub(super) fn added_up(
    encoder: &CpuEncoder,
    wanted: &Wanted,
    chunks: Vec<ChunkGradients>,
) -> Result<BTreeMap<String, Tensor>> {
    let mut all = ChunkGradients::new(encoder, wanted);
    for chunk in &chunks {
        all.add(chunk);
    }
    let trained = all.layers.iter().enumerate().flat_map(|(number, layer)| {
        MAPS.into_iter().filter(|&map| layer.wanted[map]).map(move |map| (number, map))
    });
    let mut weights: Vec<_> =
        trained.map(|(number, map)| (number, map, vec![0.0; encoder.layers[number].sizes()[map]])).collect();
    weights.par_iter_mut().for_each(|(number, map, sum)| {
        let &[outputs, inputs] = encoder.layers[*number].shapes()[*map] else {
            panic!("a map's weight that is no matrix; this is a bug")
        };
        sum.par_chunks_mut(OUTPUTS * inputs).enumerate().for_each(|(block, sum)| {
            let some = block * OUTPUTS..outputs.min((block + 1) * OUTPUTS);
            let factors = chunks.iter().filter_map(|chunk| chunk.layers[*number].factors[*map].as_ref());
            for Factors { gradient, x } in factors {
                let tokens = x.len() / inputs;
                let gradient = Matrix::new(gradient, tokens, outputs).t().part(some.clone(), 0);
                product(sum, inputs, Into::Add, 1.0, gradient, Matrix::new(x, tokens, inputs));
            }
        });
    });
    for (number, map, sum) in weights {
        all.layers[number].sums[map] = Some(sum);
    }
    encoder.pools.give_back(chunks.into_iter().map(ChunkGradients::buffers));
    all.named(encoder, wanted)
}
