//! What the JSON files of a checkpoint say.

mod bert;
mod modules;
mod pooling;
mod sentence;
mod step;

use std::path::{Path, PathBuf};

use ragbias_core::Similarity;

pub use self::bert::{Activation, BertConfig};
pub use self::pooling::{Pooling, PoolingMode};
pub use self::sentence::Prefixes;
pub use self::step::{DenseConfig, Function, StepConfig};

pub(crate) use self::bert::{ConfigFile, Rounding};
pub(crate) use self::modules::{Module, Modules};
pub(crate) use self::sentence::{SentenceFile, TransformerFile};
pub(crate) use self::step::{DenseFile, IDENTITY};

use crate::{Error, Result};

/// Everything that the JSON files of a checkpoint say of its vectors, checked; what they say of tokens is the tokenizer's.
#[derive(Debug, Clone, PartialEq)]
pub struct CheckpointConfig {
    /// Shape of the encoder.
    pub bert: BertConfig,
    /// How tokens are pooled.
    pub pooling: Pooling,
    /// What is done with a pooled vector, in order.
    pub steps: Vec<StepConfig>,
    /// Dimensions that vectors are cut to, after all steps.
    pub truncate_dim: Option<usize>,
    /// How vectors are compared.
    pub similarity: Similarity,
    /// What is put before texts.
    pub prefixes: Prefixes,
}

/// A checkpoint's folders, and what its files say.
#[derive(Debug, Clone)]
pub(crate) struct CheckpointFiles {
    pub(crate) config: CheckpointConfig,
    /// The folder of the transformer: weights and tokenizer.
    pub(crate) transformer: PathBuf,
    /// The folders of the steps.
    pub(crate) steps: Vec<PathBuf>,
    /// Longest text in tokens, where sentence-transformers' own file says.
    pub(crate) max_seq_length: Option<usize>,
    /// Texts are lower-cased before the tokenizer sees them.
    pub(crate) do_lower_case: bool,
    /// The tokenizer's class, where its own file does not say.
    pub(crate) tokenizer_class: Option<String>,
    /// What weights are rounded to.
    pub(crate) rounding: Option<Rounding>,
    /// Prompts that are never put before a text.
    pub(crate) unused_prompts: Vec<String>,
}

impl CheckpointConfig {
    /// Reads the JSON files of a checkpoint folder.
    ///
    /// # Errors
    /// A missing or malformed file, and everything that would change vectors in a way that this crate does not compute.
    pub fn read(folder: &Path) -> Result<Self> {
        Ok(CheckpointFiles::read(folder)?.config)
    }

    /// Dimensions of a pooled vector.
    pub fn pooled_dim(&self) -> usize {
        self.pooling.dim(self.bert.hidden_size)
    }

    /// What decides vectors, in the words that ids were made of from the first version on: what a plain checkpoint has not,
    /// it does not say.
    pub(crate) fn describe(&self, max_tokens: usize) -> String {
        let pooling = match (self.pooling.single(), self.pooling.includes_prompt()) {
            (Some(PoolingMode::Mean), true) => "Mean".to_owned(),
            (Some(PoolingMode::Cls), true) => "Cls".to_owned(),
            _ => format!("{:?}", self.pooling),
        };
        let mut parts = vec![
            format!("bert: {:?}", self.bert),
            format!("pooling: {pooling}"),
            format!("max_tokens: {max_tokens}"),
            format!("prefixes: {:?}", self.prefixes),
        ];
        // Vectors that are compared by cosine have unit length in the end, with or without a step that says so.
        let is_plain = self.similarity == Similarity::Cosine && self.steps == [StepConfig::Normalize];
        if !(is_plain || self.steps.is_empty()) {
            parts.push(format!("steps: {:?}", self.steps));
        }
        parts.extend(self.truncate_dim.map(|dim| format!("truncate_dim: {dim}")));
        if self.similarity != Similarity::Cosine {
            parts.push(format!("similarity: {}", self.similarity));
        }
        format!("CheckpointConfig {{ {} }}", parts.join(", "))
    }
}

impl CheckpointFiles {
    pub(crate) fn read(folder: &Path) -> Result<Self> {
        if let Some(modules) = Modules::read(folder)? {
            let file = read_config(&modules.transformer)?;
            let settings = TransformerFile::read(&modules.transformer)?;
            return Self::of(modules, file, settings, SentenceFile::read(folder)?);
        }
        // As sentence-transformers does it without modules.json: its own files are not looked at.
        let file = read_config(folder)?;
        let modules = Modules::of_transformer(folder, file.is_causal);
        Self::of(modules, file, TransformerFile::default(), SentenceFile::default())
    }

    fn of(
        modules: Modules,
        file: ConfigFile,
        settings: TransformerFile,
        whole: SentenceFile,
    ) -> Result<Self> {
        let Modules { transformer, pooling, steps } = modules;
        let (folders, steps): (Vec<_>, Vec<_>) = steps.into_iter().unzip();
        let config = CheckpointConfig {
            bert: file.bert,
            pooling,
            steps,
            truncate_dim: whole.truncate_dim,
            similarity: whole.similarity,
            prefixes: whole.prefixes,
        };
        check_dimensions(&config, &folders)?;
        Ok(Self {
            config,
            transformer,
            steps: folders,
            max_seq_length: settings.max_seq_length,
            do_lower_case: settings.do_lower_case,
            tokenizer_class: file.tokenizer_class,
            rounding: file.rounding,
            unused_prompts: whole.unused_prompts,
        })
    }
}

fn read_config(folder: &Path) -> Result<ConfigFile> {
    let path = folder.join("config.json");
    if !path.is_file() {
        return Err(Error::MissingFile { folder: folder.into(), file: "config.json" });
    }
    if folder.join("adapter_config.json").is_file() {
        let expected = "the weights themselves: merge_and_unload() of peft makes them";
        return Err(Error::unsupported(
            &folder.join("adapter_config.json"),
            "the checkpoint",
            expected,
            "an adapter",
        ));
    }
    ConfigFile::read(&path)
}

/// Every step takes what the one before it gives.
fn check_dimensions(config: &CheckpointConfig, folders: &[PathBuf]) -> Result<()> {
    let mut dim = config.pooled_dim();
    for (step, folder) in config.steps.iter().zip(folders) {
        let (key, takes, gives) = match step {
            StepConfig::Dense(dense) => ("in_features", dense.inputs, dense.outputs),
            StepConfig::LayerNorm { dim } => ("dimension", *dim, *dim),
            StepConfig::Normalize => continue,
        };
        if takes != dim {
            let expected = format!("{dim}, the dimensions of what comes before");
            return Err(Error::unsupported(&folder.join("config.json"), key, expected, takes.to_string()));
        }
        dim = gives;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use ragbias_core::Role;
    use serde_json::{Value, json};

    use super::*;

    fn folder(files: &[(&str, Value)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = folder.path().join(name);
            fs_err::create_dir_all(path.parent().unwrap()).unwrap();
            fs_err::write(path, text.to_string()).unwrap();
        }
        folder
    }

    fn bert() -> Value {
        json!({"model_type": "bert", "vocab_size": 9, "hidden_size": 8, "num_hidden_layers": 1,
            "num_attention_heads": 2, "intermediate_size": 16, "max_position_embeddings": 64})
    }

    fn modules(kinds: &[(&str, &str)]) -> Value {
        let module = |(at, (path, kind)): (usize, &(&str, &str))| {
            let kind = if kind.contains('.') {
                (*kind).to_owned()
            } else {
                format!("sentence_transformers.models.{kind}")
            };
            json!({"idx": at, "name": at.to_string(), "path": path, "type": kind})
        };
        kinds.iter().enumerate().map(module).collect()
    }

    const PLAIN: [(&str, &str); 2] = [("", "Transformer"), ("1_Pooling", "Pooling")];

    /// The refusal of a plain checkpoint with some files more, or others.
    fn refusal(files: &[(&str, Value)]) -> String {
        let pooling = json!({"word_embedding_dimension": 8, "pooling_mode_cls_token": true});
        let mut all = vec![
            ("config.json", bert()),
            ("modules.json", modules(&PLAIN)),
            ("1_Pooling/config.json", pooling),
        ];
        all.extend_from_slice(files);
        CheckpointConfig::read(folder(&all).path()).unwrap_err().to_string()
    }

    fn bert_with(key: &str, value: Value) -> (&'static str, Value) {
        let mut file = bert();
        file[key] = value;
        ("config.json", file)
    }

    #[test]
    fn modules_are_read_in_their_order_from_wherever_they_are() {
        let dense = json!({"in_features": 16, "out_features": 4, "bias": false,
            "activation_function": "torch.nn.modules.activation.Tanh"});
        let order = [
            ("0_Transformer", "sentence_transformers.base.modules.transformer.Transformer"),
            ("p", "sentence_transformers.sentence_transformer.modules.pooling.Pooling"),
            ("2_Normalize", "Normalize"),
            ("3_Dense", "Dense"),
            ("4_Dropout", "Dropout"),
            ("5_LayerNorm", "LayerNorm"),
        ];
        let folder = folder(&[
            ("modules.json", modules(&order)),
            ("0_Transformer/config.json", bert()),
            ("p/config.json", json!({"embedding_dimension": 8, "pooling_mode": ["max", "cls"]})),
            ("3_Dense/config.json", dense),
            ("5_LayerNorm/config.json", json!({"dimension": 4})),
        ]);
        let config = CheckpointConfig::read(folder.path()).unwrap();
        assert_eq!(config.pooling.modes(), [PoolingMode::Max, PoolingMode::Cls]);
        let names: Vec<&str> = config.steps.iter().map(StepConfig::name).collect();
        assert_eq!(names, ["Normalize", "Dense", "LayerNorm"]);
    }

    #[test]
    fn prompts_similarity_and_length_of_vectors_come_from_their_file() {
        let settings = json!({"prompts": {"query": "query: ", "passage": "passage: ", "document": null},
            "similarity_fn_name": "dot", "truncate_dim": 4});
        let pooling = json!({"embedding_dimension": 8, "pooling_mode": "cls"});
        let folder = folder(&[
            ("config.json", bert()),
            ("modules.json", modules(&PLAIN)),
            ("1_Pooling/config.json", pooling),
            ("config_sentence_transformers.json", settings),
        ]);
        let files = CheckpointFiles::read(folder.path()).unwrap();
        assert_eq!(files.config.prefixes.of(Role::Question), "query: ");
        assert_eq!(files.config.prefixes.of(Role::Document), "", "encode_document finds `document` first");
        assert_eq!(files.unused_prompts, ["passage"]);
        assert_eq!((files.config.similarity, files.config.truncate_dim), (Similarity::Dot, Some(4)));
    }

    #[test]
    fn without_modules_the_mean_is_taken_and_other_files_do_not_count() {
        let folder = folder(&[
            ("config.json", bert()),
            ("1_Pooling/config.json", json!({"embedding_dimension": 8, "pooling_mode": "cls"})),
            ("sentence_bert_config.json", json!({"max_seq_length": 16})),
            ("config_sentence_transformers.json", json!({"prompts": {"query": "q: "}})),
        ]);
        let files = CheckpointFiles::read(folder.path()).unwrap();
        assert_eq!(files.config.pooling, PoolingMode::Mean.into());
        assert_eq!((files.max_seq_length, files.config.prefixes), (None, Prefixes::default()));
    }

    #[test]
    fn modules_that_are_not_computed_are_refused_by_name() {
        for kind in
            ["Router", "Asym", "CNN", "LSTM", "WordWeights", "WeightedLayerPooling", "MultiVectorMask"]
        {
            let error = refusal(&[("modules.json", modules(&[PLAIN[0], PLAIN[1], ("2", kind)]))]);
            assert!(error.contains(&format!("a module is `sentence_transformers.models.{kind}`")), "{error}");
        }
        let custom =
            refusal(&[("modules.json", modules(&[PLAIN[0], PLAIN[1], ("2", "modeling_mine.Mine")]))]);
        assert!(custom.contains("a module is `modeling_mine.Mine`"), "{custom}");
        let bow = refusal(&[("modules.json", modules(&[("", "BoW"), PLAIN[1]]))]);
        assert!(bow.contains("sentence_transformers.models.BoW"), "{bow}");
        let none = refusal(&[("modules.json", modules(&PLAIN[..1]))]);
        assert!(none.contains("a module is `missing`, expected a Pooling after the Transformer"), "{none}");
        let outside = refusal(&[("modules.json", modules(&[PLAIN[0], ("../p", "Pooling")]))]);
        assert!(outside.contains("a module's path is `../p`"), "{outside}");
        let absent = refusal(&[("modules.json", modules(&[PLAIN[0], ("9_Pooling", "Pooling")]))]);
        assert!(absent.contains("9_Pooling: no config.json"), "{absent}");
    }

    #[test]
    fn keys_that_would_change_vectors_are_refused_by_name() {
        for (key, value) in [
            ("position_embedding_type", json!("relative_key")),
            ("is_decoder", json!(true)),
            ("add_cross_attention", json!(true)),
            ("hidden_act", json!("quick_gelu")),
            ("quantization_config", json!({"bits": 8})),
            ("auto_map", json!({"AutoModel": "modeling.Own"})),
            ("dtype", json!("float8_e4m3fn")),
            ("num_attention_heads", json!(3)),
            ("num_hidden_layers", json!(100_000)),
            ("layer_norm_eps", json!(-1.0)),
        ] {
            let error = refusal(&[bert_with(key, value)]);
            assert!(error.contains(&format!("config.json: {key} is `")), "{error}");
        }
        for (key, value) in [
            ("query_length", json!(32)),
            ("processing_kwargs", json!({"text": {"max_length": 8}})),
            ("tokenizer_args", json!({"do_lower_case": false})),
            ("transformer_task", json!("fill-mask")),
            ("max_seq_length", json!(0)),
            ("anything", json!(1)),
        ] {
            let error = refusal(&[("sentence_bert_config.json", json!({key: value}))]);
            assert!(error.contains("sentence_bert_config.json: ") && error.contains(key), "{error}");
        }
        for (key, value) in [
            ("similarity_fn_name", json!("manhattan")),
            ("model_type", json!("SparseEncoder")),
            ("default_prompt_name", json!("absent")),
        ] {
            let error = refusal(&[("config_sentence_transformers.json", json!({key: value}))]);
            assert!(error.contains(&format!("config_sentence_transformers.json: {key} is `")), "{error}");
        }
        let adapter = refusal(&[("adapter_config.json", json!({"peft_type": "LORA"}))]);
        assert!(adapter.contains("adapter_config.json: the checkpoint is `an adapter`"), "{adapter}");
    }

    #[test]
    fn a_dense_module_is_refused_where_it_does_not_fit_or_is_not_known() {
        let with = |file: Value| {
            refusal(&[
                ("modules.json", modules(&[PLAIN[0], PLAIN[1], ("2_Dense", "Dense")])),
                ("2_Dense/config.json", file),
            ])
        };
        let wide = with(json!({"in_features": 9, "out_features": 4}));
        assert!(wide.contains("2_Dense/config.json: in_features is `9`, expected 8"), "{wide}");
        let own = with(json!({"in_features": 8, "out_features": 4, "activation_function": "mine.Act"}));
        assert!(own.contains("activation_function is `mine.Act`"), "{own}");
        let tokens =
            with(json!({"in_features": 8, "out_features": 4, "module_input_name": "token_embeddings"}));
        assert!(tokens.contains("module_input_name is `token_embeddings`"), "{tokens}");
        let other = with(json!({"in_features": 8, "out_features": 4, "dropout": 0.1}));
        assert!(other.contains("a key is `dropout`"), "{other}");
    }

    #[test]
    fn another_architecture_is_refused_by_name() {
        let error = refusal(&[bert_with("model_type", json!("llama"))]);
        assert!(error.ends_with("config.json: model_type is `llama`, expected bert"), "{error}");
    }

    #[test]
    fn missing_keys_are_the_defaults_of_transformers() {
        let folder = folder(&[("config.json", json!({"model_type": "bert"}))]);
        let bert = CheckpointConfig::read(folder.path()).unwrap().bert;
        assert_eq!((bert.vocab_size, bert.hidden_size, bert.layer_norm_eps), (30522, 768, 1e-12));
    }

    #[test]
    fn a_plain_checkpoint_is_described_as_it_always_was() {
        let folder = folder(&[("config.json", bert())]);
        let config = CheckpointConfig::read(folder.path()).unwrap();
        assert_eq!(
            config.describe(256),
            "CheckpointConfig { bert: BertConfig { vocab_size: 9, hidden_size: 8, num_hidden_layers: 1, \
             num_attention_heads: 2, intermediate_size: 16, hidden_act: Gelu, max_position_embeddings: 64, \
             type_vocab_size: 2, layer_norm_eps: 1e-12 }, pooling: Mean, max_tokens: 256, prefixes: Prefixes { \
             question: \"\", document: \"\" } }"
        );
    }

    #[test]
    fn malformed_json_is_reported_with_its_line() {
        let folder = folder(&[]);
        fs_err::write(folder.path().join("config.json"), "{\n \"model_type\": }").unwrap();
        let error = CheckpointConfig::read(folder.path()).unwrap_err().to_string();
        assert!(error.contains("config.json: expected value at line 2"), "{error}");
    }
}
