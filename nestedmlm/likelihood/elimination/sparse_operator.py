"""The largest factor eliminated level by level: what remains of the others, as an operator.

With ``V_1 = W^{-1} + Z_1 T_1 T_1' Z_1'`` for the largest factor, ``A = Z_r'V_1^{-1}Z_r`` of all
others is never formed; ``S = I + Lambda_r' A Lambda_r`` is applied to columns, and preconditioned
by its diagonal blocks, which are exact.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nestedmlm._typing import FloatArray
from nestedmlm.likelihood.elimination.conjugate_gradients import Solved, conjugate_gradients
from nestedmlm.statistics.crossproducts import CrossProducts
from nestedmlm.statistics.parts import FactorPart
from nestedmlm.statistics.sparse import SparseCrossed


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SparseOperator:
    """Elimination of the largest factor at given relative factors.

    Attributes
    ----------
    sums : SparseCrossed
    own : (J, k, k) array
        ``Z_1'WZ_1`` of each level.
    K, G : (J, k, k) arrays
        ``(I + Z_1'WZ_1 T_1T_1')^{-1}`` and ``T_1T_1' K``.
    T : tuple of (k, k) arrays
        Relative factors of the others.
    diagonal : tuple of (J, k, k) arrays
        Diagonal blocks of A.
    root : tuple of (J, k, k) arrays
        Lower Cholesky factors L of those of S; ``P = L L'``.
    logdet : float
        ``log|D|`` of the largest factor, and ``log|P|``.
    """

    sums: SparseCrossed
    own: FloatArray
    K: FloatArray
    G: FloatArray
    T: tuple[FloatArray, ...]
    diagonal: tuple[FloatArray, ...]
    root: tuple[FloatArray, ...]
    logdet: float

    # --- between the largest factor and the others ---------------------------------------------
    def met(self, x: FloatArray) -> FloatArray:
        """``Z_1'W Z_r x``: (J, k, m)."""
        return np.stack([C @ x for C in self.sums.C], axis=1)

    def given(self, x: FloatArray) -> FloatArray:
        """``Z_r'W Z_1 x`` of a (J, k, m) array: (q, m)."""
        out: FloatArray = sum(C.T @ np.ascontiguousarray(x[:, a])
                              for a, C in enumerate(self.sums.C))  # fmt: skip
        return out

    # --- the others ----------------------------------------------------------------------------
    def A(self, x: FloatArray) -> FloatArray:
        """``Z_r'V_1^{-1}Z_r x``."""
        out: FloatArray = self.sums.Q @ x - self.given(by_level(self.G, self.met(x)))
        return out

    def S(self, x: FloatArray) -> FloatArray:
        """``x + Lambda'A Lambda x``."""
        return x + self.turned(self.A(self.scaled(x)))

    def scaled(self, x: FloatArray) -> FloatArray:
        """``Lambda_r x``."""
        return self._blocks([T[None] for T in self.T], x)

    def turned(self, x: FloatArray) -> FloatArray:
        """``Lambda_r' x``."""
        return self._blocks([T.T[None] for T in self.T], x)

    def rooted(self, x: FloatArray) -> FloatArray:
        """``L x``."""
        return self._blocks(self.root, x)

    def unrooted(self, x: FloatArray) -> FloatArray:
        """``L'^{-1} x``."""
        return self._blocks([np.linalg.inv(L).transpose(0, 2, 1) for L in self.root], x)

    def solve(self, rhs: FloatArray) -> Solved:
        """``S^{-1} rhs``."""
        inverses = [np.linalg.inv(L) for L in self.root]
        P = [Li.transpose(0, 2, 1) @ Li for Li in inverses]
        return conjugate_gradients(self.S, lambda r: self._blocks(P, r), rhs)

    def _blocks(
        self, blocks: list[FloatArray] | tuple[FloatArray, ...], x: FloatArray
    ) -> FloatArray:
        out = np.empty_like(x)
        for B, part in zip(blocks, self.sums.parts, strict=True):
            out[part.rows] = by_level(B, part.by_level(x)).reshape(-1, x.shape[1])
        return out


def by_level(B: FloatArray, x: FloatArray) -> FloatArray:
    """Product of each level's (k, k) block, or of one for all, with its (k, m) rows."""
    if x.shape[1] == 1:
        return B * x
    whole = np.broadcast_to(B, (len(x), *B.shape[1:]))
    return np.asarray(np.einsum("jab,jbm->jam", whole, x))


def sparse_operator(T: FloatArray, stats: CrossProducts) -> SparseOperator:
    """Eliminate the largest factor at relative factors `T`, flat, in elimination order."""
    sums = stats.sparse
    assert sums is not None
    first, *rest = [part.matrix(T) for part in stats.parts]
    k = len(first)
    own = np.ascontiguousarray(sums.own[:, :k].transpose(2, 0, 1))
    square = first @ first.T
    pivot = np.eye(k) + own @ square
    K = np.linalg.inv(pivot)
    G = square @ K
    diagonal = tuple(_diagonal_blocks(sums, part, G) for part in sums.parts)
    root = tuple(
        np.linalg.cholesky(np.eye(len(t)) + t.T @ A @ t)
        for t, A in zip(rest, diagonal, strict=True)
    )
    logdet = float(np.linalg.slogdet(pivot)[1].sum()) + 2.0 * sum(
        float(np.log(np.diagonal(L, axis1=1, axis2=2)).sum()) for L in root
    )
    return SparseOperator(
        sums=sums,
        own=own,
        K=K,
        G=0.5 * (G + G.transpose(0, 2, 1)),
        T=tuple(rest),
        diagonal=diagonal,
        root=root,
        logdet=logdet,
    )


def _diagonal_blocks(sums: SparseCrossed, part: FactorPart, G: FloatArray) -> FloatArray:
    """Diagonal blocks of A of one factor, (J, k, k)."""
    k, J, at = part.k, part.levels, part.rows.start
    out = np.empty((J, k, k))
    taken = sum_over_meetings(sums, part, G)
    for a in range(k):
        for b in range(a + 1):
            own = sums.Q.diagonal(b - a)  # Q[i, i + b - a] starts at row a - b
            column = own[at + b : part.rows.stop : k][:J]
            out[:, a, b] = out[:, b, a] = column - taken[:, a, b]
    return out


def sum_over_meetings(sums: SparseCrossed, part: FactorPart, G: FloatArray) -> FloatArray:
    """``sum C_e' G_j C_e`` over the levels j that each level meets, (J, k, k)."""
    V = meetings(sums, part)
    GV = np.einsum("eab,beo->aeo", G[V.node], V.values)
    out = np.empty((part.levels, part.k, part.k))
    for a in range(part.k):
        for b in range(part.k):
            terms = np.einsum("xe,xe->e", V.values[:, :, a], GV[:, :, b])
            out[:, a, b] = np.bincount(V.level, terms, minlength=part.levels)
    return out


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Meetings:
    """Pairs of a level of the largest factor and one of another.

    `node` and `level` (E,) say which; `values` (k_1, E, k) holds ``Z_1'WZ`` of the pair.
    """

    node: np.ndarray
    level: np.ndarray
    values: FloatArray


def meetings(sums: SparseCrossed, part: FactorPart) -> Meetings:
    """The pairs of the largest factor with one other, from the entries of C."""
    inside = (sums.col >= part.rows.start) & (sums.col < part.rows.stop)
    first = np.flatnonzero(inside & ((sums.col - part.rows.start) % part.k == 0))
    values = np.stack([[C.data[first + c] for c in range(part.k)] for C in sums.C])
    return Meetings(
        node=sums.node[first],
        level=(sums.col[first] - part.rows.start) // part.k,
        values=np.ascontiguousarray(values.transpose(0, 2, 1)),
    )
