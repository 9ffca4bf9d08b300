"""No optimum is missed on small three-level designs; `benchmarks/sweep.py` has more, with lme4."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize

import nestedmlm as nm
from benchmarks.designs import FORMULA, SmallDesign, small_designs
from nestedmlm.likelihood.plan import make_plan, start_phi
from nestedmlm.optimum.evaluation import evaluate
from nestedmlm.statistics.crossproducts import cross_products

STARTS = 4


def best_of_random_starts(fit: nm.LmerFit) -> float:
    """Lowest criterion of unbounded quasi-Newton descents that know nothing of the fit."""
    stats = cross_products(fit.design)
    plan = make_plan(fit.design, stats)
    rng = np.random.default_rng(1)

    def objective(phi: np.ndarray) -> tuple[float, np.ndarray]:
        ev = evaluate(phi, plan, stats, True)
        return ev.criterion, ev.gradient

    return min(
        minimize(
            objective,
            start_phi(plan) * rng.uniform(0.05, 1.5) + 0.3 * rng.normal(size=plan.n_theta),
            jac=True,
            method="L-BFGS-B",
            options={"maxiter": 500, "ftol": 1e-14, "gtol": 1e-7},
        ).fun
        for _ in range(STARTS)
    )


@pytest.mark.parametrize("design", list(small_designs(20, seed=11)), ids=lambda d: d.label)
def test_no_optimum_is_missed(design: SmallDesign) -> None:
    fit = nm.lmer(FORMULA, design.frame)
    assert fit.converged
    assert fit.criterion <= best_of_random_starts(fit) + 1e-7
