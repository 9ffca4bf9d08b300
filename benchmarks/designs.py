"""Small three-level designs on which optimizers are known to stop early; seeded."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from benchmarks.simulated import labels

FORMULA = "y ~ x + (x | s) + (x | c)"
SHIFTS = ((0.0, 1.0), (4.0, 1.0), (20.0, 3.0), (-7.0, 0.5))  # mean and standard deviation of x
SDS = (0.0, 0.1, 0.3, 1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class SmallDesign:
    """One simulated data set; `label` says how it was drawn."""

    label: str
    frame: pd.DataFrame


def small_designs(count: int, *, seed: int = 4) -> Iterator[SmallDesign]:
    """Designs of 6 to 20 schools with 2 to 5 classes of 3 to 8 rows, the shifts of x in turn.

    Standard deviations of the intercepts and slopes of schools and classes are drawn from `SDS`,
    correlations from (-1, 1): most optima are singular.
    """
    for number in range(count):
        rng = np.random.default_rng([seed, number])
        mean, sd = SHIFTS[number % len(SHIFTS)]
        classes = rng.integers(2, 6, size=rng.integers(6, 21))
        rows = rng.integers(3, 9, size=classes.sum())
        school = np.repeat(np.repeat(np.arange(len(classes)), classes), rows)
        klass = np.repeat(np.arange(len(rows)), rows)
        z = rng.normal(size=len(klass))
        x = mean + sd * z
        drawn = rng.choice(SDS, size=4)
        u, v = _pairs(rng, len(classes), drawn[:2]), _pairs(rng, len(rows), drawn[2:])
        y = 2.0 + z + u[school, 0] + v[klass, 0] + (u[school, 1] + v[klass, 1]) * z
        y = y + rng.normal(size=len(y))
        yield SmallDesign(
            label=f"{number}: x ~ N({mean:g}, {sd:g}), SDs {drawn[:2]} and {drawn[2:]}",
            frame=pd.DataFrame({"y": y, "x": x, "s": labels(school), "c": labels(klass)}),
        )


def _pairs(rng: np.random.Generator, size: int, sds: np.ndarray) -> np.ndarray:
    """Correlated intercepts and slopes, (size, 2)."""
    rho = rng.uniform(-1.0, 1.0)
    factor = np.array([[1.0, 0.0], [rho, np.sqrt(1.0 - rho**2)]])
    return rng.normal(size=(size, 2)) @ factor.T * sds
