"""Checks that saved checkpoints have the vectors of their bases, in several releases of sentence-transformers.

usage: saved.py FILE.npz BASE SAVED [BASE SAVED ...]

The bases' vectors are written to FILE.npz if it does not exist, as an older release may not read the bases;
those of the saved folders are compared with it. The example save_checkpoint of ragbias-embed saves a base.
Checked with sentence-transformers 6.2.0 and 5.4.0 (transformers 5.24) and 5.0.0 (transformers 4.57).
"""
import os
import pathlib
import sys
import warnings

os.environ["TRANSFORMERS_VERBOSITY"] = "error"
warnings.filterwarnings("ignore")
import numpy as np
import sentence_transformers
from sentence_transformers import SentenceTransformer

TEXTS = ["the mill by the sea", "Élan VITAL über Café", "a note", "the council met in the old hall and spoke " * 20]


def vectors(folder):
    model = SentenceTransformer(folder, device="cpu")
    both = (model.encode_query, model.encode_document)
    return np.array([encode(text, normalize_embeddings=True) for text in TEXTS for encode in both], dtype=np.float64)


print("sentence-transformers", sentence_transformers.__version__)
kept, pairs = pathlib.Path(sys.argv[1]), list(zip(sys.argv[2::2], sys.argv[3::2]))
if not kept.exists():
    np.savez(kept, **{saved: vectors(base) for base, saved in pairs})
reference, worst = np.load(kept), 1.0
for _, saved in pairs:
    cosine = float((reference[saved] * vectors(saved)).sum(1).min())
    worst = min(worst, cosine)
    print(f"{saved}: smallest cosine {cosine:.7f}")
sys.exit(worst < 0.9999)
