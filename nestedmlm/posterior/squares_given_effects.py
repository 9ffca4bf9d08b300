"""Squared Pearson residuals of a generalized posterior given its random effects, beside drawn data.

A discrepancy of posterior predictive checking (Gelman, Meng & Stern 1996, Statistica Sinica 6:
733-807). A draw's random effects are draws given the data, not their modes, so that under the model
the observed residuals are distributed as those of responses that are drawn at these effects:
nothing has been adapted to the data that would have to be taken into account.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from nestedmlm._typing import FloatArray
from nestedmlm.design.design import Design
from nestedmlm.inference.rows.generalized_residuals import ResponseAt, pearson
from nestedmlm.posterior.row_draws import fitted_rows
from nestedmlm.posterior.row_responses import dispersion_draws


def squares_given_effects(
    data: Any, design: Design, draws: int, *, seed: int | None = None
) -> tuple[FloatArray, FloatArray]:
    """Sums of squares of the observed and of drawn responses, (draws,) each.

    Parameters
    ----------
    data : DataTree
    design : Design
        With a family.
    draws : int
        Of the posterior, each of which draws one response.
    seed : int, optional
    """
    rng, family, whole = np.random.default_rng(seed), design.family, fitted_rows(data, design)
    assert family is not None
    size = len(whole.beta)
    chosen = rng.choice(size, size=draws, replace=draws > size)
    rows = whole.chosen(chosen)
    weights = np.ones(design.n) if design.weights is None else design.weights
    known = family.dispersion == "none"
    phi = np.broadcast_to(np.ravel(dispersion_draws(data, family)), (size,))[chosen]
    own, others = np.zeros(draws), np.zeros(draws)
    for block in rows.blocks():
        eta = rows.eta(block)
        drawn = rows.responses.draw(eta, block, rng)
        for s in range(draws):
            at = ResponseAt(
                family=family,
                dispersion=None if known else float(phi[s]),
                y=design.y[block],
                weights=weights[block],
                eta=eta[s],
            )
            own[s] += np.sum(pearson(at, scaled=True) ** 2)
            others[s] += np.sum(pearson(replace(at, y=drawn[s]), scaled=True) ** 2)
    return own, others
