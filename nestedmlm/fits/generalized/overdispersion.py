"""Overdispersion and zeros beyond those that a generalized fit expects."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from nestedmlm._typing import FloatArray
from nestedmlm.errors import OptionError
from nestedmlm.fits.verbs.simulate import simulate
from nestedmlm.inference.rows.generalized_residuals import pearson, response_at
from nestedmlm.likelihood.glmm.modes import find_modes

if TYPE_CHECKING:
    from nestedmlm.fits.glmer_fit import GlmerFit

COUNTS = ("poisson", "negativebinomial", "binomial")


def overdispersion(fit: GlmerFit) -> pd.Series:
    """Overdispersion: the sum of squared Pearson residuals over the residual degrees of freedom.

    Returns
    -------
    Series
        ``statistic`` (the sum), ``df`` (rows minus parameters), ``ratio`` (about 1 if the
        variance is the family's), ``p_value`` (chi-squared, of a larger statistic).

    Notes
    -----
    Bolker et al.'s ``overdisp_fun`` (GLMM FAQ). Rough where counts are small: the random effects
    are taken for known; `check` compares with responses that the model draws instead. A response
    of 0 and 1 cannot be overdispersed, and the ratio says nothing of it. What helps:
    ``family="negativebinomial"``, or a random intercept of each row.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> fit = nm.glmer("TICKS ~ YEAR + cHEIGHT + (1 | BROOD)", nm.load_dataset("grouseticks"),
    ...                family="poisson")
    >>> fit.overdispersion().round(2).to_dict()
    {'statistic': 689.31, 'df': 398.0, 'ratio': 1.73, 'p_value': 0.0}
    """
    from scipy.special import chdtrc

    statistic = float(np.sum(pearson(response_at(fit.core), scaled=True) ** 2))
    df = fit.df_resid
    return pd.Series(
        {
            "statistic": statistic,
            "df": float(df),
            "ratio": statistic / df,
            "p_value": float(chdtrc(df, statistic)),
        },
        name="overdispersion",
    )


def squares_given_modes(fit: GlmerFit, y: FloatArray) -> float:
    """Sum of squared Pearson residuals of a response given its own conditional modes.

    Parameters
    ----------
    y : (n,) array
        Observed or drawn; the parameters are the fit's.
    """
    ev = fit.solved.here._evaluation
    known = ev.approximation.modes
    model = replace(fit.solved.model, y=np.ascontiguousarray(y))
    with np.errstate(all="ignore"):
        modes = find_modes(model, ev.T, known.gamma, ev.dispersion, B=known.B)
    at = replace(response_at(fit.core, modes.eta), y=model.y)
    return float(np.sum(pearson(at, scaled=True) ** 2))


def zero_inflation(fit: GlmerFit, *, nsim: int = 250, seed: int | None = None) -> pd.Series:
    """Zeros of the response beside those of responses that the fitted model draws.

    Parameters
    ----------
    nsim : int
        Responses drawn, with new random effects.
    seed : int, optional

    Returns
    -------
    Series
        ``observed``, ``expected`` (mean over the draws), ``ratio``, ``p_value`` (two-sided, from
        the draws).

    Raises
    ------
    OptionError
        For a family whose responses are no counts.

    Notes
    -----
    DHARMa's ``testZeroInflation``.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> fit = nm.glmer("TICKS ~ YEAR + cHEIGHT + (1 | BROOD) + (1 | INDEX)",
    ...                nm.load_dataset("grouseticks"), family="poisson")
    >>> found = fit.zero_inflation(nsim=100, seed=1)
    >>> int(found["observed"]), bool(found["p_value"] > 0.05)
    (126, True)
    """
    if fit.family.name not in COUNTS:
        raise OptionError(
            f"zeros are counted in responses that are counts; those of the {fit.family.name} "
            "family are not"
        )
    return zeros_beside(fit.design.y, drawn_responses(fit, nsim, seed, use_u=False))


def zeros_beside(y: FloatArray, drawn: FloatArray) -> pd.Series:
    """Zeros of a response beside those of drawn ones: what `zero_inflation` returns."""
    zeros = np.sum(drawn == 0.0, axis=0)
    observed = int(np.sum(y == 0.0))
    more, less = np.sum(zeros >= observed), np.sum(zeros <= observed)
    p_value = min(1.0, 2.0 * (1.0 + min(more, less)) / (1.0 + len(zeros)))
    expected = float(zeros.mean())
    return pd.Series(
        {
            "observed": float(observed),
            "expected": expected,
            "ratio": observed / expected if expected > 0 else np.nan,
            "p_value": float(p_value),
        },
        name="zeros",
    )


def simulated_residuals(
    fit: GlmerFit, *, nsim: int = 250, seed: int | None = None, use_u: bool = False
) -> pd.Series:
    """Residuals by simulation: where each response stands among those that the model draws.

    Parameters
    ----------
    nsim : int
        Responses drawn.
    seed : int, optional
    use_u : bool
        Condition on the random effects (True), or draw them anew.

    Returns
    -------
    Series
        Between 0 and 1, uniform if the model is right, on the caller's index; ties are drawn
        within their range.

    Raises
    ------
    OptionError
        For `nsim` or `seed` that are no whole numbers.

    Notes
    -----
    DHARMa's scaled residuals, for any family. ``fit.residuals("quantile")`` needs no simulation and
    conditions on the random effects.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> fit = nm.glmer("cbind(incidence, size - incidence) ~ period + (1 | herd)",
    ...                nm.load_dataset("cbpp"), family="binomial")
    >>> u = fit.simulated_residuals(seed=1)
    >>> bool(u.between(0.0, 1.0).all()), bool(abs(u.mean() - 0.5) < 0.15)
    (True, True)
    """
    drawn = drawn_responses(fit, nsim, seed, use_u=use_u)
    y = fit.design.y[:, None]
    below, upto = np.sum(drawn < y, axis=1), np.sum(drawn <= y, axis=1)
    # half a draw at either end: what no draw exceeds is not impossible
    rng = np.random.default_rng(None if seed is None else [seed, nsim])
    u = (below + (upto - below + 1.0) * rng.uniform(size=len(y))) / (nsim + 1.0)
    return fit.design.align(u).rename("resid")


def drawn_responses(fit: GlmerFit, nsim: int, seed: int | None, *, use_u: bool) -> FloatArray:
    """Responses drawn for the rows used, (n, nsim)."""
    made: Any = fit
    drawn: FloatArray = simulate(made, nsim, seed, use_u=use_u).to_numpy(dtype=float)
    return drawn[~np.isnan(drawn).any(axis=1)]
