//! CLIP: an encoder of texts and one of pictures, whose vectors are in one space. Source: Radford et al. (2021),
//! <https://arxiv.org/abs/2103.00020>.

mod config;
mod named;
mod picture;
mod tower;

use std::path::Path;

use candle_core::{D, Device, IndexOp, Tensor, Var};
use ndarray::{Array2, ArrayView2};
use ragbias_core::{ContentHasher, ContentId, Embeddings};

use self::config::{ClipConfig, End};
use self::named::Named;
use self::tower::{Norm, Tower, times};
use crate::tokenizer::{TextTokenizer, Wanted};
use crate::{Error, Result};

pub use self::picture::Picture;

/// A CLIP checkpoint on the CPU.
#[derive(Debug, Clone)]
pub struct Clip {
    config: ClipConfig,
    tokenizer: TextTokenizer,
    texts: Texts,
    pictures: Pictures,
    id: ContentId,
    device: Device,
}

#[derive(Debug, Clone)]
struct Texts {
    tokens: Tensor,
    positions: Tensor,
    tower: Tower,
    norm: Norm,
    projection: Tensor,
}

#[derive(Debug, Clone)]
struct Pictures {
    /// Of a patch, `(hidden, 3 · patch · patch)`.
    patches: Tensor,
    class: Tensor,
    positions: Tensor,
    before: Norm,
    tower: Tower,
    norm: Norm,
    projection: Tensor,
}

/// Texts or pictures in one pass of an encoder.
const BATCH: usize = 16;

impl Clip {
    /// A checkpoint folder as transformers saves it: `config.json`, `preprocessor_config.json`, weights, `tokenizer.json`.
    ///
    /// # Errors
    /// A missing or damaged file, a setting that changes vectors and is not computed here.
    pub fn load(folder: &Path) -> Result<Self> {
        let device = Device::Cpu;
        let config = ClipConfig::read(folder)?;
        let wanted = Wanted {
            class: None,
            max_seq_length: None,
            do_lower_case: false,
            positions: config.positions,
            usual_length: config.positions,
            // A text's state does not depend on what is after it.
            pads_anywhere: true,
        };
        let (tokenizer, source) = TextTokenizer::read(folder, &wanted)?;
        let mut named = Named::open(folder, config.rounding, &device)?;
        let texts = Texts::new(&config, &mut named)?;
        let pictures = Pictures::new(&config, &mut named)?;
        let id = ContentHasher::new("clip/1")
            .field(named.finish()?.as_bytes())
            .field(format!("{config:?}"))
            .field(&source.bytes)
            .field(&source.changes)
            .finish();
        Ok(Self { config, tokenizer, texts, pictures, id, device })
    }

    /// The hash of everything that a vector depends on.
    pub fn id(&self) -> ContentId {
        self.id
    }

    /// The side of the pictures that it sees, in pixels.
    pub fn side(&self) -> usize {
        self.config.side
    }

    /// Unit vectors of texts, `(texts, dim)`; longer ones are cut at the tokenizer's limit, or the encoder's number of positions.
    ///
    /// # Errors
    /// A text that cannot be tokenised, or has no end.
    pub fn embed_texts(&self, texts: &[&str]) -> Result<Embeddings> {
        let ids = texts.iter().enumerate().map(|(row, text)| self.tokenizer.ids(row, "", text));
        let ids = ids.collect::<Result<Vec<_>>>()?;
        let vectors = ids.chunks(BATCH).map(|batch| self.texts.forward(batch, &self.config, &self.device));
        self.unit(vectors.collect::<Result<Vec<_>>>()?)
    }

    /// Unit vectors of pictures, `(pictures, dim)`; each is seen as [`Picture::square`].
    ///
    /// # Errors
    /// A failure of the encoder.
    pub fn embed_pictures(&self, pictures: &[Picture]) -> Result<Embeddings> {
        let vectors = pictures.chunks(BATCH).map(|batch| {
            let batch: Vec<f32> =
                batch.iter().flat_map(|picture| planes(&picture.square(self.side()))).collect();
            self.pictures.forward(&self.pixels(&batch)?, &self.config)
        });
        self.unit(vectors.collect::<Result<Vec<_>>>()?)
    }

    /// The same of pixels, `(pictures, 3, side, side)`, from 0 to 255 and not only whole, with what their gradients need.
    ///
    /// # Errors
    /// Another number of pixels.
    pub fn record(&self, pixels: &[f32]) -> Result<(Embeddings, PictureTape)> {
        let pixels = Var::from_tensor(&self.pixels(pixels)?)?;
        let vectors = self.pictures.forward(&pixels, &self.config)?;
        let lengths = vectors.sqr()?.sum_keepdim(D::Minus1)?.sqrt()?;
        let vectors = vectors.broadcast_div(&lengths)?;
        Ok((self.unit(vec![vectors.detach()])?, PictureTape { vectors, pixels }))
    }

    fn pixels(&self, values: &[f32]) -> Result<Tensor> {
        let side = self.side();
        let one = 3 * side * side;
        if values.is_empty() || !values.len().is_multiple_of(one) {
            return Err(Error::Input { what: "values of a picture", expected: one, received: values.len() });
        }
        Ok(Tensor::from_slice(values, (values.len() / one, 3, side, side), &self.device)?)
    }

    fn unit(&self, vectors: Vec<Tensor>) -> Result<Embeddings> {
        let rows = vectors.iter().map(Tensor::to_vec2::<f32>).collect::<Result<Vec<_>, _>>()?;
        let rows: Vec<Vec<f32>> = rows.into_iter().flatten().collect();
        let shape = (rows.len(), self.config.dim);
        let rows =
            Array2::from_shape_vec(shape, rows.concat()).expect("rows of the encoder's width; this is a bug");
        Ok(Embeddings::new(rows)?.normalised()?)
    }
}

/// A square picture's values, `(3, side, side)`.
fn planes(picture: &Picture) -> Vec<f32> {
    (0..3)
        .flat_map(|channel| picture.values().iter().skip(channel).step_by(3).map(|value| f32::from(*value)))
        .collect()
}

/// A pass of pictures, whose pixels have gradients.
#[derive(Debug)]
pub struct PictureTape {
    /// Unit vectors.
    vectors: Tensor,
    pixels: Var,
}

impl PictureTape {
    /// The gradients of the pixels, `(pictures, 3, side, side)`, by one step of a value from 0 to 255, from those of the unit vectors,
    /// `(pictures, dim)`.
    ///
    /// # Errors
    /// Gradients of another shape.
    pub fn backward(self, gradients: ArrayView2<'_, f32>) -> Result<Vec<f32>> {
        let values: Vec<f32> = gradients.iter().copied().collect();
        let gradients = Tensor::from_vec(values, gradients.dim(), self.vectors.device())?;
        let store = (self.vectors * gradients)?.sum_all()?.backward()?;
        match store.get(&self.pixels) {
            Some(gradient) => Ok(gradient.flatten_all()?.to_vec1()?),
            None => Ok(vec![0.0; self.pixels.elem_count()]),
        }
    }
}

impl Texts {
    fn new(config: &ClipConfig, named: &mut Named<'_>) -> Result<Self> {
        const PREFIX: &str = "text_model";
        let hidden = config.text.hidden;
        let mut get = |name: &str, rows: usize| {
            named.get(&format!("{PREFIX}.embeddings.{name}.weight"), &[rows, hidden])
        };
        Ok(Self {
            tokens: get("token_embedding", config.vocabulary)?,
            positions: get("position_embedding", config.positions)?,
            tower: Tower::new(&config.text, named, PREFIX)?,
            norm: Norm::new(named, &format!("{PREFIX}.final_layer_norm"), hidden, config.text.eps)?,
            projection: named.get("text_projection.weight", &[config.dim, hidden])?,
        })
    }

    /// Vectors of texts by their tokens, `(texts, dim)`.
    fn forward(&self, texts: &[Vec<u32>], config: &ClipConfig, device: &Device) -> Result<Tensor> {
        let length = texts.iter().map(Vec::len).max().unwrap_or_default();
        // What is after a text's end does not change the state at its end.
        let ids: Vec<u32> =
            texts.iter().flat_map(|text| (0..length).map(|at| text.get(at).copied().unwrap_or(0))).collect();
        let ids = Tensor::from_vec(ids, texts.len() * length, device)?;
        let states = self.tokens.index_select(&ids, 0)?.reshape((texts.len(), length, ()))?;
        let states = states.broadcast_add(&self.positions.narrow(0, 0, length)?)?;
        let sees = |row: usize, column: usize| if column > row { f32::NEG_INFINITY } else { 0.0 };
        let mask: Vec<f32> =
            (0..length).flat_map(|row| (0..length).map(move |column| sees(row, column))).collect();
        let states = self.tower.forward(states, Some(&Tensor::from_vec(mask, (length, length), device)?))?;
        let ends =
            texts.iter().enumerate().map(|(row, text)| Ok(states.i((row, config.end.of(row, text)?))?));
        let ends = Tensor::stack(&ends.collect::<Result<Vec<_>>>()?, 0)?;
        times(&self.norm.forward(&ends)?, &self.projection)
    }
}

impl End {
    /// The place of the end in a text's tokens; `row` is for the error.
    fn of(self, row: usize, tokens: &[u32]) -> Result<usize> {
        let end = match self {
            Self::Greatest => tokens.iter().copied().max(),
            Self::Token(id) => Some(id),
        };
        let place = tokens.iter().position(|token| Some(*token) == end);
        place.ok_or_else(|| Error::Tokenise {
            row,
            reason: "the tokenizer puts no end after it, by the eos_token_id of config.json".into(),
        })
    }
}

impl Pictures {
    fn new(config: &ClipConfig, named: &mut Named<'_>) -> Result<Self> {
        const PREFIX: &str = "vision_model";
        let hidden = config.picture.hidden;
        let grid = config.side / config.patch;
        let patch = [hidden, 3, config.patch, config.patch];
        let patches = named.get(&format!("{PREFIX}.embeddings.patch_embedding.weight"), &patch)?;
        let positions = [grid * grid + 1, hidden];
        let norm = |named: &mut Named<'_>, name: &str| {
            Norm::new(named, &format!("{PREFIX}.{name}"), hidden, config.picture.eps)
        };
        Ok(Self {
            patches: patches.reshape((hidden, 3 * config.patch * config.patch))?,
            class: named.get(&format!("{PREFIX}.embeddings.class_embedding"), &[hidden])?,
            positions: named.get(&format!("{PREFIX}.embeddings.position_embedding.weight"), &positions)?,
            // As the files spell it.
            before: norm(named, "pre_layrnorm")?,
            tower: Tower::new(&config.picture, named, PREFIX)?,
            norm: norm(named, "post_layernorm")?,
            projection: named.get("visual_projection.weight", &[config.dim, hidden])?,
        })
    }

    /// Vectors of pixels from 0 to 255, `(pictures, 3, side, side)`: `(pictures, dim)`.
    fn forward(&self, pixels: &Tensor, config: &ClipConfig) -> Result<Tensor> {
        let (count, device) = (pixels.dim(0)?, pixels.device());
        let channels = |values: [f32; 3]| Tensor::from_slice(&values, (1, 3, 1, 1), device);
        let pixels = (pixels / 255.0)?
            .broadcast_sub(&channels(config.mean)?)?
            .broadcast_div(&channels(config.deviation)?)?;
        // Pixels beyond the last whole patch are not seen.
        let (patch, grid) = (config.patch, config.side / config.patch);
        let seen = pixels.narrow(2, 0, grid * patch)?.narrow(3, 0, grid * patch)?.contiguous()?;
        let patches =
            seen.reshape(vec![count, 3, grid, patch, grid, patch])?.permute(vec![0, 2, 4, 1, 3, 5])?;
        let patches = times(&patches.reshape((count, grid * grid, 3 * patch * patch))?, &self.patches)?;
        let class = self.class.reshape((1, 1, ()))?.broadcast_as((count, 1, config.picture.hidden))?;
        let states = Tensor::cat(&[&class.contiguous()?, &patches], 1)?.broadcast_add(&self.positions)?;
        let states = self.tower.forward(self.before.forward(&states)?, None)?;
        times(&self.norm.forward(&states.i((.., 0, ..))?)?, &self.projection)
    }
}

#[cfg(test)]
mod tests;
