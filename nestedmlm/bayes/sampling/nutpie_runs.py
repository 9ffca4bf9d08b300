"""NUTS by nutpie on a density that is a Python function.

The sampler sees coordinates where the posterior is close to standard normal (mode and curvature of
the density), so there is nothing to compile and little to adapt. Chains of a density whose points
gain from each other run in threads and meet at each gradient.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import xarray as xr

from nestedmlm._typing import FloatArray
from nestedmlm.bayes.density.collapsed_density import collapse
from nestedmlm.bayes.sampling.asinh_scale import AsinhDensity, asinh_density, asinh_peak
from nestedmlm.bayes.sampling.log_density import LogDensity
from nestedmlm.bayes.sampling.meeting import Gradient, Gradients, Meeting
from nestedmlm.bayes.sampling.mode import Peak, find_peak
from nestedmlm.bayes.sampling.posterior_dataset import make_tree, posterior_dataset
from nestedmlm.bayes.sampling.settings import Settings, attributes
from nestedmlm.likelihood.elimination.speed import keeping

_STATS = ("diverging", "energy", "step_size", "n_steps", "depth", "logp", "tree_depth", "lp",
          "mean_tree_accept", "acceptance_rate", "energy_error")  # fmt: skip

# Widths of the posterior from which a standard deviation's mode is away from zero. Dyestuff2, with
# its mode at zero, diverges on the asinh scale, Penicillin (4 and 6 widths) on its own.
_AWAY = 2.0
# Levels of a grouping factor up to which fixed effects are integrated out. The intercept is known
# less the larger the groups' standard deviation is, and where that is hardly known itself, chains
# diverge; with many groups nothing is gained that would pay for a dearer gradient.
_FEW = 12


class Unevaluable(ValueError):
    """A point where the density cannot be evaluated: nutpie counts it as a divergence."""

    is_recoverable = True


def nutpie_density(target: LogDensity, settings: Settings) -> xr.DataTree:
    """Sample a density from around its mode.

    Standard deviations that are well away from zero are sampled on the asinh scale: on their own
    one the density is a cliff at zero, and a trajectory that runs over it counts as a divergence.
    One with its mode near zero is sampled with its sign, as nothing is there to run over.
    Fixed effects of few groups, and those whose priors have hyperparameters, are integrated out
    and drawn afterwards.
    """
    target = collapse(target, settings.seed, few=_FEW)
    plain = find_peak(target, target.at(settings.start) if settings.start else None)
    scaled = asinh_density(target, plain, away=_AWAY)
    peak = asinh_peak(scaled, plain)
    tree = run_nutpie(
        _model(scaled, peak, settings),
        settings,
        # threads of chains that do not meet would only wait for Python's lock
        cores=settings.cores or (settings.chains if scaled.together else 1),
    )
    z = tree["posterior"]["x"].to_numpy()
    x = peak.x + z @ peak.root.T
    if isinstance(scaled, AsinhDensity):
        x = scaled.points(x)
    posterior = posterior_dataset(target, x)
    return make_tree(posterior, statistics(tree), attributes(settings, target.form))


def _model(target: LogDensity, peak: Peak, settings: Settings) -> Any:
    """What nutpie samples: the density of z, with ``x = mode + root z``."""
    ndim = target.ndim
    start = partial(_near_mode, target, peak)
    if not target.together:
        logp = keeping(standardised(target, peak))  # nutpie's threads are its own
        return python_model(ndim, lambda: logp, start)
    meeting = Meeting(keeping(standardised_rows(target, peak)), settings.chains, ndim)
    return python_model(ndim, lambda: evaluable(meeting.chain()), start)


def standardised(target: LogDensity, peak: Peak) -> Gradient:
    """The density of z; raises `Unevaluable` outside its domain."""
    rows = standardised_rows(target, peak)

    def logp(z: FloatArray) -> tuple[float, FloatArray]:
        value, gradient = rows(z[None])
        return float(value[0]), gradient[0]

    return evaluable(logp)


def standardised_rows(target: LogDensity, peak: Peak) -> Gradients:
    """The density of points z in rows, relative to that at the mode."""
    x0, root, root_t = peak.x, peak.root, np.ascontiguousarray(peak.root.T)

    def logps(z: FloatArray) -> tuple[FloatArray, FloatArray]:
        value, gradient = target.logp_grads(x0 + z @ root_t)
        return value - peak.logp, gradient @ root

    return logps


def evaluable(logp: Gradient) -> Gradient:
    """The function, which raises `Unevaluable` where its value is not finite."""

    def checked(z: FloatArray) -> tuple[float, FloatArray]:
        value, gradient = logp(z)
        if not np.isfinite(value):
            raise Unevaluable("the log-density is not finite")
        return value, gradient

    return checked


def _near_mode(target: LogDensity, peak: Peak, seed: Any) -> FloatArray:
    """A start as far from the mode as a draw of the posterior would be."""
    rng = np.random.default_rng(seed)
    for _ in range(20):
        z = rng.standard_normal(target.ndim)
        if np.isfinite(target.logp_grad(peak.x + peak.root @ z)[0]):
            return z
    return np.zeros(target.ndim)


def python_model(ndim: int, make: Callable[[], Gradient], initial: Callable[..., Any]) -> Any:
    """A Python function for each chain, as nutpie takes it; the draws are points ``x``."""
    from nutpie.compiled_pyfunc import from_pyfunc

    return from_pyfunc(
        ndim,
        make,
        lambda seed1, seed2, chain: lambda x: {"x": x},
        [np.dtype(np.float64)],
        [(ndim,)],
        ["x"],
        make_initial_point_fn=initial,
    )


def run_nutpie(compiled: Any, settings: Settings, *, cores: int | None) -> xr.DataTree:
    """Run nutpie on a compiled model."""
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


def statistics(tree: xr.DataTree) -> xr.Dataset | None:
    """The sampler's statistics that are kept."""
    if "sample_stats" not in tree.children:
        return None
    stats = tree["sample_stats"].to_dataset()
    return stats[[name for name in _STATS if name in stats.data_vars]]
