"""R's `model.matrix`: terms and values to columns, learned once and made again for new data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from nestedmlm._typing import FloatArray
from nestedmlm.design.frame.values import Factor, Integers, Matrix, Vector, as_factor, level_label
from nestedmlm.design.matrices.contrast_coding import contrast_matrix
from nestedmlm.errors import DataError, MemoryLimitError, NewLevelsError
from nestedmlm.formula.terms import Terms


@dataclass(frozen=True, slots=True, eq=False)
class Coding:
    """Coding of one variable: how it becomes columns.

    Attributes
    ----------
    suffixes : tuple of str
        Of the columns when coded by contrasts (or of the columns of a numeric variable).
    levels : ndarray of object or None
        Of a factor; None for numbers.
    labels : tuple of str
        The levels as text, suffixes of the columns when all indicators are used.
    contrasts : ndarray, shape (J, J - 1), or None
    """

    suffixes: tuple[str, ...]
    levels: npt.NDArray[np.object_] | None = None
    labels: tuple[str, ...] = ()
    contrasts: FloatArray | None = None

    def names(self, full: bool) -> tuple[str, ...]:
        """Suffixes of the columns."""
        return self.labels if full and self.levels is not None else self.suffixes


@dataclass(frozen=True, slots=True, eq=False)
class MatrixSpec:
    """One model matrix: what is needed to make it from the values of its variables.

    Attributes
    ----------
    terms : Terms
    codings : tuple of Coding
        For each variable of `terms`.
    full : tuple of tuple of bool
        For each term and each of its variables: all indicators instead of contrasts.
    names : tuple of str
        R's column names.
    assign : tuple of int
        The term of each column; 0 is the intercept.
    """

    terms: Terms
    codings: tuple[Coding, ...]
    full: tuple[tuple[bool, ...], ...]
    names: tuple[str, ...]
    assign: tuple[int, ...]


_NUMBER = Coding(("",))


def _code_factor(factor: Factor, name: str, override: Any, contrasts_needed: bool) -> Coding:
    labels = factor.labels
    if factor.kind == "other":
        raise DataError(
            f"{name} is neither numeric nor categorical (dates or mixed objects), so it cannot be "
            "a predictor; convert it first (it can be a grouping factor)"
        )
    if not contrasts_needed:
        return Coding((), factor.levels, labels)
    default = "poly" if factor.ordered else "treatment"
    asked = factor.contrast if override is None else override
    matrix, suffixes = contrast_matrix(
        default if asked is None else asked, labels, list(factor.levels), name
    )
    return Coding(suffixes, factor.levels, labels, matrix)


def _code(value: Vector, name: str, override: Any, contrasts_needed: bool) -> Coding:
    if isinstance(value, Factor):
        return _code_factor(value, name, override, contrasts_needed)
    if isinstance(value, Matrix):
        width = value.values.shape[1]
        if width == 1:
            return _NUMBER
        return Coding(value.names or tuple(str(j + 1) for j in range(width)))
    if isinstance(value, Integers):
        return _NUMBER
    if value.dtype.kind not in "iufb":
        raise DataError(f"{name} has the type {value.dtype}, which cannot be a predictor")
    return _NUMBER


def coding_pattern(terms: Terms, is_factor: list[bool]) -> tuple[tuple[bool, ...], ...]:
    """Full or contrasts: R's rule, and without an intercept the first factor met is full."""
    full = [[not contrast for contrast in term] for term in terms.contrast]
    if not terms.intercept:
        for number, term in enumerate(terms.terms):
            first = next((j for j, v in enumerate(term) if is_factor[v]), None)
            if first is not None:
                full[number][first] = True
                break
    return tuple(map(tuple, full))


def learn_matrix(
    terms: Terms, values: Mapping[str, Vector], contrasts: Mapping[str, Any] | None = None
) -> MatrixSpec:
    """Learn levels, contrasts and names from the values of the variables.

    Parameters
    ----------
    terms : Terms
    values : mapping of str to Vector
        The variables by R's text.
    contrasts : mapping, optional
        Contrasts for some factors, over their own.

    Returns
    -------
    MatrixSpec
    """
    given = contrasts or {}
    found = [values.get(v.name) for v in terms.variables]
    full = coding_pattern(terms, [isinstance(value, Factor) for value in found])
    needs = {v for term, row in zip(terms.terms, full, strict=True)
             for v, is_full in zip(term, row, strict=True) if not is_full}  # fmt: skip
    used = {v for term in terms.terms for v in term}
    codings = []
    for number, (variable, value) in enumerate(zip(terms.variables, found, strict=True)):
        if value is None or number not in used:
            codings.append(_NUMBER)
        else:
            asked = given.get(variable.name)
            codings.append(_code(value, variable.name, asked, number in needs))
    names: list[str] = ["(Intercept)"] if terms.intercept else []
    assign = [0] * len(names)
    for number, (term, row) in enumerate(zip(terms.terms, full, strict=True), start=1):
        columns = _term_names(terms, codings, term, row)
        names += columns
        assign += [number] * len(columns)
    return MatrixSpec(terms, tuple(codings), full, tuple(names), tuple(assign))


def _term_names(
    terms: Terms, codings: list[Coding], term: tuple[int, ...], row: tuple[bool, ...]
) -> list[str]:
    names = [""]
    for position, (variable, full) in enumerate(zip(term, row, strict=True)):
        own = [terms.variables[variable].name + s for s in codings[variable].names(full)]
        names = own if position == 0 else [f"{a}:{b}" for b in own for a in names]
    return names


def build_matrix(spec: MatrixSpec, values: Mapping[str, Vector], n: int) -> FloatArray:
    """Make the model matrix.

    Parameters
    ----------
    spec : MatrixSpec
    values : mapping of str to Vector
        The variables by R's text; factors may have other levels than those learned.
    n : int
        Number of rows.

    Returns
    -------
    ndarray, shape (n, p), C order

    Raises
    ------
    NewLevelsError
        If a factor has levels that were not there at the fit.
    """
    try:
        X = np.empty((n, len(spec.names)))
    except MemoryError:
        raise MemoryLimitError(
            f"a model matrix of {n} rows and {len(spec.names)} columns does not fit in memory"
        ) from None
    column = 0
    if spec.terms.intercept:
        X[:, 0] = 1.0
        column = 1
    for term, row in zip(spec.terms.terms, spec.full, strict=True):
        if len(term) == 1 and spec.codings[term[0]] is _NUMBER:
            X[:, column] = _numbers(values[spec.terms.variables[term[0]].name],
                                    spec.terms.variables[term[0]].name)  # fmt: skip
            column += 1
            continue
        block: FloatArray | None = None
        for variable, full in zip(term, row, strict=True):
            name = spec.terms.variables[variable].name
            own = _columns(values[name], spec.codings[variable], full, name)
            block = own if block is None else _row_products(block, own)
        assert block is not None
        X[:, column : column + block.shape[1]] = block
        column += block.shape[1]
    return X


def _row_products(fast: FloatArray, slow: FloatArray) -> FloatArray:
    """Multiply every pair of columns; those of `fast` vary fastest, as in R."""
    with np.errstate(over="ignore", invalid="ignore"):  # infinite values are refused by name
        product = slow[:, :, None] * fast[:, None, :]
    return product.reshape(len(fast), fast.shape[1] * slow.shape[1])


def _numbers(value: Vector, name: str) -> Any:
    if isinstance(value, Factor):
        raise DataError(f"{name} was numeric at the fit and is categorical now")
    if isinstance(value, Integers):
        return value.numbers()
    return value.values[:, 0] if isinstance(value, Matrix) else value


def _columns(value: Vector, coding: Coding, full: bool, name: str) -> FloatArray:
    if coding.levels is None:
        numbers = _numbers(value, name) if coding is _NUMBER else value
        if isinstance(numbers, Factor):
            raise DataError(f"{name} was numeric at the fit and is categorical now")
        if isinstance(numbers, Matrix):
            return numbers.values
        return np.asarray(numbers, dtype=np.float64)[:, None]
    value = as_factor(value, name=name)  # text at the fit, numbers now: they match as text
    codes = match_levels(value, coding.levels, coding.labels, name)
    table = np.eye(len(coding.labels)) if full else coding.contrasts
    assert table is not None
    padded = np.vstack([table, np.full(table.shape[1], np.nan)])  # code -1: missing
    return np.asarray(padded[codes])


def match_levels(
    factor: Factor, levels: npt.NDArray[np.object_], labels: tuple[str, ...], name: str
) -> npt.NDArray[Any]:
    """Recode a factor onto the levels learned at the fit.

    Raises
    ------
    NewLevelsError
        If a row has another level.
    """
    if factor.levels is levels:
        return factor.codes
    table = level_table(factor.levels, levels)
    codes: npt.NDArray[Any] = table[factor.codes]
    unseen = np.unique(factor.codes[(codes < 0) & (factor.codes >= 0)])
    if unseen.size:
        new = ", ".join(factor.labels[j] for j in unseen[:10])
        raise NewLevelsError(
            f"{name} has levels that were not there when the model was fitted: {new}; "
            f"known: {', '.join(labels[:20])}"
        )
    return codes


def level_table(found: npt.NDArray[np.object_], known: npt.NDArray[np.object_]) -> Any:
    """Return for each of `found` its position in `known` (-1: none), and a last -1 for missing.

    What is not equal may still read the same (308 and "308"), as all levels are text in R.
    """
    position = {level: j for j, level in enumerate(known)}
    places = [position.get(level, -1) for level in found]
    if -1 in places:
        by_label = {level_label(level): j for j, level in enumerate(known)}
        places = [
            by_label.get(level_label(level), -1) if place < 0 else place
            for place, level in zip(places, found, strict=True)
        ]
    return np.array([*places, -1], dtype=np.int32)
