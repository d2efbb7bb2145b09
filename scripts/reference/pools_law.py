"""The law of pools fitted with scipy, for the test of crates/ragbias-lab/src/pools/law.rs.

L = (a n1)^b1 * prod (n_k / n_(k-1))^b_k + d, b_k = b * 0.5^((k-1)/tau); the second pool does not decay.
"""
import numpy as np
from scipy.optimize import least_squares


def loss(ln_a, d, b, tau, distinct, epochs):
    u = lambda k: b * 0.5 ** ((k - 1) / tau)
    later = sum(u(k) * np.log(k / (k - 1)) for k in range(2, epochs + 1))
    return np.exp(u(1) * (ln_a + np.log(distinct)) + later) + d


cells = []
for pool, (b, tau) in enumerate([(-0.15, 2.0), (-0.4, np.inf)]):
    for distinct in (16, 32, 64, 128, 256):
        for epochs in (1, 2, 4, 8):
            noise = 0.002 * ((len(cells) * 7919) % 13 / 6.0 - 1.0)
            cells.append((pool, distinct, epochs, loss(-1.5, 0.2, b, tau, distinct, epochs) * (1 + noise)))


def residuals(t):
    ln_a, ln_d, b0, b1, tau = t
    of = [(-np.exp(b0), np.exp(tau)), (-np.exp(b1), np.inf)]
    return [np.log(loss(ln_a, np.exp(ln_d), *of[p], n, k) / y) for p, n, k, y in cells]


fit = least_squares(residuals, [-2.0, -2.0, np.log(0.3), np.log(0.3), np.log(2.0)], xtol=1e-15, ftol=1e-15, gtol=1e-15)
ln_a, ln_d, b0, b1, tau = fit.x
errors = np.sqrt(np.diag(np.linalg.inv(fit.jac.T @ fit.jac)) * 2 * fit.cost / (len(cells) - 5))
print("b", -np.exp(b0), -np.exp(b1), "tau", np.exp(tau), "d", np.exp(ln_d), "ln a", ln_a)
print("sum of squares", 2 * fit.cost, "standard errors", errors)
