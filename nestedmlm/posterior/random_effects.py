"""The random effects of a marginal posterior: drawn given the parameters.

Exactly in a linear model; by the Laplace approximation in a generalized one, whose marginal
posterior is approximate too.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np

from nestedmlm._typing import FloatArray
from nestedmlm.bayes.model.names import coordinates, dimensions, parameter_names
from nestedmlm.bayes.sampling.conditional import draw_laplace_effects, draw_random_effects
from nestedmlm.design.design import Design
from nestedmlm.posterior.draws import draw_shape, stacked

_STREAM = 1  # these draws have a random stream of their own


def lacks_effects(data: Any, design: Design) -> bool:
    """Whether a posterior lacks random effects."""
    return any(n not in data["posterior"].data_vars for n in parameter_names(design).effects)


def add_random_effects(data: Any, design: Design, *, seed: int | None) -> Any:
    """Copy a tree with the random effects that it lacks, one draw for each draw there is.

    They are drawn when one of them is asked for.

    Parameters
    ----------
    data : DataTree
        With ``posterior``; never changed.
    design : Design
    seed : int or None

    Returns
    -------
    DataTree
        The tree itself if nothing is lacking.
    """
    if not lacks_effects(data, design):
        return data
    from nestedmlm.posterior.deferred_arrays import deferred_arrays

    needed = {name: stacked(data, name) for name in parameter_names(design).parameters}
    # drawn when they are asked for, the same however late
    entropy = np.random.SeedSequence().entropy if seed is None else (seed, _STREAM)
    sizes = {
        name: len(design.factors[term.factor].levels)
        for term, own in zip(design.terms, parameter_names(design).terms, strict=True)
        for name in own.variables
    }
    shapes = {name: (*draw_shape(data), size) for name, size in sizes.items()}
    found = deferred_arrays(shapes, partial(_draw, design, needed, entropy))
    posterior, dims = data["posterior"].to_dataset(), dimensions(design)
    coords = {d: values for d, values in coordinates(design).items() if d not in posterior.coords}
    posterior = posterior.assign(
        {name: (("chain", "draw", *dims[name]), values) for name, values in found.items()}
    ).assign_coords(coords)
    out = data.copy()
    out["posterior"] = type(data)(posterior)
    return out


def _draw(design: Design, needed: Mapping[str, FloatArray], entropy: Any) -> dict[str, FloatArray]:
    draw = draw_random_effects if design.family is None else draw_laplace_effects
    return draw(design, needed, np.random.default_rng(entropy))
