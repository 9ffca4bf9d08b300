"""Boundary-avoiding priors: penalised likelihood as in blme."""

from __future__ import annotations

import numpy as np
import pytest

import nestedmlm as nm
from nestedmlm.errors import OptionError
from nestedmlm.likelihood.plan import make_plan, phi_of_theta
from nestedmlm.likelihood.solution import results_at
from nestedmlm.optimum.objective import Objective
from nestedmlm.optimum.penalty import PENALTIES, penalty_terms
from nestedmlm.statistics.crossproducts import cross_products
from tests.designs import central_difference, design


def test_a_singular_fit_leaves_the_boundary() -> None:
    rows = nm.load_dataset("Dyestuff2")
    plain = nm.lmer("Yield ~ 1 + (1 | Batch)", rows)
    fit = nm.lmer("Yield ~ 1 + (1 | Batch)", rows, penalty="wishart")
    assert plain.is_singular() and not fit.is_singular()
    assert fit.converged
    assert fit.criterion > plain.criterion
    assert any("penalised" in message for message in fit.messages)


@pytest.mark.parametrize("REML", [True, False])
def test_maximises_criterion_plus_gamma_prior_on_the_sd(REML: bool) -> None:
    # one variance: Gamma(2.5, 0) on the relative SD, density proportional to theta^1.5
    rows = nm.load_dataset("Dyestuff2")
    fit = nm.lmer("Yield ~ 1 + (1 | Batch)", rows, REML=REML, penalty="wishart")

    def objective(theta: float) -> float:
        s = results_at(fit.design, np.array([theta]), REML=REML)
        return (s.reml_criterion if REML else s.deviance) - 3.0 * np.log(theta)

    grid = np.linspace(0.5, 1.5, 41) * fit.theta[0]
    values = [objective(t) for t in grid]
    assert grid[int(np.argmin(values))] == pytest.approx(fit.theta[0])


def test_gradient_of_the_penalised_criterion() -> None:
    d = design("nested chain of two")
    stats = cross_products(d)
    plan = make_plan(d, stats)
    penalty = PENALTIES["wishart"]
    rng = np.random.default_rng(2)
    phi = rng.normal(size=plan.n_theta) + 0.1
    objective = Objective(plan=plan, stats=stats, REML=True, penalty=penalty)
    model = objective.at(phi)
    numeric = central_difference(
        lambda p: Objective(plan=plan, stats=stats, REML=True, penalty=penalty).at(p).value,
        phi,
        1e-4,
    )
    assert model.gradient == pytest.approx(numeric, rel=1e-6, abs=1e-6)
    terms = penalty_terms(phi, plan, penalty)
    slopes = [
        (
            penalty_terms(phi + e, plan, penalty).gradient
            - penalty_terms(phi - e, plan, penalty).gradient
        )
        / 2e-5
        for e in 1e-5 * np.eye(plan.n_theta)
    ]
    curvature = np.diag(slopes)
    np.testing.assert_allclose(terms.curvature, curvature, rtol=1e-5)
    assert np.count_nonzero(terms.curvature) > 0


def test_units_do_not_matter() -> None:
    rows = nm.load_dataset("sleepstudy")
    formula = "Reaction ~ Days + (Days | Subject)"
    one = nm.lmer(formula, rows, penalty="wishart")
    other = nm.lmer(formula, rows.assign(Days=rows.Days * 1e3), penalty="wishart")
    assert other.theta * [1.0, 1e3, 1e3] == pytest.approx(one.theta, rel=1e-5)


def test_refits_keep_the_penalty() -> None:
    rows = nm.load_dataset("Dyestuff2")
    fit = nm.lmer("Yield ~ 1 + (1 | Batch)", rows, penalty="wishart")
    assert not fit.refit(np.asarray(rows.Yield)).is_singular()
    assert not fit.refit_ml().is_singular()


def test_errors() -> None:
    rows = nm.load_dataset("sleepstudy")
    with pytest.raises(OptionError, match="known: wishart"):
        nm.lmer("Reaction ~ Days + (1 | Subject)", rows, penalty="gama")
    with pytest.raises(OptionError, match="shape of a penalty must be a positive number"):
        nm.Penalty("mine", -1.0)
    with pytest.raises(OptionError, match="not cs"):
        nm.lmer("Reaction ~ Days + cs(Days | Subject)", rows, penalty="wishart")


def test_zero_is_infinitely_bad() -> None:
    d = design("one factor")
    stats = cross_products(d)
    plan = make_plan(d, stats)
    phi = phi_of_theta(np.array([0.0]), plan, stats)
    assert (
        Objective(plan=plan, stats=stats, REML=True, penalty=PENALTIES["wishart"]).at(phi).value
        == np.inf
    )
