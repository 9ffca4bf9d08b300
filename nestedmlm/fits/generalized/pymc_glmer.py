"""Draws from the posterior of a generalized linear mixed model, in one call."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nestedmlm.arguments import checked
from nestedmlm.families import resolve_family
from nestedmlm.fits.bayes_fit import BayesFit
from nestedmlm.fits.model import Model
from nestedmlm.formula import Formula


@checked
def pymc_glmer(
    formula: str | Formula,
    data: Any,
    *,
    family: Any,
    link: Any = None,
    priors: Mapping[str, Any] | None = None,
    marginal: bool | str = "auto",
    draws: int = 1000,
    tune: int | None = None,
    chains: int = 4,
    cores: int | None = None,
    sampler: str = "auto",
    backend: str = "auto",
    seed: int | None = None,
    progress: bool = True,
    target_accept: float = 0.8,
    weights: Any = None,
    offset: Any = None,
    contrasts: Mapping[str, Any] | None = None,
    na_action: str = "omit",
    double_bar: str = "split",
    env: Mapping[str, Any] | None = None,
) -> BayesFit:
    """Draw from the posterior of a generalized linear mixed model.

    Parameters
    ----------
    formula : str or Formula
        As for `glmer`: ``"cbind(incidence, size - incidence) ~ period + (1 | herd)"``.
    data : DataFrame, mapping of arrays, or anything narwhals can read
        One row for each observation. Never changed.
    family : str or Family
        ``binomial``, ``poisson``, ``negativebinomial``, ``gamma``, ``inverse_gaussian``, ``beta``,
        ``gaussian`` (with a link), ``t`` (a linear model with outliers), or one of
        `nestedmlm.families`.
    link : str or Link, optional
        Where it is not the usual one: ``"probit"``, ``"cloglog"``.
    priors : mapping of str to Prior, number or callable, optional
        Priors by the posterior's names, on the scale of the link, in place of the defaults, which
        ``nm.Model(formula, data, family=...).priors`` shows.
    marginal : {"auto", False, "laplace"}
        Sample the random effects with the rest (False, and "auto" but for `psis`), or integrate
        them out by the Laplace approximation, which is approximate.
    draws, chains : int
        Draws kept of each chain, and chains.
    tune : int, optional
        Warm-up of each chain; by default as much as the form needs.
    cores : int, optional
        How many chains run at a time.
    sampler : {"auto", "nutpie", "pymc", "numpyro", "blackjax", "psis"}
        ``psis``: importance sampling around the mode of the Laplace approximation, corrected by
        importance weights of each group (``marginal="laplace"``: not corrected); nothing to
        compile.
    backend : {"auto", "python", "numba", "c", "jax"}
        What evaluates the density for nutpie: "numba" ("auto"), "c" (compiles sooner, runs
        slower), "jax"; of ``marginal="laplace"`` "python", with nothing to compile.
    seed : int, optional
        The same seed, the same draws. PyMC's name, ``random_seed``, is taken too.
    progress : bool
        False: no progress bar, and no message that something is compiled.
    target_accept : float
        Between 0 and 1; nearer to 1 against divergences.
    weights, offset : str or array, optional
        Numbers of trials of proportions, else prior weights; and what is added to the linear
        predictor: the name of a column, or one number for each row of the data.
    contrasts : mapping, optional
        Coding of factors in the fixed part: ``{"cond": "sum"}``, or a matrix; by default
        treatment contrasts.
    na_action : {"omit", "exclude", "raise"}
        Rows with missing values are left out, left out but kept (as NaN) in residuals and
        predictions, or refused.
    double_bar : {"split", "diag"}
        ``(f || g)`` as lme4 reads it, or one block with a diagonal covariance (as afex).
    env : mapping of str to object, optional
        Variables and functions that the formula may use where the data have no such column.

    Returns
    -------
    BayesFit

    Raises
    ------
    OptionError
        For an unknown sampler, backend or form, a prior of what is not there, or a prior that does
        not go with its parameter.
    ResponseError
        For a response that the family does not take, with its first row.
    SamplingError
        If the sampler cannot start, or importance sampling does not cover the posterior (Pareto k
        above 0.7).
    MissingSamplerError
        If the sampler's package is not installed.

    Warns
    -----
    SamplingWarning
        If there were divergences, R-hat is high, or effective draws are few.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> posterior = nm.pymc_glmer(
    ...     "cbind(incidence, size - incidence) ~ period + (1 | herd)", nm.load_dataset("cbpp"),
    ...     family="binomial", sampler="psis", draws=250, seed=1)
    >>> posterior.parameters().index.tolist()
    ['(Intercept)', 'period2', 'period3', 'period4', 'sd_(Intercept)|herd']
    """
    resolve_family(family, link)  # bad ones are named, None too; the model asks a name's own link
    model = Model(
        formula, data, weights=weights, offset=offset, contrasts=contrasts, na_action=na_action,
        double_bar=double_bar, env=env, family=family, link=link,
    )  # fmt: skip
    return model.sample(
        priors=priors, marginal=marginal, draws=draws, tune=tune, chains=chains, cores=cores,
        sampler=sampler, backend=backend, seed=seed, progress=progress,
        target_accept=target_accept,
    )  # fmt: skip
