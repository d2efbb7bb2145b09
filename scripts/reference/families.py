"""Small checkpoints of DistilBERT, RoBERTa, XLM-RoBERTa and MPNet, with the vectors of sentence-transformers, for crates/ragbias-embed.

usage: families.py [OUT.json]
needs: what checkpoints.py needs

Writes tests/fixtures/checkpoints/families.json of the crate: by family what variants.json has for BERT, and the token ids that the
encoder received, if they are not those of the family's first variant. Also MPNet's buckets of relative positions.
"""
import os
import pathlib
import sys

os.environ["TRANSFORMERS_VERBOSITY"] = "error"
import torch
from transformers.models.mpnet.modeling_mpnet import MPNetEncoder

from checkpoints import HIDDEN, INNER, LAYERS, OUT, PLAIN, POOLING, VOCABULARY, compact, encoder, lines_of, measure, modules, newer, settings, text, variant, whole
from checkpoints import tokenizer as bert_tokenizer
import token_ids as tokens

TEXTS = [
    "the mill by the sea",
    "Élan VITAL über Café 中文 🙂",
    " a note <mask> and <pad> there, [MASK] [PAD] or </s> [SEP] it ends ",
    "the council met in the old hall and spoke of the harvest and the mill and the bridge and the school " * 6,
    "\twho opened it in 1903 ?\n",
]
HEADS = 4
NORMALIZE = ("2_Normalize", "Normalize")


def linear(name, outputs, inputs=HIDDEN):
    return {name + ".weight": [outputs, inputs], name + ".bias": [outputs]}


def norm(name):
    return {name + ".weight": [HIDDEN], name + ".bias": [HIDDEN]}


def distilbert(prefix="", positions=64):
    e = prefix + "embeddings."
    all = {e + "word_embeddings.weight": [len(VOCABULARY), HIDDEN], e + "position_embeddings.weight": [positions, HIDDEN]} | norm(e + "LayerNorm")
    for layer in range(LAYERS):
        at = f"{prefix}transformer.layer.{layer}."
        for part in ["q_lin", "k_lin", "v_lin", "out_lin"]:
            all |= linear(at + "attention." + part, HIDDEN)
        all |= norm(at + "sa_layer_norm") | linear(at + "ffn.lin1", INNER) | linear(at + "ffn.lin2", HIDDEN, INNER) | norm(at + "output_layer_norm")
    return all


def mpnet(prefix="", positions=172, buckets=32):
    e = prefix + "embeddings."
    all = {e + "word_embeddings.weight": [len(tokens.MPNET), HIDDEN], e + "position_embeddings.weight": [positions, HIDDEN]} | norm(e + "LayerNorm")
    for layer in range(LAYERS):
        at = f"{prefix}encoder.layer.{layer}."
        for part in "qkvo":
            all |= linear(at + "attention.attn." + part, HIDDEN)
        all |= norm(at + "attention.LayerNorm") | linear(at + "intermediate.dense", INNER) | linear(at + "output.dense", HIDDEN, INNER) | norm(at + "output.LayerNorm")
    return all | {prefix + "encoder.relative_attention_bias.weight": [buckets, HEADS]}


def roberta(prefix="", words=len(tokens.BYTES), positions=66, types=1):
    return encoder(prefix, words=words, positions=positions, types=types)


def lm_head(words):
    return linear("lm_head.dense", HIDDEN) | norm("lm_head.layer_norm") | linear("lm_head.decoder", words) | {"lm_head.bias": [words]}


def base(config, tokenizer, tokenizer_config, tensors, length, pooling=POOLING, more=(), **files):
    """Files and weights of the first variant of a family."""
    return {
        "files": {
            "config.json": config, "tokenizer.json": tokenizer, "tokenizer_config.json": tokenizer_config | {"model_max_length": length},
            "sentence_bert_config.json": {"max_seq_length": length, "do_lower_case": False},
            "modules.json": modules(*PLAIN, *more), "1_Pooling/config.json": pooling, **files,
        },
        "weights": whole(tensors),
    }


def config(**changes):
    return variant({"config.json": {"$merge": changes}})


def without(file, *keys):
    return {key: value for key, value in file.items() if key not in keys}


def with_head(architecture, tensors, **more):
    return variant({"config.json": {"$merge": {"architectures": [architecture]} | more}}, whole(tensors))


CLS = newer("cls")
SHARED = {"base": variant(), "cls": variant(CLS), "gelu-new": config(hidden_act="gelu_new"), "relu": config(hidden_act="relu"),
          "short": variant(text(max_seq_length=9)), "layer-norm-eps": config(layer_norm_eps=0.05)}

# DistilBERT: its own names of keys; the ε of its LayerNorm is fixed.
DISTILBERT = {
    "model_type": "distilbert", "architectures": ["DistilBertModel"], "vocab_size": len(VOCABULARY), "dim": HIDDEN, "n_layers": LAYERS, "n_heads": HEADS, "hidden_dim": INNER,
    "activation": "gelu", "max_position_embeddings": 64, "sinusoidal_pos_embds": False, "pad_token_id": 0, "tie_weights_": True, "dropout": 0.1, "attention_dropout": 0.1,
}
DISTILBERT_BASE = base(DISTILBERT, bert_tokenizer(), tokens.BERT_CONFIG, distilbert(), 60)
DISTILBERT_VARIANTS = SHARED | {
    "gelu-new": config(activation="gelu_new"), "relu": config(activation="relu"), "hidden-act-idle": config(hidden_act="relu"),
    "with-head": with_head("DistilBertForMaskedLM", distilbert("distilbert.") | linear("vocab_transform", HIDDEN) | norm("vocab_layer_norm") | linear("vocab_projector", len(VOCABULARY))),
    "names-of-bert": variant({"config.json": without(DISTILBERT, "dim", "n_layers", "n_heads") | {"hidden_size": HIDDEN, "num_hidden_layers": LAYERS, "num_attention_heads": HEADS}}),
    "names-of-bert-idle": config(intermediate_size=48), "defaults": variant({"config.json": without(DISTILBERT, "activation", "sinusoidal_pos_embds", "pad_token_id")}),
    "sinusoidal-in-the-file": config(sinusoidal_pos_embds=True), "fewer-layers": config(n_layers=1), "other-heads": config(n_heads=2), "padding-idle": config(pad_token_id=7),
    "all-positions": variant({"sentence_bert_config.json": None, "tokenizer_config.json": tokens.BERT_CONFIG | {"model_max_length": 512}}),
    "case": variant({"tokenizer_config.json": {"$merge": {"do_lower_case": False}}}),
    "vocabulary-alone": variant({"tokenizer.json": None, "tokenizer_config.json": None, "vocab.txt": "".join(token + "\n" for token in VOCABULARY)}),
    "heads-that-do-not-divide": config(n_heads=3), "beyond-positions": variant(text(max_seq_length=70)),
}

# RoBERTa: positions are counted from the padding token's id on, which a text's own padding tokens take.
ROBERTA = {
    "model_type": "roberta", "architectures": ["RobertaModel"], "vocab_size": len(tokens.BYTES), "hidden_size": HIDDEN, "num_hidden_layers": LAYERS, "num_attention_heads": HEADS,
    "intermediate_size": INNER, "hidden_act": "gelu", "max_position_embeddings": 66, "type_vocab_size": 1, "layer_norm_eps": 1e-5, "pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2,
    "position_embedding_type": "absolute", "hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.1, "use_cache": True, "classifier_dropout": None,
}
ROBERTA_BASE = base(ROBERTA, tokens.roberta_tokenizer(), tokens.ROBERTA_CONFIG, roberta(), 64)
ROBERTA_HEAD = roberta("roberta.") | linear("roberta.pooler.dense", HIDDEN) | lm_head(len(tokens.BYTES)) | {"roberta.embeddings.position_ids": [1, 66]}
ROBERTA_VARIANTS = SHARED | {
    "with-head": with_head("RobertaForMaskedLM", ROBERTA_HEAD), "with-pooler": variant(None, whole(roberta() | linear("pooler.dense", HIDDEN))),
    "two-types": variant({"config.json": {"$merge": {"type_vocab_size": 2}}}, whole(roberta(types=2))),
    "defaults": variant({"config.json": without(ROBERTA, "layer_norm_eps", "type_vocab_size", "hidden_act", "pad_token_id", "position_embedding_type")}, whole(roberta(types=2))),
    "padding-is-the-first-token": config(pad_token_id=0),
    "padding-of-another-id": variant({"config.json": {"$merge": {"pad_token_id": 6}}, **text(max_seq_length=59)}),
    "padding-beyond-positions": config(pad_token_id=6),
    "space-first": variant({"tokenizer_config.json": {"$merge": {"add_prefix_space": True}}}),
    "vocabulary-and-merges": variant(tokens.pair()["files"]), "case-by-sentence-bert": variant(text(max_seq_length=64, do_lower_case=True)),
    "no-tokenizer-config": variant({"tokenizer_config.json": None}), "beyond-positions": variant(text(max_seq_length=65)),
    "no-padding": config(pad_token_id=None),
}

# XLM-RoBERTa: multilingual-e5 has prompts and the mean, bge-m3 the first token and long texts.
XLM_ROBERTA = ROBERTA | {"model_type": "xlm-roberta", "architectures": ["XLMRobertaModel"], "vocab_size": len(tokens.UNIGRAM), "max_position_embeddings": 130, "output_past": True}
XLM_ROBERTA_TENSORS = {"words": len(tokens.UNIGRAM), "positions": 130}
PROMPTS = settings(prompts={"query": "query: ", "document": "passage: "})
XLM_ROBERTA_BASE = base(XLM_ROBERTA, tokens.xlm_roberta_tokenizer(), tokens.XLM_ROBERTA_CONFIG, roberta(**XLM_ROBERTA_TENSORS), 128, more=[NORMALIZE], **PROMPTS)
XLM_ROBERTA_VARIANTS = SHARED | {
    "bge-m3": variant(CLS | {"config_sentence_transformers.json": {"prompts": {}}}),
    "plain-transformers": variant({"modules.json": None}),
    "with-head": with_head("XLMRobertaForMaskedLM", roberta("roberta.", **XLM_ROBERTA_TENSORS) | lm_head(len(tokens.UNIGRAM))),
    "padding-of-another-id": config(pad_token_id=0), "prompt-left-out": variant(newer("mean", include_prompt=False)),
    "no-tokenizer-config": variant({"tokenizer_config.json": None}), "beyond-positions": variant(text(max_seq_length=129)),
}

# MPNet: the padding token has id 1, and there are 32 buckets, whatever the file says; 170 tokens are beyond the last bucket's distance.
MPNET = {
    "model_type": "mpnet", "architectures": ["MPNetModel"], "vocab_size": len(tokens.MPNET), "hidden_size": HIDDEN, "num_hidden_layers": LAYERS, "num_attention_heads": HEADS,
    "intermediate_size": INNER, "hidden_act": "gelu", "max_position_embeddings": 172, "layer_norm_eps": 1e-5, "relative_attention_num_buckets": 32, "pad_token_id": 1, "bos_token_id": 0,
    "eos_token_id": 2, "hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.1,
}
MPNET_BASE = base(MPNET, tokens.mpnet_tokenizer(), tokens.MPNET_CONFIG, mpnet(), 170, more=[NORMALIZE])
MPNET_VARIANTS = SHARED | {
    "with-head": with_head("MPNetForMaskedLM", mpnet("mpnet.") | linear("mpnet.pooler.dense", HIDDEN) | lm_head(len(tokens.MPNET))),
    "with-pooler": variant(None, whole(mpnet() | linear("pooler.dense", HIDDEN) | {"embeddings.position_ids": [1, 172]})),
    "defaults": variant({"config.json": without(MPNET, "layer_norm_eps", "relative_attention_num_buckets", "hidden_act", "pad_token_id")}), "padding-idle": config(pad_token_id=0),
    "sixty-tokens": variant(text(max_seq_length=60)), "not-normalised": variant({"modules.json": modules(*PLAIN), **settings(similarity_fn_name="dot")}),
    "more-buckets": variant({"config.json": {"$merge": {"relative_attention_num_buckets": 64}}}, whole(mpnet(buckets=64))),
    "fewer-buckets": variant({"config.json": {"$merge": {"relative_attention_num_buckets": 16}}}, whole(mpnet(buckets=16))),
    "buckets-of-another-shape": config(relative_attention_num_buckets=40), "case": variant({"tokenizer_config.json": {"$merge": {"do_lower_case": False}}}),
    "vocabulary-alone": variant({"tokenizer.json": None, "tokenizer_config.json": None, "vocab.txt": "".join(token + "\n" for token in tokens.MPNET)}),
    "beyond-positions": variant(text(max_seq_length=171)),
}

FAMILIES = {"distilbert": (DISTILBERT_BASE, DISTILBERT_VARIANTS), "roberta": (ROBERTA_BASE, ROBERTA_VARIANTS),
            "xlm-roberta": (XLM_ROBERTA_BASE, XLM_ROBERTA_VARIANTS), "mpnet": (MPNET_BASE, MPNET_VARIANTS)}
FARTHEST = 260


def measured(name, base, variants):
    variants = {of: {key: dict(value) for key, value in one.items()} for of, one in variants.items()}
    for of, one in variants.items():
        measure(base, one, TEXTS, digits=6, ids=True)
        print(name, of, one.get("refused") or [len(ids) for ids in one["document_ids"]], flush=True)
    first = {key: variants["base"][key] for key in ["document_ids", "question_ids"] if key in variants["base"]}
    for of, one in list(variants.items())[1:]:
        # A question's ids are those of the document, if they are not given.
        if {key: one[key] for key in ["document_ids", "question_ids"] if key in one} == first:
            for key in first:
                del one[key]
    return lines_of(TEXTS, base, variants)


if __name__ == "__main__":
    families = ",\n".join(f'"{name}": {measured(name, *family)}' for name, family in FAMILIES.items())
    buckets = MPNetEncoder.relative_position_bucket(torch.arange(-FARTHEST, FARTHEST + 1)).tolist()
    out = pathlib.Path(sys.argv[1]) if sys.argv[1:] else OUT / "families.json"
    out.write_text(f'{{\n"mpnet_buckets": {compact({"first": -FARTHEST, "buckets": buckets})},\n"families": {{\n{families}\n}}\n}}\n', encoding="utf-8")
