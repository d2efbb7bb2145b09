"""Regressions of s on reliance over twelve synthetic systems, by statsmodels: the numbers in ragbias-stats/src/linear_model.rs.

pip install statsmodels==0.15.0
"""

import numpy
import statsmodels.api as sm

RELIANCE = [0.55, 0.60, 0.72, 0.81, 0.62, 0.70, 0.78, 0.90, 0.70, 0.83, 0.88, 0.97]
S = [0.31, 0.42, 0.47, 0.66, 0.50, 0.52, 0.70, 0.83, 0.49, 0.64, 0.78, 0.81]
LLM = numpy.repeat(numpy.eye(3), 4, axis=0)


def show(name, design):
    fit = sm.OLS(S, design).fit()
    print(name, "R2", repr(fit.rsquared), "residual", repr(fit.ssr))
    for value, error, (low, high) in zip(fit.params, fit.bse, fit.conf_int()):
        print(" ", repr(float(value)), repr(float(error)), repr(float(low)), repr(float(high)))


show("reliance", sm.add_constant(numpy.array(RELIANCE)))
show("LLM", LLM)
show("LLM and reliance", numpy.column_stack([LLM, RELIANCE]))
print("correlation", repr(numpy.corrcoef(RELIANCE, S)[0, 1]))
