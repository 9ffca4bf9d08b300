"""Likelihoods of generalized models: against the dense twin, and gradients against differences."""

from __future__ import annotations

import numpy as np
import pytest
from glmm_designs import ALL_PAIRS, FORMS, GIVEN, made

from nestedmlm.likelihood.elimination.speed import Speed
from nestedmlm.likelihood.glmm import fused_laplace, laplace_likelihood
from nestedmlm.likelihood.glmm.dense import dense_laplace, dense_quadrature
from nestedmlm.likelihood.glmm.glmm_model import make_model
from nestedmlm.likelihood.glmm.laplace import laplace, laplace_slopes
from nestedmlm.likelihood.glmm.modes import find_modes
from nestedmlm.likelihood.glmm.quadrature import integrate, make_grid
from nestedmlm.likelihood.plan import flat_factors, jacobian, start_phi, theta_of_phi
from nestedmlm.statistics import panel_maps
from nestedmlm.statistics.parts import twice_products


def criterion(model, phi, gamma, dispersion, *, slopes=False):
    T = flat_factors(np, phi, model.plan)
    with np.errstate(all="ignore"):
        at = laplace(model, T, find_modes(model, T, gamma, dispersion))
        if not slopes:
            return at.value
        found = laplace_slopes(model, T, at, dispersion)
    own = jacobian(phi, model.plan).T @ twice_products(found.M, T, model.parts)
    rest = [found.log_dispersion] if model.family.has_dispersion else []
    return at.value, np.concatenate([own, found.gamma, rest])


def differences(function, x, directions=None, step=5e-5):
    """Central differences of fourth order, along the rows of `directions` (or each parameter)."""
    out = []
    for e in step * (np.eye(len(x)) if directions is None else directions):
        near, far = function(x + e) - function(x - e), function(x + 2 * e) - function(x - 2 * e)
        out.append((8.0 * near - far) / (12.0 * step))
    return np.array(out)


def check(form, name, link, information, given, *, along=None, exact=1e-7):
    """Value against the dense twin; gradient against differences, or along one random direction."""
    design, family, dispersion, level = made(form, name, link, given=given)
    model = make_model(design, family, information=information)
    nt = model.plan.n_theta
    phi = 0.15 * start_phi(model.plan) + 0.02 * np.arange(1, nt + 1) / nt
    gamma = model.products.empty.R_x @ np.array([level, 0.1])
    value, gradient = criterion(model, phi, gamma, dispersion, slopes=True)
    theta = theta_of_phi(phi, model.plan, model.products.empty)
    beta = np.linalg.solve(model.products.empty.R_x, gamma)
    dense = dense_laplace(design, family, theta, beta, dispersion, information=information)
    assert abs(value - dense) < 1e-8

    def at(x):
        own = np.exp(x[-1]) if family.has_dispersion else dispersion
        return criterion(model, x[:nt], x[nt : nt + 2], own)

    x = np.concatenate([phi, gamma, [np.log(dispersion)] if family.has_dispersion else []])
    if along is None:
        np.testing.assert_allclose(gradient, differences(at, x), rtol=exact, atol=exact)
        return
    rng = np.random.default_rng(along)
    e = rng.choice([-1.0, 1.0], len(x)) * rng.uniform(0.5, 1.0, len(x))
    np.testing.assert_allclose(gradient @ e, differences(at, x, e[None])[0], rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("pair", range(len(ALL_PAIRS)), ids=map("-".join, ALL_PAIRS))
def test_every_family_and_link(pair):
    # with each design once, with each of weights and offsets, and with both kinds of information
    for number, form in enumerate(FORMS):
        information, given = ("expected", "observed")[(pair + number) % 2], GIVEN[(number // 2) % 4]
        check(form, *ALL_PAIRS[pair], information, given, along=number)


@pytest.mark.parametrize("information", ["expected", "observed"])
@pytest.mark.parametrize(
    ("form", "name", "link"),
    [
        ("slopes", "gamma", "log"),
        ("crossed", "negativebinomial", "log"),
        ("nested", "beta", "logit"),
        ("intercept", "binomial", "probit"),
    ],
)
def test_gradient_where_the_fixed_effects_go_with_the_modes(form, name, link, information):
    design, family, dispersion, level = made(form, name, link, given=GIVEN[-1])
    model = make_model(design, family, information=information)
    nt = model.plan.n_theta
    phi = 0.15 * start_phi(model.plan) + 0.02 * np.arange(1, nt + 1) / nt
    gamma = model.products.empty.R_x @ np.array([level, 0.1])

    def at(x, slopes=False):
        T, own = flat_factors(np, x[:nt], model.plan), np.exp(x[-1])
        with np.errstate(all="ignore"):
            found = laplace(model, T, find_modes(model, T, gamma, own, joint=True))
            if not slopes:
                return found.value
            own = laplace_slopes(model, T, found, own, joint=True)
        of_phi = jacobian(x[:nt], model.plan).T @ twice_products(own.M, T, model.parts)
        return np.append(of_phi, own.log_dispersion)

    x = np.append(phi, np.log(dispersion))
    directions = np.eye(nt + 1)[: nt + family.has_dispersion]
    expected = differences(at, x, directions)
    np.testing.assert_allclose(at(x, slopes=True)[: len(expected)], expected, rtol=1e-6, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("name", "link"), ALL_PAIRS)
def test_every_family_link_and_design(form, name, link):
    # beside means that vanish, modes are known to fewer digits; fits refuse this model
    exact = 5e-6 if (form, name, link) == ("rows", "gaussian", "inverse") else 1e-7
    for given in GIVEN:
        for information in ("expected", "observed"):
            check(form, name, link, information, given, exact=exact)


@pytest.mark.parametrize("information", ["expected", "observed"])
@pytest.mark.parametrize(
    ("form", "name", "link", "nodes"),
    [
        ("intercept", "binomial", "probit", 7),
        ("intercept", "gamma", "log", 6),
        ("slopes", "binomial", "logit", 5),
        ("slopes", "negativebinomial", "log", 4),
        ("diagonal", "poisson", "sqrt", 3),
        ("cs", "beta", "logit", 3),
        ("ar1", "poisson", "log", 3),
    ],
)
def test_quadrature(form, name, link, nodes, information):
    design, family, dispersion, level = made(form, name, link, given=GIVEN[-1])
    model = make_model(design, family, information=information)
    nt, grid = model.plan.n_theta, make_grid(model, nodes)
    phi = 0.25 * start_phi(model.plan) + 0.02 * np.arange(1, nt + 1) / nt
    gamma = model.products.empty.R_x @ np.array([level, 0.1])

    def at(x):
        T = flat_factors(np, x[:nt], model.plan)
        own = np.exp(x[-1]) if family.has_dispersion else dispersion
        modes = find_modes(model, T, x[nt : nt + 2], own)
        return integrate(model, grid, T, modes, own)

    x = np.concatenate([phi, gamma, [np.log(dispersion)] if family.has_dispersion else []])
    found = at(x)
    theta = theta_of_phi(phi, model.plan, model.products.empty)
    beta = np.linalg.solve(model.products.empty.R_x, gamma)
    T = flat_factors(np, phi, model.plan)
    if form in ("intercept", "diagonal"):  # with correlations the grid's turn is a choice
        dense = dense_quadrature(
            design, family, theta, beta, dispersion, nodes=nodes, information=information
        )
        assert abs(found.value - dense) < 1e-8
    rest = [found.log_dispersion] if family.has_dispersion else []
    gradient = np.concatenate([jacobian(phi, model.plan).T @ found.T, found.gamma, rest])
    slopes = differences(lambda x: at(x).value, x)
    np.testing.assert_allclose(gradient, slopes, rtol=1e-7, atol=1e-7)
    one = integrate(
        model, make_grid(model, 1), T, find_modes(model, T, gamma, dispersion), dispersion
    )
    value, gradient = criterion(model, phi, gamma, dispersion, slopes=True)
    assert abs(one.value - value) < 1e-10
    np.testing.assert_allclose(jacobian(phi, model.plan).T @ one.T, gradient[:nt], atol=1e-9)
    np.testing.assert_allclose(one.gamma, gradient[nt : nt + 2], atol=1e-9)


@pytest.mark.parametrize("compiled", [False, True])
def test_modes_are_found_from_those_of_other_parameters(compiled, monkeypatch):
    # at these B the density of the counts has underflowed, or nearly
    design, family, dispersion, level = made("nested", "poisson", "log")
    model = make_model(design, family)
    if compiled:  # in Python
        monkeypatch.setattr(laplace_likelihood, "compiled_laplace", lambda: fused_laplace)
    monkeypatch.setattr(laplace_likelihood, "in_loops", lambda model: compiled)
    T = flat_factors(np, 4.0 * start_phi(model.plan), model.plan)
    gamma = model.products.empty.R_x @ np.array([level, 0.1])
    likelihood = laplace_likelihood.LaplaceLikelihood(model=model)
    cold = likelihood.log_likelihood(T, gamma, dispersion)
    likelihood.warm[:] = [np.full(model.parts[-1].rows.stop, 45.0)]
    far = likelihood.log_likelihood(T, gamma, dispersion)
    assert np.isfinite(cold[0])
    assert far[0] == pytest.approx(cold[0], abs=1e-8)


@pytest.mark.parametrize("form", ["nested", "(1 | h/g)", "(1 | g) + (x | h)"])
def test_sums_by_level_first_are_the_sums_of_rows(form, monkeypatch):
    formulas = FORMS | {form: f"y ~ x + {form}"} if form not in FORMS else FORMS
    monkeypatch.setattr("glmm_designs.FORMS", formulas)
    design, family, dispersion, level = made(form, "poisson", "sqrt", given=GIVEN[-1])
    assert make_model(design, family).unit != 1.0
    plain = make_model(design, family).products
    monkeypatch.setattr(panel_maps, "MANY_ROWS", 10)
    model = make_model(design, family)
    assert (len(plain.sums), len(model.products.sums)) == (1, 2)
    rng = np.random.default_rng(1)
    w, R = rng.normal(size=design.n), rng.normal(size=(design.n, 3))
    pairs = zip(model.products.at(w, R).blocks, plain.at(w, R).blocks, strict=True)
    for found, expected in pairs:
        np.testing.assert_allclose(found.panels, expected.panels, rtol=1e-12, atol=1e-12)
    P = rng.normal(size=len(plain.twice))
    np.testing.assert_allclose(model.products.row_forms(P), plain.row_forms(P), atol=1e-12)
    np.testing.assert_array_equal(model.products.twice, plain.twice)
    monkeypatch.setattr(laplace_likelihood, "speed", lambda stats: Speed.DESCENT)
    assert not laplace_likelihood.in_loops(model)
    phi = 0.2 * start_phi(model.plan)
    gamma = model.products.empty.R_x @ np.array([level, 0.1])
    theta = theta_of_phi(phi, model.plan, model.products.empty)
    beta = np.linalg.solve(model.products.empty.R_x, gamma)
    value, _ = criterion(model, phi, gamma, dispersion, slopes=True)
    assert value == pytest.approx(dense_laplace(design, family, theta, beta, dispersion), abs=1e-8)
