"""From rows to cells: one pass over the rows of a part of the data, in pieces."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from nestedmlm._typing import FloatArray, IntArray
from nestedmlm.design.frame.values import Factor, Vector
from nestedmlm.design.matrices.columns import Reader
from nestedmlm.statistics.cells.cell_sums import Cells, Tally, packed_places
from nestedmlm.statistics.cells.combinations import combinations, plain_codes, run_starts

_ROWS_AT_ONCE = 8_192  # whose columns stay in the processor's cache
_RUNS_PAY = 2  # rows of a run, on average, from which sums of runs are made first


def cells_of_rows(
    readers: Sequence[Reader],
    keys: Mapping[str, Vector],
    w: FloatArray | None,
    basis: FloatArray,
    kz: int,
    tally: Tally,
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

    Returns
    -------
    Cells
        Not finite where a column is not.
    """
    d, n = len(readers), tally.n
    total, sums = np.zeros((d, d)), np.zeros(d)
    plain = None if w is None else np.zeros((d, d))
    places = packed_places(kz, d)
    if not n:
        return Cells(
            keys={name: _some(value, slice(0, 0)) for name, value in keys.items()},
            products=np.zeros((len(places), 0)),
            counts=np.zeros(0, dtype=np.int64),
            basis=basis,
            kz=kz,
            total=total,
            plain=plain,
            sums=sums,
            tally=tally,
        )
    codes, first = combinations([plain_codes(value) for value in keys.values()])
    cuts = run_starts([codes])
    by_run = len(cuts) * _RUNS_PAY <= n
    pieces = np.arange(0, n, _ROWS_AT_ONCE)
    starts = np.union1d(cuts, pieces) if by_run else np.arange(n)
    runs = np.empty((len(places), len(starts)))
    edge = np.searchsorted(starts, [*pieces.tolist(), n])
    to_basis = np.linalg.inv(basis).T
    buffer = np.empty((d, _ROWS_AT_ONCE))
    with np.errstate(invalid="ignore", over="ignore"):  # whoever asked looks for infinity
        for number, low in enumerate(pieces.tolist()):
            rows = slice(low, min(low + _ROWS_AT_ONCE, n))
            raw = buffer[:, : rows.stop - low]
            for reader, out in zip(readers, raw, strict=True):
                reader(rows, out)
            c = to_basis @ raw
            sums += c.sum(axis=1)
            weighted = c if w is None else c * w[rows]
            total += weighted @ c.T
            if plain is not None:
                plain += c @ c.T
            own = slice(int(edge[number]), int(edge[number + 1]))
            begin = starts[own] - low
            at = 0
            for a in range(kz):  # all products of one column of z at once
                products = weighted[a] * c[a:]
                into = runs[at : at + d - a, own]
                if by_run:
                    np.add.reduceat(products, begin, axis=1, out=into)
                else:
                    into[:] = products
                at += d - a
    J = len(first)
    cell = codes[starts]
    return Cells(
        keys={name: _some(value, first) for name, value in keys.items()},
        products=_by_cell(runs, cell, J),
        counts=np.bincount(codes, minlength=J),
        basis=basis,
        kz=kz,
        total=total,
        plain=plain,
        sums=sums,
        tally=tally,
    )


def _by_cell(runs: FloatArray, cell: IntArray, J: int) -> FloatArray:
    if len(cell) == J and (cell == np.arange(J)).all():
        return runs
    out = np.empty((len(runs), J))
    for row, own in zip(runs, out, strict=True):
        own[:] = np.bincount(cell, row, minlength=J)
    return out


def _some(value: Vector, rows: IntArray | slice) -> Vector:
    if isinstance(value, Factor):
        return Factor(
            codes=value.codes[rows], levels=value.levels, kind=value.kind, ordered=value.ordered
        )
    assert isinstance(value, np.ndarray)
    return value[rows]
