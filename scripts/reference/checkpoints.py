"""Variants of a small checkpoint folder, with the vectors of sentence-transformers for each, for crates/ragbias-embed/tests.

usage: checkpoints.py
needs: sentence-transformers==6.2.0 torch==2.15.0 transformers==5.24.0

Writes tests/fixtures/checkpoints/variants.json of the crate: the files of a base folder, the changes of each variant, and
the vectors of five texts as documents and as questions, or the fact that sentence-transformers refuses the folder. Weights are not
stored: `values` computes every tensor from its name and shape, here and in the test. PyTorch files, which the test cannot
create, are written beside it.
"""
import json
import os
import pathlib
import shutil
import struct
import tempfile
import warnings

os.environ["TRANSFORMERS_VERBOSITY"] = "error"
os.environ["HF_HUB_OFFLINE"] = "1"
warnings.filterwarnings("ignore")
import numpy as np
import torch
from safetensors.torch import save_file
from sentence_transformers import SentenceTransformer

OUT = pathlib.Path(__file__).parents[2] / "crates/ragbias-embed/tests/fixtures/checkpoints"
HIDDEN, LAYERS, INNER, POSITIONS = 16, 2, 24, 40
TYPES = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
TEXTS = [
    "the mill by the sea",
    "Élan VITAL über Café",
    "a note",
    "the council met in the old hall and spoke of the harvest and the mill and the bridge and the school " * 2,
    "who opened it in 1903 ?",
]
LETTERS = [chr(c) for c in range(ord("a"), ord("z") + 1)]
VOCABULARY = (
    ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"] + LETTERS + [c.upper() for c in LETTERS] + list("0123456789.,:?!'-éüÉ中")
    + ["##" + c for c in LETTERS + [c.upper() for c in LETTERS] + list("0123456789éü")]
    + ["the", "mill", "sea", "council", "hall", "harvest", "bridge", "school", "query", "passage", "note", "The", "and", "##ll"]
)


def values(name, shape):
    """A tensor's values, computed with small integers so that they are the same in every language."""
    seed = 0
    for byte in name.encode():
        seed = (seed * 31 + byte) % 2**32
    count = int(np.prod(shape))
    state = (np.arange(count, dtype=np.uint64) * 2654435761 + seed * 40503 + 12345) % 2**32
    state = (state ^ (state >> np.uint64(15))) * 2246822519 % 2**32
    unit = (state >> np.uint64(8)).astype(np.float64) / 2**23 - 1
    is_norm = name.endswith(("LayerNorm.weight", "LayerNorm.gamma", "norm.weight", "norm1.weight", "norm2.weight", "_ln.weight"))
    spread = 0.6 if len(shape) == 2 else 0.3
    return torch.from_numpy((unit * spread + (1.0 if is_norm else 0.0)).astype(np.float32).reshape(shape))


def encoder(prefix="", norm=("weight", "bias"), words=len(VOCABULARY), layers=LAYERS, positions=POSITIONS, types=2):
    """Name and shape of every tensor of an encoder."""
    e, all = prefix + "embeddings.", {}
    all[e + "word_embeddings.weight"] = [words, HIDDEN]
    all[e + "position_embeddings.weight"] = [positions, HIDDEN]
    all[e + "token_type_embeddings.weight"] = [types, HIDDEN]
    for part in norm:
        all[e + "LayerNorm." + part] = [HIDDEN]
    for layer in range(layers):
        at = f"{prefix}encoder.layer.{layer}."
        for part, inputs, outputs in [
            ("attention.self.query", HIDDEN, HIDDEN), ("attention.self.key", HIDDEN, HIDDEN),
            ("attention.self.value", HIDDEN, HIDDEN), ("attention.output.dense", HIDDEN, HIDDEN),
            ("intermediate.dense", HIDDEN, INNER), ("output.dense", INNER, HIDDEN),
        ]:
            all[at + part + ".weight"], all[at + part + ".bias"] = [outputs, inputs], [outputs]
        for place in ["attention.output.LayerNorm.", "output.LayerNorm."]:
            for part in norm:
                all[at + place + part] = [HIDDEN]
    return all


def cased(**other):
    """Changes of tokenizer.json: no lower-casing."""
    return {"$merge": {"normalizer": {"lowercase": False}, **other}}


def tokenizer():
    special = lambda content: {"id": VOCABULARY.index(content), "content": content, "single_word": False, "lstrip": False,
                               "rstrip": False, "normalized": False, "special": True}
    one = lambda content: {"SpecialToken": {"id": content, "type_id": 0}}
    text = {"Sequence": {"id": "A", "type_id": 0}}
    token = lambda content: {"id": content, "ids": [VOCABULARY.index(content)], "tokens": [content]}
    return {
        "version": "1.0", "truncation": None, "padding": None,
        "added_tokens": [special(content) for content in VOCABULARY[:5]],
        "normalizer": {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True, "strip_accents": None,
                       "lowercase": True},
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {
            "type": "TemplateProcessing", "single": [one("[CLS]"), text, one("[SEP]")],
            "pair": [one("[CLS]"), text, one("[SEP]"), {"Sequence": {"id": "B", "type_id": 1}}, one("[SEP]")],
            "special_tokens": {"[CLS]": token("[CLS]"), "[SEP]": token("[SEP]")},
        },
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
        "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
                  "max_input_chars_per_word": 100, "vocab": {token: i for i, token in enumerate(VOCABULARY)}},
    }


CONFIG = {
    "architectures": ["BertModel"], "model_type": "bert", "vocab_size": len(VOCABULARY), "hidden_size": HIDDEN,
    "num_hidden_layers": LAYERS, "num_attention_heads": 4, "intermediate_size": INNER, "hidden_act": "gelu",
    "max_position_embeddings": POSITIONS, "type_vocab_size": 2, "layer_norm_eps": 1e-12, "pad_token_id": 0,
    "position_embedding_type": "absolute", "hidden_dropout_prob": 0.1, "use_cache": True,
}
TOKENIZER = {"tokenizer_class": "BertTokenizer", "do_lower_case": True, "strip_accents": None,
             "tokenize_chinese_chars": True, "model_max_length": 32, "cls_token": "[CLS]", "sep_token": "[SEP]",
             "unk_token": "[UNK]", "pad_token": "[PAD]", "mask_token": "[MASK]"}


def modules(*kinds):
    return [{"idx": i, "name": str(i), "path": path, "type": kind if "." in kind else f"sentence_transformers.models.{kind}"}
            for i, (path, kind) in enumerate(kinds)]


PLAIN = [("", "Transformer"), ("1_Pooling", "Pooling")]
POOLING = {"word_embedding_dimension": HIDDEN, "pooling_mode_cls_token": False, "pooling_mode_mean_tokens": True}
BASE = {
    "files": {
        "config.json": CONFIG, "tokenizer.json": tokenizer(), "tokenizer_config.json": TOKENIZER,
        "sentence_bert_config.json": {"max_seq_length": 24, "do_lower_case": False},
        "modules.json": modules(*PLAIN), "1_Pooling/config.json": POOLING,
    },
    "weights": {"model.safetensors": {"type": "F32", "tensors": encoder()}},
}


def newer(mode, **more):
    return {"1_Pooling/config.json": {"embedding_dimension": HIDDEN, "pooling_mode": mode, "include_prompt": True, **more}}


def dense(path, inputs, outputs, function="Identity", kind="activation", bias=True, **more):
    """Files and weights of a Dense module."""
    kind = "linear" if function == "Identity" else kind
    file = {"in_features": inputs, "out_features": outputs, "bias": bias,
            "activation_function": f"torch.nn.modules.{kind}.{function}", **more}
    tensors = {"linear.weight": [outputs, inputs]} | ({"linear.bias": [outputs]} if bias else {})
    if more.get("use_residual") and inputs != outputs:
        tensors["residual.weight"] = [outputs, inputs]
    return {path + "/config.json": file}, {path + "/model.safetensors": {"type": "F32", "tensors": tensors}}


def variant(files=None, weights=None, torch_file=None):
    return {"files": files or {}, "weights": weights or {}, **({"torch": torch_file} if torch_file else {})}


def with_dense(*layers, more=()):
    files, weights = {}, {}
    for f, w in layers:
        files |= f
        weights |= w
    kinds = [(next(iter(f)).split("/")[0], "Dense") for f, _ in layers]
    files["modules.json"] = modules(*PLAIN, *kinds, *more)
    return variant(files, weights)


def whole(tensors, kind="F32"):
    return {"model.safetensors": {"type": kind, "tensors": tensors}}


def settings(**file):
    return {"config_sentence_transformers.json": file}


def tok(**file):
    return {"tokenizer_config.json": {**TOKENIZER, **file}}


def text(**file):
    return {"sentence_bert_config.json": file}


half = sorted(encoder())
NORMALIZE = ("3_Normalize", "Normalize")
V = {"base": variant()}
# Pooling, in both layouts.
for mode in ["cls", "max", "mean_sqrt_len_tokens", "weightedmean", "lasttoken"]:
    V["pooling-" + mode] = variant(newer(mode))
V["pooling-list-order"] = variant(newer(["mean", "cls", "max"]))
V["pooling-older-joined"] = variant({"1_Pooling/config.json": {**POOLING, "pooling_mode_max_tokens": True, "pooling_mode_lasttoken": True, "pooling_mode_cls_token": True}})
V["pooling-older-none"] = variant({"1_Pooling/config.json": {**POOLING, "pooling_mode_mean_tokens": False}})
V["pooling-elsewhere"] = variant({"modules.json": modules(("", "Transformer"), ("9_Pool", "Pooling")), "1_Pooling/config.json": None, "9_Pool/config.json": {**POOLING, "pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}})
V["new-type-names"] = variant({"modules.json": modules(("", "sentence_transformers.base.modules.transformer.Transformer"), ("1_Pooling", "sentence_transformers.sentence_transformer.modules.pooling.Pooling"), ("2_Normalize", "sentence_transformers.base.modules.normalize.Normalize")), **newer("mean"), **text(transformer_task="feature-extraction", modality_config={"text": {"method": "forward", "method_output_name": "last_hidden_state"}}, module_output_name="token_embeddings")})
# Modules after pooling.
V["dense-identity"] = with_dense(dense("2_Dense", 16, 8), more=[NORMALIZE])
V["dense-no-bias"] = with_dense(dense("2_Dense", 16, 8, bias=False))
for function in ["Tanh", "ReLU", "GELU", "Sigmoid", "SiLU"]:
    V["dense-" + function.lower()] = with_dense(dense("2_Dense", 16, 12, function))
V["dense-two"] = with_dense(dense("2_Dense", 16, 20, "Tanh"), dense("3_Dense", 20, 6))
V["dense-residual"] = with_dense(dense("2_Dense", 16, 16, "Tanh", use_residual=True))
V["dense-residual-mapped"] = with_dense(dense("2_Dense", 16, 8, "ReLU", use_residual=True))
V["dense-after-normalize"] = variant({**dense("3_Dense", 16, 8, "Tanh")[0], "modules.json": modules(*PLAIN, ("2_Normalize", "Normalize"), ("3_Dense", "Dense"))}, dense("3_Dense", 16, 8, "Tanh")[1])
V["dense-after-joined"] = variant({**dense("2_Dense", 32, 8)[0], **newer(["cls", "mean"]), "modules.json": modules(*PLAIN, ("2_Dense", "Dense"))}, dense("2_Dense", 32, 8)[1])
V["layer-norm"] = variant({"modules.json": modules(*PLAIN, ("2_LayerNorm", "LayerNorm")), "2_LayerNorm/config.json": {"dimension": HIDDEN}}, {"2_LayerNorm/model.safetensors": {"type": "F32", "tensors": {"norm.weight": [HIDDEN], "norm.bias": [HIDDEN]}}})
V["dropout"] = variant({"modules.json": modules(*PLAIN, ("2_Dropout", "Dropout")), "2_Dropout/config.json": {"dropout": 0.5}})
V["normalize-before-pooling"] = variant({"modules.json": modules(PLAIN[0], ("1_Normalize", "Normalize"), ("1_Pooling", "Pooling"))})
# Folders.
V["plain-transformers"] = variant({"modules.json": None, "1_Pooling/config.json": None, "sentence_bert_config.json": None})
V["no-modules-other-files-idle"] = variant({"modules.json": None, **newer("cls"), **text(max_seq_length=8), **settings(prompts={"query": "query : "})})
moved = {f: None for f in ["config.json", "tokenizer.json", "tokenizer_config.json", "sentence_bert_config.json"]} | {"0_Transformer/" + f: {"$base": f} for f in ["config.json", "tokenizer.json", "tokenizer_config.json", "sentence_bert_config.json"]}
V["older-layout"] = variant({**moved, "config.json": {"__version__": "0.3.8"}, "modules.json": modules(("0_Transformer", "Transformer"), PLAIN[1])}, {"model.safetensors": None, "0_Transformer/model.safetensors": BASE["weights"]["model.safetensors"]})
V["other-name-of-settings"] = variant({"sentence_bert_config.json": None, "sentence_roberta_config.json": {"max_seq_length": 12}})
# Length.
V["length-null"] = variant({**text(max_seq_length=None, do_lower_case=False), **tok(model_max_length=12)})
V["length-no-file"] = variant({"sentence_bert_config.json": None})
V["length-huge"] = variant({"sentence_bert_config.json": None, **tok(model_max_length=1000000000000000019884624838656)})
V["length-none-anywhere"] = variant({"sentence_bert_config.json": None, "tokenizer_config.json": {k: v for k, v in TOKENIZER.items() if k != "model_max_length"}})
V["length-max-len"] = variant({"sentence_bert_config.json": None, "tokenizer_config.json": {k: v for k, v in TOKENIZER.items() if k != "model_max_length"} | {"max_len": 9}})
V["length-beyond-positions"] = variant(text(max_seq_length=400))
V["length-of-tokenizer-json-idle"] = variant({"sentence_bert_config.json": None, "tokenizer.json": dict({"$merge": dict(truncation={"max_length": 6, "strategy": "LongestFirst", "stride": 0, "direction": "Right"}, padding={"strategy": {"Fixed": 64}, "direction": "Right", "pad_to_multiple_of": None, "pad_id": 0, "pad_type_id": 0, "pad_token": "[PAD]"})})})
V["cut-at-the-start"] = variant(tok(truncation_side="left"))
V["cut-at-the-start-by-tokenizer-json"] = variant({"tokenizer.json": dict({"$merge": dict(truncation={"max_length": 6, "strategy": "LongestFirst", "stride": 0, "direction": "Left"})})})
# Case and accents.
V["case-kept"] = variant({"tokenizer.json": cased(), **tok(do_lower_case=False)})
V["case-by-tokenizer-config"] = variant(tok(do_lower_case=False))
V["case-of-tokenizer-json-idle"] = variant({"tokenizer.json": cased()})
V["case-no-tokenizer-config"] = variant({"tokenizer.json": cased(), "tokenizer_config.json": None})
V["case-by-sentence-bert"] = variant({"tokenizer.json": cased(), **tok(do_lower_case=False), **text(max_seq_length=24, do_lower_case=True)})
V["accents-kept"] = variant(tok(strip_accents=False))
V["accents-stripped-case-kept"] = variant(tok(do_lower_case=False, strip_accents=True))
V["tokenizer-json-as-it-is"] = variant({"tokenizer.json": cased(), **tok(tokenizer_class="PreTrainedTokenizerFast")})
V["tokenizer-json-lower-cased-first"] = variant({"tokenizer.json": cased(), **tok(tokenizer_class="PreTrainedTokenizerFast"), **text(max_seq_length=24, do_lower_case=True)})
V["class-from-config-json"] = variant({"tokenizer.json": cased(), "config.json": {**CONFIG, "tokenizer_class": "PreTrainedTokenizerFast"}, "tokenizer_config.json": {k: v for k, v in TOKENIZER.items() if k != "tokenizer_class"}})
PIECES = [["<s>", 0.0], ["<pad>", 0.0], ["</s>", 0.0], ["<unk>", 0.0]] + [["▁" + c, -3.0 - i / 9] for i, c in enumerate(LETTERS + ["the", "mill", "hall", "note"])] + [[c, -4.0 - i / 7] for i, c in enumerate(LETTERS + ["ll", "ar", "▁"])] + [["<mask>", 0.0]]
UNIGRAM = {
    "version": "1.0", "truncation": None, "padding": None, "added_tokens": [], "normalizer": {"type": "NFKC"},
    "pre_tokenizer": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": True},
    "post_processor": None, "decoder": None, "model": {"type": "Unigram", "unk_id": 3, "vocab": PIECES, "byte_fallback": False},
}
V["xlm-roberta"] = variant({"tokenizer.json": UNIGRAM, "tokenizer_config.json": {"tokenizer_class": "XLMRobertaTokenizer", "model_max_length": 32}, **settings(prompts={"query": " the  mill : "})})
V["xlm-roberta-no-space"] = variant({"tokenizer.json": UNIGRAM, "tokenizer_config.json": {"tokenizer_class": "XLMRobertaTokenizerFast", "add_prefix_space": False}, "special_tokens_map.json": {"bos_token": "<s>", "eos_token": "</s>", "mask_token": {"content": "<mask>", "lstrip": True, "rstrip": False, "normalized": False, "single_word": False}}})
V["vocabulary-alone"] = variant({"tokenizer.json": None, "vocab.txt": "".join(token + "\n" for token in VOCABULARY)})
V["added-tokens"] = variant(tok(added_tokens_decoder={str(i): {"content": c, "lstrip": False, "normalized": False, "rstrip": False, "single_word": False, "special": True} for i, c in enumerate(VOCABULARY[:5])} | {str(VOCABULARY.index("mill")): {"content": "mill", "lstrip": True, "normalized": True, "rstrip": False, "single_word": False, "special": False}}))
# Prompts.
P = {"query": "query : ", "document": "passage : "}
V["prompts"] = variant(settings(prompts=P, default_prompt_name=None))
V["prompts-other-names"] = variant(settings(prompts={"query": "query : ", "passage": "passage : ", "corpus": "note : "}))
V["prompts-default-idle"] = variant(settings(prompts={"note": "note : "}, default_prompt_name="note"))
for mode in ["mean", "cls", "max", "weightedmean", ["lasttoken", "mean_sqrt_len_tokens"]]:
    V["prompt-left-out-" + (mode if isinstance(mode, str) else "joined")] = variant({**settings(prompts=P), **newer(mode, include_prompt=False)})
V["prompt-longer-than-texts"] = variant({**settings(prompts={"query": "the mill and the hall : "}), **newer("mean", include_prompt=False), **text(max_seq_length=6)})
V["truncated-vectors"] = variant({**settings(truncate_dim=6), "modules.json": modules(*PLAIN, ("2_Normalize", "Normalize"))})
V["dot"] = variant(settings(similarity_fn_name="dot"))
V["euclidean"] = variant({**settings(similarity_fn_name="euclidean"), **newer("mean_sqrt_len_tokens")})
# Weights.
V["f64"], V["f16"] = variant(None, whole(encoder(), "F64")), variant(None, whole(encoder(), "F16"))
V["dtype-f16"] = variant({"config.json": {**CONFIG, "dtype": "float16"}})
V["dtype-f32-of-bf16"] = variant({"config.json": {**CONFIG, "torch_dtype": "float32"}}, whole(encoder(), "BF16"))
V["with-head"] = variant({"config.json": {**CONFIG, "architectures": ["BertForMaskedLM"]}}, whole(encoder("bert.") | {"cls.predictions.bias": [len(VOCABULARY)], "cls.predictions.transform.dense.weight": [HIDDEN, HIDDEN], "bert.pooler.dense.weight": [HIDDEN, HIDDEN]}))
V["gamma-and-beta"] = variant(None, whole(encoder(norm=("gamma", "beta"))))
V["padded-vocabulary"] = variant({"config.json": {**CONFIG, "vocab_size": 192}}, whole(encoder(words=192)))
V["fewer-layers"] = variant({"config.json": {**CONFIG, "num_hidden_layers": 1}})
V["defaults"] = variant({"config.json": {k: v for k, v in CONFIG.items() if k not in ["hidden_act", "layer_norm_eps", "type_vocab_size", "position_embedding_type"]}})
V["gelu-new"] = variant({"config.json": {**CONFIG, "hidden_act": "gelu_new"}})
V["relu"] = variant({"config.json": {**CONFIG, "hidden_act": "relu", "layer_norm_eps": 1e-5}})
parts = {f"model-0000{i + 1}-of-00002.safetensors": half[i::2] for i in range(2)}
V["sharded"] = variant({"model.safetensors.index.json": {"metadata": {}, "weight_map": {name: f for f, names in parts.items() for name in names}}}, {"model.safetensors": None} | {f: {"type": "F32", "tensors": {n: encoder()[n] for n in names}} for f, names in parts.items()})
SMALL = {"config.json": {**CONFIG, "num_hidden_layers": 1}}
for name, file in [("torch", "weights"), ("torch-older-layout-f16", "older"), ("torch-views", "views")]:
    V[name] = variant(SMALL, {"model.safetensors": None}, {"pytorch_model.bin": file + ".bin"})
V["torch-beside-safetensors"] = variant(None, None, {"pytorch_model.bin": "other.bin"})
V["dense-torch"] = with_dense(dense("2_Dense", 16, 8))
V["dense-torch"]["weights"] = {}
V["dense-torch"]["torch"] = {"2_Dense/pytorch_model.bin": "dense.bin"}
# Folders that sentence-transformers refuses.
V["no-pooling-file"] = variant({"1_Pooling/config.json": None})
V["unknown-pooling"] = variant(newer("median"))
V["unknown-key-of-pooling"] = variant(newer("mean", window=3))
V["no-pooling-module"] = variant({"modules.json": modules(PLAIN[0])})
V["foreign-module"] = variant({"modules.json": modules(*PLAIN, ("2_Own", "own.Module"))})
V["dense-of-other-width"] = with_dense(dense("2_Dense", 12, 8))
V["dense-with-other-tensors"] = with_dense(dense("2_Dense", 16, 8))
V["dense-with-other-tensors"]["weights"]["2_Dense/model.safetensors"]["tensors"]["norm.weight"] = [8]
V["default-prompt-missing"] = variant(settings(prompts=P, default_prompt_name="absent"))
V["tokenizer-of-another-class"] = variant(tok(tokenizer_class="XLMRobertaTokenizer"))
V["vocabulary-of-other-size"] = variant({"config.json": {**CONFIG, "vocab_size": 999}})


def state(tensors, kind="F32"):
    return {name: values(name, shape).to(TYPES[kind]) for name, shape in tensors.items()}


def torch_files():
    small = encoder(layers=1)
    torch.save(state(small), OUT / "weights.bin")
    torch.save(state(small, "F16"), OUT / "older.bin", _use_new_zipfile_serialization=False)
    torch.save({name: tensor * 2 + 1 for name, tensor in state({"pooler.dense.bias": [4]}).items()}, OUT / "other.bin")
    torch.save(state({"linear.weight": [8, 16], "linear.bias": [8]}), OUT / "dense.bin")
    # Two matrices in one storage, one of them transposed.
    views = state(small)
    query, key = ("encoder.layer.0.attention.self.query.weight", "encoder.layer.0.attention.self.key.weight")
    both = torch.stack([views[query].t(), views[key]]).contiguous()
    views[query], views[key] = both[0].t(), torch.nn.Parameter(both[1])
    torch.save(views, OUT / "views.bin")


def merged(base, change):
    """A file with some of its keys changed."""
    if not (isinstance(base, dict) and isinstance(change, dict)):
        return change
    return base | {key: merged(base.get(key), value) for key, value in change.items()}


def content_of(base, file, content):
    """A file's text: given directly, as a change of the base's file of this name, or as the file of another name."""
    if isinstance(content, dict) and "$merge" in content:
        content = merged(base["files"][file], content["$merge"])
    elif isinstance(content, dict) and "$base" in content:
        content = base["files"][content["$base"]]
    return content if isinstance(content, str) else json.dumps(content)


def make(folder, base, one):
    """Writes the folder of a variant."""
    for file, content in (base["files"] | one["files"]).items():
        if content is not None:
            path = folder / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content_of(base, file, content), encoding="utf-8")
    for file, content in (base["weights"] | one["weights"]).items():
        if content is not None:
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            save_file(state(content["tensors"], content["type"]), folder / file, {"format": "pt"})
    for file, source in one.get("torch", {}).items():
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(OUT / source, folder / file)


def measure(base, one, texts, digits=4, ids=False):
    """Adds sentence-transformers' vectors to a variant, and the token ids that its encoder received, or why it refuses."""
    with tempfile.TemporaryDirectory() as folder:
        make(pathlib.Path(folder), base, one)
        try:
            model = SentenceTransformer(folder, device="cpu")
            one["similarity"] = model.similarity_fn_name
            received = []
            watch = lambda module, arguments: received.append(arguments[0]["input_ids"][0].tolist())
            model[0].register_forward_pre_hook(watch)
            for role, encode in [("documents", model.encode_document), ("questions", model.encode_query)]:
                # Each text alone, so that no vector depends on a batch.
                rows = [[round(float(x), digits) for x in encode(text)] for text in texts]
                if rows != one.get("documents"):
                    one[role] = rows
                if ids and received != one.get("document_ids"):
                    one[role[:-1] + "_ids"] = received[:]
                received.clear()
        except Exception as error:
            for key in ["similarity", "documents", "document_ids"]:
                one.pop(key, None)
            one["refused"] = f"{type(error).__name__}: {error}".split("\n")[0].replace(folder, "FOLDER")[:120]


def compact(value):
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def lines_of(texts, base, variants):
    """JSON with a variant a line."""
    named = ",\n".join(f"{json.dumps(name)}: {compact(one)}" for name, one in variants.items())
    return f'{{\n"texts": {json.dumps(texts, ensure_ascii=False)},\n"base": {compact(base)},\n"variants": {{\n{named}\n}}\n}}'


if __name__ == "__main__":
    OUT.mkdir(parents=True, exist_ok=True)
    torch_files()
    for name, one in V.items():
        measure(BASE, one, TEXTS)
        if "refused" in one:
            print(name, one["refused"])
    (OUT / "variants.json").write_text(lines_of(TEXTS, BASE, V) + "\n", encoding="utf-8")
    print(len(V), "variants,", sum("refused" in one for one in V.values()), "refused")
