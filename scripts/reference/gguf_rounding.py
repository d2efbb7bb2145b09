"""Weights in fewer bits by the `gguf` package, for crates/ragbias-generate/src/change/rounding.rs.

usage: gguf_rounding.py > crates/ragbias-generate/src/change/fixtures/gguf_rounding.json
needs: gguf==0.19.0 numpy==2.4.6

Rows of 64 weights, and what is left of them in F16, Q8_0, Q5_0 and Q4_0. The package has no quantiser of K formats.
"""
import json

import gguf
import numpy as np

FORMATS = {16: "F16", 8: "Q8_0", 5: "Q5_0", 4: "Q4_0"}


def rows():
    draw = np.random.default_rng(5)
    usual = draw.normal(0, 0.05, (4, 64))
    heavy = draw.standard_t(2, (3, 64))
    ties = np.round(draw.normal(0, 40, (2, 64))) / 127 * 8
    grid = draw.integers(-8, 8, (2, 64)) / 16
    small = draw.normal(0, 1e-7, (1, 64))
    zero = np.zeros((1, 64))
    one = np.zeros((2, 64))
    one[0, 5], one[1, 40] = 3.5, -0.2
    return np.concatenate([usual, heavy, ties, grid, small, zero, one]).astype(np.float32)


weights = rows()
result = {"weights": weights.reshape(-1).tolist()}
for bits, name in FORMATS.items():
    kind = getattr(gguf.GGMLQuantizationType, name)
    rounded = gguf.quants.dequantize(gguf.quants.quantize(weights, kind), kind)
    result[str(bits)] = rounded.astype(np.float32).reshape(-1).tolist()
print(json.dumps(result))
