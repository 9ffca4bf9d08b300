"""Check of the Laplace approximation by quadrature at its optimum."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from nestedmlm.covariance import relative_factors
from nestedmlm.errors import OptionError
from nestedmlm.fits.generalized.options import check_quadrature
from nestedmlm.inference.variances.parameters import values_at
from nestedmlm.likelihood.glmm.quadrature import make_grid
from nestedmlm.likelihood.plan import theta_of_phi

if TYPE_CHECKING:
    from nestedmlm.fits.glmer_fit import GlmerFit


def check_approximation(fit: GlmerFit, *, nAGQ: int = 9) -> pd.DataFrame:
    """Distance of the approximation from the likelihood, by quadrature at its optimum.

    Parameters
    ----------
    nAGQ : int
        Points of adaptive Gauss-Hermite quadrature for each random effect.

    Returns
    -------
    DataFrame
        One row for each fixed effect, standard deviation and correlation: ``estimate``,
        ``std_error`` (fixed effects), ``change``: what a refit by quadrature would change, to first
        order (minus the inverse Hessian times the gradient of the better criterion).
        ``attrs["criterion"]`` is -2 log-likelihood by quadrature at these estimates, and
        ``attrs["difference"]`` how much it is above that of the fit.

    Raises
    ------
    OptionError
        For models with more than one grouping factor, which quadrature does not know; for a fit
        by at least as many points.

    Notes
    -----
    Where changes are a good part of a standard error, fit again with ``nAGQ``: with few rows of 0
    and 1 in a group, variances by the Laplace approximation may be far off.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> fit = nm.glmer("cbind(incidence, size - incidence) ~ period + (1 | herd)",
    ...                nm.load_dataset("cbpp"), family="binomial")
    >>> found = fit.check_approximation()
    >>> round(found.attrs["difference"], 3)
    -0.085
    >>> found.loc["sd_(Intercept)|herd", ["estimate", "change"]].astype(float).round(3).tolist()
    [0.642, 0.005]
    """
    if nAGQ <= max(fit.nAGQ, 1):
        raise OptionError(f"nAGQ={nAGQ}: the fit is by {fit.nAGQ}; give more points")
    check_quadrature(nAGQ, fit.design)
    here, solved = fit.solved.here, fit.solved
    with np.errstate(all="ignore"):
        grid = make_grid(solved.model, nAGQ)
        better = replace(here._objective, nAGQ=nAGQ, grid=grid).at(here.point)
    step = -solved.covariance @ better.gradient
    plan, stats, s = fit.solution.plan, fit.solution.stats, fit.solution
    nt, p = plan.n_theta, stats.p
    wanted = fit.core.parameters
    beta = s.beta + np.linalg.inv(stats.R_x) @ step[nt : nt + p]

    def values(phi: np.ndarray, beta: np.ndarray) -> np.ndarray:
        theta = theta_of_phi(phi, plan, stats)
        T = relative_factors(theta, plan.shapes)
        return values_at(wanted, plan.shapes, theta=theta, T=T, sigma=1.0, beta=beta)

    before = values(here.point[:nt], s.beta)
    after = values(here.point[:nt] + step[:nt], beta)
    errors = dict(fit.bse)
    names = [parameter.name for parameter in wanted]
    frame = pd.DataFrame(
        {
            "estimate": before,
            "std_error": [errors.get(name, np.nan) for name in names],
            "change": after - before,
        },
        index=pd.Index(names, name="term"),
    )
    frame.attrs["criterion"] = float(better.value)
    frame.attrs["difference"] = float(better.value - here.value)
    return frame
