"""Residuals of a posterior that are standard normal if the model is right, at its means.

Quantile residuals of generalized models, normalized ones where residuals differ or correlate.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from nestedmlm._typing import FloatArray
from nestedmlm.design.design import Design
from nestedmlm.inference.rows.generalized_residuals import ResponseAt, quantile
from nestedmlm.posterior.draws import fixed_draws, sigma_draws
from nestedmlm.posterior.row_draws import fitted_rows, mean_fitted
from nestedmlm.posterior.row_residuals import mean_residuals
from nestedmlm.posterior.row_responses import dispersion_draws
from nestedmlm.statistics.residual_model import residual_model


def standard_residuals(data: Any, design: Design, *, seed: int | None = None) -> FloatArray:
    """Residuals of the rows, (n,).

    Parameters
    ----------
    data : DataTree
    design : Design
        With a family, or with residuals that differ or correlate.
    seed : int, optional
        Of quantile residuals of discrete responses.

    Raises
    ------
    OptionError
        For a family whose distribution function is not known here (t).
    """
    if design.family is not None:
        return quantile(response_at_means(data, design), rng=np.random.default_rng(seed))
    assert design.residual is not None
    model = residual_model(design.residual)
    left = design.y - mean_fitted(data, design)
    if design.weights is not None:
        left = left * np.sqrt(design.weights)
    white = model.whiten(mean_residuals(data, design, model), left)
    out: FloatArray = white / sigma_draws(data, design).mean()
    return out


def response_at_means(data: Any, design: Design) -> ResponseAt:
    """Responses of a generalized model at the posterior means of predictors and dispersion.

    Parameters
    ----------
    data : DataTree
    design : Design
        With a family.
    """
    family, rows = design.family, fitted_rows(data, design)
    assert family is not None
    known = family.dispersion == "none"
    return ResponseAt(
        family=family,
        dispersion=None if known else float(np.mean(dispersion_draws(data, family))),
        y=design.y,
        weights=np.ones(design.n) if design.weights is None else design.weights,
        eta=np.concatenate([rows.eta(block).mean(axis=0) for block in rows.blocks()]),
    )


def population_at_means(data: Any, design: Design) -> FloatArray:
    """``X beta + offset`` of the rows at the posterior means, (n,)."""
    eta: FloatArray = design.X @ fixed_draws(data, design).mean(axis=0)
    return eta if design.offset is None else eta + design.offset
