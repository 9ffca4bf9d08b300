"""What is left out, and shares of variance, of posteriors with curves, beside dense twins."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from scipy.stats import multivariate_normal

import nestedmlm as nm
from nestedmlm.posterior.draws import marginal_draws
from nestedmlm.posterior.left_out_density import left_out_log_density

GROUPS = np.repeat(np.arange(10), 6)


@pytest.fixture(scope="module")
def posterior():
    rng = np.random.default_rng(1)
    x = rng.uniform(0.0, 1.0, 60)
    y = np.sin(6.0 * x) + 0.3 * rng.standard_normal(10)[GROUPS] + 0.3 * rng.standard_normal(60)
    frame = pd.DataFrame({"y": y, "x": x, "g": GROUPS})
    return nm.Model("y ~ s(x) + (1 | g)", frame).sample(sampler="psis", draws=250, seed=1)


@pytest.mark.parametrize("held", [None, np.isin(np.arange(10), [0, 4])])
def test_groups_given_the_others(posterior, held):
    design, s = posterior.design, 3
    draws = marginal_draws(posterior.data, design)
    V = draws.sigma[s] ** 2 * np.eye(60)
    for term, cov in zip(design.terms, draws.covariances, strict=True):
        codes = design.factors[term.factor].codes
        V += (term.X @ cov[s] @ term.X.T) * (codes[:, None] == codes)
    r = design.y - design.X @ draws.beta[s]

    def log_density(rows):
        return multivariate_normal.logpdf(r[rows], cov=V[np.ix_(rows, rows)])

    found = left_out_log_density(draws, design, GROUPS, held=held)[s]
    for j in (0, 4):
        own = GROUPS == j
        rest = ~own if held is None else ~held[GROUPS]
        assert found[j] == pytest.approx(log_density(rest | own) - log_density(rest), abs=1e-8)


def test_refits_are_what_weights_approximate(posterior):
    groups = posterior.kfold("g", draws=500, seed=1, progress=False)
    rows = posterior.kfold(10, draws=500, seed=1, progress=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a Pareto k above its limit
        by_group, by_row = posterior.loo("group"), posterior.loo(integrated=True)
    assert groups.elpd == pytest.approx(by_group.elpd, abs=0.6)
    assert rows.elpd == pytest.approx(by_row.elpd, abs=2.0)
    assert rows.elpd > groups.elpd
    with pytest.raises(nm.errors.OptionError, match=r"known: g$"):
        posterior.kfold("s(x)", progress=False)


def test_curves_are_predictors(posterior):
    draws = {n: posterior.data["posterior"][n].values.ravel() for n in ("1|g_sigma", "sigma")}
    group, residual = (value**2 for value in draws.values())
    icc = posterior.icc()
    assert icc.index.tolist() == ["g", "Residual"]
    assert icc.loc["g", "estimate"] == pytest.approx(np.mean(group / (group + residual)))
    curve = posterior.predict(re_form=False, draws=True).values.reshape(len(group), -1)
    fixed = curve.var(axis=1)
    r2 = posterior.r2()["estimate"]
    assert r2["marginal"] == pytest.approx(np.mean(fixed / (fixed + group + residual)))
    whole = np.mean((fixed + group) / (fixed + group + residual))
    assert r2["conditional"] == pytest.approx(whole)
