"""``ar1``: correlations that fall by the same factor from one column to the next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any, override

import numpy as np

from nestedmlm.covariance.parameter import Parameter
from nestedmlm.covariance.structure import Structure


@dataclass(frozen=True, slots=True)
class Autoregressive(Structure):
    """Standard deviations times ``rho^|i - j|``, ``-1 <= rho <= 1``."""

    @override
    def parameters(self, k: int) -> tuple[Parameter, ...]:
        return (Parameter("rho", -1.0, 1.0, 0.0),) if k > 1 else ()

    @override
    def bounded(self, xp: ModuleType, free: Sequence[Any], k: int) -> list[Any]:
        return [xp.sin(angle) for angle in free]

    @override
    def unbounded(self, par: Sequence[float], k: int) -> list[float]:
        return [np.arcsin(np.clip(rho, -1.0, 1.0)) for rho in par]

    @override
    def correlation_factor(self, xp: ModuleType, free: Sequence[Any], k: int) -> Any:
        # Cholesky factor with rho = sin(angle): the innovations' SD is cos(angle)
        rho, innovation = xp.sin(free[0]), xp.cos(free[0])
        lag = np.subtract.outer(np.arange(k), np.arange(k))
        first = (np.arange(k) == 0).astype(float)
        column_sd = first + (1.0 - first) * innovation
        powers = xp.stack(_powers(rho, k))[np.maximum(lag, 0)]
        return powers * (lag >= 0) * column_sd[None, :]

    @override
    def correlations(self, par: Any, k: int) -> Any:
        if k == 1:
            return np.eye(1)
        lag = np.abs(np.subtract.outer(np.arange(k), np.arange(k)))
        return np.stack(_powers(par[0], k))[lag]

    @override
    def correlation_rows(
        self, xp: ModuleType, par: Sequence[Any], k: int
    ) -> tuple[tuple[Any, ...], ...]:
        # powers of rho, and the innovations' SD
        powers: list[Any] = [None, par[0]]
        for _ in range(2, k):
            powers.append(powers[-1] * par[0])
        innovation = xp.sqrt(1.0 - par[0] ** 2)
        scaled = [innovation, *(p * innovation for p in powers[1:])]
        return tuple(
            tuple(powers[i] if j == 0 else scaled[i - j] for j in range(i + 1)) for i in range(k)
        )

    @override
    def common_correlation(self, k: int) -> bool:
        return k > 1


def _powers(rho: Any, k: int) -> list[Any]:
    """``1, rho, rho^2, …``: k of them."""
    out = [1.0 + 0.0 * rho]
    for _ in range(k - 1):
        out.append(out[-1] * rho)
    return out
