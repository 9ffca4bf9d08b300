"""Numbers on extreme scales: the criterion against 60 digits, the dense twin or a closed form."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import nestedmlm as nm
from nestedmlm.covariance import relative_factors
from nestedmlm.design.build import build_design
from nestedmlm.design.design import Design
from nestedmlm.likelihood.elimination import eliminate
from nestedmlm.likelihood.plan import make_plan, phi_of_theta, start_phi, theta_of_phi
from nestedmlm.likelihood.pls import dense_criterion
from nestedmlm.likelihood.solution import results_at
from nestedmlm.optimum.evaluation import evaluate
from nestedmlm.statistics.crossproducts import cross_products

REL = 1e-8


def small(n: int = 40, seed: int = 0) -> pd.DataFrame:
    """Rows in 8 groups g, in pairs k of groups, crossed with 5 levels h."""
    rng = np.random.default_rng(seed)
    g, h = np.arange(n) % 8, rng.integers(0, 5, n)
    x, z = rng.normal(size=(2, n))
    u = rng.normal(size=(8, 3))
    y = 1.0 + x + u[g, 0] + u[g, 1] * x + 0.5 * u[g, 2] * z
    y = y + 0.7 * rng.normal(size=5)[h] + rng.normal(size=n)
    w = 10.0 ** rng.uniform(-6.0, 6.0, n)
    w[:2] = 1e-6, 1e6
    frame = pd.DataFrame({"x": x, "z": z, "g": g, "h": h, "k": g // 2, "w": w})
    return frame.assign(y=y / y.std())


CROSSED = "y ~ x + (x | g) + (1 | h)"
SLOPES = "y ~ x + z + (x + z | g)"
ROWS = small()
UNITS = {"x": ROWS.x * 1e-9, "z": ROWS.z * 1e9}
CASES = {
    "mean 1e8, sd 1": (CROSSED, {"y": ROWS.y + 1e8}, None),
    "mean 1e8, sd 1, nested": ("y ~ x + (x | g) + (x | k)", {"y": ROWS.y + 1e8}, None),
    "units 1e-9 and 1e9": (SLOPES, UNITS, None),
    "units 1e-9 and 1e9, crossed": (f"{SLOPES} + (x + z | h)", UNITS, None),
    "units 1e-9 and 1e9, uncorrelated": ("y ~ x + z + (x + z || g)", UNITS, None),
    "slope variable far from zero": (CROSSED, {"x": ROWS.x + 1e6}, None),
    "collinear 1e-5": ("y ~ x + z + (1 | g) + (1 | h)", {"z": ROWS.x + 1e-5 * ROWS.z}, None),
    "collinear 3e-7": ("y ~ x + z + (1 | g) + (1 | h)", {"z": ROWS.x + 3e-7 * ROWS.z}, None),
    "collinear slopes 1e-5": (SLOPES, {"z": ROWS.x + 1e-5 * ROWS.z}, None),
    "collinear slopes 3e-7": (SLOPES, {"z": ROWS.x + 3e-7 * ROWS.z}, None),
    "weights over 1e12": (CROSSED, {}, "w"),
    "weights over 1e12, nested": ("y ~ x + (x | g) + (x | k)", {}, "w"),
    "weights over 1e12, mean 1e8": (CROSSED, {"y": ROWS.y + 1e8}, "w"),
}


@pytest.mark.filterwarnings("ignore::nestedmlm.ConvergenceWarning")
@pytest.mark.parametrize("case", list(CASES))
def test_criterion_in_sixty_digits(case: str) -> None:
    pytest.importorskip("mpmath", reason="the reference needs mpmath")
    from tests.mp_reference import exact_criterion

    formula, columns, weights = CASES[case]
    rows = ROWS.assign(**columns)
    design = build_design(formula, rows, weights=weights)
    stats = cross_products(design)
    plan = make_plan(design, stats)
    rng = np.random.default_rng(1)
    for REML in (True, False):
        phi = start_phi(plan) * rng.uniform(0.2, 1.5) + 0.3 * rng.normal(size=plan.n_theta)
        theta = theta_of_phi(phi, plan, stats)
        expected = exact_criterion(design, relative_factors(theta, plan.shapes), REML=REML)
        at = results_at(design, theta, REML=REML)
        graph = evaluate(phi_of_theta(theta, plan, stats), plan, stats, REML).criterion
        assert graph == pytest.approx(expected, rel=REL)
        assert (at.reml_criterion if REML else at.deviance) == pytest.approx(expected, rel=REL)
    fit = nm.lmer(formula, rows, weights=weights)
    assert fit.converged
    expected = exact_criterion(design, relative_factors(fit.theta, plan.shapes))
    assert fit.criterion == pytest.approx(expected, rel=REL)


def test_mean_of_the_response_moves_only_the_intercept() -> None:
    base = nm.lmer(CROSSED, ROWS)
    fit = nm.lmer(CROSSED, ROWS.assign(y=ROWS.y + 1e8))
    assert fit.criterion == pytest.approx(base.criterion, rel=REL)
    assert fit.theta == pytest.approx(base.theta, rel=1e-5, abs=1e-5)
    assert fit.params["x"] == pytest.approx(base.params["x"], rel=1e-6)
    assert fit.resid.to_numpy() == pytest.approx(base.resid.to_numpy(), abs=1e-6)


def test_units_change_nothing_but_units() -> None:
    base, fit = nm.lmer(SLOPES, ROWS), nm.lmer(SLOPES, ROWS.assign(**UNITS))
    # log|X'X| keeps its product of scales, 1e-9 times 1e9
    assert fit.criterion == pytest.approx(base.criterion, rel=REL)
    assert (fit.params * [1.0, 1e-9, 1e9]).to_numpy() == pytest.approx(base.params, rel=1e-6)
    sds = [block.sd * [1.0, 1e-9, 1e9] for block in fit.varcorr().blocks]
    assert sds[0] == pytest.approx(base.varcorr().blocks[0].sd, rel=1e-5)


def test_weights_may_be_multiplied_by_anything() -> None:
    base = nm.lmer(CROSSED, ROWS, weights=ROWS.w.to_numpy())
    fit = nm.lmer(CROSSED, ROWS, weights=ROWS.w.to_numpy() * 1e6)
    assert fit.criterion == pytest.approx(base.criterion, rel=REL)
    assert fit.sigma == pytest.approx(base.sigma * 1e3, rel=1e-5)


# --- very many groups of one row ----------------------------------------------------------------
def singletons(singles: int, pairs: int, seed: int) -> pd.DataFrame:
    """Groups of one row, then groups of two; a factor h of 50 levels with no effect."""
    rng = np.random.default_rng(seed)
    g = np.concatenate([np.arange(singles), singles + np.repeat(np.arange(pairs), 2)])
    n = len(g)
    x, h = rng.normal(size=n), rng.integers(0, 50, n)
    y = 1.0 + 0.5 * x + rng.normal(size=singles + pairs)[g] + rng.normal(size=n)
    return pd.DataFrame({"y": y, "x": x, "g": g, "h": h})


def closed_form(rows: pd.DataFrame, singles: int, theta: float) -> float:
    """REML criterion of ``y ~ x + (1 | g)``: V has blocks 1 + t^2, and [[1 + t^2, t^2], ...]."""
    t2 = np.longdouble(theta) ** 2
    A = np.column_stack([np.ones(len(rows)), rows.x, rows.y]).astype(np.longdouble)
    pair = A[singles:].reshape(-1, 2, 3)
    total = (pair[:, 0] + pair[:, 1]) / np.sqrt(np.longdouble(2))
    half = (pair[:, 0] - pair[:, 1]) / np.sqrt(np.longdouble(2))
    alone = A[:singles]
    S = alone.T @ alone / (1 + t2) + total.T @ total / (1 + 2 * t2) + half.T @ half
    Sxx, Sxy = S[:2, :2], S[:2, 2]
    det = Sxx[0, 0] * Sxx[1, 1] - Sxx[0, 1] ** 2
    solved = np.array([Sxx[1, 1] * Sxy[0] - Sxx[0, 1] * Sxy[1],
                       Sxx[0, 0] * Sxy[1] - Sxx[0, 1] * Sxy[0]]) / det  # fmt: skip
    r2, df = S[2, 2] - Sxy @ solved, len(rows) - 2
    log_v = singles * np.log(1 + t2) + len(pair) * np.log(1 + 2 * t2)
    return float(log_v + df * (1 + np.log(2 * np.longdouble(np.pi) * r2 / df)) + np.log(det))


@pytest.mark.slow  # 3 s; 1.2 million rows, peak 0.75 GB
def test_a_million_singletons() -> None:
    rows = singletons(10**6, 10**5, seed=6)
    fit = nm.lmer("y ~ x + (1 | g)", rows)
    assert fit.converged
    assert fit.theta[0] == pytest.approx(1.0, abs=0.02)
    expected = closed_form(rows, 10**6, fit.theta[0])
    assert fit.criterion == pytest.approx(expected, rel=REL)
    # good to a millionth of a deviance unit too: a tenth of that decides nothing
    assert fit.criterion == pytest.approx(expected, abs=2e-5)


def test_log_determinant_of_many_equal_nodes() -> None:
    # equal terms added one by one are rounded in the same direction each time
    singles, pairs = 3 * 10**5, 3 * 10**4
    design = build_design("y ~ x + (1 | g)", singletons(singles, pairs, seed=1))
    stats = cross_products(design)
    for t in (0.9, 1.0, 1.1):
        t2 = np.longdouble(t) ** 2
        expected = float(singles * np.log(1 + t2) + pairs * np.log(1 + 2 * t2))
        assert eliminate(np.array([t]), stats).logdet == pytest.approx(expected, rel=2e-14)


@pytest.mark.parametrize("seed", range(4))
def test_zero_variance_beside_many_groups_is_certified(seed: int) -> None:
    # seed 3: rounding of the criterion once ended the descent before the certificate held
    rows = singletons(10**5, 10**4, seed=seed)
    fit = nm.lmer("y ~ x + (1 | g) + (1 | h)", rows)
    assert fit.converged
    assert fit.theta[1] < 0.05


# --- fifty parameters, half of the variances zero -------------------------------------------------
def fifty(levels: int, inner: int, per: int, columns: int, seed: int) -> pd.DataFrame:
    """Slopes of `columns` - 1 variables at two nested levels; every other variance is zero."""
    rng = np.random.default_rng(seed)
    n = levels * inner * per
    klass = np.arange(n) // per
    school = klass // inner
    X = np.column_stack([np.ones(n), rng.normal(size=(n, columns - 1))])
    sd = np.where(np.arange(columns) % 2 == 0, 0.6, 0.0)
    u = rng.normal(size=(levels, columns)) * sd
    v = rng.normal(size=(levels * inner, columns)) * sd
    y = X @ rng.normal(size=columns) + np.einsum("ij,ij->i", X, u[school] + v[klass])
    frame = pd.DataFrame(X[:, 1:], columns=[f"x{i}" for i in range(columns - 1)])
    return frame.assign(y=y + rng.normal(size=n), school=school, klass=klass)


def no_better_point(fit: nm.LmerFit, design: Design, tries: int) -> None:
    """Unbounded quasi-Newton from random starts must not end below the fit."""
    from scipy.optimize import minimize

    stats = cross_products(design)
    plan = make_plan(design, stats)
    rng = np.random.default_rng(3)

    def objective(phi: np.ndarray) -> tuple[float, np.ndarray]:
        ev = evaluate(phi, plan, stats, True)
        return ev.criterion, ev.gradient

    for _ in range(tries):
        start = start_phi(plan) * rng.uniform(0.3, 1.2) + 0.2 * rng.normal(size=plan.n_theta)
        found = minimize(
            objective, start, jac=True, method="L-BFGS-B", options={"maxiter": 300, "gtol": 1e-6}
        )
        assert fit.criterion <= found.fun + 1e-7


@pytest.mark.parametrize("bar, theta", [pytest.param("||", 50, marks=pytest.mark.slow), ("|", 42)])
def test_many_parameters_half_of_the_variances_zero(bar: str, theta: int) -> None:
    columns = 25 if bar == "||" else 6
    rows = fifty(levels=12, inner=3, per=25, columns=columns, seed=5)
    xs = " + ".join(f"x{i}" for i in range(columns - 1))
    fit = nm.lmer(f"y ~ {xs} + ({xs} {bar} school) + ({xs} {bar} klass)", rows)
    design = fit.design
    assert len(fit.theta) == theta
    assert fit.converged
    factors = relative_factors(fit.theta, fit.solution.plan.shapes)
    assert fit.criterion == pytest.approx(dense_criterion(design, factors, REML=True), rel=REL)
    no_better_point(fit, design, tries=2)
