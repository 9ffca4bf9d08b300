"""A whole descent in one function: for thousands of responses of one design.

Written once, as the sweeps are: it runs as it stands, and `compiled_descent` compiles it with them,
so that a refit costs no Python at all. For designs whose chain is one block without crossed
factors, and relative factors linear in phi: ``T = B phi``. The decisions are those of
`nestedmlm.optimum.trust_region.minimize`.
"""

from __future__ import annotations

import math
import sys
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from nestedmlm._typing import FloatArray
from nestedmlm.likelihood.criterion import Degrees
from nestedmlm.likelihood.elimination import compiled_cache
from nestedmlm.likelihood.elimination.information import add_information, residual_scores
from nestedmlm.likelihood.elimination.sweeps import go_down, go_up
from nestedmlm.likelihood.plan import Plan, linear_map
from nestedmlm.optimum import quadratic, small_matrices
from nestedmlm.optimum.curvature import free_entries
from nestedmlm.optimum.quadratic import (
    ACCEPTED,
    next_radius,
    product,
    quadratic_step,
    rounding,
    symmetric_rank_one,
    wants_correction,
)
from nestedmlm.optimum.small_matrices import (
    assembled_information,
    hessian_matrix,
    plus,
    profiled,
    times,
    transposed_times,
    unexplained,
)
from nestedmlm.optimum.trust_region import RADIUS
from nestedmlm.statistics.crossproducts import CrossProducts

CONVERGED, ROUNDING, EXHAUSTED = range(3)


def applies(plan: Plan, stats: CrossProducts) -> bool:
    """Whether `descend` can fit this model."""
    plain = stats.crossed is None and stats.sigma is None and stats.row_blocks is None
    return plan.linear and plain and stats.on_workers is None and len(stats.blocks) == 1


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
    phi : array
        The best point.
    at : FirstOrder
        All of first order there.
    hessian, information : arrays
        And of second order, as in `nestedmlm.optimum.curvature.Curvature`.
    promised : float
        What the last quadratic model still promised.
    path : tuple of float
        The criterion at the start and after every step that was taken.
    """

    status: int
    evaluations: int
    value: float
    phi: FloatArray
    at: FirstOrder
    hessian: FloatArray
    information: FloatArray
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
    (block,), run = stats.blocks, compiled_descent()
    *found, path = run(
        block.shape, block.parent, block.starts, block.panels, stats.F, linear_map(plan),
        free_entries(plan).array, phi, *degrees, tolerance, max_evaluations, RADIUS,
    )  # fmt: skip
    return FusedDescent(*found, path=tuple(path.tolist()))


@cache
def compiled_descent() -> Any:
    """`descend`, compiled at its first call."""
    from nestedmlm.likelihood.elimination.compiled import compiled_copies  # Numba loads late

    modules = (quadratic, small_matrices, sys.modules[__name__])
    made = compiled_copies(*modules, called=("descend",)).descend

    def run(*arguments: Any) -> Any:
        found = made(*arguments)
        _is_kept()
        return found

    return run


@cache
def _is_kept() -> None:
    compiled_cache.mark_complete()


class FirstOrder(NamedTuple):
    """The criterion at one phi and what its second order needs.

    Attributes
    ----------
    value : float
        Up to the constant.
    gradient, T, M, r2, v, inverse
        As in `nestedmlm.optimum.evaluation.Evaluation`.
    panels, N, H, B, b, own : flat arrays
        As in `nestedmlm.likelihood.elimination.Half`.
    logdet, S, info, BB
        As in `nestedmlm.likelihood.elimination.Eliminated`; lower triangles.
    """

    value: float
    gradient: FloatArray
    T: FloatArray
    M: FloatArray
    r2: float
    v: FloatArray
    inverse: FloatArray
    panels: FloatArray
    N: FloatArray
    H: FloatArray
    B: FloatArray
    b: FloatArray
    own: FloatArray
    logdet: float
    S: FloatArray
    info: FloatArray
    BB: FloatArray


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
    # one place each for what is long: LLVM optimises a function anew wherever it is called
    n, used, status = phi.shape[0], 0, EXHAUSTED
    correction, trial = np.zeros((n, n)), phi
    moved, corrected = False, False
    moved_step, moved_change, step = np.zeros(n), np.zeros(n), np.zeros(n)
    gradient = np.zeros(n)
    before, promised, predicted, value = np.inf, np.inf, 0.0, np.inf
    path, taken = np.empty(max(1, max_evaluations)), 0
    while used < max(1, max_evaluations):
        used += 1
        there = first_order(s, parent, starts, panels0, F, B, trial, df, reml)
        noise, ratio = rounding(value), 1.0
        if used > 1:
            actual = value - (there.value + constant) if math.isfinite(there.value) else -np.inf
            ratio = (actual + noise) / (predicted + noise)
            radius = next_radius(radius, ratio, math.sqrt(product(step, step)))
        if ratio > ACCEPTED:  # the start always is
            second, information = second_order(s, parent, starts, panels0, B, entries, there, df)
            if used > 1:
                moved_step = step
                moved_change = unexplained(there.gradient, gradient, second, step)
                moved, before = True, promised
            here, phi, value = there, trial, there.value + constant
            gradient = here.gradient
            path[taken] = value
            taken += 1
        elif predicted <= noise:
            status = ROUNDING
            break
        elif corrected:  # what was learnt elsewhere misleads here
            correction = np.zeros((n, n))
            corrected, moved = False, False
        if not math.isfinite(value):
            break
        learning = True
        while learning:
            promised, _, step, predicted = quadratic_step(
                plus(second, correction), gradient, radius
            )
            learning = moved and wants_correction(promised, before)
            if learning:
                correction = symmetric_rank_one(correction, moved_step, moved_change)
                corrected, moved = True, False
        if promised <= tolerance:
            status = CONVERGED
            break
        trial = phi + step
    return status, used, value, phi, here, second, information, promised, path[:taken].copy()


def first_order(
    s: Any, parent: Any, starts: Any, panels0: Any, F: Any, B: Any, phi: Any, df: float, reml: float
) -> Any:
    """Criterion, gradient, and what the second order needs, at one phi."""
    m, r = s.K.shape[0], s.r
    T = times(B, phi)
    panels, S = panels0.copy(), F.copy()
    N, H = np.empty(s.root[m]), np.empty(s.half[m])
    Bs, b, own = np.empty(s.right[m]), np.empty(s.right[m]), np.empty(s.root[m])
    info, BB = np.zeros(T.shape[0]), np.zeros((T.shape[0], r, r))
    logdet = go_up(s, starts, T, panels, N, H, S)
    log_sxx, r2, v, inverse = profiled(S)
    value = logdet + reml * log_sxx + df * math.log(r2) if r2 > 0.0 else np.nan
    if not math.isfinite(value):
        nothing = np.zeros(B.shape[1])
        return FirstOrder(
            value, nothing, T, info, r2, v, inverse, panels, N, H, Bs, b, own, logdet, S, info, BB
        )
    go_down(s, parent, panels, N, H, Bs, b, info, BB, own)
    M, MT, at = info.copy(), np.zeros(T.shape[0]), 0
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
    gradient = transposed_times(B, MT)
    return FirstOrder(
        value, gradient, T, M, r2, v, inverse, panels, N, H, Bs, b, own, logdet, S, info, BB
    )


def second_order(
    s: Any, parent: Any, starts: Any, panels0: Any, B: Any, entries: Any, at: Any, df: float
) -> Any:
    """Hessian in phi and average information at what `first_order` returned."""
    n, r = entries.shape[0], s.r
    gram, BF, Fe = np.zeros((n, n)), np.zeros((n, r)), np.zeros(n)
    W = np.empty(s.wide[s.K.shape[0]])
    residual_scores(s, parent, at.v, at.B, W)
    add_information(s, starts, entries, panels0, at.N, at.H, at.B, W, gram, BF, Fe)
    turned = np.empty((r, n))
    for q in range(n):
        for x in range(r):
            turned[x, q] = BF[q, x]
    information = assembled_information(gram, turned, Fe, at.inverse, at.r2, df)
    return hessian_matrix(s.K, B, at.T, at.M, information, entries), information
