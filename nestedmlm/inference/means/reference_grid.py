"""The reference grid of a model: where its marginal means are evaluated.

Semantics of R's emmeans (Searle, Speed & Milliken 1980; Lenth 2016): factors at all their levels,
covariates at their mean, covariates with two values at both.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np
import pandas as pd

from nestedmlm._typing import FloatArray
from nestedmlm.arguments import check_number
from nestedmlm.design.design import Design
from nestedmlm.design.frame.frames import Frame
from nestedmlm.design.frame.values import Factor, Vector, vector_length
from nestedmlm.design.matrices.modelmatrix import build_matrix
from nestedmlm.design.moments import all_fixed_columns
from nestedmlm.design.schema import matrix_values, offset_numbers
from nestedmlm.errors import OptionError
from nestedmlm.formula.nodes import variables_in
from nestedmlm.inference.effects.curve_coefficients import curve_columns
from nestedmlm.inference.means.nesting import Nesting, find_nesting
from nestedmlm.inference.means.predictors import (
    PredictorTable,
    as_column,
    as_list,
    asked_values,
    cell_columns,
    coerced_names,
    predictor_table,
    reference_values,
    row_positions,
)

_ESTIMABLE = 1e-8  # relative squared length outside the row space of X
_MAX_CELLS = 1_000_000  # of a grid; more are refused


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Grid:
    """All combinations of reference values.

    Attributes
    ----------
    levels : dict of str to tuple
        Reference values of each variable, in the formula's order.
    codes : (m, v) array of int
        Positions in `levels` for each cell; the first variable changes fastest.
    X : (m, p_all + q) array
        Rows of the model matrix with all its columns, and of the curves' penalised functions.
    kept : tuple of int
        Columns of the fit (the rest was dropped), and of the curves.
    null : (p_all + q, d) array
        Basis of what cannot be estimated.
    offset : (m,) array or None
    weight : (m,) array
        Rows of the data in each combination of the factors' levels. Prior weights do not count:
        they say how precise a row is, not how often it was seen (emmeans does the same for lmer).
    nesting : dict of str to tuple of str
        For each nested factor, the factors it is nested in.
    terms : tuple of frozenset of str
        Variables of each fixed-effects term.
    ordered : dict of str to bool
        For each factor whether its levels are ordered; covariates are not in it.
    """

    levels: dict[str, tuple[Any, ...]]
    codes: np.ndarray
    X: FloatArray
    kept: tuple[int, ...]
    null: FloatArray
    offset: FloatArray | None
    weight: FloatArray
    nesting: Nesting
    terms: tuple[frozenset[str], ...]
    ordered: dict[str, bool]

    @property
    def names(self) -> tuple[str, ...]:
        """The variables."""
        return tuple(self.levels)


def estimable(grid: Grid, X: FloatArray) -> FloatArray:
    """Linear functions of the coefficients of a mean, (r, p + q), from rows with all columns.

    Rows that the rank-deficient model matrix cannot tell are NaN.

    References
    ----------
    Searle (1971), 5.4: a function is estimable when it is in the row space of X.
    """
    out = X[:, list(grid.kept)]
    size = np.einsum("ri,ri->r", X, X)
    outside = np.sum((X @ grid.null) ** 2, axis=1)
    out[~(outside <= _ESTIMABLE * size)] = np.nan
    return out


def reference_grid(
    design: Design, data: Any, *, at: Mapping[str, Any] | None = None, offset: float | None = None
) -> Grid:
    """Make the reference grid.

    Parameters
    ----------
    design : Design
    data : table
        What the model was fitted to.
    at : mapping of str to value or sequence, optional
        Reference values in place of the defaults.
    offset : float, optional
        Of every cell, in the place of the model's at the reference values.

    Raises
    ------
    OptionError
        If `at` names a variable that is no predictor, or a level that a factor does not have; if
        `offset` is not a finite number.
    """
    table = predictor_table(design, data)
    columns = table.columns
    coerced = coerced_names(design, columns)
    given = {name: as_list(value) for name, value in (at or {}).items()}
    unknown = [name for name in given if name not in columns]
    if unknown:
        known = ", ".join(columns) or "none"
        raise OptionError(f"at names {', '.join(unknown)}; the predictors are: {known}")
    levels, factors = {}, {}
    for name, column in columns.items():
        values, is_factor = reference_values(table, name, coerced=name in coerced)
        if name in given:
            values = asked_values(name, given[name], column)
        if is_factor and (name not in given or isinstance(column, Factor) or name in coerced):
            factors[name] = values
        levels[name] = values
    codes = _expand([len(values) for values in levels.values()])
    cells = cell_columns(levels, codes, columns)
    X, offsets = _rows_of(design, cells, len(codes))
    null = _null_basis(design, columns)
    curves = X.shape[1] - len(null)
    terms = _term_variables(design)
    if offset is not None:
        offsets = np.full(len(codes), check_number(offset, "offset"))
    elif (mean := _mean_offset(design, terms, given)) is not None:
        offsets = np.full(len(codes), mean)
    weight = _cell_weights(table, factors, levels, codes)
    return Grid(
        levels=levels,
        codes=codes,
        X=X,
        kept=(*design.schema.kept, *range(len(null), X.shape[1])),
        null=np.pad(null, ((0, curves), (0, 0))),
        offset=offsets,
        weight=weight,
        nesting=find_nesting(levels, codes, weight, design.schema.fixed.terms),
        terms=terms,
        ordered={n: c.ordered for n, c in columns.items() if isinstance(c, Factor)},
    )


def shifted(grid: Grid, design: Design, data: Any, *, variable: str, by: float) -> Grid:
    """Return the grid with one covariate moved, for slopes."""
    columns = predictor_table(design, data).columns
    moved = tuple(float(value) + by for value in grid.levels[variable])
    cells = cell_columns({**grid.levels, variable: moved}, grid.codes, columns)
    X, _ = _rows_of(design, cells, len(grid.codes))
    return replace(grid, X=X)


def _expand(sizes: Sequence[int]) -> np.ndarray:
    """All combinations as positions, the first changing fastest."""
    cells = int(np.prod(sizes, dtype=np.int64)) if sizes else 1
    if cells > _MAX_CELLS:
        raise OptionError(
            f"the reference grid would have {cells:,} cells; fix some variables with at="
        )
    if not sizes:
        return np.zeros((1, 0), dtype=np.int64)
    slow_first = product(*(range(size) for size in reversed(sizes)))
    return np.array(list(slow_first), dtype=np.int64)[:, ::-1]


def _rows_of(design: Design, cells: pd.DataFrame, m: int) -> tuple[FloatArray, FloatArray | None]:
    """Model matrix (all columns) with the curves' functions, and offset of the cells."""
    schema = design.schema
    evaluator = schema.evaluator(Frame(cells))
    X = build_matrix(schema.fixed, matrix_values((schema.fixed,), evaluator), m)
    X = np.hstack([X, curve_columns(design, evaluator, m)])
    offset = offset_numbers(schema.offsets, evaluator)
    if schema.offset_column is not None:
        own = cells[schema.offset_column].to_numpy(dtype=float)
        offset = own if offset is None else offset + own
    if schema.offset_array and design.offset is not None:
        # an array has no place in the grid: what is left of the offset counts with its mean
        rest = float(np.mean(design.offset)) - (0.0 if offset is None else float(offset.mean()))
        offset = np.full(m, rest) if offset is None else offset + rest
    return X, offset


def _mean_offset(
    design: Design, terms: tuple[frozenset[str], ...], given: Mapping[str, Any]
) -> float | None:
    """Mean of the offsets over the rows, as emmeans has it of lme4's fits.

    None where nothing of the formula is in them, where their variables are predictors too, where
    the user gives their values, and for sums, which do not have it.
    """
    own = {name for v in design.schema.offsets for name in variables_in(v.node)}
    if design.sums is not None or not own or own & frozenset(given).union(*terms):
        return None
    return None if design.offset is None else float(np.mean(design.offset))


def _cell_weights(
    table: PredictorTable,
    factors: Mapping[str, Sequence[Any]],
    levels: Mapping[str, Sequence[Any]],
    codes: np.ndarray,
) -> FloatArray:
    """Rows of the data in each combination of the factors' levels."""
    if not factors:
        return np.ones(len(codes))
    n = vector_length(table.columns[next(iter(factors))])
    rows, inside = np.zeros(n, dtype=np.int64), np.ones(n, dtype=bool)
    cells = np.zeros(len(codes), dtype=np.int64)
    for j, name in enumerate(levels):
        if name not in factors:
            continue
        own = row_positions(table.columns[name], factors[name])
        inside &= own >= 0
        rows = rows * len(factors[name]) + own
        cells = cells * len(factors[name]) + codes[:, j]
    counts = table.count(rows, int(cells.max()) + 1, inside)
    return np.asarray(counts[cells], dtype=float)


def _term_variables(design: Design) -> tuple[frozenset[str], ...]:
    terms = design.schema.fixed.terms
    return tuple(
        frozenset(n for v in term for n in variables_in(terms.variables[v].node))
        for term in terms.terms
    )


def _null_basis(design: Design, columns: Mapping[str, Vector]) -> FloatArray:
    """Null space of X's rows: from each dropped column's expression by the others."""
    schema = design.schema
    size = len(schema.fixed.names)
    dropped = [j for j in range(size) if j not in set(schema.kept)]
    null = np.zeros((size, len(dropped)))
    if not dropped:
        return null
    if design.sums is not None:
        X = all_fixed_columns(design.sums)
    else:
        rows = pd.DataFrame({name: as_column(value) for name, value in columns.items()})
        evaluator = schema.evaluator(Frame(rows))
        X = build_matrix(schema.fixed, matrix_values((schema.fixed,), evaluator), design.n)
    solution = np.linalg.lstsq(X[:, list(schema.kept)], X[:, dropped], rcond=None)[0]
    null[list(schema.kept)] = -solution
    null[dropped, range(len(dropped))] = 1.0
    basis: FloatArray = np.linalg.qr(null)[0]
    return basis
