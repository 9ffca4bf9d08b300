"""Start of the optimizer from moments, for nested factors of so many levels that it is accurate.

MINQUE(0) (Rao 1971; Searle, Casella and McCulloch 1992, *Variance Components*, chapter 11) of whole
covariance matrices: with ``s = Z'r`` of a level and r the residuals of least squares, the sums of
``s s'`` over the levels of each factor, and ``r'r``, are equated to what they are expected to be.
That is linear in all covariances. The few fixed effects are taken to leave no mark on r, which
costs an error of p over the number of levels: it is a start.

Descending on a part of the groups first, from here, was tried: of 16 made fits of 1e5 to 2e5 levels
two then took one or two evaluations of the whole less, three took more, and eleven as many.
"""

from __future__ import annotations

from itertools import accumulate

import numpy as np

from nestedmlm._typing import FloatArray
from nestedmlm.likelihood.plan import Plan, linear_map
from nestedmlm.optimum.minque import LEAST, MOST
from nestedmlm.statistics.crossproducts import CrossProducts
from nestedmlm.statistics.forest import Block
from nestedmlm.statistics.parts import FactorPart

MANY_LEVELS = 20_000  # of all factors together, from which an evaluation takes longer than moments


def start_of_nested_moments(plan: Plan, stats: CrossProducts) -> FloatArray | None:
    """Phi from moments; None where the default start serves.

    Parameters
    ----------
    plan, stats : Plan, CrossProducts
        The structure and the numbers of the model. Moments serve nested factors of many levels
        whose relative factors are linear in their parameters.
    """
    levels = sum(part.levels for part in stats.parts)
    if stats.crossed is not None or stats.sparse is not None or levels < MANY_LEVELS:
        return None
    if not plan.linear:
        return None
    A, moments = equations(stats)
    *found, residual = np.linalg.lstsq(A, moments)[0].tolist()
    covariances = np.array(found)
    if residual <= 0.0:
        residual = float(np.abs(covariances).max()) / MOST**2 or 1.0
    B = linear_map(plan)
    free = np.abs(B).sum(axis=1)
    T = np.zeros(len(B))
    for part in stats.parts:
        pattern = part.matrix(free) > 0
        within = pattern.astype(float) @ pattern.T > 0  # of T T'
        part.matrix(T)[...] = _factor(np.where(within, part.matrix(covariances), 0.0) / residual)
    phi: FloatArray = np.linalg.lstsq(B, T)[0]
    return phi


def equations(stats: CrossProducts) -> tuple[FloatArray, FloatArray]:
    """Equations of the moments.

    Returns
    -------
    (q + 1, q + 1) array
        Of the covariances of all factors, flat in elimination order, and the residual variance.
    (q + 1,) array
        What is observed.
    """
    if stats.on_workers is None:
        A, moments = _of_groups(stats)
    else:
        shares = stats.on_workers.each(_of_groups)
        A, moments = (np.sum(own, axis=0) for own in zip(*shares, strict=True))
    A[-1, -1], moments[-1] = stats.n - stats.p, stats.F[-1, -1]
    return A, moments


def _of_groups(stats: CrossProducts) -> tuple[FloatArray, FloatArray]:
    """What the groups contribute to the equations."""
    parts = stats.chain_parts
    q = parts[-1].flat.stop
    A, moments = np.zeros((q + 1, q + 1)), np.zeros(q + 1)
    for block in stats.blocks:
        for i, own in enumerate(parts):
            _add_level(A, moments, block, i, own, parts)
    return A, moments


def _add_level(
    A: FloatArray,
    moments: FloatArray,
    block: Block,
    i: int,
    own: FactorPart,
    parts: tuple[FactorPart, ...],
) -> None:
    """Add what one factor's levels in a block have in common with their ancestors."""
    panel = block.panel(i)
    s = panel[:, -1]
    moments[own.flat] += (s @ s.T).ravel()
    gram = panel[:, : own.k].sum(axis=-1).ravel()
    A[own.flat, -1] += gram
    A[-1, own.flat] += gram
    begin = accumulate((part.k for part in parts[i:]), initial=0)
    for above, first in zip(parts[i:], begin, strict=False):
        C = panel[:, first : first + above.k].reshape(own.k * above.k, -1)
        both = (C @ C.T).reshape(own.k, above.k, own.k, above.k).transpose(0, 2, 1, 3)
        pair = both.reshape(own.k**2, above.k**2)
        A[own.flat, above.flat] += pair
        if above is not own:
            A[above.flat, own.flat] += pair.T


def _factor(ratio: FloatArray) -> FloatArray:
    """Lower triangular factor of relative covariances, off the edge of what they can be."""
    values, vectors = np.linalg.eigh(0.5 * (ratio + ratio.T))
    root = (vectors * np.sqrt(values.clip(LEAST**2, MOST**2))).T
    T = np.linalg.qr(root, mode="r").T
    signed: FloatArray = T * np.where(T.diagonal() < 0, -1.0, 1.0)
    return signed
