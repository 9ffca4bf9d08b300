"""The tests that an analysis of power of a generalized model can use, and its planned test.

Without simulation the test of fixed effects is Wald's, with a noncentral chi-squared distribution:
their information is that of the working linear model, ``X'(W^{-1} + Z Sigma Z')^{-1} X`` with the
weights W at linear predictors that are drawn, averaged over draws (Breslow & Clayton 1993, section
2.1).
"""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from nestedmlm._typing import FloatArray
from nestedmlm.design.design import Design
from nestedmlm.errors import NestedMLMError
from nestedmlm.fits.simulation.powertests import (
    PowerTask,
    PValues,
    Tests,
    make_task,
    unit_covariance,
)
from nestedmlm.fits.simulation.tested_effect import TestedEffect
from nestedmlm.inference.effects.planned_test import PlannedTest
from nestedmlm.inference.means.generalized_linear import generalized_linear_fit
from nestedmlm.inference.rows.generalized_residuals import ResponseAt
from nestedmlm.inference.rows.working_model import working_weights
from nestedmlm.likelihood.glmm.glmm_model import make_model
from nestedmlm.likelihood.plan import term_shapes
from nestedmlm.optimum.glmm.solve_glmm import GlmmSolved, solve_glmm
from nestedmlm.statistics.crossproducts import CrossProducts, cross_products

if TYPE_CHECKING:
    from nestedmlm.fits.simulation.scenario import Scenario

_SEED = 12  # of linear predictors, whose working weights are averaged over


def _solved(scene: Scenario, design: Design, y: FloatArray, *, true: bool) -> GlmmSolved:
    """A replicate's optimum, from the true parameters where the design is the scenario's."""
    assert scene.family is not None
    assert scene.approximation is not None
    how, start = scene.approximation, dict[str, object]()
    if true:
        start |= {"theta": scene.theta, "beta": scene.beta}
        if scene.family.has_dispersion:
            start["dispersion"] = scene.dispersion
    own = design.with_response(np.ascontiguousarray(y))
    return solve_glmm(own, scene.family, nAGQ=how.nAGQ, information=how.information, start=start)


def _each(pvalue: Callable[[FloatArray], float]) -> PValues:
    """P-values of columns; NaN for a response that cannot be fitted."""

    def run(Y: FloatArray) -> FloatArray:
        found = np.full(Y.shape[1], np.nan)
        for i, y in enumerate(Y.T):
            try:
                found[i] = pvalue(y)
            except (NestedMLMError, ArithmeticError, np.linalg.LinAlgError):
                continue
        return found

    return run


def _wald(scene: Scenario, tested: TestedEffect, workers: int) -> PValues:
    """Estimates over standard errors of the joint Hessian, as a summary prints them."""
    columns = list(tested.columns)

    def pvalue(y: FloatArray) -> float:
        from scipy.special import chdtrc

        found = _solved(scene, scene.design, y, true=True)
        cov, b = found.cov_params()[np.ix_(columns, columns)], found.solution.beta[columns]
        return float(chdtrc(len(columns), b @ np.linalg.solve(cov, b)))

    return _each(pvalue)


def _ratio(scene: Scenario, tested: TestedEffect, workers: int) -> PValues:
    """Likelihood ratio against chi-squared."""
    null, family = tested.null, scene.family
    assert family is not None
    df = len(tested.columns)
    if tested.term is not None:
        df = term_shapes(scene.design)[tested.term].count

    def pvalue(y: FloatArray) -> float:
        from scipy.special import chdtrc

        large = _solved(scene, scene.design, y, true=True).solution.deviance
        if null is None:  # no random effect is left
            own = scene.design.with_response(np.ascontiguousarray(y))
            small = -2.0 * generalized_linear_fit(own, family).llf
        else:
            small = _solved(scene, null, y, true=False).solution.deviance
        return float(chdtrc(df, max(small - large, 0.0)))

    return _each(pvalue)


_FIXED: Tests = MappingProxyType({"z": ("z (Wald)", _wald), "lrt": ("likelihood ratio", _ratio)})
_RANDOM: Tests = MappingProxyType({"lrt": ("likelihood ratio, chi-squared (conservative)", _ratio)})


def prepare_generalized_test(
    scene: Scenario, tested: TestedEffect, test: str | None
) -> tuple[PowerTask, CrossProducts]:
    """The task of one test of a generalized model, and the sums that a refit eliminates.

    Raises
    ------
    OptionError
        For a test that is unknown or not for this kind of effect.
    """
    assert scene.family is not None
    task = make_task(scene, tested, test, _FIXED if tested.term is None else _RANDOM, 1)
    return task, make_model(scene.design, scene.family).products.empty


def planned_wald(scene: Scenario, tested: TestedEffect, draws: int) -> PlannedTest:
    """Wald's test of fixed effects before there are data, from draws of linear predictors."""
    distribution, design, family = scene.distribution, scene.design, scene.family
    assert family is not None
    information = np.zeros((design.p, design.p))
    ones = np.ones(design.n)
    prior = ones if design.weights is None else design.weights
    for way in np.random.SeedSequence(_SEED).spawn(draws):
        rng = np.random.default_rng(way)
        eta, y = distribution.predictor(rng), rng.standard_normal(design.n)  # y does not matter
        at = ResponseAt(family=family, dispersion=scene.dispersion, y=y, weights=prior, eta=eta)
        own = design.with_response(y).with_weights(working_weights(at))
        information += np.linalg.inv(unit_covariance(own, cross_products(own), scene.theta))
    columns = list(tested.columns)
    cov = np.linalg.inv(information / draws)[np.ix_(columns, columns)]
    return PlannedTest(cov=cov, num_df=len(columns), den_df=float("inf"))
