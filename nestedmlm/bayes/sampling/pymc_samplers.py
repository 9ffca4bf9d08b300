"""Samplers of PyMC models: hierarchical ones, edited ones, and priors that are functions."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import pymc as pm
import xarray as xr

from nestedmlm._typing import FloatArray
from nestedmlm.bayes.model.names import form_of
from nestedmlm.bayes.sampling.density import density, reported_names
from nestedmlm.bayes.sampling.nutpie_runs import (
    evaluable,
    nutpie_density,
    python_model,
    run_nutpie,
    statistics,
)
from nestedmlm.bayes.sampling.posterior_dataset import make_tree, posterior_dataset
from nestedmlm.bayes.sampling.psis_run import psis_density
from nestedmlm.bayes.sampling.settings import Settings, attributes
from nestedmlm.likelihood.elimination.speed import keeping

_log = logging.getLogger("nestedmlm")
_COMPILING = "compiling the model with %s, which may take some ten seconds"


def nutpie_python(model: pm.Model, settings: Settings) -> xr.DataTree:
    """A marginal model, by PyTensor's Python linker."""
    return nutpie_density(density(model), settings)


def psis_python(model: pm.Model, settings: Settings) -> xr.DataTree:
    """Importance sampling of a marginal model, by PyTensor's Python linker."""
    return psis_density(density(model), settings)


def nutpie_model(model: pm.Model, settings: Settings) -> xr.DataTree:
    """The model compiled by one of nutpie's back-ends."""
    import nutpie

    if settings.progress:
        _log.warning(_COMPILING, settings.backend)
    compiled = nutpie.compile_pymc_model(
        model,
        var_names=reported_names(model),
        initial_points=dict(settings.start) or None,
        backend=settings.backend,
    )
    tree = run_nutpie(compiled, settings, cores=settings.cores)
    posterior = tree["posterior"].to_dataset()
    return make_tree(posterior, statistics(tree), attributes(settings, form_of(model)))


def nutpie_c(model: pm.Model, settings: Settings) -> xr.DataTree:
    """The density compiled to C by PyTensor, in the model's own coordinates."""
    if settings.progress:
        _log.warning(_COMPILING, "C")
    target = density(model, compiler="c")
    start = target.at(settings.start)

    logp = keeping(evaluable(target.logp_grad))

    def jittered(seed: Any) -> FloatArray:
        return start + 0.1 * np.random.default_rng(seed).standard_normal(target.ndim)

    tree = run_nutpie(
        python_model(target.ndim, lambda: logp, jittered), settings, cores=settings.cores or 1
    )
    posterior = posterior_dataset(target, tree["posterior"]["x"].to_numpy())
    return make_tree(posterior, statistics(tree), attributes(settings, form_of(model)))


def pymc_sampler(model: pm.Model, settings: Settings) -> xr.DataTree:
    """``pymc.sample`` by the sampler that it is told."""
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
    return make_tree(posterior, statistics(tree), attributes(settings, form_of(model)))
