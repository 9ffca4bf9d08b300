"""The marginal model: its log-density against a dense normal, its gradient, its maximum."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pandas as pd
import pytest
from designs import FORMULAS, central_difference, data, design
from scipy.optimize import minimize
from scipy.stats import multivariate_normal

import nestedmlm as nm
from nestedmlm.bayes.density.marginal_density import marginal_density
from nestedmlm.bayes.model.distributions import Prior
from nestedmlm.bayes.model.marginal import is_marginal, marginal_model
from nestedmlm.bayes.model.names import parameter_names
from nestedmlm.bayes.sampling.conditional import (
    covariance_factors,
    draw_random_effects,
    fixed_draws,
)
from nestedmlm.bayes.sampling.density import density
from nestedmlm.bayes.sampling.start import start_values
from nestedmlm.design.build import build_design
from nestedmlm.design.matrices.zmatrix import z_matrix
from nestedmlm.errors import OptionError

# one of each kind of elimination and of each covariance structure; weights and offset on some
CASES = [(kind, bool(i % 2)) for i, kind in enumerate(FORMULAS)]


def improper(of):
    """Flat priors for everything but the correlations."""
    names = parameter_names(of)
    flat = dict.fromkeys(names.fixed, Prior("Flat"))
    sds = [sd for t in names.terms for sd in t.sds]
    return flat | dict.fromkeys([*sds, names.sigma], Prior("HalfFlat"))


def some_points(den, count=3, seed=0):
    rng = np.random.default_rng(seed)
    scale = 0.3 * np.maximum(1.0, np.abs(den.initial) * 0.1)
    return [den.initial + scale * rng.normal(size=den.ndim) for _ in range(count)]


def dense_parts(of, values):
    """Mean and covariance of y, written down from the definition, with dense Z."""
    names = parameter_names(of)
    draws = {k: np.asarray(v)[None] for k, v in values.items()}
    beta = fixed_draws(of, draws)[0]
    mean = of.X @ beta + (0.0 if of.offset is None else of.offset)
    Z, G = [], []
    for term, own in zip(of.terms, names.terms, strict=True):
        factor = of.factors[term.factor]
        D = covariance_factors(own, draws)[0]
        indicator = np.eye(len(factor.levels))[factor.codes]
        Z.append((indicator[:, :, None] * term.X[:, None, :]).reshape(of.n, -1))
        G.append(np.kron(np.eye(len(factor.levels)), D @ D.T))
    Z = np.hstack(Z)
    G = block_diagonal(G)
    w = np.ones(of.n) if of.weights is None else of.weights
    return mean, Z, G, np.diag(values["sigma"] ** 2 / w)


def block_diagonal(blocks):
    n = sum(len(b) for b in blocks)
    out, at = np.zeros((n, n)), 0
    for b in blocks:
        out[at : at + len(b), at : at + len(b)] = b
        at += len(b)
    return out


@lru_cache
def prepared(kind, weighted):
    """A design and its marginal density."""
    of = design(kind, weighted=weighted, offset=weighted)
    return of, marginal_density(of)


@pytest.mark.parametrize(("kind", "weighted"), CASES)
def test_log_likelihood_is_that_of_the_dense_normal(kind, weighted):
    of, den = prepared(kind, weighted)
    for x in some_points(den):
        mean, Z, G, R = dense_parts(of, den.to_values(x))
        expected = multivariate_normal(mean, Z @ G @ Z.T + R).logpdf(of.y)
        assert den.log_likelihood(x[None])[0] == pytest.approx(expected, rel=1e-8)


@pytest.mark.parametrize(("kind", "weighted"), CASES)
def test_gradient_is_the_finite_difference(kind, weighted):
    _, den = prepared(kind, weighted)
    x = some_points(den, 1)[0]
    value, gradient = den.logp_grad(x)
    numeric = central_difference(lambda at: den.logp_grad(at)[0], x, step=1e-4)
    assert np.isfinite(value)
    np.testing.assert_allclose(
        gradient, numeric, rtol=1e-5, atol=1e-5 * max(1, abs(gradient).max())
    )


ML_CASES = {
    "sleepstudy": "Reaction ~ Days + (Days | Subject)",
    "Pastes": "strength ~ 1 + (1 | batch/cask)",
    "Penicillin": "diameter ~ 1 + (1 | plate) + (1 | sample)",
}


@pytest.mark.parametrize("name", ML_CASES)
def test_the_maximum_over_beta_and_sigma_is_the_ml_criterion(name):
    fit = nm.lmer(ML_CASES[name], nm.load_dataset(name), REML=False)
    of, s = fit.design, fit.solution
    den = marginal_density(of)

    def minus_2_llf(change):
        """-2 log-likelihood with beta and log sigma moved, relative covariance kept."""
        sigma = s.sigma * np.exp(change[-1])
        at = start_values(den.names, of, beta=s.beta + change[:-1], T=s.T, sigma=sigma)
        assert set(at) == set(den.names)
        return -2.0 * den.log_likelihood(den.at(at)[None])[0]

    best = np.zeros(of.p + 1)
    assert minus_2_llf(best) == pytest.approx(fit.deviance, abs=1e-7)
    # beta and sigma are stationary there, and nothing near is better
    curvature = np.array([minus_2_llf(h) + minus_2_llf(-h) for h in 1e-2 * np.eye(of.p + 1)])
    assert np.all(curvature > 2 * fit.deviance)
    slope = central_difference(minus_2_llf, best, step=1e-3)
    np.testing.assert_allclose(slope, 0.0, atol=1e-4)


def test_the_flat_maximum_of_the_guides_model_is_its_ml_fit(shared_data):
    frame = pd.read_csv(shared_data / "classroom.csv", dtype={"classid": str, "schoolid": str})
    fit = nm.lmer("mathscore ~ ses + (ses | schoolid) + (1 | classid)", frame, REML=False)
    of, s = fit.design, fit.solution
    # LKJ(1) is flat too; the Jacobians of the transforms are taken off again below
    den = marginal_density(of, improper(of) | {"schoolid_corr": Prior("LKJ", eta=1)})
    at = {name: i for i, name in enumerate(den.names)}
    logit, log_sigma = at["schoolid_corr_partial"], at["sigma"]

    def minus_llf(x):
        value, gradient = den.logp_grad(x)
        half = 1.0 / (1.0 + np.exp(-x[logit]))
        jacobian = np.zeros(len(x))
        jacobian[logit], jacobian[log_sigma] = 1.0 - 2.0 * half, 1.0
        return np.log(half * (1 - half)) + x[log_sigma] - value, jacobian - gradient

    x0 = den.at(start_values(den.names, of, beta=s.beta, T=s.T, sigma=s.sigma))
    x0[at["1|schoolid_sigma_raw"]] += 1.0  # not at the answer already
    found = minimize(minus_llf, x0, jac=True, method="BFGS", options={"gtol": 1e-6})
    assert 2.0 * found.fun == pytest.approx(fit.deviance, abs=1e-6)


def test_structure_of_the_model():
    model = marginal_model(design("nested chain of two"))
    assert is_marginal(model)
    assert [rv.name for rv in model.free_RVs] == [
        "Intercept_centred",
        "x",
        "1|f1_sigma_raw",
        "x|f1_sigma_raw",
        "z|f1_sigma_raw",
        "f1_corr_partial",
        "1|f2_sigma_raw",
        "x|f2_sigma_raw",
        "f2_corr_partial",
        "sigma",
    ]
    assert model.named_vars_to_dims["f1_corr"] == ("f1__pair_dim",)
    assert list(model.coords["f1__pair_dim"]) == ["x, 1", "z, 1", "z, x"]
    den = density(model)
    assert {v.name for v in den.variables} == set(
        parameter_names(design("nested chain of two")).parameters
    )


def test_signs_of_folded_scales_do_not_matter():
    den = marginal_density(design("slope"))
    x = some_points(den, 1)[0]
    at = {name: i for i, name in enumerate(den.names)}
    flipped = x.copy()
    flipped[at["x|f1_sigma_raw"]] *= -1
    flipped[at["f1_corr_partial"]] *= -1
    assert den.folded == (at["1|f1_sigma_raw"], at["x|f1_sigma_raw"])
    assert den.logp_grad(flipped)[0] == pytest.approx(den.logp_grad(x)[0], rel=1e-12)
    one, other = den.to_values(x), den.to_values(flipped)
    for name in one:
        np.testing.assert_allclose(one[name], other[name], rtol=1e-12)


def test_centred_intercept_gives_the_users():
    of = design("slope")
    den = marginal_density(of)
    x = some_points(den, 1)[0]
    values = den.to_values(x)
    sampled = dict(zip(den.names, x, strict=True))
    expected = sampled["Intercept_centred"] - of.X[:, 1:].mean(axis=0) @ [values["x"], values["z"]]
    assert values["Intercept"] == pytest.approx(expected, rel=1e-12)


def test_a_users_own_correlation_structure():
    import pymc as pm
    import pytensor.tensor as pt

    def equal_correlation(name, n):
        rho = pm.Beta("rho", 2, 2)
        return pt.linalg.cholesky((1 - rho) * pt.eye(n) + rho * pt.ones((n, n)))

    of = build_design("y ~ x + (x + z | f1)", data())
    den = density(marginal_model(of, {"f1_corr": equal_correlation}))
    x = some_points(den, 1)[0]
    numeric = central_difference(lambda at: den.logp_grad(at)[0], x, step=1e-4)
    np.testing.assert_allclose(den.logp_grad(x)[1], numeric, rtol=1e-5, atol=1e-4)
    values = den.to_values(x)
    np.testing.assert_allclose(values["f1_corr"], [values["rho"]] * 3)


def test_an_edited_model():
    import pymc as pm

    model = marginal_model(design("one factor"))
    with model:
        pm.Potential("ratio", -model["1|f1_sigma"] / model["sigma"])
    plain, edited = density(marginal_model(design("one factor"))), density(model)
    x = plain.initial
    values = plain.to_values(x)
    expected = plain.logp_grad(x)[0] - values["1|f1_sigma"] / values["sigma"]
    assert edited.logp_grad(x)[0] == pytest.approx(expected, rel=1e-12)


def test_discrete_variables_are_refused():
    import pymc as pm

    model = marginal_model(design("one factor"))
    with model:
        pm.Poisson("n", 3)
    with pytest.raises(OptionError, match="discrete"):
        density(model)


def test_far_away_the_density_is_not_an_error():
    den = marginal_density(design("crossed"))
    for far in (1e3, 1e6, -1e3):
        value, gradient = den.logp_grad(den.initial + far)
        assert not value > 0 and gradient.shape == (den.ndim,)


@pytest.mark.parametrize(
    "kind", ["several terms on one factor", "nested chain of two", "nested within crossed", "diag"]
)
def test_conditional_draws_have_the_dense_mean_and_covariance(kind):
    of = design(kind, weighted=True, offset=True)
    den = marginal_density(of)
    values = den.to_values(some_points(den, 1)[0])
    mean, Z, G, R = dense_parts(of, values)
    gain = G @ Z.T @ np.linalg.inv(Z @ G @ Z.T + R)
    expected = gain @ (of.y - mean)
    cov = G - gain @ Z @ G
    n = 4000
    draws = {k: np.repeat(v[None], n, axis=0) for k, v in values.items()}
    b = draw_random_effects(of, draws, np.random.default_rng(5))
    flat = np.concatenate(
        [np.stack([b[v] for v in own.variables], axis=2).reshape(n, -1)
         for own in parameter_names(of).terms], axis=1,
    )  # fmt: skip
    sd = np.sqrt(np.diag(cov))
    z = (flat.mean(axis=0) - expected) / (sd / np.sqrt(n))
    assert np.max(np.abs(z)) < 5.0
    # covariances: the error of each is about sd sd' sqrt((1 + r^2) / n)
    error = (np.cov(flat.T) - cov) / np.outer(sd, sd) * np.sqrt(n / 2)
    assert np.max(np.abs(error)) < 6.0
    assert z_matrix(of).shape == (of.n, len(sd))
