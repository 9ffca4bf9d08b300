"""Columns made from groups: `between`, `within`, `lag` and `reorder` of a formula.

A group's mean is that of the data of the fit, also where a prediction is asked for. What cannot be
known from the fit (a group that was not there) is computed from the rows given, and said.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from nestedmlm._typing import FloatArray, IntArray
from nestedmlm.callers import PACKAGE
from nestedmlm.design.frame.factor_functions import with_levels
from nestedmlm.design.frame.values import Factor
from nestedmlm.design.matrices.modelmatrix import level_table
from nestedmlm.errors import DataError, DataWarning

_MOST_NAMES = 10  # groups named in a message


def _means(x: FloatArray, codes: npt.NDArray[Any], size: int) -> FloatArray:
    """Mean of the values that are there, by group; NaN for a group without any."""
    there = ~np.isnan(x) & (codes >= 0)
    counts = np.bincount(codes[there], minlength=size)
    sums = np.bincount(codes[there], x[there], minlength=size)
    # twice, so that a mean is exact to the last bits whatever the size of the numbers
    with np.errstate(invalid="ignore", divide="ignore"):
        means = sums / counts
        rest = np.bincount(codes[there], x[there] - means[codes[there]], minlength=size)
        return np.asarray(means + rest / counts)


@dataclass(frozen=True, slots=True, eq=False)
class Between:
    """Group means of a column.

    Attributes
    ----------
    levels : ndarray of object, shape (J,)
    means : ndarray, shape (J,)
    deviations : bool
        Whether the column is what is left: each value minus its group's mean.
    """

    levels: npt.NDArray[np.object_]
    means: FloatArray
    deviations: bool

    def apply(self, x: FloatArray, g: Factor) -> FloatArray:
        """Give each row its group's mean at the fit, or its distance from it."""
        codes = level_table(g.levels, self.levels)[g.codes]
        means: FloatArray = np.append(self.means, np.nan)[codes]
        new = (codes < 0) & (g.codes >= 0)
        if new.any():
            own = np.append(_means(x, g.codes, len(g.levels)), np.nan)
            means[new] = own[g.codes[new]]
            self._say([g.labels[k] for k in np.unique(g.codes[new])])
        return x - means if self.deviations else means

    def _say(self, labels: list[str]) -> None:
        shown = ", ".join(labels[:_MOST_NAMES]) + (", …" if len(labels) > _MOST_NAMES else "")
        verb = "within" if self.deviations else "between"
        message = (
            f"{verb}(): groups that were not there at the fit ({shown}) have the means of the rows "
            "given here, which should be all rows of each of these groups"
        )
        warnings.warn(message, DataWarning, skip_file_prefixes=PACKAGE)


def fit_between(x: FloatArray, g: Factor) -> Between:
    """Learn the mean of each group."""
    return Between(g.levels, _means(x, g.codes, len(g.levels)), False)


def fit_within(x: FloatArray, g: Factor) -> Between:
    """Learn the mean of each group, for distances from it."""
    return Between(g.levels, _means(x, g.codes, len(g.levels)), True)


@dataclass(frozen=True, slots=True, eq=False)
class Lag:
    """Values of a group's earlier occasions.

    Attributes
    ----------
    levels : ndarray of object, shape (J,)
    codes, times, values : ndarray, shape (m,)
        The occasions of the fit.
    steps : int
        How many occasions back.
    """

    levels: npt.NDArray[np.object_]
    codes: IntArray
    times: FloatArray
    values: FloatArray
    steps: int

    def apply(self, x: FloatArray, g: Factor, t: FloatArray) -> FloatArray:
        """Find each row's earlier value, among these rows and those of the fit.

        Raises
        ------
        DataError
            If a group has two rows at one time.
        """
        known = level_table(g.levels, self.levels)[g.codes].astype(np.int64)
        own = np.where(known >= 0, known, len(self.levels) + g.codes)
        there = np.flatnonzero((g.codes >= 0) & ~np.isnan(t))
        _refuse_twice(own[there], t[there], g, there)
        codes = np.concatenate([own[there], self.codes])
        times = np.concatenate([t[there], self.times])
        values = np.concatenate([x[there], self.values])
        order = np.lexsort((np.arange(codes.size), times, codes))  # given rows before the fit's
        codes, times, values = codes[order], times[order], values[order]
        again = np.zeros(codes.size, bool)
        again[1:] = (codes[1:] == codes[:-1]) & (times[1:] == times[:-1])
        place = np.full(codes.size, -1)
        place[order] = np.cumsum(~again) - 1
        codes, values = codes[~again], values[~again]
        earlier = place[: there.size] - self.steps
        same = (earlier >= 0) & (codes[np.maximum(earlier, 0)] == own[there])
        out = np.full(x.size, np.nan)
        out[there[same]] = values[earlier[same]]
        return out


def _refuse_twice(codes: IntArray, t: FloatArray, g: Factor, rows: npt.NDArray[Any]) -> None:
    order = np.lexsort((t, codes))
    a, b = order[:-1], order[1:]
    twice = (codes[a] == codes[b]) & (t[a] == t[b])
    if twice.any():
        row = rows[a[twice][0]]
        raise DataError(
            f"lag(): group {g.labels[g.codes[row]]} has two rows at time {t[a[twice][0]]:g}, so "
            "that there is no order; is another grouping column needed, as in "
            "interaction(g, h)?"
        )


def fit_lag(x: FloatArray, g: Factor, t: FloatArray, n: Any = 1) -> Lag:
    """Learn the occasions of each group, in the order of t."""
    if not isinstance(n, int) or isinstance(n, bool) or n < 1:
        raise DataError(f"lag(): n is a whole number of occasions from 1 on, not {n!r}")
    there = (g.codes >= 0) & ~np.isnan(t)
    codes = g.codes[there].astype(np.int64)
    return Lag(g.levels, codes, t[there], x[there], n)


@dataclass(frozen=True, slots=True, eq=False)
class Reorder:
    """The order of a factor's levels."""

    levels: npt.NDArray[np.object_]

    def apply(self, f: Factor, x: FloatArray) -> Factor:
        """Put the levels into this order."""
        return with_levels(f, list(self.levels), "reorder()")


def fit_reorder(f: Factor, x: FloatArray) -> Reorder:
    """Learn R's `reorder`: levels by the mean of a column."""
    means = _means(x, f.codes, len(f.levels))
    used = np.unique(f.codes[f.codes >= 0])
    if np.isnan(means[used]).any():
        label = f.labels[used[np.isnan(means[used])][0]]
        raise DataError(f"reorder(): level {label} has no value to be ordered by")
    return Reorder(f.levels[used[np.argsort(means[used], kind="stable")]])
