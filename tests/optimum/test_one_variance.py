"""Designs with one variance: all responses by Newton's method at once, against one fit each."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import nestedmlm as nm
from nestedmlm.inference.effects.ddf import df_method, joint_test
from nestedmlm.inference.effects.many_satterthwaite import many_satterthwaite
from nestedmlm.inference.fitted import Fitted
from nestedmlm.likelihood.plan import make_plan
from nestedmlm.likelihood.solution import results_at
from nestedmlm.optimum.batch import batch_seconds, refit_many
from nestedmlm.optimum.one_variance import (
    fit_one_variance,
    has_one_variance,
    level_sums,
    profiles,
)
from nestedmlm.optimum.optimize import optimize
from nestedmlm.statistics.crossproducts import cross_products
from nestedmlm.statistics.responses import responses

FORMULAS = ["y ~ x + (1 | g)", "y ~ x * f + (1 | g)", "y ~ 0 + (1 | g)", "y ~ f + (0 + x | g)"]


def case(formula: str, weighted: bool = False):
    rng = np.random.default_rng(len(formula))
    g = np.append(np.arange(14), rng.integers(0, 14, 106))
    data = pd.DataFrame(
        {
            "g": g, "x": rng.normal(size=120) + rng.normal(size=14)[g],
            "f": rng.choice(list("abc"), 120), "w": rng.uniform(0.3, 3.0, 120),
            "y": rng.normal(size=120),
        }
    )  # fmt: skip
    design = nm.Model(formula, data, weights="w" if weighted else None).design
    size = np.array([0.0, 0.0, 0.2, 1.0, 5.0, 500.0])  # the last beyond the grid
    z = data["x"].to_numpy() if "0 + x" in formula else np.ones(120)
    Z = z[:, None] * (g[:, None] == np.arange(14))
    Y = rng.normal(size=(120, 6))
    Y[:, 0] -= Z @ np.linalg.lstsq(Z, Y[:, 0])[0]  # nothing is left of the groups
    return design, Y + Z @ (rng.normal(size=(14, 6)) * size)


@pytest.mark.parametrize("REML", [True, False], ids=["REML", "ML"])
@pytest.mark.parametrize("formula", FORMULAS)
def test_the_optima_are_those_of_single_fits(formula: str, REML: bool) -> None:
    design, Y = case(formula, weighted=not REML)
    assert has_one_variance(make_plan(design, cross_products(design)), cross_products(design))
    found = refit_many(design, Y, REML=REML)
    assert found.converged.all()
    assert found.singular.any() and not found.singular.all()
    for j, y in enumerate(Y.T):
        own = design.with_response(np.ascontiguousarray(y))
        stats = cross_products(own)
        single = optimize(make_plan(own, stats), stats, REML=REML)
        at = results_at(own, found.theta[j], REML=REML, stats=stats)
        digits = 1e-8 if j < 5 else 1e-6  # of squares far above the residual ones some are lost
        assert found.criterion[j] == pytest.approx(single.evaluation.criterion, abs=digits)
        assert found.theta[j] == pytest.approx(single.theta, abs=1e-5, rel=1e-4)
        np.testing.assert_allclose(found.beta[j], at.beta, rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(found.sigma[j], at.sigma, rtol=1e-9)
        np.testing.assert_allclose(found.std_error[j], np.sqrt(np.diag(at.vcov)), rtol=1e-9)


def test_derivatives_are_those_of_the_parts() -> None:
    design, Y = case("y ~ x * f + (1 | g)", weighted=True)
    sums = level_sums(responses(design, cross_products(design), Y))
    tau, h = np.array([0.3, 1.0, 0.02, 4.0, 0.5, 9.0]) / sums.zz.mean(), 1e-6
    at, up, down = (profiles(sums, tau * (1 + k * h)) for k in (0, 1, -1))
    for name in ("logdet", "log_sxx", "r2", "d_logdet", "d_log_sxx", "d_r2", "inverse"):
        derivative = {"inverse": "d_inverse"}.get(name, f"d_{name}".replace("d_d_", "d2_"))
        step = (2 * h * tau).reshape(-1, *[1] * (getattr(at, name).ndim - 1))
        numeric = (getattr(up, name) - getattr(down, name)) / step
        expected = getattr(at, derivative)
        scale = np.abs(expected).max()
        np.testing.assert_allclose(numeric, expected, rtol=1e-5, atol=1e-6 * scale, err_msg=name)


@pytest.mark.parametrize("REML", [True, False], ids=["REML", "ML"])
def test_steps_are_newtons(REML: bool) -> None:
    """Bisection alone, which a wrong second derivative leaves, takes twice as many."""
    design, Y = case("y ~ x + (1 | g)")
    stats = cross_products(design)
    found = fit_one_variance(level_sums(responses(design, stats, Y)), stats, REML)
    zero = found.tau == 0.0
    assert zero.any() and not zero.all()
    assert (found.evaluations - found.evaluations[zero].min())[:5].max() <= 6


@pytest.mark.parametrize("columns", [[1], [2, 3]], ids=["one", "two"])
def test_satterthwaites_tests_are_those_of_single_fits(columns: list[int]) -> None:
    design, Y = case("y ~ x + f + (1 | g)")
    stats, L = cross_products(design), np.eye(design.p)[columns]
    theta = refit_many(design, Y).theta
    many = many_satterthwaite(design, stats, Y, theta, REML=True)
    p, df = many.p_values(L), many.row_df(L)
    for j, y in enumerate(Y.T):
        own = design.with_response(np.ascontiguousarray(y))
        fitted = Fitted(design=own, solution=results_at(own, theta[j], REML=True), REML=True)
        method = df_method(fitted, "satterthwaite")
        assert p[j] == pytest.approx(joint_test(method, L).p_value, rel=1e-7)
        np.testing.assert_allclose(df[j], method.rows(L), rtol=1e-7)


@pytest.mark.parametrize(("seed", "lowest"), [(36, "inside"), (145, "zero")])
def test_the_lower_of_two_optima(seed: int, lowest: str) -> None:
    rng = np.random.default_rng(seed)
    data = {"g": np.append(np.arange(6), rng.integers(0, 6, 6))}
    data |= {"a": rng.normal(size=12), "b": rng.normal(size=12), "y": rng.standard_t(2, size=12)}
    design = nm.Model("y ~ a + b + (1 | g)", pd.DataFrame(data)).design
    found = refit_many(design, design.y[:, None], REML=False)
    grid = np.append(0.0, np.geomspace(0.02, 50.0, 80))
    values = [results_at(design, np.array([t]), REML=False).deviance for t in grid]
    inner = np.flatnonzero((np.diff(values)[:-1] < 0) & (np.diff(values)[1:] > 0))
    assert values[0] < values[1] and len(inner) == 1
    assert (values[0] < values[inner[0] + 1]) == (lowest == "zero")
    assert min(values) - 0.01 < found.criterion[0] <= min(values) + 1e-9


def test_models_with_more_than_one_variance_go_the_other_way() -> None:
    sleepstudy = nm.load_dataset("sleepstudy")
    for formula in ("Reaction ~ Days + (Days | Subject)", "Reaction ~ 1 + (Days || Subject)"):
        design = nm.Model(formula, sleepstudy).design
        stats = cross_products(design)
        assert not has_one_variance(make_plan(design, stats), stats)
        assert batch_seconds(design, stats, 100) > 0.0
