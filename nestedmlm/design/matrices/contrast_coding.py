"""Contrast matrices: R's treatment, SAS, sum, Helmert, polynomial, successive differences."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from nestedmlm._typing import FloatArray
from nestedmlm.errors import DataError, OptionError

Coded = tuple[FloatArray, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Contrast:
    """A contrast by name, with its one argument (reference level or scores).

    `numbered` gives columns the numbers of levels, not their names: R does so for
    ``C(a, contr.treatment)``, where the contrasts are made without knowing the levels.
    """

    name: str
    argument: Any = None
    numbered: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Leading:
    """The first columns of other contrasts: a linear and a quadratic trend of seven levels."""

    of: Any
    count: int


def _numbered(matrix: FloatArray) -> Coded:
    return matrix, tuple(str(j + 1) for j in range(matrix.shape[1]))


def _reference(labels: Sequence[str], levels: Sequence[Any], argument: Any) -> int:
    if argument is None:
        return 0
    for number, level in enumerate(levels):
        if level == argument or labels[number] == argument:
            return number
    if isinstance(argument, int) and 1 <= argument <= len(labels):
        return argument - 1  # R's base: counted from 1
    raise DataError(f"{argument!r} is no level; the levels are {', '.join(labels)}")


def _treatment(labels: Sequence[str], levels: Sequence[Any], argument: Any) -> Coded:
    base = _reference(labels, levels, argument)
    keep = [j for j in range(len(labels)) if j != base]
    return np.eye(len(labels))[:, keep], tuple(labels[j] for j in keep)


def _sas(labels: Sequence[str], levels: Sequence[Any], argument: Any) -> Coded:
    return _treatment(labels, levels, levels[-1] if argument is None else argument)


def _sum(labels: Sequence[str], levels: Sequence[Any], argument: Any) -> Coded:
    if argument is not None:  # formulae's Sum(omit): which level is minus the others
        omitted = _reference(labels, levels, argument)
        matrix = np.insert(np.eye(len(labels) - 1), omitted, -1.0, axis=0)
        return _numbered(matrix)
    return _numbered(np.vstack([np.eye(len(labels) - 1), -np.ones(len(labels) - 1)]))


def _helmert(labels: Sequence[str], levels: Sequence[Any], argument: Any) -> Coded:
    rows, cols = np.ogrid[: len(labels), : len(labels) - 1]
    return _numbered(np.where(rows <= cols, -1.0, np.where(rows == cols + 1, cols + 1.0, 0.0)))


def _poly(labels: Sequence[str], levels: Sequence[Any], argument: Any) -> Coded:
    size = len(labels)
    scores = np.arange(1.0, size + 1) if argument is None else np.asarray(argument, float)
    if scores.shape != (size,) or len(set(scores)) < size:
        raise DataError(f"polynomial contrasts need {size} different scores")
    q, r = np.linalg.qr(np.vander(scores - scores.mean(), size, increasing=True))
    matrix = (q * np.sign(np.diag(r)))[:, 1:]
    names = [".L", ".Q", ".C"] + [f"^{power}" for power in range(4, size)]
    return matrix, tuple(names[: size - 1])


def _difference(labels: Sequence[str], levels: Sequence[Any], argument: Any) -> Coded:
    size = len(labels)
    rows, cols = np.ogrid[1 : size + 1, 1:size]
    matrix = np.where(rows <= cols, cols - size, cols) / size
    return matrix, tuple(f"{j + 2}-{j + 1}" for j in range(size - 1))


_KINDS: dict[str, Callable[[Sequence[str], Sequence[Any], Any], Coded]] = {
    "treatment": _treatment,
    "sas": _sas,
    "sum": _sum,
    "helmert": _helmert,
    "poly": _poly,
    "sdif": _difference,
    "diff": _difference,
}


def contrast_kind(name: str) -> str | None:
    """Return the plain name of a contrast (``contr.sum``, ``Sum``, ``sum`` are one), or None."""
    plain = name.rpartition("::")[2].removeprefix("contr.").lower()
    return plain if plain in _KINDS else None


def contrast_matrix(spec: Any, labels: Sequence[str], levels: Sequence[Any], name: str) -> Coded:
    """Make the contrast matrix of a factor.

    Parameters
    ----------
    spec : str, Contrast, Leading, (str, argument), array, DataFrame
        What to use; arrays are (levels, up to levels - 1), and a DataFrame names its columns (and
        is matched by its index where that holds the levels).
    labels, levels : sequence
        The factor's levels, as text and as values.
    name : str
        The variable, for messages.

    Returns
    -------
    matrix : ndarray, shape (J, J - 1), or fewer columns where fewer were asked for
    names : tuple of str
        R's suffixes of the columns.

    Raises
    ------
    OptionError
        For an unknown name.
    DataError
        If the factor has one level, or an array does not fit.
    """
    if len(labels) < 2:
        raise DataError(
            f"{name} has one level only ({', '.join(labels)}); "
            "contrasts can be applied only to factors with 2 or more levels"
        )
    if isinstance(spec, Leading):
        matrix, names = contrast_matrix(spec.of, labels, levels, name)
        return matrix[:, : spec.count], names[: spec.count]
    if isinstance(spec, Contrast):
        shown = tuple(str(j + 1) for j in range(len(labels))) if spec.numbered else labels
        return _named(spec.name, spec.argument, shown, levels, name)
    if isinstance(spec, str):
        return _named(spec, None, labels, levels, name)
    if isinstance(spec, tuple) and len(spec) == 2 and isinstance(spec[0], str):
        return _named(spec[0], spec[1], labels, levels, name)
    return _custom(spec, labels, levels, name)


def _named(
    kind: str, argument: Any, labels: Sequence[str], levels: Sequence[Any], name: str
) -> Coded:
    plain = contrast_kind(kind)
    if plain is None:
        known = ", ".join(sorted(_KINDS))
        raise OptionError(f"unknown contrasts {kind!r} for {name}; known: {known}")
    return _KINDS[plain](labels, levels, argument)


def _custom(spec: Any, labels: Sequence[str], levels: Sequence[Any], name: str) -> Coded:
    names: tuple[str, ...] | None = None
    if isinstance(spec, pd.DataFrame):
        names = tuple(str(column) for column in spec.columns)
        for wanted in (list(levels), list(labels)):
            if set(spec.index) == set(wanted):
                spec = spec.loc[wanted]
                break
        spec = spec.to_numpy(dtype=float)
    matrix = np.asarray(spec, dtype=float)
    matrix = matrix[:, None] if matrix.ndim == 1 else matrix
    size = len(labels)
    if matrix.ndim != 2 or matrix.shape[0] != size or not 1 <= matrix.shape[1] < size:
        raise DataError(
            f"the contrasts of {name} are {matrix.shape}, its {size} levels need "
            f"{size} rows and up to {size - 1} columns"
        )
    given = matrix.shape[1]
    with_one = np.column_stack([np.ones(size), matrix])
    if np.linalg.matrix_rank(with_one) < given + 1:
        raise DataError(f"the contrasts of {name} are linearly dependent")
    if given < size - 1:  # R completes a partial matrix with orthogonal columns
        full, _ = np.linalg.qr(with_one, mode="complete")
        matrix = np.column_stack([matrix, full[:, given + 1 :]])
    if names is None:
        return _numbered(matrix)
    return matrix, names + tuple("" for _ in range(size - 1 - given))
