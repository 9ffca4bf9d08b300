"""`sample`: draws from a posterior by the sampler asked for."""

from __future__ import annotations

import operator
import shlex
from collections.abc import Mapping
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any

import xarray as xr

from nestedmlm.bayes.density.marginal_density import MarginalDensity
from nestedmlm.bayes.density.named_coordinates import NamedCoordinates
from nestedmlm.bayes.model.names import form_of
from nestedmlm.bayes.sampling.samplers import SAMPLERS, Run
from nestedmlm.bayes.sampling.settings import Settings
from nestedmlm.errors import MissingSamplerError, OptionError
from nestedmlm.likelihood.elimination.point_sweep import gradients_serve
from nestedmlm.likelihood.elimination.speed import held, visit_seconds

_TUNE = {True: 200, False: 500}  # warm-up of a preconditioned density, of any other model
_CLIMB = 200  # evaluations on the way to the mode and round it
_PACKAGES = {"jax": ("jax",)}  # that a back-end needs


def sample(
    model: Any,
    *,
    sampler: str = "auto",
    backend: str = "auto",
    draws: int = 1000,
    tune: int | None = None,
    chains: int = 4,
    cores: int | None = None,
    seed: int | None = None,
    progress: bool = True,
    target_accept: float = 0.8,
    start: Mapping[str, Any] | None = None,
) -> xr.DataTree:
    """Draw from the posterior.

    Parameters
    ----------
    model : MarginalDensity, LaplaceDensity or pymc.Model
        A density in closed form, and a marginal model, are sampled without compilation.
    sampler : {"auto", "nutpie", "pymc", "numpyro", "blackjax", "psis"}
        "auto" is nutpie. "psis" gives `draws` times `chains` independent draws by importance
        sampling, for marginal models only.
    backend : {"auto", "python", "numba", "c", "jax"}
        What evaluates the density for nutpie. A marginal model: "python" (nothing to compile), or
        "numba", which calls it from compiled code. Any other: "numba" ("auto"), "c", "jax".
    draws, chains : int
    tune : int, optional
        Warm-up of each chain; by default 200 for marginal models (they start from the mode and
        its curvature), 500 for the rest.
    cores : int, optional
    seed : int, optional
    progress : bool
    target_accept : float
        Between 0 and 1.
    start : mapping, optional
        Values of free variables to start from; see `nestedmlm.bayes.sampling.start.start_values`.

    Returns
    -------
    DataTree
        ``posterior`` and, where the sampler has them, ``sample_stats``. The attributes of
        ``posterior`` say ``sampler``, ``form``, ``tune`` and, for PSIS, ``khat``.

    Raises
    ------
    OptionError
        For an unknown sampler, zero draws or chains, a sampler that cannot take the model.
    MissingSamplerError
        If the sampler's package is not installed.
    SamplingError
        If importance sampling fails (k-hat above 0.7).
    """
    closed = isinstance(model, NamedCoordinates)
    marginal = closed or form_of(model) != "hierarchical"
    name = "nutpie" if sampler == "auto" else sampler
    row = SAMPLERS.get(name) if isinstance(name, str) else None
    if row is None:
        raise OptionError(f"sampler must be one of auto, {', '.join(SAMPLERS)}, not {sampler!r}")
    ways = row.density if closed else row.marginal if marginal else row.other
    if not ways:
        raise OptionError(row.refusal)
    draws, chains = _count("draws", draws), _count("chains", chains)
    settings = Settings(
        sampler=name,
        backend=_backend(backend, name, ways),
        draws=draws,
        tune=_count("tune", _TUNE[marginal] if tune is None else tune, least=0),
        chains=chains,
        cores=None if cores is None else _count("cores", cores),
        seed=seed,
        progress=progress,
        target_accept=_fraction("target_accept", target_accept),
        start=start or {},
    )
    _require(name, tuple(dict.fromkeys([*row.packages, *_PACKAGES.get(settings.backend, ())])))
    with held(_seconds(model, settings)):
        return ways[settings.backend](model, settings)


def _seconds(model: Any, settings: Settings) -> float:
    """Seconds of uncompiled sweeps that the draws take."""
    if not isinstance(model, MarginalDensity) or not model.stats.blocks:
        return 0.0
    stats = model.stats
    draws = (settings.draws + settings.tune) * settings.chains
    if settings.sampler == "psis":  # points are eliminated together
        evaluations = _CLIMB if model.together else _CLIMB + 2 * draws
    else:  # or those of all chains
        evaluations = 8 * draws // (settings.chains if gradients_serve(model.stats) else 1)
    return evaluations * visit_seconds(stats)


def _require(sampler: str, packages: tuple[str, ...]) -> None:
    """Refuse to go on without the packages, each a name or ``name<version``."""
    for package in packages:
        name, _, too_new = package.partition("<")
        found = None if find_spec(name) is None else version(name) if too_new else ""
        if found is None or (too_new and _numbers(found) >= _numbers(too_new)):
            raise MissingSamplerError(
                f"the sampler {sampler!r} needs the package {package!r}"
                + (f" (PyMC cannot use {found})" if found else "")
                + f"; install it with: pip install {' '.join(map(shlex.quote, packages))}"
            )


def _numbers(text: str) -> tuple[int, ...]:
    """Major and minor version."""
    return tuple(int(part) for part in text.split(".")[:2])


def _backend(asked: str, sampler: str, ways: Mapping[str, Run]) -> str:
    """The back-end asked for; by itself the first."""
    if asked == "auto":
        return next(iter(ways))
    if asked not in ways:
        raise OptionError(
            f"the sampler {sampler!r} runs this form of the model with backend "
            f"{' or '.join(map(repr, ways))}, not {asked!r}"
        )
    return asked


def _count(name: str, value: Any, least: int = 1) -> int:
    try:
        number = operator.index(value)
    except TypeError:
        raise OptionError(f"{name} must be a whole number, got {value!r}") from None
    if number < least:
        raise OptionError(f"{name} must be at least {least}, got {number}")
    return number


def _fraction(name: str, value: Any) -> float:
    if not isinstance(value, int | float) or not 0.0 < value < 1.0:
        raise OptionError(f"{name} must lie between 0 and 1, got {value!r}")
    return float(value)
