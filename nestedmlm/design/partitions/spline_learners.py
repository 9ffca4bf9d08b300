"""Learners of `ns` and `bs`: range and quantiles of a column that comes in partitions, exactly."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from nestedmlm._typing import FloatArray
from nestedmlm.design.frame.fitters import FITTERS
from nestedmlm.design.frame.transforms import Transform
from nestedmlm.design.partitions.looks import Learner, Moments, Sum
from nestedmlm.errors import DataWarning

Counts = npt.NDArray[np.int64]

MOST_VALUES = 100_000  # distinct values that are counted one by one
BINS = 4_096  # of a histogram of more
MOST_COLLECTED = 500_000  # values in the bins that hold the wanted ones


@dataclass(frozen=True, slots=True, eq=False)
class Spline:
    """The call, and its knots.

    Attributes
    ----------
    name : str
    options : mapping
    ends : array
        Smallest and largest value; empty where there is none.
    inner : int
        Number of knots that are quantiles.
    """

    name: str
    options: Mapping[str, Any]
    ends: FloatArray
    inner: int

    @property
    def boundary(self) -> tuple[float, float]:
        """Values between which quantiles are taken."""
        given = self.options.get("Boundary_knots")
        low, high = sorted(given) if given is not None else self.ends.tolist()
        return float(low), float(high)

    def ranks(self, number: int) -> list[int]:
        """Which order statistics of `number` values R's quantiles (type 7) lie between."""
        below = np.floor(self._place(number)).astype(int)
        return sorted({*below.tolist(), *np.minimum(below + 1, number - 1).tolist()})

    def fit(self, number: int, statistic: Callable[[int], float]) -> Transform:
        """The spline, from the order statistics of the `number` values inside the boundary."""
        place = self._place(number)
        below = np.floor(place).astype(int)
        low = np.array([statistic(k) for k in below.tolist()])
        high = np.array([statistic(k) for k in np.minimum(below + 1, number - 1).tolist()])
        knots = low + (high - low) * (place - below)
        first, last = self.boundary
        edge = np.clip(self.ends, first, last)
        # a few values whose quantiles these knots are
        return FITTERS[self.name].fit(np.sort(np.concatenate([edge, knots])), **self.options)

    def _place(self, number: int) -> FloatArray:
        return np.linspace(0, 1, self.inner + 2)[1:-1] * (number - 1)


@dataclass(frozen=True, slots=True, eq=False)
class Counted:
    """Distinct values and how often each occurs; none where they are too many."""

    values: FloatArray | None
    counts: Counts

    def __add__(self, other: Counted) -> Counted:
        if self.values is None or other.values is None:
            return Counted(None, self.counts[:0])
        both = np.concatenate([self.values, other.values])
        values, place = np.unique(both, return_inverse=True)
        if values.size > MOST_VALUES:
            return Counted(None, self.counts[:0])
        counts = np.zeros(values.size, dtype=np.int64)
        np.add.at(counts, place, np.concatenate([self.counts, other.counts]))
        return Counted(values, counts)


@dataclass(frozen=True, slots=True, eq=False)
class SplineRange:
    """First look: range and, if they are few, distinct values."""

    name: str
    options: Mapping[str, Any]

    def look(self, columns: Sequence[Any]) -> Sum:
        """Moments and values of a partition."""
        x = columns[0]
        values, counts = np.unique(x[~np.isnan(x)], return_counts=True)
        few = values.size <= MOST_VALUES
        counted = Counted(values, counts) if few else Counted(None, counts[:0])
        return Sum((Moments.of(x), counted))

    def learn(self, total: Sum) -> Transform | Learner:
        """The spline, or a look at the order statistics that are its knots."""
        moments, counted = total.parts
        ends = np.array([moments.low, moments.high]) if moments.n else np.zeros(0)
        spline = Spline(self.name, self.options, ends, self._inner())
        if not spline.inner or not np.isfinite(ends).all() or not ends.size:
            return FITTERS[self.name].fit(ends, **self.options)
        low, high = spline.boundary
        if counted.values is None:
            return SplineBins(spline, ((low, high, True),), None, 0)
        inside = (counted.values >= low) & (counted.values <= high)
        values, after = counted.values[inside], np.cumsum(counted.counts[inside])
        if not values.size:
            return FITTERS[self.name].fit(ends, **self.options)
        return spline.fit(
            int(after[-1]), lambda rank: float(values[np.searchsorted(after, rank, side="right")])
        )

    def _inner(self) -> int:
        """Number of knots that are quantiles, as the function itself places them."""
        if self.options.get("df") is None or self.options.get("knots") is not None:
            return 0
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DataWarning)
            like: Any = FITTERS[self.name].fit(
                np.linspace(0.0, 1.0, 50), **{**self.options, "Boundary_knots": None}
            )
        return int(like.knots.size) - 2 * (int(like.degree) + 1)


Bin = tuple[float, float, bool]  # from, to, and whether the upper edge belongs to it


@dataclass(frozen=True, slots=True, eq=False)
class SplineBins:
    """Further looks: histograms around the wanted order statistics, narrower each time.

    Attributes
    ----------
    spline : Spline
    bins : tuple of Bin
        Ascending; each is cut into smaller ones.
    ranks : tuple of tuple of int or None
        For each bin, which of its values are wanted, by rank within it; None at first, when the
        number of values is not known.
    number : int
        Of all values inside the boundary, where it is known.
    """

    spline: Spline
    bins: tuple[Bin, ...]
    ranks: tuple[tuple[int, ...], ...] | None
    number: int

    def look(self, columns: Sequence[Any]) -> Sum:
        """Counts of a partition."""
        x = columns[0]
        return Sum(tuple(self._counts(_inside(x, bin_), bin_) for bin_ in self.bins))

    @staticmethod
    def _edges(bin_: Bin) -> FloatArray:
        return np.unique(np.linspace(bin_[0], bin_[1], BINS + 1))

    def _counts(self, x: FloatArray, bin_: Bin) -> Counts:
        edges = self._edges(bin_)
        last = len(edges) - 2
        place = np.searchsorted(edges, x, side="right") - 1
        return np.bincount(np.minimum(place, last), minlength=last + 1).astype(np.int64)

    def learn(self, total: Sum) -> Learner:
        """Narrower histograms, or the values themselves."""
        number = self.number or int(total.parts[0].sum())
        wanted = self.ranks or (tuple(self.spline.ranks(number)),)
        smaller: dict[Bin, list[int]] = {}
        held = 0
        for bin_, counts, ranks in zip(self.bins, total.parts, wanted, strict=True):
            edges, after = self._edges(bin_), np.cumsum(counts)
            for rank in ranks:
                k = int(np.searchsorted(after, rank, side="right"))
                closed = bin_[2] and k == len(edges) - 2
                own = (float(edges[k]), float(edges[k + 1]), closed)
                held += 0 if own in smaller else int(counts[k])
                smaller.setdefault(own, []).append(rank - int(after[k] - counts[k]))
        bins, inner = tuple(smaller), tuple(tuple(own) for own in smaller.values())
        narrow = all(np.nextafter(low, high) >= high for low, high, _ in bins)
        if held <= MOST_COLLECTED or narrow:
            return SplineValues(self.spline, bins, inner, number)
        return SplineBins(self.spline, bins, inner, number)


@dataclass(frozen=True, slots=True, eq=False)
class SplineValues:
    """Last look: the values in the bins that hold the wanted order statistics."""

    spline: Spline
    bins: tuple[Bin, ...]
    ranks: tuple[tuple[int, ...], ...]
    number: int

    def look(self, columns: Sequence[Any]) -> Sum:
        """Values of a partition."""
        return Sum(tuple(Values(_inside(columns[0], bin_)) for bin_ in self.bins))

    def learn(self, total: Sum) -> Transform:
        """The spline whose knots are the quantiles of all values."""
        found = []
        for values, ranks in zip(total.parts, self.ranks, strict=True):
            ordered = np.sort(values.x)
            found += [float(ordered[rank]) for rank in ranks]
        statistics = dict(zip(self.spline.ranks(self.number), sorted(found), strict=True))
        return self.spline.fit(self.number, statistics.__getitem__)


@dataclass(frozen=True, slots=True, eq=False)
class Values:
    """Values that are put together."""

    x: FloatArray

    def __add__(self, other: Values) -> Values:
        return Values(np.concatenate([self.x, other.x]))


def _inside(x: FloatArray, bin_: Bin) -> FloatArray:
    low, high, closed = bin_
    return x[(x >= low) & ((x <= high) if closed else (x < high))]
