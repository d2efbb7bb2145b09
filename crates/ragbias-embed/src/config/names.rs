//! How the files of each family name settings and weights.

/// How a family's files name things.
pub(super) struct Names {
    /// `model_type` in `config.json`.
    pub(super) model_type: &'static str,
    pub(super) encoder: &'static str,
    /// Keys of `config.json` that have another name than BERT's, and whether that is taken, too.
    pub(super) keys: &'static [(&'static str, &'static str, bool)],
    /// Before the names of the encoder's weights in a model with a head.
    pub(super) prefix: &'static str,
    /// Before the number of a layer.
    pub(super) layers: &'static str,
    /// Parts of a layer, and those outside layers, that have another name than ours.
    pub(super) parts: &'static [(&'static str, &'static str)],
    /// Heads for pre-training and tasks, which do not affect a text's vector, and buffers of older releases.
    pub(super) heads: &'static [&'static str],
    /// The class of an encoder that is code of its own checkpoint, which computes what is computed here.
    pub(super) own_class: Option<&'static str>,
}

pub(super) const BUFFERS: [&str; 2] = ["embeddings.position_ids", "embeddings.token_type_ids"];
pub(super) const LAYERS: &str = "encoder.layer.";

pub(super) const BERT: Names = Names {
    model_type: "bert",
    encoder: "a BERT encoder",
    keys: &[],
    prefix: "bert.",
    layers: LAYERS,
    parts: &[],
    heads: &["pooler.", "cls.", "classifier.", "qa_outputs.", "lm_head."],
    own_class: None,
};

pub(super) const ROBERTA: Names = Names {
    model_type: "roberta",
    encoder: "a RoBERTa encoder",
    prefix: "roberta.",
    heads: &["pooler.", "classifier.", "qa_outputs.", "lm_head."],
    ..BERT
};

pub(super) const DISTILBERT: Names = Names {
    model_type: "distilbert",
    encoder: "a DistilBERT encoder",
    keys: &[
        ("hidden_size", "dim", true),
        ("num_hidden_layers", "n_layers", true),
        ("num_attention_heads", "n_heads", true),
        ("intermediate_size", "hidden_dim", false),
        ("hidden_act", "activation", false),
    ],
    prefix: "distilbert.",
    layers: "transformer.layer.",
    parts: &[
        ("attention.self.query", "attention.q_lin"),
        ("attention.self.key", "attention.k_lin"),
        ("attention.self.value", "attention.v_lin"),
        ("attention.output.dense", "attention.out_lin"),
        ("attention.output.LayerNorm", "sa_layer_norm"),
        ("intermediate.dense", "ffn.lin1"),
        ("output.dense", "ffn.lin2"),
        ("output.LayerNorm", "output_layer_norm"),
    ],
    heads: &[
        "vocab_transform.",
        "vocab_layer_norm.",
        "vocab_projector.",
        "pre_classifier.",
        "classifier.",
        "qa_outputs.",
    ],
    ..BERT
};

pub(super) const MPNET: Names = Names {
    model_type: "mpnet",
    encoder: "an MPNet encoder",
    prefix: "mpnet.",
    parts: &[
        ("attention.self.query", "attention.attn.q"),
        ("attention.self.key", "attention.attn.k"),
        ("attention.self.value", "attention.attn.v"),
        ("attention.output.dense", "attention.attn.o"),
        ("attention.output.LayerNorm", "attention.LayerNorm"),
    ],
    ..ROBERTA
};

pub(super) const MODERNBERT: Names = Names {
    model_type: "modernbert",
    encoder: "a ModernBERT encoder",
    keys: &[("hidden_act", "hidden_activation", false), ("layer_norm_eps", "norm_eps", false)],
    prefix: "model.",
    layers: "layers.",
    parts: &[
        ("embeddings.word_embeddings", "embeddings.tok_embeddings"),
        ("embeddings.LayerNorm", "embeddings.norm"),
        ("attention.input.LayerNorm", "attn_norm"),
        ("attention.self.query_key_value", "attn.Wqkv"),
        ("attention.output.dense", "attn.Wo"),
        ("intermediate.input.LayerNorm", "mlp_norm"),
        ("intermediate.dense", "mlp.Wi"),
        ("output.dense", "mlp.Wo"),
        ("encoder.LayerNorm", "final_norm"),
    ],
    heads: &["head.", "decoder.", "classifier."],
    ..BERT
};

pub(super) const NOMIC_BERT: Names = Names {
    model_type: "nomic_bert",
    encoder: "a NomicBERT encoder",
    keys: &[
        ("hidden_size", "n_embd", true),
        ("num_hidden_layers", "n_layer", true),
        ("num_attention_heads", "n_head", true),
        ("intermediate_size", "n_inner", true),
        ("max_position_embeddings", "n_positions", true),
        ("layer_norm_eps", "layer_norm_epsilon", true),
        ("rope_theta", "rotary_emb_base", true),
    ],
    prefix: "nomic_bert.",
    layers: "encoder.layers.",
    parts: &[
        ("embeddings.LayerNorm", "emb_ln"),
        ("attention.self.query_key_value", "attn.Wqkv"),
        ("attention.output.dense", "attn.out_proj"),
        ("attention.output.LayerNorm", "norm1"),
        ("intermediate.dense", "mlp.fc11"),
        ("intermediate.gate", "mlp.fc12"),
        ("output.dense", "mlp.fc2"),
        ("output.LayerNorm", "norm2"),
    ],
    own_class: Some("NomicBertModel"),
    ..BERT
};

pub(super) const GTE: Names = Names {
    model_type: "gte",
    encoder: "a GTE encoder",
    prefix: "gte.",
    parts: &[
        ("attention.self.query_key_value", "attention.qkv_proj"),
        ("attention.output.dense", "attention.o_proj"),
        ("attention.output.LayerNorm", "attn_ln"),
        ("intermediate.dense", "mlp.up_gate_proj"),
        ("output.dense", "mlp.down_proj"),
        ("output.LayerNorm", "mlp_ln"),
    ],
    heads: &["pooler.", "classifier.", "lm_head."],
    ..BERT
};

pub(super) const QWEN3: Names = Names {
    model_type: "qwen3",
    encoder: "a Qwen3 encoder",
    keys: &[("layer_norm_eps", "rms_norm_eps", false)],
    prefix: "model.",
    layers: "layers.",
    parts: &[
        ("embeddings.word_embeddings", "embed_tokens"),
        ("attention.input.LayerNorm", "input_layernorm"),
        ("attention.self.query", "self_attn.q_proj"),
        ("attention.self.key", "self_attn.k_proj"),
        ("attention.self.value", "self_attn.v_proj"),
        ("attention.self.query.LayerNorm", "self_attn.q_norm"),
        ("attention.self.key.LayerNorm", "self_attn.k_norm"),
        ("attention.output.dense", "self_attn.o_proj"),
        ("intermediate.input.LayerNorm", "post_attention_layernorm"),
        ("intermediate.dense", "mlp.up_proj"),
        ("intermediate.gate", "mlp.gate_proj"),
        ("output.dense", "mlp.down_proj"),
        ("encoder.LayerNorm", "norm"),
    ],
    heads: &["lm_head.", "score."],
    ..BERT
};

pub(super) const GEMMA3: Names = Names {
    model_type: "gemma3_text",
    encoder: "a Gemma 3 encoder",
    keys: &[("hidden_act", "hidden_activation", false), ("layer_norm_eps", "rms_norm_eps", false)],
    parts: &[
        ("embeddings.word_embeddings", "embed_tokens"),
        ("attention.input.LayerNorm", "input_layernorm"),
        ("attention.self.query", "self_attn.q_proj"),
        ("attention.self.key", "self_attn.k_proj"),
        ("attention.self.value", "self_attn.v_proj"),
        ("attention.self.query.LayerNorm", "self_attn.q_norm"),
        ("attention.self.key.LayerNorm", "self_attn.k_norm"),
        ("attention.output.dense", "self_attn.o_proj"),
        ("attention.output.LayerNorm", "post_attention_layernorm"),
        ("intermediate.input.LayerNorm", "pre_feedforward_layernorm"),
        ("intermediate.dense", "mlp.up_proj"),
        ("intermediate.gate", "mlp.gate_proj"),
        ("output.dense", "mlp.down_proj"),
        ("output.LayerNorm", "post_feedforward_layernorm"),
        ("encoder.LayerNorm", "norm"),
    ],
    ..QWEN3
};
