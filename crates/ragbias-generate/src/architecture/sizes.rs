//! The parameters of a model.

use super::{Architecture, Cap, Frequencies, Local, Windows};
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
    /// Soft cap of scores.
    pub(crate) attention_cap: Option<f32>,
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
            attention_cap: keys.cap("attn_logit_softcapping", architecture.attention_cap)?,
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
            Cap::Default(cap) => self.file.float(&self.key(key))?.or(Some(cap)),
        };
        Ok(given.filter(|&cap| cap != 0.0))
    }

    /// The window of each layer, if it has one.
    fn windows(&self, layers: usize, context: u32) -> Result<Vec<Option<usize>>> {
        let key = self.key("attention.sliding_window");
        let given = self.file.number(&key)?;
        let refused = |reason: String, hint: &str| Err(self.file.refused(format!("`{key}`"), reason, hint));
        match self.architecture.windows {
            Windows::None => match given {
                Some(window @ 1..) if window < context => {
                    let name = self.architecture.name;
                    let reason = format!(
                        "it is {window}; of {name} only layers that see all {context} tokens are computed"
                    );
                    refused(reason, "take another model, or a server that runs this one")
                }
                _ => Ok(vec![None; layers]),
            },
            Windows::All => {
                let window = given.filter(|&window| window > 0);
                Ok(vec![window.map(|window| window as usize); layers])
            }
            Windows::Alternating { default: Some(_), .. } if given == Some(0) => refused(
                "it is 0, expected at least 1".into(),
                "convert the model again; a file without this key has the usual window",
            ),
            Windows::Alternating { global, default, .. } => {
                let window = given.or(default).filter(|&window| window > 0);
                self.alternating(layers, global, window.map(|window| window as usize))
            }
        }
    }

    /// The window of each layer, where all but the last of every `global` have one unless the file has another pattern.
    fn alternating(&self, layers: usize, global: usize, window: Option<usize>) -> Result<Vec<Option<usize>>> {
        let pattern = self.key("attention.sliding_window_pattern");
        if window.is_none() {
            // Without windows a pattern has no meaning.
            self.file.pass_over(&pattern);
            return Ok(vec![None; layers]);
        }
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
        Ok(local.into_iter().map(|local| window.filter(|_| local)).collect())
    }

    /// The positions of layers with these windows.
    fn layers(
        &self,
        turned: usize,
        trained: u32,
        windows: &[Option<usize>],
    ) -> Result<(Vec<Rope>, Vec<LayerKind>)> {
        let Architecture { name, frequencies, unturned_every, .. } = *self.architecture;
        let scaling = Scaling::read(self.file, name, trained, frequencies == Frequencies::LongOrShort)?;
        let global = self.base("rope.freq_base", ROPE_BASE)?;
        let factors = self.factors(turned, trained)?;
        let mut ropes = vec![Rope::new(turned, global, scaling, factors.as_deref())];
        let mut local = 0;
        if let Windows::Alternating { positions, .. } = self.architecture.windows {
            let key = "rope.freq_base_swa";
            let (base, scaling) = match positions {
                Local::Own => (self.base(key, ROPE_BASE)?, scaling.of_windows()),
                Local::Same => (self.base(key, global)?, scaling),
                Local::Unscaled => (global, Scaling::NONE),
            };
            local = ropes.len();
            ropes.push(Rope::new(turned, base, scaling, None));
        }
        let mut unturned = 0;
        if unturned_every.is_some() {
            unturned = ropes.len();
            ropes.push(Rope::NONE);
        }
        let kinds = windows.iter().zip(1_usize..).map(|(&window, number)| LayerKind {
            window,
            rope: match window {
                _ if unturned_every.is_some_and(|every| number.is_multiple_of(every)) => unturned,
                Some(_) => local,
                None => 0,
            },
        });
        Ok((ropes, kinds.collect()))
    }

    fn base(&self, key: &str, default: f32) -> Result<f32> {
        let key = self.key(key);
        match self.file.float(&key)? {
            Some(base) if base > 1.0 => Ok(base),
            None => Ok(default),
            Some(base) => Err(self.file.broken(format!("`{key}` is {base}, expected more than 1"))),
        }
    }

    /// Divisors of the frequencies of a model that was trained on `trained` tokens.
    fn factors(&self, turned: usize, trained: u32) -> Result<Option<Vec<f32>>> {
        let read = |name: &str| {
            let factors = self.file.vector(name, turned / 2)?;
            if factors.iter().all(|&factor| factor > 0.0) {
                Ok(factors)
            } else {
                Err(self.file.broken(format!("tensor `{name}` holds a factor that is not above 0")))
            }
        };
        let (one, long, short) =
            ("rope_freqs.weight", "rope_factors_long.weight", "rope_factors_short.weight");
        match self.architecture.frequencies {
            Frequencies::Divided if self.file.has_tensor(one) => read(one).map(Some),
            Frequencies::LongOrShort if self.file.has_tensor(long) || self.file.has_tensor(short) => {
                let original = self.file.number(&self.key("rope.scaling.original_context_length"))?;
                let (long, short) = (read(long)?, read(short)?);
                let longer = trained.min(LONGEST_CONTEXT) > original.unwrap_or(trained);
                Ok(Some(if longer { long } else { short }))
            }
            _ => Ok(None),
        }
    }
}
