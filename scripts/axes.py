"""E_b of an embedder and of a family of heads on every bundled axis: the tables of docs/axes.md.

usage: python scripts/axes.py RAGBIAS EMBEDDER [FAMILY]
  RAGBIAS   the program
  EMBEDDER  its name or folder; with a family, the family's base
  FAMILY    a folder made by `ragbias tune`, whose members are heads (embedders/families/gender-twins-head.toml)
needs: numpy, safetensors

Every text is embedded once, by `ragbias embed`. A head is a linear map of the base's vectors, so that a member's are computed from
them. Rankings and intervals (percentile bootstrap over topics, 4000 draws) are made here, independently of the program's.
"""
import json
import pathlib
import subprocess
import sys
import tempfile
import tomllib

import numpy as np
from safetensors.numpy import load_file

SETS = ["gender-twins", "gender", "politics", "religion-twins", "nationality-twins", "age-twins", "brevity", "position", "wording"]
DRAWS = 4000


def records(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def vectors(program, embedder, path):
    subprocess.run([program, "embed", "--embedder", embedder, "--input", path, "--out", path.with_suffix(".npy")], check=True,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return np.load(path.with_suffix(".npy"))


def heads(family):
    """The linear map of every member by its name; the base's is none."""
    maps = {"base": None}
    for folder in sorted((pathlib.Path(family) / "members").iterdir()) if family else []:
        (maps[folder.name],) = load_file(folder / "2_Dense/model.safetensors").values()
    return maps


def trained_on(family):
    """What the cards of the members say of their data."""
    return [json.loads(card.read_text(encoding="utf-8"))["measured_on"] for card in pathlib.Path(family).glob("members/*/ragbias.json")]


def mapped(vectors, weights):
    """Unit vectors, so that their dot products are cosines."""
    image = vectors if weights is None else vectors @ weights.T
    return image / np.linalg.norm(image, axis=1, keepdims=True)


def mean_over_topics(leans, topics):
    """The mean and its 95% interval."""
    _, cluster = np.unique(topics, return_inverse=True)
    sums, counts = np.bincount(cluster, leans), np.bincount(cluster)
    draws = np.random.default_rng(0).integers(len(sums), size=(DRAWS, len(sums)))
    return leans.mean(), *np.quantile(sums[draws].sum(1) / counts[draws].sum(1), [0.025, 0.975])


def main(program, embedder, family=None):
    print("| set | member | n | E_b | 95% interval | own passage first |\n| --- | --- | ---: | ---: | --- | ---: |")
    for name in SETS:
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            subprocess.run([program, "data", "pull", name, "--out", folder], check=True, stdout=subprocess.DEVNULL)
            corpus, questions = records(folder / "corpus.jsonl"), records(folder / "questions.jsonl")
            documents = vectors(program, embedder, folder / "corpus.jsonl")
            asked = vectors(program, embedder, folder / "questions.jsonl")
            test = set(tomllib.loads((folder / "manifest.toml").read_text(encoding="utf-8"))["splits"]["test"])
        leans = np.array([document["metadata"]["lean"] for document in corpus], dtype=float)
        passages = np.array([document["metadata"].get("pair", document["_id"]) for document in corpus])
        topics = np.array([question["topic"] for question in questions])
        own = np.array([question["_id"].removesuffix("-q") for question in questions])
        # Of the set that the heads were trained on, the test split alone.
        kept = np.full(len(topics), True)
        if family and any(f" split of {name};" in data for data in trained_on(family)):
            kept = np.isin(topics, list(test))
        for member, weights in heads(family).items():
            first = (mapped(asked[kept], weights) @ mapped(documents, weights).T).argmax(axis=1)
            value, low, high = mean_over_topics(leans[first], topics[kept])
            found = f"{(passages[first] == own[kept]).mean():.2f}" if "pair" in corpus[0]["metadata"] else ""
            print(f"| {name} | {member} | {kept.sum()} | {value:+.2f} | [{low:+.2f}, {high:+.2f}] | {found} |")


main(*sys.argv[1:])
