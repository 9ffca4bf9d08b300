"""Sparse maps from weights to the panels of nested factors.

The columns of a chain of nested factors have few distinct products: an intercept of classes and
an intercept and a slope of schools have six, but 1, x and x squared are all that differ by more
than a factor. Where there are many rows to a class, sums of these by class come first and the
panels are sums of them: rows are read once for each distinct product.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse

from nestedmlm._typing import FloatArray, IntArray
from nestedmlm.statistics.forest import Block

MANY_ROWS = 50_000  # rows above which sums by level come first
_ROWS_OF_A_LEVEL = 4  # of the finest factor, that repay the second step
_CONSTANT = -1  # in the place of a column's number


class Triplets:
    """Triplets of a sparse matrix under construction, with so many columns."""

    def __init__(self, n: int) -> None:
        self.n = n
        self.places: list[IntArray] = []
        self.columns: list[IntArray] = []
        self.values: list[FloatArray] = []
        self.twice: list[FloatArray] = []
        self.size = 0

    def add(self, places: IntArray, values: FloatArray, first: int = 0) -> None:
        """One value for each column from `first` on; zeros are left out."""
        kept = np.flatnonzero(values)
        self.places.append(places[kept])
        self.columns.append(first + kept)
        self.values.append(values[kept])

    def grow(self, factor: FloatArray) -> None:
        """Say how often each of the next entries stands in its matrix."""
        self.twice.append(factor)
        self.size += len(factor)

    def matrix(self) -> Any:
        """The sparse matrix by rows."""
        places = (np.concatenate(self.places), np.concatenate(self.columns))
        return sparse.csr_matrix((np.concatenate(self.values), places), shape=(self.size, self.n))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class NodeProducts:
    """Distinct products of the columns of nested factors, summed by the finest one's levels.

    Attributes
    ----------
    levels : int
        Of the finest factor.
    bases : tuple of (n,) arrays
        Columns that differ by more than a factor.
    products : tuple of tuples of int
        Numbers of the bases that each distinct product has; none of a constant.
    columns : tuple of tuples of (float, int)
        For each factor its columns, as a number times a base; the constant is -1.
    """

    levels: int
    bases: tuple[FloatArray, ...]
    products: tuple[tuple[int, ...], ...]
    columns: tuple[tuple[tuple[float, int], ...], ...]

    @property
    def count(self) -> int:
        """Number of sums by level."""
        return len(self.products) * self.levels

    def matrix(self, node: IntArray) -> Any:
        """Takes weights to the sums by level, product after product.

        Parameters
        ----------
        node : (n,) array of int
            The finest factor's level of each row.
        """
        n = len(node)
        made = Triplets(n)
        for product in self.products:
            values = np.ones(n)
            for base in product:
                values *= self.bases[base]
            made.add(made.size + node, values)
            made.grow(np.ones(self.levels))
        return made.matrix()


def node_products(columns: Sequence[FloatArray], n: int, levels: int) -> NodeProducts | None:
    """Distinct products of the columns of nested factors; None where they do not repay.

    Parameters
    ----------
    columns : sequence of (n, k) arrays
        Of each factor, the finest first.
    n, levels : int
        Rows, and levels of the finest factor.
    """
    if n <= MANY_ROWS or n < _ROWS_OF_A_LEVEL * levels:
        return None
    bases: list[FloatArray] = []
    own = tuple(tuple(_as_base(z, bases) for z in matrix.T) for matrix in columns)
    every = [_product(a, c) for i, one in enumerate(own) for a in one for up in own[i:] for c in up]
    distinct = tuple(sorted(set(every)))
    if len(every) < 2 * len(distinct):
        return None
    return NodeProducts(levels=levels, bases=tuple(bases), products=distinct, columns=own)


def _as_base(z: FloatArray, bases: list[FloatArray]) -> tuple[float, int]:
    """A column as a number times one that is known; else it becomes known."""
    if (z == z[0]).all():
        return float(z[0]), _CONSTANT
    for number, base in enumerate(bases):
        if np.array_equal(base, z):
            return 1.0, number
    bases.append(np.ascontiguousarray(z))
    return 1.0, len(bases) - 1


def _product(one: tuple[float, int], other: tuple[float, int]) -> tuple[int, ...]:
    """Numbers of the bases in a product of two columns."""
    return tuple(sorted(base for _, base in (one, other) if base != _CONSTANT))


def add_panels(
    made: Triplets, blocks: Sequence[Block], nodes: Sequence[IntArray], Z: Sequence[FloatArray]
) -> None:
    """Products of the chain's columns with themselves and their ancestors', row by row.

    Parameters
    ----------
    made : Triplets
        With a column for each row.
    blocks : sequence of Block
    nodes : sequence of (n,) arrays
        Each factor's level of every row, in the order of elimination.
    Z : sequence of (n, k) arrays
    """
    places = _panel_places(made, blocks, len(nodes))
    for i, (base, stride) in enumerate(places):
        right = np.concatenate([Z[f] for f in range(i, len(nodes))], axis=1)
        first, step = base[nodes[i]], stride[nodes[i]]
        for a in range(Z[i].shape[1]):
            for c in range(right.shape[1]):
                made.add(first + (a * right.shape[1] + c) * step, Z[i][:, a] * right[:, c])


def add_node_panels(
    made: Triplets, blocks: Sequence[Block], parents: Sequence[IntArray], sums: NodeProducts
) -> None:
    """The same of sums by the finest factor's levels.

    Parameters
    ----------
    made : Triplets
        With a column for each of these sums.
    blocks : sequence of Block
    parents : sequence of arrays of int
        The level above each level of a factor.
    sums : NodeProducts
    """
    above = np.arange(sums.levels)
    where = {product: k * sums.levels for k, product in enumerate(sums.products)}
    for i, (base, stride) in enumerate(_panel_places(made, blocks, len(sums.columns))):
        above = parents[i - 1][above] if i else above
        right = [column for one in sums.columns[i:] for column in one]
        for a, own in enumerate(sums.columns[i]):
            for c, other in enumerate(right):
                places = base[above] + (a * len(right) + c) * stride[above]
                values = np.full(sums.levels, own[0] * other[0])
                made.add(places, values, where[_product(own, other)])


def _panel_places(
    made: Triplets, blocks: Sequence[Block], m: int
) -> list[tuple[IntArray, IntArray]]:
    """For each factor the first entry of every level, and the distance to its next ones."""
    shape = blocks[0].shape
    base = [np.empty(sum(int(b.shape.J[i]) for b in blocks), dtype=np.int64) for i in range(m)]
    stride = [np.empty_like(one) for one in base]
    for block in blocks:
        for i, levels in enumerate(block.levels):
            J, k, anc = int(block.shape.J[i]), int(shape.K[i]), int(shape.A[i])
            base[i][levels] = made.size + np.arange(J)
            stride[i][levels] = J
            factor = np.ones((k, k + anc, J))
            factor[:, k:] = 2.0
            made.grow(factor.ravel())
    return list(zip(base, stride, strict=True))
