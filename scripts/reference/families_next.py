"""Small checkpoints of ModernBERT, NomicBERT, GTE, Qwen3 and EmbeddingGemma, with the vectors of sentence-transformers, for crates/ragbias-embed.

usage: families_next.py [OUT.json]
needs: what checkpoints.py needs

Writes tests/fixtures/checkpoints/families-next.json of the crate, in the format of families.json. Names and shapes of tensors are
those of a model that transformers saves. The tokenizer is BERT's, read from tokenizer.json as it is, so that the encoder alone differs.

GTE's own code (`model_type` new) is not run: its class is that of transformers with other defaults, and with the frequencies of the scaling
`ntk`, computed here as <https://kexue.fm/archives/9706> defines them.
"""
import os
import pathlib
import sys
import tempfile

os.environ["TRANSFORMERS_VERBOSITY"] = "error"
import torch
import transformers
from safetensors import safe_open
from transformers.conversion_mapping import get_checkpoint_conversion_mapping, register_checkpoint_conversion_mapping
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

from checkpoints import HIDDEN, OUT, PLAIN, VOCABULARY, dense, modules, newer, settings, text, variant, whole
from checkpoints import tokenizer as bert_tokenizer
from families import NORMALIZE, base, config, measured, without
from token_ids import BERT_CONFIG

WORDS = len(VOCABULARY)
TOKENIZER_CONFIG = BERT_CONFIG | {"tokenizer_class": "PreTrainedTokenizerFast"}
LENGTH = 200


def saved(name, file):
    """Names and shapes of the tensors that transformers saves for a model class and a config.json."""
    kind = getattr(transformers, name)
    model = kind(kind.config_class(**without(file, "model_type", "architectures")))
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        with safe_open(os.path.join(folder, "model.safetensors"), "pt") as tensors:
            return {name: list(tensors.get_slice(name).get_shape()) for name in tensors.keys()}


def changed(name, file, **changes):
    """A variant with the tensors of its config.json."""
    return variant({"config.json": {"$merge": changes}}, whole(saved(name, file | changes)))


def headed(name, file):
    return variant({"config.json": {"$merge": {"architectures": [name]}}}, whole(saved(name, file)))


SHARED = {"base": variant(), "short": variant(text(max_seq_length=9))}
SIZES = {"vocab_size": WORDS, "hidden_size": HIDDEN, "num_hidden_layers": 4, "intermediate_size": 24, "max_position_embeddings": 256}

# ModernBERT: every third layer attends to all tokens, the others to 8 on either side.
MODERN = {"model_type": "modernbert", "architectures": ["ModernBertModel"], **SIZES, "num_attention_heads": 2, "hidden_activation": "gelu", "norm_eps": 1e-5, "norm_bias": False,
          "attention_bias": False, "mlp_bias": False, "local_attention": 16, "global_attn_every_n_layers": 3, "global_rope_theta": 160000.0, "local_rope_theta": 10000.0,
          "pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 3, "cls_token_id": 2, "sep_token_id": 3, "classifier_pooling": "mean"}
MODERN_BASE = base(MODERN, bert_tokenizer(), TOKENIZER_CONFIG, saved("ModernBertModel", MODERN), LENGTH, **newer("cls"))
MODERN_VARIANTS = SHARED | {
    "mean": variant(newer("mean")), "with-head": headed("ModernBertForMaskedLM", MODERN), "gelu-tanh": config(hidden_activation="gelu_pytorch_tanh"), "silu": config(hidden_activation="silu"),
    "biases": changed("ModernBertModel", MODERN, norm_bias=True, attention_bias=True, mlp_bias=True), "norm-eps": config(norm_eps=0.05), "wider-window": config(local_attention=64),
    "odd-window": config(local_attention=17), "global-alone": config(global_attn_every_n_layers=1), "other-frequencies": config(global_rope_theta=500.0, local_rope_theta=50.0),
    "rope-parameters": variant({"config.json": without(MODERN, "global_rope_theta", "local_rope_theta", "global_attn_every_n_layers") | {
        "layer_types": ["sliding_attention", "full_attention"] * 2,
        "rope_parameters": {"full_attention": {"rope_type": "default", "rope_theta": 160000.0}, "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0}}}}),
    "defaults": variant({"config.json": without(MODERN, "hidden_activation", "norm_eps", "norm_bias", "attention_bias", "mlp_bias", "local_attention", "global_attn_every_n_layers", "global_rope_theta", "local_rope_theta")}),
}

# NomicBERT: rotary positions, a gated MLP, queries, keys and values in one matrix.
NOMIC = {"model_type": "nomic_bert", "architectures": ["NomicBertModel"], **SIZES, "num_attention_heads": 2, "hidden_act": "silu", "type_vocab_size": 2, "layer_norm_eps": 1e-12, "pad_token_id": 0,
         "rope_parameters": {"rope_type": "default", "rope_theta": 1000.0}}
NOMIC_BASE = base(NOMIC, bert_tokenizer(), TOKENIZER_CONFIG, saved("NomicBertModel", NOMIC), LENGTH, **settings(prompts={"query": "search_query: ", "document": "search_document: "}))
NOMIC_VARIANTS = SHARED | {
    "cls": variant(newer("cls")), "with-head": headed("NomicBertForMaskedLM", NOMIC), "gelu": config(hidden_act="gelu"), "layer-norm-eps": config(layer_norm_eps=0.05),
    "other-frequencies": config(rope_parameters={"rope_type": "default", "rope_theta": 50.0}), "one-type": changed("NomicBertModel", NOMIC, type_vocab_size=1),
    "defaults": variant({"config.json": without(NOMIC, "hidden_act", "layer_norm_eps", "type_vocab_size", "rope_parameters")}),
}

# GTE: rotary positions, a gate after the map up in one matrix, biases.
class NewConfig(transformers.GteConfig):
    model_type = "new"
    default_theta = 10_000.0


class NewModel(transformers.GteModel):
    config_class = NewConfig
    base_model_prefix = "new"


def ntk(config, device=None, **_):
    width, factor = config.hidden_size // config.num_attention_heads, config.rope_parameters["factor"]
    base = config.rope_parameters["rope_theta"] * factor
    return base ** -(torch.arange(0, width, 2, dtype=torch.float32) / width) / factor ** (2 / width), 1.0


ROPE_INIT_FUNCTIONS["ntk"] = ntk
register_checkpoint_conversion_mapping("new", get_checkpoint_conversion_mapping("gte"))
transformers.AutoConfig.register("new", NewConfig)
transformers.AutoModel.register(NewConfig, NewModel)
GTE = {"model_type": "gte", "architectures": ["GteModel"], **SIZES, "num_attention_heads": 2, "hidden_act": "gelu", "type_vocab_size": 1, "layer_norm_eps": 1e-12, "pad_token_id": 0,
       "rope_parameters": {"rope_type": "default", "rope_theta": 20000.0}}
GTE_TENSORS = saved("GteModel", GTE)
GTE_BASE = base(GTE, bert_tokenizer(), TOKENIZER_CONFIG, GTE_TENSORS, LENGTH, more=[NORMALIZE], **newer("cls"))
GTE_VARIANTS = SHARED | {
    "mean": variant(newer("mean")), "with-head": headed("GteForMaskedLM", GTE), "silu": config(hidden_act="silu"), "layer-norm-eps": config(layer_norm_eps=0.05),
    "no-types": changed("GteModel", GTE, type_vocab_size=0), "wide-heads": changed("GteModel", GTE, head_dim=12),
    "linear": config(rope_parameters={"rope_type": "linear", "rope_theta": 20000.0, "factor": 4.0}), "older-linear": config(rope_scaling={"type": "linear", "factor": 4.0}, rope_theta=500.0),
    "defaults": variant({"config.json": without(GTE, "hidden_act", "layer_norm_eps", "type_vocab_size", "rope_parameters")}),
}
NEW = without(GTE, "rope_parameters") | {"model_type": "new", "architectures": ["NewModel"], "rope_theta": 20000.0, "rope_scaling": {"factor": 8.0, "type": "ntk"}, "position_embedding_type": "rope",
                                         "pack_qkv": True, "logn_attention_scale": False, "layer_norm_type": "layer_norm", "unpad_inputs": False, "use_memory_efficient_attention": False}
NEW_BASE = base(NEW, bert_tokenizer(), TOKENIZER_CONFIG, {"new." + name: shape for name, shape in GTE_TENSORS.items()}, LENGTH, more=[NORMALIZE], **newer("cls"))
NEW_VARIANTS = SHARED | {
    "without-prefix": variant(None, whole(GTE_TENSORS)), "not-scaled": config(rope_scaling=None), "other-factor": config(rope_scaling={"factor": 2.0, "type": "ntk"}),
    "defaults": variant({"config.json": without(NEW, "hidden_act", "layer_norm_eps", "type_vocab_size", "rope_theta", "rope_scaling", "position_embedding_type", "pack_qkv")}),
}

# Qwen3: causal, the last token, RMSNorm on queries and keys.
QWEN = {"model_type": "qwen3", "architectures": ["Qwen3ForCausalLM"], **SIZES, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8, "hidden_act": "silu", "rms_norm_eps": 1e-6,
        "rope_theta": 1000000.0, "attention_bias": False, "use_sliding_window": False, "sliding_window": None, "max_window_layers": 28, "tie_word_embeddings": True, "bos_token_id": 2, "eos_token_id": 3}
QWEN_BASE = base(QWEN, bert_tokenizer(), TOKENIZER_CONFIG | {"padding_side": "left"}, saved("Qwen3Model", QWEN), LENGTH, more=[NORMALIZE],
                 **newer("lasttoken"), **settings(prompts={"query": "Instruct: find the note\nQuery:", "document": ""}))
QWEN_VARIANTS = SHARED | {
    "mean": variant(newer("mean")), "with-head": headed("Qwen3ForCausalLM", QWEN), "padding-on-the-right": variant({"tokenizer_config.json": {"$merge": {"padding_side": "right"}}}),
    "gelu": config(hidden_act="gelu"), "norm-eps": config(rms_norm_eps=0.05), "other-frequencies": config(rope_theta=50.0), "biases": changed("Qwen3Model", QWEN, attention_bias=True),
    "all-key-value-heads": changed("Qwen3Model", QWEN, num_key_value_heads=4), "sliding-window": config(use_sliding_window=True, sliding_window=8, max_window_layers=2),
    "plain-transformers": variant({"modules.json": None}), "cut-at-the-start": variant({"tokenizer_config.json": {"$merge": {"truncation_side": "left"}}, **text(max_seq_length=20)}),
}

# As Qwen3-Embedding's larger ones are saved: bf16, in parts; computed in f32, as `dtype` asks for.
QWEN_TENSORS = saved("Qwen3Model", QWEN)
PARTS = {f"model-0000{part + 1}-of-00002.safetensors": {name: shape for i, (name, shape) in enumerate(QWEN_TENSORS.items()) if i % 2 == part} for part in (0, 1)}
QWEN_VARIANTS["bf16-in-parts"] = variant(
    {"config.json": {"$merge": {"dtype": "float32"}}, "model.safetensors.index.json": {"metadata": {}, "weight_map": {name: part for part, names in PARTS.items() for name in names}}},
    {"model.safetensors": None} | {part: {"type": "BF16", "tensors": tensors} for part, tensors in PARTS.items()})

# EmbeddingGemma: Gemma 3 that sees both ways, two Dense modules.
GEMMA = {"model_type": "gemma3_text", "architectures": ["Gemma3TextModel"], **SIZES, "num_attention_heads": 4, "num_key_value_heads": 1, "head_dim": 8, "hidden_activation": "gelu_pytorch_tanh",
         "rms_norm_eps": 1e-6, "query_pre_attn_scalar": 12, "sliding_window": 16, "_sliding_window_pattern": 2, "layer_types": ["sliding_attention", "full_attention"] * 2, "rope_theta": 1000000.0,
         "rope_local_base_freq": 10000.0, "use_bidirectional_attention": True, "attention_bias": False, "pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 3}
GEMMA_DENSE = [dense("2_Dense", HIDDEN, 24, bias=False), dense("3_Dense", 24, 12, bias=False)]
GEMMA_BASE = base(GEMMA, bert_tokenizer(), TOKENIZER_CONFIG, saved("Gemma3TextModel", GEMMA), LENGTH, more=[("2_Dense", "Dense"), ("3_Dense", "Dense"), ("4_Normalize", "Normalize")],
                  **newer("mean"), **GEMMA_DENSE[0][0], **GEMMA_DENSE[1][0], **settings(prompts={"query": "task: search result | query: ", "document": "title: none | text: "}))
GEMMA_BASE["weights"] |= GEMMA_DENSE[0][1] | GEMMA_DENSE[1][1]
GEMMA_VARIANTS = SHARED | {
    "with-head": headed("Gemma3ForCausalLM", GEMMA), "causal": config(use_bidirectional_attention=False), "odd-window": config(sliding_window=17), "norm-eps": config(rms_norm_eps=0.05),
    "gelu": config(hidden_activation="gelu"), "other-scale": config(query_pre_attn_scalar=8), "other-frequencies": config(rope_theta=500.0, rope_local_base_freq=50.0),
    "soft-cap": config(attn_logit_softcapping=2.0), "no-dense": variant({"modules.json": modules(*PLAIN)}),
}

FAMILIES = {"modernbert": (MODERN_BASE, MODERN_VARIANTS), "nomic_bert": (NOMIC_BASE, NOMIC_VARIANTS), "gte": (GTE_BASE, GTE_VARIANTS), "new": (NEW_BASE, NEW_VARIANTS), "qwen3": (QWEN_BASE, QWEN_VARIANTS), "gemma3_text": (GEMMA_BASE, GEMMA_VARIANTS)}

if __name__ == "__main__":
    families = ",\n".join(f'"{name}": {measured(name, *family)}' for name, family in FAMILIES.items())
    out = pathlib.Path(sys.argv[1]) if sys.argv[1:] else OUT / "families-next.json"
    out.write_text(f'{{\n"families": {{\n{families}\n}}\n}}\n', encoding="utf-8")
