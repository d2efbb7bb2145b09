"""Reference vectors for crates/ragbias-embed/tests, from sentence-transformers.

usage: embeddings.py MINILM_FOLDER MPNET_FOLDER
needs: sentence-transformers==6.2.0 torch==2.15.0 transformers==5.24.0

Reads tests/fixtures/texts.jsonl of the crate and writes, beside it, one (200, 384) array of float16 per kind of
pooling of MiniLM, and a (40, 768) array of MPNet's vectors of every fifth text. Each text is encoded alone, so that no vector
depends on a batch.
"""
import json
import pathlib
import shutil
import sys
import tempfile

import numpy as np
from sentence_transformers import SentenceTransformer

fixtures = pathlib.Path(__file__).parents[2] / "crates/ragbias-embed/tests/fixtures"
texts = [json.loads(line)["text"] for line in open(fixtures / "texts.jsonl", encoding="utf-8")]


def write(folder, name, texts=texts, **encode):
    model = SentenceTransformer(str(folder), device="cpu")
    rows = [model.encode(text, normalize_embeddings=True, **encode) for text in texts]
    np.stack(rows).astype(np.float16).tofile(fixtures / f"{name}.f16")


base = pathlib.Path(sys.argv[1])
write(sys.argv[2], "mpnet", texts[::5])
write(base, "mean")
with tempfile.TemporaryDirectory() as folder:
    shutil.copytree(base, folder, dirs_exist_ok=True)
    pooling = pathlib.Path(folder) / "1_Pooling/config.json"
    pooling.write_text(json.dumps({
        "word_embedding_dimension": 384, "pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False,
    }))
    write(folder, "cls_with_prefix", prompt="query: ")
