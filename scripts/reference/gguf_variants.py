"""llama.cpp's logits of the small models of crates/ragbias-generate/src/decoder/variants.rs.

usage: RAGBIAS_VARIANTS=FOLDER cargo test --release --workspace --lib write_the_variants -- --ignored
       gguf_variants.py FOLDER > crates/ragbias-generate/src/decoder/variants.json
needs: llama-cpp-python==0.3.36 numpy, in an environment of its own
"""

import json, pathlib, sys

import llama_cpp
import numpy as np

VOCABULARY = 97
TOKENS = [(i * 31 + i * i * 7 + 3) % VOCABULARY for i in range(41)]

reference = {}
for path in sorted(pathlib.Path(sys.argv[1]).glob("*.gguf")):
    # Keys and values in f32: by default they are rounded to f16.
    llm = llama_cpp.Llama(str(path), n_ctx=64, n_batch=64, logits_all=True, verbose=False, type_k=0, type_v=0, n_threads=1)
    llm.eval(TOKENS)
    reference[path.stem] = [round(float(x), 5) for x in np.asarray(llm.scores)[len(TOKENS) - 1][:VOCABULARY]]
print(json.dumps(reference, separators=(",", ":")).replace("],", "],\n"))
