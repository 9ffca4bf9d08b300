"""The tests that an analysis of power can use where residuals differ or correlate: whole refits.

The residuals' parameters are estimated anew from every response, so that refits share nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from nestedmlm._typing import FloatArray
from nestedmlm.design.design import Design
from nestedmlm.errors import ResidualStructureError
from nestedmlm.fits.simulation.powertests import PowerTask, PValues, Tests, make_task
from nestedmlm.fits.simulation.tested_effect import TestedEffect
from nestedmlm.inference.effects.ddf import df_method, joint_test
from nestedmlm.inference.fitted import Fitted
from nestedmlm.optimum.solve import Solved, solve

if TYPE_CHECKING:
    from nestedmlm.fits.simulation.scenario import Scenario


def _solved(design: Design, y: FloatArray, REML: bool) -> tuple[Design, Solved]:
    own = design.with_response(np.ascontiguousarray(y))
    return own, solve(own, REML=REML)


def _small_sample(method: str, scene: Scenario, tested: TestedEffect, workers: int) -> PValues:
    """F test with degrees of freedom by `method`."""
    L = np.eye(scene.design.p)[list(tested.columns)]

    def pvalue(y: FloatArray) -> float:
        own, found = _solved(scene.design, y, scene.REML)
        fitted = Fitted(design=own, solution=found.solution, REML=found.REML)
        return float(joint_test(df_method(fitted, method), L).p_value)

    return _each(pvalue)


def _wald(scene: Scenario, tested: TestedEffect, workers: int) -> PValues:
    """Estimates over standard errors as chi-squared."""
    columns = list(tested.columns)

    def pvalue(y: FloatArray) -> float:
        from scipy.special import chdtrc

        solution = _solved(scene.design, y, scene.REML)[1].solution
        b, cov = solution.beta[columns], solution.vcov[np.ix_(columns, columns)]
        return float(chdtrc(len(columns), b @ np.linalg.solve(cov, b)))

    return _each(pvalue)


def _ratio(scene: Scenario, tested: TestedEffect, workers: int) -> PValues:
    """Likelihood ratio by maximum likelihood against chi-squared."""
    null = tested.null
    assert null is not None

    def pvalue(y: FloatArray) -> float:
        from scipy.special import chdtrc

        large, small = (_solved(of, y, False)[1].solution.deviance for of in (scene.design, null))
        return float(chdtrc(len(tested.columns), max(small - large, 0.0)))

    return _each(pvalue)


def _each(pvalue: Callable[[FloatArray], float]) -> PValues:
    return lambda Y: np.array([pvalue(y) for y in Y.T])


_FIXED: Tests = MappingProxyType(
    {
        "satterthwaite": ("F, Satterthwaite", partial(_small_sample, "satterthwaite")),
        "lrt": ("likelihood ratio", _ratio),
        "z": ("z (Wald)", _wald),
        "kenward-roger": ("F, Kenward-Roger", partial(_small_sample, "kenward-roger")),
    }
)


def prepare_refitted_test(scene: Scenario, tested: TestedEffect, test: str | None) -> PowerTask:
    """The task of one test of fixed effects where residuals differ or correlate.

    Raises
    ------
    OptionError
        For a test that is unknown.
    ResidualStructureError
        For random effects.
    """
    if tested.term is not None:
        raise ResidualStructureError(
            f"power for {tested.name} is not worked out for residuals that differ or correlate "
            "(dispersion=, residual=): draw with fit.simulate() and compare refits by nm.anova()"
        )
    return make_task(scene, tested, test, _FIXED, 1)
