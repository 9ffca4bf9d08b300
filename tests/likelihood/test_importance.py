"""Importance sampling of a generalized model's likelihood, beside quadrature of its integral."""

from __future__ import annotations

from itertools import product

import numpy as np
import pandas as pd
import pytest

import nestedmlm as nm
from nestedmlm.errors import OptionError, SamplingWarning
from nestedmlm.families.row_terms import log_densities
from nestedmlm.likelihood.glmm import importance
from nestedmlm.likelihood.glmm.dense import dense_modes
from nestedmlm.likelihood.glmm.importance import sample_likelihood
from nestedmlm.likelihood.pls import dense_z


@pytest.fixture(scope="module")
def crossed():
    rng = np.random.default_rng(3)
    g, h = np.arange(24) % 3, np.arange(24) // 8
    eta = np.array([-1.0, 0.3, 1.1])[g] + np.array([-1.2, 0.2, 0.9])[h]
    data = pd.DataFrame({"g": g.astype(str), "h": h.astype(str), "x": rng.normal(size=24)})
    data["k"] = rng.binomial(3, 1 / (1 + np.exp(-eta - 0.5 * data.x)))
    return nm.glmer("p(k, 3) ~ x + (1 | g) + (1 | h)", data, family="binomial", link="probit")


def brute_force(fit, theta, beta, nodes=5):
    """-2 log-likelihood on a grid over all random effects of both factors at once."""
    design = fit.design
    Z = np.hstack(dense_z(design)) * np.repeat(theta, 3)
    z, mass = np.polynomial.hermite_e.hermegauss(nodes)
    fixed = design.X @ beta
    u = dense_modes(fit.family, Z, fixed, design.y, design.weights, 1.0)
    terms = fit.solved.model.rows(fixed + Z @ u, 1.0)
    C = np.linalg.cholesky(np.linalg.inv(Z.T @ (Z * terms.w[:, None]) + np.eye(6)))
    grid = np.array(list(product(range(nodes), repeat=6)))
    x = z[grid]
    at = u + x @ C.T
    logs = np.empty(len(x))
    for low in range(0, len(x), 20_000):
        some = slice(low, low + 20_000)
        eta = fixed[:, None] + Z @ at[some].T
        rows = log_densities(fit.family, eta, design.y[:, None], design.weights[:, None], 1.0)
        logs[some] = rows.sum(axis=0)
    logs += np.log(mass)[grid].sum(axis=1) + 0.5 * (x**2 - at**2).sum(axis=1)
    integral = np.logaddexp.reduce(logs) + np.log(np.diag(C)).sum() - 3 * np.log(2 * np.pi)
    return -2.0 * (integral + fit.solved.model.constant)


def test_crossed_factors_are_integrated_out_together(crossed):
    theta, beta = crossed.theta, crossed.fixef.to_numpy()
    exact = brute_force(crossed, theta, beta)
    ev = crossed.solved.here.evaluation
    found = sample_likelihood(
        crossed.solved.model, ev.T, ev.approximation.modes, 1.0, draws=8000, seed=2
    )
    assert found.error < 0.01
    assert abs(found.value - exact) < 4 * found.error
    assert abs(crossed.criterion - exact) > 10 * found.error  # Laplace is not it
    assert len(found.log_weights) == 1
    # derivatives: the scaled factors are theta times a scale, gamma is R_x beta
    stats, scale = crossed.solution.stats, ev.T / theta
    step, spread = 1e-3, np.sqrt(np.diag(found.slope_covariance))
    for i in range(2):
        e = np.where(np.arange(2) == i, step, 0.0)
        slope = brute_force(crossed, theta + e, beta) - brute_force(crossed, theta - e, beta)
        own = found.slope[i] * scale[i]
        assert abs(own - slope / (2 * step)) < 4 * spread[i] * scale[i] + 1e-3
        ways = np.linalg.inv(stats.R_x)[:, i] * step
        slope = brute_force(crossed, theta, beta + ways) - brute_force(crossed, theta, beta - ways)
        assert abs(found.slope[2 + i] - slope / (2 * step)) < 4 * spread[2 + i] + 1e-3


def test_levels_that_share_no_row_have_weights_of_their_own():
    data = nm.load_dataset("cbpp")
    formula = "cbind(incidence, size - incidence) ~ period + (1 | herd)"
    fit = nm.glmer(formula, data, family="binomial")
    grid, drawn = fit.check_approximation(nAGQ=15), fit.check_approximation(nsim=4000)
    assert drawn.attrs["khat"] < 0.7
    assert drawn.attrs["mc_error"] < 0.01
    for found in ("criterion", "difference"):
        assert abs(drawn.attrs[found] - grid.attrs[found]) < 4 * drawn.attrs["mc_error"]
    assert (abs(drawn.change - grid.change) < 4 * drawn.mc_error).all()
    ev = fit.solved.here.evaluation
    found = sample_likelihood(fit.solved.model, ev.T, ev.approximation.modes, 1.0, draws=10, seed=1)
    assert found.log_weights.shape == (15, 10)
    with pytest.raises(OptionError, match="give one of them"):
        fit.check_approximation(nAGQ=3, nsim=100)
    with pytest.raises(OptionError, match="joint mode"):
        nm.glmer(formula, data, family="binomial", nAGQ=0).check_approximation()


def test_a_dispersion_and_nested_factors():
    fit = nm.glmer(
        "TICKS ~ YEAR + (1 | LOCATION / BROOD)",
        nm.load_dataset("grouseticks"),
        family="negativebinomial",
    )
    found = fit.check_approximation(nsim=1000)
    assert found.attrs["method"] == "importance sampling, 1000 draws"
    assert found.loc["theta", "estimate"] == pytest.approx(fit.dispersion)
    assert np.isfinite(found[["estimate", "change", "mc_error"]].to_numpy()).all()


def test_where_there_is_no_telling_it_says_so():
    rng = np.random.default_rng(1)
    g, h = np.arange(120) % 40, rng.integers(0, 10, 120)
    y = (4 * rng.normal(size=40)[g] + rng.normal(size=10)[h] > 0).astype(int)
    data = pd.DataFrame({"y": y, "g": g.astype(str), "h": h.astype(str)})
    fit = nm.glmer("y ~ 1 + (1 | g) + (1 | h)", data, family="binomial")
    with pytest.warns(SamplingWarning, match="cannot tell"):
        found = fit.check_approximation(nsim=500)
    assert found.change.isna().all()
    assert found.attrs["khat"] > 0.7


def test_the_slopes_covariance_is_that_of_weighted_pairs(crossed):
    """The delta method of a ratio: squares of what each pair adds, less its weight's share."""
    model, ev = crossed.solved.model, crossed.solved.here.evaluation
    modes = ev.approximation.modes
    found = sample_likelihood(model, ev.T, modes, 1.0, draws=40, seed=5)
    sets = importance.independent_sets(model)
    share = np.exp(found.log_weights - found.log_weights.max())
    share /= share.sum(axis=1, keepdims=True)
    w, parts, first = (modes.rows.h if (modes.rows.h >= 0).all() else modes.rows.w), [], 0
    for some in importance.draw_proposals(model, ev.T, w, 40, 5):
        h = importance.parameter_scores(model, sets, modes, some, 1.0, len(found.slope))[0]
        p = share[0, first : first + len(h)]
        first += len(h)
        halves = (p[:, None] * np.column_stack([h, np.ones(len(h))])).reshape(2, len(h) // 2, -1)
        parts.append(halves.sum(axis=0))
    pairs = np.vstack(parts)
    center = pairs[:, :-1].sum(axis=0)
    apart = pairs[:, :-1] - pairs[:, -1:] * center
    assert found.slope == pytest.approx(-2.0 * center)
    assert found.slope_covariance == pytest.approx(4.0 * apart.T @ apart)
