"""One row that describes a fit: broom.mixed's ``glance``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

if TYPE_CHECKING:
    from nestedmlm.fits.lmer_fit import LmerFit


def glance(fit: LmerFit) -> pd.DataFrame:
    """One row with the numbers by which fits are compared.

    Returns
    -------
    DataFrame
        ``nobs, npar, sigma, log_lik, aic, bic, reml_criterion, deviance, df_residual, REML,
        converged, singular``. As in lme4, `log_lik`, `aic` and `bic` of a REML fit are those
        of the REML criterion; `deviance` is -2 log-likelihood at the same theta. A generalized
        model has `dispersion` in place of `sigma`, no REML, and the conditional deviance.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> fit = nm.lmer("Yield ~ 1 + (1 | Batch)", nm.load_dataset("Dyestuff"))
    >>> fit.glance()[["nobs", "sigma", "log_lik", "aic", "bic", "df_residual"]].round(3)
       nobs  sigma  log_lik      aic      bic  df_residual
    0    30  49.51 -159.827  325.654  329.858           27
    """
    linear = fit.core.family is None
    numbers = {
        "nobs": fit.nobs,
        "npar": fit.npar,
        **({"sigma": fit.sigma} if linear else {"dispersion": fit.core.dispersion}),
        "log_lik": fit.llf,
        "aic": fit.aic,
        "bic": fit.bic,
        **({"reml_criterion": fit.reml_criterion} if linear else {}),
        "deviance": fit.deviance,
        "df_residual": fit.df_resid,
        **({"REML": fit.REML} if linear else {}),
        "converged": fit.converged,
        "singular": fit.is_singular(),
    }
    return pd.DataFrame([numbers])
