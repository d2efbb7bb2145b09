//! The settings that sentence-transformers adds: `sentence_bert_config.json` and `config_sentence_transformers.json`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use ragbias_core::{Role, Similarity};
use serde_json::Value;

use crate::files::{Object, get, read_json, refuse_unknown};
use crate::{Error, Result};

/// Prefixes of texts by role, such as E5's `query: ` and `passage: `.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Prefixes {
    /// The prefix of a question.
    pub question: String,
    /// The prefix of a document.
    pub document: String,
}

impl Prefixes {
    /// The prefix for texts of a role.
    pub fn of(&self, role: Role) -> &str {
        match role {
            Role::Question => &self.question,
            Role::Document => &self.document,
        }
    }
}

/// Settings of the module `Transformer`.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct TransformerFile {
    /// Longest text in tokens, overriding the tokenizer's.
    pub(crate) max_seq_length: Option<usize>,
    /// Whether texts are lower-cased first.
    pub(crate) do_lower_case: bool,
}

/// Names of the file over time: the first one present and not empty is used.
const NAMES: [&str; 7] = [
    "sentence_bert_config.json",
    "sentence_roberta_config.json",
    "sentence_distilbert_config.json",
    "sentence_camembert_config.json",
    "sentence_albert_config.json",
    "sentence_xlm-roberta_config.json",
    "sentence_xlnet_config.json",
];

impl TransformerFile {
    pub(crate) fn read(folder: &Path) -> Result<Self> {
        for path in NAMES.map(|name| folder.join(name)) {
            if path.is_file() {
                let file: Object = read_json(&path)?;
                if !file.is_empty() {
                    return Self::from_file(&path, &file);
                }
            }
        }
        Ok(Self::default())
    }

    fn from_file(path: &Path, file: &Object) -> Result<Self> {
        const ARGUMENTS: [&str; 6] = [
            "model_args",
            "model_kwargs",
            "tokenizer_args",
            "processor_kwargs",
            "config_args",
            "config_kwargs",
        ];
        const OTHER: [&str; 5] = [
            "processing_kwargs",
            "query_length",
            "document_length",
            "query_expansion",
            "tokenizer_name_or_path",
        ];
        let mut known = vec!["max_seq_length", "do_lower_case", "unpad_inputs"];
        known.extend(["transformer_task", "modality_config", "module_output_name"]);
        known.extend(ARGUMENTS.into_iter().chain(OTHER));
        refuse_unknown(path, file, &known)?;
        for key in ARGUMENTS {
            check_arguments(path, file, key)?;
        }
        for key in OTHER {
            if let Some(value) = file.get(key).filter(|value| !is_nothing(value)) {
                return Err(Error::unsupported(path, key, "nothing", value.to_string()));
            }
        }
        let expected = [
            ("transformer_task", Value::from("feature-extraction")),
            ("module_output_name", Value::from("token_embeddings")),
            (
                "modality_config",
                serde_json::json!({
                    "text": { "method": "forward", "method_output_name": "last_hidden_state" }
                }),
            ),
        ];
        for (key, expected) in expected {
            if let Some(other) = file.get(key).filter(|value| !value.is_null() && **value != expected) {
                return Err(Error::unsupported(path, key, expected.to_string(), other.to_string()));
            }
        }
        let max_seq_length = get(path, file, "max_seq_length")?;
        if max_seq_length == Some(0) {
            return Err(Error::unsupported(path, "max_seq_length", "a number above 0", "0"));
        }
        Ok(Self { max_seq_length, do_lower_case: get(path, file, "do_lower_case")?.unwrap_or(false) })
    }
}

fn is_nothing(value: &Value) -> bool {
    value.is_null() || value.as_object().is_some_and(Object::is_empty)
}

/// Arguments to transformers: only those that change no number are accepted.
fn check_arguments(path: &Path, file: &Object, key: &'static str) -> Result<()> {
    const HARMLESS: [&str; 4] =
        ["attn_implementation", "add_pooling_layer", "trust_remote_code", "low_cpu_mem_usage"];
    let Some(arguments) = get::<Object>(path, file, key)? else { return Ok(()) };
    for (name, value) in &arguments {
        let is_full_precision = ["dtype", "torch_dtype"].contains(&name.as_str())
            && ["auto", "float32", "torch.float32"].iter().any(|known| value == known);
        if !HARMLESS.contains(&name.as_str()) && !is_full_precision {
            return Err(Error::unsupported(
                path,
                key,
                "no arguments that change vectors",
                format!("{name} = {value}"),
            ));
        }
    }
    Ok(())
}

/// Settings of a whole checkpoint.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct SentenceFile {
    pub(crate) prefixes: Prefixes,
    pub(crate) similarity: Similarity,
    /// Vectors are truncated to this many dimensions.
    pub(crate) truncate_dim: Option<usize>,
    /// Prompts of other names, which are not used.
    pub(crate) unused_prompts: Vec<String>,
}

impl SentenceFile {
    pub(crate) fn read(folder: &Path) -> Result<Self> {
        let path: PathBuf = folder.join("config_sentence_transformers.json");
        if !path.is_file() {
            return Ok(Self::default());
        }
        let file: Object = read_json(&path)?;
        let kind: Option<String> = get(&path, &file, "model_type")?;
        if let Some(other) = kind.filter(|kind| kind != "SentenceTransformer") {
            return Err(Error::unsupported(&path, "model_type", "SentenceTransformer", other));
        }
        let prompts: BTreeMap<String, Option<String>> = get(&path, &file, "prompts")?.unwrap_or_default();
        if let Some(name) = get::<String>(&path, &file, "default_prompt_name")? {
            // Its own two names always exist.
            if !prompts.contains_key(&name) && !["query", "document"].contains(&name.as_str()) {
                let expected = "the name of one of its prompts";
                return Err(Error::unsupported(&path, "default_prompt_name", expected, name));
            }
        }
        // As in `encode_query` and `encode_document`: both names always exist, possibly empty, so that neither another
        // name (`passage`) nor the default prompt is used.
        let prompt = |name: &str| prompts.get(name).cloned().flatten().unwrap_or_default();
        let prefixes = Prefixes { question: prompt("query"), document: prompt("document") };
        let is_unused = |(name, text): &(&String, &Option<String>)| {
            !["query", "document"].contains(&name.as_str())
                && text.as_ref().is_some_and(|text| !text.is_empty())
        };
        let unused_prompts = prompts.iter().filter(is_unused).map(|(name, _)| name.clone()).collect();
        let truncate_dim = get(&path, &file, "truncate_dim")?;
        if truncate_dim == Some(0) {
            return Err(Error::unsupported(&path, "truncate_dim", "a number above 0", "0"));
        }
        Ok(Self { prefixes, similarity: similarity(&path, &file)?, truncate_dim, unused_prompts })
    }
}

fn similarity(path: &Path, file: &Object) -> Result<Similarity> {
    let name: Option<String> = get(path, file, "similarity_fn_name")?;
    let Some(name) = name else { return Ok(Similarity::Cosine) };
    Similarity::ALL
        .into_iter()
        .find(|similarity| similarity.name() == name)
        .ok_or_else(|| Error::unsupported(path, "similarity_fn_name", "cosine, dot or euclidean", name))
}
