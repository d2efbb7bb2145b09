"""Steps per second of contrastive training: ragbias and PyTorch on the same batch, in one run.

usage: python training.py MODEL_FOLDER PATH/TO/time_training [ROUNDS [cpu|cuda [f32|bf16]]]
needs: torch==2.15.0 transformers==5.24.0, in an environment of its own
build: cargo build --release -p ragbias-tune --example time_training

The batch: 8 questions of 8 topics of corpora/gender, each with the 4 women and 4 men of its topic. Each round times every
program once, one after the other; the table has the medians, and the ratio of ragbias to its peer.
"""
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

import torch
from transformers import AutoModel, AutoTokenizer

SCALE, RATE = 50.0, 3e-5
STEPS, DOCUMENTS = 90, 1600  # for a member trained for ten epochs on corpora/gender and measured there and on Cranfield
folder, binary = sys.argv[1], sys.argv[2]
rounds = int(sys.argv[3]) if len(sys.argv) > 3 else 5
device = sys.argv[4] if len(sys.argv) > 4 else "cpu"
precision = sys.argv[5] if len(sys.argv) > 5 else "f32"
torch.set_num_threads(os.cpu_count())

corpora = pathlib.Path(__file__).parents[2] / "corpora/gender"
read = lambda name: [json.loads(line) for line in open(corpora / name, encoding="utf-8")]
documents, questions = read("corpus.jsonl"), read("questions.jsonl")
topics = list(dict.fromkeys(q["topic"] for q in questions))[:8]
asked = [next(q for q in questions if q["topic"] == topic) for topic in topics]
used = [d for d in documents if d["metadata"]["topic"] in topics]
positions = lambda topic, lean: [
    i for i, d in enumerate(used) if d["metadata"]["topic"] == topic and d["metadata"]["lean"] == lean]
batch = {
    "questions": [q["text"] for q in asked],
    "documents": [f"{d['title']} {d['text']}" for d in used],
    "near": [positions(topic, 1) for topic in topics],
    "away": [positions(topic, -1) for topic in topics],
}

tokenizer = AutoTokenizer.from_pretrained(folder)
texts = batch["questions"] + batch["documents"]
encoded = tokenizer(texts, padding=True, truncation=True, max_length=256, return_tensors="pt").to(device)
mask = encoded["attention_mask"].unsqueeze(-1)


def pool_and_lose(states):
    vectors = torch.nn.functional.normalize((states * mask).sum(1) / mask.sum(1), dim=1)
    n = len(batch["questions"])
    scores = SCALE * vectors[:n] @ vectors[n:].T
    losses = [torch.logsumexp(row[near + away], 0) - torch.logsumexp(row[near], 0)
              for row, near, away in zip(scores, batch["near"], batch["away"])]
    return torch.stack(losses).mean()


def contestant(trains, cached):
    model = AutoModel.from_pretrained(folder).eval().to(device)
    for name, p in model.named_parameters():
        p.requires_grad_(trains(name))
    optimiser = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=RATE)
    top = model.encoder.layer[-1]
    with torch.no_grad():
        states = model(**encoded, output_hidden_states=True).hidden_states[-2]
    wide = torch.zeros_like(encoded["attention_mask"], dtype=torch.float).masked_fill(
        encoded["attention_mask"] == 0, torch.finfo(torch.float).min)[:, None, None, :]

    def step():
        optimiser.zero_grad()
        with torch.autocast(device, torch.bfloat16, enabled=precision == "bf16"):
            if cached:
                out = top(states, attention_mask=wide)
                out = out[0] if isinstance(out, tuple) else out
            else:
                out = model(**encoded).last_hidden_state
        loss = pool_and_lose(out.float())
        loss.backward()
        torch.nn.utils.clip_grad_norm_([p for p in model.parameters() if p.requires_grad], 1.0)
        optimiser.step()

    return step


everything = lambda name: not name.startswith("pooler.")
mlp = lambda name: name.startswith("encoder.layer.5.") and name.split(".", 3)[3].startswith(("intermediate", "output"))
peers = {
    "full": (contestant(everything, False), 3),
    "mlp-top-1, no cache": (contestant(mlp, False), 6),
    "mlp-top-1, cached": (contestant(mlp, True), 20),
}
ours = {
    "full": ("full", "uncached", 3),
    "mlp-top-1, no cache": ("mlp-top-1", "uncached", 6),
    "mlp-top-1, cached": ("mlp-top-1", "cached", 20),
}
rates = {name: {"ragbias": [], "PyTorch": []} for name in peers}
embedded = {name: [] for name in peers}
with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
    json.dump(batch, file)
    file.flush()
    for _ in range(rounds):
        for name, (step, steps) in peers.items():
            step()
            if device == "cuda":
                torch.cuda.synchronize()
            begun = time.perf_counter()
            for _ in range(steps):
                step()
            if device == "cuda":
                torch.cuda.synchronize()
            rates[name]["PyTorch"].append(steps / (time.perf_counter() - begun))
            scope, cached, steps = ours[name]
            out = subprocess.run(
                [binary, file.name, scope, cached, str(steps), device, precision], check=True, capture_output=True, text=True)
            out = json.loads(out.stdout)
            rates[name]["ragbias"].append(out["steps"])
            embedded[name].append(out["documents"])

print(f"{len(texts)} texts, {int(encoded['attention_mask'].sum())} tokens a step; median steps/s of {rounds} rounds, {device}, {precision}")
print("| trained | ragbias | PyTorch | ratio |\n| --- | ---: | ---: | ---: |")
for name, both in rates.items():
    a, b = statistics.median(both["ragbias"]), statistics.median(both["PyTorch"])
    print(f"| {name} | {a:.3f} | {b:.3f} | {a / b:.2f} |")
a = statistics.median(rates["mlp-top-1, cached"]["ragbias"])
c = statistics.median(rates["mlp-top-1, no cache"]["PyTorch"])
print(f"| mlp-top-1: ragbias cached beside PyTorch without | {a:.3f} | {c:.3f} | {a / c:.2f} |")

print(f"\nA member of ragbias with mlp-top-1: {STEPS} steps, and {DOCUMENTS:,} documents of this length embedded anew\n"
      "| | steps/s | documents/s | seconds a member |\n| --- | ---: | ---: | ---: |")
seconds = {}
for how in ("no cache", "cached"):
    steps = statistics.median(rates[f"mlp-top-1, {how}"]["ragbias"])
    documents = statistics.median(embedded[f"mlp-top-1, {how}"])
    seconds[how] = STEPS / steps + DOCUMENTS / documents
    print(f"| {how} | {steps:.2f} | {documents:.0f} | {seconds[how]:.1f} |")
print(f"ratio: {seconds['no cache'] / seconds['cached']:.2f}")
