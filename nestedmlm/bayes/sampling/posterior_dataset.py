"""Points of a density as the groups of a DataTree, names and coordinates in place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from nestedmlm._typing import FloatArray
from nestedmlm.bayes.density.named_coordinates import NamedCoordinates
from nestedmlm.bayes.sampling.log_density import LogDensity


def posterior_dataset(density: LogDensity, points: FloatArray) -> xr.Dataset:
    """Draws as a dataset.

    Parameters
    ----------
    density : LogDensity
    points : (chains, draws, ndim) array
        Unconstrained.
    """
    chains, draws, ndim = points.shape
    return named_dataset(density, density.named(points.reshape(-1, ndim)), (chains, draws))


def named_dataset(
    density: LogDensity | NamedCoordinates, named: Mapping[str, FloatArray], shape: tuple[int, int]
) -> xr.Dataset:
    """Values of a density's named variables, one row for each draw, as a dataset.

    Parameters
    ----------
    density : LogDensity or NamedCoordinates
    named : mapping of str to array
        As `LogDensity.named` returns them.
    shape : tuple of int
        Chains and draws of each.
    """
    chains, draws = shape
    out = {}
    for v in density.variables:
        dims = v.dims or tuple(f"{v.name}_dim_{i}" for i in range(len(v.shape)))
        out[v.name] = (("chain", "draw", *dims), named[v.name].reshape(chains, draws, *v.shape))
    used = {d for v in density.variables for d in v.dims}
    coords: dict[str, Any] = {"chain": np.arange(chains), "draw": np.arange(draws)}
    coords |= {d: list(values) for d, values in density.coords.items() if d in used}
    return xr.Dataset(out, coords=coords)


def make_tree(
    posterior: xr.Dataset, sample_stats: xr.Dataset | None, attributes: Mapping[str, Any]
) -> xr.DataTree:
    """Put the groups together; `attributes` say how the draws were made."""
    groups = {"posterior": posterior.assign_attrs(attributes)}
    if sample_stats is not None:
        groups["sample_stats"] = sample_stats
    return xr.DataTree.from_dict(groups)
