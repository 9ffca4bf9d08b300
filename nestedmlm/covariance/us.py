"""``us``: any covariance matrix."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from types import ModuleType
from typing import Any, ClassVar, override

import numpy as np

from nestedmlm._typing import FloatArray
from nestedmlm.covariance.closed_forms import singular_ends, solve, steepest_direction
from nestedmlm.covariance.moves import Move
from nestedmlm.covariance.structure import TRAPPED, Structure
from nestedmlm.covariance.triangle import echelon, from_lower, lower_indices

_CORRELATED, _LARGE = 0.9, 5.0  # correlations and relative standard deviations of a second start
_SMALL_SDS = 0.3  # relative standard deviations of a third


@dataclass(frozen=True, slots=True)
class Unstructured(Structure):
    """A variance for each column and a covariance for each pair.

    Theta is the lower triangle of T, column by column, as in lme4.
    """

    linear: ClassVar[bool] = True
    free_correlations: ClassVar[bool] = True
    recodable: ClassVar[bool] = True
    takes_hom: ClassVar[bool] = False
    simpler: ClassVar[tuple[str, ...]] = ("cs", "diag")

    @override
    def count(self, k: int, hom: bool) -> int:
        return k * (k + 1) // 2

    @override
    def start(self, k: int, hom: bool) -> FloatArray:
        out: FloatArray = np.eye(k)[lower_indices(k)]
        return out

    @override
    def starts(self, k: int, hom: bool) -> tuple[FloatArray, ...]:
        # large, with all pairs strongly correlated, and small: where `start` is led away from.
        # Two optima are most common where X lacks columns of the term, so that its correlations
        # stand for their means.
        correlated = np.linalg.cholesky((1.0 - _CORRELATED) * np.eye(k) + _CORRELATED)
        first = self.start(k, hom)
        return (
            (first, _LARGE * correlated[lower_indices(k)], _SMALL_SDS * first)
            if k > 1
            else (first,)
        )

    @override
    def factor(self, xp: ModuleType, phi: Any, k: int, hom: bool) -> Any:
        return xp.dot(_scatter(k), phi).reshape((k, k))

    @override
    def to_theta(self, phi: FloatArray, W: FloatArray, hom: bool) -> FloatArray:
        k = len(W)
        out: FloatArray = echelon(W @ from_lower(phi, k))[lower_indices(k)]
        return out

    @override
    def to_phi(self, theta: FloatArray, W: FloatArray, hom: bool) -> FloatArray:
        k = len(W)
        out: FloatArray = echelon(solve(W, from_lower(theta, k)))[lower_indices(k)]
        return out

    @override
    def factor_of_theta(self, theta: FloatArray, k: int, hom: bool) -> FloatArray:
        return from_lower(theta, k)

    @override
    def theta_of_factor(self, L: FloatArray, hom: bool) -> FloatArray:
        out: FloatArray = L[lower_indices(len(L))]
        return out

    @override
    def with_sd(self, theta: FloatArray, k: int, i: int, value: float) -> FloatArray:
        L = from_lower(theta, k)
        norm = float(np.linalg.norm(L[i]))
        # a standard deviation of zero has no correlations to keep
        L[i] = L[i] * (value / norm) if norm > 0 else value * np.eye(k)[i]
        return self.theta_of_factor(L, False)

    @override
    def theta_names(self, term: str, columns: Sequence[str], hom: bool) -> tuple[str, ...]:
        return entry_names(term, columns)

    @override
    def bounds(self, k: int, hom: bool) -> tuple[FloatArray, FloatArray]:
        rows, cols = lower_indices(k)
        return np.where(rows == cols, 0.0, -np.inf), np.full(len(rows), np.inf)

    @override
    def linear_basis(self, k: int, hom: bool) -> tuple[FloatArray, ...]:
        basis = []
        for a, b in self.free_entries(k, hom):
            E = np.zeros((k, k))
            E[a, b] = E[b, a] = 1.0
            basis.append(E)
        return tuple(basis)

    @override
    def free_entries(self, k: int, hom: bool) -> tuple[tuple[int, int], ...]:
        return tuple((a, b) for a in range(k) for b in range(a + 1))

    @override
    def determinant_powers(self, k: int, hom: bool) -> FloatArray | None:
        rows, cols = lower_indices(k)
        return np.where(rows == cols, 1.0, 0.0)

    @override
    def on_boundary(
        self, phi: FloatArray, theta: FloatArray, k: int, hom: bool, tol: float
    ) -> np.ndarray:
        L = from_lower(phi, k)
        empty = np.linalg.norm(L, axis=0) < tol * max(1.0, float(np.abs(L).max()))
        out: np.ndarray = empty[lower_indices(k)[1]]
        return out

    @override
    def moves(self, phi: FloatArray, M: FloatArray, k: int, hom: bool) -> tuple[Move, ...]:
        # any u u' may be added: the eigenvector of the smallest eigenvalue is the steepest
        u = steepest_direction(M)

        def grown(step: float) -> FloatArray:
            new = u[:, None] * np.sqrt(step)
            out: FloatArray = echelon(np.hstack([from_lower(phi, k), new]))[lower_indices(k)]
            return out

        return (Move(u[:, None] * u, grown, unit=True),)

    @override
    def off_boundary(self, phi: FloatArray, k: int, hom: bool) -> FloatArray:
        rows, cols = lower_indices(k)
        return np.where((rows == cols) & (np.abs(phi) < TRAPPED), 0.1, phi)

    @override
    def with_zeros(self, phi: FloatArray, k: int, hom: bool, limit: float) -> list[FloatArray]:
        L = from_lower(phi, k)
        smallest, largest = singular_ends(L)
        if smallest >= limit * max(1.0, largest):
            return []
        U, s, _ = np.linalg.svd(L)
        found = []
        for n in range(int(np.sum(s < limit * max(1.0, float(s[0])))), 0, -1):
            kept = s.copy()
            kept[k - n :] = 0.0
            found.append(echelon(U * kept)[lower_indices(k)])
        return found


@lru_cache(maxsize=64)
def _scatter(k: int) -> FloatArray:
    rows, cols = lower_indices(k)
    P = np.zeros((k * k, len(rows)))
    P[rows * k + cols, np.arange(len(rows))] = 1.0
    return P


def entry_names(term: str, columns: Sequence[str]) -> tuple[str, ...]:
    """Names of the entries of a lower triangle (``Subject.Days.(Intercept)``)."""
    rows, cols = lower_indices(len(columns))
    return tuple(
        f"{term}.{columns[i]}" if i == j else f"{term}.{columns[i]}.{columns[j]}"
        for i, j in zip(rows.tolist(), cols.tolist(), strict=True)
    )
