"""Leave one group out: plain refits and dense densities; beside a posterior's."""

from __future__ import annotations

import numpy as np
import pytest
from designs import data
from fake_posterior import fake_bayesfit
from scipy.stats import multivariate_normal

import nestedmlm as nm
from nestedmlm.errors import ColumnNotFoundError, DataError, OptionError
from nestedmlm.inference.rows.group_prediction import predict_groups


@pytest.fixture(scope="module")
def sleep() -> nm.LmerFit:
    return nm.lmer("Reaction ~ Days + (Days | Subject)", nm.load_dataset("sleepstudy"))


def test_plain_refits_and_dense_densities(sleep):
    table = nm.load_dataset("sleepstudy")
    found = sleep.loo(progress=False)
    for level in ("308", "370"):
        own = table["Subject"].astype(str) == level
        rest = nm.lmer("Reaction ~ Days + (Days | Subject)", table[~own].reset_index(drop=True))
        X = np.column_stack([np.ones(10), table.loc[own, "Days"]])
        G = rest.varcorr().blocks[0].cov
        V = rest.sigma**2 * np.eye(10) + X @ (G + rest.cov_params().to_numpy()) @ X.T
        y = table.loc[own, "Reaction"].to_numpy()
        expected = multivariate_normal(X @ rest.fixef.to_numpy(), V).logpdf(y)
        assert found.to_frame().loc[level, "elpd"] == pytest.approx(expected, rel=1e-6)
        error = np.sqrt(np.mean((y - X @ rest.fixef.to_numpy()) ** 2))
        assert found.to_frame().loc[level, "rmse"] == pytest.approx(error, rel=1e-6)
    assert found.elpd == pytest.approx(-891.34, abs=5e-3)
    values = found.to_frame()["elpd"]
    assert found.se == pytest.approx(np.sqrt(18 * values.var()))


def test_nested_factors_weights_and_offsets():
    table = data()
    table["off"] = np.linspace(0, 1, len(table))
    fit = nm.lmer("y ~ x + (x | f2) + (1 | f1)", table, weights="w", offset="off")
    outer = min(fit.design.factors, key=lambda f: len(f.levels))
    found = fit.loo(group=outer.name, refit="none", progress=False)
    own = outer.codes == 1
    rest = fit.influence(outer.name, refit="none")
    X, n = fit.design.X[own], int(own.sum())
    V = np.diag(1.0 / fit.design.weights[own])
    for term, T in zip(fit.design.terms, fit.solution.T, strict=True):
        codes = fit.design.factors[term.factor].codes[own]
        Z = term.X[own]
        V += Z @ T @ T.T @ Z.T * np.equal.outer(codes, codes)
    beta = fit.fixef.to_numpy() + rest.dfbeta().iloc[1].to_numpy()
    sets = [np.flatnonzero(outer.codes == g) for g in range(len(outer.levels))]
    refit = predict_groups(fit.core, sets, refit="none")
    assert found.to_frame()["elpd"].to_numpy() == pytest.approx(refit.elpd)
    residual = fit.design.y[own] - X @ beta - fit.design.offset[own]
    assert found.to_frame()["rmse"].iloc[1] == pytest.approx(np.sqrt(residual @ residual / n))


@pytest.mark.filterwarnings("ignore::nestedmlm.errors.SamplingWarning")
def test_it_is_on_the_scale_of_a_posteriors(sleep):
    posterior = fake_bayesfit(sleep, chains=2, draws=200)
    ours = sleep.loo(progress=False)
    theirs = posterior.loo("group")
    # the posterior's counts that theta is uncertain, which helps by some units with 18 groups
    assert ours.elpd < float(theirs.elpd) < ours.elpd + 10.0


def test_refusals(sleep):
    with pytest.raises(OptionError, match="unit must be one of group"):
        sleep.loo("row")
    with pytest.raises(OptionError, match="shares no random effect"):
        sleep.loo(group="Days")
    with pytest.raises(ColumnNotFoundError, match="neither a grouping factor"):
        sleep.loo(group="school")
    nested = nm.lmer("strength ~ 1 + (1 | batch/cask)", nm.load_dataset("Pastes"))
    assert nested.loo(progress=False).group == "batch"
    with pytest.raises(OptionError, match="all others are nested"):
        nested.loo(group="cask:batch")
    table = data()
    table["only"] = (table["f2"] == table["f2"].iloc[0]) * 1.0
    fit = nm.lmer("y ~ only + (1 | f2)", table)
    with pytest.raises(DataError, match="cannot be estimated"):
        fit.loo(refit="none")
