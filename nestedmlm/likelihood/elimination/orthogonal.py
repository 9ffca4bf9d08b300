"""Elimination by orthogonal transformations of the rows: no sums of products are formed.

Of ``[Z Lambda, Z, X, y; I, 0, 0, 0]`` a QR factorisation leaves R, with

    M = R_1'R_1,    [Z X y]' V^{-1} [Z X y] = R_2'R_2

where R_1 belongs to the first columns and R_2 to the others. What sums of products know to the
square of the condition number times the last digit, this knows to the condition number times it:
Golub & Van Loan (2013), *Matrix Computations*, section 5.3. Pinheiro & Bates (2000), *Mixed-Effects
Models in S and S-PLUS*, section 2.2, evaluate the likelihood so.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from nestedmlm._typing import FloatArray, IntArray
from nestedmlm.likelihood.elimination.variates import Variates
from nestedmlm.likelihood.elimination.visit import Rearranged
from nestedmlm.statistics.crossproducts import CrossProducts
from nestedmlm.statistics.parts import FactorPart
from nestedmlm.statistics.row_blocks import RowBlock


class OrthogonallyEliminated(Rearranged):
    """Results of an elimination from the rows.

    Attributes
    ----------
    T, stats
        What it was asked of.
    ZZ : tuple of (q, q) arrays
        ``Z'V^-1Z`` of each block of rows; its effects are those of ``stats.row_blocks``.
    covariances : tuple of (J, k, k) arrays
        Of each factor, ``G - G Z_g'V^-1Z_g G`` of its levels: their blocks of
        ``Lambda M^-1 Lambda'``.
    infoT : (sum of K_f^2,) array
        ``sum Z'V^-1Z T`` of each factor: T may be so large that `info` times T is rounding.
    u, b, B : (q, p+1) arrays
        ``Lambda'Z'V^-1[X y]``, ``G Z'V^-1[X y]`` and ``Z'V^-1[X y]``, rows in elimination order.
    """

    def __init__(
        self,
        *,
        T: FloatArray,
        stats: CrossProducts,
        logdet: float,
        S: FloatArray,
        ZZ: tuple[FloatArray, ...],
        covariances: tuple[FloatArray, ...],
        infoT: FloatArray,
        u: FloatArray,
        b: FloatArray,
        B: FloatArray,
    ) -> None:
        info, BB = np.zeros(len(T)), np.zeros((len(T), *S.shape))
        for part, own in zip(stats.parts, _level_blocks(stats, ZZ), strict=True):
            part.matrix(info)[...] = own.sum(axis=0)
            mine = part.by_level(B)
            part.matrix(BB)[...] = np.einsum("jar,jbs->abrs", mine, mine)
        made = {"logdet": logdet, "S": S, "info": info, "BB": BB, "T": T, "stats": stats}
        more = {"ZZ": ZZ, "covariances": covariances, "infoT": infoT, "u": u, "b": b, "B": B}
        for name, value in {**made, **more}.items():
            object.__setattr__(self, name, value)

    ZZ: tuple[FloatArray, ...]
    covariances: tuple[FloatArray, ...]
    infoT: FloatArray
    u: FloatArray
    b: FloatArray
    B: FloatArray

    @property
    def block_parts(self) -> tuple[tuple[FactorPart, ...], ...]:
        """Parts of the factors within each block of rows, as `ZZ` has them."""
        return tuple(block.parts for block in _blocks(self.stats))

    def __reduce__(self) -> tuple[Any, ...]:
        fields = ("T", "stats", "logdet", "S", "ZZ", "covariances", "infoT", "u", "b", "B")
        return _again, ({name: getattr(self, name) for name in fields},)


def _again(fields: dict[str, Any]) -> OrthogonallyEliminated:
    return OrthogonallyEliminated(**fields)


def eliminate(T: FloatArray, stats: CrossProducts) -> OrthogonallyEliminated:
    """Eliminate from the rows; see the exact `eliminate`."""
    if not np.all(np.isfinite(T)):
        raise np.linalg.LinAlgError("relative factors that are no numbers")
    r = len(stats.F)
    logdet, S, infoT = 0.0, np.zeros((r, r)), np.zeros(len(T))
    ZZ, C, ZZT = list[FloatArray](), list[FloatArray](), list[FloatArray]()
    u, b, B = (np.zeros((stats.q, r)) for _ in range(3))
    for block in _blocks(stats):
        q = len(block.effects)
        R = _triangle(block, T, stats)
        rest, inverse = R[q:, q:], np.linalg.inv(R[:q, :q])
        P = rest.T @ rest
        logdet += 2.0 * float(np.log(np.abs(R.diagonal()[:q])).sum())
        S += P[q:, q:]
        ZZ.append(P[:q, :q])
        B[block.effects] = P[:q, q:]
        # by least squares: in T T'B what the factorisation has kept would be lost
        u[block.effects] = inverse @ R[:q, 2 * q :]
        root = _lambda_times(inverse, block, T, stats)
        b[block.effects] = root @ R[:q, 2 * q :]
        C.append(root @ root.T)
        ZZT.append((inverse @ R[:q, q : 2 * q]).T)
    for part, own in zip(stats.parts, _level_blocks(stats, ZZT), strict=True):
        part.matrix(infoT)[...] = own.sum(axis=0)
    return OrthogonallyEliminated(
        T=T, stats=stats, logdet=logdet, S=S, ZZ=tuple(ZZ),
        covariances=tuple(_level_blocks(stats, C)), infoT=infoT, u=u, b=b, B=B,
    )  # fmt: skip


def factor_adjoint(e: OrthogonallyEliminated, l_bar: float, S_bar: FloatArray) -> FloatArray:
    """Adjoint of the factors T themselves; see the exact `factor_adjoint`."""
    out, S_bar = l_bar * e.infoT, 0.5 * (S_bar + S_bar.T)
    for part in e.stats.parts:
        moved = part.by_level(e.B) @ S_bar
        part.matrix(out)[...] -= np.einsum("jar,jbr->ab", moved, part.by_level(e.u))
    return 2.0 * out


def _triangle(block: RowBlock, T: FloatArray, stats: CrossProducts) -> FloatArray:
    """R of ``[Z Lambda, Z, X, y; I, 0, 0, 0]``."""
    n, q = block.Z.shape
    stacked = np.zeros((n + q, 2 * q + block.Y.shape[1]))
    for own, part in zip(block.parts, stats.parts, strict=True):
        z = block.Z[:, own.rows].reshape(n, own.levels, own.k)
        stacked[:n, own.rows] = (z @ part.matrix(T)).reshape(n, -1)
    stacked[n + np.arange(q), np.arange(q)] = 1.0
    stacked[:n, q : 2 * q] = block.Z
    stacked[:n, 2 * q :] = block.Y
    out: FloatArray = np.linalg.qr(stacked, mode="r")
    return out


def _lambda_times(
    u: FloatArray, block: RowBlock, T: FloatArray, stats: CrossProducts
) -> FloatArray:
    out = np.empty_like(u)
    for own, part in zip(block.parts, stats.parts, strict=True):
        own.by_level(out)[...] = np.einsum("ab,jbr->jar", part.matrix(T), own.by_level(u))
    return out


def solve(_stats: CrossProducts, e: OrthogonallyEliminated) -> tuple[FloatArray, FloatArray]:
    """Random effects of every right-hand side; see the exact `solve`."""
    return e.b, e.B


def level_information(_stats: CrossProducts, e: OrthogonallyEliminated) -> list[FloatArray]:
    """``Z_g'V^{-1}Z_g`` of every level; see the exact `level_information`."""
    return _level_blocks(e.stats, e.ZZ)


def gram(_stats: CrossProducts, e: OrthogonallyEliminated, F: FloatArray) -> FloatArray:
    """Return ``(Z F)' V^{-1} (Z F)``; see the exact `gram`."""
    out = np.zeros((F.shape[1], F.shape[1]))
    for block, ZZ in zip(_blocks(e.stats), e.ZZ, strict=True):
        own = F[block.effects]
        out += own.T @ ZZ @ own
    return out


def working_variates(
    stats: CrossProducts, e: OrthogonallyEliminated, v: FloatArray, entries: IntArray
) -> Variates:
    """Products of the working variates; see the exact `working_variates`."""
    w, F = e.B @ v, np.zeros((stats.q, len(entries)))
    for i, (f, a, b) in enumerate(entries.tolist()):
        part = stats.parts[f]
        F[part.column(a), i] = w[part.column(b)]
        F[part.column(b), i] = w[part.column(a)]
    return Variates(gram=gram(stats, e, F), BF=F.T @ e.B, Fe=F.T @ w)


def _blocks(stats: CrossProducts) -> tuple[RowBlock, ...]:
    assert stats.row_blocks is not None
    return stats.row_blocks


def _level_blocks(stats: CrossProducts, A: Sequence[FloatArray]) -> list[FloatArray]:
    """Diagonal blocks of each factor's levels, (J, k, k), of a matrix for each block of rows."""
    out = [np.zeros((part.levels, part.k, part.k)) for part in stats.parts]
    for block, found in zip(_blocks(stats), A, strict=True):
        for mine, own, part in zip(out, block.parts, stats.parts, strict=True):
            places = (block.effects[own.rows] - part.rows.start).reshape(-1, own.k)[:, 0] // own.k
            square = found[own.rows, own.rows].reshape(own.levels, own.k, own.levels, own.k)
            mine[places] = np.einsum("jajb->jab", square)
    return out
