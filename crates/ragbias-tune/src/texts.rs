//! The texts of a family: tokens or shared hidden states, computed once, and vectors of any member's encoder from there.

use std::collections::HashMap;
use std::path::Path;

use candle_core::Tensor;
use ragbias_core::{Progress, Role};
use ragbias_embed::{Bert, Packed};

use crate::Result;
use crate::activations::{Activations, Cut};
use crate::base::Base;
use crate::config::Scope;
use crate::loss::normalised;

/// Every text that members of one scope are trained or measured on.
pub struct Texts {
    places: HashMap<(Role, String), usize>,
    source: Source,
}

enum Source {
    Tokens(Vec<Vec<u32>>),
    States(Activations),
}

impl Texts {
    /// Prepares texts for a scope; hidden states below what the scope trains are computed once and kept in `cache`.
    ///
    /// # Errors
    /// Failures of the encoder or of the file system.
    pub fn prepare(
        base: &Base,
        scope: Scope,
        texts: impl IntoIterator<Item = (Role, String)>,
        cache: &Path,
        progress: &dyn Progress,
    ) -> Result<Self> {
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
            Scope::MlpTop(n) | Scope::LayersTop(n) => Some(Cut::Layer(base.layers().saturating_sub(n))),
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

    /// Where a text is, if it was prepared.
    pub(crate) fn place(&self, role: Role, text: &str) -> Option<usize> {
        self.places.get(&(role, text.to_owned())).copied()
    }

    /// Vectors of some texts by an encoder, and by the head's M (y = x + x·Mᵀ) where there is one: `(texts, dim)`, unit
    /// rows, differentiable in whatever the encoder and M are.
    pub(crate) fn vectors(
        &self,
        base: &Base,
        bert: &Bert,
        head: Option<&Tensor>,
        places: &[usize],
    ) -> Result<Tensor> {
        let pooling = base.embedder.config().pooling;
        let mut pooled = match &self.source {
            Source::Tokens(tokens) => {
                let sequences: Vec<&Vec<u32>> = places.iter().map(|&place| &tokens[place]).collect();
                let packed = Packed::new(&sequences);
                Bert::pool(&bert.forward(&packed)?, &packed.lengths, pooling)?
            }
            Source::States(activations) => {
                let (states, lengths) = activations.gather(places, &base.device)?;
                match activations.cut {
                    Cut::Pooled => states,
                    Cut::Layer(layer) => {
                        let states = bert.run_layers(&states, &lengths, layer..bert.layers())?;
                        Bert::pool(&states, &lengths, pooling)?
                    }
                }
            }
        };
        if let Some(head) = head {
            pooled = (&pooled + pooled.matmul(&head.t()?)?)?;
        }
        normalised(&pooled)
    }
}
