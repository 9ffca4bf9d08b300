"""Log-densities of left-out groups against dense Gaussian conditionals."""

from __future__ import annotations

import numpy as np
import pytest
from designs import FORMULAS, data
from fake_posterior import fake_bayesfit, fake_posterior
from scipy.stats import multivariate_normal

import nestedmlm as nm
from nestedmlm.design.matrices.zmatrix import z_matrix
from nestedmlm.posterior.draws import covariance_draws, fixed_draws, sigma_draws
from nestedmlm.posterior.grouploo import choose_factor, components, group_log_likelihood

KINDS = ["slope", "nested chain of three", "crossed", "nested within crossed", "compound symmetry",
         "several terms on one factor", "no fixed effects"]  # fmt: skip


def dense(posterior, design, f, s):
    """log p(y_j | y_-j) of every group at draw s, as differences of joint densities."""
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
    total = multivariate_normal(mean, V).logpdf(design.y)
    out = []
    for j in range(len(design.factors[f].levels)):
        rest = design.factors[f].codes != j
        others = multivariate_normal(mean[rest], V[np.ix_(rest, rest)]).logpdf(design.y[rest])
        out.append(total - others)
    return np.array(out)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_every_factor_against_dense(kind, weighted):
    options = {"weights": "w", "offset": "off"} if weighted else {}
    fit = nm.lmer(FORMULAS[kind], data(n=90), **options)
    posterior = fake_posterior(fit, chains=1, draws=3)
    for f in range(len(fit.design.factors)):
        found = group_log_likelihood(posterior, fit.design, f)
        assert found.shape == (3, len(fit.design.factors[f].levels))
        expected = dense(posterior, fit.design, f, 1)
        np.testing.assert_allclose(found[1], expected, rtol=1e-9, atol=1e-9)


def test_nested_groups_sum_to_the_marginal_likelihood():
    """The outermost groups are independent: their log-densities add up to the whole."""
    fit = nm.lmer(FORMULAS["nested chain of three"], data())
    posterior = fake_posterior(fit, chains=1, draws=4)
    design = fit.design
    f = choose_factor(design, None)
    assert design.factors[f].name == "f3"
    assert sum(1 for _ in components(design, f)) == len(design.factors[f].levels)
    found = group_log_likelihood(posterior, design, f).sum(axis=1)
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
    with pytest.raises(nm.errors.OptionError, match="unit='rows' is unknown; known: row, group"):
        bayes.loo("rows")


def test_too_many_effects_are_refused(monkeypatch):
    from nestedmlm.posterior import grouploo

    fit = nm.lmer(FORMULAS["crossed"], data())
    monkeypatch.setattr(grouploo, "_MAX_EFFECTS", 10)
    with pytest.raises(nm.errors.MemoryLimitError, match="random effects hang together"):
        group_log_likelihood(fake_posterior(fit, chains=1, draws=4), fit.design, 0)
