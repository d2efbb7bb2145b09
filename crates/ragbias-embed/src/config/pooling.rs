//! How the hidden states of tokens are pooled into one vector: the module `Pooling` of sentence-transformers.

use std::path::Path;

use serde_json::Value;

use crate::files::{Object, get, refuse_unknown};
use crate::{Error, Result};

/// One pooling mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PoolingMode {
    /// The hidden state of the first token.
    Cls,
    /// The largest value of each dimension.
    Max,
    /// The mean over all tokens.
    Mean,
    /// Their sum divided by the square root of their number.
    MeanSqrtLen,
    /// Their mean weighted by position: 1, 2, 3 and so on.
    WeightedMean,
    /// The hidden state of the last token.
    LastToken,
}

/// How tokens are pooled: one mode, or several whose vectors are concatenated in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pooling {
    modes: Vec<PoolingMode>,
    /// Whether the tokens of a prompt are pooled too.
    include_prompt: bool,
}

/// Names in the two layouts of the file, in the order in which the older one concatenates them.
const NAMES: [(PoolingMode, &str, &str); 6] = [
    (PoolingMode::Cls, "cls", "pooling_mode_cls_token"),
    (PoolingMode::Max, "max", "pooling_mode_max_tokens"),
    (PoolingMode::Mean, "mean", "pooling_mode_mean_tokens"),
    (PoolingMode::MeanSqrtLen, "mean_sqrt_len_tokens", "pooling_mode_mean_sqrt_len_tokens"),
    (PoolingMode::WeightedMean, "weightedmean", "pooling_mode_weightedmean_tokens"),
    (PoolingMode::LastToken, "lasttoken", "pooling_mode_lasttoken"),
];

impl PoolingMode {
    /// Its name in files.
    pub fn name(self) -> &'static str {
        NAMES.into_iter().find(|(mode, ..)| *mode == self).map_or("", |(_, name, _)| name)
    }

    fn named(path: &Path, name: &str) -> Result<Self> {
        NAMES.into_iter().find(|(_, known, _)| *known == name).map(|(mode, ..)| mode).ok_or_else(|| {
            let known: Vec<&str> = NAMES.iter().map(|(_, name, _)| *name).collect();
            Error::unsupported(path, "pooling_mode", format!("one of {}", known.join(", ")), name)
        })
    }
}

impl From<PoolingMode> for Pooling {
    fn from(mode: PoolingMode) -> Self {
        Self { modes: vec![mode], include_prompt: true }
    }
}

impl Pooling {
    /// Modes whose vectors are concatenated, at least one.
    ///
    /// # Panics
    /// If there is no mode.
    pub fn joined(modes: Vec<PoolingMode>) -> Self {
        assert!(!modes.is_empty(), "vectors are pooled in at least one way");
        Self { modes, include_prompt: true }
    }

    /// The same, leaving out the tokens of prompts.
    #[must_use]
    pub fn without_prompts(self) -> Self {
        Self { include_prompt: false, ..self }
    }

    /// The modes, in the order in which their vectors are concatenated.
    pub fn modes(&self) -> &[PoolingMode] {
        &self.modes
    }

    /// Whether the tokens of a prompt are pooled too.
    pub fn includes_prompt(&self) -> bool {
        self.include_prompt
    }

    /// The mode, if there is only one.
    pub fn single(&self) -> Option<PoolingMode> {
        if let [mode] = self.modes[..] { Some(mode) } else { None }
    }

    /// Dimension of a pooled vector.
    pub fn dim(&self, hidden: usize) -> usize {
        self.modes.len() * hidden
    }

    /// From the module's file, in either layout.
    pub(crate) fn from_file(path: &Path, file: &Object) -> Result<Self> {
        let mut known =
            vec!["embedding_dimension", "word_embedding_dimension", "pooling_mode", "include_prompt"];
        known.extend(NAMES.iter().map(|(.., older)| older));
        refuse_unknown(path, file, &known)?;
        let dimension: Option<usize> = get(path, file, "embedding_dimension")?;
        if dimension.or(get(path, file, "word_embedding_dimension")?).is_none() {
            return Err(Error::unsupported(path, "embedding_dimension", "a number", "missing"));
        }
        let include_prompt = get(path, file, "include_prompt")?.unwrap_or(true);
        let modes = match file.get("pooling_mode") {
            None => older_modes(path, file)?,
            Some(Value::String(name)) => vec![PoolingMode::named(path, name)?],
            Some(other) => {
                let names: Vec<String> = get(path, file, "pooling_mode")?.unwrap_or_default();
                if names.is_empty() {
                    let received = other.to_string();
                    return Err(Error::unsupported(path, "pooling_mode", "a name or several", received));
                }
                names.iter().map(|name| PoolingMode::named(path, name)).collect::<Result<_>>()?
            }
        };
        Ok(Self { modes, include_prompt })
    }

    /// The module's file, readable by every release of sentence-transformers; `None` if no single layout can express it.
    pub(crate) fn to_file(&self, hidden: usize) -> Option<Value> {
        let mut file = Object::new();
        file.insert("word_embedding_dimension".into(), hidden.into());
        for (mode, _, older) in NAMES {
            file.insert(older.into(), self.modes.contains(&mode).into());
        }
        file.insert("include_prompt".into(), self.include_prompt.into());
        let in_order = NAMES.into_iter().map(|(mode, ..)| mode).filter(|mode| self.modes.contains(mode));
        in_order.eq(self.modes.iter().copied()).then_some(Value::Object(file))
    }
}

/// The modes selected by the booleans of the older layout; the mean if none is.
fn older_modes(path: &Path, file: &Object) -> Result<Vec<PoolingMode>> {
    let mut modes = Vec::new();
    for (mode, _, older) in NAMES {
        if get::<bool>(path, file, older)?.unwrap_or(false) {
            modes.push(mode);
        }
    }
    if modes.is_empty() {
        modes.push(PoolingMode::Mean);
    }
    Ok(modes)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(file: Value) -> Result<Pooling> {
        Pooling::from_file(Path::new("1_Pooling/config.json"), file.as_object().unwrap())
    }

    #[test]
    fn both_layouts_are_read_in_the_order_in_which_vectors_are_joined() {
        let newer = read(json!({"embedding_dimension": 8, "pooling_mode": ["mean", "cls"]})).unwrap();
        assert_eq!(newer.modes(), [PoolingMode::Mean, PoolingMode::Cls]);
        let older = json!({"word_embedding_dimension": 8, "pooling_mode_mean_tokens": true,
            "pooling_mode_cls_token": true, "include_prompt": false});
        let older = read(older).unwrap();
        assert_eq!(
            (older.modes(), older.includes_prompt()),
            (&[PoolingMode::Cls, PoolingMode::Mean][..], false)
        );
        assert_eq!(read(json!({"embedding_dimension": 8})).unwrap(), PoolingMode::Mean.into());
    }

    #[test]
    fn what_is_not_known_is_refused_by_name() {
        let error =
            read(json!({"embedding_dimension": 8, "pooling_mode": "attention"})).unwrap_err().to_string();
        assert!(error.contains("pooling_mode is `attention`, expected one of cls, max"), "{error}");
        let error =
            read(json!({"embedding_dimension": 8, "pooling_mode_median": true})).unwrap_err().to_string();
        assert!(error.contains("a key is `pooling_mode_median`"), "{error}");
        let error = read(json!({"pooling_mode": "cls"})).unwrap_err().to_string();
        assert!(error.contains("embedding_dimension is `missing`"), "{error}");
        assert!(read(json!({"embedding_dimension": 8, "pooling_mode": []})).is_err());
    }

    #[test]
    fn what_is_written_is_read_again() {
        for modes in [vec![PoolingMode::Cls], vec![PoolingMode::Max, PoolingMode::LastToken]] {
            let pooling = Pooling::joined(modes).without_prompts();
            assert_eq!(read(pooling.to_file(8).unwrap()).unwrap(), pooling);
        }
        let reversed = Pooling::joined(vec![PoolingMode::Mean, PoolingMode::Cls]);
        assert_eq!(reversed.to_file(8), None);
    }
}
