"""Whether a saved checkpoint has the vectors of its base in this release of sentence-transformers.

usage: saved.py BASE SAVED [BASE SAVED ...]
Checked with sentence-transformers 5.0.0 (transformers 4.57), 5.4.0 (transformers 5.24) and 6.2.0.
"""
import os
import sys
import warnings

os.environ["TRANSFORMERS_VERBOSITY"] = "error"
warnings.filterwarnings("ignore")
import numpy as np
import sentence_transformers
from sentence_transformers import SentenceTransformer

TEXTS = ["the mill by the sea", "Élan VITAL über Café", "a note", "the council met in the old hall and spoke " * 20]
print("sentence-transformers", sentence_transformers.__version__)
worst = 0.0
for base, saved in zip(sys.argv[1::2], sys.argv[2::2]):
    rows = []
    for folder in (base, saved):
        model = SentenceTransformer(folder, device="cpu")
        rows.append([f(text, normalize_embeddings=True) for text in TEXTS for f in (model.encode_query, model.encode_document)])
    difference = float(np.abs(np.array(rows[0], dtype=np.float64) - np.array(rows[1], dtype=np.float64)).max())
    worst = max(worst, difference)
    print(f"{saved}: largest difference {difference:.1e}")
sys.exit(worst > 1e-3)
