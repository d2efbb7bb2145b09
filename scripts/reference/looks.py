"""Boundaries of Looks (crates/ragbias-stats/src/looks.rs) from scipy's multivariate normal distribution function.

needs: scipy numpy
"""

import numpy as np
from scipy.optimize import brentq
from scipy.stats import multivariate_normal, norm

ALPHA = 0.05


def spent(share):
    return 4 * norm.cdf(norm.ppf(ALPHA / 4) / np.sqrt(share))


def boundaries(shares):
    shares = np.array(shares)
    found = [-norm.ppf(spent(shares[0]) / 2)]
    for look in range(2, len(shares) + 1):
        t = shares[:look]
        correlation = np.sqrt(np.minimum.outer(t, t) / np.maximum.outer(t, t))

        def too_little(z):
            ends = np.array([*found, z])
            inside = multivariate_normal(
                cov=correlation, seed=1, maxpts=200_000, abseps=1e-7, releps=1e-7
            ).cdf(ends, lower_limit=-ends)
            return (1 - inside) - spent(t[-1])

        found.append(brentq(too_little, 1.0, 8.0, xtol=1e-5))
    return found


for shares in ([0.5, 1.0], [0.2, 0.4, 0.6, 0.8, 1.0], [0.3, 0.7, 1.0]):
    print(shares, [f"{z:.6f}" for z in boundaries(shares)])
