"""The PyTensor graph of the criterion: its value, its gradient, and what users add to it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytensor
import pytest
from designs import FORMULAS, design

import nestedmlm as nm
from nestedmlm.errors import OptionError
from nestedmlm.likelihood.plan import make_plan, start_phi
from nestedmlm.optimum.control import Control
from nestedmlm.optimum.evaluation import evaluate
from nestedmlm.optimum.graph import MODE, criterion_graph
from nestedmlm.optimum.solve import solve
from nestedmlm.statistics.crossproducts import cross_products


@pytest.mark.parametrize("REML", [True, False], ids=["REML", "ML"])
@pytest.mark.parametrize("kind", FORMULAS)
def test_the_graph_has_the_numbers_of_the_optimizer(kind, REML) -> None:
    d = design(kind, weighted=True, offset=True)
    stats = cross_products(d)
    plan = make_plan(d, stats)
    phi = start_phi(plan) + 0.3 * np.random.default_rng(5).normal(size=plan.n_theta)
    value, gradient = criterion_graph(plan, stats, REML).compiled()(phi)
    expected = evaluate(phi, plan, stats, REML)
    assert float(value) == pytest.approx(expected.criterion, rel=1e-13)
    size = np.abs(expected.gradient).max()
    np.testing.assert_allclose(gradient, expected.gradient, rtol=1e-9, atol=1e-9 * size)


def test_a_penalty_of_ones_own_is_differentiated_with_it() -> None:
    d = design("slope")
    stats = cross_products(d)
    plan = make_plan(d, stats)
    graph = criterion_graph(plan, stats, True)
    total = graph.criterion + 3.0 * (graph.phi**2).sum()
    function = pytensor.function([graph.phi], pytensor.grad(total, graph.phi), mode=MODE)
    phi = start_phi(plan)
    expected = evaluate(phi, plan, stats, True).gradient + 6.0 * phi
    np.testing.assert_allclose(function(phi), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("REML", [True, False], ids=["REML", "ML"])
@pytest.mark.parametrize("kind", FORMULAS)
def test_a_fit_by_the_graph_is_the_same_fit(kind, REML) -> None:
    d = design(kind, weighted=True, offset=True)
    ours, theirs = (
        solve(d, REML=REML, control=Control(optimizer=name)) for name in ("pytensor", "newton")
    )
    assert "PyTensor graph" in ours.certificate.route
    assert ours.certificate.holds == theirs.certificate.holds
    one, other = ours.solution, theirs.solution
    assert one.reml_criterion == pytest.approx(other.reml_criterion, rel=1e-9)
    assert one.deviance == pytest.approx(other.deviance, rel=1e-9)
    np.testing.assert_allclose(one.beta, other.beta, rtol=1e-6, atol=1e-8)


FITS = {
    "sleepstudy": "Reaction ~ Days + (Days | Subject)",
    "Dyestuff2": "Yield ~ 1 + (1 | Batch)",
    "Penicillin": "diameter ~ 1 + (1 | plate) + (1 | sample)",
    "Pastes": "strength ~ 1 + (1 | batch/cask)",
    "cake": "angle ~ recipe * temperature + (1 | recipe:replicate)",
}


@pytest.mark.parametrize("name", FITS)
def test_method_of_lmer(name) -> None:
    data = nm.load_dataset(name)
    fit = nm.lmer(FITS[name], data, method="pytensor")
    exact = nm.lmer(FITS[name], data)
    assert fit.certificate.control.optimizer == "pytensor"
    assert fit.criterion == pytest.approx(exact.criterion, abs=1e-9 * abs(exact.criterion))
    assert fit.is_singular() == exact.is_singular()
    assert str(fit.varcorr()) == str(exact.varcorr())


def test_penalised_by_the_graph() -> None:
    data = nm.load_dataset("Dyestuff2")
    one, other = (
        nm.lmer("Yield ~ 1 + (1 | Batch)", data, penalty="wishart", method=method)
        for method in ("pytensor", "newton")
    )
    np.testing.assert_allclose(one.theta, other.theta, rtol=1e-7)


def test_methods_that_are_none() -> None:
    data = nm.load_dataset("Dyestuff")
    with pytest.raises(OptionError, match="newton, pytensor, lme4"):
        nm.lmer("Yield ~ 1 + (1 | Batch)", data, method="nelder")
    with pytest.raises(OptionError, match="different optimizers"):
        nm.lmer("Yield ~ 1 + (1 | Batch)", data, method="pytensor",
                control=Control(optimizer="lme4"))  # fmt: skip


def test_fits_by_graphs_in_threads() -> None:
    data = nm.load_dataset("Penicillin")
    formula = "diameter ~ 1 + (1 | plate) + (1 | sample)"
    rng = np.random.default_rng(3)
    tables = [data.assign(diameter=data.diameter + rng.normal(size=len(data))) for _ in range(12)]

    def theta(table):
        return nm.lmer(formula, table, method="pytensor").theta

    expected = [theta(table) for table in tables]
    with ThreadPoolExecutor(6) as pool:
        for found, known in zip(pool.map(theta, tables), expected, strict=True):
            # the sweeps may have been compiled in between: their last bits are others
            np.testing.assert_allclose(found, known, rtol=1e-6, atol=1e-8)
