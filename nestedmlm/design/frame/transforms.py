"""Transforms of columns that a formula learns: `scale`, `center`, `poly`, `dummy`.

Each is a small frozen record with `apply`: learned once, applied again to new data. Missing
values are left out of what is learned and stay missing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from math import comb
from typing import Any, Protocol

import numpy as np

from nestedmlm._typing import FloatArray
from nestedmlm.design.frame.splines import MOST_COLUMNS, whole_number
from nestedmlm.design.frame.values import Factor, Matrix, level_label
from nestedmlm.errors import DataError


class Transform(Protocol):
    """A transform learned from data: centre and scale, polynomials, splines, indicators."""

    def apply(self, *args: Any) -> Any:
        """Transform data with what was learned."""


@dataclass(frozen=True, slots=True)
class Scale:
    """``(x - center) / scale``."""

    center: float
    scale: float

    def apply(self, x: FloatArray) -> FloatArray:
        """Shift and divide."""
        return np.asarray((x - self.center) / self.scale)


def _present(x: FloatArray) -> FloatArray:
    present = x[~np.isnan(x)]
    if present.size == 0:
        raise DataError("0 (non-NA) cases")
    return present


def fit_scale(x: FloatArray, center: Any = True, scale: Any = True) -> Scale:
    """Learn R's `scale`: mean and SD with n - 1; numbers are taken as they are."""
    present = _present(x)
    with np.errstate(over="ignore", invalid="ignore"):  # refused where they are known
        mean = float(present.mean())
        return scale_of_moments(
            present.size, mean, lambda middle: float(((present - middle) ** 2).sum()), center, scale
        )


def scale_of_moments(
    n: int, mean: float, squares: Callable[[float], float], center: Any, scale: Any
) -> Scale:
    """R's `scale` of n values with this mean, and this sum of squares about any number."""
    for name, option in (("center", center), ("scale", scale)):
        if not isinstance(option, bool | int | float) or not np.isfinite(option):
            raise DataError(f"scale(): {name} is TRUE, FALSE or a number, not {option!r}")
    middle = (mean if center else 0.0) if isinstance(center, bool) else center
    width = scale
    if isinstance(scale, bool):
        width = float(np.sqrt(squares(middle) / max(n - 1, 1))) if scale else 1.0
    if width == 0:
        raise DataError("scale() of a constant column: its standard deviation is 0")
    if not np.isfinite([middle, width]).all():
        raise DataError("scale() of values that are infinite, or too large to be squared")
    return Scale(float(middle), float(width))


def fit_center(x: FloatArray) -> Scale:
    """Learn the mean."""
    return fit_scale(x, center=True, scale=False)


@dataclass(frozen=True, slots=True)
class Poly:
    """Polynomials of one variable, orthonormal over the data they were learned from, or raw."""

    alpha: tuple[float, ...]
    norm2: tuple[float, ...]
    degree: int

    def apply(self, x: FloatArray) -> Matrix:
        """Evaluate by the three-term recursion (as R's `predict.poly`)."""
        if not self.alpha:
            return Matrix(x[:, None] ** np.arange(1.0, self.degree + 1))
        columns = [np.ones_like(x), x - self.alpha[0]]
        for i in range(1, self.degree):
            ratio = self.norm2[i] / self.norm2[i - 1]
            columns.append((x - self.alpha[i]) * columns[-1] - ratio * columns[-2])
        scaled = [c / np.sqrt(s) for c, s in zip(columns[1:], self.norm2[1:], strict=True)]
        return Matrix(np.stack(scaled, axis=1))


@dataclass(frozen=True, slots=True)
class MultiPoly:
    """Products of the polynomials of several variables, up to a total degree."""

    parts: tuple[Poly, ...]
    degree: int

    def apply(self, *xs: FloatArray) -> Matrix:
        """Multiply out; columns are named by their degrees, the first variable fastest."""
        bases = [
            np.column_stack([np.ones_like(x), part.apply(x).values])
            for x, part in zip(xs, self.parts, strict=True)
        ]
        powers = [p[::-1] for p in product(range(self.degree + 1), repeat=len(xs))]
        powers = [p for p in powers if 0 < sum(p) <= self.degree]
        columns = []
        for power in powers:
            factors = [basis[:, d] for basis, d in zip(bases, power, strict=True)]
            columns.append(np.prod(factors, axis=0))
        return Matrix(np.stack(columns, axis=1), tuple(".".join(map(str, p)) for p in powers))


def _fit_one_poly(x: FloatArray, degree: int, raw: bool) -> Poly:
    if raw:
        return Poly((), (), degree)
    if not np.isfinite(x[~np.isnan(x)]).all():
        raise DataError("poly() of infinite values")
    present = _present(x)
    if degree >= np.unique(present).size:
        raise DataError("the degree of poly() must be less than the number of unique values")
    alpha, norm2 = [], [1.0]
    before, column = np.zeros_like(present), np.ones_like(present)
    with np.errstate(over="ignore", invalid="ignore"):  # refused
        for i in range(degree + 1):
            norm2.append(float(column @ column))
            if not 0 < norm2[-1] < np.inf:
                raise DataError("poly() of numbers so large or small: rescale them first")
            alpha.append(float((present * column) @ column / norm2[-1]))
            ratio = norm2[-1] / norm2[-2] if i else 0.0
            before, column = column, (present - alpha[-1]) * column - ratio * before
    return Poly(tuple(alpha[:degree]), tuple(norm2[1:]), degree)


def fit_poly(
    x: FloatArray, *others: FloatArray, degree: Any = 1, raw: Any = False
) -> Poly | MultiPoly:
    """Learn R's `poly`, of one or several columns."""
    degree = whole_number(degree, "degree", "poly()", least=1)
    if not isinstance(raw, bool):
        raise DataError(f"poly(): raw is TRUE or FALSE, not {raw!r}")
    if any(other.size != x.size for other in others):
        raise DataError("poly(): columns of different lengths")
    columns = (x, *others)
    if comb(degree + len(columns), degree) > MOST_COLUMNS:
        raise DataError(f"poly() of degree {degree} has more than {MOST_COLUMNS} columns")
    parts = tuple(_fit_one_poly(column, degree, raw) for column in columns)
    return parts[0] if len(parts) == 1 else MultiPoly(parts, degree)


@dataclass(frozen=True, slots=True, eq=False)
class Dummy:
    """Indicators of some levels of a factor (lme4's `dummy`)."""

    keep: tuple[Any, ...]
    names: tuple[str, ...]

    def apply(self, f: Factor) -> Matrix:
        """Make the indicator columns; a missing level gives missing values."""
        columns = np.empty((f.codes.size, len(self.keep)))
        for j, level in enumerate(self.keep):
            hits = [k for k, other in enumerate(f.labels) if other == level_label(level)]
            columns[:, j] = f.codes == hits[0] if hits else 0.0
        columns[f.codes < 0] = np.nan
        return Matrix(columns, self.names)


def fit_dummy(f: Factor, levelsToKeep: Any = None) -> Dummy:
    """Learn which levels to keep: all but the first unless named."""
    by_label = dict(zip(f.labels, f.levels, strict=True))
    wanted = levelsToKeep if isinstance(levelsToKeep, list) else [levelsToKeep]
    labels = f.labels[1:] if levelsToKeep is None else tuple(map(level_label, wanted))
    if len(set(labels)) < len(labels):
        raise DataError("dummy(): a level is asked for twice")
    unknown = [label for label in labels if label not in by_label]
    if unknown or not labels:
        raise DataError(
            f"dummy(): {', '.join(unknown) or 'nothing'} is no level; levels: {', '.join(by_label)}"
        )
    return Dummy(tuple(by_label[label] for label in labels), labels)
