"""Lines through embedders from statsmodels, scipy and numpy: the reference of the fits in `ragbias_stats`.

usage: fit.py > crates/ragbias-stats/tests/fixtures/fits.json
needs: statsmodels==0.15.0 scipy==1.17.1 numpy==2.4.6

`lines` are drawn tables with the least-squares line, its errors, t intervals, leverages, the F test against a parabola
and the fits without one embedder (each refitted), and the Deming line of given error variances (by generalised
eigenvalues). `joint` are drawn outcomes, a triple of leans per embedder and question, with the intervals of a bootstrap
over topics and embedders of 200,000 draws, by the formulas of docs/statistics.md.
"""
import json
import sys

import numpy as np
import scipy.linalg
import scipy.stats
import statsmodels.api as sm

draw = np.random.default_rng(4)


def line(n, scatter, errors):
    x = draw.uniform(-0.9, 0.9, n)
    y = np.clip(0.4 * x - 0.2 + draw.normal(0, scatter, n), -1, 1)
    fit = sm.OLS(y, sm.add_constant(x)).fit()
    case = {
        "embedder_bias": x.tolist(),
        "rag_bias": y.tolist(),
        "coefficients": fit.params.tolist(),
        "errors": fit.bse.tolist(),
        "intervals": fit.conf_int().tolist(),
        "covariance": fit.cov_params()[0, 1],
        "r_squared": fit.rsquared,
        "leverage": fit.get_influence().hat_matrix_diag.tolist(),
    }
    if n >= 4:
        bent = sm.OLS(y, np.column_stack([np.ones(n), x, x**2])).fit()
        f, p, _ = bent.compare_f_test(fit)
        case["lack_of_fit"] = {"curvature": bent.params[2], "f": f, "p": p}
    changes, residuals = [], []
    for i in range(n):
        rest = np.arange(n) != i
        without = sm.OLS(y[rest], sm.add_constant(x[rest])).fit().params
        changes.append(abs(fit.params[1] - without[1]))
        residuals.append(y[i] - without[0] - without[1] * x[i])
    case["largest_change"] = max(changes)
    case["prediction_error"] = float(np.sqrt(np.mean(np.square(residuals))))
    (uu, ee, ue), m = errors, np.cov(x, y)
    root = scipy.linalg.eigh(m, [[uu, ue], [ue, ee]], eigvals_only=True)[0]
    case["deming"] = {
        "errors": errors,
        "slope": (m[0, 1] - root * ue) / (m[0, 0] - root * uu),
        "corrected": (m[0, 1] - ue) / (m[0, 0] - uu),
        "reliability": 1 - uu / m[0, 0],
    }
    return case


def lines_of(x, y, w):
    """Slope, intercept and R² of every draw, NaN where it has no line; x, y, w are (draws, embedders)."""
    n = w.sum(1, keepdims=True)
    dx, dy = x - (w * x).sum(1, keepdims=True) / n, y - (w * y).sum(1, keepdims=True) / n
    xx, xy, yy = (w * dx * dx).sum(1), (w * dx * dy).sum(1), (w * dy * dy).sum(1)
    slope = xy / np.where(xx > 1e-12, xx, np.nan)
    return slope, ((w * y).sum(1) - slope * (w * x).sum(1)) / n[:, 0], xy**2 / (xx * yy)


def interval(estimate, both, topics, embedders, t, j):
    width = lambda values: np.subtract(*np.quantile(values, [0.975, 0.025])) ** 2
    v, vt, ve = width(both), width(topics), width(embedders)
    shrink = np.sqrt(np.clip(2 * (vt + ve) - v, max(vt, ve), v) / v)
    degrees = (vt + ve) ** 2 / (vt**2 / (t - 1) + ve**2 / (j - 2))
    level = scipy.stats.norm.cdf(-np.sqrt((degrees + 1) / degrees) * scipy.stats.t.ppf(0.975, degrees))
    return np.quantile(estimate + shrink * (both - estimate), [level, 1 - level]).tolist()


def joint(j, t, q, draws=200_000):
    dial = np.linspace(-1.5, 1.5, j)[:, None, None] + draw.normal(0, 0.6, (t, 1)) + draw.normal(0, 0.8, (j, t, q))
    documents = np.where(dial > 0, 1, -1)
    own = np.where(draw.uniform(size=(t, q)) < draw.uniform(size=(t, 1)), 1, -1)
    follows = draw.uniform(size=(j, t, q)) < 0.4 + 0.3 * draw.uniform(-1, 1, (t, 1))
    answers = np.where(follows, documents, own)
    e, r, l = documents.mean((1, 2)), answers.mean((1, 2)), own.mean()
    (s,), (b,), (r2,) = lines_of(e[None], r[None], np.ones((1, j)))
    parts = []
    for _ in range(draws // 10_000):
        w = draw.multinomial(t, [1 / t] * t, 10_000) / t
        v = draw.multinomial(j, [1 / j] * j, 10_000)
        de, dr, dl = w @ documents.mean(2).T, w @ answers.mean(2).T, w @ own.mean(1)
        both, topics = lines_of(de, dr, v), lines_of(de, dr, np.ones((1, j)))
        parts.append((*both, both[1] - dl, *topics, topics[1] - dl, *lines_of(e[None], r[None], v)))
    parts = np.concatenate(parts, axis=1)
    bs, bb, br2, beps, ts, tb, tr2, teps, es, eb, er2 = parts[:, np.isfinite(parts).all(0)]
    return {
        "documents": documents.tolist(),
        "answers": answers.tolist(),
        "llm": own.tolist(),
        "topics_alone": np.quantile(ts, [0.025, 0.975]).tolist(),
        "sensitivity": [s, *interval(s, bs, ts, es, t, j)],
        "intercept": [b, *interval(b, bb, tb, eb, t, j)],
        "residual_conflict": [b - l, *interval(b - l, beps, teps, eb - l, t, j)],
        "r_squared": [r2, *interval(r2, br2, tr2, er2, t, j)],
    }


np.seterr(invalid="ignore")
cases = [(4, 0.02, (0.01, 0.02, 0.0)), (8, 0.1, (0.02, 0.02, 0.01)), (25, 0.1, (0.03, 0.01, -0.005)), (60, 0.05, (0.01, 0.03, 0.008))]
json.dump({"lines": [line(*case) for case in cases], "joint": [joint(9, 12, 3), joint(24, 40, 2)]}, sys.stdout)
