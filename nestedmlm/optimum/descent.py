"""The trust-region Newton method of `trust_region`, compiled around the criterion.

For nested designs whose relative factors are linear in phi, without a penalty: there one
evaluation takes some ten microseconds, and Python around it took five times as long. The
decisions are those of `nestedmlm.optimum.trust_region.minimize`, taken by the same functions of
`nestedmlm.optimum.quadratic`.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from nestedmlm.likelihood.kernels.criterion import (
    first_order,
    hessian_matrix,
    information_matrix,
    times,
)
from nestedmlm.optimum.quadratic import (
    ACCEPTED,
    next_radius,
    quadratic_step,
    rounding,
    symmetric_rank_one,
    wants_correction,
)
from nestedmlm.statistics.kernels.common import JIT

CONVERGED, SADDLE, ROUNDING, EXHAUSTED = range(4)


@njit(**JIT)
def descend(
    tree, sums, B, pairs, phi, df, reml, constant, tolerance, max_evaluations, radius,
    leave_saddle,
):  # fmt: skip
    """Descend from `phi` until the quadratic model promises less than `tolerance`.

    Parameters
    ----------
    tree, sums : Tree, Sums
        Of `nestedmlm.statistics.crossproducts.CrossProducts`, without a trailing block.
    B : (n_flat, n_theta) array
        ``T = B phi``.
    pairs : (n, 3) array
        Free entries of the covariances.
    df, reml, constant : float
        `nestedmlm.likelihood.criterion.degrees`.
    leave_saddle : bool
        Follow negative curvature where the gradient vanishes; otherwise stop there and say so.

    Returns
    -------
    status : int
        CONVERGED, SADDLE, ROUNDING (no step lowers the criterion any more) or EXHAUSTED.
    used : int
        Evaluations.
    promised : float
        Decrease the last quadratic model still promised.
    phi, hessian, information : arrays
        The best point and the second order there.
    here : tuple
        What `first_order` returned there, its value with the constant.
    """
    here = first_order(tree, sums, B, phi, df, reml)
    information = information_matrix(
        tree, sums, here[9], here[10], here[5], here[6], here[4], df, pairs
    )
    second = hessian_matrix(tree.K, B, here[2], here[3], information, pairs)
    value = here[0] + constant
    n = phi.shape[0]
    correction = np.zeros((n, n))
    moved, corrected = False, False
    moved_step, moved_change = np.zeros(n), np.zeros(n)
    before, promised = np.inf, np.inf
    used, status = 1, EXHAUSTED
    while used < max_evaluations:
        promised, lowest, step, predicted = quadratic_step(second + correction, here[1], radius)
        if moved and wants_correction(promised, before):
            correction = symmetric_rank_one(correction, moved_step, moved_change)
            corrected, moved = True, False
            continue
        if promised <= tolerance and (lowest >= 0.0 or not leave_saddle):
            status = CONVERGED if lowest >= 0.0 else SADDLE
            break
        leave_saddle = False
        length = math.sqrt(np.sum(step**2))
        trial = phi + step
        used += 1
        there = first_order(tree, sums, B, trial, df, reml)
        noise = rounding(value)
        actual = value - (there[0] + constant) if math.isfinite(there[0]) else -np.inf
        ratio = (actual + noise) / (predicted + noise)
        radius = next_radius(radius, ratio, length)
        if ratio > ACCEPTED:
            information = information_matrix(
                tree, sums, there[9], there[10], there[5], there[6], there[4], df, pairs
            )
            second = hessian_matrix(tree.K, B, there[2], there[3], information, pairs)
            moved_step, moved_change = step, there[1] - here[1] - times(second, step)
            moved, before = True, promised
            here, phi, value = there, trial, there[0] + constant
        elif predicted <= noise:
            status = ROUNDING
            break
        elif corrected:  # what was learnt elsewhere misleads here
            correction = np.zeros((n, n))
            corrected, moved = False, False
    return status, used, promised, phi, value, second, information, here
