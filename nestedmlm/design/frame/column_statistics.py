"""Statistics of a column that a formula learns at the fit: `mean`, `sd`, `quantile`, `cut`, `rank`.

R computes them again from whatever data a formula meets, new data too; here the number of the fit
stays. Missing values make R's answer NA; here they are refused unless ``na.rm = TRUE`` is written.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from nestedmlm._typing import FloatArray
from nestedmlm.design.frame.values import Factor, level_label, object_array
from nestedmlm.errors import DataError

_INFINITE = {np.inf: " Inf", -np.inf: "-Inf"}  # as R's formatC() writes them


@dataclass(frozen=True, slots=True)
class Statistic:
    """One number of a column, or a few."""

    value: float | tuple[float, ...]

    def apply(self, x: FloatArray) -> float | list[float]:
        """What was learned, whatever the column is now."""
        return list(self.value) if isinstance(self.value, tuple) else self.value


def _complete(x: FloatArray, name: str, na_rm: Any) -> FloatArray:
    if not isinstance(na_rm, bool):
        raise DataError(f"{name}(): na.rm is TRUE or FALSE, not {na_rm!r}")
    missing = np.isnan(x)
    if missing.any() and not na_rm:
        raise DataError(
            f"{name}() of a column with {int(missing.sum())} missing values is NA in R; write "
            "na.rm = TRUE in the call to take those that are there"
        )
    if missing.all():
        raise DataError(f"{name}() of a column without values")
    return x[~missing]


def statistic(name: str, function: Callable[[FloatArray], float]) -> Callable[..., Statistic]:
    """Make the function that learns one number of a column."""

    def fit(x: FloatArray, na_rm: Any = False) -> Statistic:
        return Statistic(float(function(_complete(x, name, na_rm))))

    return fit


def variance(x: FloatArray) -> float:
    """Variance with n - 1.

    Raises
    ------
    DataError
        Of fewer than two values.
    """
    if x.size < 2:
        raise DataError("sd() and var() need two values")
    return float(np.var(x, ddof=1))


def fit_range(x: FloatArray, na_rm: Any = False) -> Statistic:
    """Learn the least and the largest value."""
    values = _complete(x, "range", na_rm)
    return Statistic((float(values.min()), float(values.max())))


def fit_quantile(x: FloatArray, probs: Any = None, na_rm: Any = False) -> Statistic:
    """Learn quantiles (R's type 7); several are a list, such as `cut` takes."""
    wanted = [0.0, 0.25, 0.5, 0.75, 1.0] if probs is None else probs
    several = isinstance(wanted, list)
    levels: list[Any] = wanted if isinstance(wanted, list) else [wanted]
    if not all(isinstance(p, int | float) and 0 <= p <= 1 for p in levels):
        raise DataError("quantile(): probs are numbers between 0 and 1")
    found = np.quantile(_complete(x, "quantile", na_rm), [float(p) for p in levels])
    numbers = tuple(float(value) for value in np.atleast_1d(found))
    return Statistic(numbers if several else numbers[0])


@dataclass(frozen=True, slots=True, eq=False)
class Cut:
    """Intervals that a column is cut into (R's `cut`).

    Attributes
    ----------
    breaks : ndarray, shape (m + 1,)
    labels : tuple of str, or None
        None: the intervals' numbers, not a factor.
    right, lowest : bool
        Whether intervals are closed on the right, and the last one on its open side too.
    ordered : bool
    """

    breaks: FloatArray
    labels: tuple[str, ...] | None
    right: bool
    lowest: bool
    ordered: bool

    def apply(self, x: FloatArray) -> Factor | FloatArray:
        """Find the interval of each value; outside of all, a value is missing, as in R."""
        count = self.breaks.size - 1
        codes = np.searchsorted(self.breaks, x, side="left" if self.right else "right") - 1
        if self.lowest:
            codes[x == self.breaks[0 if self.right else -1]] = 0 if self.right else count - 1
        codes[np.isnan(x) | (codes < 0) | (codes >= count)] = -1
        if self.labels is None:
            return np.append(np.arange(1.0, count + 1), np.nan)[codes]
        return Factor(
            codes=codes.astype(np.int32),
            levels=object_array(self.labels),
            kind="category",
            ordered=self.ordered,
        )


def fit_cut(
    x: FloatArray,
    breaks: Any = None,
    labels: Any = None,
    include_lowest: Any = False,
    right: Any = True,
    dig_lab: Any = 3,
    ordered_result: Any = False,
) -> Cut:
    """Learn R's `cut`: breaks as given, or as many intervals of equal width over the data."""
    for name, option in (("include.lowest", include_lowest), ("right", right),
                         ("ordered_result", ordered_result)):  # fmt: skip
        if not isinstance(option, bool):
            raise DataError(f"cut(): {name} is TRUE or FALSE, not {option!r}")
    if not isinstance(dig_lab, int) or not 1 <= dig_lab <= 22:
        raise DataError(f"cut(): dig.lab is a whole number from 1 to 22, not {dig_lab!r}")
    found = _breaks(x, breaks)
    texts = _labels(found, labels, dig_lab, right, include_lowest)
    return Cut(found, texts, right, include_lowest, ordered_result)


def _breaks(x: FloatArray, breaks: Any) -> FloatArray:
    many = breaks if isinstance(breaks, list) else [breaks]
    if not all(isinstance(b, int | float) and not np.isnan(b) for b in many) or not many:
        raise DataError("cut(): breaks are numbers, such as c(0, 10, 20), or how many intervals")
    if len(many) > 1:
        found = np.sort(np.array(many, dtype=float))
        if np.unique(found).size < found.size:
            raise DataError("cut(): breaks are not unique")
        return found
    if many[0] < 2 or many[0] > 1e5:
        raise DataError("cut(): there must be at least 2 intervals (breaks = 2), or several breaks")
    present = x[np.isfinite(x)]
    if present.size == 0:
        raise DataError("cut() of a column without values")
    low, high = float(present.min()), float(present.max())
    width = high - low
    if width == 0:
        return np.linspace(low - abs(low) / 1000, high + abs(low) / 1000, int(many[0]) + 1)
    found = np.linspace(low, high, int(many[0]) + 1)
    found[[0, -1]] = low - width / 1000, high + width / 1000
    return found


def _labels(
    breaks: FloatArray, labels: Any, digits: int, right: bool, lowest: bool
) -> tuple[str, ...] | None:
    count = breaks.size - 1
    if labels is False:
        return None
    if labels is not None and labels is not True:
        given = tuple(level_label(label) for label in np.atleast_1d(np.array(labels, dtype=object)))
        if len(given) != count or len(set(given)) < count:
            raise DataError(f"cut(): {count} intervals need as many different labels")
        return given
    for wanted in range(digits, max(12, digits) + 1):
        texts = [_INFINITE.get(float(b), f"{b:.{wanted}g}") for b in breaks]
        if all(a != b for a, b in itertools.pairwise(texts)):
            break
    else:
        return tuple(map(str, range(1, count + 1)))
    opening, closing = ("(", "]") if right else ("[", ")")
    found = [f"{opening}{a},{b}{closing}" for a, b in itertools.pairwise(texts)]
    if lowest and right:
        found[0] = "[" + found[0][1:]
    elif lowest:
        found[-1] = found[-1][:-1] + "]"
    return tuple(found)


@dataclass(frozen=True, slots=True, eq=False)
class Rank:
    """Ranks among the data of the fit.

    Attributes
    ----------
    values, ranks : ndarray, shape (m,)
        The distinct values, ascending, and their ranks.
    """

    values: FloatArray
    ranks: FloatArray

    def apply(self, x: FloatArray) -> FloatArray:
        """Look ranks up.

        Raises
        ------
        DataError
            For a value that the data of the fit do not have: it has no rank among them.
        """
        place = np.minimum(np.searchsorted(self.values, x), self.values.size - 1)
        known = (self.values[place] == x) | np.isnan(x)
        if not known.all():
            raise DataError(
                f"rank(): {x[~known][0]:g} does not occur in the data that the model was fitted "
                "to, so it has no rank among them, and ranks of new data alone mean something "
                "else; for predictions use the column itself, or cut() it"
            )
        return np.where(np.isnan(x), np.nan, self.ranks[place])


def fit_rank(x: FloatArray, na_last: Any = None, ties_method: Any = "average") -> Rank:
    """Learn R's `rank`; ties by their average, or ``"min"`` or ``"max"``."""
    if ties_method not in ("average", "min", "max"):
        raise DataError(
            f"rank(): ties.method is 'average', 'min' or 'max' here, not {ties_method!r}: others "
            "give equal values different ranks by the order of the rows"
        )
    missing = int(np.isnan(x).sum())
    if missing and na_last != "keep":
        raise DataError(
            f"rank() of a column with {missing} missing values: R ranks them last, as if they were "
            'large; write na.last = "keep" to leave them missing'
        )
    values, counts = np.unique(x[~np.isnan(x)], return_counts=True)
    if values.size == 0:
        raise DataError("rank() of a column without values")
    last = np.cumsum(counts).astype(float)
    first = last - counts + 1
    ranks = {"average": (first + last) / 2, "min": first, "max": last}[ties_method]
    return Rank(values, ranks)
