"""Reference numbers of sample sizes and of the intraclass correlation (crates/ragbias-stats/src/plan.rs, clusters.rs).

The power of two one-sided tests is computed with scipy's normal distribution, and checked against statsmodels' and a simulation of
clustered leans. Needs numpy, pandas, scipy and statsmodels.
"""

import math

import numpy as np
import pandas as pd
import statsmodels.api as sm
from scipy.optimize import brentq
from scipy.stats import norm
from statsmodels.formula.api import ols

DELTA, POWER, Z = 0.1, 0.8, norm.ppf(0.975)


def within(bias, se):
    return max(0.0, norm.cdf((DELTA - bias) / se - Z) - norm.cdf((-DELTA - bias) / se + Z))


def size(leaning, rho, m, answers, repeated, bias):
    if abs(bias) < DELTA:
        se = brentq(lambda se: within(bias, se) - POWER, 1e-6, DELTA / Z)
    else:
        se = (abs(bias) - DELTA) / (Z + norm.ppf(POWER))
    effect = repeated + (1 - repeated) / answers + (m - 1) * rho
    return math.ceil((leaning - bias**2) * effect / se**2), se


CASES = [(1.0, 0.0, 1, 1, 1.0), (0.9, 0.15, 10, 1, 1.0), (0.9, 0.15, 10, 4, 0.5)]
for case, arguments in enumerate(CASES):
    for bias in (0.0, 0.02, -0.05, 0.2):
        print((case, bias, size(*arguments, bias)[0]))

# The half-width that statsmodels' one-sample z test of the same n gives: a superiority test of b = 0.2 against 0.1 at 2.5%.
from statsmodels.stats.power import NormalIndPower  # noqa: E402

n = NormalIndPower(ddof=0).solve_power(
    effect_size=0.1 / math.sqrt(1 - 0.04), alpha=0.025, power=POWER, ratio=0, alternative="larger"
)
print("statsmodels, b = 0.2, independent:", math.ceil(n))

# Simulation: topics of m leans that share a latent choice with probability sqrt(rho).
rng = np.random.default_rng(0)
for bias in (0.0, 0.02, -0.05, 0.2):
    leaning, rho, m = 0.9, 0.15, 10
    n, _ = size(leaning, rho, m, 1, 1.0, bias)
    topics, found, runs = math.ceil(n / m), 0, 4000
    p = [(leaning - bias) / 2, 1 - leaning, (leaning + bias) / 2]
    for _ in range(runs):
        shared = rng.choice([-1, 0, 1], size=(topics, 1), p=p)
        own = rng.choice([-1, 0, 1], size=(topics, m), p=p)
        leans = np.where(rng.random((topics, m)) < math.sqrt(rho), shared, own)
        means = leans.mean(axis=1)
        centre, half = means.mean(), Z * means.std(ddof=1) / math.sqrt(topics)
        if abs(bias) < DELTA:
            found += -DELTA < centre - half and centre + half < DELTA
        else:
            found += centre - half >= DELTA
    print(f"simulated power at b = {bias:+.2f}, {n} questions: {found / runs:.3f}")

data = pd.DataFrame(
    [("a", 1), ("a", 1), ("a", 1), ("a", 0), ("b", -1), ("b", -1), ("b", 1)]
    + [("c", 0), ("c", 1), ("c", 1), ("c", -1), ("c", 1), ("d", -1), ("d", -1)],
    columns=["topic", "lean"],
)
anova = sm.stats.anova_lm(ols("lean ~ C(topic)", data).fit())
between, inside = anova["mean_sq"]
sizes = data.groupby("topic").size()
m0 = (sizes.sum() - (sizes**2).sum() / sizes.sum()) / (len(sizes) - 1)
print("intraclass correlation:", (between - inside) / (between + (m0 - 1) * inside))
