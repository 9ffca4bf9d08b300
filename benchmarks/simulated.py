"""Seeded data sets. Columns that identify groups are text, so that R makes factors of them."""

from __future__ import annotations

import numpy as np
import pandas as pd


def labels(codes: np.ndarray) -> np.ndarray:
    """Text labels "g0", "g1", ... for codes."""
    return np.char.add("g", codes.astype(str))


def million() -> pd.DataFrame:
    """10^6 rows in 10^5 classes of 10 in 10^4 schools, intercepts and slopes of both."""
    rng = np.random.default_rng(20261122)
    n, classes, schools = 10**6, 10**5, 10**4
    klass = np.repeat(np.arange(classes), n // classes)
    school = klass // (classes // schools)
    x = rng.normal(size=n)
    by_school = rng.normal(size=(schools, 2)) @ np.array([[2.0, 0.3], [0.0, 0.6]])
    by_class = rng.normal(size=(classes, 2)) @ np.array([[1.5, -0.2], [0.0, 0.5]])
    effects = by_school[school] + by_class[klass]
    y = 50.0 + 2.0 * x + effects[:, 0] + effects[:, 1] * x + rng.normal(scale=5.0, size=n)
    return pd.DataFrame({"y": y, "x": x, "school": labels(school), "class": labels(klass)})


MAXIMAL = (1.0, 0.6, 0.5, 0.4, 0.3, 0.3, 0.2, 0.2)
# what a maximal model usually meets: intercepts vary, two slopes do a little, interactions do not
MAXIMAL_SINGULAR = (1.0, 0.3, 0.2, 0.0, 0.0, 0.0, 0.0, 0.0)


def maximal(sds: tuple[float, ...] = MAXIMAL) -> pd.DataFrame:
    """60 subjects x 40 items; conditions a, b, c (-1/+1) in a Latin square over the pairs."""
    rng = np.random.default_rng(72)
    subjects, items = 60, 40
    subject = np.repeat(np.arange(subjects), items)
    item = np.tile(np.arange(items), subjects)
    condition = (subject + item) % 8
    a, b, c = (2.0 * ((condition >> bit) & 1) - 1.0 for bit in range(3))
    X = np.column_stack([np.ones_like(a), a, b, c, a * b, a * c, b * c, a * b * c])
    sd = np.array(sds)
    effects = _correlated(rng, subjects, sd)[subject] + _correlated(rng, items, 0.7 * sd)[item]
    y = X @ rng.normal(size=8) + np.einsum("ij,ij->i", X, effects) + rng.normal(size=len(a))
    frame = {"y": y, "a": a, "b": b, "c": c}
    return pd.DataFrame({**frame, "subject": labels(subject), "item": labels(item)})


def _correlated(rng: np.random.Generator, size: int, sd: np.ndarray) -> np.ndarray:
    factor = np.linalg.cholesky(0.7 * np.eye(len(sd)) + 0.3)
    return rng.normal(size=(size, len(sd))) @ factor.T * sd


def twenty() -> pd.DataFrame:
    """12,000 rows in 600 classes in 100 schools, three correlated slopes at both levels."""
    rng = np.random.default_rng(20)
    n, classes, schools = 12_000, 600, 100
    klass = np.repeat(np.arange(classes), n // classes)
    school = klass // (classes // schools)
    X = np.column_stack([np.ones(n), rng.normal(size=(n, 3))])
    sd = np.array([1.0, 0.5, 0.4, 0.3])
    effects = _correlated(rng, schools, sd)[school] + _correlated(rng, classes, 0.8 * sd)[klass]
    y = X @ [10.0, 1.0, -1.0, 0.5] + np.einsum("ij,ij->i", X, effects) + rng.normal(size=n) * 1.5
    frame = {"y": y, "x1": X[:, 1], "x2": X[:, 2], "x3": X[:, 3]}
    return pd.DataFrame({**frame, "school": labels(school), "class": labels(klass)})


def pairs() -> pd.DataFrame:
    """10^5 groups of two rows."""
    rng = np.random.default_rng(2)
    g = np.repeat(np.arange(10**5), 2)
    x = rng.normal(size=len(g))
    y = 1.0 + 0.5 * x + rng.normal(size=10**5)[g] + rng.normal(scale=1.2, size=len(g))
    return pd.DataFrame({"y": y, "x": x, "g": labels(g)})


def responses(frame: pd.DataFrame, count: int) -> np.ndarray:
    """`count` responses drawn from M17 near its REML estimates, (count, n)."""
    rng = np.random.default_rng(17)
    school, klass = (pd.factorize(frame[name])[0] for name in ("schoolid", "classid"))
    ses = frame["ses"].to_numpy()
    out = np.empty((count, len(frame)))
    factor = np.array([[13.0, 0.0], [4.0, 8.0]])
    for row in out:
        u = rng.normal(size=(school.max() + 1, 2)) @ factor.T
        v = rng.normal(size=klass.max() + 1) * 9.0
        mean = 522.8 + 12.0 * ses + u[school, 0] + u[school, 1] * ses + v[klass]
        row[:] = mean + rng.normal(size=len(frame)) * 33.0
    return out
