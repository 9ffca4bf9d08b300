"""Parts of stacked vectors and matrices, by grouping factor.

What the elimination takes and returns is stacked factor by factor, in the order of elimination:
relative factors as (k, k) matrices one after the other, random effects as rows, k for each level.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from nestedmlm._typing import FloatArray


@dataclass(frozen=True, slots=True, kw_only=True)
class FactorPart:
    """The part of one grouping factor in stacked vectors and matrices.

    Attributes
    ----------
    k, levels : int
        Columns, those of all its terms side by side, and levels.
    flat : slice
        Its (k, k) matrix among those of all factors.
    rows : slice
        Its random effects among those of all factors: k for each level.
    """

    k: int
    levels: int
    flat: slice[int, int, None]
    rows: slice[int, int, None]

    def matrix(self, flat: FloatArray) -> FloatArray:
        """View of the factor's (k, k, ...) matrix in the matrices of all."""
        return flat[self.flat].reshape(self.k, self.k, *flat.shape[1:])

    def by_level(self, stacked: FloatArray) -> FloatArray:
        """View of the factor's rows, (levels, k, ...), in the rows of all."""
        return stacked[self.rows].reshape(self.levels, self.k, *stacked.shape[1:])

    def column(self, a: int) -> slice:
        """Rows of the factor's column `a`, one for each level."""
        return slice(self.rows.start + a, self.rows.stop, self.k)


def stacked_parts(sizes: Iterable[tuple[int, int]]) -> tuple[FactorPart, ...]:
    """Parts of factors of ``(k, levels)``, one after the other."""
    out: list[FactorPart] = []
    at = row = 0
    for k, levels in sizes:
        flat, rows = slice(at, at + k * k), slice(row, row + k * levels)
        out.append(FactorPart(k=k, levels=levels, flat=flat, rows=rows))
        at, row = flat.stop, rows.stop
    return tuple(out)


def twice_products(M: FloatArray, T: FloatArray, parts: Sequence[FactorPart]) -> FloatArray:
    """``2 M_f T_f`` of every factor, flat: the adjoint of T where M_f is that of ``T_f T_f'``.

    Matrices of several points, (m, sum of K_f^2), stand in rows.
    """
    out = np.empty(M.shape)
    for part in parts:
        square = (*M.shape[:-1], part.k, part.k)
        own = M[..., part.flat].reshape(square) @ T[..., part.flat].reshape(square)
        out[..., part.flat] = 2.0 * own.reshape(*M.shape[:-1], -1)
    return out
