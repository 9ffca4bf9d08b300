"""Limits of new responses against SciPy's distributions, integrated by another rule."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

import nestedmlm as nm
from nestedmlm.errors import OptionError
from nestedmlm.inference.rows.new_response_limits import NewResponses, new_response_limits

TRIALS = 12.0
# family, dispersion, its distribution in SciPy, and the smallest step of a response
CASES = {
    "binomial": ("logit", None, lambda m: stats.binom(TRIALS, m), 1.0),
    "poisson": ("log", None, lambda m: stats.poisson(m), 1.0),
    "negativebinomial": ("log", 1.7, lambda m: stats.nbinom(1.7, 1.7 / (1.7 + m)), 1.0),
    "gamma": ("log", 0.4, lambda m: stats.gamma(2.5 * TRIALS, scale=m / (2.5 * TRIALS)), 0.0),
    "gaussian": ("log", 0.3, lambda m: stats.norm(m, np.sqrt(0.3 / TRIALS)), 0.0),
    "beta": ("logit", 9.0, lambda m: stats.beta(9.0 * m, 9.0 * (1.0 - m)), 0.0),
    "inverse_gaussian": (
        "log", 0.2,
        lambda m: stats.invgauss(m * 0.2 / TRIALS, scale=TRIALS / 0.2), 0.0,
    ),
}  # fmt: skip
ETA, SD = np.array([0.3, -1.0, 6.0, 0.2]), np.array([0.8, 1e-3, 1.2, 0.0])


def mixture(of, link, eta, sd, y):
    """``P(Y <= y)``: the mean over 40,001 equally likely linear predictors."""
    x = stats.norm.ppf((np.arange(40_001) + 0.5) / 40_001)
    return float(of(link.mu(eta + sd * x)).cdf(y).mean())


@pytest.mark.parametrize("name", CASES)
def test_limits_are_quantiles_of_the_mixture(name):
    link, dispersion, of, step = CASES[name]
    family = nm.families.resolve_family(name, link)
    eta = ETA if name not in ("binomial", "beta") else np.clip(ETA, -1.0, 1.0)
    new = NewResponses(
        family=family, dispersion=dispersion, eta=eta, sd=SD, weights=np.full(4, TRIALS)
    )
    unit = TRIALS if name == "binomial" else 1.0
    limits = np.array(new_response_limits(new, 0.9)) * unit
    for p, ends in zip((0.05, 0.95), limits, strict=True):
        for at, mean, sd in zip(ends, eta, SD, strict=True):
            upto = mixture(of, family.link, mean, sd, at)
            if step:
                assert mixture(of, family.link, mean, sd, at - step) < p + 2e-5
                assert upto > p - 2e-5
            else:
                assert upto == pytest.approx(p, abs=2e-5)


def test_rows_without_a_predictor_have_no_limits():
    eta = np.array([np.nan, 1.0, 800.0])
    new = NewResponses(
        family=nm.families.poisson(), dispersion=None, eta=eta, sd=np.ones(3), weights=np.ones(3)
    )
    low, high = new_response_limits(new, 0.95)
    assert np.isnan([low[0], high[0]]).all()
    assert (low[1], high[1]) == (0.0, 20.0)
    assert np.isinf(high[2])


def test_weights_that_are_no_trials_are_of_single_ones():
    made = {"family": nm.families.binomial(), "dispersion": None, "sd": np.ones(2)}
    eta = np.array([0.2, 9.0])
    found = [
        new_response_limits(NewResponses(**made, eta=eta, weights=np.array(w)), 0.9)
        for w in ([0.4, 1.7], [1.0, 1.0])
    ]
    np.testing.assert_array_equal(*found)
    np.testing.assert_array_equal(found[0], [[0.0, 1.0], [1.0, 1.0]])


def test_predicted_limits_hold_what_the_fit_draws():
    ticks = nm.load_dataset("grouseticks")
    fit = nm.glmer("TICKS ~ YEAR + cHEIGHT + (1 | BROOD)", ticks, family="negativebinomial")
    new = ticks.groupby("YEAR", observed=True).head(1).assign(BROOD="new")
    found = fit.predict(
        new, type="response", new_levels="population", interval="prediction", level=0.8
    )
    assert (found["conf_low"] % 1 == 0).all()
    drawn = fit.simulate(4000, seed=1, newdata=new)
    below = drawn.lt(found["conf_low"], axis=0).mean(axis=1)
    above = drawn.gt(found["conf_high"], axis=0).mean(axis=1)
    assert (below < 0.12).all()
    assert (above < 0.12).all()
    assert (above > 0.05).all()  # the coefficients' uncertainty is small here


def test_families_without_a_distribution_function():
    family = nm.families.student_t(nu=4.0)
    new = NewResponses(
        family=family, dispersion=1.0, eta=np.zeros(1), sd=np.ones(1), weights=np.ones(1)
    )
    with pytest.raises(OptionError, match=r"fit\.simulate"):
        new_response_limits(new, 0.95)
