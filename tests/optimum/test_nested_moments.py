"""The start from moments of nested factors: the equations multiplied out, and a shorter way."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import nestedmlm as nm
from nestedmlm.design.build import build_design
from nestedmlm.likelihood.plan import make_plan, start_phi, theta_of_phi
from nestedmlm.optimum import nested_moments, starts
from nestedmlm.statistics.crossproducts import cross_products

BOTH = "y ~ x + (x | school) + (x | room)"
FORMULAS = (BOTH, "y ~ x + (x || school) + (1 | room)", "y ~ 1 + (1 | room)")


@pytest.fixture(scope="module")
def pupils() -> pd.DataFrame:
    rng = np.random.default_rng(3)
    room = np.repeat(np.arange(300), rng.integers(3, 8, 300))
    school, n = room // 6, len(room)
    effects = [rng.normal(size=(J, 2)) @ [[0.9, 0.2], [0.0, 0.6]] for J in (50, 300)]
    x = rng.normal(size=n)
    y = 2.0 + x + rng.normal(size=n)
    for group, own in zip((school, room), effects, strict=True):
        y += own[group, 0] + own[group, 1] * x
    return pd.DataFrame({"y": y, "x": x, "school": school, "room": room, "w": rng.uniform(1, 3, n)})


def multiplied_out(design) -> list[np.ndarray]:
    """Relative covariances of each term of intercepts and slopes, from matrices of all rows."""
    rows, w = design.rows, design.weights
    root = np.ones(design.n) if w is None else np.sqrt(w)
    X, y = root[:, None] * rows.X, root * rows.y
    r = y - X @ np.linalg.lstsq(X, y)[0]
    squares = []
    for term in design.terms:
        groups = np.eye(len(design.factors[term.factor].levels))[rows.codes[term.factor]]
        Z = [root[:, None] * groups * z[:, None] for z in term.X.T]
        squares += [0.5 * (a @ b.T + b @ a.T) for a in Z for b in Z]
    squares.append(np.eye(design.n))
    A = np.array([[np.vdot(one, other) for one in squares] for other in squares])
    A[-1, -1] -= design.p
    *found, residual = np.linalg.lstsq(A, [r @ one @ r for one in squares])[0]
    sizes = [term.X.shape[1] for term in design.terms]
    cuts = np.cumsum([k * k for k in sizes])[:-1]
    return [
        block.reshape(k, k) / residual
        for block, k in zip(np.split(np.array(found), cuts), sizes, strict=True)
    ]


@pytest.mark.parametrize("weights", [None, "w"])
def test_equations_multiplied_out(pupils, weights, monkeypatch) -> None:
    monkeypatch.setattr(nested_moments, "MANY_LEVELS", 0)
    design = build_design(BOTH, pupils, weights=weights)
    stats = cross_products(design)
    plan = make_plan(design, stats)
    theta = theta_of_phi(starts.starting_point(plan, stats, None), plan, stats)
    for own, expected in zip(np.split(theta, 2), multiplied_out(design), strict=True):
        T = np.array([[own[0], 0.0], own[1:]])
        np.testing.assert_allclose(T @ T.T, expected, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("formula", FORMULAS)
@pytest.mark.parametrize("REML", [True, False])
def test_the_optimum_is_the_same_and_nearer(pupils, formula, REML, monkeypatch) -> None:
    far = nm.lmer(formula, pupils, REML=REML)
    monkeypatch.setattr(nested_moments, "MANY_LEVELS", 0)
    near = nm.lmer(formula, pupils, REML=REML)
    assert near.criterion == pytest.approx(far.criterion, abs=1e-9)
    assert near.converged
    assert near.certificate.evaluations < far.certificate.evaluations


@pytest.mark.parametrize("formula", FORMULAS)
@pytest.mark.parametrize("response", ["noise", "nothing is left", "groups explain all"])
def test_variances_of_nothing_are_no_trap(pupils, formula, response, monkeypatch) -> None:
    """Moments below zero, or beside no residual variance: started off the edges."""
    rng = np.random.default_rng(1)
    y = {
        "noise": rng.normal(size=len(pupils)),
        "nothing is left": pupils.room % 7 + pupils.x * (pupils.room % 5) + 0.0,
        "groups explain all": pupils.room % 7 + 1e-4 * rng.normal(size=len(pupils)),
    }[response]
    data = pupils.assign(y=y)
    design = build_design(formula, data)
    stats = cross_products(design)
    plan = make_plan(design, stats)
    monkeypatch.setattr(nested_moments, "MANY_LEVELS", 0)
    start = starts.starting_point(plan, stats, None)
    assert np.isfinite(start).all()
    assert np.abs(start).max() <= nested_moments.MOST
    if response == "noise":
        far = start_phi(plan)
        assert np.abs(start).max() < np.abs(far).max()
        near = nm.lmer(formula, data)
        monkeypatch.undo()
        assert near.criterion == pytest.approx(nm.lmer(formula, data).criterion, abs=1e-8)


def test_models_of_few_levels_and_of_other_structures_start_as_ever(pupils, monkeypatch) -> None:
    design = build_design(BOTH, pupils)
    stats = cross_products(design)
    plan = make_plan(design, stats)
    np.testing.assert_array_equal(starts.starting_point(plan, stats, None), start_phi(plan))
    monkeypatch.setattr(nested_moments, "MANY_LEVELS", 0)
    design = build_design("y ~ x + cs(x | room)", pupils)
    stats = cross_products(design)
    plan = make_plan(design, stats)
    assert nested_moments.start_of_nested_moments(plan, stats) is None
