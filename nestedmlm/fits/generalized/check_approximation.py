"""Check of the approximate likelihood at its optimum, by quadrature or importance sampling."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy.linalg import block_diag

from nestedmlm._typing import FloatArray
from nestedmlm.arguments import check_count
from nestedmlm.bayes.sampling.pareto import smooth_weights
from nestedmlm.bayes.sampling.psis import MAX_KHAT
from nestedmlm.callers import PACKAGE
from nestedmlm.covariance import relative_factors
from nestedmlm.errors import OptionError, SamplingWarning
from nestedmlm.fits.generalized.options import check_quadrature
from nestedmlm.inference.variances.parameters import values_at
from nestedmlm.likelihood.glmm.importance import sample_likelihood
from nestedmlm.likelihood.glmm.quadrature import MOST_COLUMNS, make_grid
from nestedmlm.likelihood.plan import jacobian, theta_of_phi

if TYPE_CHECKING:
    from nestedmlm.fits.glmer_fit import GlmerFit

_NODES, _DRAWS = 9, 4000  # points for each effect; draws of importance sampling


def check_approximation(
    fit: GlmerFit, *, nAGQ: int | None = None, nsim: int | None = None, seed: int = 0
) -> pd.DataFrame:
    """Distance of the approximation from the likelihood, at its optimum.

    By quadrature for one grouping factor with up to three effects, else by importance sampling
    from the approximation.

    Parameters
    ----------
    nAGQ : int, optional
        Points of adaptive Gauss-Hermite quadrature for each random effect; 9 by default.
    nsim : int, optional
        Draws of importance sampling; 4000 by default. Given, it is taken for one grouping factor,
        too.
    seed : int
        Of the draws.

    Returns
    -------
    DataFrame
        One row for each fixed effect, standard deviation and correlation: ``estimate``,
        ``std_error`` (fixed effects), ``change``: what a refit by the better criterion would
        change, to first order (minus the inverse Hessian times its gradient), and ``mc_error``, the
        Monte Carlo standard error of the change (0 by quadrature).
        ``attrs["criterion"]`` is the better -2 log-likelihood at these estimates,
        ``attrs["difference"]`` how much it is above that of the fit, ``attrs["mc_error"]`` its
        Monte Carlo standard error, ``attrs["method"]`` how it was found, and ``attrs["khat"]`` the
        Pareto k of the weights that vary most (NaN by quadrature).

    Raises
    ------
    OptionError
        For quadrature of models with more than one grouping factor; for a fit by at least as many
        points, or with ``nAGQ=0``, whose fixed effects are not those of the criterion.

    Warns
    -----
    SamplingWarning
        If the weights cannot be trusted (k-hat above 0.7): there is no telling then, and changes
        are missing.

    Notes
    -----
    Where changes are a good part of a standard error, fit again with ``nAGQ`` or sample the
    posterior: with few rows of 0 and 1 in a group, variances by the Laplace approximation may be
    far off. Sets of rows that share no level have weights of their own; crossed factors make one
    set of all, whose weights vary the more the more levels there are. Pareto k: Vehtari, Simpson,
    Gelman, Yao & Gabry (2024), JMLR 25(72).

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
    if fit.nAGQ == 0:
        raise OptionError(
            "the fixed effects of a fit with nAGQ=0 are at the joint mode, not at the optimum of a "
            "likelihood: fit with nAGQ=1, and check that"
        )
    better = _better_criterion(fit, nAGQ, nsim, seed)
    here, solved, s = fit.solved.here, fit.solved, fit.solution
    plan, stats = s.plan, s.stats
    nt, p = plan.n_theta, stats.p
    wanted, R_inverse = fit.core.parameters, np.linalg.inv(stats.R_x)

    def values(step: np.ndarray) -> np.ndarray:
        theta = theta_of_phi(here.point[:nt] + step[:nt], plan, stats)
        T = relative_factors(theta, plan.shapes)
        beta = s.beta + R_inverse @ step[nt : nt + p]
        out = values_at(wanted, plan.shapes, theta=theta, T=T, sigma=1.0, beta=beta)
        # what is none of these is the family's own, whose logarithm comes last
        return np.where(np.isnan(out), np.exp(here.point[-1] + step[-1]), out)

    step = -solved.covariance @ better.gradient
    root = solved.covariance @ _root(better.gradient_covariance)
    before, after = values(np.zeros_like(step)), values(step)
    spread = [0.5 * (values(step + column) - values(step - column)) for column in root.T]
    errors = dict(fit.bse)
    names = [parameter.name for parameter in wanted]
    frame = pd.DataFrame(
        {
            "estimate": before,
            "std_error": [errors.get(name, np.nan) for name in names],
            "change": after - before,
            "mc_error": np.sqrt(np.sum(np.square(spread), axis=0)),
        },
        index=pd.Index(names, name="term"),
    )
    frame.attrs |= {
        "criterion": better.value,
        "difference": better.value - float(here.value),
        "mc_error": better.error,
        "method": better.method,
        "khat": better.khat,
    }
    if better.khat > MAX_KHAT:
        frame[["change", "mc_error"]] = np.nan
        warnings.warn(
            f"cannot tell how good the approximation is: Pareto k of the importance weights is "
            f"{better.khat:.2f}, above {MAX_KHAT} (more draws rarely help); sample the posterior "
            "and compare, fit.sample()",
            SamplingWarning,
            skip_file_prefixes=PACKAGE,
        )
    return frame


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BetterCriterion:
    """A criterion nearer to the likelihood, at the optimum of the approximation.

    Attributes
    ----------
    value, error : float
        With its Monte Carlo standard error.
    gradient : (n,) array
        In the coordinates of the optimizer.
    gradient_covariance : (n, n) array
        Monte Carlo covariance of it.
    method : str
    khat : float
        NaN without weights.
    """

    value: float
    error: float
    gradient: FloatArray
    gradient_covariance: FloatArray
    method: str
    khat: float


def _better_criterion(
    fit: GlmerFit, nAGQ: int | None, nsim: int | None, seed: int
) -> BetterCriterion:
    columns = sum(len(term.columns) for term in fit.design.terms)
    gridded = len(fit.design.factors) == 1 and columns <= MOST_COLUMNS
    if nAGQ is not None and nsim is not None:
        raise OptionError("nAGQ= is for quadrature and nsim= for sampling: give one of them")
    if nAGQ is not None or (gridded and nsim is None):
        return _by_quadrature(fit, _NODES if nAGQ is None else nAGQ)
    draws = check_count(_DRAWS if nsim is None else nsim, "nsim", least=100)
    return _by_sampling(fit, draws + draws % 2, seed)


def _by_quadrature(fit: GlmerFit, nAGQ: int) -> BetterCriterion:
    if nAGQ <= max(fit.nAGQ, 1):
        raise OptionError(f"nAGQ={nAGQ}: the fit is by {fit.nAGQ}; give more points")
    check_quadrature(nAGQ, fit.design)
    here = fit.solved.here
    with np.errstate(all="ignore"):
        grid = make_grid(fit.solved.model, nAGQ)
        better = replace(here._objective, nAGQ=nAGQ, grid=grid).at(here.point)
    return BetterCriterion(
        value=float(better.value),
        error=0.0,
        gradient=better.gradient,
        gradient_covariance=np.zeros((len(better.gradient),) * 2),
        method=f"quadrature, nAGQ = {nAGQ}",
        khat=np.nan,
    )


def _by_sampling(fit: GlmerFit, draws: int, seed: int) -> BetterCriterion:
    here, model = fit.solved.here, fit.solved.model
    ev, objective = here._evaluation, here._objective
    with np.errstate(all="ignore"):
        found = sample_likelihood(
            model, ev.T, ev.approximation.modes, ev.dispersion, draws=draws, seed=seed
        )
    D = block_diag(jacobian(ev.phi, objective.plan).T, np.eye(len(found.slope) - len(ev.T)))
    D = D[: len(here.point)]  # without a dispersion, its row is none of the coordinates
    # of penalties: what the objective has beside the likelihood
    value, gradient = here.value - ev.criterion, here.gradient - ev.gradient
    return BetterCriterion(
        value=found.value + value,
        error=found.error,
        gradient=D @ found.slope + gradient,
        gradient_covariance=D @ found.slope_covariance @ D.T,
        method=f"importance sampling, {draws} draws",
        khat=smooth_weights(found.log_weights[found.worst])[1],
    )


def _root(covariance: FloatArray) -> FloatArray:
    """A square root of a covariance that may be singular."""
    values, vectors = np.linalg.eigh(covariance)
    out: FloatArray = vectors * np.sqrt(np.maximum(values, 0.0))
    return out
