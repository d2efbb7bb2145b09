"""The top-1 document of every question of GenderBias-QA, from sentence-transformers: the reference of E_b.

usage: retrieval.py MODEL_FOLDER GENDERBIAS_QA_CSV > tests/fixtures/genderbias_qa_top1.csv
needs: sentence-transformers==6.2.0 torch==2.15.0 transformers==5.24.0

Each text is encoded alone, so that no vector depends on a batch. Writes question and document ids, no text.
"""
import collections
import csv
import sys

import numpy as np
from sentence_transformers import SentenceTransformer

COLUMNS = ["bias1-document1", "bias1-document2", "bias2-document1", "bias2-document2"]
model = SentenceTransformer(sys.argv[1], device="cpu")
rows = list(csv.DictReader(open(sys.argv[2], encoding="utf-8")))
seen = collections.Counter()
for row in rows:  # the published set uses a number twice
    seen[row["num"]] += 1
    row["num"] += f"-{seen[row['num']]}" if seen[row["num"]] > 1 else ""
ids, texts = zip(*[(f"{row['num']}-{column}", row[column]) for row in rows for column in COLUMNS if row[column].strip()])
encode = lambda texts: np.stack([model.encode(text, normalize_embeddings=True) for text in texts])
top = (encode([row["question"] for row in rows]) @ encode(texts).T).argmax(1)
print("question,document")
for row, best in zip(rows, top):
    print(f"{row['num']},{ids[best]}")
lean = np.array([1 if "bias1" in ids[best] else -1 for best in top])
print(f"n {len(lean)}, documents {len(ids)}, E_b {lean.mean():+.6f}", file=sys.stderr)
