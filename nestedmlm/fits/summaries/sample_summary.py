"""Draws from the posterior of a summary's model."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from nestedmlm.errors import SamplingError
from nestedmlm.formula import Formula

if TYPE_CHECKING:
    from nestedmlm.fits.bayes_fit import BayesFit
    from nestedmlm.fits.summaries.data_summary import Summary

MANY_EFFECTS = 5_000  # random effects from which NUTS takes ten seconds and more
_log = logging.getLogger("nestedmlm")


def sample(
    summary: Summary,
    formula: str | Formula | None = None,
    *,
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
) -> BayesFit:
    """Draw from the posterior of the whole formula, or of one with fewer terms.

    Parameters
    ----------
    formula : str or Formula, optional
        Some of the columns and groups of this summary's.
    priors : mapping of str to Prior, number or callable, optional
        Priors by the posterior's names, in place of the defaults. A number holds a parameter at it.
    marginal : {"auto", True, False}
        Integrate the random effects out and draw them afterwards, exactly, or sample them with the
        rest (False).
    draws, chains : int
        Draws kept of each chain, and chains.
    tune : int, optional
        Warm-up of each chain; by default as much as the form needs.
    cores : int, optional
        How many chains run at a time.
    sampler : {"auto", "nutpie", "pymc", "numpyro", "blackjax", "psis"}
        ``psis``: importance sampling around the mode. "auto" is that from 5,000 random effects on,
        unless `marginal`, `tune` or `backend` ask for something else, and nutpie below, or where
        the diagnostic of importance sampling (Pareto k) refuses it, which the log says.
    backend : {"auto", "python", "numba", "c", "jax"}
        What evaluates the density for nutpie.
    seed : int, optional
        The same seed, the same draws.
    progress : bool
        False: no progress bar, and no message that something is compiled.
    target_accept : float
        Between 0 and 1; nearer to 1 against divergences.

    Returns
    -------
    BayesFit
        The draws that the rows give with the same sampler and seed.

    Raises
    ------
    SamplingError
        If `sampler` is ``psis``, and importance sampling does not cover the posterior.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> s = nm.summarise("Yield ~ 1 + (1 | Batch)", nm.load_dataset("Dyestuff"))
    >>> round(s.sample(sampler="psis", draws=250, seed=1).sigma, -1)
    50.0
    """
    fit = summary.fit(formula)
    draw = partial(
        fit.sample, priors=priors, marginal=marginal, draws=draws, tune=tune, chains=chains,
        cores=cores, backend=backend, seed=seed, progress=progress, target_accept=target_accept,
    )  # fmt: skip
    plain = (sampler, marginal, tune, backend) == ("auto", "auto", None, "auto")
    if plain and fit.solution.stats.q >= MANY_EFFECTS:
        try:
            return draw(sampler="psis")
        except SamplingError as error:
            _log.warning("importance sampling was given up for NUTS: %s", error)
    return draw(sampler=sampler)
