"""Least-squares concept erasure from concept-erasure: the reference of `ragbias_stats::Leace`.

usage: leace.py
needs: concept-erasure==0.2.4 torch

The vectors are those of `fixed` in crates/ragbias-stats/src/leace.rs. Without the constraint on the trace, which is no part of LEACE.
"""
import torch
from concept_erasure import LeaceFitter


def fixed(n, d):
    i, j = torch.meshgrid(torch.arange(n), torch.arange(d), indexing="ij")
    positive = torch.arange(n) % 5 < 2
    noise = (37 * i * i + 11 * i * j * j + 7 * j * j * j + 5 * i * (j + 1)) % 101
    shift = 0.3 * positive[:, None] * (j % 3 - 1)
    return noise.double() / 101 - 0.5 + shift, positive.double()


for n, d in [(60, 6), (8, 12)]:
    for shrinkage in [False, True]:
        x, z = fixed(n, d)
        fitter = LeaceFitter.fit(x, z, shrinkage=shrinkage, constrain_cov_trace=False)
        erased = fitter.eraser(x)
        print(n, d, shrinkage, "MEANS", (erased[z == 1].mean(0) - erased[z == 0].mean(0)).abs().max().item())
        for row in [0, 7]:
            print("ROW", row, [round(value, 12) for value in erased[row].tolist()])
