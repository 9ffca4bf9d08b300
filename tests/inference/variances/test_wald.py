"""Standard errors of variance parameters: by differences of the exact gradient, and remembered."""

from __future__ import annotations

import numpy as np
import pytest
from designs import FORMULAS, data

import nestedmlm as nm
from nestedmlm.design.model_parameters import ModelParameter
from nestedmlm.inference.effects import trace_sums
from nestedmlm.inference.effects.kenward_roger import kenward_roger
from nestedmlm.inference.effects.satterthwaite import curvature_at, satterthwaite
from nestedmlm.inference.profile.coordinates import free_coordinates
from nestedmlm.inference.profile.deviance import deviance_at
from nestedmlm.inference.variances.wald import variance_estimates, wald_interval

KINDS = [
    "slope", "several terms on one factor", "nested chain of three", "crossed",
    "nested within crossed", "no fixed effects", "compound symmetry", "autoregressive",
]  # fmt: skip


def by_differences(fit, free):
    """Hessian in the free parameters and log sigma, from the gradient of the criterion."""
    coordinates = free_coordinates(fit.solution)
    z, places = coordinates.start, [*(free + 1), 0]
    columns = []
    for at in places:
        e = np.where(np.arange(len(z)) == at, 1e-5 * max(1.0, abs(z[at])), 0.0)
        up, down = (deviance_at(z + s * e, coordinates, REML=fit.REML).gradient for s in (1, -1))
        columns.append((up - down)[places] / (2.0 * e[at]))
    return np.column_stack(columns)


@pytest.mark.parametrize("REML", [True, False], ids=["REML", "ML"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.filterwarnings("ignore")
def test_curvature_by_differences(kind, REML):
    fit = nm.lmer(FORMULAS[kind], data(), REML=REML, weights="w")
    found = curvature_at(fit.core)
    assert len(found.free) or fit.is_singular()
    scale = np.sqrt(np.abs(np.diag(found.hessian)))
    off = (found.hessian - by_differences(fit, found.free)) / np.outer(scale, scale)
    assert np.abs(off).max() < 2e-6


def test_standard_errors_are_of_the_inverse_hessian():
    fit = nm.lmer("Reaction ~ Days + (1 | Subject)", nm.load_dataset("sleepstudy"))
    found = variance_estimates(fit.core)
    H = by_differences(fit, np.array([0]))
    spread = 2.0 * np.linalg.inv(H)
    sd = np.array([fit.sigma, fit.theta[0]])  # sd = sigma theta; one factor's scale is its theta's
    unit = fit.theta[0] / fit.core.phi[0]
    slopes = np.array([[fit.sigma * unit, fit.sigma * sd[1]], [0.0, fit.sigma]])
    assert found.se == pytest.approx(np.sqrt(np.diag(slopes @ spread @ slopes.T)), rel=1e-6)


def test_without_memory_for_the_traces_information_is_averaged(monkeypatch):
    model = "y ~ x + (1 | f1) + (1 | c1)", data(400)
    exact = nm.lmer(*model).core
    spread, se = satterthwaite(exact).spread, variance_estimates(exact).se
    monkeypatch.setattr(trace_sums, "available_memory", lambda: 100)
    fit = nm.lmer(*model).core
    method = satterthwaite(fit)
    assert method.notes == ("Satterthwaite's method by average information (memory)",)
    assert not np.allclose(method.spread, spread, rtol=1e-6)
    assert np.diag(method.spread) == pytest.approx(np.diag(spread), rel=0.3)
    assert variance_estimates(fit).se == pytest.approx(se, rel=0.3)


@pytest.mark.parametrize("method", [satterthwaite, kenward_roger, curvature_at])
def test_a_fit_is_differentiated_once(method):
    fit = nm.lmer("Reaction ~ Days + (1 | Subject)", nm.load_dataset("sleepstudy"))
    assert method(fit.core) is method(fit.core)
    assert method(fit.refit(fit.model.design.y * 2.0).core) is not method(fit.core)


def test_a_parameter_that_rounding_puts_at_its_end_has_no_interval() -> None:
    rho = ModelParameter(kind="residual", name="rho", lower=0.0, upper=1.0)
    for estimate in (0.0, 1.0, 1e-17):
        assert np.isnan(wald_interval(rho, estimate, 0.1, 1.96)).all()
    low, high = wald_interval(rho, 0.5, 0.1, 1.96)
    assert 0.3 < low < 0.5 < high < 0.7
