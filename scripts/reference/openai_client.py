#!/usr/bin/env python3
"""Compares the vectors that OpenAI's Python client gets from `ragbias serve` with those of `ragbias embed`.

    pip install openai numpy
    ragbias serve --embedder minilm --address 127.0.0.1:8080 &
    python3 scripts/reference/openai_client.py --address http://127.0.0.1:8080/v1 --model minilm --binary target/release/ragbias

The client is used as its documentation shows: a text, a list of texts, either encoding. What the server does not do must be refused, by
name. Exit status 0 if no vector differs by more than 1e-6 and every refusal names what is refused, else 1.
"""

import argparse
import base64
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import openai

TEXTS = [
    "Who designed the bridge?",
    "Emily Roebling oversaw the Brooklyn Bridge.",
    "naïve café ✓ 橋",
    "bridge",
    "A sentence that is somewhat longer than the others, so that a batch of them has texts of different lengths. " * 3,
]


def embedded(binary, model, folder):
    """The vectors of `ragbias embed`."""
    lines = [json.dumps({"_id": str(number), "text": text}) for number, text in enumerate(TEXTS)]
    (folder / "texts.jsonl").write_text("\n".join(lines))
    command = [binary, "embed", "--embedder", model, "--input", "texts.jsonl", "--out", "vectors.npy"]
    subprocess.run([*command, "--store", "store.sqlite"], cwd=folder, check=True, capture_output=True)
    return np.load(folder / "vectors.npy")


def vectors(answer):
    """Those of an answer, in order; with `encoding_format="base64"` the client leaves the decoding to its user."""
    rows = [row.embedding for row in sorted(answer.data, key=lambda row: row.index)]
    decoded = [np.frombuffer(base64.b64decode(row), dtype="<f4") if isinstance(row, str) else row for row in rows]
    return np.array(decoded, dtype=np.float64)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--address", default="http://127.0.0.1:8080/v1")
    parser.add_argument("--model", default="minilm")
    parser.add_argument("--binary", default="target/release/ragbias")
    parser.add_argument("--token", default="none")
    given = parser.parse_args()
    client = openai.OpenAI(base_url=given.address, api_key=given.token, max_retries=0)
    with tempfile.TemporaryDirectory() as folder:
        expected = embedded(str(Path(given.binary).resolve()), given.model, Path(folder))
    dim = expected.shape[1]
    wrong = []

    def compare(what, received, rows):
        difference = float(np.abs(received - expected[rows]).max())
        print(f"{what}: {len(received)} vectors of {received.shape[1]}, largest difference {difference:.2e}")
        if received.shape != expected[rows].shape or difference > 1e-6:
            wrong.append(what)

    create = client.embeddings.create
    everything = list(range(len(TEXTS)))
    for place in everything:
        compare(f"text {place}", vectors(create(model=given.model, input=TEXTS[place])), [place])
    compare("a list", vectors(create(model=given.model, input=TEXTS)), everything)
    for encoding in ("float", "base64"):
        compare(encoding, vectors(create(model=given.model, input=TEXTS, encoding_format=encoding)), everything)
    compare("dimensions, the model's own", vectors(create(model=given.model, input=TEXTS, dimensions=dim)), everything)
    compare("user", vectors(create(model=given.model, input=TEXTS, user="somebody")), everything)
    listed = [model.id for model in client.models.list()]
    print(f"models: {listed}")
    if listed != [given.model]:
        wrong.append("models")

    refused = {
        "`dimensions`": {"input": TEXTS, "dimensions": dim // 2},
        "`another`": {"input": TEXTS, "model": "another"},
        "`input`": {"input": []},
        "list of strings": {"input": [101, 2040, 102]},
        "`pooling`": {"input": TEXTS, "extra_body": {"pooling": "cls"}},
        "tokens": {"input": "bridge " * 400},
    }
    for named, request in refused.items():
        try:
            create(**{"model": given.model, **request})
        except openai.APIStatusError as error:
            print(f"refused with {error.status_code}: {error.body['message'] if error.body else error}")
            if named not in str(error):
                wrong.append(f"a refusal that does not name {named}")
        else:
            wrong.append(f"not refused: {named}")
    if wrong:
        print("wrong:", "; ".join(wrong), file=sys.stderr)
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
