"""Made designs with autocorrelated residuals: no start leads lower than where the fit is."""

from __future__ import annotations

import contextlib
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import nestedmlm as nm
from nestedmlm.design.build import build_design
from nestedmlm.likelihood.elimination.speed import Speed, held
from nestedmlm.likelihood.plan import make_plan, start_phi
from nestedmlm.optimum import residual_optimum
from nestedmlm.optimum.control import Control
from nestedmlm.optimum.optimize import optimize
from nestedmlm.optimum.residual_objective import ResidualObjective
from nestedmlm.optimum.residual_optimum import descend_from, optimize_residuals
from nestedmlm.optimum.residual_starts import look_from
from nestedmlm.optimum.solve import remarks_on_precision, solve
from nestedmlm.statistics.pair_sums import pair_sums

FORMULA = "y ~ t + (t | g)"


def made(seed: int) -> pd.DataFrame:
    """8 to 15 groups, 5 to 8 times, a tenth missing; slopes and intercepts absent in some."""
    rng = np.random.default_rng(seed)
    n_groups, k = int(rng.integers(8, 16)), int(rng.integers(5, 9))
    rho = rng.choice([-0.4, 0.0, 0.3, 0.6, 0.85])
    sd = rng.choice([0.0, 0.5, 2.0]), rng.choice([0.0, 0.3])
    e = rng.normal(size=(n_groups, k))
    for j in range(1, k):
        e[:, j] = rho * e[:, j - 1] + np.sqrt(1.0 - rho**2) * e[:, j]
    b = rng.normal(size=(n_groups, 2)) * sd
    t = np.arange(k)
    y = 1.0 + 0.5 * t + b[:, :1] + b[:, 1:] * t + e
    d = pd.DataFrame({"y": y.ravel(), "g": np.repeat(np.arange(n_groups), k),
                      "t": np.tile(t, n_groups)})  # fmt: skip
    return d[rng.uniform(size=len(d)) > 0.1]


def check(seed: int, starts: int) -> None:
    design = build_design(FORMULA, made(seed), residual="ar1(t | g)")
    sums = pair_sums(design)
    plan = make_plan(design, sums.base)
    with held(choice=Speed.NUMPY):
        found = optimize_residuals(plan, sums, REML=True)
        without = optimize(plan, sums.base, REML=True).evaluation.criterion
        objective = ResidualObjective(plan=plan, sums=sums, REML=True)
        rng = np.random.default_rng(seed)
        lowest = np.inf
        for _ in range(starts):
            start = np.append(rng.normal(size=plan.n_theta), rng.uniform(-1.2, 1.5))
            lowest = min(lowest, descend_from(objective, start, Control()).here.value)
    assert found.certificate.holds, found.certificate.message
    assert found.evaluation.criterion <= lowest + 1e-4
    assert found.evaluation.criterion <= without + 1e-8


@pytest.mark.parametrize("seed", range(8))
def test_nothing_is_lower(seed):
    check(seed, starts=3)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(80))
def test_nothing_is_lower_from_many_starts(seed):
    check(seed, starts=12)


STRUCTURES = [
    ("y ~ t + (t | g)", {"residual": "car1(t | g)"}),
    ("y ~ t + (1 | g)", {"residual": "ar1(t | g)", "dispersion": "~ half"}),
    ("y ~ t + (t | g)", {"dispersion": "~ half"}),
    ("y ~ t + (1 | g)", {"dispersion": "~ t"}),
    ("y ~ t", {"residual": "cs(visit | g, hom=False)"}),
    ("y ~ t", {"residual": "toep(visit | g)"}),
    ("y ~ t", {"residual": "ad1(visit | g, hom=False)"}),
    ("y ~ t", {"residual": "us(visit | g)"}),
]


def check_structure(seed: int, starts: int) -> None:
    """No start leads lower than where the fit is, and neither does independence."""
    formula, how = STRUCTURES[seed % len(STRUCTURES)]
    d = made(seed).assign(visit=lambda d: "v" + d.t.astype(str), half=lambda d: d.g % 2 == 1)
    if how.get("residual", "").startswith("us"):
        d = d[d.t < 4]
    design = build_design(formula, d, require_random=False, **how)
    sums = pair_sums(design)
    plan = make_plan(design, sums.base)
    objective = ResidualObjective(plan=plan, sums=sums, REML=True)
    rng, lowest = np.random.default_rng(seed), np.inf
    with held(choice=Speed.NUMPY):
        fit = optimize_residuals(plan, sums, REML=True)
        if "no maximum" in fit.certificate.message:  # rounding alone ends the descents there
            assert not fit.certificate.holds
            return
        found = fit.evaluation.criterion
        if plan.n_theta:
            lowest = optimize(plan, sums.base, REML=True).evaluation.criterion + 1e-4
        for _ in range(starts):
            theta = rng.normal(size=plan.n_theta)
            free = sums.model.start + rng.normal(scale=0.6, size=len(sums.model.start))
            with contextlib.suppress(np.linalg.LinAlgError):
                at = descend_from(objective, np.append(theta, free), Control()).here
                lowest = min(lowest, at.value)
    assert found <= lowest + 1e-4


def test_a_second_optimum_at_strong_correlations_is_found():
    check_structure(14, starts=1)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(80))
def test_nothing_is_lower_with_other_structures(seed):
    check_structure(seed, starts=8)


@pytest.mark.parametrize("starts", ["none", "bad"])
def test_without_a_good_start_the_fit_without_structure_is_one(monkeypatch, starts):
    design = build_design(FORMULA, made(3), residual="ar1(t | g)")
    sums = pair_sums(design)
    plan = make_plan(design, sums.base)
    with held(choice=Speed.NUMPY):
        right = optimize_residuals(plan, sums, REML=True).evaluation.criterion
        descend = residual_optimum.descend_from
        if starts == "none":
            monkeypatch.setattr(residual_optimum, "other_starts", lambda *_: iter(()))
        else:  # every start but the last one stays where it is
            few = [
                replace(Control(), max_evaluations=1),
            ]
            far = np.append(np.full(plan.n_theta, 30.0), 1.4)
            monkeypatch.setattr(residual_optimum, "other_starts", lambda *_: iter([far]))

            def held_back(objective, point, control):
                return descend(objective, point, few.pop() if few else control)

            monkeypatch.setattr(residual_optimum, "descend_from", held_back)
        found = optimize_residuals(plan, sums, REML=True)
    assert found.evaluation.criterion == pytest.approx(right, abs=1e-6)
    assert found.certificate.starts == (3 if starts == "none" else 4)  # two look near rho's ends


def visits_of_sites(seed: int) -> pd.DataFrame:
    """5 to 8 sites of patients in arms; visits that differ in their spread, some missing."""
    r = np.random.default_rng(seed)
    sites, k = int(r.integers(5, 9)), int(r.integers(3, 6))
    arms = list("abc")[: int(r.integers(2, 4))]
    rho, sd = r.uniform(-0.3, 0.85), np.exp(r.normal(0, 0.35, k))
    lags = np.abs(np.subtract.outer(np.arange(k), np.arange(k)))
    C = rho**lags if rho > 0 else np.where(lags == 0, 1.0, rho / (k - 1))
    L = np.linalg.cholesky(C * np.outer(sd, sd))
    site_sd, id_sd, slope_sd = r.choice([0.0, 0.7, 1.5]), r.choice([0.0, 0.8]), r.choice([0, 0.5])
    arm_sd, rows, number = dict(zip("abc", np.exp(r.normal(0, 0.4, 3)), strict=True)), [], 0
    for s in range(sites):
        u = r.normal() * site_sd
        for _ in range(int(r.integers(3, 8))):
            arm, b, slope = r.choice(arms), r.normal() * id_sd, r.normal() * slope_sd
            e, x = L @ r.normal(size=k) * arm_sd[arm], r.normal()
            missing = r.choice([0, 0.2, 0.4])
            kept = r.uniform(size=k) > missing
            if not kept.any():
                kept[int(r.integers(k))] = True
            if r.uniform() < 0.08:
                kept[:] = False
                kept[int(r.integers(k))] = True
            r.uniform(0.3, 2, k)  # the seeds that are tested were found with times between
            for v in np.flatnonzero(kept):
                w = r.uniform(0.5, 2)
                y = 10 + 0.5 * v + x * 0.5 + (arm == "b") * 0.7 + u + b + slope * v + e[v]
                rows.append((f"s{s}", f"i{number:03d}", arm, f"v{v}", v, x, w, y))
            number += 1
    return pd.DataFrame(rows, columns=["site", "id", "arm", "visit", "t", "x", "w", "y"])


def check_farther(formula: str, d: pd.DataFrame, how: dict[str, str], *, starts: int = 0) -> bool:
    """Nothing lower is found; whether the near starts alone would have missed it."""
    design = build_design(formula, d, require_random=False, **how)
    sums = pair_sums(design)
    plan = make_plan(design, sums.base)
    objective = ResidualObjective(plan=plan, sums=sums, REML=True)
    rng, values = np.random.default_rng(0), []
    with held(choice=Speed.NUMPY):
        found = optimize_residuals(plan, sums, REML=True)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(residual_optimum, "farther_starts", lambda _: iter(()))
            near = optimize_residuals(plan, sums, REML=True).evaluation.criterion
        for _ in range(starts):
            phi = start_phi(plan) * np.exp(rng.normal(size=plan.n_theta))
            free = sums.model.start + rng.normal(scale=0.6, size=len(sums.model.start))
            with contextlib.suppress(np.linalg.LinAlgError):
                point = np.append(phi, free)
                values.append(
                    descend_from(objective, point, Control(max_evaluations=100)).here.value
                )
    lowest = min(values, default=np.inf)
    assert found.evaluation.criterion <= near + 1e-8
    assert found.evaluation.criterion <= lowest + 1e-4 or not found.certificate.holds
    return bool(found.evaluation.criterion < near - 0.1)


def test_correlations_of_the_other_sign_in_one_group_are_found():
    d = made(0)
    d = d[d.t < 4].assign(visit=lambda d: "v" + d.t.astype(str), half=lambda d: d.g % 2 == 1)
    assert check_farther("y ~ t + (1 | g)", d, {"residual": "ad1(visit | g, by=half)"})


def test_a_visit_whose_residuals_nearly_vanish_is_found():
    d = visits_of_sites(2037)
    how = {"residual": "ar1(visit | id, hom=False)"}
    assert check_farther("y ~ arm * t + x + (1 | site) + (1 | id)", d, how)


def test_a_second_unstructured_matrix_is_found():
    d = visits_of_sites(4039)
    assert check_farther(
        "y ~ x + t + (t | site)",
        d,
        {"residual": "us(visit | id)", "dispersion": "~ x", "weights": "w"},
    )


@pytest.mark.parametrize("by", ["", ", by=arm"])
def test_few_rows_for_many_parameters_are_said_to_have_lower_optima(by):
    """Of arms apart another optimum is 1.0 lower, and points at an edge 6 lower."""
    how = {"residual": f"toep(visit | id, hom=False{by})"}
    d = visits_of_sites(8021)
    found = solve(build_design("y ~ 0 + arm:visit + (t | site)", d, **how), REML=False)
    said = remarks_on_precision(found)
    assert found.certificate.holds
    assert [m[:43] for m in said] == (["12 parameters of random effects and residua"] if by else [])


@pytest.mark.parametrize(
    ("residual", "advice"),
    [
        ("ad1(visit | id, by=arm)", "take a simpler structure, ar1 or cs, or no by="),
        ("ad1(visit | id)", "take a simpler structure, ar1 or cs"),
        ("ar1(t | id)", "but by their predictors: take their means"),
    ],
)
def test_a_correlation_of_one_is_named_with_what_to_take(residual, advice):
    y = np.repeat(np.random.default_rng(0).normal(size=(12, 1)), 3, axis=1)  # all visits alike
    d = pd.DataFrame(
        {
            "y": y.ravel(),
            "id": np.repeat(np.arange(12), 3),
            "t": np.tile(range(3), 12),
            "visit": np.tile(list("abc"), 12),
            "arm": np.repeat(list("pq"), 18),
        }
    )
    design = build_design("y ~ visit", d, residual=residual, require_random=False)
    sums = pair_sums(design)
    found = optimize_residuals(make_plan(design, sums.base), sums, REML=True).certificate
    assert not found.holds
    assert found.message.startswith("at the edge: rho")
    assert found.message.endswith(advice)


def test_a_start_where_the_optimum_is_leads_nowhere():
    d = made(2)
    d = d[d.t < 3].assign(visit=lambda d: "v" + d.t.astype(str))
    design = build_design("y ~ t", d, residual="ad1(visit | g)", require_random=False)
    objective = ResidualObjective(
        plan=make_plan(design, (sums := pair_sums(design)).base), sums=sums, REML=True
    )
    with held(choice=Speed.NUMPY):
        known = descend_from(objective, sums.model.start, Control()).here
        assert look_from(known, known.point, Control()) == (None, 1)
        assert look_from(known, known.point + 0.5, Control())[0] is None


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100))
@pytest.mark.parametrize("by", ["", ", by=arm"])
def test_nothing_certified_is_above_another_optimum(seed, by):
    kind = ("ar1", "ad1", "toep", "cs", "us")[seed % 5]
    hom = "" if kind == "us" or seed % 2 else ", hom=False"
    random = " + (t | id)" if kind == "ar1" and seed % 3 == 0 else " + (1 | site)"
    how = {"residual": f"{kind}(visit | id{hom}{by})"}
    check_farther("y ~ t + x" + random, visits_of_sites(7000 + seed), how, starts=6)


def test_one_correlation_is_looked_for_near_both_of_its_ends() -> None:
    """The optimum at a correlation of -0.06 of one arm is 0.5 above that near its end, -1/2."""
    y = [-1.07, 0.92, -0.71, 0.86, 0.13, 0.87, 1.78, -0.9, -0.74, 1.24, 0.36, -0.17, -0.99, -1.44,
         2.16, -0.17, 0.41, -0.21, -0.19]  # fmt: skip
    block = [0, 0, 1, 1, 1, 2, 2, 3, 3, 4, 4, 4, 5, 5, 5, 6, 6, 6, 7]
    arm = np.where(np.isin(block, [0, 3, 6]), "u", "v")
    fit = nm.lmer("y ~ 1", {"y": y, "b": block, "arm": arm}, residual="cs(1 | b, by=arm)")
    assert fit.criterion == pytest.approx(51.36879, abs=1e-4)


def test_dispersions_are_looked_for_that_fall_where_they_rise() -> None:
    r = np.random.default_rng(34)
    g, x = np.arange(24) % 6, r.normal(size=24) ** 3
    y = r.normal(size=6)[g] + 1e-2 * r.normal(size=24) * np.exp(1.5 * (g == 0) * x)
    fit = nm.lmer("y ~ 1 + (1 | g)", {"y": y, "x": x, "g": g}, dispersion="~ x", REML=False)
    assert fit.converged and fit.criterion < -99.56  # of the optimum it rises from: -99.51


def test_structures_beside_a_dispersion_are_not_above_the_model_without_them() -> None:
    rows = pd.DataFrame({
        "y": [1.0, 2.0, 1.0, 2.0, 2.0, 3.0, -2.0, -3.0, -3.0, -6.0, -6.0, -6.0, 4.0, 3.0, 3.0,
              3.0, 2.0, 2.0, 2.0, 1.0, 1.0],
        "z": [-2.158, 1.327, -0.683, -1.897, -0.397, 1.472, 0.881, -0.771, 0.748, 1.915, 0.046,
              -0.094, 0.101, 0.211, 0.64, 0.116, -0.135, -0.009, -0.373, -0.972, 0.031],
        "x": np.array([-1.282, -0.205, 0.872])[list(map(int, "222212202120021202000"))],
        "m": np.array([-1.03, -0.549, 0.412, 1.373])[list(map(int, "333000222111111333000"))],
        "t": list("012" * 7), "b": np.repeat(np.arange(7), 3),
        "g": np.repeat([0, 1, 2, 3, 4, 0, 1], 3), "arm": list("uuuvvvvvvuuuvvvvvvuuu"),
    })  # fmt: skip
    formula = "y ~ m + t + z + (1 + x | g)"
    without = nm.lmer(formula, rows, dispersion="~ arm")
    fit = nm.lmer(formula, rows, dispersion="~ arm", residual="ad1(t | b)")
    assert fit.converged and fit.criterion < without.criterion - 2.0
