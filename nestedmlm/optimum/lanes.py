"""Descents of many responses side by side, a lane for each.

Each lane takes the decisions of `nestedmlm.optimum.descent.descend` on its own; when one has
arrived, the next response takes its place. Only the sweeps are shared
(`nestedmlm.likelihood.kernels.lanes`).
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from nestedmlm.likelihood.kernels.criterion import (
    assembled_information,
    hessian_matrix,
    profiled,
    times,
    transposed_times,
)
from nestedmlm.likelihood.kernels.lanes import (
    LANES,
    adjoint_lanes,
    eliminate_lanes,
    quadratic_lanes,
    solve_lanes,
)
from nestedmlm.optimum.descent import CONVERGED, EXHAUSTED, ROUNDING, SADDLE
from nestedmlm.optimum.quadratic import (
    ACCEPTED,
    RESOLVED,
    next_radius,
    quadratic_step,
    rounding,
    symmetric_rank_one,
    wants_correction,
)
from nestedmlm.statistics.kernels.common import JIT, block_total, row_starts, twice_products


@njit(**JIT)
def _evaluate(tree, sums, panels, S, B, pairs, columns, phi, df, reml):
    """Criterion and its first and second derivatives in every lane.

    `panels` and `S` hold each lane's crossproducts on entry and are overwritten.

    Returns
    -------
    value (lanes,), gradient (lanes, n), hessian (lanes, n, n), r2 (lanes,), v (lanes, r)
    """
    K, first = tree.K, tree.first
    r, n, flat = S.shape[0], B.shape[1], B.shape[0]
    q = row_starts(K, first)[K.shape[0]]
    T = np.empty((flat, LANES))
    for x in range(LANES):
        T[:, x] = times(B, phi[x])
    G, logdet = np.empty((block_total(K, first), LANES)), np.zeros(LANES)
    eliminate_lanes(tree, r, T, panels, S, G, logdet)
    value, r2, v = np.empty(LANES), np.empty(LANES), np.empty((LANES, r))
    inverse, S_bar = np.empty((LANES, r, r)), np.empty((r, r, LANES))
    for x in range(LANES):
        log_sxx, r2[x], v[x], inverse[x] = profiled(np.ascontiguousarray(S[:, :, x]))
        value[x] = logdet[x] + reml * log_sxx + df * math.log(r2[x]) if r2[x] > 0.0 else np.nan
        for a in range(r):
            for c in range(r):
                S_bar[a, c, x] = reml * inverse[x, a, c] + df * v[x, a] * v[x, c] / r2[x]
    M = np.zeros((flat, LANES))
    adjoint_lanes(
        tree, r, panels, G, S_bar, M, np.empty((panels.shape[0] - tree.pptr[first[1]], LANES))
    )
    b, Bz = np.empty((q, r, LANES)), np.empty((q, r, LANES))
    solve_lanes(tree, r, panels, G, b, Bz)
    w = np.zeros((q, LANES))
    for row in range(q):
        for c in range(r):
            for x in range(LANES):
                w[row, x] += Bz[row, c, x] * v[x, c]
    m = pairs.shape[0]
    R, gram = np.empty((q, m, LANES)), np.empty((m, m, LANES))
    quadratic_lanes(tree, r, sums.panels, panels, G, w, pairs, columns, R, gram)
    BF, e_f = _products(K, first, pairs, w, Bz)
    gradient, hessian = np.empty((LANES, n)), np.empty((LANES, n, n))
    for x in range(LANES):
        T_x, M_x = np.ascontiguousarray(T[:, x]), np.ascontiguousarray(M[:, x])
        gradient[x] = transposed_times(B, twice_products(K, M_x, T_x))
        gram_x = np.ascontiguousarray(gram[:, :, x])
        information = assembled_information(gram_x, BF[x], e_f[x], inverse[x], r2[x], df)
        hessian[x] = hessian_matrix(K, B, T_x, M_x, information, pairs)
    return value, gradient, hessian, r2, v


@njit(**JIT)
def _products(K, first, pairs, w, Bz):
    """``[X y]'V^{-1}F`` and ``e'F`` for the working variates, in every lane."""
    r, m = Bz.shape[1], pairs.shape[0]
    row_first = row_starts(K, first)
    BF, e_f = np.zeros((LANES, r, m)), np.zeros((LANES, m))
    for e in range(m):
        f, a, b = pairs[e, 0], pairs[e, 1], pairs[e, 2]
        for row in range(row_first[f], row_first[f + 1], K[f]):
            for x in range(LANES):
                for c in range(r):
                    BF[x, c, e] += Bz[row + a, c, x] * w[row + b, x]
                    if a != b:
                        BF[x, c, e] += Bz[row + b, c, x] * w[row + a, x]
                twice = 1.0 if a == b else 2.0
                e_f[x, e] += twice * w[row + a, x] * w[row + b, x]
    return BF, e_f


@njit(**JIT)
def descend_lanes(
    tree, sums, B, pairs, columns, start, df, reml, constant, tolerance, max_evaluations, radius0,
    where, level_sums, products, begin, end,
    phi_out, value_out, v_out, r2_out, status_out, used_out,
):  # fmt: skip
    """Descend for responses `begin` to `end` of many on one design, each from `start`.

    Parameters
    ----------
    columns : (factors + 1,) array
        Where the free entries of each factor begin in `pairs`.
    where, level_sums, products : arrays
        `nestedmlm.statistics.responses`: place of each y entry in the panels, and those entries.
    phi_out (m, n_theta), value_out, r2_out, status_out, used_out (m,), v_out (m, p+1) : arrays
        Written, one row per response; the rest is as for `descend`.
    """
    n, r = start.shape[0], sums.F.shape[0]
    panels, S = np.empty((sums.panels.shape[0], LANES)), np.empty((r, r, LANES))
    response = np.full(LANES, -1)
    trial, phi = np.zeros((LANES, n)), np.zeros((LANES, n))
    value, gradient = np.zeros(LANES), np.zeros((LANES, n))
    hessian, correction = np.zeros((LANES, n, n)), np.zeros((LANES, n, n))
    step, change = np.zeros((LANES, n)), np.zeros((LANES, n))
    radius, before = np.zeros(LANES), np.zeros(LANES)
    promised, predicted = np.zeros(LANES), np.zeros(LANES)
    used = np.zeros(LANES, np.int64)
    moved, corrected = np.zeros(LANES, np.bool_), np.zeros(LANES, np.bool_)
    waiting, busy = begin, 0
    for x in range(LANES):
        trial[x] = start
    while True:
        for x in range(LANES):
            if response[x] < 0 and waiting < end:
                response[x], trial[x], used[x], radius[x] = waiting, start, 0, radius0
                waiting += 1
                busy += 1
        if busy == 0:
            return
        _load(sums, where, level_sums, products, response, begin, panels, S)
        new = _evaluate(tree, sums, panels, S, B, pairs, columns, trial, df, reml)
        for x in range(LANES):
            j = response[x]
            if j < 0:
                continue
            used[x] += 1
            status = -1
            here = new[0][x] + constant
            if used[x] == 1:
                accepted = True
                moved[x] = corrected[x] = False
                correction[x] = 0.0
                before[x] = promised[x] = np.inf
            else:
                noise = rounding(value[x])
                actual = value[x] - here if math.isfinite(here) else -np.inf
                ratio = (actual + noise) / (predicted[x] + noise)
                radius[x] = next_radius(radius[x], ratio, math.sqrt(np.sum(step[x] ** 2)))
                accepted = ratio > ACCEPTED
                if accepted:
                    change[x] = new[1][x] - gradient[x] - times(new[2][x], step[x])
                    moved[x], before[x] = True, promised[x]
                elif predicted[x] <= noise:
                    status = ROUNDING
                elif corrected[x]:  # what was learnt elsewhere misleads here
                    correction[x] = 0.0
                    corrected[x] = moved[x] = False
            if accepted:
                phi[x], value[x] = trial[x], here
                gradient[x], hessian[x] = new[1][x], new[2][x]
                r2_out[j], v_out[j] = new[3][x], new[4][x]
            if status < 0:
                status = _next_step(
                    x, hessian, correction, gradient, radius, moved, corrected, step, change,
                    before, promised, predicted, tolerance,
                )  # fmt: skip
            if status < 0 and used[x] >= max_evaluations:
                status = EXHAUSTED
            if status == ROUNDING and promised[x] <= max(RESOLVED, rounding(value[x])):
                status = CONVERGED
            if status < 0:
                trial[x] = phi[x] + step[x]
                continue
            phi_out[j], value_out[j], status_out[j], used_out[j] = phi[x], value[x], status, used[x]
            response[x] = -1
            busy -= 1


@njit(**JIT)
def _load(sums, where, level_sums, products, response, spare, panels, S):
    """Fill every lane with the crossproducts of its response (idle ones with any)."""
    panels0, F = sums.panels, sums.F
    p = F.shape[0] - 1
    for place in range(panels0.shape[0]):
        for x in range(LANES):
            panels[place, x] = panels0[place]
    for x in range(LANES):
        j = response[x] if response[x] >= 0 else spare
        for row in range(where.shape[0]):
            panels[where[row], x] = level_sums[row, j]
        for a in range(p + 1):
            for c in range(p + 1):
                S[a, c, x] = F[a, c]
            S[a, p, x] = products[a, j]
        for a in range(p + 1):
            S[p, a, x] = products[a, j]


@njit(**JIT)
def _next_step(
    x, hessian, correction, gradient, radius, moved, corrected, step, change, before, promised,
    predicted, tolerance,
):  # fmt: skip
    """Find lane x's next step; return a status where it has arrived, else -1."""
    while True:
        promised[x], lowest, step_x, predicted[x] = quadratic_step(
            hessian[x] + correction[x], gradient[x], radius[x]
        )
        if moved[x] and wants_correction(promised[x], before[x]):
            correction[x] = symmetric_rank_one(correction[x], step[x], change[x])
            corrected[x], moved[x] = True, False
            continue
        if promised[x] <= tolerance:
            return CONVERGED if lowest >= 0.0 else SADDLE
        step[x] = step_x
        return -1
