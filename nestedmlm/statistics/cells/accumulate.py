"""From rows to cells: one pass over the rows of a part of the data, in pieces."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from nestedmlm._typing import FloatArray, IntArray
from nestedmlm.design.frame.values import Vector, take_rows
from nestedmlm.design.matrices.columns import Reader
from nestedmlm.statistics.cells.cell_sums import Cells, Tally, packed_places
from nestedmlm.statistics.cells.combinations import combinations, plain_codes, run_starts

_ROWS_AT_ONCE = 8_192  # whose columns stay in the processor's cache
_RUNS_PAY = 2  # rows of a run, on average, from which sums of runs are made first
_RUNS_HELD = 65_536  # sums of runs that wait, at least, until they are added to the cells


def cells_of_rows(
    readers: Sequence[Reader],
    keys: Mapping[str, Vector],
    w: FloatArray | None,
    basis: FloatArray,
    kz: int,
    tally: Tally,
    numbered: tuple[IntArray, IntArray] | None = None,
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
    numbered : (codes, first), optional
        The `combinations` of the keys, where the caller has them.

    Returns
    -------
    Cells
        Not finite where a column is not.
    """
    d, n = len(readers), tally.n
    total, sums = np.zeros((d, d)), np.zeros(d)
    plain = None if w is None else np.zeros((d, d))
    codes, first = numbered or combinations([plain_codes(value) for value in keys.values()])
    products = np.zeros((len(packed_places(kz, d)), len(first)))
    to_basis = np.linalg.inv(basis).T
    buffer = np.empty((d, _ROWS_AT_ONCE))
    held = _Runs(products, codes)
    with np.errstate(invalid="ignore", over="ignore"):  # whoever asked looks for infinity
        for low in range(0, n, _ROWS_AT_ONCE):
            rows = slice(low, min(low + _ROWS_AT_ONCE, n))
            raw = buffer[:, : rows.stop - low]
            for reader, out in zip(readers, raw, strict=True):
                reader(rows, out)
            c = to_basis @ raw
            sums += c.sum(axis=1)
            weighted = c if w is None else c * w[rows]
            # The rows of z are those of the cells. A block with its own transpose goes to BLAS's
            # syrk, which takes four times gemm's time where the block is this flat.
            total[kz:] += weighted[kz:] @ c.T
            if plain is not None:
                plain += c @ c.T
            held.add(weighted[:kz], c, codes[rows])
        held.flush()
        for (a, j), own in zip(packed_places(kz, d), products.sum(axis=1), strict=True):
            total[a, j] = total[j, a] = own
    return Cells(
        keys={name: take_rows(value, first) for name, value in keys.items()},
        products=products,
        counts=np.bincount(codes, minlength=len(first)),
        basis=basis,
        kz=kz,
        total=total,
        plain=plain,
        sums=sums,
        tally=tally,
    )


class _Runs:
    """Sums over runs of rows of one cell, which wait until they are added to the cells.

    Parameters
    ----------
    products : (m, J) array
        Of the cells, which they are added to.
    codes : (n,) array
        The cell of each row.
    """

    def __init__(self, products: FloatArray, codes: IntArray) -> None:
        self._products = products
        m, J = products.shape
        size = max(min(max(_RUNS_HELD, J // 4), len(codes)), _ROWS_AT_ONCE)
        self._sums, self._cell = np.empty((m, size)), np.empty(size, dtype=np.int64)
        self._count = 0

    def add(self, weighted: FloatArray, c: FloatArray, codes: IntArray) -> None:
        """Sum over some rows: (kz, n) weighted columns of z, all (d, n) columns."""
        starts = run_starts([codes])
        by_run = len(starts) * _RUNS_PAY <= len(codes)
        count = len(starts) if by_run else len(codes)
        if self._count + count > len(self._cell):
            self.flush()
        own, at = slice(self._count, self._count + count), 0
        self._cell[own] = codes[starts] if by_run else codes
        for a, z in enumerate(weighted):  # all products of one column of z at once
            rows = slice(at, at + len(c) - a)
            if by_run:
                np.add.reduceat(z * c[a:], starts, axis=1, out=self._sums[rows, own])
            else:
                np.multiply(z, c[a:], out=self._sums[rows, own])
            at = rows.stop
        self._count += count

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
