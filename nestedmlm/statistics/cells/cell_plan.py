"""`CellPlan`: the columns of a formula that are summed by cell, and their basis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from nestedmlm._typing import FloatArray
from nestedmlm.design.frame.checks import check_weights
from nestedmlm.design.frame.values import Factor, Vector, as_factor, level_counts
from nestedmlm.design.matrices.columns import Column, Reader, column_readers, columns_of
from nestedmlm.design.matrices.modelmatrix import MatrixSpec, learn_matrix, match_levels
from nestedmlm.design.partitions.learning import Learned, some_rows
from nestedmlm.design.partitions.reading import CompleteRows, Reading
from nestedmlm.errors import FormulaError, PartitionError
from nestedmlm.statistics.cells.accumulate import cells_of_rows
from nestedmlm.statistics.cells.cell_sums import Cells, Tally, triangular_factor, triangular_root
from nestedmlm.statistics.cells.combinations import Runs
from nestedmlm.statistics.cells.fingerprint import fingerprint
from nestedmlm.statistics.cells.merge import merge
from nestedmlm.statistics.cells.predictor_tally import PredictorTally

ROWS_AT_ONCE = 500_000  # of a partition: more are taken in slices
_FIRST_ROWS = 100  # of a part, that tell most responses from those of two values
_UNSEEN = 1e-8  # share of a column's size: of less the basis has seen nothing
_LEAST_PIVOT = 1e-4  # of unit columns in the basis: below it the basis did not fit the data


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CellPlan:
    """Columns that are summed, by which groups, and in which basis.

    Attributes
    ----------
    reading : Reading
    known : mapping of str to Vector
        Every predictor without rows.
    columns : tuple of Column
        Those of the random effects first.
    kz : int
        Their number.
    groups : tuple of str
        Grouping variables, by R's text.
    basis : (d, d) array
        Upper triangular; the last column is the response's.
    pilot : Frame or None
        Some rows, of which the first basis was made.
    """

    reading: Reading
    known: Mapping[str, Vector]
    columns: tuple[Column, ...]
    kz: int
    groups: tuple[str, ...]
    basis: FloatArray
    pilot: Any = None

    def summarise(self, table: Any, label: str) -> Cells:
        """Sum the products of a partition by cell.

        Parameters
        ----------
        table : table
        label : str
            For messages.

        Returns
        -------
        Cells

        Raises
        ------
        PartitionError
        """
        frame = self.reading.frame(table, label)
        if frame.n <= ROWS_AT_ONCE:
            return self.of_rows(self.reading.complete(frame), label)
        parts = [
            self.of_rows(self.reading.complete(self.reading.frame(some, label)), label)
            for some in _slices(table, frame.n)
        ]
        return merge(parts)

    def empty(self) -> Cells:
        """Sums of no rows; of a plan that has its pilot."""
        none = some_rows(self.pilot, slice(0, 0))
        return self.of_rows(self.reading.complete(none), "no rows")

    def of_rows(
        self,
        rows: CompleteRows,
        label: str,
        runs: Runs | None = None,
    ) -> Cells:
        """Sum the products of complete rows by cell.

        Parameters
        ----------
        rows : CompleteRows
        label : str
            For messages.
        runs : Runs, optional
            Those of the groups, where the caller has them.

        Returns
        -------
        Cells

        Raises
        ------
        PartitionError
            For infinite values.
        """
        y = rows.y if rows.offset is None else rows.y - rows.offset
        low, high = _ends(y)
        if not np.isfinite([low, high]).all() and len(y):
            raise PartitionError(
                f"{label}: the response {self.reading.formula.response_text} holds infinite values",
                label,
            )
        if rows.weights is not None:
            check_weights(rows.weights)
        known = dict(self.known)
        values = {name: rows.values[name] for name in known}
        readers: list[Reader] = [
            *column_readers(self.columns, values, known),
            partial(_copy, y),
        ]
        keys = keys_of(rows, self.groups)
        ends = (low, high) if rows.offset is None else _ends(rows.y)
        tally = _tally(rows, ends, values, known)
        if tally.n and rows.columns is not None:
            tally = replace(tally, marks=((fingerprint(rows, ends, keys), label),))
        cells = cells_of_rows(readers, keys, rows.weights, self.basis, self.kz, tally, runs)
        if not np.isfinite(cells.total).all():
            self._refuse_infinite(readers, len(y), label)
        return replace(cells, label=label)

    def _refuse_infinite(self, readers: Sequence[Any], n: int, label: str) -> None:
        out = np.empty(n)
        bad = []
        for column, reader in zip(self.columns, readers, strict=False):
            reader(slice(0, n), out)
            if not np.isfinite(out).all():
                bad.append(":".join(part.variable for part in column.parts))
        names = ", ".join(dict.fromkeys(bad)) or "sums of products"
        raise PartitionError(f"{label}: infinite values in {names}", label)

    def fitted_to(self, cells: Cells) -> CellPlan | None:
        """The plan with a basis made of the sums, where the present one did not fit the data.

        Parameters
        ----------
        cells : Cells
            Of all rows, in this plan's basis.

        Returns
        -------
        CellPlan or None
            None where the basis is good.
        """
        F = 0.5 * (cells.total + cells.total.T)
        size = np.sqrt(F.diagonal())
        size[size == 0] = 1.0
        U = triangular_root(F / size / size[:, None])
        R = triangular_root(F) @ self.basis
        left = np.abs(R.diagonal()) / np.hypot.reduce(R, axis=0).clip(min=1e-300)
        there = left > _UNSEEN  # the others add nothing to the columns before them
        if not there.any() or U.diagonal()[there].min() >= _LEAST_PIVOT:
            return None
        return replace(self, basis=_basis(R / np.sqrt(max(cells.tally.n, 1))))


def plan_cells(learned: Learned, specs: Sequence[MatrixSpec], groups: Sequence[str]) -> CellPlan:
    """Plan the sums of a formula.

    Parameters
    ----------
    learned : Learned
    specs : sequence of MatrixSpec
        Of the fixed effects, then of the random-effects terms.
    groups : sequence of str
        Grouping variables.

    Returns
    -------
    CellPlan
        With a basis in which some rows' columns are orthonormal.
    """
    rows = learned.reading.complete(learned.pilot)
    return plan_of(learned.reading, learned.known, specs, groups, rows, learned.pilot)


def plan_of(
    reading: Reading,
    known: Mapping[str, Vector],
    specs: Sequence[MatrixSpec],
    groups: Sequence[str],
    some: CompleteRows,
    pilot: Any = None,
) -> CellPlan:
    """Plan the sums of a formula whose variables are known.

    Parameters
    ----------
    reading : Reading
    known : mapping of str to Vector
    specs, groups
        As `plan_cells` takes them.
    some : CompleteRows
        Those that the basis is made of.
    pilot : Frame, optional
        The same as a table.

    Returns
    -------
    CellPlan
    """
    fixed, *bars = (columns_of(spec) for spec in specs)
    of_terms = tuple(dict.fromkeys(column for own in bars for column in own))
    columns = tuple(dict.fromkeys([*of_terms, *fixed]))
    plan = CellPlan(
        reading=reading,
        known=known,
        columns=columns,
        kz=len(of_terms),
        groups=tuple(groups),
        basis=np.eye(len(columns) + 1),
        pilot=pilot,
    )
    return replace(plan, basis=_basis(_raw_factor(plan, some)))


def _raw_factor(plan: CellPlan, rows: CompleteRows) -> FloatArray:
    """R factor of the columns of some rows, per row."""
    n = len(rows.y)
    C = np.zeros((len(plan.columns) + 1, n))
    values = {name: rows.values[name] for name in plan.known}
    for reader, out in zip(column_readers(plan.columns, values, plan.known), C, strict=False):
        reader(slice(0, n), out)
    C[-1] = rows.y if rows.offset is None else rows.y - rows.offset
    C = C[:, np.isfinite(C).all(axis=0)]
    if not C.shape[1]:
        return np.eye(len(C))
    return triangular_factor(C.T / np.sqrt(C.shape[1]))


def _basis(R: FloatArray) -> FloatArray:
    """R with a diagonal where it saw nothing, so that it can be inverted."""
    R = np.triu(R)
    size = np.hypot.reduce(R, axis=0)  # squares of what is huge or tiny are not finite, or 0
    weak = np.abs(R.diagonal()) <= _UNSEEN * size
    R[weak] = 0.0
    R[weak, weak] = np.where(size > 0, size, 1.0)[weak]
    return R


def learn_specs(
    reading: Reading, known: Mapping[str, Vector], contrasts: Mapping[str, Any] | None
) -> list[MatrixSpec]:
    """Matrices of the fixed part and of every term that has columns, from variables without rows.

    Raises
    ------
    FormulaError
        If no term has columns.
    """
    fixed = learn_matrix(reading.fixed, known, contrasts)
    bars = [learn_matrix(bar.terms, known) for bar in reading.formula.bars]
    if not any(bar.names for bar in bars):
        raise FormulaError("the random-effects terms have no columns", reading.formula.text)
    return [fixed, *bars]


def _ends(y: FloatArray) -> tuple[float, float]:
    """The smallest and the largest value; not finite where one is not."""
    return (float(y.min()), float(y.max())) if len(y) else (np.inf, -np.inf)


def _at(end: float, y: FloatArray, ends: tuple[float, float]) -> int:
    """Rows with the value of an end; of a part with other values, which first rows tell, zero."""
    return int(np.count_nonzero(y == end)) if np.isin(y[:_FIRST_ROWS], ends).all() else 0


def _tally(
    rows: CompleteRows,
    ends: tuple[float, float],
    values: Mapping[str, Vector],
    known: Mapping[str, Vector],
) -> Tally:
    y, w, n = rows.y, rows.weights, len(rows.y)
    low, high = ends
    used = {}
    for name, like in known.items():
        if isinstance(like, Factor):
            value = as_factor(values[name], name=name)
            codes = match_levels(value, like.levels, like.labels, name)
            used[name] = level_counts(codes, len(like.levels))
    return Tally(
        n=n,
        rows=rows.rows,
        sum_w=float(n if w is None else w.sum()),
        sum_log_w=0.0 if w is None else float(np.log(w).sum()),
        sum_inverse_w=float(n if w is None else (1.0 / w).sum()),
        low=low,
        high=high,
        at_low=_at(low, y, ends),
        at_high=_at(high, y, ends),
        missing=rows.missing,
        used=used,
        predictors=PredictorTally.of(rows.columns, n) if n and rows.columns is not None else None,
    )


def keys_of(rows: CompleteRows, groups: Sequence[str]) -> dict[str, Vector]:
    """Grouping variables of complete rows."""
    return {name: _key(rows.values[name]) for name in groups}


def _key(value: Vector) -> Vector:
    if isinstance(value, np.ndarray | Factor):
        return value
    return as_factor(value, name="a grouping variable")


def _copy(y: FloatArray, rows: slice, out: FloatArray) -> None:
    np.copyto(out, y[rows])


def _slices(table: Any, n: int) -> list[Any]:
    starts = range(0, n, ROWS_AT_ONCE)
    if hasattr(table, "iloc"):
        return [table.iloc[at : at + ROWS_AT_ONCE] for at in starts]
    if hasattr(table, "slice"):
        return [table.slice(at, ROWS_AT_ONCE) for at in starts]
    return [table]
