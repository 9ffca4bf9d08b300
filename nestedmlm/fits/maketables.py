"""maketables' plug-in format: coefficients and statistics of a fit for ``ETable([fit, ...])``.

`LmerFit` and `BayesFit` bind these functions under the names of the format,
``__maketables_coef_table__`` and so on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import pandas as pd

from nestedmlm.fits.fit_statistics import nakagawa_r2
from nestedmlm.views.parameters import parameter_table
from nestedmlm.views.protocols import EitherFit, LikelihoodFit

# maketables' keys (and some of our own) for what both engines have
_STATISTICS: Mapping[str, Callable[[EitherFit], Any]] = MappingProxyType(
    {
        "N": lambda fit: int(fit.nobs),
        "r2_marginal": lambda fit: nakagawa_r2(fit)["marginal"],
        "r2_conditional": lambda fit: nakagawa_r2(fit)["conditional"],
        "sigma": lambda fit: float(fit.sigma),
        "groups": lambda fit: ", ".join(f"{k}: {v}" for k, v in fit.ngrps.items()),
        "method": lambda fit: fit.engine,
        "se_type": lambda fit: "posterior SD" if fit.engine == "posterior" else "model-based",
    }
)
# for what a posterior has not
_OF_LIKELIHOOD: Mapping[str, Callable[[LikelihoodFit], Any]] = MappingProxyType(
    {
        "ll": lambda fit: fit.llf,
        "aic": lambda fit: fit.aic,
        "bic": lambda fit: fit.bic,
        "deviance": lambda fit: fit.deviance,
        "df_resid": lambda fit: fit.df_resid,
    }
)
_LABELS = MappingProxyType(
    {
        "r2_marginal": "R² marginal",
        "r2_conditional": "R² conditional",
        "sigma": "Residual SD",
        "groups": "Groups",
        "method": "Estimation",
    }
)


def coef_table(fit: EitherFit) -> pd.DataFrame:
    """Coefficients: ``b, se, t, p, ci95l, ci95u``; the p-values Satterthwaite's."""
    table = parameter_table(fit, random=False)
    p_values: Any = float("nan")
    if fit.engine != "posterior" and fit.design.p:
        p_values = fit.pvalues
    frame = pd.DataFrame(
        {
            "b": table["estimate"],
            "se": table["std_error"],
            "t": table["estimate"] / table["std_error"],
            "p": p_values,
            "ci95l": table["conf_low"],
            "ci95u": table["conf_high"],
        }
    )
    return frame.rename(index={"(Intercept)": "Intercept"}).rename_axis("Coefficient")


def stat(fit: EitherFit, key: str) -> Any:
    """One fit statistic by maketables' key; None where there is none."""
    if key in _STATISTICS:
        return _STATISTICS[key](fit)
    if fit.engine == "posterior" or key not in _OF_LIKELIHOOD:
        return None
    return _OF_LIKELIHOOD[key](fit)


def depvar(fit: EitherFit) -> str:
    """The response."""
    return str(fit.design.formula.response_text)


def fixef_string(fit: EitherFit) -> None:
    """Absorbed fixed effects: a mixed model has none."""


def vcov_info(fit: EitherFit) -> dict[str, Any]:
    """How standard errors were made."""
    return {"vcov_type": _STATISTICS["se_type"](fit), "clustervar": None}


def stat_labels(fit: EitherFit) -> dict[str, str]:
    """Labels of the statistics that maketables does not know."""
    return dict(_LABELS)


def default_stat_keys(fit: EitherFit) -> list[str]:
    """Keys of the statistics that are shown by default."""
    return ["N", "groups", "r2_marginal", "r2_conditional"]
