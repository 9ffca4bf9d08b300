"""Traces of products of the covariance's derivatives, from the elimination's factors.

No n x n matrix and no q x q one: ``tr(A E_r A E_s)`` with ``A = Z'V^{-1}Z`` and directions E is
added up by one sweep up the chain, levels as lanes; only the dense block of crossed factors is
multiplied out.

For what lies below a level with own columns a and the rest b, the sweep carries, per direction,
``P_r`` and, per pair, ``X_rs``: matrices over the columns that remain. With
``G = N'N``, ``U = I - G Q`` and ``L = -G R``, eliminating the level adds to the trace, and leaves
``[L; I]'(X_rs - P_r G P_s)[L; I]``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from nestedmlm._typing import FloatArray
from nestedmlm.errors import MemoryLimitError
from nestedmlm.inference.variances.directions import Directions
from nestedmlm.likelihood.elimination import (
    Eliminated,
    Half,
    OrthogonallyEliminated,
    apply_chain,
    products,
    summed,
)
from nestedmlm.statistics.crossproducts import CrossProducts
from nestedmlm.statistics.forest import Block
from nestedmlm.statistics.memory import available_memory
from nestedmlm.statistics.parts import FactorPart


def direction_traces(state: Eliminated, stats: CrossProducts, directions: Directions) -> FloatArray:
    """``tr(V^{-1} Z E_r Z')`` for each direction, shape (n_d,)."""
    return np.array(
        [
            float(np.sum(state.info[stats.parts[f].flat] * E.ravel()))
            for f, E in zip(directions.factor, directions.matrices, strict=True)
        ]
    )


def pair_traces(stats: CrossProducts, state: Eliminated, directions: Directions) -> FloatArray:
    """``tr(V^{-1} Z E_r Z' V^{-1} Z E_s Z')`` for each pair of directions.

    Parameters
    ----------
    stats, state
        Statistics and the elimination's result.
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
    if stats.on_workers is not None:
        return sum(summed(pair_traces, stats, state, directions), np.zeros(()))
    if isinstance(state, OrthogonallyEliminated):
        return _pairs_of_rows(state, directions)
    chain = int(np.searchsorted(directions.factor, len(stats.order.chain)))
    N = np.zeros((len(directions), len(directions)))
    for block, kept in zip(stats.blocks, state.chain, strict=True):
        N[:chain, :chain] += _chain_pairs(block, kept, directions, chain)
    if stats.crossed is not None:
        _crossed_pairs(stats, state, directions, chain, N)
    return np.triu(N) + np.triu(N, 1).T


def _pairs_of_rows(state: OrthogonallyEliminated, directions: Directions) -> FloatArray:
    """The same where ``A = Z'V^{-1}Z`` of every block of rows is there, multiplied out."""
    out = np.zeros((len(directions), len(directions)))
    for parts, A in zip(state.block_parts, state.ZZ, strict=True):
        moved = [
            apply_direction(A, parts[f], E).T  # A and E are symmetric
            for f, E in zip(directions.factor, directions.matrices, strict=True)
        ]
        out += [[float(np.vdot(one, two.T)) for two in moved] for one in moved]
    return out


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Level:
    """One factor's share in the sums of those below: matrices with levels last."""

    G: FloatArray
    U: FloatArray
    L: FloatArray
    own: FloatArray  # Q U, the level's A given what is above
    above: FloatArray  # R + Q L


def _chain_pairs(block: Block, kept: Half, directions: Directions, chain: int) -> FloatArray:
    """The chain's ``tr(C E_r C E_s)``, ``C = Z'V_c^{-1}Z``, for r <= s."""
    s, out = block.shape, np.zeros((chain, chain))
    P: dict[int, FloatArray] = {}
    X: dict[tuple[int, int], FloatArray] = {}
    for i in range(len(s.K)):
        at, k = _level_at(block, kept, i), int(s.K[i])
        below = list(P)
        own = [d for d in range(chain) if directions.factor[d] == i]
        PG = {r: _times(P[r][:, :k], at.G) for r in below}
        handed: dict[int, FloatArray] = {r: _carried(P[r], at.L, k) for r in below}
        pairs: dict[tuple[int, int], FloatArray] = {}
        for r, t in X:
            x = X[r, t]
            out[r, t] += _trace(PG[r][:k], PG[t][:k]) - 2.0 * _trace(x[:k, :k], at.G)
            pairs[r, t] = _carried(x - _times(PG[r], P[t][:k]), at.L, k)
        turned = {
            t: (_times(at.own, directions.matrices[t]), _times(directions.matrices[t], at.above))
            for t in own
        }
        for t in own:
            E, (AE, Ea) = directions.matrices[t], turned[t]
            handed[t] = _times(_turned(at.above), Ea)
            for r in below:
                PU = _times(P[r][:, :k], at.U)
                out[r, t] += float(np.einsum("abj,ba->", _times(_turned(at.U), PU[:k]), E))
                pairs[r, t] = _times(PU[k:] + _times(_turned(at.L), PU[:k]), Ea)
            for r in own:
                if r <= t:
                    out[r, t] += _trace(AE, turned[r][0])
                    pairs[r, t] = _times(_times(_turned(turned[r][1]), at.own), Ea)
        if i + 1 == len(s.K):
            break
        starts = block.starts[s.level[i + 1] : s.level[i + 2]]
        P = {r: np.add.reduceat(v, starts, axis=-1) for r, v in handed.items()}
        X = {q: np.add.reduceat(v, starts, axis=-1) for q, v in pairs.items()}
    return out


def _level_at(block: Block, kept: Half, i: int) -> _Level:
    s = block.shape
    k, anc, J = int(s.K[i]), int(s.A[i]), int(s.J[i])
    panel = kept.panels[s.panel[i] : s.panel[i + 1]].reshape(k, k + anc + s.r, J)
    N = kept.N[s.root[i] : s.root[i + 1]].reshape(k, k, J).copy()
    N[np.tril_indices(k, -1)] = 0.0
    Q, R = panel[:, :k], panel[:, k : k + anc]
    G = _times(_turned(N), N)
    U, L = -_times(G, Q), -_times(G, R)
    U[np.arange(k), np.arange(k)] += 1.0
    return _Level(G=G, U=U, L=L, own=_times(Q, U), above=R + _times(Q, L))


def _times(X: Any, Y: Any) -> FloatArray:
    """(a, b, J) times (b, c, J); either may be one matrix for all levels."""
    levels = X.shape[2] if X.ndim == 3 else Y.shape[2]
    X = X if X.ndim == 3 else X[:, :, None]
    Y = Y if Y.ndim == 3 else Y[:, :, None]
    out = np.zeros((X.shape[0], Y.shape[1], levels))
    for a in range(X.shape[0]):
        for b in range(X.shape[1]):
            out[a] += X[a, b] * Y[b]
    return out


def _turned(X: FloatArray) -> FloatArray:
    return X.transpose(1, 0, 2)


def _trace(X: FloatArray, Y: FloatArray) -> float:
    return float(np.einsum("abj,baj->", X, Y))


def _carried(Y: FloatArray, L: FloatArray, k: int) -> FloatArray:
    """``[L; I]' Y [L; I]``."""
    right = Y[:, k:] + _times(Y[:, :k], L)
    return right[k:] + _times(_turned(L), right[:k])


_COLUMNS_TOGETHER = 64  # of the dense block that are solved for together


def _crossed_pairs(
    stats: CrossProducts, state: Eliminated, directions: Directions, chain: int, N: FloatArray
) -> None:
    """What crossed factors add, with ``D = Z'V_c^{-1}Z_t``: P_r = D'E_r D, X_rs = D'E_s C E_r D."""
    dense = state.dense
    assert dense is not None
    Q, G = dense.Q, dense.G
    D = _crossed_solve(stats, state, chain, len(Q))
    factor = directions.factor.tolist()
    moves = [
        apply_direction(D, stats.parts[factor[r]], directions.matrices[r]) for r in range(chain)
    ]
    P = [D.T @ ED for ED in moves]
    PG = [p @ G for p in P]
    for t in range(chain):
        for r in range(t + 1):
            N[r, t] += float(np.sum(PG[r] * PG[t].T))
    for low in range(0, len(Q) if chain else 0, _COLUMNS_TOGETHER):
        columns = slice(low, low + _COLUMNS_TOGETHER)
        for r in range(chain):
            CED = _information_times(stats, state, moves[r][:, columns])
            for t in range(r, chain):
                N[r, t] -= 2.0 * float(np.sum((moves[t].T @ CED) * G[:, columns]))
    U = -(G @ Q)
    U[np.diag_indices_from(U)] += 1.0
    dense_parts = stats.crossed.parts if stats.crossed is not None else ()
    own = range(chain, len(directions))
    trailing = {t: dense_parts[factor[t] - len(stats.order.chain)] for t in own}
    for r in range(chain):
        PU = P[r] @ U
        for t in own:
            for a, b in np.argwhere(directions.matrices[t]):
                left, right = trailing[t].column(a), trailing[t].column(b)
                N[r, t] += directions.matrices[t][a, b] * np.sum(U[:, left] * PU[:, right])
    A = Q @ U
    for t in own:
        for r in range(chain, t + 1):
            N[r, t] += _dense_pair(
                A, trailing[r], trailing[t], directions.matrices[r], directions.matrices[t]
            )


def _crossed_solve(stats: CrossProducts, state: Eliminated, chain: int, q_t: int) -> FloatArray:
    """``D = Z'V_c^{-1}Z_t``, (q of the chain, q_t)."""
    q = stats.q - q_t
    needed, free = 8 * q_t * ((2 + chain) * q + (2 * chain + 4) * q_t), available_memory()
    if needed > free:
        raise MemoryLimitError(
            f"second derivatives for {q_t:,} columns of crossed factors beside {q:,} others need "
            f"{needed / 2**30:,.1f} GiB, and {free / 2**30:,.1f} GiB are free; drop random slopes "
            "or use ddf='residual' or 'none'"
        )
    crossed = stats.crossed
    assert crossed is not None
    if not stats.blocks:
        return np.zeros((0, q_t))
    (block,), (kept,), e = stats.blocks, state.chain, crossed.entries
    D = np.empty((q, q_t))
    for low in range(0, q_t, _COLUMNS_TOGETHER):
        width = min(_COLUMNS_TOGETHER, q_t - low)
        R = []
        for i, k in enumerate(block.shape.K.tolist()):
            own = slice(int(e.first[i]), int(e.first[i + 1]))
            values = crossed.values[e.value[i] : e.value[i + 1]].reshape(k, -1)
            here = (e.col[own] >= low) & (e.col[own] < low + width)
            right = np.zeros((k, width, int(block.shape.J[i])))
            right[:, e.col[own][here] - low, e.node[own][here]] = values[:, here]
            R.append(right)
        D[:, low : low + width] = _stacked(apply_chain(stats, block, kept, R))
    return D


def _information_times(stats: CrossProducts, state: Eliminated, F: FloatArray) -> FloatArray:
    """``Z'V_c^{-1}Z F`` for F in the rows of the chain's effects."""
    (block,), (kept,) = stats.blocks, state.chain
    own = [part.by_level(F).transpose(1, 2, 0) for part in stats.chain_parts]
    return _stacked(apply_chain(stats, block, kept, products(block, own)))


def _stacked(parts: list[FloatArray]) -> FloatArray:
    """(k, n, J) of each factor to rows in elimination order, level by level."""
    return np.vstack([p.transpose(2, 0, 1).reshape(-1, p.shape[1]) for p in parts])


def apply_direction(B: FloatArray, part: FactorPart, E: FloatArray) -> FloatArray:
    """``(I (x) E) B`` in the rows of one factor, zero in the others."""
    out = np.zeros_like(B)
    out[part.rows] = (E @ part.by_level(B)).reshape(-1, B.shape[1])
    return out


def _dense_pair(
    A: FloatArray, one: FactorPart, two: FactorPart, E_one: FloatArray, E_two: FloatArray
) -> float:
    """``tr(A_21 E_1 A_12 E_2)`` with the directions repeated over the levels of two factors."""
    total = 0.0
    for a, b in np.argwhere(E_one):
        for c, d in np.argwhere(E_two):
            left = A[one.column(a), two.column(c)]
            right = A[one.column(b), two.column(d)]
            total += E_one[a, b] * E_two[c, d] * float(np.sum(left * right))
    return total
