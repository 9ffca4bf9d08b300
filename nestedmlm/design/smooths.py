"""Smooth terms of a design: their bases, learned from the complete rows, and their columns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from nestedmlm._typing import FloatArray
from nestedmlm.design.frame.operators import as_numbers
from nestedmlm.design.frame.values import Factor, Matrix, Vector
from nestedmlm.design.matrices.modelmatrix import Coding, MatrixSpec
from nestedmlm.design.matrices.reterms import Curve
from nestedmlm.design.rows import frozen
from nestedmlm.design.smooth_bases import learn_basis
from nestedmlm.errors import DataError, OptionError
from nestedmlm.formula.bars import Bar
from nestedmlm.formula.formula import Formula


def learn_smooths(formula: Formula, values: dict[str, Vector], states: dict[str, Any]) -> None:
    """Learn the bases of a formula's smooths.

    Parameters
    ----------
    formula : Formula
    values : dict of str to Vector
        Of the complete rows; gets the columns of each smooth.
    states : dict
        Gets the basis of each smooth, by R's text of the call.

    Raises
    ------
    DataError
        If a smooth is of no numeric column, or of one with too few different values.
    OptionError
        If k is too small.
    """
    for smooth in (bar.smooth for bar in formula.bars):
        if smooth is None or smooth.name in states:
            continue
        x = smooth_column(values[smooth.x.name], smooth.x.name)
        by = None if smooth.by is None else values[smooth.by.name]
        centred = by is None or isinstance(by, Factor)
        try:
            basis = learn_basis(x, k=smooth.k, bs=smooth.bs, centred=centred)
        except (DataError, OptionError) as error:
            raise type(error)(f"{smooth.name}: {error}") from None
        states[smooth.name] = basis
        values[smooth.name] = Matrix(basis(x))


def smooth_column(value: Any, name: str) -> FloatArray:
    """Read the column that something is a smooth function of.

    Raises
    ------
    DataError
        If it is no numbers, or infinite somewhere.
    """
    x = as_numbers(value, name)
    if isinstance(x, Matrix) or np.ndim(x) != 1:
        raise DataError(f"s({name}): a smooth is of one column of numbers")
    if np.isinf(x).any():
        raise DataError(f"s({name}): infinite values")
    out: FloatArray = x
    return out


def smooth_parts(
    bar: Bar, spec: MatrixSpec, X: FloatArray, values: Mapping[str, Vector]
) -> Iterator[tuple[Curve, MatrixSpec, FloatArray]]:
    """Cut the columns of a smooth into those that have one SD.

    Parameters
    ----------
    bar : Bar
        Of a smooth.
    spec : MatrixSpec
        With all levels of a factor `by`.
    X : ndarray, shape (n, J q)
    values : mapping of str to Vector
        Of an ordered factor `by` the first level has no curve, as in mgcv: it has that of another
        term, and those of the other levels are differences from it.

    Yields
    ------
    curve : Curve
    spec : MatrixSpec
    X : ndarray, shape (n, q)
    """
    smooth = bar.smooth
    assert smooth is not None
    by = None if smooth.by is None else values[smooth.by.name]
    x = smooth_column(values[smooth.x.name], smooth.x.name)
    curve = Curve(
        label=smooth.label,
        x=smooth.x.name,
        by=None if smooth.by is None else smooth.by.name,
        level=None,
        lines=0 if bar.parts else (1 if by is None or isinstance(by, Factor) else 2),
        low=float(x.min()),
        high=float(x.max()),
        mean=float(x.mean()),
    )
    factor = next((i for i, c in enumerate(spec.codings) if c.levels is not None), None)
    if factor is None or not isinstance(by, Factor):
        yield curve, _named(spec, curve.label), X
        return
    coding = spec.codings[factor]
    size = len(spec.names) // len(coding.labels)
    for j, level in list(enumerate(coding.labels))[by.ordered :]:
        own = slice(j * size, (j + 1) * size)
        one = Coding((level,), coding.levels, coding.labels, np.eye(len(coding.labels))[:, [j]])
        codings = tuple(one if i == factor else c for i, c in enumerate(spec.codings))
        part = replace(
            spec,
            codings=codings,
            full=((False, False),),
            names=spec.names[own],
            assign=spec.assign[own],
        )
        label = curve.label + level
        columns = frozen(np.ascontiguousarray(X[:, own]))
        yield replace(curve, label=label, level=level), _named(part, label), columns


def _named(spec: MatrixSpec, label: str) -> MatrixSpec:
    """Columns named as mgcv names coefficients: ``s(x).1``."""
    return replace(spec, names=tuple(f"{label}.{j + 1}" for j in range(len(spec.names))))
