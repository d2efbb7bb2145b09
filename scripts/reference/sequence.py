"""Intervals of ConfidenceSequence (crates/ragbias-stats/src/sequence.rs) by the authors' package, and the mixture by scipy.

needs: scipy numpy confseq (which compiles against Boost's headers)
"""

import numpy as np
from scipy.optimize import brentq
from scipy.special import gammainc, gammaln

LENGTH, NARROWEST, SIDE = 2.0, 500.0, 0.025


def by_scipy(squares, side):
    """The root of the log mixture of Howard et al. (2021), Proposition 9."""
    error = 2 * np.log(1 / (2 * SIDE))
    rho = NARROWEST / (error + np.log(1 + error)) / LENGTH**2

    def excess(s):
        a, b = squares / LENGTH**2 + rho, (LENGTH * s + squares) / LENGTH**2 + rho
        constant = rho * np.log(rho) - gammaln(rho) - np.log(gammainc(rho, rho))
        return constant + gammaln(a) + np.log(gammainc(a, b)) - a * np.log(b) + b - rho + np.log(side)

    return brentq(excess, 0, 100 + 10 * squares, xtol=1e-10)


def by_confseq(squares, side):
    from confseq.boundaries import gamma_exponential_mixture_bound

    return float(gamma_exponential_mixture_bound(squares, side, NARROWEST, LENGTH, SIDE))


def values(units):
    """Leans and means of leans that any language can repeat."""
    return np.array([((7 * i * i + 3 * i) % 11 - 5) / 5 for i in range(units)])


def interval(x, alpha, boundary):
    means = np.cumsum(x) / np.arange(1, len(x) + 1)
    squares = float(np.sum((x - np.append(0, means[:-1])) ** 2))
    half = boundary(squares, alpha / 2) / len(x)
    return [max(means[-1] - half, -1), min(means[-1] + half, 1)]


def chernoff(mean, n, alpha):
    p = (1 + mean) / 2
    part = lambda p, q: p * np.log(p / q) if p > 0 else 0.0
    excess = lambda q: part(p, q) + part(1 - p, 1 - q) - np.log(2 / alpha) / n
    low = brentq(excess, 1e-300, p, xtol=1e-15) if p > 0 else 0.0
    high = brentq(excess, p, 1 - 1e-16, xtol=1e-15) if p < 1 else 1.0
    return [2 * low - 1, 2 * high - 1]


for squares, side in [(0.0, 0.025), (1.5, 0.025), (80.0, 0.025), (500.0, 0.0125), (9000.0, 0.025), (250000.0, 0.0001)]:
    print("boundary", squares, side, f"{by_scipy(squares, side):.9f}")
for units, alpha in [(1, 0.05), (40, 0.05), (700, 0.05), (700, 0.0083), (10000, 0.05)]:
    print("interval", units, alpha, [f"{end:.9f}" for end in interval(values(units), alpha, by_scipy)])
for mean, n, alpha in [(0.02, 600, 0.05), (-0.3, 50, 0.025), (1.0, 20, 0.05), (0.0, 1, 0.05)]:
    print("mean of n", mean, n, alpha, [f"{end:.9f}" for end in chernoff(mean, n, alpha)])
try:
    import confseq.boundaries  # noqa: F401
except ImportError:
    raise SystemExit("confseq is not installed: figures are those of scipy alone") from None
# It finds no bound for a sum of squares of 0.
for squares, side in [(1.5, 0.025), (80.0, 0.025), (500.0, 0.0125), (9000.0, 0.025), (250000.0, 0.0001)]:
    print("boundary by confseq", squares, side, f"{by_confseq(squares, side):.9f}")
for units, alpha in [(1, 0.05), (40, 0.05), (700, 0.05), (700, 0.0083), (10000, 0.05)]:
    print("interval by confseq", units, alpha, [f"{end:.9f}" for end in interval(values(units), alpha, by_confseq)])
