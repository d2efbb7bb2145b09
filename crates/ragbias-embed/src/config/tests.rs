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

/// The error for a plain checkpoint with some files added or replaced.
fn refusal(files: &[(&str, Value)]) -> String {
    let pooling = json!({"word_embedding_dimension": 8, "pooling_mode_cls_token": true});
    let mut all =
        vec![("config.json", bert()), ("modules.json", modules(&PLAIN)), ("1_Pooling/config.json", pooling)];
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
    for kind in ["Router", "Asym", "CNN", "LSTM", "WordWeights", "WeightedLayerPooling", "MultiVectorMask"] {
        let error = refusal(&[("modules.json", modules(&[PLAIN[0], PLAIN[1], ("2", kind)]))]);
        assert!(error.contains(&format!("a module is `sentence_transformers.models.{kind}`")), "{error}");
    }
    let custom = refusal(&[("modules.json", modules(&[PLAIN[0], PLAIN[1], ("2", "modeling_mine.Mine")]))]);
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
    let tokens = with(json!({"in_features": 8, "out_features": 4, "module_input_name": "token_embeddings"}));
    assert!(tokens.contains("module_input_name is `token_embeddings`"), "{tokens}");
    let other = with(json!({"in_features": 8, "out_features": 4, "dropout": 0.1}));
    assert!(other.contains("a key is `dropout`"), "{other}");
}

#[test]
fn another_architecture_is_refused_by_name() {
    let error = refusal(&[bert_with("model_type", json!("llama"))]);
    assert!(
        error.ends_with(
            "config.json: model_type is `llama`, expected bert, distilbert, roberta, xlm-roberta, mpnet, \
             modernbert, nomic_bert, gte, new, qwen3, gemma3_text"
        ),
        "{error}"
    );
}

#[test]
fn missing_keys_are_the_defaults_of_transformers() {
    let folder = folder(&[("config.json", json!({"model_type": "bert"}))]);
    let bert = CheckpointConfig::read(folder.path()).unwrap().encoder;
    assert_eq!((bert.vocab_size, bert.hidden_size, bert.layer_norm_eps), (30522, 768, 1e-12));
}

fn read(config: Value) -> std::result::Result<EncoderConfig, String> {
    let folder = folder(&[("config.json", config)]);
    CheckpointConfig::read(folder.path()).map(|config| config.encoder).map_err(|error| error.to_string())
}

#[test]
fn each_family_has_its_own_keys_and_defaults() {
    let distilbert =
        read(json!({"model_type": "distilbert", "dim": 12, "n_layers": 2, "num_attention_heads": 3,
        "hidden_dim": 24, "intermediate_size": 99, "layer_norm_eps": 0.5, "activation": "relu"}))
        .unwrap();
    let expected = EncoderConfig {
        hidden_size: 12,
        num_hidden_layers: 2,
        num_attention_heads: 3,
        intermediate_size: 24,
        hidden_act: Activation::Relu,
        ..EncoderConfig::of(Family::DistilBert)
    };
    assert_eq!(distilbert, expected);
    let both = read(json!({"model_type": "distilbert", "dim": 12, "hidden_size": 24})).unwrap_err();
    assert!(both.contains("hidden_size is `24`, expected 12, as in dim"), "{both}");

    let roberta = read(json!({"model_type": "roberta", "pad_token_id": 3})).unwrap();
    assert_eq!((roberta.positions, roberta.longest_text()), (Positions::AfterPadding(3), 508));
    let no_padding = read(json!({"model_type": "xlm-roberta", "pad_token_id": null})).unwrap_err();
    assert!(no_padding.contains("pad_token_id is `null`, expected the id of a token"), "{no_padding}");

    let mpnet = read(json!({"model_type": "mpnet", "pad_token_id": 3})).unwrap();
    assert_eq!(mpnet, EncoderConfig::of(Family::Mpnet), "its positions are fixed");
    let few = read(json!({"model_type": "mpnet", "relative_attention_num_buckets": 16})).unwrap_err();
    assert!(few.contains("relative_attention_num_buckets is `16`, expected at least the 32"), "{few}");
}

#[test]
fn families_with_rotary_positions_have_the_defaults_of_transformers() {
    for (model_type, family) in [
        ("modernbert", Family::ModernBert),
        ("nomic_bert", Family::NomicBert),
        ("gte", Family::Gte),
        ("new", Family::New),
        ("gemma3_text", Family::Gemma3),
    ] {
        let config = read(json!({"model_type": model_type})).unwrap();
        assert_eq!(config, EncoderConfig::of(family), "{model_type}");
    }
    // It has a window in no layer.
    assert_eq!(read(json!({"model_type": "qwen3"})).unwrap(), EncoderConfig::of(Family::Qwen3));
}

#[test]
fn a_nomic_bert_with_the_names_of_its_own_code_must_give_what_its_code_has_other_defaults_for() {
    let own = json!({"model_type": "nomic_bert", "n_embd": 16, "n_head": 2, "n_layer": 1, "n_inner": 24,
        "n_positions": 64, "layer_norm_epsilon": 1e-5, "rotary_emb_base": 500, "rotary_emb_fraction": 1.0,
        "qkv_proj_bias": false, "mlp_fc1_bias": false, "mlp_fc2_bias": false, "activation_function": "geglu",
        "auto_map": {"AutoModel": "nomic-ai/nomic-bert-2048--modeling_hf_nomic_bert.NomicBertModel"}});
    let config = read(own.clone()).unwrap();
    assert_eq!((config.hidden_size, config.intermediate_size, config.layer_norm_eps), (16, 24, 1e-5));
    assert_eq!((config.hidden_act, config.longest_text()), (Activation::Gelu, 64));
    assert_eq!(config.architecture.attention.rotary, Some(Rotary::of(500.0)));
    for key in ["n_layer", "rotary_emb_fraction", "qkv_proj_bias", "rotary_emb_base"] {
        let mut file = own.clone();
        file.as_object_mut().unwrap().shift_remove(key);
        let error = read(file).unwrap_err();
        assert!(error.contains(&format!("{key} is `missing`")), "{error}");
    }
    for (key, value) in [
        ("rotary_emb_fraction", json!(0.5)),
        ("qkv_proj_bias", json!(true)),
        ("mlp_fc1_bias", json!(true)),
        ("rotary_emb_interleaved", json!(true)),
        ("rotary_emb_scale_base", json!(512)),
        ("rotary_scaling_factor", json!(2.0)),
        ("prenorm", json!(true)),
        ("parallel_block", json!(true)),
        ("use_rms_norm", json!(true)),
        ("causal", json!(true)),
        ("num_experts", json!(8)),
        ("scale_attn_weights", json!(false)),
        ("activation_function", json!("glu")),
        ("hidden_size", json!(32)),
    ] {
        let mut file = own.clone();
        file[key] = value;
        let error = read(file).unwrap_err();
        assert!(error.contains(&format!("config.json: {key} is `")), "{error}");
    }
}

#[test]
fn an_encoder_of_its_own_code_is_read_if_its_class_is_known() {
    let file = |class: &str| {
        json!({"model_type": "new", "rope_theta": 20000, "rope_scaling": {"type": "ntk", "factor": 8.0},
            "position_embedding_type": "rope", "pack_qkv": true, "type_vocab_size": 0,
            "auto_map": {"AutoModel": class}})
    };
    let config = read(file("Alibaba-NLP/new-impl--modeling.NewModel")).unwrap();
    let scaled = Rotary { theta: 20000.0, scaling: RotaryScaling::Ntk(8.0) };
    assert_eq!((config.architecture.attention.rotary, config.type_vocab_size), (Some(scaled), 0));
    let error = read(file("modeling.OtherModel")).unwrap_err();
    assert!(
        error.contains("auto_map is `\"modeling.OtherModel\"`, expected code whose class is NewModel"),
        "{error}"
    );
}

#[test]
fn what_a_family_with_rotary_positions_does_not_compute_is_refused_by_name() {
    let scaling = |scaling: Value| json!({ "rope_scaling": scaling });
    for (model_type, change) in [
        ("new", json!({"position_embedding_type": "absolute"})),
        ("new", json!({"pack_qkv": false})),
        ("new", json!({"logn_attention_scale": true})),
        ("new", json!({"layer_norm_type": "rms_norm"})),
        ("new", scaling(json!({"type": "ntk", "factor": 8.0, "mixed_b": 0.6}))),
        ("gte", scaling(json!({"type": "ntk", "factor": 8.0}))),
        ("nomic_bert", scaling(json!({"rope_type": "dynamic", "factor": 2.0}))),
        ("nomic_bert", json!({"partial_rotary_factor": 0.5})),
        ("nomic_bert", json!({"head_dim": 15})),
        ("modernbert", json!({"head_dim": 32})),
        ("modernbert", json!({"local_attention": 0})),
        ("modernbert", json!({"layer_types": ["full_attention"]})),
        ("modernbert", json!({"layer_types": ["chunked_attention"], "num_hidden_layers": 1})),
        ("modernbert", json!({"rope_parameters": {"rope_theta": 10.0}})),
        ("modernbert", scaling(json!({"type": "linear", "factor": 2.0}))),
        ("modernbert", json!({"global_rope_theta": -1.0})),
        ("qwen3", scaling(json!({"rope_type": "yarn", "factor": 4.0}))),
        ("qwen3", json!({"rope_parameters": {"rope_theta": 0.0}})),
        ("qwen3", json!({"num_key_value_heads": 5})),
        ("qwen3", json!({"layer_types": ["sliding_attention"], "num_hidden_layers": 1})),
        ("qwen3", json!({"head_dim": 127})),
        ("qwen3", json!({"head_dim": 4_000_000_000_u32, "num_attention_heads": 4_000_000_000_u32})),
        ("gemma3_text", json!({"sliding_window": null})),
        ("gemma3_text", json!({"is_causal": false})),
        ("gemma3_text", json!({"query_pre_attn_scalar": 0})),
        ("gemma3_text", json!({"hidden_activation": "quick_gelu"})),
    ] {
        let mut file = json!({ "model_type": model_type });
        file.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        let key = change.as_object().unwrap().keys().next().unwrap();
        let error = read(file).unwrap_err();
        // `rope_scaling` may be refused as what is in it.
        let names = [
            format!("config.json: {key} is `"),
            "config.json: a key is `".into(),
            "sliding_window is".into(),
        ];
        assert!(names.iter().any(|name| error.contains(name)), "{model_type} {change}: {error}");
    }
}

#[test]
fn a_decoder_is_described_by_the_tokens_that_it_attends_to() {
    let attention = |file: Value| read(file).unwrap().architecture.attention;
    let small = |model_type: &str, more: Value| {
        let mut file = json!({"model_type": model_type, "num_hidden_layers": 3});
        file.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        attention(file)
    };
    let both = small("qwen3", json!({"is_causal": false}));
    assert_eq!((both.reach, both.local), (Reach::ALL, None));
    let window = json!({"use_sliding_window": true, "sliding_window": 8, "max_window_layers": 2});
    let local = small("qwen3", window).local.unwrap();
    assert_eq!(
        (local.layers, local.reach),
        (vec![false, false, true], Reach { before: Some(7), after: Some(0) })
    );
    let embedder =
        json!({"use_bidirectional_attention": true, "sliding_window": 512, "sliding_window_pattern": 2});
    let gemma = small("gemma3_text", embedder);
    let local = gemma.local.unwrap();
    assert_eq!((gemma.reach, local.reach), (Reach::ALL, Reach::within(256)));
    assert_eq!(local.layers, [true, false, true]);
    // The factor of embeddings is rounded like the weights.
    let rounded =
        read(json!({"model_type": "gemma3_text", "hidden_size": 640, "dtype": "bfloat16"})).unwrap();
    assert_eq!(rounded.architecture.embedding_scale, 25.25);
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
    assert_eq!(
        EncoderConfig::of(Family::Mpnet).describe(),
        "encoder: EncoderConfig { family: Mpnet, vocab_size: 30527, hidden_size: 768, num_hidden_layers: 12, \
         num_attention_heads: 12, intermediate_size: 3072, hidden_act: Gelu, max_position_embeddings: 512, \
         type_vocab_size: 0, layer_norm_eps: 1e-12, positions: AfterPadding(1), relative_buckets: 32 }"
    );
}

#[test]
fn malformed_json_is_reported_with_its_line() {
    let folder = folder(&[]);
    fs_err::write(folder.path().join("config.json"), "{\n \"model_type\": }").unwrap();
    let error = CheckpointConfig::read(folder.path()).unwrap_err().to_string();
    assert!(error.contains("config.json: expected value at line 2"), "{error}");
}
