"""Members of a linear fit that a generalized one does not have, and why."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from nestedmlm.errors import NotDefinedError, RenamedError
from nestedmlm.fits.old_names import NAMES_ELSEWHERE

_LINEAR = "it is a matter of linear models"
ABSENT: Mapping[str, str] = MappingProxyType(
    {
        "sigma": "there is no residual standard deviation: fit.dispersion is the family's own "
        "parameter, where it has one",
        "tvalues": "its tests are z tests: fit.zvalues",
        "reml_criterion": "it is fitted by maximum likelihood: fit.criterion",
        "refit_ml": "it is fitted by maximum likelihood already",
        "refit_many": "its responses are refitted one by one: fit.refit(y)",
        "rstudent": 'it has fit.residuals("quantile"), which are normal if the model is right',
        "hatvalues": f"leverage has no agreed meaning for it: {_LINEAR}",
        "cooks_distance": f"it rests on leverage: {_LINEAR}",
        "influence": f"{_LINEAR}; leave groups out and fit again: fit.refitted(design)",
        "dfbeta": _LINEAR,
        "dfbetas": _LINEAR,
        "residual_cov": "there are no residual covariances: fit.residuals(type)",
        "autocorrelation": 'fit.residuals("quantile") has residuals to correlate',
        "capsule": "the sums that it holds are those of a linear model",
        "r_code": "it writes lme4's function of a linear model",
        "partial_r2": "its tests have no denominator degrees of freedom: fit.r2() has shares of "
        "variance on the latent or the observed scale",
        "polish": "every fit goes to its optimum: fit.converged",
    }
)


def absent(fit: Any, name: str) -> Any:
    """``__getattr__`` of a generalized fit: say why a member of linear fits is not there.

    Raises
    ------
    NotDefinedError, RenamedError
    """
    if name in ABSENT:
        raise NotDefinedError(f"{name} of a generalized model is not defined: {ABSENT[name]}")
    if name in NAMES_ELSEWHERE:
        raise RenamedError(f"GlmerFit has no {name}: write {NAMES_ELSEWHERE[name]}")
    return object.__getattribute__(fit, name)
