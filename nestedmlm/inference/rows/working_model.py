"""The working linear model of a generalized one: what its algorithm sees at the optimum.

With ``mu'`` the derivative of the inverse link and ``var`` the variance of a response, the working
response ``eta - offset + (y - mu) / mu'`` has, to first order, the model's linear predictor and the
weights ``mu'^2 / var`` beside a residual variance of one (Breslow and Clayton 1993, section 2.1).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from nestedmlm._typing import FloatArray, IntArray
from nestedmlm.design.design import Design
from nestedmlm.design.rows import rows_here
from nestedmlm.inference.fitted import Fitted
from nestedmlm.inference.rows.deletion import delete_held
from nestedmlm.inference.rows.generalized_residuals import ResponseAt, response_at, working
from nestedmlm.likelihood.solution import Solution, results_at

_LEAST = 1e-12  # share of the mean weight that the weight of a row has at least: none is zero


def working_weights(at: ResponseAt) -> FloatArray:
    """Weights of the rows, (n,): inverse variances of their working residuals."""
    family, mu = at.family, at.mu
    variance = family.variance_at(mu, at.dispersion) / at.weights
    if family.scaled:
        variance = variance * family.value_of(at.dispersion)
    slope = family.link.derivatives(at.eta)[0]
    with np.errstate(divide="ignore", invalid="ignore"):
        found = np.where(variance > 0.0, slope**2 / variance, 0.0)
    out: FloatArray = np.maximum(found, _LEAST * found.mean())
    return out


def working_design(fitted: Fitted) -> Design:
    """The design of the working linear model."""
    at, design = response_at(fitted), fitted.design
    offset = 0.0 if design.offset is None else design.offset
    moved = design.with_response(at.eta - offset + working(at))
    rows = replace(moved.with_weights(working_weights(at)).rows, offset=None)  # type: ignore[type-var]
    return replace(moved, rows=rows)


def working_solution(fitted: Fitted) -> tuple[Solution, Design]:
    """The working linear model with the estimates of the fit; a linear fit's own.

    Its residual variance is known, 1: the weights hold the dispersion.
    """
    if fitted.family is None:
        return fitted.solution, fitted.design
    design = working_design(fitted)
    rows = replace(rows_here(design.rows, "the working model"), sigma=1.0)
    design = replace(design, rows=rows)
    found = results_at(design, fitted.solution.theta, REML=False)
    return replace(found, beta=fitted.solution.beta, b=fitted.solution.b), design


def held_changes(fitted: Fitted, sets: list[IntArray]) -> FloatArray:
    """Changes of the fixed effects without each set of rows, covariances and weights held, (m, p).

    One step of the algorithm of a refit, exact for the working model.

    Parameters
    ----------
    fitted : Fitted
        With a family.
    sets : list of int arrays
    """
    design = working_design(fitted)
    with np.errstate(all="ignore"):
        whole = results_at(design, fitted.solution.theta, REML=False)
        found = delete_held(whole, design, sets, REML=False)
    return found.beta - whole.beta
