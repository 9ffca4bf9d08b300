"""Savage-Dickey ratios against differences of log evidences, which integrate both models."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from fake_posterior import fake_bayesfit
from scipy import stats

import nestedmlm as nm

Prior = nm.Prior
PRIORS = {
    "Intercept": Prior("Normal", mu=0, sigma=3), "x": Prior("Normal", mu=0.2, sigma=1.0),
    "1|g_sigma": Prior("HalfNormal", sigma=1), "1|h_sigma": Prior("HalfNormal", sigma=1),
    "sigma": Prior("HalfNormal", sigma=2),
}  # fmt: skip


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(8)
    g, h = np.repeat(np.arange(8), 9), np.tile(np.arange(6), 12)
    x = rng.standard_normal(72)
    x -= x.mean()  # so that the intercept's prior is the same without x
    y = 1.0 + 0.25 * x + 0.6 * rng.standard_normal(8)[g] + rng.standard_normal(72)
    return pd.DataFrame({"y": y, "x": x, "g": g, "h": h})


def posterior(data, formula, draws=1000):
    model = nm.Model(formula, data)
    own = {name: prior for name, prior in PRIORS.items() if name in model.priors}
    return model.sample(priors=own, sampler="psis", draws=draws, seed=1)


def log_odds(fit, text):
    row = fit.hypothesis(text).table.iloc[0]
    assert row["probability"] == pytest.approx(row["odds"] / (1.0 + row["odds"]))
    assert 0.0 < row["mcse"] < 0.05
    return np.log(row["odds"])


def test_a_coefficient_against_the_evidence_of_both_models(data):
    whole, without = posterior(data, "y ~ x + (1 | g)"), posterior(data, "y ~ 1 + (1 | g)")
    expected = without.log_evidence(seed=1).log - whole.log_evidence(seed=1).log
    assert log_odds(whole, "x = 0") == pytest.approx(expected, abs=0.05)
    same = log_odds(whole, "2 * x = 0 * Intercept")
    assert log_odds(whole, "x == 0") == pytest.approx(same, rel=1e-12)


def test_a_standard_deviation_against_the_evidence_of_both_models(data):
    """At the end of its range, by kernels on both sides of it."""
    whole = posterior(data, "y ~ x + (1 | g) + (1 | h)", draws=4000)
    without = posterior(data, "y ~ x + (1 | g)")
    expected = without.log_evidence(seed=1).log - whole.log_evidence(seed=1).log
    assert log_odds(whole, "`1|h_sigma` = 0") == pytest.approx(expected, abs=0.15)


def test_kernels_agree_with_what_is_known(data):
    whole = posterior(data, "y ~ x + (1 | g)", draws=4000)
    by_kernel = log_odds(whole, "x + 0 * sigma = 0.1")
    assert by_kernel == pytest.approx(log_odds(whole, "x = 0.1"), abs=0.12)


def test_what_has_no_point(data):
    whole = posterior(data, "y ~ x + (1 | g)")
    with pytest.raises(nm.FormulaError, match="which stands by itself"):
        whole.hypothesis("x = 0 and sigma > 1")
    with pytest.raises(nm.errors.OptionError, match="of random effects test a small range"):
        whole.hypothesis("`1|g`[3] = 0")
    fit = nm.lmer("y ~ x + (1 | g)", data)
    with pytest.raises(nm.errors.OptionError, match="no probability before the data"):
        fake_bayesfit(fit, priors={"x": Prior("Flat")}).hypothesis("x = 0")
    with pytest.raises(nm.errors.OptionError, match="PyMC model of yours"):
        fake_bayesfit(fit, priors=None).hypothesis("x = 0")


def test_known_variances_are_the_exact_normal_case():
    """Nothing is left to importance sampling: odds and evidence to rounding."""
    rng = np.random.default_rng(1)
    g, x = np.repeat(np.arange(6), 5), rng.normal(size=30)
    y = 0.5 * x + rng.normal(size=6)[g] + rng.normal(size=30)
    given = {"x": nm.Prior("Normal", mu=0.0, sigma=2.0), "1|g_sigma": 1.0, "sigma": 1.0}
    model = nm.Model("y ~ 0 + x + (1 | g)", pd.DataFrame({"y": y, "x": x, "g": g}))
    posterior = model.sample(priors=given, sampler="psis", draws=50, seed=1)
    V = np.eye(30) + (g[:, None] == g)
    variance = 1.0 / (x @ np.linalg.solve(V, x) + 0.25)
    mean = variance * (x @ np.linalg.solve(V, y))
    exact = stats.norm.pdf(0.0, mean, variance**0.5) / stats.norm.pdf(0.0, 0.0, 2.0)
    assert posterior.hypothesis("x = 0").table["odds"].item() == pytest.approx(exact, rel=1e-9)
    whole = stats.multivariate_normal(np.zeros(30), V + 4.0 * np.outer(x, x)).logpdf(y)
    assert posterior.log_evidence(seed=1).log == pytest.approx(whole, rel=1e-9)
