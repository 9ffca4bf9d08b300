"""The dense block of crossed factors that is left when the chain is eliminated.

One Cholesky factorisation and one inverse per evaluation (LAPACK). ``Lambda`` is block-diagonal
with one T per trailing factor, repeated over its levels.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from nestedmlm._typing import FloatArray, IntArray
from nestedmlm.statistics.parts import FactorPart

Parts = Sequence[FactorPart]  # rows count from the first column of the block

_WELL_CONDITIONED = 1e-3  # smallest singular value of T above which dividing by T is safe


@cache
def _lapack() -> Any:
    from scipy.linalg import lapack  # only crossed factors wait for its import

    return lapack


class Solved(NamedTuple):
    """Results of the block's elimination.

    Attributes
    ----------
    logdet : float
        ``log|H|`` with ``H = Lambda'Q Lambda + I``.
    G : (q, q) array
        ``Lambda H^{-1} Lambda'``.
    b : (q, r) array
        ``G R``.
    explained : (r, r) array
        ``R'G R``. Neither is multiplied out of G, whose entries may be large and cancel.
    """

    logdet: float
    G: FloatArray
    b: FloatArray
    explained: FloatArray


def eliminate(
    Q: FloatArray,
    R: FloatArray,
    T: Sequence[FloatArray],
    parts: Parts,
    components: Sequence[IntArray] = (),
) -> Solved:
    """Eliminate the block with right-hand sides `R`, (q, r).

    `T` and `parts` are those of the crossed factors. `Q` holds its lower triangle on entry and is
    made symmetric in place. Where it falls into components, each of them is factorised alone.
    """
    _mirror_lower(Q)
    if components:
        return _by_component(Q, R, T, parts, components)
    H = two_sided(Q, T, parts)
    H[np.diag_indices_from(H)] += 1.0
    # H is symmetric: its transpose is the Fortran-ordered matrix LAPACK works on in place
    lapack = _lapack()
    L, info = lapack.dpotrf(H.T, lower=0, overwrite_a=1, clean=0)
    if info != 0:
        raise np.linalg.LinAlgError("the crossed block is not positive definite")
    logdet = 2.0 * float(np.sum(np.log(np.diag(L))))
    half, _ = lapack.dtrtrs(L, _times_lambda(R.T, T, parts).T, lower=0, trans=1)
    u, _ = lapack.dtrtrs(L, half, lower=0)
    inverse, _ = lapack.dpotri(L, lower=0, overwrite_c=1)
    lower = inverse.T  # C-ordered view whose lower triangle is filled
    _mirror_lower(lower)
    transposed = [t.T for t in T]
    return Solved(
        logdet=logdet,
        G=two_sided(lower, transposed, parts),
        b=_times_lambda(u.T, transposed, parts).T,
        explained=half.T @ half,
    )


def _by_component(
    Q: FloatArray,
    R: FloatArray,
    T: Sequence[FloatArray],
    parts: Parts,
    components: Sequence[IntArray],
) -> Solved:
    """`eliminate` where columns of different components never meet."""
    logdet, G, b = 0.0, np.zeros(Q.shape), np.zeros(R.shape)
    explained = np.zeros((R.shape[1], R.shape[1]))
    widths = np.concatenate([np.full(part.k * part.levels, part.k) for part in parts])
    entry = np.zeros((len(Q), int(widths.max())))  # of each column of Lambda, within its level
    for t, part in zip(T, parts, strict=True):
        entry[part.rows, : part.k] = np.tile(t.T, (part.levels, 1))
    place = np.concatenate([np.arange(part.k * part.levels) % part.k for part in parts])
    for own in components:  # all columns of a level are in one component, side by side
        n, size = own.shape
        Lambda, column = np.zeros((n, size, size)), np.arange(size)
        for a in range(entry.shape[1]):
            row = np.minimum(column - place[own] + a, size - 1)
            used = a < widths[own]
            c, j = np.nonzero(used)
            Lambda[c, row[used], j] = entry[own[used], a]
        at = own[:, :, None], own[:, None, :]
        H = Lambda.swapaxes(1, 2) @ Q[at] @ Lambda + np.eye(size)
        L = np.linalg.cholesky(H)
        logdet += 2.0 * float(np.log(np.diagonal(L, axis1=1, axis2=2)).sum())
        half = np.linalg.inv(L) @ Lambda.swapaxes(1, 2)
        G[at] = half.swapaxes(1, 2) @ half
        right = half @ R[own]
        b[own] = half.swapaxes(1, 2) @ right
        explained += np.einsum("nir,nis->rs", right, right)
    return Solved(logdet=logdet, G=G, b=b, explained=explained)


def _mirror_lower(A: FloatArray) -> None:
    """Copy the lower triangle to the upper one, in place, without another square matrix."""
    for low in range(0, len(A), 64):  # pieces that stay in the cache
        own = slice(low, low + 64)
        A[own, low + 64 :] = A[low + 64 :, own].T
        corner = A[own, own]
        corner[...] = np.tril(corner) + np.tril(corner, -1).T


def two_sided(A: FloatArray, T: Sequence[FloatArray], parts: Parts) -> FloatArray:
    """``Lambda' A Lambda`` for symmetric A."""
    if all(part.k == 1 for part in parts):
        s = np.repeat([t[0, 0] for t in T], [part.levels for part in parts])
        out: FloatArray = A * s
        out *= s[:, None]
        return out
    return _times_lambda(_times_lambda(A, T, parts).T, T, parts)


def _times_lambda(A: FloatArray, T: Sequence[FloatArray], parts: Parts) -> FloatArray:
    """Multiply columns of A, level by level, with each trailing factor's T."""
    out = np.empty(A.shape)
    for t, part in zip(T, parts, strict=True):
        own = np.ascontiguousarray(A[:, part.rows]).reshape(-1, part.k) @ t
        out[:, part.rows] = own.reshape(A.shape[0], -1)
    return out


def information(
    Q: FloatArray,
    Gtt: FloatArray,
    T: Sequence[FloatArray],
    parts: Parts,
    components: Sequence[IntArray] = (),
) -> list[FloatArray]:
    """Diagonal blocks of ``Z'V^{-1}Z = Q - Q Gtt Q``, one (J, k, k) array per factor.

    Where T is well conditioned they are ``G^{-1} - G^{-1} Gtt G^{-1}`` with ``G = T T'``, which
    needs no product of large matrices; where it is not (a singular fit), only the rows of that
    factor are multiplied out.
    """
    out = []
    for t, part in zip(T, parts, strict=True):
        if np.linalg.svd(t, compute_uv=False)[-1] > _WELL_CONDITIONED:
            inverse = np.linalg.inv(t @ t.T)
            out.append(inverse - inverse @ diagonal_blocks(Gtt, part) @ inverse)
            continue
        if components:
            out.append(diagonal_blocks(_information_by_component(Q, Gtt, components), part))
            continue
        rows = Q[part.rows]
        half = (rows @ Gtt).reshape(-1, part.k, Q.shape[0])
        product = np.einsum("jai,jbi->jab", half, rows.reshape(half.shape))
        out.append(diagonal_blocks(Q, part) - product)
    return out


def _information_by_component(
    Q: FloatArray, Gtt: FloatArray, components: Sequence[IntArray]
) -> FloatArray:
    out = np.zeros(Q.shape)
    for own in components:
        at = own[:, :, None], own[:, None, :]
        block = Q[at]
        out[at] = block - block @ Gtt[at] @ block
    return out


def diagonal_blocks(A: FloatArray, part: FactorPart) -> FloatArray:
    """The (levels, k, k) diagonal blocks of A that belong to one factor."""
    rows = np.arange(part.rows.start, part.rows.stop).reshape(-1, part.k)
    out: FloatArray = A[rows[:, :, None], rows[:, None, :]]
    return out
