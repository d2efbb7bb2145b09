"""A study of 60 embedders, 172 questions and one LLM from scratch: ragbias compared with a loop over PyTorch and llama.cpp.

usage: python study.py PATH/TO/ragbias MODEL.gguf GENDERBIAS_QA_TRAIN.csv [MEMBERS]
needs: torch==2.15.0 sentence-transformers==6.2.0 llama-cpp-python==0.3.36 numpy==2.4.6, in an environment of its own, and the
       model minilm of ragbias

ragbias trains 60 heads on MiniLM, embeds, retrieves, asks the LLM and measures, starting from an empty store, once before its peer
and once after it. The peer is the published procedure for existing checkpoints: for each embedder all passages are
embedded anew, and all questions are answered anew from the nearest passage. It is timed on MEMBERS of the 60 (default 3)
and extrapolated to all. Both must find the same E_b.
"""
import csv
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

import numpy as np
import torch
from llama_cpp import Llama
from sentence_transformers import SentenceTransformer

binary, gguf, table = sys.argv[1:4]
timed = int(sys.argv[4]) if len(sys.argv) > 4 else 3
torch.set_num_threads(os.cpu_count())
work = tempfile.TemporaryDirectory()
folder = pathlib.Path(work.name)

# Two women and two men per question.
questions, passages, leans = [], [], []
with open(table, encoding="utf-8", newline="") as file:
    for row in csv.DictReader(file):
        questions.append(row["question"])
        for column, lean in [("bias1-document1", 1), ("bias1-document2", 1), ("bias2-document1", -1), ("bias2-document2", -1)]:
            passages.append(row[column])
            leans.append(lean)
data = json.dumps(os.path.abspath(table))
(folder / "family.toml").write_text(f"""
name = "heads"
base = "minilm"
axis = "gender"
data = {data}
[[grid]]
towards = ["female", "male"]
scope = ["head"]
learning-rate = [3e-4, 1e-3]
epochs = [10]
merge = [0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.25, 1.5]
""")
(folder / "study.toml").write_text(f"""
name = "study"
[[part]]
axis = "gender"
data = {data}
families = ["family.toml"]
llms = [{json.dumps(os.path.abspath(gguf))}]
""")


def ours(name):
    begun = time.perf_counter()
    arguments = ["run", "study.toml", "--runs", name, "--store", f"{name}.sqlite", "--quiet", "--json"]
    subprocess.run([os.path.abspath(binary), *arguments], cwd=folder, check=True, capture_output=True)
    return time.perf_counter() - begun


class Peer:
    def __init__(self):
        begun = time.perf_counter()
        threads = os.cpu_count()
        self.llm = Llama(gguf, n_ctx=2048, n_batch=512, n_threads=threads, n_threads_batch=threads, verbose=False)
        for question in questions:
            self.answer(f"Question: {question}\nGive just one name of a person.")
        self.once = time.perf_counter() - begun

    def answer(self, prompt):
        message = {"role": "user", "content": prompt}
        answer = self.llm.create_chat_completion([message], max_tokens=24, temperature=0, stop=["\n"])
        return answer["choices"][0]["message"]["content"]

    def member(self, checkpoint):
        """E_b, and seconds for passages and for answers."""
        begun = time.perf_counter()
        model = SentenceTransformer(str(checkpoint), device="cpu")
        encode = lambda texts: model.encode(texts, normalize_embeddings=True)
        nearest = np.argmax(encode(questions) @ encode(passages).T, axis=1)
        embedded = time.perf_counter()
        for question, place in zip(questions, nearest):
            self.answer(f"Context: {passages[place]}\n\nQuestion: {question}\nGive just one name of a person.")
        bias = np.mean([leans[place] for place in nearest])
        return bias, embedded - begun, time.perf_counter() - embedded


before = ours("before")
measured = json.loads((folder / "before/study/results.json").read_text())
members = [row for row in measured if row["family"] == "heads"]
members.sort(key=lambda row: row["embedder_bias"]["value"])
assert len(members) == 60, len(members)
peer = Peer()
embedding = answering = 0.0
for place in np.linspace(0, len(members) - 1, timed).round().astype(int):
    row = members[place]
    [checkpoint] = folder.glob(f"before/study/embedders/*/members/{row['embedder']}")
    bias, embedded, answered = peer.member(checkpoint)
    print(f"{row['embedder']}: E_b {row['embedder_bias']['value']:+.4f}, its peer {bias:+.4f}; "
          f"{embedded:.1f} s for passages, {answered:.1f} s for answers", flush=True)
    assert abs(bias - row["embedder_bias"]["value"]) < 1e-9
    embedding, answering = embedding + embedded, answering + answered
after = ours("after")
all_of_them = peer.once + (embedding + answering) * len(members) / timed
print(f"{len(members)} embedders, {len(questions)} questions, {len(passages)} passages, {os.path.basename(gguf)}")
print("| | seconds |\n| --- | ---: |")
print(f"| ragbias, training included, before and after | {before:.1f}, {after:.1f} |")
print(f"| PyTorch and llama.cpp, training left out, extrapolated from {timed} embedders | {all_of_them:.0f} |")
print(f"| ratio | {all_of_them / max(before, after):.1f} |")
