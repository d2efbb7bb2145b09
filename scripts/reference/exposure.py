"""Exposure and NDKL from their definitions: the reference of `ragbias_stats::Exposure`.

usage: exposure.py
needs: numpy==2.4.6 scipy==1.17.1

The rankings are those of `rankings` in crates/ragbias-stats/src/exposure.rs. The chance of NDKL is that of all counts of a multinomial
distribution, the intervals those of 200,000 draws of topics.
"""
import numpy as np
from scipy.special import rel_entr
from scipy.stats import multinomial

LEAN = {0: 1, 3: 1, 1: -1, 4: -1, 6: -1, 2: 0, 5: None}
rankings = [(q % 10, [LEAN[(q * q + 3 * rank * (q % 4 + 1) + rank) % 7] for rank in range(5)]) for q in range(40)]
corpus = [LEAN[(i * i + i // 3) % 7] for i in range(50)]
scored = [lean for lean in corpus if lean is not None]
shares = np.array([scored.count(lean) for lean in (-1, 0, 1)]) / len(scored)


def chance(n):
    counts = [(a, b, n - a - b) for a in range(n + 1) for b in range(n + 1 - a)]
    return sum(multinomial.pmf(c, n, shares) * rel_entr(np.array(c) / n, shares).sum() for c in counts)


def measure(discount):
    weights = [discount(i) for i in range(1, 6)]
    rows = []
    for topic, leans in rankings:
        exposure = {pole: sum(w for w, lean in zip(weights, leans) if lean == pole) for pole in (-1, 0, 1)}
        numerator = expected = denominator = 0.0
        for i in range(1, 6):
            above = [lean for lean in leans[:i] if lean is not None]
            if above:
                observed = np.array([above.count(lean) for lean in (-1, 0, 1)]) / len(above)
                numerator += weights[i - 1] * rel_entr(observed, shares).sum()
                expected += weights[i - 1] * chance(len(above))
                denominator += weights[i - 1]
        ndkl = (numerator / denominator, expected / denominator) if denominator else (np.nan, np.nan)
        rows.append((topic, exposure[-1], exposure[0], exposure[1], *ndkl))
    return np.array(rows)


discounts = [lambda i: 1 / np.log2(i + 1), lambda i: 1 / i, lambda i: 1.0, lambda i: 0.8 ** (i - 1)]
for discount in discounts:
    rows = measure(discount)
    negative, positive, whole = rows[:, 1].sum(), rows[:, 3].sum(), rows[:, 1:4].sum()
    print([negative / whole, positive / whole, (positive - negative) / whole, np.nanmean(rows[:, 4]), np.nanmean(rows[:, 5])])

rows = measure(discounts[0])
assert not np.isnan(rows).any()
topics = np.unique(rows[:, 0])
sums = np.array([[(own := rows[rows[:, 0] == t])[:, 3].sum() - own[:, 1].sum(), own[:, 1:4].sum(), own[:, 4].sum(), len(own)]
                 for t in topics])
drawn = sums[np.random.default_rng(1).integers(0, len(topics), (200_000, len(topics)))].sum(axis=1)
print("INTERVALS", [np.quantile(drawn[:, i] / drawn[:, i + 1], [0.025, 0.975]).tolist() for i in (0, 2)])
