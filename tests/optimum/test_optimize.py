"""The optimizer: the true optimum, its certificate, and the identities fits must satisfy."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import nestedmlm as nm
from nestedmlm.covariance import TermShape
from nestedmlm.covariance.table import UNSTRUCTURED
from nestedmlm.design.build import build_design
from nestedmlm.likelihood.plan import Plan, flat_factors, make_plan, phi_of_theta, start_phi
from nestedmlm.likelihood.solution import results_at
from nestedmlm.optimum.certificate import Certificate
from nestedmlm.optimum.control import Control
from nestedmlm.optimum.curvature import curvature, second_derivatives
from nestedmlm.optimum.evaluation import evaluate
from nestedmlm.optimum.objective import ROUTES, lower_bounds
from nestedmlm.optimum.optimize import optimize
from nestedmlm.optimum.quadratic import trust_step
from nestedmlm.optimum.trust_region import attempt
from nestedmlm.optimum.zeros import zero_candidates
from nestedmlm.statistics.crossproducts import cross_products
from nestedmlm.statistics.parts import twice_products
from tests.designs import FORMULAS, data, design


@pytest.mark.parametrize("kind", list(FORMULAS))
def test_certified_and_no_better_point_nearby(kind: str) -> None:
    d = design(kind)
    stats = cross_products(d)
    plan = make_plan(d, stats)
    optimum = optimize(plan, stats, REML=True)
    assert optimum.certificate.holds, optimum.certificate
    phi = optimum.evaluation.phi
    rng = np.random.default_rng(0)
    for size in (1e-3, 1e-2, 0.1, 1.0):
        for _ in range(5):
            near = phi + size * rng.normal(size=len(phi))
            if (lower := lower_bounds(plan)) is not None:
                near = np.where(np.isfinite(lower), np.abs(near), near)
            other = evaluate(near, plan, stats, True)
            assert other.criterion >= optimum.evaluation.criterion - 1e-7


@pytest.mark.parametrize("start", [(1e-3, 0.0, 1e-3), (5.0, -4.0, 0.1), (0.0, 0.0, 0.0)])
def test_result_does_not_depend_on_the_start(start: tuple[float, ...]) -> None:
    sleepstudy = nm.load_dataset("sleepstudy")
    fit = nm.lmer("Reaction ~ Days + (Days | Subject)", sleepstudy, start=np.array(start))
    assert fit.converged
    assert fit.criterion == pytest.approx(1743.62827195849, abs=1e-6)


def test_average_information_plus_M_is_the_hessian_for_balanced_data() -> None:
    # reference: MixedModels.jl's finite differences of the ML deviance of sleepstudy
    sleepstudy = nm.load_dataset("sleepstudy")
    fit = nm.lmer("Reaction ~ Days + (Days | Subject)", sleepstudy, REML=False)
    d = fit.design
    stats = cross_products(d)
    plan = make_plan(d, stats)
    optimum = optimize(plan, stats, REML=False)
    ev = optimum.evaluation
    H = curvature(ev, plan, stats, float(stats.n)).hessian
    step = 1e-5
    numeric = np.array(
        [
            (
                evaluate(ev.phi + e, plan, stats, False).gradient
                - evaluate(ev.phi - e, plan, stats, False).gradient
            )
            / (2 * step)
            for e in np.eye(plan.n_theta) * step
        ]
    )
    assert pytest.approx(numeric, rel=1e-4, abs=1e-3) == H


def test_units_of_a_slope_change_nothing_but_units() -> None:
    sleepstudy = nm.load_dataset("sleepstudy")
    base = nm.lmer("Reaction ~ Days + (Days | Subject)", sleepstudy)
    for factor in (1e-9, 1e6, 1e9):
        scaled = sleepstudy.assign(Days=sleepstudy.Days * factor)
        fit = nm.lmer("Reaction ~ Days + (Days | Subject)", scaled)
        assert fit.converged and not fit.is_singular()
        shift = 2.0 * np.log(factor)
        assert fit.criterion - shift == pytest.approx(base.criterion, abs=1e-7)
        sds = fit.varcorr().to_frame().estimate.to_numpy()
        expected = base.varcorr().to_frame().estimate.to_numpy() * [1.0, 1.0 / factor, 1.0, 1.0]
        assert sds == pytest.approx(expected, rel=1e-6)


def test_shifted_slope_variable_is_only_a_recoding() -> None:
    sleepstudy = nm.load_dataset("sleepstudy")
    base = nm.lmer("Reaction ~ Days + (Days | Subject)", sleepstudy)
    fit = nm.lmer(
        "Reaction ~ year + (year | Subject)", sleepstudy.assign(year=sleepstudy.Days + 2000.0)
    )
    assert fit.converged and not fit.is_singular()
    assert fit.criterion == pytest.approx(base.criterion, abs=1e-6)
    assert fit.fittedvalues.to_numpy() == pytest.approx(base.fittedvalues.to_numpy(), rel=1e-7)


def test_shift_of_the_response_moves_only_the_intercept() -> None:
    sleepstudy = nm.load_dataset("sleepstudy")
    base = nm.lmer("Reaction ~ Days + (Days | Subject)", sleepstudy)
    fit = nm.lmer(
        "Reaction ~ Days + (Days | Subject)", sleepstudy.assign(Reaction=sleepstudy.Reaction + 1e8)
    )
    assert fit.converged
    assert fit.criterion == pytest.approx(base.criterion, abs=1e-5)
    assert fit.theta == pytest.approx(base.theta, rel=1e-6)


EQUAL = {
    "slash is a + a:b": ("y ~ x + (1 | f2/f1)", "y ~ x + (1 | f2) + (1 | f2:f1)"),
    "unique ids": ("y ~ x + (1 | f2/f1)", "y ~ x + (1 | f1) + (1 | f2)"),
    "double bar": ("y ~ x + (x || f1)", "y ~ x + (1 | f1) + (0 + x | f1)"),
    "cs of two is us": ("y ~ x + cs(x | f1)", "y ~ x + (x | f1)"),
    "homogeneous cs is nested intercepts": (
        "y ~ a + cs(0 + a | f2, hom = TRUE)",
        "y ~ a + (1 | f2/a)",
    ),
    "cell means": ("y ~ a + (a | f2)", "y ~ a + (0 + a | f2)"),
}


@pytest.mark.parametrize("first, second", EQUAL.values(), ids=list(EQUAL))
def test_equal_formulas_give_equal_fits(first: str, second: str) -> None:
    rows = data(seed=4)
    one, two = nm.lmer(first, rows), nm.lmer(second, rows)
    assert one.criterion == pytest.approx(two.criterion, abs=1e-7)
    assert one.params.to_numpy() == pytest.approx(two.params.to_numpy(), rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("kind", ["nested chain of three", "nested within crossed"])
def test_permuted_rows_and_relabelled_levels(kind: str) -> None:
    rows = data()
    base = nm.lmer(FORMULAS[kind], rows)
    mixed = rows.sample(frac=1.0, random_state=3)
    for f in ("f1", "f2", "f3", "c1", "c2"):
        mixed[f] = "level " + (mixed[f] * 37 % 101).astype(str)
    fit = nm.lmer(FORMULAS[kind], mixed)
    assert fit.criterion == pytest.approx(base.criterion, abs=1e-8)
    assert fit.fittedvalues.sort_index().to_numpy() == pytest.approx(
        base.fittedvalues.to_numpy(), rel=1e-5
    )


def test_duplicated_rows_are_doubled_weights() -> None:
    # at one theta everything but n and the weights' logarithms is the same
    rows = data()
    twice = nm.Model("y ~ x + (x | f1)", pd.concat([rows, rows], ignore_index=True))
    weighted = nm.Model("y ~ x + (x | f1)", rows.assign(w=2.0), weights="w")
    theta = np.array([0.7, 0.2, 0.3])
    one, two = results_at(twice.design, theta), results_at(weighted.design, theta)
    assert one.state.logdet == pytest.approx(two.state.logdet, rel=1e-10)
    assert one.pwrss == pytest.approx(two.pwrss, rel=1e-10)
    assert one.beta == pytest.approx(two.beta, rel=1e-8)
    assert one.b[0] == pytest.approx(two.b[0], abs=1e-8)


def test_constant_weights_change_only_sigma() -> None:
    rows = data()
    base = nm.lmer("y ~ x + (x | f1)", rows)
    fit = nm.lmer("y ~ x + (x | f1)", rows, weights=np.full(len(rows), 5.0))
    assert fit.criterion == pytest.approx(base.criterion, abs=1e-7)
    assert fit.sigma == pytest.approx(base.sigma * np.sqrt(5.0), rel=1e-6)


def test_giving_up_is_said() -> None:
    sleepstudy = nm.load_dataset("sleepstudy")
    with pytest.warns(nm.ConvergenceWarning, match="used all its evaluations"):
        fit = nm.lmer(
            "Reaction ~ Days + (Days | Subject)", sleepstudy, control=Control(max_evaluations=2)
        )
    assert not fit.converged


def test_trust_step_against_brute_force() -> None:
    rng = np.random.default_rng(5)
    for _ in range(20):
        values = np.sort(rng.normal(size=2) * 3)
        g = rng.normal(size=2)
        radius = 10.0 ** rng.uniform(-4.0, 1.0)
        step, promised = trust_step(values, g, radius)
        assert np.linalg.norm(step) <= radius * (1 + 1e-5)
        angles = np.linspace(0, 2 * np.pi, 400)
        grid = np.concatenate(
            [r * np.column_stack([np.cos(angles), np.sin(angles)]) for r in
             np.linspace(0, radius, 60)]
        )  # fmt: skip
        best = np.min(grid @ g + 0.5 * (grid**2) @ values)
        assert -promised <= best + 1e-3 * abs(best)


def test_a_huge_gradient_is_followed() -> None:
    """Its square overflows: the step was none, and NumPy warned."""
    with np.errstate(over="ignore"):  # as `minimize` calls it
        step, promised = trust_step(np.array([1.0, 2.0]), np.array([-3e200, 4e200]), 0.5)
    np.testing.assert_allclose(step, [0.3, -0.4], rtol=1e-6)
    assert promised == pytest.approx(2.5e200)


def test_hard_case_moves_along_the_lowest_eigenvector() -> None:
    step, promised = trust_step(np.array([-1.0, 2.0]), np.array([0.0, 0.1]), 0.5)
    assert np.linalg.norm(step) == pytest.approx(0.5)
    assert abs(step[0]) > 0.4
    assert promised > 0.1


def test_heterogeneous_structures_keep_positive_standard_deviations() -> None:
    # one condition runs against the two others: the best common correlation has to respect that
    # all standard deviations are positive
    rng = np.random.default_rng(8)
    u = rng.normal(size=(40, 1)) * [2.0, 1.5, -1.8] + rng.normal(size=(40, 3)) * 0.3
    rows = pd.DataFrame(
        {
            "g": np.repeat(np.arange(40), 9),
            "f": np.tile(np.repeat(list("abc"), 3), 40),
            "y": np.repeat(u.ravel(), 3) + rng.normal(size=360),
        }
    )
    fit = nm.lmer("y ~ f + cs(0 + f | g)", rows)
    sds, rho = fit.theta[:-1], fit.theta[-1]
    assert fit.converged
    assert np.all(sds >= 0) and -0.5 <= rho <= 1.0
    d, stats = fit.design, cross_products(fit.design)
    plan = make_plan(d, stats)
    for theta in ([1.0, 1.0, 1.0, 0.0], [2.0, 1.5, 0.1, 0.9], [1.0, 0.2, 1.0, -0.4]):
        other = evaluate(phi_of_theta(np.array(theta), plan, stats), plan, stats, True)
        assert fit.criterion <= other.criterion
    us = nm.lmer("y ~ f + (0 + f | g)", rows)
    assert us.criterion < fit.criterion


def test_a_factor_that_the_fixed_effects_span_is_no_trap() -> None:
    # its REML criterion is flat: slope and curvature of its variance are rounding
    sleepstudy = nm.load_dataset("sleepstudy")
    third = pd.Categorical(sleepstudy["Subject"].cat.codes % 3)
    rows = sleepstudy.assign(cond=third.rename_categories(list("abc")), g=third)
    for formula in ("Reaction ~ cond + (1 | g)", "Reaction ~ cond + (cond || Subject) + (1 | g)"):
        fit = nm.lmer(formula, rows)
        assert fit.converged
        assert np.isfinite(fit.criterion)


def certificate_of(formula: str, rows: pd.DataFrame, **options: object) -> Certificate:
    d = build_design(formula, rows)
    stats = cross_products(d)
    return optimize(make_plan(d, stats), stats, REML=True, **options).certificate


def test_certificate_says_what_was_asked_and_done() -> None:
    sleepstudy = nm.load_dataset("sleepstudy")
    control = Control(tolerance=1e-9)
    start = np.array([2.0, 0.1, 0.5])
    found = certificate_of(
        "Reaction ~ Days + (Days | Subject)", sleepstudy, control=control, start=start
    )
    assert found.control is control
    assert found.start == pytest.approx(start)
    assert found.route in ROUTES
    assert (found.escapes, found.snaps) == (0, 0)
    assert len(found.path) <= found.evaluations
    assert np.all(np.diff(found.path) <= 0.0)
    assert found.path[-1] == pytest.approx(1743.62827195849, abs=1e-6)


def test_certificate_counts_exact_zeros() -> None:
    found = certificate_of("Yield ~ 1 + (1 | Batch)", nm.load_dataset("Dyestuff2"))
    assert (found.escapes, found.snaps) == (0, 1)
    assert found.path[-1] <= found.path[-2] + 1e-9


def test_certificate_counts_escapes() -> None:
    # a zero column has zero gradient, and so large a tolerance stops the descent right there
    d = build_design("Reaction ~ Days + (Days | Subject)", nm.load_dataset("sleepstudy"))
    stats = cross_products(d)
    plan = make_plan(d, stats)
    trapped = phi_of_theta(np.array([1.0, 0.0, 0.0]), plan, stats)
    control = Control(tolerance=1e6)
    found = optimize(plan, stats, REML=True, phi=trapped, control=control).certificate
    assert found.escapes >= 1
    assert found.path[-1] < found.path[0]


def test_standard_deviations_stop_at_zero() -> None:
    # without a bound the descent ends at standard deviations of both signs
    rng = np.random.default_rng(10)
    g, t = np.repeat(np.arange(12), 6), np.tile(np.arange(3), 24)
    u = rng.normal(size=(12, 1)) * [2.0, 2.0, -2.0] + rng.normal(size=(12, 3)) * 0.5
    rows = pd.DataFrame({"y": u[g, t] + rng.normal(size=72), "t": t.astype(str), "g": g})
    found = certificate_of("y ~ 1 + cs(0 + t | g)", rows)
    assert found.holds and found.starts > 3
    assert found.gradient < 1e-4  # of what the bound leaves free


def test_zeros_are_tried_together_and_one_at_a_time() -> None:
    plan = Plan((TermShape(structure=UNSTRUCTURED, hom=False, k=1),) * 3, ((0, 1, 2),))
    found = zero_candidates(np.array([1e-3, 2e-3, 0.7, 5.0]), plan, 1e-2)
    expected = [[0.0, 0.0, 0.7, 5.0], [0.0, 2e-3, 0.7, 5.0], [1e-3, 0.0, 0.7, 5.0]]
    assert [point.tolist() for point in found] == expected
    assert [p.tolist() for p in zero_candidates(np.array([0.5, 2e-3, 0.7]), plan, 1e-2)] == [
        [0.5, 0.0, 0.7]
    ]
    assert zero_candidates(np.array([0.5, 0.6, 0.7]), plan, 1e-2) == []


def test_a_step_to_where_there_is_no_criterion_is_rejected() -> None:
    """Residual squares of zero there: a division by zero is no reason to give up the fit."""

    def nowhere(point: np.ndarray) -> None:
        raise ZeroDivisionError

    assert attempt(nowhere, np.zeros(1)) is None


@pytest.mark.parametrize("kind", ["compound symmetry", "autoregressive"])
def test_factors_that_are_not_linear_in_phi_add_their_own_curvature(kind: str) -> None:
    d = design(kind)
    stats = cross_products(d)
    plan = make_plan(d, stats)
    ev = evaluate(start_phi(plan) + 0.1, plan, stats, True)
    weights, h = twice_products(ev.M, ev.T, stats.parts), 1e-4

    def change(a: np.ndarray, b: np.ndarray) -> float:
        ends = [s * a + t * b for s, t in ((1, 1), (1, -1), (-1, 1), (-1, -1))]
        at = [weights @ flat_factors(np, ev.phi + e, plan) for e in ends]
        return (at[0] - at[1] - at[2] + at[3]) / (4.0 * h**2)

    steps = h * np.eye(plan.n_theta)
    expected = np.array([[change(a, b) for b in steps] for a in steps])
    assert np.abs(expected).max() > 1.0
    scale = 1e-5 * np.abs(expected).max()
    np.testing.assert_allclose(second_derivatives(ev, plan, stats), expected, atol=scale)


def test_tiny_fits_start_at_large_variances_too() -> None:
    """Ten slopes and thirteen rows: the usual start leads 2.3 above."""
    rows = pd.DataFrame({
        "y": [-1.56, 0.93, -0.03, 0.35, -0.98, 0.32, 0.35, 1.76, -1.82, 0.55, 0.03, 0.63, -0.53],
        "x": [0.88, 0.33, 0.35, 0.27, -0.92, -1.92, 0.97, -0.15, 0.69, 1.22, -1.82, -0.22, 0.32],
        "z": [0.11, 0.29, -1.0, 0.61, 0.68, 0.75, 1.31, -1.71, 0.06, -0.61, -1.33, -0.67, 1.51],
        "w": [1.06, 1.08, 0.44, 0.35, 0.45, 1.59, 0.95, 1.19, 1.02, 1.04, 1.06, 1.24, 1.54],
        "arm": list("vvvuuvvuvvuuu"), "t": list("1322323112110"), "g": list("0101010101010"),
        "h": list("0110011100010"),
    })  # fmt: skip
    fit = nm.lmer("y ~ z + arm + t + (1 + x + z + arm | g) + (1 | h)", rows, weights="w",
                  REML=False)  # fmt: skip
    assert fit.converged and fit.criterion == pytest.approx(15.37144, abs=1e-4)
