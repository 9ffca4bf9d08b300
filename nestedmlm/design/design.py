"""`build_design`: a formula and data to the matrices of a mixed model.

Everything the numerics need is in `Design`: y, X, and for each random-effects term an (n, k)
matrix and the codes of its grouping factor. Z is never built (see `zmatrix` for an export).
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from nestedmlm.design.frame.checks import (
    check_effects,
    check_finite,
    check_levels,
    check_response,
    check_weights,
)
from nestedmlm.design.frame.environment import Environment
from nestedmlm.design.frame.evaluate import Evaluator
from nestedmlm.design.frame.frames import Frame
from nestedmlm.design.frame.rows import read_rows
from nestedmlm.design.frame.values import Factor, Vector
from nestedmlm.design.matrices.grouping import GroupingFactor
from nestedmlm.design.matrices.modelmatrix import build_matrix, learn_matrix
from nestedmlm.design.matrices.newdesign import NewDesign, make_new_design
from nestedmlm.design.matrices.qr import kept_columns
from nestedmlm.design.matrices.reterms import (
    ReTerm,
    frozen,
    lme4_order,
    make_blocks,
    make_terms,
    unique_factors,
)
from nestedmlm.design.schema import Schema, argument_numbers
from nestedmlm.errors import DataError, FormulaError, OptionError, WeightsError
from nestedmlm.formula.formula import Formula, parse_formula
from nestedmlm.formula.terms import Terms

__all__ = ["Design", "GroupingFactor", "NewDesign", "ReTerm", "build_design"]

FloatArray = npt.NDArray[np.float64]
_log = logging.getLogger("nestedmlm")


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

    Examples
    --------
    >>> import nestedmlm as nm
    >>> data = nm.load_dataset("sleepstudy")
    >>> design = nm.build_design("Reaction ~ Days + (Days | Subject)", data)
    >>> design.X.shape, design.terms[0].columns
    ((180, 2), ('(Intercept)', 'Days'))
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
        return len(self.y)

    @property
    def p(self) -> int:
        """Number of fixed-effect columns."""
        return int(self.X.shape[1])

    def align(self, values: Any) -> pd.Series:
        """Put per-row values onto the caller's index.

        Parameters
        ----------
        values : array, shape (n,)

        Returns
        -------
        Series
            On the rows used; with ``na_action="exclude"`` on all rows, NaN where one was left out.

        Examples
        --------
        >>> import nestedmlm as nm
        >>> data = nm.load_dataset("sleepstudy")
        >>> design = nm.build_design("Reaction ~ Days + (Days | Subject)", data)
        >>> design.align(design.y).head(2).round(2).tolist()
        [249.56, 258.7]
        """
        values = np.asarray(values)
        if self.na_action != "exclude" or self.kept.all():
            return pd.Series(values, index=self.index)
        padded = np.full(self.kept.size, np.nan)
        padded[self.kept] = values
        return pd.Series(padded, index=self.full_index)

    def new(
        self,
        data: Any,
        *,
        new_levels: str = "error",
        matrices: Collection[int] | None = None,
        groups: Collection[int] | None = None,
        offset: Any = None,
        fixed: bool = True,
    ) -> NewDesign:
        """Make the same columns of other data, with everything learned at the fit.

        Parameters
        ----------
        data : table
            The response need not be there. Missing values give missing rows.
        new_levels : {"error", "population"}
            What to do with groups that were not there (or are missing): refuse, or code -1.
        matrices, groups : collections of int, optional
            Numbers of the terms whose matrix, or whose levels, are wanted (default: all); the
            columns of the others need not be there, their matrix is zero and their codes -1.
        offset : str or array, optional
            A column name or one number per row, in place of the argument ``offset`` of the fit.
        fixed : bool
            False: leave out the fixed effects and offsets (X is zero).

        Returns
        -------
        NewDesign

        Raises
        ------
        NewLevelsError
            For unseen levels of a fixed factor, or of a grouping factor unless "population".
        DataError
            If the model was fitted with an offset array and `offset` is not given.

        Examples
        --------
        >>> import nestedmlm as nm
        >>> data = nm.load_dataset("sleepstudy")
        >>> design = nm.build_design("Reaction ~ Days + (Days | Subject)", data)
        >>> new = design.new({"Days": [3, 4], "Subject": ["308", "309"]})
        >>> new.X
        array([[1., 3.],
               [1., 4.]])
        """
        return make_new_design(
            self.schema,
            data,
            new_levels,
            matrices=matrices,
            groups=groups,
            offset=offset,
            fixed=fixed,
        )


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
    FormulaError, DataError, ColumnNotFoundError, ResponseError, GroupingError, WeightsError,
    OptionError

    Examples
    --------
    >>> import nestedmlm as nm
    >>> data = nm.load_dataset("sleepstudy")
    >>> design = nm.build_design("Reaction ~ Days + (Days | Subject)", data)
    >>> design.n, design.p, design.x_names
    (180, 2, ('(Intercept)', 'Days'))
    >>> [(f.name, len(f.levels)) for f in design.factors]
    [('Subject', 18)]
    """
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
    evaluator = Evaluator(frame, Environment(env or {}), {}, learning=True, text=formula.text)
    rows = read_rows(formula, fixed, evaluator, offset=offset, na_action=na_action)
    n = rows.y.size
    check_response(rows.y, formula.response_text)
    if rows.offset is not None:
        check_finite(rows.offset[:, None], ["the offset"])
    used_weights = _weights(weights, evaluator, rows.kept)

    _check_contrasts(contrasts, fixed, rows.values)
    spec = learn_matrix(fixed, rows.values, contrasts)
    full = build_matrix(spec, rows.values, n)
    check_finite(full, spec.names)
    kept = kept_columns(full)
    X = full if kept.size == full.shape[1] else np.ascontiguousarray(full[:, kept])
    gone = set(range(full.shape[1])).difference(kept.tolist())
    dropped = tuple(spec.names[j] for j in sorted(gone))
    messages = _rank_message(dropped)
    shared = None if contrasts or dropped else (spec, X)
    blocks = make_blocks(formula, rows.values, n, shared)
    if require_random and not blocks:
        raise FormulaError("the random-effects terms have no columns", formula.text)
    blocks = lme4_order(blocks)
    groups, factors, factor_of = unique_factors(blocks)
    terms = make_terms(blocks, factor_of)
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
        env=evaluator.env.restricted(evaluator.used),
    )
    return Design(
        formula=formula,
        schema=schema,
        y=frozen(rows.y),
        X=frozen(X),
        x_names=tuple(spec.names[j] for j in kept),
        x_assign=tuple(spec.assign[j] for j in kept),
        x_terms=fixed.labels,
        dropped=dropped,
        offset=None if rows.offset is None else frozen(rows.offset),
        weights=None if used_weights is None else frozen(used_weights),
        factors=factors,
        terms=terms,
        index=frame.index if rows.complete else frame.index[rows.kept],
        full_index=frame.index,
        kept=frozen(rows.kept),
        na_action=na_action,
        messages=messages,
    )


def _weights(weights: Any, evaluator: Evaluator, kept: npt.NDArray[np.bool_]) -> FloatArray | None:
    if weights is None:
        return None
    used = argument_numbers(weights, evaluator, "weights", error=WeightsError)[kept]
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
    message = f"fixed-effect model matrix is rank deficient so dropping {len(dropped)} {plural}"
    _log.warning(message)
    return (message,)
