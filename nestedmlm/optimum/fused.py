"""A whole descent in one function: for thousands of responses of one design.

Written once, as the sweeps are: it runs as it stands, and `compiled_descent` compiles it with them,
so that a refit costs no Python at all. For designs whose chain is one block without crossed
factors, and relative factors linear in phi: ``T = B phi``. The decisions are those of
`nestedmlm.optimum.trust_region.minimize`.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from nestedmlm._typing import FloatArray
from nestedmlm.likelihood.criterion import Degrees
from nestedmlm.likelihood.elimination.information import add_information, residual_scores
from nestedmlm.likelihood.elimination.sweeps import go_down, go_up
from nestedmlm.likelihood.plan import Plan, linear_map
from nestedmlm.optimum import quadratic
from nestedmlm.optimum.curvature import free_entries
from nestedmlm.optimum.quadratic import (
    ACCEPTED,
    next_radius,
    quadratic_step,
    rounding,
    symmetric_rank_one,
    wants_correction,
)
from nestedmlm.optimum.trust_region import RADIUS
from nestedmlm.statistics.crossproducts import CrossProducts

CONVERGED, ROUNDING, EXHAUSTED = range(3)

PATIENCE = 5.0  # seconds in other descents before `descend` is compiled for single fits
_spent = [0.0]


def applies(plan: Plan, stats: CrossProducts) -> bool:
    """Whether `descend` can fit this model."""
    return plan.linear and stats.crossed is None and len(stats.blocks) == 1


def ready() -> bool:
    """Whether `descend` is compiled in this process already, or has become worth it."""
    return compiled_descent.cache_info().currsize > 0 or _spent[0] > PATIENCE


@contextmanager
def counted() -> Iterator[None]:
    """Count the time of a descent that is not fused."""
    began = time.perf_counter()
    yield
    _spent[0] += time.perf_counter() - began


class FusedDescent(NamedTuple):
    """End of a fused descent.

    Attributes
    ----------
    status : int
        CONVERGED (negative curvature may be left), ROUNDING (no step lowers the criterion any
        more) or EXHAUSTED.
    evaluations : int
    value : float
        The criterion at the best point.
    phi, v : arrays
        The best point, and ``(-beta, 1)`` there.
    r2, promised : float
        And what the last quadratic model still promised.
    path : tuple of float
        The criterion at the start and after every step that was taken.
    """

    status: int
    evaluations: int
    value: float
    phi: FloatArray
    v: FloatArray
    r2: float
    promised: float
    path: tuple[float, ...]


def descend_compiled(
    plan: Plan,
    stats: CrossProducts,
    phi: FloatArray,
    degrees: Degrees,
    *,
    tolerance: float,
    max_evaluations: int,
) -> FusedDescent:
    """Descend from `phi` in compiled code; the model must be one that `applies`."""
    (block,) = stats.blocks
    *found, path = compiled_descent()(
        block.shape, block.parent, block.starts, block.panels, stats.F, linear_map(plan),
        free_entries(plan).array, phi, *degrees, tolerance, max_evaluations, RADIUS,
    )  # fmt: skip
    return FusedDescent(*found, path=tuple(path.tolist()))


@cache
def compiled_descent() -> Any:
    """`descend`, compiled at its first call."""
    from nestedmlm.likelihood.elimination.compiled import compiled_copies  # Numba loads late

    return compiled_copies(quadratic, sys.modules[__name__]).descend


def descend(
    s: Any, parent: Any, starts: Any, panels0: Any, F: Any, B: Any, entries: Any, phi: Any,
    df: float, reml: float, constant: float, tolerance: float, max_evaluations: int, radius: float,
) -> Any:  # fmt: skip
    """Descend from `phi` until the quadratic model promises less than `tolerance`.

    Parameters
    ----------
    s, parent, starts, panels0 : Shape and arrays
        Of the block; `panels0` stays as it is.
    F : (r, r) array
    B : (n_flat, n_theta) array
        ``T = B phi``.
    entries : (n, 3) array
        Free entries of the covariances.
    df, reml, constant : float
        `nestedmlm.likelihood.criterion.degrees`.

    Returns
    -------
    tuple
        The fields of `FusedDescent`, the path as an array.
    """
    here = first_order(s, parent, starts, panels0, F, B, phi, df, reml)
    second = second_order(s, parent, starts, panels0, B, entries, here, df)
    value, n = here[0] + constant, phi.shape[0]
    correction = np.zeros((n, n))
    moved, corrected = False, False
    moved_step, moved_change = np.zeros(n), np.zeros(n)
    before, promised, used, status = np.inf, np.inf, 1, EXHAUSTED
    path, taken = np.empty(max(1, max_evaluations)), 1
    path[0] = value
    while used < max_evaluations and math.isfinite(value):
        promised, _, step, predicted = quadratic_step(second + correction, here[1], radius)
        if moved and wants_correction(promised, before):
            correction = symmetric_rank_one(correction, moved_step, moved_change)
            corrected, moved = True, False
            continue
        if promised <= tolerance:
            status = CONVERGED
            break
        trial = phi + step
        used += 1
        there = first_order(s, parent, starts, panels0, F, B, trial, df, reml)
        noise = rounding(value)
        actual = value - (there[0] + constant) if math.isfinite(there[0]) else -np.inf
        ratio = (actual + noise) / (predicted + noise)
        radius = next_radius(radius, ratio, math.sqrt(np.sum(step**2)))
        if ratio > ACCEPTED:
            second = second_order(s, parent, starts, panels0, B, entries, there, df)
            moved_step, moved_change = step, there[1] - here[1] - times(second, step)
            moved, before = True, promised
            here, phi, value = there, trial, there[0] + constant
            path[taken] = value
            taken += 1
        elif predicted <= noise:
            status = ROUNDING
            break
        elif corrected:  # what was learnt elsewhere misleads here
            correction = np.zeros((n, n))
            corrected, moved = False, False
    return status, used, value, phi, here[5], here[4], promised, path[:taken].copy()


def first_order(
    s: Any, parent: Any, starts: Any, panels0: Any, F: Any, B: Any, phi: Any, df: float, reml: float
) -> Any:
    """Criterion (up to its constant), gradient, and what the second order needs, at one phi.

    Returns
    -------
    value, gradient, T, M, r2, v, inverse, N, H, Bs
    """
    m, r = s.K.shape[0], s.r
    T = times(B, phi)
    panels, S = panels0.copy(), F.copy()
    N, H = np.empty(s.root[m]), np.empty(s.half[m])
    Bs, b = np.empty(s.right[m]), np.empty(s.right[m])
    M, BB = np.zeros(T.shape[0]), np.zeros((T.shape[0], r, r))
    logdet = go_up(s, starts, T, panels, N, H, S)
    log_sxx, r2, v, inverse = profiled(S)
    value = logdet + reml * log_sxx + df * math.log(r2) if r2 > 0.0 else np.nan
    if not math.isfinite(value):
        return value, np.zeros(B.shape[1]), T, M, r2, v, inverse, N, H, Bs
    go_down(s, parent, panels, N, H, Bs, b, M, BB, np.empty(s.root[m]))
    MT, at = np.zeros(T.shape[0]), 0
    for i in range(m):
        k = s.K[i]
        for a in range(k):
            for c in range(a + 1):
                for x in range(r):
                    for y in range(r):
                        S_bar = reml * inverse[x, y] + df * v[x] * v[y] / r2
                        M[at + a * k + c] -= BB[at + a * k + c, x, y] * S_bar
                M[at + c * k + a] = M[at + a * k + c]
        for a in range(k):
            for c in range(k):
                for e in range(k):
                    MT[at + a * k + c] += 2.0 * M[at + a * k + e] * T[at + e * k + c]
        at += k * k
    return value, transposed_times(B, MT), T, M, r2, v, inverse, N, H, Bs


def second_order(
    s: Any, parent: Any, starts: Any, panels0: Any, B: Any, entries: Any, at: Any, df: float
) -> Any:
    """Hessian in phi at what `first_order` returned."""
    n, r = entries.shape[0], s.r
    gram, BF, Fe = np.zeros((n, n)), np.zeros((n, r)), np.zeros(n)
    W = np.empty(s.wide[s.K.shape[0]])
    residual_scores(s, parent, at[5], at[9], W)
    add_information(s, starts, entries, panels0, at[7], at[8], at[9], W, gram, BF, Fe)
    turned = np.empty((r, n))
    for q in range(n):
        for x in range(r):
            turned[x, q] = BF[q, x]
    information = assembled_information(2.0 * gram, turned, Fe, at[6], at[4], df)
    return hessian_matrix(s.K, B, at[2], at[3], information, entries)


def profiled(S: Any) -> Any:
    """Profile the fixed effects out of S; see `nestedmlm.likelihood.criterion.profile`.

    Returns ``(log|S_xx|, r2, v, inverse)``; r2 is NaN where S_xx is not positive definite.
    """
    p = S.shape[0] - 1
    inverse = np.zeros((p + 1, p + 1))
    v = np.ones(p + 1)
    L, Li = np.zeros((p, p)), np.zeros((p, p))
    logdet = 0.0
    for a in range(p):
        for b in range(a + 1):
            s = S[a, b]
            for c in range(b):
                s -= L[a, c] * L[b, c]
            if a > b:
                L[a, b] = s / L[b, b]
            elif s > 0.0:
                L[a, a] = math.sqrt(s)
            else:
                return np.nan, np.nan, v, inverse
        logdet += math.log(L[a, a])
        Li[a, a] = 1.0 / L[a, a]
        for b in range(a):
            s = 0.0
            for c in range(b, a):
                s -= L[a, c] * Li[c, b]
            Li[a, b] = s / L[a, a]
    c_y = np.zeros(p)
    r2 = S[p, p]
    for a in range(p):
        for b in range(a + 1):
            c_y[a] += Li[a, b] * S[b, p]
        r2 -= c_y[a] * c_y[a]
    for a in range(p):
        s = 0.0
        for b in range(a, p):
            s += Li[b, a] * c_y[b]
        v[a] = -s
        for c in range(a + 1):
            s = 0.0
            for b in range(a, p):
                s += Li[b, a] * Li[b, c]
            inverse[a, c] = s
            inverse[c, a] = s
    return 2.0 * logdet, r2, v, inverse


def times(A: Any, x: Any) -> Any:
    """``A x``; a loop, because a call of BLAS takes Numba seconds to compile."""
    out = np.zeros(A.shape[0])
    for i in range(A.shape[0]):
        for j in range(A.shape[1]):
            out[i] += A[i, j] * x[j]
    return out


def transposed_times(A: Any, x: Any) -> Any:
    """``A' x``."""
    out = np.zeros(A.shape[1])
    for i in range(A.shape[0]):
        for j in range(A.shape[1]):
            out[j] += A[i, j] * x[i]
    return out


def cross(A: Any, B: Any) -> Any:
    """``A' B``."""
    out = np.zeros((A.shape[1], B.shape[1]))
    for row in range(A.shape[0]):
        for i in range(A.shape[1]):
            v = A[row, i]
            if v != 0.0:
                for j in range(B.shape[1]):
                    out[i, j] += v * B[row, j]
    return out


def assembled_information(gram: Any, BF: Any, e_f: Any, inverse: Any, r2: float, df: float) -> Any:
    """Average information from ``F'V^-1F``, ``[X y]'V^-1F`` and ``e'F``."""
    n = gram.shape[0]
    lost = cross(BF, cross(inverse, BF))  # the inverse is symmetric
    out = np.empty((n, n))
    for i in range(n):
        for j in range(n):
            quadratic = 0.5 * (gram[i, j] + gram[j, i]) - lost[i, j]
            out[i, j] = (quadratic - e_f[i] * e_f[j] / r2) * (df / r2)
    return out


def hessian_matrix(K: Any, B: Any, T: Any, M: Any, information: Any, pairs: Any) -> Any:
    """Second derivatives in phi: ``D'(average information)D + 2 (M (x) I)``."""
    n = B.shape[1]
    D = np.empty((pairs.shape[0], n))
    out = np.zeros((n, n))
    at = 0
    for f in range(K.shape[0]):
        k = K[f]
        dT, MdT = np.empty((n, k * k)), np.zeros((n, k * k))
        for j in range(n):
            for a in range(k):
                for b in range(k):
                    v = B[at + a * k + b, j]
                    dT[j, a * k + b] = v
                    if v != 0.0:
                        for c in range(k):
                            MdT[j, c * k + b] += M[at + c * k + a] * v
        for i in range(n):
            for j in range(n):
                for e in range(k * k):
                    out[i, j] += 2.0 * dT[i, e] * MdT[j, e]
        for e in range(pairs.shape[0]):
            if pairs[e, 0] != f:
                continue
            a, b = pairs[e, 1], pairs[e, 2]
            for j in range(n):
                s = 0.0
                for c in range(k):
                    s += dT[j, a * k + c] * T[at + b * k + c]
                    s += dT[j, b * k + c] * T[at + a * k + c]
                D[e, j] = s
        at += k * k
    out += cross(D, cross(information, D))  # the information is symmetric
    return out
