"""Draws from the posterior of a fit's model, or of a model that has not been fitted."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from nestedmlm.bayes.density.laplace_density import laplace_density
from nestedmlm.bayes.density.marginal_density import marginal_density
from nestedmlm.bayes.density.named_coordinates import NamedCoordinates
from nestedmlm.bayes.model.distributions import Prior
from nestedmlm.bayes.model.joint_priors import Joint
from nestedmlm.bayes.model.prior_set import PriorSet
from nestedmlm.bayes.model.priors import resolve_priors
from nestedmlm.bayes.sampling.weighted_density import weighted_density
from nestedmlm.errors import OptionError
from nestedmlm.fits.bayes_fit import BayesFit
from nestedmlm.fits.estimates import Estimates
from nestedmlm.fits.from_draws import fit_of_draws
from nestedmlm.fits.generalized.starting_estimates import (
    LAPLACE,
    check_form,
    shared_effects,
    starting_estimates,
    starting_solution,
)
from nestedmlm.posterior.run import read_run

if TYPE_CHECKING:
    from nestedmlm.design.design import Design
    from nestedmlm.fits.lmer_fit import LmerFit
    from nestedmlm.fits.model import Model

_log = logging.getLogger("nestedmlm")
_ON_DENSITIES = ("auto", "nutpie", "psis")


def sample(
    source: Model | LmerFit,
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
    pymc_model: Any = None,
) -> BayesFit:
    """Draw from the posterior, starting from the estimates of the fit.

    Parameters
    ----------
    priors : mapping of str to Prior, number or callable, optional
        Priors by the posterior's names (``{"1|schoolid_sigma": nm.Prior("HalfNormal", sigma=10)}``)
        in place of the defaults, which `Model.priors` shows. A number holds a parameter at it.
    marginal : {"auto", True, False}
        Integrate the random effects out and draw them afterwards, exactly (nothing to compile), or
        sample them with the rest (False). The posterior is the same, and so are its names.
    draws, chains : int
        Draws kept of each chain, and chains.
    tune : int, optional
        Warm-up of each chain; by default as much as the form needs.
    cores : int, optional
        How many chains run at a time.
    sampler : {"auto", "nutpie", "pymc", "numpyro", "blackjax", "psis"}
        ``psis``: importance sampling around the mode; independent draws in about a second, refused
        where its diagnostic says that it does not cover the posterior.
    backend : {"auto", "python", "numba", "c", "jax"}
        What evaluates the density for nutpie. The marginal form: "python", with nothing to
        compile, or "numba", which gains nothing. The other: "numba" ("auto"), "c"
        (compiles sooner, runs slower), "jax".
    seed : int, optional
        The same seed, the same draws. PyMC's name, ``random_seed``, is taken too.
    progress : bool
        False: no progress bar, and no message that something is compiled.
    target_accept : float
        Between 0 and 1; nearer to 1 against divergences.
    pymc_model : pymc.Model, optional
        What to sample in the place of the model made here: one from `to_pymc` that was edited.
        It has its own form and priors. See `BayesFit.from_pymc` for what is read off its draws.

    Returns
    -------
    BayesFit

    Raises
    ------
    OptionError
        For an unknown sampler, backend or form, a prior of what is not there, or a prior that does
        not go with its parameter.
    SamplingError
        If the sampler cannot start, or importance sampling does not cover the posterior (Pareto k
        above 0.7).
    MissingSamplerError
        If the sampler's package is not installed.

    Warns
    -----
    SamplingWarning
        If there were divergences, R-hat is high, or effective draws are few.

    Notes
    -----
    A model that has not been fitted starts from its REML estimates, which it computes first.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> fit = nm.lmer("Yield ~ 1 + (1 | Batch)", nm.load_dataset("Dyestuff"))
    >>> posterior = fit.sample(sampler="psis", draws=250, seed=1)
    >>> round(posterior.sigma, -1)
    50.0
    """
    from nestedmlm.bayes.sampling import sampling, start  # xarray

    specified = source.model if isinstance(source, Estimates) else source
    check_form(marginal, generalized=specified.family is not None)
    if pymc_model is not None and priors is not None:
        raise OptionError("give priors when the PyMC model is made (to_pymc), not when sampling it")
    resolved = None if pymc_model is not None else resolve_priors(source.design, priors)
    built = pymc_model
    if resolved is not None:
        built = density_of(
            source.design, resolved, marginal=marginal, sampler=sampler, backend=backend, seed=seed
        )
    if built is None:
        built = _pymc_model(source, resolved, marginal)
    begin = starting_solution(source)
    estimates = starting_estimates(source, begin)
    values = start.start_values(_free_names(built), source.design, **estimates)
    data = sampling.sample(
        built,
        sampler=sampler,
        backend=backend,
        draws=draws,
        tune=tune,
        chains=chains,
        cores=cores,
        seed=seed,
        progress=progress,
        target_accept=target_accept,
        start=start.within_ends(values, resolved),
    )
    run = read_run(data, seed=seed)
    model = None if isinstance(built, NamedCoordinates) else built
    fit = fit_of_draws(BayesFit, source, data, priors=resolved, model=model, run=run)
    said = () if resolved is None else shared_effects(source, begin)
    return replace(fit, messages=(*fit.messages, *said)) if said else fit


def density_of(
    design: Design,
    priors: PriorSet,
    *,
    marginal: bool | str,
    sampler: str,
    backend: str,
    seed: int | None,
) -> NamedCoordinates | None:
    """The density in closed form that is sampled; None where it is a PyMC model.

    Raises
    ------
    OptionError
        For importance sampling of a generalized model that cannot be.
    """
    asked = {"sampler": sampler, "backend": backend}
    if design.family is None:
        closed = in_closed_form(priors, marginal=marginal, **asked)
        return marginal_density(design, priors) if closed else None
    if marginal == LAPLACE:
        return laplace_density(design, priors) if in_closed_form(priors, **asked) else None
    if sampler != "psis":
        return None
    if marginal is False or not in_closed_form(priors, **asked):
        raise OptionError(
            "sampler='psis' weighs the Laplace approximation (marginal='auto'), and takes priors "
            "that are nm.Prior; sample the hierarchical model with nutpie"
        )
    return weighted_density(design, priors, seed=seed)


def in_closed_form(
    priors: PriorSet, *, sampler: str, backend: str, marginal: bool | str = True
) -> bool:
    """Whether a posterior is sampled without PyMC; why not is said where one might expect it."""
    if not (marginal is True or marginal == "auto"):
        return False
    if sampler not in _ON_DENSITIES or backend not in ("auto", "python"):
        return False
    functions = [name for name, row in priors.items() if not isinstance(row.prior, Prior | Joint)]
    if functions:
        _log.warning(
            "the prior of %s is a function: the posterior is sampled through PyMC, which takes "
            "longer than with nm.Prior",
            ", ".join(functions),
        )
    return not functions


def _pymc_model(source: Model | LmerFit, priors: PriorSet | None, marginal: bool | str) -> Any:
    from nestedmlm.bayes.model.pymc_model import build_model  # PyMC

    return build_model(source.design, priors, marginal=marginal)


def _free_names(built: Any) -> set[str]:
    """Names of the free variables of a density or a PyMC model."""
    if isinstance(built, NamedCoordinates):
        return set(built.names)
    return {rv.name for rv in built.free_RVs}
