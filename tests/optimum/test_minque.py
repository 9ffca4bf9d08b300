"""The start from moments: the equations multiplied out, and a shorter way to the same optimum."""

from __future__ import annotations

from functools import partial

import numpy as np
import pandas as pd
import pytest

import nestedmlm as nm
from nestedmlm.design.build import build_design
from nestedmlm.likelihood.plan import make_plan, start_phi
from nestedmlm.optimum import minque, starts
from nestedmlm.statistics.crossproducts import cross_products

FORMULAS = (
    "y ~ x + (1 | a) + (1 | b)",
    "y ~ x + (1 | a) + (1 | school) + (1 | b)",  # a within school
    "y ~ 1 + (1 | a) + (1 | b) + (1 | c)",
)


@pytest.fixture(scope="module")
def ratings() -> pd.DataFrame:
    rng = np.random.default_rng(3)
    n = 600
    a, b, c = rng.integers(0, 40, n), rng.integers(0, 25, n), rng.integers(0, 8, n)
    effects = [s * rng.normal(size=40)[g] for s, g in ((0.7, a), (1.2, b), (0.5, c))]
    x = rng.normal(size=n)
    y = 2.0 + x + sum(effects) + rng.normal(size=n)
    return pd.DataFrame({"y": y, "x": x, "a": a, "school": a // 5, "b": b, "c": c})


def multiplied_out(design, stats) -> dict[int, float]:
    """Relative standard deviations by factor of the design."""
    X, y, factors = design.rows.X, design.rows.y, range(len(design.factors))
    P = np.eye(len(y)) - X @ np.linalg.pinv(X)
    Z = [np.eye(len(design.factors[f].levels))[design.rows.codes[f]] for f in factors]
    squares = [P, *(P @ z @ z.T @ P for z in Z)]
    A = np.array([[np.vdot(one, other) for one in squares] for other in squares])
    residual, *rest = np.linalg.solve(A, [y @ P @ y, *(np.sum((z.T @ P @ y) ** 2) for z in Z)])
    return {f: float(np.sqrt(max(v / residual, 0.0))) for f, v in enumerate(rest)}


@pytest.mark.parametrize("formula", FORMULAS)
def test_equations_are_those_of_minque(ratings, formula, monkeypatch) -> None:
    monkeypatch.setattr(minque, "LARGE_COLUMNS", 0)
    design = build_design(formula, ratings)
    stats = cross_products(design)
    plan = make_plan(design, stats)
    found = minque.start_of_moments(plan, stats)
    ours = dict(zip([t.factor for t in design.terms], found, strict=True))
    for factor, expected in multiplied_out(design, stats).items():
        assert ours[factor] == pytest.approx(max(expected, minque.LEAST), rel=1e-8)


def test_the_optimum_is_the_same_and_nearer(ratings, monkeypatch) -> None:
    fit = partial(nm.lmer, FORMULAS[2], ratings)
    far = fit()
    monkeypatch.setattr(minque, "LARGE_COLUMNS", 0)
    near = fit()
    assert near.criterion == pytest.approx(far.criterion, abs=1e-8)
    assert near.certificate.evaluations < far.certificate.evaluations


@pytest.mark.parametrize("formula", ["y ~ x + (x | a) + (1 | b)", "y ~ x + (1 | a) + (1 | school)"])
def test_other_models_start_as_ever(ratings, formula, monkeypatch) -> None:
    monkeypatch.setattr(minque, "LARGE_COLUMNS", 0)
    design = build_design(formula, ratings)
    stats = cross_products(design)
    plan = make_plan(design, stats)
    assert minque.start_of_moments(plan, stats) is None
    np.testing.assert_array_equal(starts.starting_point(plan, stats, None), start_phi(plan))


def test_no_residual_variance_is_no_trap(ratings, monkeypatch) -> None:
    """A response that the groups explain exactly has no residual variance to divide by."""
    monkeypatch.setattr(minque, "LARGE_COLUMNS", 0)
    exact = ratings.assign(y=ratings["a"] % 7 + ratings["b"] % 3 + 0.0)
    design = build_design("y ~ 1 + (1 | a) + (1 | b)", exact)
    stats = cross_products(design)
    found = minque.start_of_moments(make_plan(design, stats), stats)
    assert np.all((found >= minque.LEAST) & (found <= minque.MOST))
