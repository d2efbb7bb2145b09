"""Reference numbers of scorer errors and of the two corrections, in crates/ragbias-stats: scorer_errors.rs, rogan_gladen.rs,
prediction_powered.rs. Needs numpy, scikit-learn and ppi-python (0.2.3)."""

import numpy as np
from ppi_py import ppi_mean_ci, ppi_mean_pointestimate
from sklearn.metrics import accuracy_score, cohen_kappa_score, precision_score, recall_score

LEANS = np.array([-1, 0, 1])


def texts(cells):
    gold, scored = [], []
    for y, row in zip(LEANS, cells):
        for f, count in zip(LEANS, row):
            gold += [y] * count
            scored += [f] * count
    return np.array(gold, float), np.array(scored, float)


def power_tuned(y, f, others):
    """λ from two point estimates: θ is linear in it."""
    at = [float(np.ravel(ppi_mean_pointestimate(y, f, others, lam=lam))[0]) for lam in (0, 1)]
    best = float(np.ravel(ppi_mean_pointestimate(y, f, others))[0])
    low, high = (float(np.ravel(end)[0]) for end in ppi_mean_ci(y, f, others, alpha=0.05))
    return best, (best - at[0]) / (at[1] - at[0]), (high - low) / 2


cells = [[30, 4, 6], [3, 12, 5], [8, 2, 40]]
y, f = texts(cells)
print("accuracy", repr(accuracy_score(y, f)), "kappa", repr(cohen_kappa_score(y, f)))
print("recall", recall_score(y, f, average=None), "precision", [repr(p) for p in precision_score(y, f, average=None)])

m = np.array(cells) / np.sum(cells, axis=1, keepdims=True)
shares = np.linalg.solve(m.T, np.array([50, 20, 130]) / 200)
print("three states", repr(shares[2] - shares[0]))
sensitivity, specificity = 40 / 50, 35 / 40
prevalence = (130 / 180 + specificity - 1) / (sensitivity + specificity - 1)
print("two states", repr(2 * prevalence - 1))

for cells, counts in [
    ([[30, 4, 6], [3, 12, 5], [8, 2, 40]], [90, 40, 130]),
    ([[35, 0, 5], [0, 0, 0], [10, 0, 40]], [150, 0, 350]),
    ([[20, 2, 18], [4, 9, 7], [15, 5, 30]], [300, 100, 300]),
]:
    y, f = texts(cells)
    others = np.repeat(LEANS, counts).astype(float)
    print(cells, counts, *(repr(number) for number in power_tuned(y, f, others)))
