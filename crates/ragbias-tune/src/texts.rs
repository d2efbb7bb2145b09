//! The texts of a family: their tokens or shared hidden states, computed once, from which any member computes vectors.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;

use candle_core::{Device, Tensor};
use ragbias_core::{Progress, Role};
use ragbias_embed::{Boundary, Encoder, Input, Packed, Tape};

use crate::Result;
use crate::activations::{Activations, Cut};
use crate::base::Base;
use crate::config::Scope;
use crate::loss::normalised;

/// All texts for training and measuring the members of one scope.
pub struct Texts {
    places: HashMap<(Role, String), usize>,
    source: Source,
}

enum Source {
    Tokens(Vec<Vec<u32>>),
    States(Activations),
    /// Vectors that no encoder made, whose precision is not halved.
    #[cfg(test)]
    Vectors(Vec<Vec<f32>>),
}

impl Texts {
    /// Prepares texts for a scope; hidden states below the trained layers are computed once and kept in `cache`.
    ///
    /// # Errors
    /// A scope that the base is not trained in; failures of the encoder or of the file system.
    pub fn prepare(
        base: &Base,
        scope: Scope,
        texts: impl IntoIterator<Item = (Role, String)>,
        cache: &Path,
        progress: &dyn Progress,
    ) -> Result<Self> {
        base.check(scope)?;
        let mut places = HashMap::new();
        let mut ordered: Vec<(Role, String)> = Vec::new();
        for text in texts {
            places.entry(text.clone()).or_insert_with(|| {
                ordered.push(text);
                ordered.len() - 1
            });
        }
        let cut = match scope {
            Scope::Full | Scope::Lora => None,
            Scope::MlpTop(n) => Some(Cut::Boundary(Boundary::Mlp(base.layers().saturating_sub(n)))),
            Scope::LayersTop(n) => Some(Cut::Boundary(Boundary::Layer(base.layers().saturating_sub(n)))),
            Scope::Head => Some(Cut::Pooled),
        };
        let source = if let Some(cut) = cut {
            Source::States(Activations::of(base, &ordered, cut, cache, progress)?)
        } else {
            let mut tokens = Vec::with_capacity(ordered.len());
            for (role, text) in &ordered {
                tokens.extend(base.embedder.tokenise(&[text], *role)?);
            }
            Source::Tokens(tokens)
        };
        Ok(Self { places, source })
    }

    /// Texts with given vectors.
    #[cfg(test)]
    pub(crate) fn of_vectors(texts: impl IntoIterator<Item = ((Role, String), Vec<f32>)>) -> Self {
        let (texts, vectors): (Vec<_>, Vec<_>) = texts.into_iter().unzip();
        let places = texts.into_iter().enumerate().map(|(place, text)| (text, place)).collect();
        Self { places, source: Source::Vectors(vectors) }
    }

    /// The index of a text, if it was prepared.
    pub(crate) fn place(&self, role: Role, text: &str) -> Option<usize> {
        self.places.get(&(role, text.to_owned())).copied()
    }

    /// Vectors of some texts by an encoder, before any head: `(texts, dim)`, not normalised.
    pub(crate) fn vectors(&self, encoder: &Encoder, device: &Device, places: &[usize]) -> Result<Tensor> {
        self.with(device, places, |input| Ok(encoder.vectors(input)?))
    }

    /// The same, with the tape of the encoder if any of it is trained.
    pub(crate) fn record(
        &self,
        encoder: &Encoder,
        device: &Device,
        places: &[usize],
        trained: &BTreeSet<String>,
    ) -> Result<(Tensor, Option<Tape>)> {
        if trained.is_empty() {
            return Ok((self.vectors(encoder, device, places)?, None));
        }
        let mut tape = None;
        let vectors = self.with(device, places, |input| {
            let (vectors, recorded) = encoder.record(input, trained)?;
            tape = Some(recorded);
            Ok(vectors)
        })?;
        Ok((vectors, tape))
    }

    /// Passes the tokens or states of some texts to `work`; pooled vectors bypass it.
    fn with(
        &self,
        device: &Device,
        places: &[usize],
        work: impl FnOnce(Input<'_>) -> Result<Tensor>,
    ) -> Result<Tensor> {
        match &self.source {
            Source::Tokens(tokens) => {
                let sequences: Vec<&Vec<u32>> = places.iter().map(|&place| &tokens[place]).collect();
                work(Input::Tokens(&Packed::new(&sequences)))
            }
            #[cfg(test)]
            Source::Vectors(vectors) => {
                let rows: Vec<&[f32]> = places.iter().map(|&place| vectors[place].as_slice()).collect();
                Ok(Tensor::from_vec(rows.concat(), (places.len(), vectors[0].len()), device)?)
            }
            Source::States(activations) => {
                let (rows, lengths) = activations.gather(places);
                match activations.cut {
                    Cut::Boundary(boundary) => {
                        work(Input::States { boundary, rows: &rows, lengths: &lengths })
                    }
                    Cut::Pooled => {
                        let shape = (places.len(), rows.len() / places.len().max(1));
                        Ok(Tensor::from_vec(rows, shape, device)?)
                    }
                }
            }
        }
    }
}

/// Unit vectors from the encoder's output, with the head's M (y = x + x·Mᵀ) if there is one: `(texts, dim)`, differentiable
/// in both.
pub(crate) fn finish(vectors: &Tensor, head: Option<&Tensor>) -> Result<Tensor> {
    match head {
        Some(head) => normalised(&(vectors + vectors.matmul(&head.t()?)?)?),
        None => normalised(vectors),
    }
}
