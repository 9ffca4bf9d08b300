"""Other right-hand sides of an elimination, and modes moved to first order."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from glmm_designs import FORMS, GIVEN, made

from nestedmlm.families.row_terms import rows
from nestedmlm.likelihood.elimination import solve, solve_combination
from nestedmlm.likelihood.glmm.glmm_model import make_model
from nestedmlm.likelihood.glmm.laplace import laplace
from nestedmlm.likelihood.glmm.modes import find_modes
from nestedmlm.likelihood.glmm.warm_start import WarmStart
from nestedmlm.likelihood.plan import flat_factors, start_phi


def approximated(form):
    design, family, dispersion, level = made(form, "binomial", "logit", given=GIVEN[-1])
    model = make_model(design, family)
    T = flat_factors(np, 0.3 * start_phi(model.plan), model.plan)
    gamma = model.products.empty.R_x @ np.array([level, 0.1])
    modes = find_modes(model, T, gamma, dispersion)
    return model, T, gamma, dispersion, laplace(model, T, modes)


@pytest.mark.parametrize("form", FORMS)
def test_other_right_hand_sides_are_solved_as_those_of_the_elimination(form):
    model, T, _, _, at = approximated(form)
    w, X = at.modes.rows.h, model.products.X
    _, B = solve(at.stats, at.state)
    for j in range(2):
        other = model.solve_other(T, (at.stats, at.state), w, model.products.Zt @ (w * X[:, j]))
        np.testing.assert_allclose(other, B[:, j], rtol=1e-8, atol=1e-9)
    v = np.array([0.7, -1.3])
    combined = solve_combination(at.stats, at.state, v)
    np.testing.assert_allclose(combined, B[:, :2] @ v, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("form", ["slopes", "nested", "crossed"])
def test_modes_are_moved_to_first_order(form):
    model, T, gamma, dispersion, at = approximated(form)
    errors = []
    for size in (1e-2, 5e-3):
        moved = gamma + size * np.array([1.0, -2.0]) * np.sqrt(len(model.y)) / 10.0
        B = find_modes(model, T, moved, dispersion).B
        errors.append(np.linalg.norm(WarmStart.of(at).near(moved) - B))
        assert errors[-1] < 0.1 * np.linalg.norm(B - at.modes.B)
    assert 3.5 < errors[0] / errors[1] < 4.5  # of second order


def test_both_sides_of_a_point_lie_opposite():
    _, _, gamma, _, at = approximated("crossed")
    begin = WarmStart.of(at)
    there = begin.opposite(begin.B + 1.0, gamma)
    np.testing.assert_allclose(there.near(gamma), begin.B - 1.0, rtol=1e-12)


def test_many_rows_have_the_terms_of_few():
    design, family, _, _ = made("intercept", "poisson", "sqrt", given=GIVEN[-1])
    model = make_model(design, family)
    times = 20_000 // design.n
    y, weights = np.tile(model.y, times), np.tile(model.weights, times)
    many = replace(model, y=y, weights=weights)
    eta = np.linspace(0.5, 2.0, len(y))
    for found, expected in zip(many.rows(eta, 1.0), rows(family, eta, y, weights), strict=True):
        np.testing.assert_array_equal(found, expected)
