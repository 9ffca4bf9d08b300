"""`build_design`: a formula and data to the matrices of a mixed model.

Everything the numerics need is in `Design`: y, X, and for each random-effects term an (n, k)
matrix and the codes of its grouping factor. Z is never built (see `zmatrix` for an export).
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from nestedmlm.checks import (
    check_effects,
    check_finite,
    check_levels,
    check_response,
    check_weights,
    response_numbers,
)
from nestedmlm.environment import Environment
from nestedmlm.errors import DataError, FormulaError, NewLevelsError, OptionError
from nestedmlm.evaluate import Evaluator
from nestedmlm.formula.bars import Bar
from nestedmlm.formula.model import Formula, parse_formula
from nestedmlm.formula.terms import Terms
from nestedmlm.frames import Frame
from nestedmlm.grouping import GroupingFactor, GroupSpec, group_codes, learn_group, unseen_labels
from nestedmlm.modelmatrix import MatrixSpec, build_matrix, learn_matrix
from nestedmlm.qr import kept_columns
from nestedmlm.schema import (
    Schema,
    argument_numbers,
    group_values,
    matrix_values,
    offset_numbers,
    predictor_variables,
)
from nestedmlm.values import Factor, Vector, drop_unused, missing_rows, take_rows

FloatArray = npt.NDArray[np.float64]
NA_ACTIONS = ("omit", "exclude", "raise")
NEW_LEVELS = ("error", "population")
_log = logging.getLogger("nestedmlm")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ReTerm:
    """One random-effects term: one covariance block on one grouping factor.

    Attributes
    ----------
    factor : int
        Index into `Design.factors`.
    columns : tuple of str
        R's names of the columns.
    X : ndarray, shape (n, k)
    structure : str
        ``us``, ``diag``, ``cs`` or ``ar1``.
    hom : bool
        Whether all SDs of the block are equal.
    name : str
        As in VarCorr, unique: ``classid``, ``classid.1``.
    text : str
        ``"ses | schoolid"``.
    """

    factor: int
    columns: tuple[str, ...]
    X: FloatArray
    structure: str
    hom: bool
    name: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class NewDesign:
    """The matrices of new data.

    Attributes
    ----------
    X : ndarray, shape (m, p)
    offset : ndarray, shape (m,), or None
    terms : tuple of (ndarray (m, k), ndarray of int32 (m,))
        For each term its matrix and the codes of its levels; -1 is an unseen level.
    index : pandas.Index
    """

    X: FloatArray
    offset: FloatArray | None
    terms: tuple[tuple[FloatArray, npt.NDArray[np.int32]], ...]
    index: pd.Index


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Design:
    """A mixed model's data: frozen, picklable, its arrays read-only.

    Attributes
    ----------
    formula : Formula
    schema : Schema
        What was learned; used by `new`.
    y : ndarray, shape (n,)
    X : ndarray, shape (n, p)
        Full column rank.
    x_names, x_assign, x_terms : tuple
        R's column names, the term number of each column (0 is the intercept), term labels.
    dropped : tuple of str
        Columns dropped because X was rank deficient.
    offset, weights : ndarray, shape (n,), or None
    factors : tuple of GroupingFactor
        lme4's order.
    terms : tuple of ReTerm
        lme4's order.
    index, full_index : pandas.Index
        Labels of the rows used, and of all rows.
    kept : ndarray of bool
        Which of all rows are used.
    na_action : str
    messages : tuple of str
    """

    formula: Formula
    schema: Schema
    y: FloatArray
    X: FloatArray
    x_names: tuple[str, ...]
    x_assign: tuple[int, ...]
    x_terms: tuple[str, ...]
    dropped: tuple[str, ...]
    offset: FloatArray | None
    weights: FloatArray | None
    factors: tuple[GroupingFactor, ...]
    terms: tuple[ReTerm, ...]
    index: pd.Index
    full_index: pd.Index
    kept: npt.NDArray[np.bool_]
    na_action: str
    messages: tuple[str, ...]

    @property
    def n(self) -> int:
        """Number of rows used."""
        return self.y.shape[0]

    @property
    def p(self) -> int:
        """Number of fixed-effect columns."""
        return self.X.shape[1]

    def align(self, values: Any) -> pd.Series:
        """Put per-row values onto the caller's index.

        Parameters
        ----------
        values : array, shape (n,)

        Returns
        -------
        Series
            On the rows used; with ``na_action="exclude"`` on all rows, NaN where one was left out.
        """
        values = np.asarray(values)
        if self.na_action != "exclude" or self.kept.all():
            return pd.Series(values, index=self.index)
        padded = np.full(self.kept.size, np.nan)
        padded[self.kept] = values
        return pd.Series(padded, index=self.full_index)

    def new(self, data: Any, *, new_levels: str = "error") -> NewDesign:
        """Make the same columns of other data, with everything learned at the fit.

        Parameters
        ----------
        data : table
            The response need not be there. Missing values give missing rows.
        new_levels : {"error", "population"}
            What to do with groups that were not there (or are missing): refuse, or code -1.

        Returns
        -------
        NewDesign

        Raises
        ------
        NewLevelsError
            For unseen levels of a fixed factor, or of a grouping factor unless "population".
        """
        return _new_design(self.schema, data, new_levels)


def _new_design(schema: Schema, data: Any, new_levels: str) -> NewDesign:
    if new_levels not in NEW_LEVELS:
        raise OptionError(f"new_levels={new_levels!r} is unknown; known: {', '.join(NEW_LEVELS)}")
    frame = Frame(data)
    evaluator = schema.evaluator(frame)
    values = matrix_values((schema.fixed, *schema.bars), evaluator)
    X = build_matrix(schema.fixed, values, frame.n)
    if len(schema.kept) < X.shape[1]:
        X = X[:, list(schema.kept)]
    groups = group_values(schema.groups, schema.formula, evaluator)
    codes = [group_codes(group, groups) for group in schema.groups]
    if new_levels == "error":
        for group, found in zip(schema.groups, codes, strict=True):
            if (found < 0).any():
                labels = unseen_labels(group, found, groups)
                raise NewLevelsError(
                    f"{group.name} has groups that were not there when the model was fitted: "
                    f"{', '.join(labels[:10])}; new_levels='population' predicts for them with "
                    "random effects of 0"
                )
    matrices = [build_matrix(spec, values, frame.n) for spec in schema.bars]
    terms = zip(matrices, (codes[f] for f in schema.factor_of), strict=True)
    offset = _new_offset(schema, frame, evaluator)
    return NewDesign(X=X, offset=offset, terms=tuple(terms), index=frame.index)


def _new_offset(schema: Schema, frame: Frame, evaluator: Evaluator) -> FloatArray | None:
    if schema.offset_array:
        raise DataError(
            "the model was fitted with an offset array, which new data do not have; "
            "give the offset as a column name or as offset() in the formula"
        )
    offset = offset_numbers(schema.offsets, evaluator)
    if schema.offset_column is None:
        return offset
    given = argument_numbers(schema.offset_column, frame, evaluator, "offset")
    return given if offset is None else offset + given


@dataclass(frozen=True, slots=True, eq=False)
class _Rows:
    """Values of all variables, and which rows are complete."""

    values: dict[str, Vector]
    y: FloatArray
    offset: FloatArray | None
    kept: npt.NDArray[np.bool_]
    complete: bool


def build_design(
    formula: str | Formula,
    data: Any,
    *,
    weights: Any = None,
    offset: Any = None,
    contrasts: Mapping[str, Any] | None = None,
    na_action: str = "omit",
    double_bar: str = "split",
    env: Mapping[str, Any] | None = None,
    require_random: bool = True,
    check: bool = True,
) -> Design:
    """Make the design of a mixed model.

    Parameters
    ----------
    formula : str or Formula
    data : DataFrame, mapping of arrays, or anything narwhals can read
        Never changed.
    weights, offset : str or array, optional
        A column name, or one number per row.
    contrasts : mapping of str to contrasts, optional
        For factors of the fixed part: ``{"cond": "sum"}``, or a matrix.
    na_action : {"omit", "exclude", "raise"}
        What to do with rows that have missing values.
    double_bar : {"split", "diag"}
        What ``||`` means (see `parse_formula`).
    env : mapping, optional
        The caller's variables, for names that are no columns.
    require_random : bool
        Whether a formula without random-effects terms is refused.
    check : bool
        Whether lme4's checks of grouping factors and numbers of effects are made.

    Returns
    -------
    Design

    Raises
    ------
    FormulaError, DataError, ColumnNotFoundError, ResponseError, GroupingError, WeightsError, OptionError
    """
    if na_action not in NA_ACTIONS:
        raise OptionError(f"na_action={na_action!r} is unknown; known: {', '.join(NA_ACTIONS)}")
    if isinstance(formula, str) or formula.double_bar != double_bar:
        text = formula if isinstance(formula, str) else formula.text
        formula = parse_formula(text, double_bar=double_bar)
    if require_random and not formula.bars:
        raise FormulaError(
            "no random-effects terms in the formula; add one, for example (1 | group)", formula.text
        )
    frame = Frame(data)
    if frame.n == 0:
        raise DataError("the data are empty (0 rows)")
    fixed = formula.fixed_terms(frame.column_names if formula.has_dot else ())
    known = Environment(env or {}).restricted(formula.names)
    evaluator = Evaluator(frame, known, {}, learning=True, text=formula.text)
    rows = _read_rows(formula, fixed, evaluator, offset, na_action)
    n = rows.y.size
    check_response(rows.y, formula.response_text)
    used_weights = _weights(weights, frame, evaluator, rows.kept)

    _check_contrasts(contrasts, fixed, rows.values)
    spec = learn_matrix(fixed, rows.values, contrasts)
    full = build_matrix(spec, rows.values, n)
    check_finite(full, spec.names)
    kept = kept_columns(full)
    X = full if kept.size == full.shape[1] else np.ascontiguousarray(full[:, kept])
    dropped = tuple(name for j, name in enumerate(spec.names) if j not in set(kept.tolist()))
    messages = _rank_message(dropped)
    shared = None if contrasts or dropped else (spec, X)
    blocks = _blocks(formula, rows.values, n, shared)
    if require_random and not blocks:
        raise FormulaError("the random-effects terms have no columns", formula.text)
    blocks = _lme4_order(blocks)
    groups, factors, factor_of = _unique_factors(blocks)
    terms = _terms(blocks, factor_of)
    if check:
        check_levels(factors, n)
        check_effects(terms, factors, n)
    schema = Schema(
        formula=formula,
        fixed=spec,
        kept=tuple(kept.tolist()),
        bars=tuple(block.spec for block in blocks),
        groups=groups,
        factor_of=factor_of,
        offsets=(*fixed.offsets, *formula.offsets),
        offset_column=offset if isinstance(offset, str) else None,
        offset_array=offset is not None and not isinstance(offset, str),
        states=evaluator.states,
        env=known,
    )
    return Design(
        formula=formula,
        schema=schema,
        y=_frozen(rows.y),
        X=_frozen(X),
        x_names=tuple(spec.names[j] for j in kept),
        x_assign=tuple(spec.assign[j] for j in kept),
        x_terms=fixed.labels,
        dropped=dropped,
        offset=None if rows.offset is None else _frozen(rows.offset),
        weights=None if used_weights is None else _frozen(used_weights),
        factors=factors,
        terms=terms,
        index=frame.index if rows.complete else frame.index[rows.kept],
        full_index=frame.index,
        kept=_frozen(rows.kept),
        na_action=na_action,
        messages=messages,
    )


def _frozen(array: Any) -> Any:
    array.flags.writeable = False
    return array


def _read_rows(
    formula: Formula, fixed: Terms, evaluator: Evaluator, offset: Any, na_action: str
) -> _Rows:
    """Evaluate everything on all rows, then leave out the incomplete ones."""
    frame = evaluator.frame
    y = response_numbers(evaluator.vector(formula.response), formula.response_text)
    values: dict[str, Vector] = {}
    for terms in (fixed, *(bar.terms for bar in formula.bars)):
        for variable in predictor_variables(terms):
            if variable.name not in values:
                values[variable.name] = evaluator.vector(variable.node)
    for bar in formula.bars:
        for part in bar.parts:
            if part.name not in values:
                values[part.name] = evaluator.vector(part.node)
    total = offset_numbers((*fixed.offsets, *formula.offsets), evaluator)
    if offset is not None:
        given = argument_numbers(offset, frame, evaluator, "offset")
        total = given if total is None else total + given
    everything: dict[str, Vector] = {formula.response_text: y, **values}
    for variable in (*fixed.mentioned, *(v for bar in formula.bars for v in bar.terms.mentioned)):
        everything.setdefault(variable.name, evaluator.vector(variable.node))
    if total is not None:
        everything["offset"] = total
    masks = {name: mask for name, v in everything.items() if (mask := missing_rows(v)) is not None}
    if not masks:
        complete = np.ones(frame.n, dtype=bool)
        return _Rows({k: _trim(v) for k, v in values.items()}, y, total, complete, True)
    kept = ~np.logical_or.reduce(list(masks.values()))
    if na_action == "raise":
        counts = ", ".join(f"{name} ({int(mask.sum())})" for name, mask in masks.items())
        raise DataError(f"missing values in {counts}; na_action='omit' leaves those rows out")
    if not kept.any():
        names = ", ".join(name for name, mask in masks.items() if mask.all())
        hint = f": {names} has no value at all" if names else ": every row has a missing value"
        raise DataError(f"0 (non-NA) cases{hint}")
    trimmed = {name: _trim(take_rows(value, kept)) for name, value in values.items()}
    return _Rows(trimmed, y[kept], None if total is None else total[kept], kept, False)


def _trim(value: Vector) -> Vector:
    """Drop unused levels, except of logicals (R keeps both)."""
    if isinstance(value, Factor) and value.kind != "logical":
        return drop_unused(value)
    return value


def _weights(
    weights: Any, frame: Frame, evaluator: Evaluator, kept: npt.NDArray[np.bool_]
) -> FloatArray | None:
    if weights is None:
        return None
    used = argument_numbers(weights, frame, evaluator, "weights")[kept]
    check_weights(used)
    return used


def _check_contrasts(
    contrasts: Mapping[str, Any] | None, fixed: Terms, values: Mapping[str, Vector]
) -> None:
    factors = [v.name for v in fixed.variables if isinstance(values.get(v.name), Factor)]
    for name in contrasts or {}:
        if name not in factors:
            known = ", ".join(factors) or "none"
            raise OptionError(f"contrasts for {name!r}, but the factors of the model are: {known}")


def _rank_message(dropped: tuple[str, ...]) -> tuple[str, ...]:
    if not dropped:
        return ()
    plural = "column / coefficient" if len(dropped) == 1 else "columns / coefficients"
    message = (
        f"fixed-effect model matrix is rank deficient so dropping {len(dropped)} {plural}"
    )
    _log.warning(message)
    return (message,)


@dataclass(frozen=True, slots=True, eq=False)
class _Block:
    bar: Bar
    spec: MatrixSpec
    X: FloatArray
    group: GroupSpec
    factor: GroupingFactor


def _same_matrix(a: Terms, b: Terms) -> bool:
    return (a.intercept, a.labels) == (b.intercept, b.labels)


def _blocks(
    formula: Formula,
    values: Mapping[str, Vector],
    n: int,
    shared: tuple[MatrixSpec, FloatArray] | None,
) -> list[_Block]:
    """Make the terms in formula order; equal matrices and equal factors are made once."""
    matrices = [] if shared is None else [shared]
    made: dict[str, tuple[GroupSpec, GroupingFactor]] = {}
    blocks = []
    for bar in formula.bars:
        found = next((m for m in matrices if _same_matrix(m[0].terms, bar.terms)), None)
        if found is None:
            spec = learn_matrix(bar.terms, values)
            X = build_matrix(spec, values, n)
            check_finite(X, spec.names)
            matrices.append(found := (spec, _frozen(X)))
        if not found[0].names:  # (0 | g): nothing to estimate, as in lme4
            continue
        if bar.group_text not in made:
            made[bar.group_text] = learn_group(bar, values)
        blocks.append(_Block(bar, *found, *made[bar.group_text]))
    return blocks


def _lme4_order(blocks: list[_Block]) -> list[_Block]:
    """Reorder as lme4: only if some term has more levels than the one before it."""
    sizes = [block.factor.levels.size for block in blocks]
    if all(later <= earlier for earlier, later in zip(sizes, sizes[1:], strict=False)):
        return blocks
    return [blocks[i] for i in sorted(range(len(blocks)), key=sizes.__getitem__)[::-1]]


def _unique_factors(
    blocks: list[_Block],
) -> tuple[tuple[GroupSpec, ...], tuple[GroupingFactor, ...], tuple[int, ...]]:
    names = list(dict.fromkeys(block.factor.name for block in blocks))
    first = {block.factor.name: block for block in reversed(blocks)}
    groups = tuple(first[name].group for name in names)
    factors = tuple(first[name].factor for name in names)
    return groups, factors, tuple(names.index(block.factor.name) for block in blocks)


def _terms(blocks: list[_Block], factor_of: tuple[int, ...]) -> tuple[ReTerm, ...]:
    taken: dict[str, int] = {}
    terms = []
    for block, factor in zip(blocks, factor_of, strict=True):
        name = block.factor.name
        count = taken.get(name, 0)
        taken[name] = count + 1
        terms.append(
            ReTerm(
                factor=factor,
                columns=block.spec.names,
                X=block.X,
                structure=block.bar.structure,
                hom=block.bar.hom,
                name=f"{name}.{count}" if count else name,
                text=block.bar.text,
            )
        )
    return tuple(terms)
