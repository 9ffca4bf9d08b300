"""Rows of a table, with the columns and levels of a design that was made of their sums."""

from __future__ import annotations

import numpy as np

from nestedmlm.design.design import Design
from nestedmlm.design.frame.variables import Variables
from nestedmlm.design.matrices.columns import columns_of
from nestedmlm.design.matrices.grouping import group_codes
from nestedmlm.design.matrices.modelmatrix import MatrixSpec, build_matrix
from nestedmlm.design.rows import Rows, frozen
from nestedmlm.errors import DataError

_ROUNDING = 1e-8  # share of a column's size by which its sum may differ


def table_rows(variables: Variables, design: Design) -> Rows:
    """Make the rows of a design from its variables.

    Parameters
    ----------
    variables : Variables
        Read from the table that was summed.
    design : Design
        With sums.

    Returns
    -------
    Rows

    Raises
    ------
    DataError
        If the variables are not those that were summed.
    """
    schema, values, n = design.schema, variables.values, variables.n
    full = build_matrix(schema.fixed, values, n)
    every = schema.kept == tuple(range(full.shape[1]))
    X = frozen(full if every else np.ascontiguousarray(full[:, schema.kept]))
    made: list[tuple[MatrixSpec, np.ndarray]] = [(schema.fixed, X)] if every else []
    matrices = []
    for spec in schema.bars:
        found = next((M for own, M in made if _same_columns(own, spec)), None)
        if found is None:
            found = frozen(build_matrix(spec, values, n))
            made.append((spec, found))
        matrices.append(found)
    rows = Rows(
        y=frozen(variables.y),
        X=X,
        matrices=tuple(matrices),
        codes=tuple(frozen(group_codes(group, values, n)) for group in schema.groups),
        weights=None if variables.weights is None else frozen(variables.weights),
        offset=None if variables.offset is None else frozen(variables.offset),
        index=variables.index,
        full_index=variables.full_index,
        kept=frozen(variables.kept),
    )
    _check_unchanged(rows, design)
    return rows


def _same_columns(one: MatrixSpec, other: MatrixSpec) -> bool:
    return one.names == other.names and columns_of(one) == columns_of(other)


def _check_unchanged(rows: Rows, design: Design) -> None:
    """Refuse rows whose sums are not those of the fit: an array was written to past its table."""
    sums = design.sums
    assert sums is not None
    y = rows.y if rows.offset is None else rows.y - rows.offset
    found = np.array([*rows.X.sum(axis=0), y.sum()])
    at = [*sums.x, -1]
    summed = (sums.cells.sums @ sums.cells.basis)[at]
    size = np.linalg.norm(sums.root[:, at], axis=0) * np.sqrt(design.n)
    if rows.n != design.n or (np.abs(found - summed) > _ROUNDING * size).any():
        raise DataError(
            "the data were changed in place after the model was fitted, past their table (an array "
            "that a DataFrame was made of with copy=False, for example), so their rows are no "
            "longer those of the fit: fit the model again"
        )
