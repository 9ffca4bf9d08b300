"""Sums of cells over parts of the data: matched by key and added."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from nestedmlm._typing import IntArray
from nestedmlm.design.frame.values import Factor, Vector
from nestedmlm.statistics.cells.cell_sums import Cells, Tally, in_basis
from nestedmlm.statistics.cells.combinations import combinations, joined, plain_codes

_POOL = 200_000  # cells that wait at least before they are merged


def merge(parts: Iterable[Cells]) -> Cells:
    """Add up the cells of parts of the data.

    Parameters
    ----------
    parts : iterable of Cells
        At least one, of the same columns; bases may differ, the first one's is kept.

    Returns
    -------
    Cells

    Raises
    ------
    DataError
        If a grouping variable is text in one part and numbers in another.
    """
    every = list(parts)
    full = [part for part in every if part.size] or every[:1]
    full = [in_basis(part, full[0].basis) for part in full]
    first = full[0]
    if len(full) == 1:
        return replace(first, tally=sum((part.tally for part in every), Tally()))
    found, places = merged_heads(full)
    products = np.zeros((len(first.products), found.size))
    for part, own in zip(full, places, strict=True):
        products[:, own] += part.products
    return replace(found, products=products, tally=sum((part.tally for part in every), Tally()))


def merged_heads(full: Sequence[Cells]) -> tuple[Cells, list[IntArray]]:
    """Add up all but the products of cells.

    Parameters
    ----------
    full : sequence of Cells
        At least one, of the same columns in one basis. Their products are not looked at.

    Returns
    -------
    Cells
        With the first one's products.
    list of (J,) arrays
        For each part, the places of its cells.

    Raises
    ------
    DataError
        If a grouping variable is text in one part and numbers in another.
    """
    first = full[0]
    labels = [part.label for part in full]
    keys = {name: joined([part.keys[name] for part in full], name, labels) for name in first.keys}
    codes, rows = combinations([plain_codes(value) for value in keys.values()])
    places = np.split(codes, np.cumsum([part.size for part in full])[:-1])
    counts = np.zeros(len(rows), dtype=np.int64)
    for part, own in zip(full, places, strict=True):
        counts[own] += part.counts  # no cell stands twice in one part
    found = Cells(
        keys={name: _taken(value, rows) for name, value in keys.items()},
        products=first.products,
        counts=counts,
        basis=first.basis,
        kz=first.kz,
        total=np.sum([part.total for part in full], axis=0),
        plain=None
        if first.plain is None
        else np.sum([part.plain for part in full if part.plain is not None], axis=0),
        sums=np.sum([part.sums for part in full], axis=0),
        tally=sum((part.tally for part in full), Tally()),
        label=first.label,
    )
    return found, places


class Pool:
    """Cells of parts as they come, merged now and then so that they stay few."""

    def __init__(self) -> None:
        self._merged: Cells | None = None
        self._waiting: list[Cells] = []

    def add(self, cells: Cells) -> Cells:
        """Take the cells of one more part; returns those merged last, or these."""
        self._waiting.append(cells)
        merged = 0 if self._merged is None else self._merged.size
        if sum(part.size for part in self._waiting) > max(2 * merged, _POOL):
            self.result()
        return cells if self._merged is None else self._merged

    def result(self) -> Cells:
        """Merge what has come so far; at least one part has."""
        before: Sequence[Cells] = [] if self._merged is None else [self._merged]
        if self._waiting:
            self._merged = merge([*before, *self._waiting])
            self._waiting = []
        assert self._merged is not None
        return self._merged


def _taken(value: Vector, rows: IntArray) -> Vector:
    if isinstance(value, Factor):
        return replace(value, codes=value.codes[rows])
    assert isinstance(value, np.ndarray)
    return value[rows]
