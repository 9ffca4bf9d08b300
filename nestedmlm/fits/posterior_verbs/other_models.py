"""The posterior of a changed formula, or of other data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from nestedmlm.bayes.model.prior_set import given_priors, has_name
from nestedmlm.errors import OptionError
from nestedmlm.fits.bayes_estimates import BayesEstimates
from nestedmlm.posterior.run import MARGINAL_OF_FORM

if TYPE_CHECKING:
    from nestedmlm.fits.bayes_fit import BayesFit
    from nestedmlm.fits.model import Model


def update(
    fit: BayesEstimates,
    formula: str,
    *,
    priors: Mapping[str, Any] | None = None,
    marginal: bool | str | None = None,
    draws: int | None = None,
    tune: int | None = None,
    chains: int | None = None,
    cores: int | None = None,
    sampler: str | None = None,
    backend: str = "auto",
    seed: int | None = None,
    progress: bool = True,
    target_accept: float = 0.8,
) -> BayesFit:
    """Sample the posterior of a changed formula, ``.`` standing for what was there.

    Parameters
    ----------
    formula : str
        For example ``". ~ . + x"``.
    priors : mapping of str to Prior, number or callable, optional
        Priors by the posterior's names, by default those that were given, as far as the
        new model has their parameters. A number holds a parameter at it.
    marginal : {"auto", True, False}, optional
        Integrate the random effects out and draw them afterwards, exactly, or sample them with the
        rest (False). This, draws, chains, sampler and seed are by default this posterior's.
    draws, chains : int, optional
        Draws kept of each chain, and chains.
    tune : int, optional
        Warm-up of each chain; by default as much as the form needs.
    cores : int, optional
        How many chains run at a time.
    sampler : {"auto", "nutpie", "pymc", "numpyro", "blackjax", "psis"}, optional
        ``psis``: importance sampling around the mode, in about a second.
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

    Raises
    ------
    FormulaError
        For a formula that cannot be read, with its place.
    OptionError
        For a posterior that was loaded from a file, or of a PyMC model of the user's.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> model = nm.Model("Reaction ~ Days + (1 | Subject)", nm.load_dataset("sleepstudy"))
    >>> posterior = model.sample(sampler="psis", draws=250, seed=1)
    >>> posterior.update(". ~ . - (1 | Subject) + (Days | Subject)").parameters().shape[0]
    6
    """
    options = {
        "priors": priors, "marginal": marginal, "draws": draws, "chains": chains,
        "sampler": sampler, "seed": seed,
    }  # fmt: skip
    work = {
        "tune": tune, "cores": cores, "backend": backend, "progress": progress,
        "target_accept": target_accept,
    }  # fmt: skip
    return _sampled(fit, _source(fit).update(formula), options, work)


def with_data(
    fit: BayesEstimates,
    data: Any,
    *,
    priors: Mapping[str, Any] | None = None,
    marginal: bool | str | None = None,
    draws: int | None = None,
    tune: int | None = None,
    chains: int | None = None,
    cores: int | None = None,
    sampler: str | None = None,
    backend: str = "auto",
    seed: int | None = None,
    progress: bool = True,
    target_accept: float = 0.8,
) -> BayesFit:
    """Sample the posterior of the same model for other data.

    Parameters
    ----------
    data : table
        With the columns that the formula names.
    priors : mapping of str to Prior, number or callable, optional
        Priors by the posterior's names, by default those that were given, as far as the
        new model has their parameters. A number holds a parameter at it.
    marginal : {"auto", True, False}, optional
        Integrate the random effects out and draw them afterwards, exactly, or sample them with the
        rest (False). This, draws, chains, sampler and seed are by default this posterior's.
    draws, chains : int, optional
        Draws kept of each chain, and chains.
    tune : int, optional
        Warm-up of each chain; by default as much as the form needs.
    cores : int, optional
        How many chains run at a time.
    sampler : {"auto", "nutpie", "pymc", "numpyro", "blackjax", "psis"}, optional
        ``psis``: importance sampling around the mode, in about a second.
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

    Raises
    ------
    DataError
        If the table lacks a column, or the model cannot be made of it.
    OptionError
        For a posterior that was loaded from a file, or of a PyMC model of the user's.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> model = nm.Model("Yield ~ 1 + (1 | Batch)", nm.load_dataset("Dyestuff"))
    >>> posterior = model.sample(sampler="psis", draws=250, seed=1)
    >>> posterior.with_data(nm.load_dataset("Dyestuff2")).nobs
    30
    """
    options = {
        "priors": priors, "marginal": marginal, "draws": draws, "chains": chains,
        "sampler": sampler, "seed": seed,
    }  # fmt: skip
    work = {
        "tune": tune, "cores": cores, "backend": backend, "progress": progress,
        "target_accept": target_accept,
    }  # fmt: skip
    return _sampled(fit, _source(fit).with_data(data), options, work)


def _source(fit: BayesEstimates) -> Model:
    if fit.source is None:
        raise OptionError("a posterior that was loaded from a file does not hold its data")
    if fit.priors is None:
        raise OptionError("this posterior is of a PyMC model of yours: edit that one")
    source: Model = fit.source
    return source


def _sampled(
    fit: BayesEstimates, model: Model, options: dict[str, Any], work: dict[str, Any]
) -> BayesFit:
    """Sample as the posterior was sampled, but for `options` that are not None."""
    known = model.priors
    before = given_priors(fit.priors) if fit.priors is not None else {}
    given = {name: prior for name, prior in before.items() if has_name(known, name)}
    own = {
        "priors": given or None,
        "marginal": MARGINAL_OF_FORM[fit.run.form],
        "sampler": fit.run.sampler,
        "draws": fit.n_draws,
        "chains": fit.n_chains,
        "seed": fit.run.seed,
    }
    changed = {name: value for name, value in options.items() if value is not None}
    return model.sample(**(own | changed), **work)
