"""How strongly answers follow each rank, from statsmodels: the reference of `ragbias_stats::RankSensitivities`.

usage: ranks.py
needs: statsmodels==0.15.0 scipy==1.17.1 numpy==2.4.6

The answers are those of `answers` in crates/ragbias-stats/src/rank_sensitivities.rs. Where questions have levels of their own, means of
questions are subtracted before the fit.
"""
import numpy as np
import statsmodels.api as sm
from statsmodels.stats.outliers_influence import variance_inflation_factor


def data(embedders):
    rows = []
    for question in range(36):
        for embedder in range(embedders):
            mixed = [(question * question * (k + 2) + embedder * (5 * k + 3) + question * k) % 11 for k in range(6)]
            leans = [value % 3 for value in mixed[:3]]
            answer = leans[[0, 0, 0, 0, 0, 1, 1, 2][mixed[5]]] if mixed[5] < 8 else (question + question // 9) % 3
            rows.append((question, question % 9, *[lean - 1 for lean in leans], answer - 1))
    return np.array(rows, dtype=float)


def subtract_means(values, questions):
    return values - np.array([values[questions == q].mean(axis=0) for q in questions])


for name, embedders in [("WITHIN", 4), ("POOLED", 1)]:
    rows = data(embedders)
    y, x = rows[:, 5], rows[:, 2:5]
    if embedders > 1:
        y, x = subtract_means(y, rows[:, 0]), subtract_means(x, rows[:, 0])
        inflation = [variance_inflation_factor(x, j) for j in range(3)]
    else:
        x = sm.add_constant(x)
        inflation = [variance_inflation_factor(x, j) for j in range(1, 4)]
    fit = sm.OLS(y, x).fit(cov_type="cluster", cov_kwds={"groups": rows[:, 1].astype(int)}, use_t=True)
    ranks = np.arange(x.shape[1])[-3:]
    total = fit.t_test(np.isin(np.arange(x.shape[1]), ranks).astype(float))
    intervals = [(fit.params[j], *fit.conf_int()[j]) for j in ranks]
    print(name, intervals + [(total.effect.item(), *total.conf_int()[0])], inflation, fit.rsquared)
