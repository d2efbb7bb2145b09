//! The parameters of a model.

use super::{Architecture, Cap, Frequencies, Windows};
use crate::Result;
use crate::file::GgufFile;
use crate::rope::{Rope, Scaling};

/// The parameters of a model, checked for consistency.
#[derive(Debug)]
pub(crate) struct Sizes {
    pub(crate) layers: usize,
    /// The most tokens of a prompt and its answer.
    pub(crate) context: u32,
    pub(crate) hidden: usize,
    pub(crate) inner: usize,
    pub(crate) heads: usize,
    pub(crate) key_heads: usize,
    pub(crate) head_width: usize,
    pub(crate) eps: f32,
    pub(crate) attention_scale: f32,
    /// Soft cap of logits.
    pub(crate) logit_cap: Option<f32>,
    /// What distinguishes each layer from the others.
    pub(crate) kinds: Vec<LayerKind>,
    /// The positions that layers use.
    pub(crate) ropes: Vec<Rope>,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct LayerKind {
    /// Attention window in tokens, including the token itself; all tokens if `None`.
    pub(crate) window: Option<usize>,
    /// Index of its positions in `ropes`.
    pub(crate) rope: usize,
}

/// Maximum number of layers, as in llama.cpp.
const MOST_LAYERS: usize = 512;
/// The base of rotary frequencies if the file has none.
const ROPE_BASE: f32 = 10_000.0;
/// Longer prompts are refused, whatever the model's context length.
const LONGEST_CONTEXT: u32 = 4096;
/// Maximum tensor dimension: anything larger means a damaged file.
const LARGEST: usize = 1 << 24;

impl Sizes {
    pub(crate) fn read(architecture: &'static Architecture, file: &GgufFile) -> Result<Self> {
        let keys = Keys { file, architecture };
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
        let trained = file.required(&keys.key("context_length"))?;
        let context = trained.min(LONGEST_CONTEXT);
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
        let turns = turned.is_multiple_of(2)
            && (turned == head_width || architecture.turned_in_part && turned < head_width);
        if !whole || !turns {
            return Err(file.broken(format!(
                "{heads} heads of {head_width} numbers, {turned} of them turned by position, do not go with \
                 {key_heads} of keys"
            )));
        }
        let windows = keys.windows(layers, context)?;
        let scaled_by = match architecture.scaled_by_hidden {
            Some(number) if number == layers => hidden / heads,
            _ => head_width,
        };
        let attention_scale = 1.0 / (scaled_by as f32).sqrt();
        if let Some(given) = file.float(&keys.key("attention.scale"))?.filter(|given| *given != 0.0)
            && (given - attention_scale).abs() > 1e-6
        {
            return Err(file.refused(
                format!("`{}`", keys.key("attention.scale")),
                format!("it is {given}; of {} only {attention_scale} is computed", architecture.name),
                "take another model, or a server that runs this one",
            ));
        }
        let eps = keys.key("attention.layer_norm_rms_epsilon");
        let (ropes, kinds) = keys.layers(turned, trained, &windows)?;
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
            logit_cap: keys.cap("final_logit_softcapping", architecture.logit_cap)?,
            kinds,
            ropes,
        };
        file.refuse_keys(&keys.key(""), architecture.name)?;
        Ok(sizes)
    }
}

/// The keys of an architecture in a file.
struct Keys<'f> {
    file: &'f GgufFile,
    architecture: &'static Architecture,
}

impl Keys<'_> {
    fn key(&self, key: &str) -> String {
        format!("{}.{key}", self.architecture.name)
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

    /// A soft cap; 0 is none.
    fn cap(&self, key: &str, cap: Cap) -> Result<Option<f32>> {
        let given = match cap {
            Cap::None => None,
            Cap::Given => self.file.float(&self.key(key))?,
        };
        Ok(given.filter(|&cap| cap != 0.0))
    }

    /// The window of each layer, if it has one.
    fn windows(&self, layers: usize, context: u32) -> Result<Vec<Option<usize>>> {
        let (key, pattern) =
            (self.key("attention.sliding_window"), self.key("attention.sliding_window_pattern"));
        let window = self.file.number(&key)?.filter(|&window| window > 0);
        let global = match self.architecture.windows {
            Windows::Alternating { global } => global,
            Windows::None => {
                let Some(window) = window.filter(|&window| window < context) else {
                    return Ok(vec![None; layers]);
                };
                let name = self.architecture.name;
                return Err(self.file.refused(
                    format!("`{key}`"),
                    format!(
                        "it is {window}; of {name} only layers that see all {context} tokens are computed"
                    ),
                    "take another model, or a server that runs this one",
                ));
            }
        };
        let Some(window) = window else {
            // Without windows a pattern has no meaning.
            self.file.pass_over(&pattern);
            return Ok(vec![None; layers]);
        };
        let local: Vec<bool> = if self.file.is_list(&pattern) {
            self.file.flags(&pattern)?.unwrap_or_default()
        } else {
            let every = self.file.number(&pattern)?.map_or(global, |every| every as usize);
            // 0: no layer has global attention.
            (0..layers).map(|layer| every == 0 || layer % every < every - 1).collect()
        };
        if local.len() != layers {
            let received = local.len();
            return Err(self.file.broken(format!("`{pattern}` has {received} layers, expected {layers}")));
        }
        Ok(local.into_iter().map(|local| local.then_some(window as usize)).collect())
    }

    /// The positions of layers with these windows.
    fn layers(
        &self,
        turned: usize,
        trained: u32,
        windows: &[Option<usize>],
    ) -> Result<(Vec<Rope>, Vec<LayerKind>)> {
        let scaling = Scaling::read(self.file, self.architecture.name, trained)?;
        let global = self.base("rope.freq_base")?;
        let factors = self.factors(turned)?;
        let mut ropes = vec![Rope::new(turned, global, scaling, factors.as_deref())];
        if let Windows::Alternating { .. } = self.architecture.windows {
            let local = self.base("rope.freq_base_swa")?;
            ropes.push(Rope::new(turned, local, scaling.of_windows(), None));
        }
        let kind = |&window: &Option<usize>| LayerKind { window, rope: usize::from(window.is_some()) };
        Ok((ropes, windows.iter().map(kind).collect()))
    }

    fn base(&self, key: &str) -> Result<f32> {
        let key = self.key(key);
        match self.file.float(&key)? {
            Some(base) if base > 1.0 => Ok(base),
            None => Ok(ROPE_BASE),
            Some(base) => Err(self.file.broken(format!("`{key}` is {base}, expected more than 1"))),
        }
    }

    /// Divisors of the frequencies.
    fn factors(&self, turned: usize) -> Result<Option<Vec<f32>>> {
        let name = match self.architecture.frequencies {
            Frequencies::Plain => return Ok(None),
            Frequencies::Divided => "rope_freqs.weight",
        };
        let factors = self.file.optional_vector(name, turned / 2)?;
        if factors.iter().flatten().any(|&factor| factor <= 0.0) {
            return Err(self.file.broken(format!("tensor `{name}` holds a factor that is not above 0")));
        }
        Ok(factors)
    }
}
