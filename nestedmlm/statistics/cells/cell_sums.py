"""`Cells`: what is kept of rows, so that sums over parts of the data can be added up.

A cell is an observed combination of the levels of all grouping factors. The columns of all
random-effects terms come first (``z``), those of the fixed effects that are none of these next,
the response last: together ``c``, d columns. What a mixed model needs of the rows are
``sum w z c'`` of every cell and ``sum w c c'`` of all rows.

Sums are of ``c R^{-1}`` with a triangular R, the *basis*, that makes the columns nearly
orthonormal, so that they lose no digits; R triangular keeps the first columns those of z.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from nestedmlm._typing import FloatArray, IntArray
from nestedmlm.design.frame.values import Vector
from nestedmlm.statistics.cells.predictor_tally import PredictorTally, tally_of

if TYPE_CHECKING:
    from nestedmlm.statistics.cells.worker_cells import WorkerCells

_NO_PIVOT = 1e-14  # share of a column's square below which it adds nothing to those before it


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Tally:
    """Counts of rows, and what else is simply added up.

    Attributes
    ----------
    n, rows : int
        Complete rows, and all.
    sum_w, sum_log_w, sum_inverse_w : float
        Of the prior weights.
    low, high : float
        Smallest and largest response.
    at_low, at_high : int
        How often they occur; parts with other values may not have been counted.
    missing : mapping of str to int
        How many values each incomplete variable lacks.
    used : mapping of str to array of int
        For each factor among the predictors, the rows of each level.
    predictors : PredictorTally or None
        Of the fixed effects' own columns; None where it was not made.
    marks : tuple of (str, str)
        Fingerprint and name of each part that was summed.
    """

    n: int = 0
    rows: int = 0
    sum_w: float = 0.0
    sum_log_w: float = 0.0
    sum_inverse_w: float = 0.0
    low: float = np.inf
    high: float = -np.inf
    at_low: int = 0
    at_high: int = 0
    missing: Mapping[str, int] = field(default_factory=dict)
    used: Mapping[str, IntArray] = field(default_factory=dict)
    predictors: PredictorTally | None = None
    marks: tuple[tuple[str, str], ...] = ()

    def __add__(self, other: Tally) -> Tally:
        missing, used = dict(self.missing), dict(self.used)
        for name, count in other.missing.items():
            missing[name] = missing.get(name, 0) + count
        for name, counts in other.used.items():
            used[name] = used[name] + counts if name in used else counts
        low, high = min(self.low, other.low), max(self.high, other.high)
        return Tally(
            n=self.n + other.n,
            rows=self.rows + other.rows,
            sum_w=self.sum_w + other.sum_w,
            sum_log_w=self.sum_log_w + other.sum_log_w,
            sum_inverse_w=self.sum_inverse_w + other.sum_inverse_w,
            low=low,
            high=high,
            at_low=sum(t.at_low for t in (self, other) if t.low == low),
            at_high=sum(t.at_high for t in (self, other) if t.high == high),
            missing=missing,
            used=used,
            predictors=tally_of([t.predictors for t in (self, other) if t.n]),
            marks=self.marks + other.marks,
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Cells:
    """Sums of products by cell, and of all rows.

    Attributes
    ----------
    keys : mapping of str to Vector
        For each grouping variable, its value in each cell, (J,).
    products : (m, J) array
        ``sum w z c'`` of each cell, in the basis: rows a of z, and c from a on.
    counts : (J,) array
        Rows of each cell.
    basis : (d, d) array
        R, upper triangular.
    kz : int
        Number of columns of z.
    total : (d, d) array
        ``sum w c c'`` of all rows, in the basis.
    plain : (d, d) array or None
        The same without weights; None where there are none.
    sums : (d,) array
        ``sum c`` of all rows, without weights, in the basis.
    tally : Tally
    label : str
        The first of the partitions that were summed, for messages.
    on_workers : WorkerCells or None
        Where the products are, if they stay on Dask's workers.
    """

    keys: Mapping[str, Vector]
    products: FloatArray
    counts: IntArray
    basis: FloatArray
    kz: int
    total: FloatArray
    plain: FloatArray | None
    sums: FloatArray
    tally: Tally
    label: str = ""
    on_workers: WorkerCells | None = None

    @property
    def d(self) -> int:
        """Number of columns, the response's among them."""
        return len(self.sums)

    @property
    def size(self) -> int:
        """Number of cells."""
        return len(self.counts)

    @property
    def nbytes(self) -> int:
        """Bytes of the cells' sums."""
        numbers = self.kz * self.d - self.kz * (self.kz - 1) // 2
        return int(self.size * numbers * np.dtype(float).itemsize + self.counts.nbytes)

    def unpacked(self, some: slice) -> FloatArray:
        """``sum w z c'`` of some cells, (kz, d, cells)."""
        packed = self.products[:, some]
        out = np.empty((self.kz, self.d, packed.shape[1]))
        for row, (a, c) in zip(packed, packed_places(self.kz, self.d), strict=True):
            out[a, c] = row
            if c < self.kz:
                out[c, a] = row
        return out


def packed_places(kz: int, d: int) -> list[tuple[int, int]]:
    """Which entry of ``z c'`` each row of the packed products is."""
    return [(a, c) for a in range(kz) for c in range(a, d)]


def triangular_root(total: FloatArray) -> FloatArray:
    """Upper triangular U with ``U'U = total``; a column that adds nothing has a row of zeros.

    Parameters
    ----------
    total : (d, d) array
        Positive semidefinite.

    Returns
    -------
    (d, d) array
    """
    d = len(total)
    U = np.zeros((d, d))
    for j in range(d):
        square = total[j, j] - U[:j, j] @ U[:j, j]
        if square <= _NO_PIVOT * total[j, j] or total[j, j] == 0.0:
            continue
        U[j, j] = np.sqrt(square)
        U[j, j + 1 :] = (total[j, j + 1 :] - U[:j, j] @ U[:j, j + 1 :]) / U[j, j]
    return U


def triangular_factor(A: FloatArray) -> FloatArray:
    """R of A's QR decomposition, its diagonal not negative."""
    R = np.asarray(np.linalg.qr(A, mode="r"))
    if len(R) < A.shape[1]:
        R = np.vstack([R, np.zeros((A.shape[1] - len(R), A.shape[1]))])
    return R * np.where(R.diagonal() < 0, -1.0, 1.0)[:, None]


def in_basis(cells: Cells, basis: FloatArray) -> Cells:
    """The same sums in another basis.

    Parameters
    ----------
    cells : Cells
    basis : (d, d) array
        Upper triangular.

    Returns
    -------
    Cells
    """
    if cells.basis is basis or np.array_equal(cells.basis, basis):
        return cells
    step = np.linalg.solve(basis.T, cells.basis.T).T  # c R^{-1}: old columns times this are new
    kz, J = cells.kz, cells.size
    full = cells.unpacked(slice(None))
    turned = (step[:kz, :kz].T @ (step.T @ full).reshape(kz, -1)).reshape(kz, cells.d, J)
    places = packed_places(kz, cells.d)
    return Cells(
        keys=cells.keys,
        products=np.stack([turned[a, c] for a, c in places]) if places else cells.products,
        counts=cells.counts,
        basis=basis,
        kz=kz,
        total=step.T @ cells.total @ step,
        plain=None if cells.plain is None else step.T @ cells.plain @ step,
        sums=step.T @ cells.sums,
        tally=cells.tally,
        label=cells.label,
    )
