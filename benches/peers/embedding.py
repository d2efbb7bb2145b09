"""Documents per second of an embedder that is pooled by the mean: ragbias, sentence-transformers and ONNX Runtime in one run.

usage: python embedding.py MODEL_FOLDER PATH/TO/time_embedding TEXTS.jsonl [ROUNDS] [int8]
needs: torch==2.15.0 sentence-transformers==6.2.0 transformers==5.24.0 onnxruntime==1.32.0 onnx onnxscript, in an
       environment of its own
build: cargo build --release --workspace --example time_embedding

Each line of TEXTS.jsonl has a `text` and optionally a `title`. "together": all texts in one call; the peers get batches of 32
sorted by length, which is fastest for them. "one by one" and "four by four": the first 200 texts, every second one cut to its first
sentence, as in a service. Each round times every program once, one after the other; the table has the medians.
"products" is the rate of the matrix products alone, using the gemm crate, and "maps" that of the linear layers' products alone.
With `int8`, ragbias computes with this precision and ONNX Runtime the model that its own dynamic quantisation makes, weights by
channel; the cosines of both with the vectors in f32 are printed. sentence-transformers stays in f32.
"""
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np
import onnxruntime
import torch
from sentence_transformers import SentenceTransformer
from onnxruntime.quantization import QuantType, quantize_dynamic
from transformers import AutoModel, AutoTokenizer

folder, binary, path = sys.argv[1:4]
rounds = int(sys.argv[4]) if len(sys.argv) > 4 else 5
precision = sys.argv[5] if len(sys.argv) > 5 else "f32"
threads = os.cpu_count()
torch.set_num_threads(threads)
records = [json.loads(line) for line in open(path, encoding="utf-8")]
texts = [" ".join(filter(None, [r.get("title"), r["text"]])) for r in records]
few = [text if i % 2 else text.split(". ")[0] for i, text in enumerate(texts[:200])]

torch_model = SentenceTransformer(folder, device="cpu")
tokenizer = AutoTokenizer.from_pretrained(folder)


class Encoder(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.bert = AutoModel.from_pretrained(folder, attn_implementation="eager").eval()

    def forward(self, *inputs):
        return self.bert(**dict(zip(names, inputs))).last_hidden_state


work = pathlib.Path(tempfile.mkdtemp())
example = tokenizer(["one text", "another text that is longer"], padding=True, return_tensors="pt")
names = list(example)
torch.onnx.export(Encoder(), tuple(example[n] for n in names), work / "model.onnx", input_names=names,
                  output_names=["states"], dynamic_axes={n: {0: "batch", 1: "length"} for n in [*names, "states"]}, dynamo=False)
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = threads
model = work / "model.onnx"
if precision == "int8":
    model = work / "int8.onnx"
    quantize_dynamic(work / "model.onnx", model, per_channel=True, weight_type=QuantType.QInt8)
session = onnxruntime.InferenceSession(model, options)


def onnx(batch):
    tokens = tokenizer(batch, padding=True, truncation=True, max_length=torch_model.max_seq_length, return_tensors="np")
    states = session.run(None, {n: tokens[n].astype(np.int64) for n in names})[0]
    mask = tokens["attention_mask"][..., None]
    pooled = (states * mask).sum(1) / mask.sum(1)
    return pooled / np.linalg.norm(pooled, axis=1, keepdims=True)


def onnx_together():
    order = sorted(range(len(texts)), key=lambda i: -len(texts[i]))
    for at in range(0, len(order), 32):
        onnx([texts[i] for i in order[at:at + 32]])


def ours(how, texts):
    file = work / f"{how}.json"
    file.write_text(json.dumps(texts))
    return float(subprocess.run([binary, folder, file, how, precision], check=True, capture_output=True, text=True).stdout)


def timed(call, texts):
    begun = time.perf_counter()
    call()
    return len(texts) / (time.perf_counter() - begun)


def by(number):
    batches = [few[at:at + number] for at in range(0, len(few), number)]
    return {
        "ragbias": lambda: ours(str(number), few),
        "sentence-transformers": lambda: timed(lambda: [torch_model.encode(batch) for batch in batches], few),
        "ONNX Runtime": lambda: timed(lambda: [onnx(batch) for batch in batches], few),
    }


reference = torch_model.encode(few[:40], normalize_embeddings=True)
if precision == "f32":
    difference = np.abs(onnx(few[:40]) - reference).max()
    assert difference < 1e-5, difference
else:
    cosines = [float(onnx([text])[0] @ vector) for text, vector in zip(few, reference)]
    print(f"cosines of ONNX Runtime in int8 with f32: least {min(cosines):.4f}, median {statistics.median(cosines):.4f}")
contestants = {
    "together": (texts, {
        "ragbias": lambda: ours("together", texts),
        "sentence-transformers": lambda: timed(lambda: torch_model.encode(texts, batch_size=32), texts),
        "ONNX Runtime": lambda: timed(onnx_together, texts),
        "products": lambda: ours("products", texts),
        "maps": lambda: ours("maps", texts),
    }),
    "one by one": (few, by(1)),
    "four by four": (few, by(4)),
}
rates = {how: {name: [] for name in all_} for how, (_, all_) in contestants.items()}
for _ in range(rounds):
    for how, (_, all_) in contestants.items():
        for name, rate in all_.items():
            rates[how][name].append(rate())
print(f"{len(texts)} texts, {threads} threads, medians of {rounds} rounds, texts/s")
print("| | ragbias | sentence-transformers | ratio | ONNX Runtime | ratio | products alone | share | maps alone | share |")
print("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
for how, all_ in rates.items():
    m = {name: statistics.median(values) for name, values in all_.items()}
    alone = " | ".join(f"{m[k]:.1f} | {m['ragbias'] / m[k]:.0%}" if k in m else " | " for k in ("products", "maps"))
    print(f"| {how} | {m['ragbias']:.1f} | {m['sentence-transformers']:.1f} | "
          f"{m['ragbias'] / m['sentence-transformers']:.2f} | {m['ONNX Runtime']:.1f} | "
          f"{m['ragbias'] / m['ONNX Runtime']:.2f} | {alone} |")
