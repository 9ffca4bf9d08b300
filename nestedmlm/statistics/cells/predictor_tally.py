"""`PredictorTally`: what sums keep of the predictors' own columns, for means of the response.

Marginal means and hypotheses of type III are made at combinations of the factors' levels and at
the means of covariates. Sums of products do not tell which combinations occur.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from nestedmlm._typing import FloatArray, IntArray
from nestedmlm.design.frame.values import Factor, Integers, Matrix, Vector, take_rows
from nestedmlm.statistics.cells.combinations import combinations, joined, plain_codes, run_starts

MOST_VALUES = 50  # of a column whose combinations with others are counted
MOST_COMBINATIONS = 10_000  # more are not counted
_FIRST_ROWS = 1_000  # that tell most columns of many values


@dataclass(frozen=True, slots=True)
class NumberTally:
    """Number and mean of a numeric column's values; smallest and largest."""

    n: int
    mean: float
    low: float
    high: float

    def __add__(self, other: NumberTally) -> NumberTally:
        n = self.n + other.n
        mean = self.mean + (other.mean - self.mean) * other.n / max(n, 1)
        return NumberTally(n, mean, min(self.low, other.low), max(self.high, other.high))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PredictorTally:
    """Counts of the combinations of the fixed effects' columns, and means of numeric ones.

    Attributes
    ----------
    numbers : mapping of str to NumberTally
        Of each numeric column.
    values : mapping of str to Vector
        Of each column that has few values: its value in every observed combination, (K,).
    counts : (K,) array
        Rows of each combination. Empty where there are too many.
    """

    numbers: Mapping[str, NumberTally]
    values: Mapping[str, Vector]
    counts: IntArray

    @classmethod
    def of(cls, columns: Mapping[str, Vector], n: int) -> PredictorTally:
        """Of n complete rows, at least one.

        Parameters
        ----------
        columns : mapping of str to Vector
            None missing.
        n : int
        """
        numbers = {name: x for name, value in columns.items() if (x := _numbers(value)) is not None}
        few = {name: value for name, value in columns.items() if _has_few_values(value)}
        tallies = {
            name: NumberTally(n, float(x.mean()), float(x.min()), float(x.max()))
            for name, x in numbers.items()
        }
        if not few:
            return PredictorTally(numbers=tallies, values={}, counts=np.array([n], dtype=np.int64))
        start = run_starts([_codes(value) for value in few.values()])  # rows like those before them
        heads = {name: take_rows(value, start) for name, value in few.items()}
        return _counted(tallies, heads, np.diff(start, append=n))

    def numbered(self, name: str) -> tuple[FloatArray, IntArray]:
        """A numeric column's values in order, and how many rows have them.

        Parameters
        ----------
        name : str
            One of both `numbers` and `values`.
        """
        x = _numbers(self.values[name])
        values, which = np.unique(np.asarray(x, dtype=float), return_inverse=True)
        return values, np.bincount(which, self.counts).round().astype(np.int64)

    def __add__(self, other: PredictorTally) -> PredictorTally:
        numbers = {
            name: own + other.numbers[name]
            for name, own in self.numbers.items()
            if name in other.numbers
        }
        both = {
            name: joined([value, other.values[name]], name)
            for name, value in self.values.items()
            if name in other.values
        }
        few = {name: value for name, value in both.items() if _has_few_values(value)}
        if not self.counts.size or not other.counts.size:
            return PredictorTally(numbers=numbers, values={}, counts=np.zeros(0, dtype=np.int64))
        counts = np.concatenate([self.counts, other.counts])
        return _counted(numbers, few, counts)


def _numbers(value: Vector) -> FloatArray | None:
    """A numeric column's values; None of what has no mean."""
    if isinstance(value, Integers):
        return value.numbers()
    return value if isinstance(value, np.ndarray) else None


def _has_few_values(value: Vector) -> bool:
    if isinstance(value, Matrix) or (isinstance(value, Factor) and value.kind == "other"):
        return False
    codes = plain_codes(value)
    if isinstance(value, Factor) and len(value.levels) <= MOST_VALUES:
        return True
    if len(np.unique(codes[:_FIRST_ROWS])) > MOST_VALUES:
        return False
    return len(np.unique(codes[run_starts([codes])])) <= MOST_VALUES


def _counted(
    numbers: Mapping[str, NumberTally], few: Mapping[str, Vector], counts: IntArray
) -> PredictorTally:
    """Tally with the rows of each combination of some columns, none twice."""
    if not few:
        return PredictorTally(numbers=numbers, values={}, counts=counts.sum(keepdims=True))
    codes, first = combinations([_codes(value) for value in few.values()])
    if len(first) > MOST_COMBINATIONS:
        return PredictorTally(numbers=numbers, values={}, counts=counts[:0])
    return PredictorTally(
        numbers=numbers,
        values={name: take_rows(value, first) for name, value in few.items()},
        counts=np.bincount(codes, counts, minlength=len(first)).round().astype(np.int64),
    )


def _codes(value: Vector) -> IntArray:
    codes: IntArray = plain_codes(value)
    return codes


def tally_of(parts: Sequence[PredictorTally | None]) -> PredictorTally | None:
    """The sum of several; None where one is missing."""
    found = [part for part in parts if part is not None]
    if not found or len(found) < len(parts):
        return None
    total = found[0]
    for part in found[1:]:
        total = total + part
    return total
