"""Importance sampling as a sampler: draws of a density in chains, with its diagnostic."""

from __future__ import annotations

import xarray as xr

from nestedmlm.bayes.density.collapsed_density import collapse
from nestedmlm.bayes.model.names import IMPORTANCE
from nestedmlm.bayes.sampling.log_density import LogDensity
from nestedmlm.bayes.sampling.mode import find_peak
from nestedmlm.bayes.sampling.posterior_dataset import make_tree, posterior_dataset
from nestedmlm.bayes.sampling.psis import psis_sample
from nestedmlm.bayes.sampling.settings import Settings, attributes
from nestedmlm.bayes.sampling.weighted_density import WeightedDensity


def psis_density(target: LogDensity, settings: Settings) -> xr.DataTree:
    """Sample a density by importance around its mode."""
    target = collapse(target, settings.seed)
    peak = find_peak(target, target.at(settings.start) if settings.start else None)
    if isinstance(target, WeightedDensity):
        target = target.ready(peak.x)
    result = psis_sample(target, peak, draws=settings.draws * settings.chains, seed=settings.seed)
    points = result.points.reshape(settings.chains, settings.draws, target.ndim)
    extra = {"khat": result.khat, "ess": result.ess, "tune": 0}
    # the draws are independent: no momentum, and an energy that is the potential alone
    values = {"lp": result.logp, "energy": -result.logp, IMPORTANCE: result.variance}
    shape = (settings.chains, settings.draws)
    stats = xr.Dataset({k: (("chain", "draw"), v.reshape(shape)) for k, v in values.items()})
    return make_tree(
        posterior_dataset(target, points), stats, {**attributes(settings, target.form), **extra}
    )
