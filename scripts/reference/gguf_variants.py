"""Reference logits for crates/ragbias-generate/src/decoder/variants.rs, from llama.cpp in float32.

usage: gguf_variants.py > crates/ragbias-generate/src/decoder/fixtures/gguf_variants.json
needs: llama-cpp-python==0.3.36 gguf==0.19.0 numpy==2.4.6 transformers==5.24.0 torch==2.15.0

Each variant is a tiny model whose weights are computed from the names of its tensors; the file lists its keys and tensors,
so that the tests can build the same model. It has every tenth of the logits after the last token, and their norm.
"""
import contextlib
import json
import math
import os
import sys
import tempfile

import gguf
import llama_cpp
import numpy as np
import torch
from transformers import Phi3Config, Phi3ForCausalLM

HIDDEN, INNER, HEADS, KEY_HEADS, VOCABULARY, TOKENS = 64, 96, 4, 2, 300, 60
SEQUENCE = [(i * 31 + i * i * 7 + 3) % VOCABULARY for i in range(TOKENS)]


def uniform(name, count):
    """Numbers in [-1, 1) computed from a name: FNV-1a, then a bit mixer for each number."""
    seed = np.uint32(2166136261)
    with np.errstate(over="ignore"):
        for byte in name.encode():
            seed = np.uint32((int(seed) ^ byte) * 16777619 & 0xFFFFFFFF)
        x = np.arange(count, dtype=np.uint32) * np.uint32(0x9E3779B9) + seed
        x ^= x >> np.uint32(16)
        x *= np.uint32(0x7FEB352D)
        x ^= x >> np.uint32(15)
        x *= np.uint32(0x846CA68B)
        x ^= x >> np.uint32(16)
    return (x >> np.uint32(8)).astype(np.float32) / np.float32(2**23) - np.float32(1)


def weights(name, shape):
    """Matrices preserve the scale of their inputs, norms are close to one, biases and factors are large enough to matter."""
    x = uniform(name, math.prod(shape))
    if len(shape) == 2:
        x = x * np.sqrt(np.float32(3) / np.float32(shape[1]))
    elif name.endswith(".bias"):
        x = x / np.float32(2)
    elif name.startswith("rope_"):
        x = x * np.float32(3) + np.float32(4)
    else:
        x = x / np.float32(4) + np.float32(1)
    return x.astype(np.float32).reshape(shape)


FAMILIES = ["llama", "gemma3", "qwen2", "qwen3", "gemma2", "phi3", "smollm3", "olmo2"]


def base(architecture):
    """Number of layers, keys, tensors outside the layers, and tensors of a layer, of a plain model."""
    gemma = architecture.startswith("gemma")
    wide = gemma or architecture == "qwen3"
    width = 32 if wide else HIDDEN // HEADS
    queries, values = HEADS * width, KEY_HEADS * width
    keys = {"context_length": 512, "embedding_length": HIDDEN, "feed_forward_length": INNER,
            "attention.head_count": HEADS, "attention.head_count_kv": KEY_HEADS,
            "attention.layer_norm_rms_epsilon": 1e-5, "rope.freq_base": 1000000.0 if gemma else 10000.0}
    keys |= {"attention.key_length": width, "attention.value_length": width} if wide else {"rope.dimension_count": width}
    parts = {"attn_norm.weight": [HIDDEN], "attn_q.weight": [queries, HIDDEN], "attn_k.weight": [values, HIDDEN],
             "attn_v.weight": [values, HIDDEN], "attn_output.weight": [HIDDEN, queries], "ffn_norm.weight": [HIDDEN],
             "ffn_gate.weight": [INNER, HIDDEN], "ffn_up.weight": [INNER, HIDDEN], "ffn_down.weight": [HIDDEN, INNER]}
    layers = {"gemma3": 7, "gemma2": 5, "smollm3": 5}.get(architecture, 2)
    outside = {"token_embd.weight": [VOCABULARY, HIDDEN], "output_norm.weight": [HIDDEN]}
    if gemma:
        keys |= {"attention.sliding_window": 9}
        parts |= {"post_attention_norm.weight": [HIDDEN], "post_ffw_norm.weight": [HIDDEN]}
    if architecture in ("gemma3", "qwen3"):
        parts |= {"attn_q_norm.weight": [width], "attn_k_norm.weight": [width]}
    if architecture == "qwen2":
        parts |= {"attn_q.bias": [queries], "attn_k.bias": [values], "attn_v.bias": [values]}
    if architecture == "gemma2":
        keys |= {"attn_logit_softcapping": 2.0, "final_logit_softcapping": 4.0}
    if architecture == "phi3":
        split = ("attn_q", "attn_k", "attn_v", "ffn_gate")
        parts = {name: shape for name, shape in parts.items() if not name.startswith(split)}
        parts |= {"attn_qkv.weight": [queries + 2 * values, HIDDEN], "ffn_up.weight": [2 * INNER, HIDDEN]}
    if architecture == "olmo2":
        parts = {name: shape for name, shape in parts.items() if name not in ("attn_norm.weight", "ffn_norm.weight")}
        parts |= {"attn_q_norm.weight": [queries], "attn_k_norm.weight": [values],
                  "post_attention_norm.weight": [HIDDEN], "post_ffw_norm.weight": [HIDDEN]}
        outside |= {"output.weight": [VOCABULARY, HIDDEN]}
    keys = {f"{architecture}.{key}": value for key, value in keys.items()}
    return layers, keys, outside, parts


def plain(architecture, layers):
    """All keys and tensors of a plain model."""
    _, keys, tensors, parts = base(architecture)
    keys = keys | {f"{architecture}.block_count": layers}
    return keys, tensors | {f"blk.{layer}.{part}": shape for layer in range(layers) for part, shape in parts.items()}


def variants():
    """name, architecture, layers, changed keys (None: left out), changed tensors (None: left out), context parameters."""
    every = lambda parts, layers=2: {f"blk.{i}.{part}": shape for i in range(layers) for part, shape in parts.items()}
    yarn = {"rope.scaling.type": "yarn", "rope.scaling.factor": 4.0, "rope.scaling.original_context_length": 32}
    qkv = {"attn_q.bias": [64], "attn_k.bias": [32], "attn_v.bias": [32]}
    joined = {"attn_q.weight": None, "attn_k.weight": None, "attn_v.weight": None, "attn_qkv.weight": [128, 64]}
    wide = {"attn_q.weight": [128, 64], "attn_k.weight": [64, 64], "attn_v.weight": [64, 64],
            "attn_output.weight": [64, 128]}
    factors = {"rope_freqs.weight": [8]}
    yield "llama", "llama", 2, {}, {}, {}
    yield "output of its own", "llama", 2, {}, {"output.weight": [VOCABULARY, HIDDEN]}, {}
    yield "linear", "llama", 2, {"rope.scaling.type": "linear", "rope.scaling.factor": 4.0}, {}, {}
    yield "factor without a type", "llama", 2, {"rope.scaling.factor": 2.5}, {}, {}
    yield "old key of linear", "llama", 2, {"rope.scale_linear": 2.0}, {}, {}
    yield "no scaling", "llama", 2, {"rope.scaling.type": "none", "rope.scaling.factor": 4.0}, {}, {}
    yield "yarn", "llama", 2, yarn, {}, {}
    yield "yarn over the whole context", "llama", 2, yarn | {"rope.scaling.original_context_length": None}, {}, {}
    yield "yarn with an attention factor", "llama", 2, yarn | {"rope.scaling.attn_factor": 1.25}, {}, {}
    yield "yarn with betas", "llama", 2, yarn | {
        "rope.scaling.yarn_beta_fast": 8.0, "rope.scaling.yarn_beta_slow": 0.5}, {}, {
        "yarn_beta_fast": 8.0, "yarn_beta_slow": 0.5}
    yield "yarn in part", "llama", 2, yarn | {"rope.scaling.yarn_ext_factor": 0.5}, {}, {"yarn_ext_factor": 0.5}
    yield "frequency factors", "llama", 2, {}, factors, {}
    yield "frequency factors and linear", "llama", 2, {"rope.scaling.factor": 2.0}, factors, {}
    yield "frequency factors and yarn", "llama", 2, yarn, factors, {}
    yield "no base", "llama", 2, {"rope.freq_base": None}, {}, {}
    yield "another base", "llama", 2, {"rope.freq_base": 500000.0}, {}, {}
    yield "biases of queries", "llama", 2, {}, every({"attn_q.bias": [64]}), {}
    yield "biases of attention", "llama", 2, {}, every(qkv | {"attn_output.bias": [64]}), {}
    yield "biases of the mlp", "llama", 2, {}, every(
        {"ffn_gate.bias": [96], "ffn_up.bias": [96], "ffn_down.bias": [64]}), {}
    yield "joined", "llama", 2, {}, every(joined), {}
    yield "joined with a bias", "llama", 2, {}, every(joined | {"attn_qkv.bias": [128]}), {}
    yield "wide heads", "llama", 2, {"attention.key_length": 32, "attention.value_length": 32,
                                     "rope.dimension_count": 32}, every(wide), {}
    yield "no rotary width", "llama", 2, {"rope.dimension_count": None}, {}, {}
    yield "keys for each head", "llama", 2, {"attention.head_count_kv": None}, every(
        {"attn_k.weight": [64, 64], "attn_v.weight": [64, 64]}), {}
    yield "another epsilon", "llama", 2, {"attention.layer_norm_rms_epsilon": 0.25}, {}, {}
    yield "lists for layers", "llama", 2, {"attention.head_count": [4, 4], "attention.head_count_kv": [2, 2],
                                           "feed_forward_length": [96, 96]}, {}, {}
    yield "gemma3", "gemma3", 7, {}, {}, {}
    yield "gemma3 with a cap", "gemma3", 7, {"final_logit_softcapping": 3.0}, {}, {}
    yield "gemma3 without windows", "gemma3", 7, {"attention.sliding_window": None}, {}, {}
    yield "gemma3 with a window of 0", "gemma3", 7, {"attention.sliding_window": 0}, {}, {}
    yield "gemma3 with another window", "gemma3", 7, {"attention.sliding_window": 20}, {}, {}
    yield "gemma3 with a pattern", "gemma3", 7, {"attention.sliding_window_pattern": 2}, {}, {}
    yield "gemma3 with a list", "gemma3", 7, {
        "attention.sliding_window_pattern": [False, True, True, False, True, False, True]}, {}, {}
    yield "gemma3 with a base of windows", "gemma3", 7, {"rope.freq_base_swa": 500.0}, {}, {}
    yield "gemma3 without a base", "gemma3", 7, {"rope.freq_base": None}, {}, {}
    yield "gemma3 linear", "gemma3", 7, {"rope.scaling.type": "linear", "rope.scaling.factor": 8.0}, {}, {}
    yield "gemma3 yarn", "gemma3", 7, yarn, {}, {}
    yield "gemma3 turned in part", "gemma3", 7, {"rope.dimension_count": 16}, {}, {}
    yield "gemma3 with biases", "gemma3", 7, {}, every({"attn_q.bias": [128], "attn_k.bias": [64]}, 7), {}
    yield "gemma3 with an output of its own", "gemma3", 7, {}, {"output.weight": [VOCABULARY, HIDDEN]}, {}
    # From its number of layers llama.cpp takes it for the 27B model, which scales attention by another width.
    yield "gemma3 27b", "gemma3", 62, {}, {}, {}
    own = {"output.weight": [VOCABULARY, HIDDEN]}
    unbiased = {"attn_q.bias": None, "attn_k.bias": None, "attn_v.bias": None}
    each = {"attn_k.weight": [64, 64], "attn_v.weight": [64, 64], "attn_k.bias": [64], "attn_v.bias": [64]}
    yield "qwen2", "qwen2", 2, {}, {}, {}
    yield "qwen2 with an output of its own", "qwen2", 2, {}, own, {}
    yield "qwen2 without biases", "qwen2", 2, {}, every(unbiased), {}
    yield "qwen2 joined", "qwen2", 2, {}, every(joined | unbiased | {"attn_qkv.bias": [128]}), {}
    yield "qwen2 with keys for each head", "qwen2", 2, {"attention.head_count_kv": None}, every(each), {}
    yield "qwen2 with another base", "qwen2", 2, {"rope.freq_base": 1000000.0}, {}, {}
    yield "qwen2 yarn", "qwen2", 2, yarn, {}, {}
    narrow = {"attn_q.weight": [64, 64], "attn_k.weight": [32, 64], "attn_v.weight": [32, 64],
              "attn_output.weight": [64, 64], "attn_q_norm.weight": [16], "attn_k_norm.weight": [16]}
    yield "qwen3", "qwen3", 2, {}, {}, {}
    yield "qwen3 with an output of its own", "qwen3", 2, {}, own, {}
    yield "qwen3 with narrow heads", "qwen3", 2, {
        "attention.key_length": None, "attention.value_length": None}, every(narrow), {}
    yield "qwen3 with keys for each head", "qwen3", 2, {"attention.head_count_kv": None}, every(
        {"attn_k.weight": [128, 64], "attn_v.weight": [128, 64]}), {}
    yield "qwen3 with biases", "qwen3", 2, {}, every(
        {"attn_q.bias": [128], "attn_k.bias": [64], "attn_v.bias": [64]}), {}
    yield "qwen3 yarn", "qwen3", 2, yarn, {}, {}
    caps = {"attn_logit_softcapping": None, "final_logit_softcapping": None}
    yield "gemma2", "gemma2", 5, {}, {}, {}
    yield "gemma2 with the usual caps", "gemma2", 5, caps, {}, {}
    yield "gemma2 with another cap of scores", "gemma2", 5, {"attn_logit_softcapping": 0.5}, {}, {}
    yield "gemma2 with another cap of logits", "gemma2", 5, {"final_logit_softcapping": 1.5}, {}, {}
    yield "gemma2 with the usual window", "gemma2", 5, {"attention.sliding_window": None}, {}, {}
    yield "gemma2 with another window", "gemma2", 5, {"attention.sliding_window": 20}, {}, {}
    yield "gemma2 with a pattern", "gemma2", 5, {"attention.sliding_window_pattern": 3}, {}, {}
    yield "gemma2 with a list", "gemma2", 5, {
        "attention.sliding_window_pattern": [False, True, True, False, True]}, {}, {}
    yield "gemma2 with a base of windows", "gemma2", 5, {"rope.freq_base_swa": 500.0}, {}, {}
    yield "gemma2 with another base", "gemma2", 5, {"rope.freq_base": 500.0}, {}, {}
    yield "gemma2 linear", "gemma2", 5, {"rope.scaling.type": "linear", "rope.scaling.factor": 8.0}, {}, {}
    yield "gemma2 yarn", "gemma2", 5, yarn, {}, {}
    yield "gemma2 turned in part", "gemma2", 5, {"rope.dimension_count": 16}, {}, {}
    yield "gemma2 with biases", "gemma2", 5, {}, every(
        {"attn_q.bias": [128], "attn_k.bias": [64], "attn_v.bias": [64]}, 5), {}
    yield "gemma2 27b", "gemma2", 46, {}, {}, {}
    split = {"attn_qkv.weight": None, "attn_q.weight": [64, 64], "attn_k.weight": [32, 64], "attn_v.weight": [32, 64]}
    long = {"rope_factors_long.weight": [8], "rope_factors_short.weight": [8]}
    yield "phi3", "phi3", 2, {}, {}, {}
    yield "phi3 with an output of its own", "phi3", 2, {}, own, {}
    yield "phi3 split", "phi3", 2, {}, every(split), {}
    yield "phi3 with biases", "phi3", 2, {}, every({"attn_qkv.bias": [128]}), {}
    yield "phi3 with keys for each head", "phi3", 2, {"attention.head_count_kv": None}, every(
        {"attn_qkv.weight": [192, 64]}), {}
    yield "phi3 turned in part", "phi3", 2, {"rope.dimension_count": 12}, {}, {}
    yield "phi3 with short factors", "phi3", 2, {"rope.scaling.original_context_length": 512}, long, {}
    yield "phi3 with long factors", "phi3", 2, {"rope.scaling.original_context_length": 32}, long, {}
    yield "phi3 with long factors and a type", "phi3", 2, {
        "rope.scaling.type": "longrope", "rope.scaling.original_context_length": 32}, long, {}
    yield "phi3 with long factors, turned in part", "phi3", 2, {
        "rope.scaling.original_context_length": 32, "rope.dimension_count": 12}, {
            "rope_factors_long.weight": [6], "rope_factors_short.weight": [6]}, {}
    yield "phi3 with an attention factor", "phi3", 2, {
        "rope.scaling.attn_factor": 1.25, "rope.scaling.original_context_length": 512}, long, {}
    yield "phi3 with a window", "phi3", 2, {"attention.sliding_window": 9}, {}, {}
    yield "smollm3", "smollm3", 5, {}, {}, {}
    yield "smollm3 with an output of its own", "smollm3", 5, {}, own, {}
    yield "smollm3 with another base", "smollm3", 5, {"rope.freq_base": 500.0}, {}, {}
    yield "smollm3 with biases", "smollm3", 5, {}, every(qkv, 5), {}
    yield "smollm3 of nine layers", "smollm3", 9, {}, {}, {}
    yield "smollm3 yarn", "smollm3", 5, yarn, {}, {}
    yield "olmo2", "olmo2", 2, {}, {}, {}
    yield "olmo2 with keys for each head", "olmo2", 2, {"attention.head_count_kv": None}, every(
        {"attn_k.weight": [64, 64], "attn_v.weight": [64, 64], "attn_k_norm.weight": [64]}), {}
    yield "olmo2 with biases", "olmo2", 2, {}, every(qkv), {}
    yield "olmo2 yarn", "olmo2", 2, yarn, {}, {}
    yield "olmo2 with a window", "olmo2", 5, {"attention.sliding_window": 9}, {}, {}
    yield "olmo2 with a window and a pattern", "olmo2", 5, {
        "attention.sliding_window": 9, "attention.sliding_window_pattern": 2}, {}, {}
    yield "olmo2 with a window and yarn", "olmo2", 5, yarn | {
        "attention.sliding_window": 9, "rope.scaling.attn_factor": 1.25}, {}, {}


def write(path, architecture, keys, tensors):
    writer = gguf.GGUFWriter(path, architecture)
    for key, value in keys.items():
        if isinstance(value, list):
            writer.add_array(key, value)
        else:
            add = {str: writer.add_string, int: writer.add_uint32, float: writer.add_float32}[type(value)]
            add(key, value)
    tokens = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    tokens += [f"t{number}" for number in range(VOCABULARY - len(tokens))]
    writer.add_tokenizer_model("llama")
    writer.add_token_list(tokens)
    writer.add_token_scores([0.0] * VOCABULARY)
    writer.add_token_types([2, 3, 3, *[6] * 256, *[1] * (VOCABULARY - 259)])
    for name, shape in tensors.items():
        writer.add_tensor(name, weights(name, shape))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def logits(path, tokens, parameters):
    """Logits of the token after the last; keys and values in float32."""
    model = llama_cpp.Llama(path, n_ctx=512, n_batch=512, type_k=0, type_v=0, flash_attn=False, logits_all=True,
                            n_gpu_layers=0, verbose=False, **parameters)
    model.eval(tokens)
    last = np.array(model.scores[len(tokens) - 1], dtype=np.float64)
    model.close()
    return last


def phi_logits(keys, tensors, tokens):
    """The same of a Phi-3 model in transformers: llama.cpp ignores its window."""
    key = lambda name: keys[f"phi3.{name}"]
    config = Phi3Config(
        vocab_size=VOCABULARY, hidden_size=HIDDEN, intermediate_size=INNER, num_hidden_layers=key("block_count"),
        num_attention_heads=HEADS, num_key_value_heads=KEY_HEADS, max_position_embeddings=512,
        rms_norm_eps=key("attention.layer_norm_rms_epsilon"), rope_theta=key("rope.freq_base"), pad_token_id=None,
        sliding_window=key("attention.sliding_window"), tie_word_embeddings=True, attn_implementation="eager")
    model = Phi3ForCausalLM(config).eval()
    names = {"token_embd": "embed_tokens", "output_norm": "norm", "blk": "layers", "attn_norm": "input_layernorm",
             "attn_qkv": "self_attn.qkv_proj", "attn_output": "self_attn.o_proj", "ffn_norm": "post_attention_layernorm",
             "ffn_up": "mlp.gate_up_proj", "ffn_down": "mlp.down_proj"}
    state = {".".join(names.get(part, part) for part in name.split(".")): torch.from_numpy(weights(name, shape))
             for name, shape in tensors.items()}
    model.model.load_state_dict(state)
    with torch.no_grad():
        return model(torch.tensor([tokens])).logits[0, -1].double().numpy()


def main():
    out = []
    with tempfile.TemporaryDirectory() as folder:
        for name, architecture, layers, keys, tensors, parameters in variants():
            plain_keys, plain_tensors = plain(architecture, layers)
            changed = {f"{architecture}.{key}": value for key, value in keys.items()}
            path = os.path.join(folder, "model.gguf")
            keep = lambda part: {key: value for key, value in part.items() if value is not None}
            write(path, architecture, keep(plain_keys | changed), keep(plain_tensors | tensors))
            with contextlib.redirect_stdout(sys.stderr):
                if name == "phi3 with a window":
                    last = phi_logits(plain_keys | changed, plain_tensors, SEQUENCE)
                else:
                    last = logits(path, SEQUENCE, parameters)
            out.append({"name": name, "architecture": architecture, "layers": layers, "keys": changed, "tensors": tensors,
                        "norm": round(float(np.linalg.norm(last)), 5), "logits": [round(x, 5) for x in last[::10]]})
    families = {}
    for architecture in FAMILIES:
        layers, keys, tensors, parts = base(architecture)
        families[architecture] = {"layers": layers, "keys": keys, "tensors": tensors, "parts": parts}
    families = ",\n".join(f"{json.dumps(name)}: {json.dumps(family)}" for name, family in families.items())
    lines = ",\n".join(json.dumps(variant) for variant in out)
    print(f'{{"families": {{\n{families}\n}}, "variants": [\n{lines}\n]}}')


if __name__ == "__main__":
    main()
