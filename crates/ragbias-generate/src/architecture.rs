//! The supported model families, and the parameters of a model.

use crate::file::GgufFile;
use crate::rope::{Rope, Scaling};
use crate::{Error, Result};

/// A model family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Architecture {
    Llama,
    Gemma3,
}

impl Architecture {
    pub(crate) const ALL: [Self; 2] = [Self::Llama, Self::Gemma3];

    /// The architecture named in the file.
    pub(crate) fn of(file: &GgufFile) -> Result<Self> {
        if let Some(kind) = file.text("general.type")?.filter(|&kind| kind != "model") {
            return Err(file.refused(
                "`general.type`".into(),
                format!("it is `{}`, expected model: this file is no whole model", kind.escape_debug()),
                "give the file of the model itself; an adapter is merged into it with `llama-export-lora`",
            ));
        }
        let received = file.text("general.architecture")?.unwrap_or("absent");
        Self::ALL.into_iter().find(|family| family.name() == received).ok_or_else(|| Error::Architecture {
            path: file.path().into(),
            received: received.escape_debug().to_string(),
            expected: Self::ALL.map(Self::name).join(", "),
        })
    }

    /// The prefix of its keys in the file's metadata.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Llama => "llama",
            Self::Gemma3 => "gemma3",
        }
    }
}

/// The parameters of a model, checked for consistency.
#[derive(Debug)]
pub(crate) struct Sizes {
    pub(crate) layers: usize,
    /// Context length that the model was trained for.
    pub(crate) context: u32,
    pub(crate) hidden: usize,
    pub(crate) inner: usize,
    pub(crate) heads: usize,
    pub(crate) key_heads: usize,
    pub(crate) head_width: usize,
    pub(crate) eps: f32,
    pub(crate) attention_scale: f32,
    /// Gemma's soft cap of logits.
    pub(crate) logit_cap: Option<f32>,
    /// Attention window of each layer in tokens, including the token itself; all tokens if `None`.
    pub(crate) windows: Vec<Option<usize>>,
    /// For layers with global attention, and for those with a window.
    pub(crate) ropes: [Rope; 2],
}

/// Maximum number of layers, as in llama.cpp.
const MOST_LAYERS: usize = 512;
/// The base of rotary frequencies if the file has none.
const ROPE_BASE: f32 = 10_000.0;
/// In Gemma 3 every sixth layer has global attention, unless the file says otherwise.
const GLOBAL_EVERY: usize = 6;
/// Gemma 3 27B is identified by its number of layers; it alone scales scores by the root of a width other than that of its heads.
const LAYERS_27B: usize = 62;
/// Maximum tensor dimension: anything larger means a damaged file.
const LARGEST: usize = 1 << 24;

impl Sizes {
    pub(crate) fn read(architecture: Architecture, file: &GgufFile) -> Result<Self> {
        let keys = Keys { file, name: architecture.name() };
        let gemma = architecture == Architecture::Gemma3;
        if let Some(experts @ 1..) = file.number(&keys.key("expert_count"))? {
            return Err(file.refused(
                format!("`{}`", keys.key("expert_count")),
                format!("it is {experts}; only models without experts are computed"),
                "take a dense model, or a server that runs this one",
            ));
        }
        let layers = keys.size("block_count")?;
        if layers > MOST_LAYERS {
            return Err(file.broken(format!("{layers} layers, expected at most {MOST_LAYERS}")));
        }
        let context = file.required(&keys.key("context_length"))?;
        let (hidden, heads) = (keys.size("embedding_length")?, keys.size("attention.head_count")?);
        let key_heads = keys.optional("attention.head_count_kv")?.unwrap_or(heads);
        let head_width = keys.optional("attention.key_length")?.unwrap_or(hidden / heads);
        keys.equal("attention.value_length", head_width, "keys and values are of one width")?;
        keys.equal("attention.key_length_swa", head_width, "all layers' heads are of one width")?;
        keys.equal("attention.value_length_swa", head_width, "all layers' heads are of one width")?;
        keys.equal("embedding_length_out", hidden, "the output is as wide as the embedding")?;
        let turned = keys.optional("rope.dimension_count")?.unwrap_or(head_width);
        keys.equal("rope.dimension_count_swa", turned, "all layers turn as much of a head")?;
        let whole = heads.is_multiple_of(key_heads) && head_width.is_multiple_of(4) && head_width > 0;
        let turns = turned.is_multiple_of(2) && (turned == head_width || gemma && turned < head_width);
        if !whole || !turns {
            return Err(file.broken(format!(
                "{heads} heads of {head_width} numbers, {turned} of them turned by position, do not go with \
                 {key_heads} of keys"
            )));
        }
        let windows = keys.windows(architecture, layers, context)?;
        let scale = 1.0 / (head_width as f32).sqrt();
        let attention_scale =
            if gemma && layers == LAYERS_27B { 1.0 / ((hidden / heads) as f32).sqrt() } else { scale };
        if let Some(given) = file.float(&keys.key("attention.scale"))?.filter(|given| *given != 0.0)
            && (given - attention_scale).abs() > 1e-6
        {
            return Err(file.refused(
                format!("`{}`", keys.key("attention.scale")),
                format!("it is {given}; of {} only {attention_scale} is computed", keys.name),
                "take another model, or a server that runs this one",
            ));
        }
        let cap = if gemma { file.float(&keys.key("final_logit_softcapping"))? } else { None };
        let eps = keys.key("attention.layer_norm_rms_epsilon");
        let ropes = keys.ropes(architecture, turned, context)?;
        let sizes = Self {
            layers,
            context,
            hidden,
            inner: keys.size("feed_forward_length")?,
            heads,
            key_heads,
            head_width,
            eps: file.float(&eps)?.ok_or_else(|| file.missing(&eps))?,
            attention_scale,
            logit_cap: cap.filter(|&cap| cap != 0.0),
            windows,
            ropes,
        };
        file.refuse_keys(&keys.key(""), keys.name)?;
        Ok(sizes)
    }
}

/// The keys of an architecture in a file.
struct Keys<'f> {
    file: &'f GgufFile,
    name: &'static str,
}

impl Keys<'_> {
    fn key(&self, key: &str) -> String {
        format!("{}.{key}", self.name)
    }

    /// A number of rows or columns, at least one.
    fn optional(&self, key: &str) -> Result<Option<usize>> {
        let key = self.key(key);
        match self.file.number(&key)?.map(|number| number as usize) {
            Some(number @ 1..=LARGEST) => Ok(Some(number)),
            Some(number) => Err(self.file.broken(format!("`{key}` is {number}, expected 1 to {LARGEST}"))),
            None => Ok(None),
        }
    }

    fn size(&self, key: &str) -> Result<usize> {
        self.optional(key)?.ok_or_else(|| self.file.missing(&self.key(key)))
    }

    /// Refuses a key with any other value than this.
    fn equal(&self, key: &str, expected: usize, why: &str) -> Result<()> {
        match self.optional(key)? {
            Some(received) if received != expected => Err(self.file.refused(
                format!("`{}`", self.key(key)),
                format!("it is {received}, expected {expected}: {why} here"),
                "take another model, or a server that runs this one",
            )),
            _ => Ok(()),
        }
    }

    fn windows(&self, architecture: Architecture, layers: usize, context: u32) -> Result<Vec<Option<usize>>> {
        let (key, pattern) =
            (self.key("attention.sliding_window"), self.key("attention.sliding_window_pattern"));
        let window = self.file.number(&key)?.filter(|&window| window > 0);
        if architecture == Architecture::Llama {
            return match window {
                Some(window) if window < context => Err(self.file.refused(
                    format!("`{key}`"),
                    format!(
                        "it is {window}; of llama only layers that see all {context} tokens are computed"
                    ),
                    "take another model, or a server that runs this one",
                )),
                _ => Ok(vec![None; layers]),
            };
        }
        let Some(window) = window else {
            // Without windows a pattern has no meaning.
            self.file.pass_over(&pattern);
            return Ok(vec![None; layers]);
        };
        let local: Vec<bool> = if self.file.is_list(&pattern) {
            self.file.flags(&pattern)?.unwrap_or_default()
        } else {
            // 0: global attention in all layers.
            let every = self.file.number(&pattern)?.map_or(GLOBAL_EVERY, |every| every as usize);
            (0..layers).map(|layer| every == 0 || layer % every < every - 1).collect()
        };
        if local.len() != layers {
            let received = local.len();
            return Err(self.file.broken(format!("`{pattern}` has {received} layers, expected {layers}")));
        }
        Ok(local.into_iter().map(|local| local.then_some(window as usize)).collect())
    }

    fn ropes(&self, architecture: Architecture, turned: usize, context: u32) -> Result<[Rope; 2]> {
        let base = |key: &str| {
            let key = self.key(key);
            match self.file.float(&key)? {
                Some(base) if base > 1.0 => Ok(base),
                None => Ok(ROPE_BASE),
                Some(base) => Err(self.file.broken(format!("`{key}` is {base}, expected more than 1"))),
            }
        };
        let scaling = Scaling::read(self.file, self.name, context)?;
        let global = base("rope.freq_base")?;
        if architecture == Architecture::Gemma3 {
            let local = base("rope.freq_base_swa")?;
            return Ok([
                Rope::new(turned, global, scaling, None),
                Rope::new(turned, local, scaling.of_windows(), None),
            ]);
        }
        let name = "rope_freqs.weight";
        let factors = self.file.optional_vector(name, turned / 2)?;
        if factors.iter().flatten().any(|&factor| factor <= 0.0) {
            return Err(self.file.broken(format!("tensor `{name}` holds a factor that is not above 0")));
        }
        let rope = Rope::new(turned, global, scaling, factors.as_deref());
        Ok([rope.clone(), rope])
    }
}
