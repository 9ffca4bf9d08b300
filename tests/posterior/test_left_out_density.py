"""Log-densities of left-out groups against dense Gaussian conditionals."""

from __future__ import annotations

import numpy as np
import pytest
from designs import FORMULAS, data
from fake_posterior import fake_bayesfit, fake_posterior
from scipy.stats import multivariate_normal

import nestedmlm as nm
from nestedmlm.design.matrices.zmatrix import z_matrix
from nestedmlm.posterior.draws import covariance_draws, fixed_draws, marginal_draws, sigma_draws
from nestedmlm.posterior.left_out_density import (
    choose_factor,
    components,
    left_out_log_density,
)

KINDS = ["slope", "nested chain of three", "crossed", "nested within crossed", "compound symmetry",
         "several terms on one factor", "no fixed effects"]  # fmt: skip


def dense_normal(posterior, design, s):
    """Mean and covariance of all rows at draw s."""
    sigma = sigma_draws(posterior, design)[s]
    Z = z_matrix(design).toarray()
    cov = [c[s] for c in covariance_draws(posterior, design)]
    blocks = [
        np.kron(np.eye(len(design.factors[t.factor].levels)), c)
        for t, c in zip(design.terms, cov, strict=True)
    ]
    G = np.zeros((Z.shape[1],) * 2)
    at = 0
    for block in blocks:
        G[at : at + len(block), at : at + len(block)] = block
        at += len(block)
    w = np.ones(design.n) if design.weights is None else design.weights
    V = Z @ G @ Z.T + np.diag(sigma**2 / w)
    mean = design.X @ fixed_draws(posterior, design)[s]
    mean = mean if design.offset is None else mean + design.offset
    return mean, V


def dense(posterior, design, units, s, held=()):
    """log p(y_j | y_others) of units at draw s, as differences of joint densities."""
    mean, V = dense_normal(posterior, design, s)

    def joint(rows):
        return multivariate_normal(mean[rows], V[np.ix_(rows, rows)]).logpdf(design.y[rows])

    if len(held):
        rest = ~np.isin(units, held)
        return np.array([joint(rest | (units == j)) - joint(rest) for j in held])
    everything = np.ones(design.n, dtype=bool)
    return np.array([joint(everything) - joint(units != j) for j in range(units.max() + 1)])


def of_groups(posterior, design, f):
    return left_out_log_density(marginal_draws(posterior, design), design, design.factors[f].codes)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_every_factor_against_dense(kind, weighted):
    options = {"weights": "w", "offset": "off"} if weighted else {}
    fit = nm.lmer(FORMULAS[kind], data(n=90), **options)
    posterior = fake_posterior(fit, chains=1, draws=3)
    for f in range(len(fit.design.factors)):
        found = of_groups(posterior, fit.design, f)
        assert found.shape == (3, len(fit.design.factors[f].levels))
        expected = dense(posterior, fit.design, fit.design.factors[f].codes, 1)
        np.testing.assert_allclose(found[1], expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_rows_and_units_held_out_together_against_dense(kind, weighted):
    options = {"weights": "w", "offset": "off"} if weighted else {}
    fit = nm.lmer(FORMULAS[kind], data(n=90), **options)
    design, posterior = fit.design, fake_posterior(fit, chains=1, draws=3)
    draws = marginal_draws(posterior, design)
    rows, groups = np.arange(design.n), design.factors[0].codes
    found = left_out_log_density(draws, design, rows)
    np.testing.assert_allclose(found[1], dense(posterior, design, rows, 1), rtol=1e-8, atol=1e-8)
    for units in (rows, groups):
        held = np.zeros(units.max() + 1, dtype=bool)
        held[[0, 2, 3, 6]] = True
        found = left_out_log_density(draws, design, units, held=held)
        expected = dense(posterior, design, units, 2, np.flatnonzero(held))
        np.testing.assert_allclose(found[2, held], expected, rtol=1e-8, atol=1e-8)
        assert np.isnan(found[:, ~held]).all()


def test_nested_groups_sum_to_the_marginal_likelihood():
    """The outermost groups are independent: their log-densities add up to the whole."""
    fit = nm.lmer(FORMULAS["nested chain of three"], data())
    posterior = fake_posterior(fit, chains=1, draws=4)
    design = fit.design
    f = choose_factor(design, None)
    assert design.factors[f].name == "f3"
    codes = design.factors[f].codes
    assert sum(1 for _ in components(design, codes)) == len(design.factors[f].levels)
    found = of_groups(posterior, design, f).sum(axis=1)
    assert found[2] == pytest.approx(dense_total(posterior, design, 2), rel=1e-10)


def dense_total(posterior, design, s):
    sigma = sigma_draws(posterior, design)[s]
    V = sigma**2 * np.eye(design.n)
    for term, cov in zip(design.terms, covariance_draws(posterior, design), strict=True):
        codes = design.factors[term.factor].codes
        V += (codes[:, None] == codes) * (term.X @ cov[s] @ term.X.T)
    mean = design.X @ fixed_draws(posterior, design)[s]
    return multivariate_normal(mean, V).logpdf(design.y)


def test_loo_by_group():
    fit = nm.lmer("Reaction ~ Days + (Days | Subject)", nm.load_dataset("sleepstudy"))
    bayes = fake_bayesfit(fit)
    # the fake draws ignore the posterior's correlations, so some weights have heavy tails
    with pytest.warns(UserWarning, match="Pareto"):
        found = bayes.loo("group")
    assert found.n_data_points == 18
    assert found.n_samples == 1000
    assert list(found.elpd_i.coords["Subject__factor_dim"].values) == list(fit.ranef().level[:18])
    with pytest.warns(UserWarning, match="Pareto"):
        assert bayes.loo("group", group="Subject", max_draws=400).n_samples == 400


def test_which_group():
    fit = nm.lmer(FORMULAS["crossed"], data())
    bayes = fake_bayesfit(fit, chains=2, draws=20)
    with pytest.raises(nm.errors.OptionError, match=r"no grouping factor contains all .*f1, c1"):
        bayes.loo("group")
    with pytest.raises(nm.errors.OptionError, match="'f9' is no grouping factor; known: f1, c1"):
        bayes.loo("group", group="f9")
    with pytest.raises(nm.errors.OptionError, match="unit must be one of row, group, not 'rows'"):
        bayes.loo("rows")


def test_too_many_effects_are_refused(monkeypatch):
    from nestedmlm.posterior import left_out_density

    fit = nm.lmer(FORMULAS["crossed"], data())
    monkeypatch.setattr(left_out_density, "_MAX_EFFECTS", 10)
    with pytest.raises(nm.errors.MemoryLimitError, match="random effects hang together"):
        of_groups(fake_posterior(fit, chains=1, draws=4), fit.design, 0)
