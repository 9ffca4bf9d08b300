"""The finest factor of a block at many points: weights times products that no point changes.

Nothing was eliminated before it, so its sums of products Q are the data's. Level j takes
``P' W P`` from all above it, with ``W = T (I + T'QT)^-1 T'`` its own and P the same at every
point: one product of the points' weights with a table of the products of P. Levels with one Q have
one W (those of an intercept, without weights, differ by their numbers of rows alone).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from nestedmlm._typing import FloatArray, IntArray

Lanes = FloatArray | Sequence[FloatArray]  # some vectors of numbers

MOST_PRODUCTS = 400_000  # numbers of a table, above which it costs more than it spares


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FinestFactor:
    """Products of the finest factor's columns with all others.

    Attributes
    ----------
    Q : (k, k, 1, d) array
        The sums of products of its own columns that differ.
    counts : (d,) array
        How many levels have each.
    right : (pairs d, s^2) array
        Products with the s columns that are no ancestors', for each pair of own columns and each Q.
    above : (ancestors (ancestors + s) J, pairs d) sparse array or None
        Those of the ancestors, for each of the J levels of the next factor.
    shape : (int, int, int)
        Ancestors, ancestors + s, J.
    """

    Q: FloatArray
    counts: FloatArray
    right: FloatArray
    above: sparse.csr_array | None
    shape: tuple[int, int, int]

    @property
    def numbers(self) -> int:
        """Numbers that one point holds at a time."""
        return 4 * len(self.right)

    def eliminate(
        self, T: FloatArray, S: FloatArray
    ) -> tuple[FloatArray, FloatArray | None, FloatArray]:
        """Take the factor out of S, in place.

        Parameters
        ----------
        T : (k, k, m, 1) array
        S : (m, s, s) array

        Returns
        -------
        logdet : (m,) array
        rest : (ancestors, ancestors + s, m, J) array or None
            What the ancestors' panels lose.
        N : (k, k, m, d) array
            ``U^-1 T'`` of each Q, with ``U U' = I + T'QT``.
        """
        k, m, s = len(T), T.shape[2], S.shape[1]
        N, det = half_solve(T, self.Q)
        own = weights(N)
        W = np.concatenate([own[a, b] for a, b in _pairs(k)], axis=-1)
        S -= (W @ self.right).reshape(m, s, s)
        logdet: FloatArray = np.log(det) @ self.counts
        if self.above is None:
            return logdet, None, N
        ancestors, width, J = self.shape
        rest = (self.above @ np.ascontiguousarray(W.T)).reshape(ancestors, width, J, m)
        return logdet, np.ascontiguousarray(rest.transpose(0, 1, 3, 2)), N

    def information(
        self, N: FloatArray, l_bar: float, S_bar: FloatArray, above_bar: FloatArray
    ) -> FloatArray:
        """Derivative in the factor's ``T T'`` of what has these adjoints, (k, k, m).

        Parameters
        ----------
        N : (k, k, m, d) array
            From `eliminate`.
        l_bar : float
            Adjoint of log|M|.
        S_bar : (m, s, s) array
            Adjoint of S.
        above_bar : (ancestors, ancestors + s, m, J) array
            That of the ancestors' panels, symmetric: their products with the s columns count
            twice. Empty without ancestors.
        """
        k, m, d = len(N), N.shape[2], N.shape[3]
        W_bar = -(S_bar.reshape(m, -1) @ self.right.T)
        if self.above is not None:
            ancestors, width, J = self.shape
            both = above_bar.copy()
            both[:, ancestors:] *= 2.0
            flat = both.transpose(0, 1, 3, 2).reshape(ancestors * width * J, m)
            W_bar -= (self.above.T @ flat).T
        of_weights = np.empty((k, k, m, d))
        for (a, b), own in zip(_pairs(k), np.split(W_bar, len(_pairs(k)), axis=1), strict=True):
            of_weights[a, b] = of_weights[b, a] = own if a == b else 0.5 * own
        return own_information(N, self.Q, of_weights, l_bar * self.counts)


def own_information(
    N: FloatArray, Q: FloatArray, W_bar: FloatArray, l_bar: FloatArray | float
) -> FloatArray:
    """Derivative in ``G = T T'`` of what depends on it by W and ``log|I + T'QT|``.

    With ``W = T (I + T'QT)^-1 T'`` and ``E = I - QW``: ``dW = E' dG E``, and the logarithm's is
    ``tr(E Q dG)``.

    Parameters
    ----------
    N : (k, k, m, J) array
        ``U^-1 T'``, upper triangular: ``W = N'N``.
    Q, W_bar : (k, k, m, J) arrays
    l_bar : float or (J,) array
        Adjoint of the logarithm.

    Returns
    -------
    (k, k, m) array
        Summed over the levels.
    """
    k = len(N)
    if k == 1:
        E = 1.0 - Q * N * N
        out: FloatArray = np.sum(E * (E * W_bar + l_bar * Q), axis=-1)
        return out
    E = np.eye(k)[:, :, None, None] - np.einsum("ab...,cb...->ac...", Q, weights(N))
    inner = np.einsum("ab...,cb...->ac...", W_bar, E) + l_bar * Q
    whole: FloatArray = np.einsum("abmj,bcmj->acm", E, inner)
    return whole


def weights(N: FloatArray) -> FloatArray:
    """``N'N`` of every level, N upper triangular."""
    k = len(N)
    W = np.empty(N.shape)
    for a in range(k):
        for b in range(a, k):
            W[a, b] = W[b, a] = _dot(N[: a + 1, a], N[: a + 1, b])
    return W


def finest_factor(P: FloatArray, ancestors: int, starts: IntArray | None) -> FinestFactor | None:
    """Prepare the products of a block's finest factor.

    Parameters
    ----------
    P : (k, k + ancestors + s, J) array
        Its panels.
    ancestors : int
        Columns of the factors above it.
    starts : (J_above,) array of int, optional
        First level of each level of the next factor.

    Returns
    -------
    FinestFactor or None
        None where the table is too large to gain anything.
    """
    k, J = len(P), P.shape[2]
    Q, place, counts = np.unique(
        P[:, :k].reshape(k * k, J), axis=1, return_inverse=True, return_counts=True
    )
    place, d, pairs = place.ravel(), len(counts), _pairs(k)
    s = P.shape[1] - k - ancestors
    if len(pairs) * d * s * s > MOST_PRODUCTS:
        return None
    own = sparse.csr_array((np.ones(J), (place, np.arange(J))), shape=(d, J))
    right = [own @ _products(P, a, b, k + ancestors, k + ancestors) for a, b in pairs]
    above, levels = None, 0
    if starts is not None:
        levels = len(starts)
        parent = np.repeat(np.arange(levels), np.diff(starts, append=J))
        tables = [_products(P, a, b, k, k, ancestors) for a, b in pairs]
        above = sparse.hstack([_gather(table, place, parent, (levels, d)) for table in tables])
    return FinestFactor(
        Q=Q.reshape(k, k, 1, d),
        counts=counts.astype(float),
        right=np.concatenate(right),
        above=None if above is None else above.tocsr(),
        shape=(ancestors, ancestors + s, levels),
    )


def half_solve(T: FloatArray, P: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Half-solve every level.

    Parameters
    ----------
    T : (k, k, ...) array
        Lower-triangular relative factors.
    P : (k, at least k, ...) array
        Panels, Q in their first columns.

    Returns
    -------
    N : (k, k, ...) array
        ``U^-1 T'`` with ``U U' = I + T'QT``.
    det : (...) array
        The determinant of that.
    """
    k = len(P)
    if k == 1:
        det = 1.0 + T[0, 0] * T[0, 0] * P[0, 0]
        return (T[0, 0] / np.sqrt(det))[None, None], det
    lanes = np.broadcast_shapes(T.shape[2:], P.shape[2:])
    U, N, det = np.zeros((k, k, *lanes)), np.zeros((k, k, *lanes)), np.ones(lanes)
    for b in range(k - 1, -1, -1):
        QT = [_dot(T[b:, b], P[b:k, i]) for i in range(k)]
        for a in range(b + 1):
            u = _dot(T[a:, a], QT[a:])
            if a == b:
                u += 1.0
            for c in range(b + 1, k):
                u -= U[a, c] * U[b, c]
            U[a, b] = u
        det *= U[b, b]
        U[b, b] = 1.0 / np.sqrt(U[b, b])  # the diagonal holds its reciprocals
        for a in range(b):
            U[a, b] *= U[b, b]
    for a in range(k - 1, -1, -1):
        for i in range(a, k):
            n = T[i, a]
            for c in range(a + 1, i + 1):
                n = n - U[a, c] * N[c, i]
            N[a, i] = n * U[a, a]
    return N, det


def _dot(left: Lanes, right: Lanes) -> FloatArray:
    """Sum of products of lanes."""
    out: FloatArray = left[0] * right[0]
    for x, y in zip(left[1:], right[1:], strict=True):
        out += x * y
    return out


def _pairs(k: int) -> list[tuple[int, int]]:
    return [(a, b) for a in range(k) for b in range(a, k)]


def _products(
    P: FloatArray, a: int, b: int, first: int, second: int, rows: int | None = None
) -> FloatArray:
    """Products of two own columns with others, both ways, (J, x y)."""
    end = None if rows is None else first + rows
    out = P[a, first:end, None] * P[b, None, second:]
    if a != b:
        out = out + P[b, first:end, None] * P[a, None, second:]
    return out.reshape(-1, P.shape[2]).T


def _gather(
    table: FloatArray, place: IntArray, parent: IntArray, shape: tuple[int, int]
) -> sparse.coo_array:
    """Sums of a table's rows by parent (beside its columns, in the rows) and by Q, in columns."""
    levels, d = shape
    J, n = table.shape
    rows = np.arange(n)[:, None] * levels + parent
    columns = np.broadcast_to(place, (n, J))
    return sparse.coo_array((table.T.ravel(), (rows.ravel(), columns.ravel())), (n * levels, d))
