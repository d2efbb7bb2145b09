"""Reference gradients and losses for crates/ragbias-tune, from PyTorch.

usage: training.py MODEL_FOLDER > crates/ragbias-tune/tests/fixtures/training.json
needs: transformers==5.24.0 torch==2.15.0

The batch is the first question of four topics of corpora/gender, trained towards its judged women, without dropout. Written are,
for the first step's gradient of every parameter, its norm and its inner product with cos(0), cos(1), …; and, for 20 steps of
AdamW on that one batch, the loss before each.
"""
import csv
import json
import pathlib
import sys

import torch
from transformers import AutoModel, AutoTokenizer

SCALE, RATE, STEPS, WARMUP, DECAY, CLIP = 50.0, 3e-5, 20, 10, 0.01, 1.0
QUESTIONS = ["physics-q1", "novels-q1", "dance-q1", "economics-q1"]

corpora = pathlib.Path(__file__).parents[2] / "corpora/gender"
read = lambda name: [json.loads(line) for line in open(corpora / name, encoding="utf-8")]
documents = {d["_id"]: d for d in read("corpus.jsonl")}
questions = {q["_id"]: q["text"] for q in read("questions.jsonl")}
judged = [(r["query-id"], r["corpus-id"]) for r in csv.DictReader(open(corpora / "qrels.tsv"), delimiter="\t")]

tokenizer = AutoTokenizer.from_pretrained(sys.argv[1])
examples = []
for question in QUESTIONS:
    ids = [document for q, document in judged if q == question]
    lean = lambda wanted: [i for i in ids if documents[i]["metadata"]["lean"] == wanted]
    examples.append((question, lean(1), lean(-1)))
names = sorted({i for _, near, away in examples for i in near + away})
texts = [questions[q] for q, _, _ in examples] + [f"{documents[i]['title']} {documents[i]['text']}" for i in names]
encoded = tokenizer(texts, padding=True, truncation=True, max_length=256, return_tensors="pt")


def loss_of(model):
    states = model(**encoded).last_hidden_state
    mask = encoded["attention_mask"].unsqueeze(-1)
    vectors = torch.nn.functional.normalize((states * mask).sum(1) / mask.sum(1), dim=1)
    scores = SCALE * vectors[: len(examples)] @ vectors[len(examples):].T
    losses = []
    for row, (_, near, away) in zip(scores, examples):
        of = lambda ids: torch.logsumexp(row[[names.index(i) for i in ids]], 0)
        losses.append(of(near + away) - of(near))
    return torch.stack(losses).mean()


def fresh():
    return AutoModel.from_pretrained(sys.argv[1], attn_implementation="eager").eval()


def train(model, trains):
    parameters = [(name, p) for name, p in model.named_parameters() if not name.startswith("pooler.")]
    for name, p in parameters:
        p.requires_grad_(trains(name))
    parameters = [(name, p) for name, p in parameters if p.requires_grad]
    spared = lambda name: name.endswith(".bias") or "LayerNorm" in name
    groups = [{"params": [p for n, p in parameters if not spared(n)], "weight_decay": DECAY},
              {"params": [p for n, p in parameters if spared(n)], "weight_decay": 0.0}]
    optimiser = torch.optim.AdamW(groups, lr=RATE)
    gradients, losses = {}, []
    for step in range(STEPS):
        done = step + 1
        share = done / WARMUP if done <= WARMUP else (STEPS + 1 - done) / (STEPS + 1 - WARMUP)
        for group in optimiser.param_groups:
            group["lr"] = RATE * share
        optimiser.zero_grad()
        loss = loss_of(model)
        loss.backward()
        if step == 0:
            for name, p in parameters:
                flat = p.grad.flatten().double()
                probe = torch.cos(torch.arange(flat.numel(), dtype=torch.float64))
                gradients[name] = [float(flat.norm()), float(flat @ probe)]
        torch.nn.utils.clip_grad_norm_([p for _, p in parameters], CLIP)
        optimiser.step()
        losses.append(float(loss))
    return {"gradients": gradients, "losses": losses}


mlp = lambda name: name.startswith("encoder.layer.5.") and name.split(".", 3)[3].startswith(("intermediate", "output"))
print(json.dumps({
    "examples": [{"question": q, "near": near, "away": away} for q, near, away in examples],
    "full": train(fresh(), lambda name: True),
    "mlp-top-1": train(fresh(), mlp),
}, indent=1))
