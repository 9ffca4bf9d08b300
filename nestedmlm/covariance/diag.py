"""``diag``: variances without covariances."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from types import ModuleType
from typing import Any, ClassVar, override

import numpy as np

from nestedmlm._typing import FloatArray
from nestedmlm.covariance.moves import Move
from nestedmlm.covariance.structure import Structure, growing_variances, n_sd


@dataclass(frozen=True, slots=True)
class Diagonal(Structure):
    """A variance for each column, or one for all; no correlations."""

    linear: ClassVar[bool] = True
    correlated: ClassVar[bool] = False
    simpler: ClassVar[tuple[str, ...]] = ()

    @override
    def correlation_factor(self, xp: ModuleType, free: Sequence[Any], k: int) -> Any:
        return np.eye(k)

    @override
    def correlations(self, par: Any, k: int) -> Any:
        return np.eye(k)

    @override
    def correlation_rows(
        self, xp: ModuleType, par: Sequence[Any], k: int
    ) -> tuple[tuple[Any, ...], ...]:
        return tuple((None,) * (i + 1) for i in range(k))

    @override
    def theta_of_factor(self, L: FloatArray, hom: bool) -> FloatArray:
        return np.diag(L)[: n_sd(len(L), hom)]

    @override
    def linear_basis(self, k: int, hom: bool) -> tuple[FloatArray, ...]:
        return growing_variances(k, hom)

    @override
    def free_entries(self, k: int, hom: bool) -> tuple[tuple[int, int], ...]:
        return () if hom else tuple((a, a) for a in range(k))

    @override
    def determinant_powers(self, k: int, hom: bool) -> FloatArray | None:
        return np.full(n_sd(k, hom), float(k) if hom else 1.0)

    @override
    def moves(self, phi: FloatArray, M: FloatArray, k: int, hom: bool) -> tuple[Move, ...]:
        def grown(E: FloatArray, step: float) -> FloatArray:
            n, out = n_sd(k, hom), phi.copy()
            out[:n] = np.sqrt(out[:n] ** 2 + np.diag(E)[:n] * step)
            return out

        one = k == 1 or not hom
        return tuple(Move(E, partial(grown, E), unit=one) for E in growing_variances(k, hom))
