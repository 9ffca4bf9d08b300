"""Sums over pairs of rows where crossed factors have a basis: by level first, then by its columns.

A pair of rows meets two levels of a factor with the basis L, and all columns of ``Z L``. So its
products are summed by level; one product with L turns these sums into those of the dense block, and
its transpose turns the adjoint back.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

import numpy as np

from nestedmlm._typing import FloatArray, IntArray
from nestedmlm.statistics.elimination_order import Order, find_entries
from nestedmlm.statistics.forest import Entries
from nestedmlm.statistics.parts import FactorPart, stacked_parts
from nestedmlm.statistics.sufficient_statistics import Crossed

DenseSums = tuple[FloatArray, FloatArray, FloatArray]  # values, Q and R of a dense block


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LevelColumns:
    """Columns of the levels of crossed factors.

    Attributes
    ----------
    chain : tuple of FactorPart
    parts : tuple of FactorPart
        Of the crossed factors.
    entries : Entries
        Which levels of the chain meet which of these columns.
    maps : tuple of (levels k, q k) arrays or None
        What turns columns of the levels into those of the dense block; None where they are.
    """

    chain: tuple[FactorPart, ...]
    parts: tuple[FactorPart, ...]
    entries: Entries
    maps: tuple[FloatArray | None, ...]

    @property
    def q(self) -> int:
        """Number of columns."""
        return self.parts[-1].rows.stop

    def to_effects(self, sums: DenseSums, entries: Entries) -> DenseSums:
        """Sums of the dense block, with its entries, from sums by level."""
        values, Q, R = sums
        own = self._turned(values, self.entries, entries, self._times, self.q)
        return own, self._times(self._times(Q).T), self._times(R.T).T

    def to_levels(self, adjoint: DenseSums, entries: Entries) -> DenseSums:
        """The adjoint of `to_effects`."""
        values, Q, R = adjoint
        own = self._turned(values, entries, self.entries, self._back, len(Q))
        return own, self._back(self._back(Q).T), self._back(R.T).T

    def _times(self, A: FloatArray) -> FloatArray:
        """Columns of the dense block from columns of the levels."""
        cut = [A[:, part.rows] for part in self.parts]
        return np.concatenate(
            [a if L is None else a @ L for a, L in zip(cut, self.maps, strict=True)], axis=1
        )

    def _back(self, A: FloatArray) -> FloatArray:
        """Columns of the levels from columns of the dense block, by the transposed maps."""
        sizes = [
            part.k * part.levels if L is None else L.shape[1]
            for part, L in zip(self.parts, self.maps, strict=True)
        ]
        cut = [A[:, a:b] for a, b in pairwise(accumulate(sizes, initial=0))]
        return np.concatenate(
            [a if L is None else a @ L.T for a, L in zip(cut, self.maps, strict=True)], axis=1
        )

    def _turned(
        self,
        values: FloatArray,
        given: Entries,
        wanted: Entries,
        turn: Callable[[FloatArray], FloatArray],
        width: int,
    ) -> FloatArray:
        """Values at the wanted entries, the columns of the given ones being turned."""
        out = [np.zeros(0)]
        for f, part in enumerate(self.chain):
            own, other = (slice(int(E.first[f]), int(E.first[f + 1])) for E in (given, wanted))
            for row in values[given.value[f] : given.value[f + 1]].reshape(part.k, -1):
                A = np.zeros((part.levels, width))
                A[given.node[own], given.col[own]] = row
                out.append(turn(A)[wanted.node[other], wanted.col[other]])
        return np.concatenate(out)


def level_columns(
    order: Order,
    chain: tuple[FactorPart, ...],
    crossed: Crossed,
    codes: Sequence[IntArray],
    bases: Sequence[FloatArray | None],
) -> LevelColumns:
    """Lay out the columns of the levels of crossed factors, some of which have a basis.

    Parameters
    ----------
    order : Order
    chain : tuple of FactorPart
    crossed : Crossed
        The dense block.
    codes, bases : sequences
        Level of each row, and (J, q) array or None: by factor, in the order of elimination.
    """
    m = len(chain)
    sizes = [
        (part.k, part.levels if L is None else len(L))
        for part, L in zip(crossed.parts, bases[m:], strict=True)
    ]
    parts = stacked_parts(sizes)
    maps: list[FloatArray | None] = [
        None if L is None else np.asarray(np.kron(L, np.eye(part.k)), dtype=float)
        for part, L in zip(parts, bases[m:], strict=True)
    ]
    entries = crossed.entries  # of an empty chain: none
    if m:
        entries, _ = find_entries(
            order.node_of_level[0][codes[0]],
            order.parents,
            np.array([part.k for part in chain]),
            np.array([part.levels for part in chain]),
            np.stack(codes[m:]),
            np.array([part.k for part in parts]),
            np.array([part.rows.start for part in parts]),
            parts[-1].rows.stop,
        )
    return LevelColumns(chain=chain, parts=parts, entries=entries, maps=tuple(maps))
