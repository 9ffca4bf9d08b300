"""Second-order sums over the covariance, from the elimination's factors.

No n x n matrix and no q x q one: the chain of nested factors is swept node by node
(`nestedmlm.likelihood.kernels.traces`), only the dense block of crossed factors is multiplied out.
"""

from __future__ import annotations

import numpy as np

from nestedmlm._typing import FloatArray
from nestedmlm.errors import MemoryLimitError
from nestedmlm.inference.variances.directions import Directions
from nestedmlm.likelihood import elimination, trailing
from nestedmlm.likelihood.elimination import Eliminated
from nestedmlm.likelihood.kernels.traces import pair, sum_pairs
from nestedmlm.statistics.crossproducts import CrossProducts, available_memory


def traces(
    T: FloatArray, stats: CrossProducts, state: Eliminated, directions: Directions
) -> FloatArray:
    """``tr(V^{-1} Z E_r Z')`` for each direction, shape (n_d,)."""
    r = stats.sums.F.shape[0]
    M = elimination.adjoint(T, stats.tree, state, 1.0, np.zeros((r, r)))
    widths = [*stats.tree.K.tolist(), *stats.tree.Kt.tolist()]
    starts = np.cumsum([0, *(k * k for k in widths)])
    return np.array(
        [
            float(np.sum(M[starts[f] : starts[f + 1]] * E.ravel()))
            for f, E in zip(directions.factor, directions.matrices, strict=True)
        ]
    )


def pair_traces(stats: CrossProducts, state: Eliminated, directions: Directions) -> FloatArray:
    """``tr(V^{-1} Z E_r Z' V^{-1} Z E_s Z')`` for each pair of directions.

    Parameters
    ----------
    stats, state
        Statistics and the forward sweep's result.
    directions : Directions

    Returns
    -------
    (n_d, n_d) array
        Symmetric.

    Raises
    ------
    MemoryLimitError
        If the sums for the crossed factors would not fit in memory.
    """
    m, n_d = len(stats.tree.K), len(directions)
    dptr = np.searchsorted(directions.factor, np.arange(m + 1)).astype(np.int64)
    chain = int(dptr[-1])
    sizes = [E.size for E in directions.matrices[:chain]]
    eptr = np.cumsum([0, *sizes]).astype(np.int64)
    E = np.concatenate([E.ravel() for E in directions.matrices[:chain]] or [np.zeros(0)])
    N = np.zeros((n_d, n_d))
    q_t = stats.sums.Qtt.shape[0]
    count = chain + chain * (chain + 1) // 2
    _refuse_what_does_not_fit(count, q_t)
    root = np.zeros((count, q_t, q_t))
    sum_pairs(
        stats.tree, len(stats.sums.F), state.panels, state.G, dptr, eptr, E, N, root,
    )  # fmt: skip
    if q_t:
        _trailing_pairs(stats, state, directions, chain, root, N)
    return N + np.triu(N, 1).T


def _refuse_what_does_not_fit(count: int, q_t: int) -> None:
    needed, free = 8 * (count + 4) * q_t * q_t, available_memory()
    if needed > free:
        raise MemoryLimitError(
            f"second derivatives for {q_t:,} columns of crossed factors and {count} sums need "
            f"{needed / 2**30:,.1f} GiB, and {free / 2**30:,.1f} GiB are free; drop random slopes "
            "or use ddf='residual' or 'none'"
        )


def _trailing_pairs(
    stats: CrossProducts,
    state: Eliminated,
    directions: Directions,
    chain: int,
    root: FloatArray,
    N: FloatArray,
) -> None:
    """Eliminate the dense block: the same update as a node's, with its own directions."""
    Q, G = state.Qtt, state.Gtt
    where = trailing.spans(stats.tree, len(Q))
    U = -(G @ Q)
    U[np.diag_indices_from(U)] += 1.0
    PG = [P @ G for P in root[:chain]]
    for s in range(chain):
        for r in range(s + 1):
            N[r, s] += np.sum(PG[r] * PG[s].T) - 2.0 * np.sum(root[chain + pair(r, s)] * G)
    del PG
    own = range(chain, len(directions))
    spans = {s: where[int(directions.factor[s]) - len(stats.tree.K)] for s in own}
    for r in range(chain):
        PU = root[r] @ U
        for s in own:
            k, start, end = spans[s]
            for a, b in np.argwhere(directions.matrices[s]):
                left, right = slice(start + a, end, k), slice(start + b, end, k)
                N[r, s] += directions.matrices[s][a, b] * np.sum(U[:, left] * PU[:, right])
    A = Q @ U
    for s in own:
        for r in range(chain, s + 1):
            N[r, s] += _dense_pair(
                A, spans[r], spans[s], directions.matrices[r], directions.matrices[s]
            )


def _dense_pair(
    A: FloatArray,
    one: tuple[int, int, int],
    two: tuple[int, int, int],
    E_one: FloatArray,
    E_two: FloatArray,
) -> float:
    """``tr(A_21 E_1 A_12 E_2)`` with the directions repeated over the levels of two factors."""
    (k, start, end), (width, begin, stop) = one, two
    total = 0.0
    for a, b in np.argwhere(E_one):
        for c, d in np.argwhere(E_two):
            block = A[start + a : end : k, begin + c : stop : width]
            other = A[start + b : end : k, begin + d : stop : width]
            total += E_one[a, b] * E_two[c, d] * float(np.sum(block * other))
    return total
