"""Movement of V where residuals differ or correlate, with the expected information: of no response.

Plans of tests have no data, so what stands for the parameters' covariance is the inverse of
``tr(P V_i P V_j) / 2``, computed densely for each set of rows that depend on one another.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import scipy  # its sparse matrices load on first use

from nestedmlm._typing import FloatArray, IntArray
from nestedmlm.errors import MemoryLimitError
from nestedmlm.inference.effects.identified_inverse import twice_inverse
from nestedmlm.inference.effects.residual_movement import Movement, covariance_movement
from nestedmlm.inference.fitted import Fitted
from nestedmlm.likelihood.plan import flat_of_theta
from nestedmlm.likelihood.solution import Solution
from nestedmlm.statistics.pair_sums import PairSums, ResidualAt

MOST_ROWS = 3000  # that depend on one another: matrices of 72 MB, one for each parameter
_ENTRIES_AT_ONCE = 10_000_000  # of all matrices of some sets of rows


def expected_movement(fitted: Fitted) -> Movement:
    """`covariance_movement` with the expected information in the place of the observed one.

    Parameters
    ----------
    fitted : Fitted
        A design with residuals that differ or correlate, at supposed parameters.

    Raises
    ------
    MemoryLimitError
        If more than 3,000 rows depend on one another.
    """
    found = covariance_movement(fitted)
    traces = _traces(fitted.solution, found)
    spread, flat = twice_inverse(traces)
    return replace(found, spread=spread, flat=flat)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Sets:
    """Sets of rows that depend on one another: of each row its set, and its place in that."""

    label: IntArray
    place: IntArray
    sizes: IntArray

    def batches(self, parameters: int) -> Iterator[IntArray]:
        """Sets of one size, as many as fit."""
        for size in np.unique(self.sizes):
            own = np.flatnonzero(self.sizes == size)
            step = max(1, _ENTRIES_AT_ONCE // (parameters * int(size) ** 2))
            yield from (own[low : low + step] for low in range(0, len(own), step))


def _traces(s: Solution, found: Movement) -> FloatArray:
    """``tr(P V_i P V_j)`` of all parameters, log sigma last, relative to sigma^2."""
    at, p = s.stats.residual, s.stats.p
    assert at is not None
    Z = _columns(at.sums)
    sets = _dependent(at, Z)
    V, moves = _covariance(s, at, Z), _slopes(found, at, Z)
    moves.append(2.0 * V)
    X, q = at.sums.Y[:p].T, len(moves)
    out, crossed, S = np.zeros((q, q)), np.zeros((q, q)), np.zeros((q, p, p))
    entries = [_entries(A, sets) for A in (V, *moves)]
    rows = np.argsort(sets.label, kind="stable")
    ends = np.concatenate([[0], np.cumsum(sets.sizes)])
    for own in sets.batches(q):
        Vs, *Vi = (_dense(e, own, int(sets.sizes[own[0]])) for e in entries)
        x = X[np.stack([rows[ends[c] : ends[c + 1]] for c in own])]
        VX = np.linalg.solve(Vs, x)
        A = np.stack([np.linalg.solve(Vs, M) for M in Vi])
        G = np.stack([M @ VX for M in Vi])
        out += A.reshape(q, -1) @ A.swapaxes(2, 3).reshape(q, -1).T
        crossed += (A @ VX).reshape(q, -1) @ (G @ found.Phi).reshape(q, -1).T
        S += np.einsum("cmp,qcmr->qpr", VX, G)
    moved = S @ found.Phi
    out += np.einsum("iab,jba->ij", moved, moved) - 2.0 * crossed
    traces: FloatArray = 0.5 * (out + out.T)
    return traces


def _columns(sums: PairSums) -> list[scipy.sparse.csr_array]:
    """Columns of each factor, scaled: (n, levels k), a level's side by side."""
    out = []
    for f, (part, z) in enumerate(zip(sums.base.parts, (*sums.chain, *sums.trailing), strict=True)):
        k, n = z.shape
        if f < len(sums.chain):
            first = sums.nodes[f].astype(np.int64) * k
        else:
            part = sums.crossed_parts[f - len(sums.chain)]
            first = sums.columns[f - len(sums.chain)] - part.rows.start
        at = (z.T.ravel(), (first[:, None] + np.arange(k)).ravel(), np.arange(0, n * k + 1, k))
        own = scipy.sparse.csr_array(at, shape=(n, part.levels * k))
        basis = sums.base.basis(f)
        if basis is not None:
            own = own @ scipy.sparse.csr_array(np.kron(basis, np.eye(k)))
        out.append(own)
    return out


def _dependent(at: ResidualAt, Z: Sequence[scipy.sparse.csr_array]) -> _Sets:
    pairs, n = at.model.pairs, at.sums.Y.shape[1]
    graph = scipy.sparse.coo_array((np.ones(len(pairs.i)), (pairs.i, pairs.j)), shape=(n, n))
    together = scipy.sparse.hstack([graph.tocsr(), *(abs(z) for z in Z)]).tocsr()
    square = scipy.sparse.vstack(
        [together, scipy.sparse.csr_array((together.shape[1] - n, together.shape[1]))]
    )
    label = scipy.sparse.csgraph.connected_components(square, directed=False)[1][:n]
    label = np.unique(label, return_inverse=True)[1].reshape(n)
    sizes = np.bincount(label)
    if sizes.max() > MOST_ROWS:
        raise MemoryLimitError(
            f"{sizes.max():,} rows depend on one another: power without simulation, where "
            f"residuals differ or correlate, takes {MOST_ROWS:,}; simulate: power()"
        )
    place, rows = np.empty(n, dtype=np.int64), np.argsort(label, kind="stable")
    place[rows] = np.arange(n) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    return _Sets(label=label, place=place, sizes=sizes)


def _covariance(s: Solution, at: ResidualAt, Z: Sequence[scipy.sparse.csr_array]) -> Any:
    V = _of_blocks(at.model.matrices(at.free), at.sums.Y.shape[1])
    T = flat_of_theta(s.theta, s.plan, s.stats) if s.plan.n_theta else np.zeros(0)
    for part, z in zip(s.stats.parts, Z, strict=True):
        own = part.matrix(T)
        V = V + _between(z, own @ own.T)
    return V


def _slopes(found: Movement, at: ResidualAt, Z: Sequence[scipy.sparse.csr_array]) -> list[Any]:
    """Derivatives of V in the parameters of random effects and residuals."""
    n = at.sums.Y.shape[1]
    out = [
        _between(Z[f], E)
        for f, E in zip(found.directions.factor, found.directions.matrices, strict=True)
    ]
    units = np.eye(found.n_free)
    return out + [_of_blocks(at.model.slopes(at.free, u), n) for u in units]


def _between(z: scipy.sparse.csr_array, E: FloatArray) -> Any:
    """``Z (I x E) Z'``."""
    levels = z.shape[1] // len(E)
    return z @ scipy.sparse.kron(scipy.sparse.eye_array(levels), E).tocsr() @ z.T


def _of_blocks(blocks: Iterator[tuple[IntArray, FloatArray]], n: int) -> Any:
    i, j, x = [], [], []
    for rows, R in blocks:
        i.append(np.broadcast_to(rows[:, :, None], R.shape).ravel())
        j.append(np.broadcast_to(rows[:, None, :], R.shape).ravel())
        x.append(R.ravel())
    at = (np.concatenate(i), np.concatenate(j))
    return scipy.sparse.coo_array((np.concatenate(x), at), shape=(n, n)).tocsr()


def _entries(A: Any, sets: _Sets) -> tuple[IntArray, IntArray, IntArray, FloatArray]:
    """Set, places and value of each entry, by set."""
    own = A.tocoo()
    label = sets.label[own.row]
    order = np.argsort(label, kind="stable")
    row, col = own.row[order], own.col[order]
    return label[order], sets.place[row], sets.place[col], own.data[order]


def _dense(entries: tuple[Any, ...], own: IntArray, size: int) -> FloatArray:
    """Matrices of some sets of one size."""
    label, i, j, x = entries
    at = np.searchsorted(own, label).clip(max=len(own) - 1)
    mine = own[at] == label
    out = np.zeros((len(own), size, size))
    out[at[mine], i[mine], j[mine]] = x[mine]
    return out
