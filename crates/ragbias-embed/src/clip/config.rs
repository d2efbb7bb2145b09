//! `config.json` and `preprocessor_config.json` of a CLIP checkpoint.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::config::{Rounding, config_path, rounding};
use crate::files::{Object, get, read_json, read_optional_json};
use crate::{Error, Result};

/// What the files of a checkpoint say of its two towers.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ClipConfig {
    pub(super) text: TowerConfig,
    pub(super) picture: TowerConfig,
    pub(super) vocabulary: usize,
    /// The most tokens of a text.
    pub(super) positions: usize,
    pub(super) end: End,
    /// Side of a picture, and of a patch of it, in pixels.
    pub(super) side: usize,
    pub(super) patch: usize,
    /// Width of the vectors.
    pub(super) dim: usize,
    /// Of the pixels of a channel, scaled to 0 to 1.
    pub(super) mean: [f32; 3],
    pub(super) deviation: [f32; 3],
    pub(super) rounding: Option<Rounding>,
}

/// One transformer.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct TowerConfig {
    pub(super) hidden: usize,
    pub(super) layers: usize,
    pub(super) heads: usize,
    pub(super) inner: usize,
    pub(super) activation: Activation,
    pub(super) eps: f32,
}

/// The non-linearity of the MLPs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Activation {
    /// x·σ(1.702·x).
    QuickGelu,
    /// With erf.
    Gelu,
}

/// The token whose state is a text's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// The first of the greatest id; files of OpenAI's checkpoints, whose `eos_token_id` is wrong, mean this.
    Greatest,
    /// The first with this id.
    Token(u32),
}

/// The greatest sizes that are read.
const MOST: usize = 1 << 20;
const MOST_LAYERS: usize = 1024;

/// Mean and standard deviation of the pixels of CLIP's training data, which transformers takes where a file has none.
const MEAN: [f32; 3] = [0.481_454_66, 0.457_827_5, 0.408_210_73];
const DEVIATION: [f32; 3] = [0.268_629_54, 0.261_302_6, 0.275_777_1];

impl ClipConfig {
    pub(super) fn read(folder: &Path) -> Result<Self> {
        let path = config_path(folder)?;
        let file: Object = read_json(&path)?;
        let model_type: String = get(&path, &file, "model_type")?.unwrap_or_default();
        if model_type != "clip" {
            return Err(Error::unsupported(&path, "model_type", "clip", model_type));
        }
        if let Some(value) = file.get("quantization_config").filter(|value| !value.is_null()) {
            return Err(Error::unsupported(&path, "quantization_config", "nothing", value.to_string()));
        }
        let text = Keys::of(&path, &file, "text_config", "text_config_dict")?;
        let picture = Keys::of(&path, &file, "vision_config", "vision_config_dict")?;
        picture.only("num_channels", 3)?;
        let side = picture.count("image_size", 224, MOST)?;
        let patch = picture.count("patch_size", 32, MOST)?;
        if patch > side {
            return Err(picture.refused("patch_size", format!("at most image_size, {side}"), patch));
        }
        let end = match text.number("eos_token_id")?.unwrap_or(49_407) {
            2 => End::Greatest,
            id => {
                let known =
                    u32::try_from(id).map_err(|_| text.refused("eos_token_id", "the id of a token", id));
                End::Token(known?)
            }
        };
        let top = Keys { path: path.clone(), file: file.clone() };
        let preparation = Preparation::read(folder, side)?;
        Ok(Self {
            vocabulary: text.count("vocab_size", 49_408, MOST)?,
            positions: text.count("max_position_embeddings", 77, MOST)?,
            text: text.tower([512, 12, 8, 2048])?,
            picture: picture.tower([768, 12, 12, 3072])?,
            end,
            side,
            patch,
            dim: top.count("projection_dim", 512, MOST)?,
            mean: preparation.mean,
            deviation: preparation.deviation,
            rounding: rounding(&path, &file)?,
        })
    }
}

/// An object of a file, where a missing key takes transformers' default.
struct Keys {
    path: PathBuf,
    file: Object,
}

impl Keys {
    /// An object of `config.json`; the second one that older files have takes its place, also for the keys that it lacks.
    fn of(path: &Path, file: &Object, key: &'static str, older: &'static str) -> Result<Self> {
        let own = match get(path, file, older)? {
            Some(older) => Some(older),
            None => get(path, file, key)?,
        };
        Ok(Self { path: path.into(), file: own.unwrap_or_default() })
    }

    fn number(&self, key: &'static str) -> Result<Option<u64>> {
        get(&self.path, &self.file, key)
    }

    fn count(&self, key: &'static str, default: usize, most: usize) -> Result<usize> {
        match get(&self.path, &self.file, key)?.unwrap_or(default) {
            count if (1..=most).contains(&count) => Ok(count),
            count => Err(self.refused(key, format!("1 to {most}"), count)),
        }
    }

    fn only(&self, key: &'static str, expected: u64) -> Result<()> {
        match self.number(key)? {
            Some(other) if other != expected => Err(self.refused(key, expected.to_string(), other)),
            _ => Ok(()),
        }
    }

    /// A transformer, whose hidden width, layers, heads and inner width have these defaults.
    fn tower(&self, [hidden, layers, heads, inner]: [usize; 4]) -> Result<TowerConfig> {
        let tower = TowerConfig {
            hidden: self.count("hidden_size", hidden, MOST)?,
            layers: self.count("num_hidden_layers", layers, MOST_LAYERS)?,
            heads: self.count("num_attention_heads", heads, MOST)?,
            inner: self.count("intermediate_size", inner, MOST)?,
            activation: match get::<String>(&self.path, &self.file, "hidden_act")?.as_deref() {
                None | Some("quick_gelu") => Activation::QuickGelu,
                Some("gelu") => Activation::Gelu,
                Some(other) => return Err(self.refused("hidden_act", "quick_gelu or gelu", other)),
            },
            eps: get(&self.path, &self.file, "layer_norm_eps")?.unwrap_or(1e-5),
        };
        if !tower.hidden.is_multiple_of(tower.heads) {
            let expected = format!("a divisor of hidden_size, {}", tower.hidden);
            return Err(self.refused("num_attention_heads", expected, tower.heads));
        }
        if !tower.eps.is_finite() || tower.eps <= 0.0 {
            return Err(self.refused("layer_norm_eps", "a number above 0", tower.eps));
        }
        Ok(tower)
    }

    fn refused(&self, key: &'static str, expected: impl Into<String>, received: impl ToString) -> Error {
        Error::unsupported(&self.path, key, expected, received.to_string())
    }
}

/// Classes that prepare pictures alike.
const PROCESSORS: [&str; 4] =
    ["CLIPImageProcessor", "CLIPImageProcessorFast", "CLIPImageProcessorPil", "CLIPFeatureExtractor"];

/// How pictures are prepared.
struct Preparation {
    mean: [f32; 3],
    deviation: [f32; 3],
}

impl Preparation {
    /// From the part of `processor_config.json` that newer releases of transformers write, or `preprocessor_config.json`.
    fn read(folder: &Path, side: usize) -> Result<Self> {
        const FILE: &str = "preprocessor_config.json";
        let (own, newer) = (folder.join(FILE), folder.join("processor_config.json"));
        let file: Object = read_optional_json(&newer)?;
        let keys = match get(&newer, &file, "image_processor")? {
            Some(part) => Keys { file: part, path: newer },
            None if own.is_file() => Keys { file: read_json(&own)?, path: own },
            None => return Err(Error::MissingFile { folder: folder.into(), file: FILE }),
        };
        for key in ["image_processor_type", "feature_extractor_type"] {
            let kind: Option<String> = get(&keys.path, &keys.file, key)?;
            if let Some(other) = kind.filter(|kind| !PROCESSORS.contains(&kind.as_str())) {
                return Err(keys.refused(key, format!("one of {}", PROCESSORS.join(", ")), other));
            }
        }
        for key in ["do_pad", "use_square_size", "default_to_square"] {
            if get::<bool>(&keys.path, &keys.file, key)?.unwrap_or(false) {
                return Err(keys.refused(key, "false", "true"));
            }
        }
        for key in ["do_resize", "do_center_crop", "do_rescale", "do_normalize"] {
            if !get::<bool>(&keys.path, &keys.file, key)?.unwrap_or(true) {
                return Err(keys.refused(key, "true", "false"));
            }
        }
        if let Some(filter) = keys.number("resample")?.filter(|filter| *filter != 3) {
            return Err(keys.refused("resample", "3, bicubic", filter));
        }
        let is_other = |factor: &f64| (factor * 255.0 - 1.0).abs() > 1e-9;
        if let Some(factor) = get(&keys.path, &keys.file, "rescale_factor")?.filter(is_other) {
            return Err(keys.refused("rescale_factor", "1/255", factor));
        }
        keys.side("size", &["shortest_edge"], side)?;
        keys.side("crop_size", &["height", "width"], side)?;
        let (mean, deviation) = (keys.channels("image_mean", MEAN)?, keys.channels("image_std", DEVIATION)?);
        if deviation.iter().any(|deviation| *deviation <= 0.0) {
            return Err(keys.refused("image_std", "numbers above 0", format!("{deviation:?}")));
        }
        Ok(Self { mean, deviation })
    }
}

impl Keys {
    /// Checks that a size, a number or an object with these keys, is the side of the encoder's pictures.
    fn side(&self, key: &'static str, names: &[&str], side: usize) -> Result<()> {
        let is_side = |value: &Value| value.as_u64() == Some(side as u64);
        let has_sides = |value: &Value| {
            value.as_object().is_some_and(|object| {
                let given = object.iter().filter(|(_, value)| !value.is_null());
                given.clone().count() == names.len()
                    && given.into_iter().all(|(name, value)| names.contains(&name.as_str()) && is_side(value))
            })
        };
        match self.file.get(key).unwrap_or(&Value::Null) {
            Value::Null if side == 224 => Ok(()),
            value if is_side(value) || has_sides(value) => Ok(()),
            value => Err(self.refused(key, format!("{side}, the image_size of config.json"), value)),
        }
    }

    fn channels(&self, key: &'static str, default: [f32; 3]) -> Result<[f32; 3]> {
        let all: [f32; 3] = get(&self.path, &self.file, key)?.unwrap_or(default);
        if all.iter().all(|value| value.is_finite()) {
            return Ok(all);
        }
        Err(self.refused(key, "three finite numbers", format!("{all:?}")))
    }
}
