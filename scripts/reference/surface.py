"""The surface R_b = b0 + s*E_b + c*C_b + m*E_b*C_b from statsmodels: the reference of `ragbias_stats::Surface`.

usage: surface.py
needs: statsmodels==0.15.0 scipy==1.17.1 numpy==2.4.6

The leans are those of `counts` in crates/ragbias-stats/src/surface.rs. The intervals are those of 200,000 draws of topics, widened
for few topics as docs/statistics.md says: percentiles at the level Phi(-sqrt(n/(n-1)) t(n-1)).
"""
import numpy as np
import scipy.stats
import statsmodels.api as sm

PAIRS, TOPICS, QUESTIONS = 12, 12, 5
pair, topic, question = np.meshgrid(np.arange(PAIRS), np.arange(TOPICS), np.arange(QUESTIONS), indexing="ij")
mixed = (7 * pair + 11 * topic * topic + 5 * question * (pair + 1) + 3 * topic * pair) % 12
level = 2 * (pair % 4) + pair // 4 * 2
document = np.where(mixed < level, 1, np.where(mixed > 10, 0, -1))
answer = np.where((mixed + topic) % 3 == 0, document, (topic + question + pair // 4) % 3 - 1)
corpus = np.array([-0.4, 0.0, 0.5])[np.arange(PAIRS) // 4]


def columns(x):
    return np.column_stack([np.ones(PAIRS), x, corpus, x * corpus])


x, y = document.mean(axis=(1, 2)), answer.mean(axis=(1, 2))
fit = sm.OLS(y, columns(x)).fit()
print("E_b", x, "R_b", y)
print("COEFFICIENTS", fit.params.tolist())
print("ERRORS", fit.bse.tolist())
print("INTERVALS", fit.conf_int().tolist())
print("R_SQUARED", fit.rsquared)

rng = np.random.default_rng(1)
by_topic_x, by_topic_y = document.mean(axis=2), answer.mean(axis=2)
drawn = []
for _ in range(200_000):
    picked = rng.integers(0, TOPICS, TOPICS)
    columns_drawn = columns(by_topic_x[:, picked].mean(axis=1))
    drawn.append(np.linalg.lstsq(columns_drawn, by_topic_y[:, picked].mean(axis=1), rcond=None)[0])
n = TOPICS
level = scipy.stats.norm.cdf(-np.sqrt(n / (n - 1)) * scipy.stats.t(n - 1).ppf(0.975))
print("BOOTSTRAP", np.quantile(np.array(drawn), [level, 1 - level], axis=0).T.tolist())
