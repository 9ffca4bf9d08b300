"""Contrasts of the fixed effects: what users write, to a matrix and a right-hand side.

``"ses = 0"``, ``"a1 - a2"``, ``"2 * Days - 10 = 0.5"``: sums of coefficients with numbers in front.
Coefficients go by their names in the table of fixed effects; backticks end all doubt.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from nestedmlm._typing import FloatArray
from nestedmlm.arguments import real_array
from nestedmlm.design.design import Design
from nestedmlm.design.linear_combination import coefficient_place, parse_combination
from nestedmlm.errors import OptionError


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Contrasts:
    """Rows of ``L beta = rhs``.

    Attributes
    ----------
    L : (m, p) array
    rhs : (m,) array
    labels : tuple of str
    """

    L: FloatArray
    rhs: FloatArray
    labels: tuple[str, ...]


def read_contrasts(given: Any, design: Design, *, rhs: Any = 0.0) -> Contrasts:
    """Read contrasts of any form.

    Parameters
    ----------
    given : str, sequence of str, mapping, array (p,) or (m, p), Series, DataFrame
        Strings are hypotheses; a mapping gives each a label; the index of a Series or the columns
        of a DataFrame are names of coefficients (those not named get 0), and a DataFrame's index
        gives the labels.
    design : Design
    rhs : float or (m,) array
        Hypothetical values, on top of those in strings.

    Raises
    ------
    OptionError
        For names that are no coefficients, products of coefficients, wrong shapes, values that
        are not finite.
    """
    rows = list(_rows(given, design))
    L = np.array([row for _, row, _ in rows], dtype=float).reshape(len(rows), design.p)
    try:
        numbers = real_array(rhs)
    except (TypeError, ValueError):
        raise OptionError(f"rhs must hold numbers, not {rhs!r:.60}") from None
    try:
        added = np.broadcast_to(numbers, len(rows))
    except ValueError:
        raise OptionError(f"rhs holds {numbers.size} numbers for {len(rows)} contrasts") from None
    total = np.array([constant for _, _, constant in rows], dtype=float) + added
    if not (np.all(np.isfinite(L)) and np.all(np.isfinite(total))):
        raise OptionError("contrasts and their right-hand sides must be finite numbers")
    return Contrasts(L=L, rhs=total, labels=tuple(label for label, _, _ in rows))


def _rows(given: Any, design: Design) -> Iterator[tuple[str, FloatArray, float]]:
    """Yield (label, coefficients, constant)."""
    if isinstance(given, str):
        row, constant = parse_combination(given, design.x_names, design.dropped)
        yield given.strip(), row, constant
    elif isinstance(given, Mapping):
        for name, one in given.items():
            found = list(_rows(one, design))
            for number, (_, row, constant) in enumerate(found, start=1):
                label = str(name) if len(found) == 1 else f"{name}.{number}"
                yield label, row, constant
    elif isinstance(given, pd.Series):
        yield from _rows(given.to_frame().T, design)
    elif isinstance(given, pd.DataFrame):
        places = [
            coefficient_place(str(name), design.x_names, design.dropped) for name in given.columns
        ]
        try:
            numbers = real_array(given)
        except (TypeError, ValueError):
            raise OptionError("a table of contrasts must hold numbers only") from None
        for label, values in zip(given.index, numbers, strict=True):
            row = np.zeros(design.p)
            np.add.at(row, places, values)
            yield str(label), row, 0.0
    elif isinstance(given, Sequence) and given and all(isinstance(one, str) for one in given):
        for one in given:
            yield from _rows(one, design)
    else:
        yield from _array_rows(given, design)


def _array_rows(given: Any, design: Design) -> Iterator[tuple[str, FloatArray, float]]:
    try:
        values = np.atleast_2d(real_array(given))
    except (TypeError, ValueError):
        raise OptionError(
            f"contrasts are text, numbers or a table, not {type(given).__name__}"
        ) from None
    if values.ndim != 2 or values.shape[1] != design.p:
        raise OptionError(
            f"a contrast needs one number for each of the {design.p} fixed effects "
            f"({', '.join(design.x_names)}), got an array of shape {np.shape(given)}"
        )
    for number, row in enumerate(values, start=1):
        yield str(number), row, 0.0
