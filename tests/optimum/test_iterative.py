"""Fits whose crossed factors are eliminated iteratively, beside exact ones."""

from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import pytest
from designs import ratings

import nestedmlm as nm
from nestedmlm.errors import ModelComparisonError, OptionError
from nestedmlm.likelihood.solution import results_at
from nestedmlm.optimum import iterative
from nestedmlm.statistics import memory

ITERATIVE = nm.Control(method="iterative")
FORMULAS = [
    "y ~ x + (1 | u) + (1 | i)",
    "y ~ x + (x | u) + (x | i)",
    "y ~ x + (1 + x || u) + (1 | i) + (1 | v)",
]


def standard_errors(fit):
    return fit.variance_parameters()["std_error"].to_numpy()


@pytest.mark.parametrize("REML", [True, False])
@pytest.mark.parametrize("formula", FORMULAS)
def test_estimates_are_within_their_stated_error(formula, REML):
    rows = ratings(2000, 250, 150)
    exact = nm.lmer(formula, rows, REML=REML, weights="w")
    fit = nm.lmer(formula, rows, REML=REML, weights="w", control=ITERATIVE)
    assert fit.converged
    assert fit.certificate.route == "iterative"
    assert 0.0 < fit.certificate.monte_carlo_error <= iterative.LARGEST_SHARE
    ours, theirs = (f.variance_parameters()["estimate"].to_numpy() for f in (fit, exact))
    se = standard_errors(exact)
    known = np.isfinite(se)
    assert np.all(np.abs(ours - theirs)[known] < 4.0 * iterative.LARGEST_SHARE * se[known])
    np.testing.assert_allclose(ours[~known], theirs[~known], atol=1e-6)
    np.testing.assert_allclose(fit.fixef, exact.fixef, atol=1e-3 * exact.bse.min())
    np.testing.assert_allclose(fit.bse, exact.bse, rtol=1e-3)
    np.testing.assert_allclose(standard_errors(fit)[known], se[known], rtol=0.05)
    modes, others = (f.ranef(condvar=False)["estimate"].to_numpy() for f in (fit, exact))
    np.testing.assert_allclose(modes, others, atol=0.01)
    assert abs(fit.criterion - exact.criterion) < 3.0


def test_at_its_own_theta_all_but_the_criterion_is_exact():
    rows = ratings(2000, 250, 150)
    fit = nm.lmer(FORMULAS[1], rows, control=ITERATIVE)
    exact = results_at(fit.design, fit.theta)
    np.testing.assert_allclose(fit.solution.beta, exact.beta, atol=1e-9)
    np.testing.assert_allclose(fit.solution.vcov, exact.vcov, rtol=1e-8, atol=1e-12)
    np.testing.assert_allclose(fit.sigma, exact.sigma, rtol=1e-10)
    for own, other in zip(fit.solution.b, exact.b, strict=True):
        np.testing.assert_allclose(own, other, atol=1e-8)


def test_variances_of_zero():
    rows = ratings(2000, 250, 150, seed=3)
    rows["v"] = np.random.default_rng(8).integers(0, 30, len(rows))
    formula = "y ~ x + (1 | u) + (x | i) + (1 | v)"
    exact = nm.lmer(formula, rows)
    fit = nm.lmer(formula, rows, control=ITERATIVE)
    assert fit.converged
    assert fit.is_singular() == exact.is_singular()
    np.testing.assert_allclose(fit.theta, exact.theta, atol=0.02)


@pytest.mark.parametrize("structure", ["cs(x | u)", "ar1(x | u, hom = FALSE)"])
@pytest.mark.parametrize("seed", [2, 3])
def test_standard_deviations_keep_their_signs(seed, structure):
    """With negative ones the correlation of -1 would be one of 1: another model, and certified."""
    rng, n = np.random.default_rng(seed), 1500
    rows = pd.DataFrame({"u": rng.integers(0, 60, n), "i": rng.integers(0, 40, n)})
    rows = rows.assign(x=rng.normal(5.0, 1.0, n))
    rows["y"] = 0.2 * rng.normal(size=60)[rows.u] + 0.4 * rng.normal(size=60)[rows.u] * rows.x
    rows["y"] += 0.3 * rng.normal(size=40)[rows.i] + rng.normal(size=n)
    formula = f"y ~ x + {structure} + (1 | i)"
    exact, fit = (nm.lmer(formula, rows, control=control) for control in (None, ITERATIVE))
    assert fit.converged
    np.testing.assert_allclose(fit.theta, exact.theta, atol=0.01)
    assert fit.theta[2] < -0.99


def test_more_random_vectors_where_few_do_not_do(monkeypatch):
    rows = ratings(2000, 250, 150)
    few = nm.lmer(FORMULAS[0], rows, control=ITERATIVE)
    wanted = 0.5 * few.certificate.monte_carlo_error
    monkeypatch.setattr(iterative, "LARGEST_SHARE", wanted)
    fit = nm.lmer(FORMULAS[0], rows, control=ITERATIVE)
    assert fit.solution.stats.sparse.probes > few.solution.stats.sparse.probes
    assert fit.certificate.monte_carlo_error <= wanted


def test_too_few_random_vectors_are_no_certificate(monkeypatch):
    monkeypatch.setattr(iterative, "LARGEST_SHARE", 1e-5)
    monkeypatch.setattr(iterative, "MOST_PROBES", 16)
    with pytest.warns(nm.ConvergenceWarning, match="Monte Carlo error"):
        fit = nm.lmer(FORMULAS[0], ratings(2000, 250, 150), control=ITERATIVE)
    assert not fit.converged


def test_iterative_where_the_block_does_not_fit(monkeypatch):
    rows = ratings(2000, 250, 150)
    monkeypatch.setattr(memory, "available_memory", lambda: 1000)
    fit = nm.lmer(FORMULAS[0], rows)
    assert fit.certificate.route == "iterative"
    assert any("eliminated iteratively" in message for message in fit.messages)
    assert "eliminated iteratively" in str(fit)


def test_the_same_again():
    rows = ratings(2000, 250, 150)
    one, two = (nm.lmer(FORMULAS[0], rows, control=ITERATIVE) for _ in range(2))
    assert np.array_equal(one.theta, two.theta)
    again = pickle.loads(pickle.dumps(one))
    assert np.array_equal(again.theta, one.theta)
    assert again.summary().view() is not None


VERBS = {
    "summary": lambda f: f.summary(),
    "anova": lambda f: f.anova(),
    "contest": lambda f: f.contest([0, 1]),
    "tidy": lambda f: f.tidy(),
    "wald": lambda f: f.conf_int(method="wald"),
    "predict": lambda f: f.predict(),
    "simulate": lambda f: f.simulate(seed=1),
    "icc": lambda f: f.icc(),
    "r2": lambda f: f.r2(),
    "refit": lambda f: f.refit(f.design.y + 1.0),
    "refit_ml": lambda f: f.refit_ml(),
}
REFUSED = {
    "ranef": lambda f: f.ranef(),
    "profile": lambda f: f.profile(),
    "conf_int": lambda f: f.conf_int(),
    "kenward-roger": lambda f: f.summary(ddf="kenward-roger"),
    "hatvalues": lambda f: f.hatvalues(),
    "interval": lambda f: f.predict(interval="prediction"),
    "refit_many": lambda f: f.refit_many(f.design.y[:, None]),
    "bootstrap": lambda f: f.bootstrap(nsim=2, seed=1, progress=False),
    "elimination": lambda f: f.elimination(),
}


@pytest.fixture(scope="module")
def fit():
    return nm.lmer(FORMULAS[0], ratings(1500, 250, 150), control=ITERATIVE)


@pytest.mark.parametrize("verb", VERBS)
def test_verbs_that_are_there(fit, verb):
    assert VERBS[verb](fit) is not None


@pytest.mark.parametrize("verb", REFUSED)
def test_verbs_that_need_the_exact_elimination_say_so(fit, verb):
    with pytest.raises(OptionError, match="exact"):
        REFUSED[verb](fit)


def test_likelihood_ratios_need_exact_fits(fit):
    with pytest.raises(ModelComparisonError, match="Monte Carlo error"):
        nm.anova(
            fit, nm.lmer("y ~ 1 + (1 | u) + (1 | i)", ratings(1500, 250, 150), control=ITERATIVE)
        )


@pytest.mark.parametrize(
    "verb",
    [
        lambda f: f.ranova(),
        lambda f: f.step(),
        lambda f: f.drop1(test="Chisq"),
        lambda f: nm.rlrt(f, f.update(". ~ . - (1 | i)")),
    ],
    ids=["ranova", "step", "drop1", "rlrt"],
)
def test_verbs_made_of_likelihood_ratios_need_exact_fits(fit, verb):
    with pytest.raises((ModelComparisonError, OptionError), match="exact"):
        verb(fit)


def test_means_and_partial_r2_take_satterthwaite(fit):
    """Their default of exact fits, Kenward-Roger, needs the dense block."""
    exact = nm.lmer(FORMULAS[0], ratings(1500, 250, 150))
    ours = nm.emmeans(fit, "1").to_frame()
    theirs = nm.emmeans(exact, "1", ddf="satterthwaite").to_frame()
    columns = ["estimate", "std_error", "df"]
    np.testing.assert_allclose(ours[columns], theirs[columns], rtol=0.1)
    shares = fit.partial_r2(), exact.partial_r2(ddf="satterthwaite")
    np.testing.assert_allclose(*(share["estimate"] for share in shares), rtol=0.1)


def test_satterthwaite_is_near_the_exact_fits(fit):
    exact = nm.lmer(FORMULAS[0], ratings(1500, 250, 150))
    ours, theirs = (f.tidy("fixed")["df"].to_numpy() for f in (fit, exact))
    np.testing.assert_allclose(ours, theirs, rtol=0.1)
