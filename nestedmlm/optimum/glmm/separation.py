"""Separation: directions in which the data let effects grow without bound.

Where a predictor tells all outcomes apart (or a cell has no events), the likelihood rises for ever
along a combination of the coefficients, its slope and curvature vanish together, and no certificate
sees it: the descent ends where rounding does (Albert & Anderson 1984, Biometrika 71(1)). What is
left there is rows without information in that direction. The same within groups lets standard
deviations of random effects grow.
"""

from __future__ import annotations

import numpy as np

from nestedmlm._typing import FloatArray
from nestedmlm.design.design import Design
from nestedmlm.families.family import Family
from nestedmlm.likelihood.glmm.glmm_model import GlmmModel

_NOTHING = 1e-8  # share of the usual information of a row below which a direction has none
_TAKES_PART = 0.1  # share of the largest contribution from which a coefficient is named
_LARGEST_SD = 10.0  # of random effects on a predictor's scale: odds of one to 22,000 are usual then
_LARGEST_RANGE = 5.0  # of the linear predictor, up to which nothing has grown


def separated_coefficients(
    design: Design, model: GlmmModel, eta: FloatArray, w: FloatArray, beta: FloatArray
) -> tuple[str, ...]:
    """Names of the coefficients that grow without bound; empty where none does.

    Parameters
    ----------
    design : Design
    model : GlmmModel
    eta, w : (n,) arrays
        Linear predictor and expected information of each row at the optimum.
    beta : (p,) array

    Returns
    -------
    tuple of str
    """
    X = model.products.X
    if model.family.scaled or not design.p or np.ptp(eta) < _LARGEST_RANGE:
        return ()
    values, vectors = np.linalg.eigh((X.T * w) @ X / len(w))
    lost = values < _NOTHING * model.unit**2 * _usual_information(model)
    if not lost.any():
        return ()
    # the predictor's change along what is lost: of all coefficients, the share of each
    along = vectors[:, lost] @ (vectors[:, lost].T @ (model.products.empty.R_x @ beta))
    part = np.abs(np.linalg.solve(model.products.empty.R_x, along)) * np.sqrt(
        np.mean(design.X**2, axis=0)
    )
    named = part > _TAKES_PART * part.max()
    slopes = named & (np.array(design.x_assign) > 0)
    chosen = slopes if slopes.any() else named
    return tuple(name for name, one in zip(design.x_names, chosen, strict=True) if one)


def _usual_information(model: GlmmModel) -> float:
    """Mean information of a row where all have the mean response."""
    family, a = model.family, model.weights
    mean = np.average(family.start_mean(model.y, a), weights=a)
    eta = np.full(len(a), float(family.link.eta(np.atleast_1d(mean))[0]))
    return float(np.mean(model.rows(eta, family.value_of(None)).w))


def growing_terms(design: Design, family: Family, T: tuple[FloatArray, ...]) -> tuple[str, ...]:
    """Random effects of binomial models whose standard deviations grow without bound, in words.

    Parameters
    ----------
    design : Design
    family : Family
    T : tuple of (k, k) arrays
        Covariance factors of the terms.

    Returns
    -------
    tuple of str
        What is so, and what to do; empty where none does.
    """
    if family.name != "binomial":
        return ()
    sds = [
        float(np.sqrt(np.mean(np.sum((term.X @ own) ** 2, axis=1))))
        for term, own in zip(design.terms, T, strict=True)
    ]
    return tuple(
        f"the random effects ({term.text}) have a standard deviation of {sd:.3g} on the linear "
        "predictor's scale: they nearly determine the outcomes (separation within groups), the "
        "likelihood is flat or rises as it grows, and the estimate is no size; take fewer random "
        "effects or merge small groups, or give it a prior: nm.pymc_glmer"
        for term, sd in zip(design.terms, sds, strict=True)
        if sd > _LARGEST_SD
    )


def separation_message(names: tuple[str, ...]) -> str:
    """Warning that names the coefficients, and what to do."""
    listed = ", ".join(names)
    return (
        f"the data separate the outcomes by {listed}: the estimate has no bound, the likelihood "
        "rises as it grows (all outcomes of some cell or beyond some value are the same); leave it "
        'out, merge cells, or give it a weak prior: penalty="normal"'
    )
