"""`Column`: one column of a model matrix as a product of columns of its variables.

Two columns that are the same product are equal, whichever term or part of a formula they stand in.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from nestedmlm._typing import FloatArray
from nestedmlm.design.frame.values import Factor, Integers, Matrix, Vector, as_factor
from nestedmlm.design.matrices.modelmatrix import Coding, MatrixSpec, match_levels
from nestedmlm.errors import DataError

Reader = Callable[[slice, FloatArray], None]


@dataclass(frozen=True, slots=True, order=True)
class Part:
    """A column of one variable.

    Attributes
    ----------
    variable : str
        R's text.
    column : int
        Which of the columns of a numeric variable; -1 for a factor.
    values : tuple of float
        For each level of a factor.
    """

    variable: str
    column: int
    values: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Column:
    """A product of columns of variables; of none: the intercept.

    Attributes
    ----------
    parts : tuple of Part
        In one order, whatever the formula's.
    """

    parts: tuple[Part, ...] = ()


def columns_of(spec: MatrixSpec) -> tuple[Column, ...]:
    """The columns of a model matrix, in its order.

    Parameters
    ----------
    spec : MatrixSpec

    Returns
    -------
    tuple of Column
    """
    out: list[tuple[Part, ...]] = [()] if spec.terms.intercept else []
    for term, row in zip(spec.terms.terms, spec.full, strict=True):
        block: list[tuple[Part, ...]] = [()]
        for variable, full in zip(term, row, strict=True):
            own = _parts(spec.terms.variables[variable].name, spec.codings[variable], full)
            block = [(*fast, slow) for slow in own for fast in block]
        out += block
    return tuple(Column(tuple(sorted(parts))) for parts in out)


def _parts(name: str, coding: Coding, full: bool) -> list[Part]:
    if coding.levels is None:
        return [Part(name, j) for j in range(len(coding.suffixes))]
    table = np.eye(len(coding.labels)) if full else coding.contrasts
    assert table is not None
    return [Part(name, -1, tuple(column)) for column in table.T.tolist()]


def column_readers(
    columns: Sequence[Column], values: Mapping[str, Vector], known: Mapping[str, Vector]
) -> list[Reader]:
    """Functions that write some rows of each column.

    Parameters
    ----------
    columns : sequence of Column
    values : mapping of str to Vector
        The variables, without missing rows.
    known : mapping of str to Vector
        The variables as they were learned, of any number of rows.

    Returns
    -------
    list of callable
        ``(rows, out)``: writes the column's values at a slice of rows.

    Raises
    ------
    NewLevelsError
        If a factor has a level that was not learned.
    DataError
        If a variable that was numeric is categorical now.
    """
    codes = {
        name: _codes(values[name], known[name], name)
        for name in dict.fromkeys(p.variable for c in columns for p in c.parts)
        if isinstance(known[name], Factor)
    }
    readers: dict[Part, Reader] = {}
    for part in dict.fromkeys(part for column in columns for part in column.parts):
        if part.column < 0:
            readers[part] = _looked_up(codes[part.variable], np.array(part.values))
        else:
            readers[part] = _copied(_numbers(values[part.variable], part))
    return [_product([readers[part] for part in column.parts]) for column in columns]


def _codes(value: Vector, known: Vector, name: str) -> npt.NDArray[Any]:
    assert isinstance(known, Factor)
    return match_levels(as_factor(value, name=name), known.levels, known.labels, name)


def _numbers(value: Vector, part: Part) -> npt.NDArray[Any]:
    if isinstance(value, Factor):
        raise DataError(f"{part.variable} was numeric at first and is categorical here")
    if isinstance(value, Integers):
        return value.numbers()
    return value.values[:, part.column] if isinstance(value, Matrix) else value


def _looked_up(codes: npt.NDArray[Any], table: FloatArray) -> Reader:
    def read(rows: slice, out: FloatArray) -> None:
        np.take(table, codes[rows], out=out, mode="clip")

    return read


def _copied(numbers: npt.NDArray[Any]) -> Reader:
    def read(rows: slice, out: FloatArray) -> None:
        np.copyto(out, numbers[rows], casting="unsafe")

    return read


def _product(readers: Sequence[Reader]) -> Reader:
    def read(rows: slice, out: FloatArray) -> None:
        if not readers:
            out.fill(1.0)
            return
        readers[0](rows, out)
        for reader in readers[1:]:
            factor = np.empty_like(out)
            reader(rows, factor)
            with np.errstate(invalid="ignore", over="ignore"):  # whoever sums looks for infinity
                out *= factor

    return read
