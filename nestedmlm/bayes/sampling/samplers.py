"""The samplers: one function each, and the table of them.

A sampler is one row of `SAMPLERS`: for either form of a model, the back-ends that can evaluate
its density, the usual one first. Marginal models go to nutpie as a plain Python function in
coordinates where the posterior is close to standard normal (mode and curvature of the density),
so there is nothing to compile and little to adapt.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import pymc as pm
import xarray as xr

from nestedmlm._typing import FloatArray
from nestedmlm.bayes.model.marginal import is_marginal
from nestedmlm.bayes.model.names import IMPORTANCE
from nestedmlm.bayes.sampling.density import Density, density, reported_names
from nestedmlm.bayes.sampling.mode import Peak, find_peak
from nestedmlm.bayes.sampling.posterior_dataset import make_tree, posterior_dataset
from nestedmlm.bayes.sampling.psis import psis_sample

_log = logging.getLogger("nestedmlm")
_COMPILING = "compiling the model with %s, which may take some ten seconds"
_STATS = ("diverging", "energy", "step_size", "n_steps", "depth", "logp", "tree_depth", "lp",
          "mean_tree_accept", "acceptance_rate", "energy_error")  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Settings of a sampler: what was asked for, checked."""

    sampler: str
    backend: str
    draws: int
    tune: int
    chains: int
    cores: int | None
    seed: int | None
    progress: bool
    target_accept: float
    start: Mapping[str, Any]


class Unevaluable(ValueError):
    """A point where the density cannot be evaluated: nutpie counts it as a divergence."""

    is_recoverable = True


def _nutpie_density(model: pm.Model | Density, settings: Settings) -> xr.DataTree:
    target = _density(model)
    peak = find_peak(target, target.at(settings.start) if settings.start else None)
    compiled = _python_model(
        target, standardised(target, peak), lambda seed: _near_mode(target, peak, seed)
    )
    # threads would only wait for Python's lock
    tree = _run_nutpie(compiled, settings, cores=settings.cores or 1)
    z = tree["posterior"]["x"].to_numpy()
    posterior = posterior_dataset(target, peak.x + z @ peak.root.T)
    return make_tree(posterior, _statistics(tree), _attributes(settings, "marginal"))


def standardised(target: Density, peak: Peak) -> Callable[[FloatArray], tuple[float, FloatArray]]:
    """The density of z, with ``x = mode + root z``; raises `Unevaluable` outside its domain."""
    x0, root, root_t = peak.x, peak.root, np.ascontiguousarray(peak.root.T)

    def logp(z: FloatArray) -> tuple[float, FloatArray]:
        value, gradient = target.logp_grad(x0 + root @ z)
        if not np.isfinite(value):
            raise Unevaluable("the log-density is not finite")
        return value - peak.logp, root_t @ gradient

    return logp


def _near_mode(target: Density, peak: Peak, seed: Any) -> FloatArray:
    """A start as far from the mode as a draw of the posterior would be."""
    rng = np.random.default_rng(seed)
    for _ in range(20):
        z = rng.standard_normal(target.ndim)
        if np.isfinite(target.logp_grad(peak.x + peak.root @ z)[0]):
            return z
    return np.zeros(target.ndim)


def _nutpie_model(model: pm.Model, settings: Settings) -> xr.DataTree:
    import nutpie

    if isinstance(model, Density):
        model = model.model
    if settings.progress:
        _log.warning(_COMPILING, settings.backend)
    compiled = nutpie.compile_pymc_model(
        model,
        var_names=reported_names(model),
        initial_points=dict(settings.start) or None,
        backend=settings.backend,
    )
    tree = _run_nutpie(compiled, settings, cores=settings.cores)
    posterior = tree["posterior"].to_dataset()
    return make_tree(posterior, _statistics(tree), _attributes(settings, form_of(model)))


def _nutpie_c(model: pm.Model, settings: Settings) -> xr.DataTree:
    """The density compiled to C by PyTensor, in the model's own coordinates."""
    if settings.progress:
        _log.warning(_COMPILING, "C")
    target = density(model, compiler="c")
    start = target.at(settings.start)

    def logp(x: FloatArray) -> tuple[float, FloatArray]:
        value, gradient = target.logp_grad(x)
        if not np.isfinite(value):
            raise Unevaluable("the log-density is not finite")
        return value, gradient

    def jittered(seed: Any) -> FloatArray:
        return start + 0.1 * np.random.default_rng(seed).standard_normal(target.ndim)

    tree = _run_nutpie(_python_model(target, logp, jittered), settings, cores=settings.cores or 1)
    posterior = posterior_dataset(target, tree["posterior"]["x"].to_numpy())
    return make_tree(posterior, _statistics(tree), _attributes(settings, form_of(model)))


def _python_model(target: Density, logp: Callable[..., Any], initial: Callable[..., Any]) -> Any:
    """A Python function as nutpie takes it; the draws are points ``x``."""
    from nutpie.compiled_pyfunc import from_pyfunc

    return from_pyfunc(
        target.ndim,
        lambda: logp,
        lambda seed1, seed2, chain: lambda x: {"x": x},
        [np.dtype(np.float64)],
        [(target.ndim,)],
        ["x"],
        make_initial_point_fn=initial,
    )


def _run_nutpie(compiled: Any, settings: Settings, *, cores: int | None) -> xr.DataTree:
    import nutpie

    tree: xr.DataTree = nutpie.sample(
        compiled,
        draws=settings.draws,
        tune=settings.tune,
        chains=settings.chains,
        cores=cores,
        seed=settings.seed,
        target_accept=settings.target_accept,
        progress_bar=settings.progress,
        save_warmup=False,
    )
    return tree


def form_of(model: pm.Model) -> str:
    """Which of the two forms a model has."""
    return "marginal" if is_marginal(model) else "hierarchical"


def _pymc(model: pm.Model | Density, settings: Settings) -> xr.DataTree:
    if isinstance(model, Density):
        model = model.model
    tree = pm.sample(
        draws=settings.draws,
        tune=settings.tune,
        chains=settings.chains,
        cores=settings.cores,
        random_seed=settings.seed,
        progressbar=settings.progress,
        nuts_sampler=settings.sampler,
        initvals=dict(settings.start) or None,
        var_names=reported_names(model),
        model=model,
        compute_convergence_checks=False,
        target_accept=settings.target_accept,
    )
    posterior = tree["posterior"].to_dataset()
    return make_tree(posterior, _statistics(tree), _attributes(settings, form_of(model)))


def _psis(model: pm.Model | Density, settings: Settings) -> xr.DataTree:
    target = _density(model)
    peak = find_peak(target, target.at(settings.start) if settings.start else None)
    result = psis_sample(target, peak, draws=settings.draws * settings.chains, seed=settings.seed)
    points = result.points.reshape(settings.chains, settings.draws, target.ndim)
    extra = {"khat": result.khat, "ess": result.ess, "tune": 0}
    attributes = {**_attributes(settings, "marginal"), **extra}
    variance = result.variance.reshape(settings.chains, settings.draws)
    stats = xr.Dataset({IMPORTANCE: (("chain", "draw"), variance)})
    return make_tree(posterior_dataset(target, points), stats, attributes)


Run = Callable[[Any, Settings], xr.DataTree]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampler:
    """One way to sample.

    Attributes
    ----------
    packages : tuple of str
        What has to be installed; ``name<version`` where the newest does not work.
    marginal, other : mapping of str to callable
        How it samples a marginal model and any other, by back-end, the usual one first; empty
        where it cannot.
    refusal : str
        What to say then.
    """

    packages: tuple[str, ...]
    marginal: Mapping[str, Run]
    other: Mapping[str, Run]
    refusal: str = ""


def _jax(name: str, package: str) -> Sampler:
    """A sampler that runs through JAX, which the elimination does not."""
    return Sampler(
        packages=(package, "jax"),
        marginal={},
        other={"jax": _pymc},
        refusal=f"{name} cannot run the marginal form; sample it with nutpie, pymc or psis, or "
        "use marginal=False",
    )


SAMPLERS: MappingProxyType[str, Sampler] = MappingProxyType(
    {
        "nutpie": Sampler(
            packages=("nutpie",),
            marginal={"python": _nutpie_density, "numba": _nutpie_model},
            other={"numba": _nutpie_model, "c": _nutpie_c, "jax": _nutpie_model},
        ),
        "pymc": Sampler(packages=("pymc",), marginal={"numba": _pymc}, other={"numba": _pymc}),
        "numpyro": _jax("numpyro", "numpyro"),
        "blackjax": _jax("blackjax", "blackjax<1.6"),  # PyMC 6.4 calls what 1.7 no longer has
        "psis": Sampler(
            packages=("arviz_stats",),
            marginal={"python": _psis},
            other={},
            refusal="psis needs the marginal form (marginal=True): the hierarchical one has a "
            "dimension for every random effect; sample that with nutpie",
        ),
    }
)


def _density(model: pm.Model | Density) -> Density:
    return model if isinstance(model, Density) else density(model)


def _statistics(tree: xr.DataTree) -> xr.Dataset | None:
    if "sample_stats" not in tree.children:
        return None
    stats = tree["sample_stats"].to_dataset()
    return stats[[name for name in _STATS if name in stats.data_vars]]


def _attributes(settings: Settings, form: str) -> dict[str, Any]:
    return {
        "sampler": settings.sampler,
        "backend": settings.backend,
        "form": form,
        "tune": settings.tune,
    }
