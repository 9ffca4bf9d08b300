"""Start of the optimizer from moments, for crossed factors where an evaluation takes long.

MINQUE(0) (Rao 1971; Searle, Casella and McCulloch 1992, *Variance Components*, chapter 11): with
``r`` the residuals of least squares, ``r'Z_i Z_i'r`` and ``r'r`` are equated to what they are
expected to be, ``sum_j ||Z_i'P Z_j||^2 sigma_j^2 + tr(Z_i'P Z_i) sigma^2`` with
``P = I - X(X'X)^{-1}X'``. All of it is in the sums of products: one small linear system.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from nestedmlm._typing import FloatArray, IntArray
from nestedmlm.likelihood.plan import Plan, linear_map
from nestedmlm.statistics.crossproducts import CrossProducts
from nestedmlm.statistics.leaf_levels import LARGE_COLUMNS

LEAST = 0.05  # relative standard deviation where the moments give none: zero is a trap
MOST = 20.0  # and where they give no residual variance


def start_of_moments(plan: Plan, stats: CrossProducts) -> FloatArray | None:
    """Phi from moments; None where the default start serves.

    Parameters
    ----------
    plan, stats : Plan, CrossProducts
        The structure and the numbers of the model. Moments serve models of intercepts, each of
        its own factor, with a large block of crossed factors.
    """
    crossed = stats.crossed
    if stats.sparse is not None or crossed is None or len(crossed.Q) < LARGE_COLUMNS:
        return None
    if not plan.linear or len(stats.blocks) > 1 or any(p.k > 1 for p in stats.parts):
        return None
    X, u = _right_sides(stats)
    of = [part.rows for part in stats.parts]
    squares, traces = np.zeros((len(of), len(of))), np.zeros(len(of))
    for i, j, rows, columns, values in _products(stats):
        left, right = X[of[i]], X[of[j]]
        squares[i, j] += values @ values
        squares[i, j] -= 2.0 * np.einsum("ep,ep,e->", left[rows], right[columns], values)
        squares[i, j] += np.vdot(left.T @ left, right.T @ right)
        if i == j:
            traces[i] = values[rows == columns].sum() - np.vdot(left, left)
    squares = np.triu(squares) + np.triu(squares, 1).T
    A = np.block([[squares, traces[:, None]], [traces, np.array([[float(stats.n - stats.p)]])]])
    moments = np.append([u[rows] @ u[rows] for rows in of], stats.F[-1, -1])
    *variances, residual = np.linalg.lstsq(A, moments)[0].tolist()
    ratios = np.array(variances) / residual if residual > 0.0 else np.full(len(of), MOST**2)
    T = np.sqrt(np.clip(ratios, LEAST**2, MOST**2))
    return np.asarray(linear_map(plan).T @ T)


def _right_sides(stats: CrossProducts) -> tuple[FloatArray, FloatArray]:
    """``Z'X`` and ``Z'r`` of all factors; X is orthonormal and r the response in `stats`."""
    assert stats.crossed is not None
    parts = [
        block.panel(i)[0, -block.shape.r :].T
        for block in stats.blocks
        for i in range(len(stats.chain_parts))
    ]
    whole = np.vstack([*parts, stats.crossed.R])
    return whole[:, :-1], whole[:, -1]


def _products(stats: CrossProducts) -> Iterator[tuple[int, int, IntArray, IntArray, FloatArray]]:
    """``Z_i'Z_j`` for i <= j, as places and values of what may differ from zero."""
    crossed, m = stats.crossed, len(stats.chain_parts)
    assert crossed is not None
    bounds = [part.rows for part in crossed.parts]
    for block in stats.blocks:
        e, s = crossed.entries, block.shape
        for i in range(m):
            levels = np.arange(int(s.J[i]))
            above = levels
            for j in range(i, m):
                yield i, j, levels, above, block.panel(i)[0, j - i]
                if j + 1 < m:
                    above = block.parent[s.level[j] : s.level[j + 1]][above]
            own = slice(*e.first[i : i + 2].tolist())
            node, column = e.node[own], e.col[own]
            values = crossed.values[slice(*e.value[i : i + 2].tolist())]
            for j, part in enumerate(bounds):
                here = (column >= part.start) & (column < part.stop)
                yield i, m + j, node[here], column[here] - part.start, values[here]
    for i, left in enumerate(bounds):
        for j in range(i, len(bounds)):
            C = crossed.Q[left, bounds[j]]
            rows, columns = np.nonzero(C)
            yield m + i, m + j, rows, columns, C[rows, columns]
