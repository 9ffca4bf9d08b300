"""The likelihood of a model at parameters that are given, none of them profiled."""

from __future__ import annotations

import math

import numpy as np

from nestedmlm._typing import FloatArray
from nestedmlm.design.design import Design
from nestedmlm.likelihood import elimination
from nestedmlm.likelihood.plan import flat_of_theta, make_plan
from nestedmlm.statistics.crossproducts import cross_products


def deviance_of(design: Design, beta: FloatArray, theta: FloatArray, sigma: float) -> float:
    """-2 log-likelihood of a design's data at fixed effects, covariances and sigma.

    Parameters
    ----------
    design : Design
    beta : (p,) array
    theta : (n_theta,) array
        Relative to sigma.
    sigma : float
    """
    stats = cross_products(design)
    state = elimination.eliminate(flat_of_theta(theta, make_plan(design, stats), stats), stats)
    v = np.append(-stats.R_x @ (beta - stats.beta0), 1.0)
    squares = float(v @ state.S @ v)
    constant = stats.n * math.log(2.0 * math.pi * sigma**2) - stats.sum_log_w
    return state.logdet + constant + squares / sigma**2
