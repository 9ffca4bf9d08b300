"""What tools of other packages ask of a fit: maketables' plug-in names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import pandas as pd

from nestedmlm.views.parameters import engine, is_posterior, parameter_table

# maketables' keys (and some of our own) for fit statistics
_STATISTICS: Mapping[str, Callable[[Any], Any]] = MappingProxyType(
    {
        "N": lambda fit: int(fit.nobs),
        "r2_marginal": lambda fit: _r2(fit, "marginal"),
        "r2_conditional": lambda fit: _r2(fit, "conditional"),
        "sigma": lambda fit: float(fit.sigma),
        "groups": lambda fit: ", ".join(f"{k}: {v}" for k, v in fit.ngrps.items()),
        "method": engine,
        "se_type": lambda fit: "posterior SD" if is_posterior(fit) else "model-based",
        "ll": lambda fit: None if is_posterior(fit) else fit.llf,
        "aic": lambda fit: None if is_posterior(fit) else fit.aic,
        "bic": lambda fit: None if is_posterior(fit) else fit.bic,
        "deviance": lambda fit: None if is_posterior(fit) else fit.deviance,
        "df_resid": lambda fit: None if is_posterior(fit) else fit.df_resid,
    }
)
_LABELS = {
    "r2_marginal": "R² marginal",
    "r2_conditional": "R² conditional",
    "sigma": "Residual SD",
    "groups": "Groups",
    "method": "Estimation",
}


def _r2(fit: Any, kind: str) -> float:
    found = fit.r2()
    return float(found["estimate"][kind] if is_posterior(fit) else found[kind])


def _p_values(fit: Any) -> pd.Series | float:
    """Satterthwaite's; a posterior has none."""
    if is_posterior(fit) or not fit.design.p:
        return float("nan")
    from nestedmlm.fits.verbs.effects import coefficient_frame

    found: pd.Series = coefficient_frame(fit, "satterthwaite")[0]["Pr(>|t|)"]
    return found


class TableHooks:
    """maketables' plug-in format: ``ETable([fit, ...])`` reads fits as they are."""

    __slots__ = ()

    @property
    def __maketables_coef_table__(self) -> pd.DataFrame:
        """Coefficients: ``b, se, t, p, ci95l, ci95u``."""
        table = parameter_table(self, random=False)
        frame = pd.DataFrame(
            {
                "b": table["estimate"],
                "se": table["se"],
                "t": table["estimate"] / table["se"],
                "p": _p_values(self),
                "ci95l": table["lower"],
                "ci95u": table["upper"],
            }
        )
        return frame.rename(index={"(Intercept)": "Intercept"}).rename_axis("Coefficient")

    def __maketables_stat__(self, key: str) -> Any:
        """One fit statistic by maketables' key; None where there is none."""
        return _STATISTICS[key](self) if key in _STATISTICS else None

    @property
    def __maketables_depvar__(self: Any) -> str:
        """The response."""
        return str(self.design.formula.response_text)

    @property
    def __maketables_fixef_string__(self) -> None:
        """Absorbed fixed effects: a mixed model has none."""

    @property
    def __maketables_vcov_info__(self) -> dict[str, Any]:
        """How standard errors were made."""
        return {"vcov_type": _STATISTICS["se_type"](self), "clustervar": None}

    @property
    def __maketables_stat_labels__(self) -> dict[str, str]:
        """Labels of the statistics that maketables does not know."""
        return dict(_LABELS)

    @property
    def __maketables_default_stat_keys__(self) -> list[str]:
        """What is shown unless asked otherwise."""
        return ["N", "groups", "r2_marginal", "r2_conditional"]
