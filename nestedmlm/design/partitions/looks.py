"""`Learner`: one look at all partitions; and numbers that add up over them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from nestedmlm._typing import FloatArray
from nestedmlm.design.frame.transforms import Transform


class Learner(Protocol):
    """One look at all partitions."""

    def look(self, columns: Sequence[Any]) -> Any:
        """What one partition says: something that can be added."""

    def learn(self, total: Any) -> Transform | Learner:
        """What all say together."""


@dataclass(frozen=True, slots=True)
class Moments:
    """Number, mean and sum of squares about the mean of values; smallest and largest."""

    n: int
    mean: float
    squares: float
    low: float
    high: float

    @classmethod
    def of(cls, x: FloatArray) -> Moments:
        """Of values, missing ones left out."""
        x = x[~np.isnan(x)]
        if not x.size:
            return cls(0, 0.0, 0.0, np.inf, -np.inf)
        mean = float(x.mean())
        squares = float(((x - mean) ** 2).sum())
        return cls(x.size, mean, squares, float(x.min()), float(x.max()))

    def __add__(self, other: Moments) -> Moments:
        # Chan, Golub & LeVeque (1983), eq. 2.1
        n = self.n + other.n
        if not n:
            return self
        away = other.mean - self.mean
        return Moments(
            n,
            self.mean + away * other.n / n,
            self.squares + other.squares + away * away * self.n * other.n / n,
            min(self.low, other.low),
            max(self.high, other.high),
        )


@dataclass(frozen=True, slots=True, eq=False)
class Sum:
    """Several numbers or arrays that are added one by one."""

    parts: tuple[Any, ...]

    def __add__(self, other: Sum) -> Sum:
        return Sum(tuple(a + b for a, b in zip(self.parts, other.parts, strict=True)))
