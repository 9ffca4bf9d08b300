"""``cs``: compound symmetry, one correlation for all pairs of columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any, override

import numpy as np

from nestedmlm.covariance.parameter import Parameter
from nestedmlm.covariance.structure import Structure


@dataclass(frozen=True, slots=True)
class CompoundSymmetry(Structure):
    """Standard deviations times ``(1 - rho) I + rho 11'``, ``-1 / (k - 1) <= rho <= 1``."""

    @override
    def parameters(self, k: int) -> tuple[Parameter, ...]:
        return (Parameter("rho", -1.0 / (k - 1.0), 1.0, 0.0),) if k > 1 else ()

    @override
    def bounded(self, xp: ModuleType, free: Sequence[Any], k: int) -> list[Any]:
        return [1.0 - k / (k - 1.0) * xp.cos(angle) ** 2 for angle in free]

    @override
    def unbounded(self, par: Sequence[float], k: int) -> list[float]:
        return [np.arccos(np.sqrt(np.clip((1.0 - rho) * (k - 1.0) / k, 0.0, 1.0))) for rho in par]

    @override
    def correlation_factor(self, xp: ModuleType, free: Sequence[Any], k: int) -> Any:
        # Symmetric square root: its two eigenvalues sum to k, so an angle parametrises every
        # admissible rho, boundaries included, without a square root.
        angle = free[0]
        mean = np.full((k, k), 1.0 / k)
        apart, together = np.sqrt(k / (k - 1.0)) * xp.cos(angle), np.sqrt(k) * xp.sin(angle)
        return apart * (np.eye(k) - mean) + together * mean

    @override
    def correlations(self, par: Any, k: int) -> Any:
        return np.eye(k) + sum(rho * (1.0 - np.eye(k)) for rho in par)

    @override
    def correlation_rows(
        self, xp: ModuleType, par: Sequence[Any], k: int
    ) -> tuple[tuple[Any, ...], ...]:
        # in closed form: constant below the diagonal
        rho = par[0]
        rows: list[list[Any]] = [[] for _ in range(k)]
        for j in range(k):
            before = 1.0 + (j - 1.0) * rho
            d = None if j == 0 else xp.sqrt((1.0 - rho) * (1.0 + j * rho) / before)
            below = rho if j == 0 else rho * (1.0 - rho) / (before * d)
            rows[j].append(d)
            for i in range(j + 1, k):
                rows[i].append(below)
        return tuple(tuple(row) for row in rows)

    @override
    def common_correlation(self, k: int) -> bool:
        return k > 1
