"""Residuals that differ or correlate: the criterion at a given point against its dense twin.

For each structure beside no, one, two nested and crossed grouping factors, by REML and ML, with and
without weights, in both storages of the sums: value, gradient and Hessian.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from nestedmlm.covariance import relative_factors
from nestedmlm.design.build import build_design
from nestedmlm.likelihood.elimination.speed import Speed, held
from nestedmlm.likelihood.plan import flat_factors, make_plan, phi_of_theta, theta_of_phi
from nestedmlm.likelihood.pls import dense_z
from nestedmlm.likelihood.solution import results_at
from nestedmlm.optimum.residual_objective import ResidualObjective
from nestedmlm.statistics.pair_sums import pair_sums

STRUCTURES = {
    "strata": {"dispersion": "~ f"},
    "rows": {"dispersion": "~ x"},
    "ar1": {"residual": "ar1(t | g)"},
    "car1": {"residual": "car1(u | g)"},
    "cs": {"residual": "cs(1 | g)"},
    "us": {"residual": "us(v | g)"},
    "toep": {"residual": "toep(v | g, hom=False)"},
    "ad1": {"residual": "ad1(v | g)"},
    "us by": {"residual": "us(v | g, by=arm)"},
    "ar1 strata": {"residual": "ar1(t | g)", "dispersion": "~ f"},
    "car1 rows": {"residual": "car1(u | g)", "dispersion": "~ x"},
    "ar1 by": {"residual": "ar1(t | g, by=arm)"},
}
RANDOM = {
    "none": "",
    "one": " + (x | g)",
    "nested": " + (1 | h) + (x | g)",
    "crossed": " + (1 | h) + (x | g) + (1 | item)",
    "above": " + (x | h)",
    "above and crossed": " + (1 | h) + (1 | item)",
}
# an unstructured matrix contains any random effect of its blocks, cs the intercept
ABOVE = ("none", "above", "above and crossed")
CASES = [
    (structure, random)
    for structure in STRUCTURES
    for random in (ABOVE if structure in ("us", "us by", "cs") else RANDOM)
]


def table(n_groups: int = 18, k: int = 4) -> pd.DataFrame:
    """Groups in larger ones, some visits missing, an item that crosses them."""
    rng = np.random.default_rng(5)
    g, t = np.repeat(np.arange(n_groups), k), np.tile(np.arange(k), n_groups)
    d = pd.DataFrame({"g": g, "t": t, "v": [f"v{i}" for i in t], "h": g // 4, "arm": g % 2})
    d["arm"] = np.array(["a", "b"])[d.arm]
    d["u"] = d.t * 0.7 + 0.1 * d.g % 0.3 * d.t
    d["x"] = rng.normal(size=len(d))
    d["f"] = np.array(["p", "q", "r"])[rng.integers(0, 3, len(d))]
    d["item"] = rng.integers(0, 5, len(d))
    d["w"] = rng.uniform(0.5, 2.0, len(d))
    d["y"] = d.x + rng.normal(size=n_groups)[g] + rng.normal(size=len(d))
    return d[rng.uniform(size=len(d)) > 0.12].sample(frac=1.0, random_state=1)


def dense_criterion(design, objective, point, REML: bool) -> float:
    """-2 (restricted) log-likelihood by n x n matrices: R from its definition, not its inverse."""
    sums, plan = objective.sums, objective.plan
    n, p = design.X.shape
    phi, free = point[: plan.n_theta], point[plan.n_theta :]
    V = np.zeros((n, n))
    for rows, R in sums.model.matrices(free):
        V[rows[:, :, None], rows[:, None, :]] = R
    w = np.ones(n) if design.weights is None else design.weights
    V /= np.sqrt(np.outer(w, w))
    theta = theta_of_phi(phi, plan, sums.base)
    for Z, T in zip(dense_z(design), relative_factors(theta, plan.shapes), strict=True):
        ZL = Z @ np.kron(np.eye(Z.shape[1] // len(T)), T)
        V += ZL @ ZL.T
    C = np.linalg.cholesky(V)
    X, y = np.linalg.solve(C, design.X), np.linalg.solve(C, design.y)
    beta = np.linalg.lstsq(X, y, rcond=None)[0]
    r2, df = float(np.sum((y - X @ beta) ** 2)), n - p if REML else n
    out = 2.0 * np.log(np.diag(C)).sum() + df * (1.0 + np.log(2.0 * np.pi * r2 / df))
    return float(out + (np.linalg.slogdet(X.T @ X)[1] if REML else 0.0))


def objective_of(structure: str, random: str, *, REML: bool, weighted: bool, stored: bool):
    design = build_design(
        f"y ~ x + t{RANDOM[random]}", table(), weights="w" if weighted else None, check=False,
        **STRUCTURES[structure],
    )  # fmt: skip
    sums = pair_sums(design, stored=stored)
    objective = ResidualObjective(plan=make_plan(design, sums.base), sums=sums, REML=REML)
    rng = np.random.default_rng(3)
    n = objective.plan.n_theta
    phi = 0.7 + 0.2 * rng.normal(size=n)
    start = sums.model.start
    return design, objective, np.concatenate([phi, start + 0.15 * rng.normal(size=len(start))])


def differences(function, x, h):
    return np.array([(function(x + h * e) - function(x - h * e)) / (2 * h) for e in np.eye(len(x))])


@pytest.mark.parametrize(("structure", "random"), CASES)
def test_value_gradient_and_hessian(structure, random):
    for number, (REML, weighted) in enumerate(((True, True), (False, False))):
        design, objective, point = objective_of(
            structure, random, REML=REML, weighted=weighted, stored=bool(number % 2)
        )
        here = objective.at(point)

        def dense(x, design=design, objective=objective, REML=REML):
            return dense_criterion(design, objective, x, REML)

        assert here.value == pytest.approx(dense(point), rel=1e-11)
        slope = differences(dense, point, 1e-5)
        np.testing.assert_allclose(here.gradient, slope, atol=2e-6 * (1 + np.abs(slope).max()))
        found = here.second_order
        H = differences(lambda x, o=objective: o.at(x).gradient, point, 1e-4)
        np.testing.assert_allclose(found.hessian, H, atol=1e-5 * np.abs(H).max())
        if random == "none":
            np.testing.assert_allclose(here.hessian, H, atol=1e-5 * np.abs(H).max())
        S = differences(lambda x, o=objective: o.at(x).evaluation.state.S, point, 1e-4)
        np.testing.assert_allclose(found.S_dot, S, atol=1e-5 * np.abs(S).max())


@pytest.mark.parametrize("random", ["one", "crossed"])
@pytest.mark.parametrize("structure", ["strata", "ar1", "car1 rows"])
def test_storages_agree(structure, random):
    how = {"REML": True, "weighted": True}
    _, stored, point = objective_of(structure, random, stored=True, **how)
    _, by_rows, _ = objective_of(structure, random, stored=False, **how)
    assert stored.sums.B is not None
    assert by_rows.sums.B is None
    one, other = stored.at(point), by_rows.at(point)
    assert one.value == pytest.approx(other.value, rel=1e-13)
    np.testing.assert_allclose(one.gradient, other.gradient, rtol=1e-9, atol=1e-9)


def test_compiled_sweeps_agree():
    _, objective, point = objective_of("ar1", "one", REML=True, weighted=False, stored=True)
    with held(choice=Speed.NUMPY):
        plain = objective.at(point)
    again = objective.at(point)
    assert plain.value == pytest.approx(again.value, rel=1e-13)


def test_strata_that_are_given_are_weights():
    """Known ratios of standard deviations are prior weights, up to the sum of their logarithms."""
    data = table()
    design = build_design("y ~ x + t + (x | g)", data, dispersion="~ f")
    sums = pair_sums(design)
    plan = make_plan(design, sums.base)
    objective = ResidualObjective(plan=plan, sums=sums, REML=True)
    free = np.log([1.5, 0.6])
    sd = {"p": 1.0, "q": 1.5, "r": 0.6}
    weighted = data.assign(w=1.0 / data.f.map(sd) ** 2)
    other = build_design("y ~ x + t + (x | g)", weighted, weights="w")
    theta = np.array([0.8, 0.1, 0.5])
    at = phi_of_theta(theta, plan, sums.base)
    assert np.isfinite(flat_factors(np, at, plan)).all()
    found = objective.at(np.concatenate([at, free])).value
    assert found == pytest.approx(results_at(other, theta).reml_criterion, rel=1e-12)


class Walled(ResidualObjective):
    """The criterion without points that have a correlation above zero as last parameter."""

    def at(self, point):
        if point[-1] > 0.0:
            raise np.linalg.LinAlgError
        return super().at(point)


def test_curvature_beside_a_wall_is_taken_from_this_side():
    """Correlations next to where their matrix is none have no criterion on one side."""
    _, o, point = objective_of("ar1", "one", REML=True, weighted=False, stored=True)
    point[-1] = -1e-9
    expected, walled = o.at(point).hessian, Walled(plan=o.plan, sums=o.sums, REML=True).at(point)
    np.testing.assert_allclose(walled.hessian, expected, atol=1e-3 * np.abs(expected).max())
    assert not np.array_equal(walled.hessian, expected)


def relatives(levels) -> pd.DataFrame:
    """A relationship of these levels and of three more, which have no rows."""
    names = [*levels, -1, -2, -3]
    B = np.random.default_rng(0).normal(size=(len(names), 2 * len(names)))
    return pd.DataFrame(B @ B.T / B.shape[1], index=names, columns=names)


@pytest.mark.parametrize(
    ("structure", "random", "of"),
    [
        ("ar1", "(1 | g)", "g"),  # all crossed: there is no chain
        ("us", "(x | g) + (1 | h)", "g"),
        ("strata", "(1 | g) + (1 | item)", "g"),
        ("car1 rows", "(1 | g) + (1 | h) + (1 | item)", "g"),
        ("cs", "(1 | h) + (1 | item)", "h"),
        ("toep", "(x | h) + (1 | g)", "gh"),
    ],
)
def test_effects_of_relatives_beside_them(structure, random, of):
    d = table()
    known = {name: relatives(sorted(d[name].unique())) for name in of}
    for number, (REML, weights) in enumerate(((True, "w"), (False, None))):
        design = build_design(
            f"y ~ x + t + {random}", d, weights=weights, relationship=known, check=False,
            **STRUCTURES[structure],
        )  # fmt: skip
        sums = pair_sums(design, stored=bool(number))
        objective = ResidualObjective(plan=make_plan(design, sums.base), sums=sums, REML=REML)
        rng, start = np.random.default_rng(3), sums.model.start
        phi = 0.7 + 0.2 * rng.normal(size=objective.plan.n_theta)
        point = np.concatenate([phi, start + 0.15 * rng.normal(size=len(start))])

        def dense(x, design=design, objective=objective, REML=REML):
            return dense_criterion(design, objective, x, REML)

        here = objective.at(point)
        assert here.value == pytest.approx(dense(point), rel=1e-11)
        slope = differences(dense, point, 1e-5)
        np.testing.assert_allclose(here.gradient, slope, atol=2e-6 * (1 + np.abs(slope).max()))
