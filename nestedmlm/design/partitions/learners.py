"""`Learner` of each function: what `scale`, `poly`, `ns`, `bs` and `dummy` learn of partitions.

A learner looks at a partition and returns numbers that add up; of their sum it makes the transform,
or the learner of a further look.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from nestedmlm._typing import FloatArray
from nestedmlm.design.frame.column_statistics import Statistic
from nestedmlm.design.frame.fitters import FITTERS
from nestedmlm.design.frame.group_columns import Between, fit_between
from nestedmlm.design.frame.transforms import MultiPoly, Poly, Transform, scale_of_moments
from nestedmlm.design.frame.values import Factor
from nestedmlm.design.partitions.looks import Learner, Moments, Sum
from nestedmlm.design.partitions.spline_learners import SplineRange
from nestedmlm.errors import DataError

_NO_PIVOT = 1e-24  # share of a polynomial's square that is left where there are too few values


@dataclass(frozen=True, slots=True, eq=False)
class ScaleLearner:
    """Of `scale` and `center`: moments."""

    options: Mapping[str, Any]

    def look(self, columns: Sequence[Any]) -> Moments:
        """Moments of a partition."""
        return Moments.of(columns[0])

    def learn(self, total: Moments) -> Transform:
        """Centre and scale."""
        if not total.n:
            raise DataError("0 (non-NA) cases")
        return scale_of_moments(
            total.n,
            total.mean,
            lambda middle: total.squares + total.n * (total.mean - middle) ** 2,
            self.options.get("center", True),
            self.options.get("scale", True),
        )


def _center_learner(_: Mapping[str, Any]) -> ScaleLearner:
    return ScaleLearner({"scale": False})


@dataclass(frozen=True, slots=True, eq=False)
class PolyRange:
    """First look of `poly`: where the values are."""

    options: Mapping[str, Any]

    def look(self, columns: Sequence[Any]) -> Sum:
        """Moments of each column of a partition."""
        return Sum(tuple(Moments.of(x) for x in columns))

    def learn(self, total: Sum) -> Transform | Learner:
        """The second look, or raw polynomials, which learn nothing."""
        # the function's own checks, on values that pass them
        few = [np.linspace(-1.0, 1.0, 2000) for _ in total.parts]
        like = FITTERS["poly"].fit(*few, **self.options)
        parts = like.parts if isinstance(like, MultiPoly) else (like,)
        assert isinstance(parts[0], Poly)
        if not parts[0].alpha:
            return like
        for m in total.parts:
            if not np.isfinite([m.low, m.high]).all() and m.n:
                raise DataError("poly() of infinite values")
            if not m.n:
                raise DataError("0 (non-NA) cases")
        middle = tuple(0.5 * (m.low + m.high) for m in total.parts)
        half = tuple(0.5 * (m.high - m.low) or 1.0 for m in total.parts)
        return PolyProducts(parts[0].degree, middle, half)


@dataclass(frozen=True, slots=True, eq=False)
class PolyProducts:
    """Second look of `poly`: sums of products of Legendre's polynomials, which lose no digits."""

    degree: int
    middle: tuple[float, ...]
    half: tuple[float, ...]

    def look(self, columns: Sequence[Any]) -> Sum:
        """Sums of products of each column of a partition."""
        return Sum(
            tuple(
                self._products((x[~np.isnan(x)] - c) / h)
                for x, c, h in zip(columns, self.middle, self.half, strict=True)
            )
        )

    def _products(self, u: FloatArray) -> FloatArray:
        P = np.polynomial.legendre.legvander(u, self.degree)
        return np.stack([P.T @ P, (P * u[:, None]).T @ P])

    def learn(self, total: Sum) -> Transform:
        """Coefficients of the three-term recursion."""
        parts = tuple(
            self._recursion(G, c, h)
            for G, c, h in zip(total.parts, self.middle, self.half, strict=True)
        )
        return parts[0] if len(parts) == 1 else MultiPoly(parts, self.degree)

    def _recursion(self, products: FloatArray, middle: float, half: float) -> Poly:
        """Stieltjes' procedure on Legendre coefficients (Gautschi 2004, section 2.2.3)."""
        G, H = products
        times_u = _times_u(self.degree)
        before, column = np.zeros(self.degree + 1), np.eye(self.degree + 1)[0]
        alpha, norm2 = [], [1.0]
        for i in range(self.degree + 1):
            norm = float(column @ G @ column)
            if norm <= _NO_PIVOT * float(np.abs(column) @ np.abs(G) @ np.abs(column)):
                raise DataError(
                    "the degree of poly() must be less than the number of unique values"
                )
            shift = float(column @ H @ column) / norm
            alpha.append(middle + half * shift)
            norm2.append(norm * half ** (2 * i))
            ratio = norm2[-1] / norm2[-2] / half**2 if i else 0.0
            before, column = column, times_u @ column - shift * column - ratio * before
        return Poly(tuple(alpha[: self.degree]), tuple(norm2[1:]), self.degree)


def _times_u(degree: int) -> FloatArray:
    """Matrix that multiplies Legendre coefficients by u (what leaves the degree is not needed)."""
    out = np.zeros((degree + 1, degree + 1))
    for k in range(degree + 1):
        if k < degree:
            out[k + 1, k] = (k + 1) / (2 * k + 1)
        if k:
            out[k - 1, k] = k / (2 * k + 1)
    return out


@dataclass(frozen=True, slots=True, eq=False)
class StatisticLearner:
    """Of `mean`, `sd`, `var`, `min`, `max`, `sum` and `range`: moments."""

    name: str
    options: Mapping[str, Any]

    def look(self, columns: Sequence[Any]) -> Sum:
        """Moments of a partition, and the number of missing values."""
        return Sum((Moments.of(columns[0]), int(np.isnan(columns[0]).sum())))

    def learn(self, total: Sum) -> Transform:
        """The numbers of all partitions, from a few values that have the same."""
        m, missing = total.parts
        like = [m.mean] if m.n else []
        # the function's own checks of options, missing values and of too few
        if missing:
            like.append(np.nan)
        FITTERS[self.name].fit(np.array(like * 2), **self.options)
        if m.n < 2 and self.name in ("sd", "var"):
            FITTERS[self.name].fit(np.array(like), **self.options)
        return Statistic(_STATISTICS[self.name](m))


_STATISTICS: Mapping[str, Callable[[Moments], Any]] = {
    "mean": lambda m: m.mean,
    "sum": lambda m: m.mean * m.n,
    "min": lambda m: m.low,
    "max": lambda m: m.high,
    "var": lambda m: m.squares / (m.n - 1),
    "sd": lambda m: float(np.sqrt(m.squares / (m.n - 1))),
    "range": lambda m: (m.low, m.high),
}


@dataclass(frozen=True, slots=True, eq=False)
class GroupMoments:
    """Number and mean of a column's values in each group."""

    levels: tuple[Any, ...]
    n: FloatArray
    mean: FloatArray

    def __add__(self, other: GroupMoments) -> GroupMoments:
        levels = tuple(dict.fromkeys((*self.levels, *other.levels)))
        place = {level: j for j, level in enumerate(levels)}
        n, mean = np.zeros((2, len(levels))), np.zeros((2, len(levels)))
        for j, part in enumerate((self, other)):
            own = [place[level] for level in part.levels]
            n[j, own], mean[j, own] = part.n, part.mean
        total = n.sum(axis=0)
        share = np.divide(n[1], total, out=np.zeros_like(total), where=total > 0)
        return GroupMoments(levels, total, mean[0] + (mean[1] - mean[0]) * share)


@dataclass(frozen=True, slots=True, eq=False)
class BetweenLearner:
    """Of `between`, `ave` and `within`: the mean of each group."""

    deviations: bool

    def look(self, columns: Sequence[Any]) -> GroupMoments:
        """Numbers and means of a partition."""
        x, g = columns
        there = ~np.isnan(x) & (g.codes >= 0)
        n = np.bincount(g.codes[there], minlength=len(g.levels)).astype(float)
        means = fit_between(x, g).means
        return GroupMoments(tuple(g.levels), n, np.where(n > 0, means, 0.0))

    def learn(self, total: GroupMoments) -> Transform:
        """Means of all partitions."""
        levels = np.empty(len(total.levels), dtype=object)
        levels[:] = total.levels
        return Between(levels, np.where(total.n > 0, total.mean, np.nan), self.deviations)


@dataclass(frozen=True, slots=True, eq=False)
class Levels:
    """Levels that partitions have."""

    found: tuple[Any, ...]

    def __add__(self, other: Levels) -> Levels:
        return Levels(tuple(dict.fromkeys((*self.found, *other.found))))


@dataclass(frozen=True, slots=True, eq=False)
class DummyLearner:
    """Of `dummy`: the levels."""

    options: Mapping[str, Any]

    def look(self, columns: Sequence[Any]) -> Levels:
        """Levels of a partition."""
        return Levels(tuple(columns[0].levels))

    def learn(self, total: Levels) -> Transform:
        """The indicators."""
        levels = np.empty(len(total.found), dtype=object)
        levels[:] = total.found
        factor = Factor(codes=np.empty(0, np.int32), levels=levels, kind="category")
        return FITTERS["dummy"].fit(factor, **self.options)


LEARNERS: Mapping[str, Callable[[Mapping[str, Any]], Learner]] = {
    "scale": ScaleLearner,
    "standardize": ScaleLearner,
    "center": _center_learner,
    "poly": PolyRange,
    "ns": lambda options: SplineRange("ns", options),
    "cr": lambda options: SplineRange("cr", options),
    "bs": lambda options: SplineRange("bs", options),
    "dummy": DummyLearner,
    **{name: partial(StatisticLearner, name) for name in _STATISTICS},
    **dict.fromkeys(("between", "ave"), lambda _: BetweenLearner(False)),
    "within": lambda _: BetweenLearner(True),
}
