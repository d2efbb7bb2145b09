"""Reference choices for crates/ragbias/tests/gguf_variants.rs: the default GGUF files with other keys and tensors, in llama.cpp.

usage: gguf_defaults.py smollm2-135m=FILE.gguf gemma3-270m=FILE.gguf > crates/ragbias/tests/fixtures/gguf_defaults.json
needs: llama-cpp-python==0.3.36 gguf==0.19.0 transformers==5.24.0 torch==2.15.0

llama.cpp quantises the inputs of a quantised matrix and `ragbias` does not, so the weights are written in float32 first.
"""
import contextlib
import json
import os
import pathlib
import sys
import tempfile

import gguf
import llama_cpp
import numpy as np
from transformers import AutoTokenizer

from generation import CLAIMS, choice, encode, letter_ids, question

VARIANTS = {
    "smollm2-135m": {
        "as it is": {},
        "another base": {"llama.rope.freq_base": 20000.0},
        "linear": {"llama.rope.scaling.type": "linear", "llama.rope.scaling.factor": 2.0},
        "yarn": {"llama.rope.scaling.type": "yarn", "llama.rope.scaling.factor": 8.0,
                 "llama.rope.scaling.original_context_length": 1024},
        "another epsilon": {"llama.attention.layer_norm_rms_epsilon": 0.25},
        "frequency factors": {},
    },
    "gemma3-270m": {
        "as it is": {},
        "linear": {"gemma3.rope.scaling.type": "linear", "gemma3.rope.scaling.factor": 8.0},
        "a window of 16": {"gemma3.attention.sliding_window": 16},
        "a cap": {"gemma3.final_logit_softcapping": 12.0},
        "another pattern": {"gemma3.attention.sliding_window": 16, "gemma3.attention.sliding_window_pattern": 2},
    },
}


def factors(width):
    """Frequency factors like those of Llama 3.1: 1 for fast rotations, up to 8 for slow ones."""
    return np.linspace(1, 8, width // 2, dtype=np.float32)


def value(field):
    kind = field.types[0]
    if kind == gguf.GGUFValueType.ARRAY:
        return field.contents(), gguf.GGUFValueType.ARRAY, field.types[1]
    return field.contents(), kind, None


def write(reader, path, changes, tensors):
    writer = gguf.GGUFWriter(path, reader.fields["general.architecture"].contents())
    for name, field in reader.fields.items():
        if name.startswith("GGUF.") or name in changes or name in ("general.architecture", "general.file_type"):
            continue
        writer.add_key_value(name, *value(field))
    for name, change in changes.items():
        {str: writer.add_string, int: writer.add_uint32, float: writer.add_float32}[type(change)](name, change)
    for tensor in reader.tensors:
        values = gguf.quants.dequantize(tensor.data, tensor.tensor_type).astype(np.float32)
        writer.add_tensor(tensor.name, values.reshape(tensor.shape[::-1]))
    for name, values in tensors.items():
        writer.add_tensor(name, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def choices(path, tokenizer):
    model = llama_cpp.Llama(path, n_ctx=512, n_batch=512, type_k=0, type_v=0, flash_attn=False, logits_all=True,
                            n_gpu_layers=0, verbose=False)
    ids = letter_ids(tokenizer)

    def letters(*asked):
        tokens = encode(tokenizer, question(*asked))[0].tolist()
        model.reset()
        model.eval(tokens)
        logits = np.array(model.scores[len(tokens) - 1], dtype=np.float64)
        return [float(np.logaddexp.reduce(logits[own])) for own in ids]

    out = [choice(letters, *claims) for claims in CLAIMS]
    model.close()
    return [{key: round(own[key], 5) for key in ("log_odds", "position_bias")} for own in out]


def main():
    out = []
    for argument in sys.argv[1:]:
        model, path = argument.split("=", 1)
        path = pathlib.Path(path)
        reader = gguf.GGUFReader(path)
        tokenizer = AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)
        for name, changes in VARIANTS[model].items():
            tensors = {}
            if name == "frequency factors":
                tensors = {"rope_freqs.weight": factors(reader.fields["llama.rope.dimension_count"].contents())}
            with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(sys.stderr):
                changed = os.path.join(folder, "model.gguf")
                write(reader, changed, changes, tensors)
                own = choices(changed, tokenizer)
            out.append({"model": model, "name": name, "keys": changes,
                        "tensors": {name: values.tolist() for name, values in tensors.items()}, "choices": own})
    lines = ",\n".join(json.dumps(variant) for variant in out)
    claims = [dict(zip(("prompt", "negative", "positive"), own)) for own in CLAIMS]
    print(json.dumps({"claims": claims})[:-1] + f', "variants": [\n{lines}\n]}}')


if __name__ == "__main__":
    main()
