"""Comparison of two models fitted to multiply imputed data sets: D1, D2, D3."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from nestedmlm._typing import FloatArray
from nestedmlm.arguments import check_choice
from nestedmlm.errors import ModelComparisonError, OptionError
from nestedmlm.fits.plain_only import refuse_residuals
from nestedmlm.fits.simulation.supposed_parameters import theta_of_covariances
from nestedmlm.inference.effects.ddf import df_method
from nestedmlm.inference.imputation.given_parameters import deviance_of
from nestedmlm.inference.imputation.pooled_tests import pool_of
from nestedmlm.inference.imputation.rubin import (
    PooledTest,
    likelihood_test,
    statistics_test,
    wald_test,
)
from nestedmlm.views.effect_tests import POOLED_COLUMNS, TestTable

if TYPE_CHECKING:
    from nestedmlm.fits.imputation.pooled_fit import PooledFit
    from nestedmlm.fits.lmer_fit import LmerFit


def compare(fit: PooledFit, null: PooledFit, *, method: str = "D1") -> TestTable:
    """Test a smaller model against this one.

    Parameters
    ----------
    null : PooledFit
        Fitted to the same data sets, with some of this model's terms.
    method : {"D1", "D3", "D2"}
        ``D1``: Wald test of the coefficients that the smaller model lacks. ``D3``: likelihood
        ratios at each data set's estimates and at the pooled ones (Meng & Rubin 1992), of fits by
        maximum likelihood. ``D2``: of each data set's likelihood ratio alone, the crudest. D2 and
        D3 take models that differ in their random effects, with p-values that are too large there.

    Returns
    -------
    TestTable
        ``RIV`` (average relative increase in variance), ``NumDF, DenDF, F value, Pr(>F)``.

    Raises
    ------
    ModelComparisonError
        If the models are not nested so, or of different data sets.
    OptionError
        For an unknown method, and D3 of generalized models and with structures whose covariances
        cannot be averaged.

    Notes
    -----
    R: ``mice::D1``, ``mitml::testModels``. D3 averages fixed effects, covariance matrices and the
    residual variance, as mitml.
    """
    check_choice(method, "method", METHODS)
    if len(fit.fits) != len(null.fits) or fit.nobs != null.nobs:
        raise ModelComparisonError("the models were not fitted to the same imputed data sets")
    found = METHODS[method](fit, null)
    row = (found.riv, found.num_df, found.den_df, found.F, found.p_value)
    table = pd.DataFrame([row], index=[method], columns=list(POOLED_COLUMNS), dtype=float)
    heading = (
        f"Comparison pooled over {len(fit.fits)} imputed data sets", "", f"Model: {fit.formula}",
        f"Null:  {null.formula}",
    )  # fmt: skip
    return TestTable(table=table, heading=heading)


def _wald(fit: PooledFit, null: PooledFit) -> PooledTest:
    names = list(fit.design.x_names)
    own = [i for i, name in enumerate(names) if name not in null.design.x_names]
    terms = [sorted(term.text for term in one.design.terms) for one in (fit, null)]
    if terms[0] != terms[1] or not own or set(null.design.x_names) - set(names):
        raise ModelComparisonError(
            "D1 compares models of which the larger has more fixed effects and the same random "
            "ones: give fits so, or method='D3'"
        )
    methods = [df_method(one.core) for one in fit.fits]
    L = np.eye(len(names))[own]
    pool = pool_of(methods)
    complete = float(np.mean([one.joint(L, L @ one.beta)[1] for one in methods]))
    return wald_test(pool, L, L @ pool.estimate, complete)


def _ratios(fit: PooledFit, null: PooledFit) -> tuple[list[LmerFit], list[LmerFit], int]:
    large, small = (
        [each.refit_ml() if each.REML else each for each in one.fits] for one in (fit, null)
    )
    k = large[0].npar - small[0].npar
    if k < 1:
        raise ModelComparisonError("the null model has as many parameters as the model")
    return large, small, k


def _statistics(fit: PooledFit, null: PooledFit) -> PooledTest:
    large, small, k = _ratios(fit, null)
    pairs = zip(small, large, strict=True)
    return statistics_test(np.array([max(2.0 * (f.llf - s.llf), 0.0) for s, f in pairs]), k)


def _likelihoods(fit: PooledFit, null: PooledFit) -> PooledTest:
    if fit.core.family is not None:
        raise OptionError(
            "D3 evaluates normal likelihoods at the pooled parameters; of generalized models take "
            "method='D1' or 'D2'"
        )
    large, small, k = _ratios(fit, null)
    own = np.array([s.deviance - f.deviance for s, f in zip(small, large, strict=True)])
    return likelihood_test(own, _at_means(small) - _at_means(large), k)


def _at_means(fits: list[LmerFit]) -> FloatArray:
    """Each data set's -2 log-likelihood at the means of all parameters."""
    refuse_residuals(fits[0], "D3", "take method='D1' or 'D2'")
    first = fits[0].design
    beta = np.mean([one.solution.beta for one in fits], axis=0)
    variance = float(np.mean([one.sigma**2 for one in fits]))
    covariances = [
        np.mean([one.sigma**2 * (T @ T.T) for one, T in each], axis=0) / variance
        for each in zip(*([(one, T) for T in one.solution.T] for one in fits), strict=True)
    ]
    try:
        theta = theta_of_covariances(first, covariances)
    except OptionError:
        raise OptionError(
            "D3 averages covariance matrices, and those of structures with parameters of their own "
            "(cs, ar1) have no mean of the same structure: take method='D2'"
        ) from None
    sigma = float(np.sqrt(variance))
    return np.array([deviance_of(one.design, beta, theta, sigma) for one in fits])


METHODS: Mapping[str, Callable[[PooledFit, PooledFit], PooledTest]] = MappingProxyType(
    {"D1": _wald, "D3": _likelihoods, "D2": _statistics}
)
