"""From rows to cells: one pass over the rows of a part of the data, in pieces."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from nestedmlm._typing import FloatArray, IntArray
from nestedmlm.design.frame.values import Vector, take_rows
from nestedmlm.design.matrices.columns import Reader
from nestedmlm.statistics.cells.cell_sums import Cells, Tally, packed_places
from nestedmlm.statistics.cells.combinations import Runs, plain_codes, runs_of

_NUMBERS_AT_ONCE = 100_000  # of all columns, for a block of rows that stays in the cache
_LEAST_ROWS = 4_096  # of a block: fewer, and the calls cost more than the sums
_RUNS_HELD = 65_536  # sums of runs that wait, at least, until they are added to the cells


def cells_of_rows(
    readers: Sequence[Reader],
    keys: Mapping[str, Vector],
    w: FloatArray | None,
    basis: FloatArray,
    kz: int,
    tally: Tally,
    runs: Runs | None = None,
) -> Cells:
    """Sum the products of some rows by cell.

    Parameters
    ----------
    readers : sequence of callable
        ``(rows, out)`` writes some rows of a column: d of them, the response's last.
    keys : mapping of str to Vector
        Grouping variables of the rows, none missing; at least one.
    w : (n,) array or None
        Weights, where there are any.
    basis : (d, d) array
    kz : int
    tally : Tally
        Of these rows.
    runs : Runs, optional
        Those of the keys, where the caller has them.

    Returns
    -------
    Cells
        Not finite where a column is not.
    """
    d, n = len(readers), tally.n
    total, sums = np.zeros((d, d)), np.zeros(d)
    plain = None if w is None else np.zeros((d, d))
    runs = runs or runs_of([plain_codes(value) for value in keys.values()])
    products = np.zeros((len(packed_places(kz, d)), len(runs.first)))
    to_basis = np.linalg.inv(basis).T
    # written again for every block: arrays that come and go cost as much as the sums
    block = max(min(n, max(_NUMBERS_AT_ONCE // d, _LEAST_ROWS)), 1)
    raws, turned, weights = (np.empty((d, block)) for _ in range(3))
    held = _RunSums(products, runs, raws.shape)
    with np.errstate(invalid="ignore", over="ignore"):  # whoever asked looks for infinity
        for low in range(0, n, block):
            rows = slice(low, min(low + block, n))
            here = slice(rows.stop - low)
            raw = raws[:, here]
            for reader, out in zip(readers, raw, strict=True):
                reader(rows, out)
            c = np.matmul(to_basis, raw, out=turned[:, here])
            sums += c.sum(axis=1)
            weighted = c if w is None else np.multiply(c, w[rows], out=weights[:, here])
            # The rows of z are those of the cells. A block with its own transpose goes to BLAS's
            # syrk, which takes four times gemm's time where the block is this flat.
            total[kz:] += weighted[kz:] @ c.T
            if plain is not None:
                plain += c @ c.T
            held.add(weighted[:kz], c, rows)
        held.flush()
        for (a, j), own in zip(packed_places(kz, d), products.sum(axis=1), strict=True):
            total[a, j] = total[j, a] = own
    return Cells(
        keys={name: take_rows(value, runs.first) for name, value in keys.items()},
        products=products,
        counts=runs.counts(),
        basis=basis,
        kz=kz,
        total=total,
        plain=plain,
        sums=sums,
        tally=tally,
    )


class _RunSums:
    """Sums over runs of rows of one cell, which wait until they are added to the cells.

    Parameters
    ----------
    products : (m, J) array
        Of the cells, which they are added to.
    runs : Runs
        Of all rows.
    block : (d, n)
        Columns, and the rows that come at once, at most.
    """

    def __init__(self, products: FloatArray, runs: Runs, block: tuple[int, int]) -> None:
        self._products, self._runs = products, runs
        m, J = products.shape
        size = max(min(max(_RUNS_HELD, J // 4), len(runs.codes)), block[1])
        self._sums, self._cell = np.empty((m, size)), np.empty(size, dtype=np.int64)
        self._scratch = np.empty(block)
        self._count = 0

    def add(self, weighted: FloatArray, c: FloatArray, rows: slice) -> None:
        """Sum over some rows: (kz, n) weighted columns of z, all (d, n) columns."""
        starts, cells = self._of(rows)
        if self._count + len(cells) > len(self._cell):
            self.flush()
        own, at = slice(self._count, self._count + len(cells)), 0
        self._cell[own] = cells
        for a, z in enumerate(weighted):  # all products of one column of z at once
            some = slice(at, at + len(c) - a)
            if starts is None:
                np.multiply(z, c[a:], out=self._sums[some, own])
            else:
                of_rows = np.multiply(z, c[a:], out=self._scratch[a:, : len(z)])
                np.add.reduceat(of_rows, starts, axis=1, out=self._sums[some, own])
            at = some.stop
        self._count += len(cells)

    def _of(self, rows: slice) -> tuple[IntArray | None, IntArray]:
        """Starts of the runs among some rows, counted from the first of them, and their cells."""
        starts, codes = self._runs.starts, self._runs.codes
        if starts is None:
            return None, codes[rows]
        low = int(np.searchsorted(starts, rows.start, side="right")) - 1
        own = slice(low, int(np.searchsorted(starts, rows.stop)))
        return np.maximum(starts[own] - rows.start, 0), codes[own]

    def flush(self) -> None:
        """Add what waits to the cells."""
        if not self._count:
            return
        cell = self._cell[: self._count]
        low, size = int(cell.min()), int(np.ptp(cell)) + 1
        ascending = len(cell) == size and bool((cell[1:] > cell[:-1]).all())
        for own, sums in zip(self._products[:, low : low + size], self._sums, strict=True):
            some = sums[: self._count]
            own += some if ascending else np.bincount(cell - low, some, minlength=size)
        self._count = 0
