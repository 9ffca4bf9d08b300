"""Storage of a chain's sums of products: levels as lanes.

All levels of one factor have panels of one shape, ``(k, k + A + r)``: ``[own | ancestors | X y]``,
the nearest ancestor first. The last axis of the stored arrays runs over the levels, so what a sweep
does to one entry it does to all levels at once. Siblings are adjacent, and whole subtrees of the
coarsest factor form blocks that share no level with others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import accumulate, pairwise
from typing import NamedTuple

import numpy as np

from nestedmlm._typing import FloatArray, IntArray

LEVELS = 16_384  # finest levels of a block: more do not stay in the processor's cache


class Shape(NamedTuple):
    """Sizes of a block, and where each factor's part begins in its flat arrays.

    K, A, J (m,) are columns, ancestors' columns and levels of each factor, finest first; r is
    the number of right-hand sides. The others are (m + 1,) offsets: `square` into relative factors
    (k, k), `panel` into (k, k + A + r, J), `root` into (k, k, J), `half` into (k, A + r, J),
    `right` into (k, r, J), `wide` into (k + A, J), `level` into (J,).
    """

    K: IntArray
    A: IntArray
    J: IntArray
    r: int
    square: IntArray
    panel: IntArray
    root: IntArray
    half: IntArray
    right: IntArray
    wide: IntArray
    level: IntArray


class Entries(NamedTuple):
    """Entries of a chain's levels in the dense block: the columns of crossed factors they meet.

    An entry is a level and a column. `first` (m + 1,) is where each factor's entries begin and
    `value` (m + 1,) where their (k, E) values do. Per entry: `node`, its level within the factor;
    `col`, its column, ascending within a level; `up`, its parent's entry within the next factor.
    `ptr` holds, from ``level[i] + i`` on, each level's first entry within the factor, and their
    number at the end.
    """

    first: IntArray
    value: IntArray
    node: IntArray
    col: IntArray
    up: IntArray
    ptr: IntArray


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Block:
    """Subtrees that share no level with others.

    Attributes
    ----------
    shape : Shape
    parent, starts : int arrays
        Parent of every level, and first child, counted within the block's next coarser and finer
        factor; by the places of `shape.level`. Undefined for the coarsest and the finest.
    panels : array
        Weighted sums of products, flat.
    levels : tuple of slice
        For each factor, the block's levels among all, in the order of elimination.
    """

    shape: Shape
    parent: IntArray
    starts: IntArray
    panels: FloatArray
    levels: tuple[slice, ...]

    def panel(self, i: int) -> FloatArray:
        """View of factor i's panels, (k, k + A + r, J)."""
        s = self.shape
        k, width = int(s.K[i]), int(s.K[i] + s.A[i] + s.r)
        return self.panels[s.panel[i] : s.panel[i + 1]].reshape(k, width, int(s.J[i]))

    def with_response(self, sums: Sequence[FloatArray]) -> Block:
        """The block with other products with the response: for each factor (k, all levels)."""
        out = replace(self, panels=self.panels.copy())
        for i, (own, levels) in enumerate(zip(sums, self.levels, strict=True)):
            out.panel(i)[:, -1] = own[:, levels]
        return out


def shape_of(K: IntArray, J: IntArray, r: int) -> Shape:
    """Sizes and offsets of a block with `J` levels of each factor."""
    return _shape_of(tuple(K.tolist()), tuple(J.tolist()), r)


@lru_cache(maxsize=256)
def _shape_of(K: tuple[int, ...], J: tuple[int, ...], r: int) -> Shape:
    above = list(accumulate(K[:0:-1], initial=0))[::-1]
    sizes = [
        (k * k, k * (k + a + r) * j, k * k * j, k * (a + r) * j, k * r * j, (k + a) * j, j)
        for k, a, j in zip(K, above, J, strict=True)
    ]
    offsets = np.array([list(accumulate(size, initial=0)) for size in zip(*sizes, strict=True)])
    own, A, levels = (np.array(x, dtype=np.int64) for x in (K, above, J))
    return Shape(own, A, levels, r, *offsets)


def cut_into_blocks(
    K: IntArray,
    J: IntArray,
    parents: Sequence[IntArray],
    r: int,
    *,
    most: int,
) -> tuple[Block, ...]:
    """Cut a chain into blocks of about `most` finest levels, with panels of zeros.

    Parameters
    ----------
    K, J : (m,) arrays
        Columns and levels of each factor.
    parents : sequence of arrays
        For each factor but the coarsest, the parent of each level, not decreasing.
    r : int
        Number of right-hand sides.
    most : int
    """
    m = len(K)
    count = min(int(J[-1]), max(1, round(int(J[0]) / most)))
    if count == 1:
        return (_block(K, r, parents, np.zeros_like(J), J),)
    cuts = np.empty((count + 1, m), dtype=np.int64)
    cuts[:, -1] = np.linspace(0, J[-1], count + 1).round()
    for i in range(m - 2, -1, -1):  # children of a range of levels are a range
        cuts[:, i] = np.searchsorted(parents[i], cuts[:, i + 1])
    return tuple(_block(K, r, parents, begin, end) for begin, end in pairwise(cuts))


def _block(
    K: IntArray,
    r: int,
    parents: Sequence[IntArray],
    begin: IntArray,
    end: IntArray,
) -> Block:
    m, J = len(K), end - begin
    shape = shape_of(K, J, r)
    up = [parents[i][begin[i] : end[i]] - begin[i + 1] for i in range(m - 1)]
    starts = [np.searchsorted(up[i], np.arange(J[i + 1])) for i in range(m - 1)]
    levels = tuple(slice(int(b), int(e)) for b, e in zip(begin, end, strict=True))
    return Block(
        shape=shape,
        parent=np.concatenate([*up, np.zeros(J[-1], dtype=np.int64)]),
        starts=np.concatenate([np.zeros(J[0], dtype=np.int64), *starts]),
        panels=np.zeros(int(shape.panel[-1])),
        levels=levels,
    )
