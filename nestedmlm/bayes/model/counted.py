"""Responses as PyMC and ArviZ count them: successes where a design has shares of trials."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from nestedmlm._typing import FloatArray
from nestedmlm.families.exponential import are_trials

if TYPE_CHECKING:
    from nestedmlm.design.design import Design


def has_trials(design: Design) -> bool:
    """Whether the response is a share of trials, whose numbers are the weights.

    Weights of 0 and 1 that are no numbers of trials multiply the rows' log-densities.
    """
    family, weights = design.family, design.weights
    binomial = family is not None and family.name == "binomial"
    return binomial and weights is not None and are_trials(weights)


def counted(design: Design, y: FloatArray | None = None) -> Any:
    """The response of the rows (by default the observed one), in successes where it is a share.

    Parameters
    ----------
    design : Design
    y : (..., n) array, optional

    Returns
    -------
    (..., n) array
    """
    y = design.y if y is None else y
    if not has_trials(design):
        return y
    assert design.weights is not None
    return np.rint(y * design.weights)
