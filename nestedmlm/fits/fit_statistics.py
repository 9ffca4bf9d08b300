"""Fit statistics of either engine under the names of the tables that show them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import pandas as pd

from nestedmlm.errors import NotDefinedError
from nestedmlm.views.protocols import LikelihoodFit, TabledFit


def nakagawa_r2(fit: TabledFit) -> dict[str, float]:
    """Marginal and conditional R-squared; of a posterior their means."""
    found = fit.r2()["estimate"] if fit.engine == "posterior" else fit.r2()
    return {name: float(found[name]) for name in ("marginal", "conditional")}


def _groups(fit: TabledFit) -> dict[str, Any]:
    return {f"Groups: {name}": int(count) for name, count in fit.ngrps.items()}


def _r2(fit: TabledFit) -> dict[str, Any]:
    try:
        found = nakagawa_r2(fit)
    except NotDefinedError:  # of a model with smooths: the table has no line for it
        return {}
    return {f"R² {name}": value for name, value in found.items()}


def _of_likelihood(
    read: Callable[[LikelihoodFit], dict[str, Any]],
) -> Callable[[TabledFit], dict[str, Any]]:
    """A statistic that a posterior has not, nor fits to several data sets."""
    return lambda fit: {} if fit.engine == "posterior" or fit.engine == "pooled" else read(fit)


def _icc(fit: TabledFit) -> dict[str, Any]:
    """The adjusted ICC; of a posterior what the residual leaves."""
    if fit.engine == "pooled":
        return {}
    found = fit.icc()
    if fit.engine == "posterior":
        return {"ICC (adjusted)": 1.0 - float(found.loc["Residual", "estimate"])}
    return {"ICC (adjusted)": float(found["adjusted"])}


def _sigma(fit: TabledFit) -> dict[str, Any]:
    if fit.engine == "pooled" or (fit.engine == "posterior" and fit.design.family is not None):
        return {}
    return {"Residual SD": float(fit.sigma)}


# name -> label and value; a statistic that does not apply has no label
STATISTICS: Mapping[str, Callable[[TabledFit], dict[str, Any]]] = MappingProxyType(
    {
        "method": lambda fit: {"Estimation": fit.engine},
        "nobs": lambda fit: {"Observations": int(fit.nobs)},
        "groups": _groups,
        "criterion": _of_likelihood(
            lambda fit: {"REML criterion" if fit.REML else "-2 log-likelihood": fit.criterion}
        ),
        "aic": _of_likelihood(lambda fit: {"AIC": fit.aic}),
        "bic": _of_likelihood(lambda fit: {"BIC": fit.bic}),
        "r2": _r2,
        "icc": _icc,
        "sigma": _sigma,
        "loglik": _of_likelihood(
            lambda fit: {"REML log-likelihood" if fit.REML else "Log-likelihood": fit.llf}
        ),
        "npar": _of_likelihood(lambda fit: {"Parameters": int(fit.npar)}),
        "singular": _of_likelihood(lambda fit: {"Singular": "yes" if fit.is_singular() else "no"}),
        "aic_ml": _of_likelihood(lambda fit: {"AIC (ML)": fit.refit_ml().aic}),
        "bic_ml": _of_likelihood(lambda fit: {"BIC (ML)": fit.refit_ml().bic}),
    }
)
DEFAULT = ("method", "nobs", "groups", "criterion", "aic", "bic", "r2")
# those that hold for one criterion and one set of rows only
STATISTIC_NAMES: Mapping[str, str] = MappingProxyType(
    {"criterion": "criteria", "loglik": "log-likelihoods", "aic": "AIC", "bic": "BIC"}
)


def statistics_frame(fits: Mapping[str, TabledFit], wanted: Sequence[str]) -> pd.DataFrame:
    """One row for each statistic that applies to some model, in the order asked for.

    Parameters
    ----------
    fits : mapping of str to fit
        By the names of the models, which become columns.
    wanted : sequence of str
        Keys of `STATISTICS`.

    Returns
    -------
    DataFrame
        Of objects; None where a statistic does not apply.
    """
    rows: dict[str, dict[str, Any]] = {}
    for name in wanted:
        for model, fit in fits.items():
            for label, value in STATISTICS[name](fit).items():
                rows.setdefault(label, {})[model] = value
    values = [[row.get(model) for model in fits] for row in rows.values()]
    return pd.DataFrame(values, index=list(rows), columns=list(fits), dtype=object)
