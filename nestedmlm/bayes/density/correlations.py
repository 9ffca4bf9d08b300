"""Rows of the correlations' Cholesky factors from unconstrained coordinates, with adjoints.

An unstructured correlation matrix comes from its canonical partial correlations (Lewandowski,
Kurowicka & Joe 2009), whose coordinates are the logits z of ``(1 + p) / 2``: ``p = tanh(z/2)``. A
structured one comes from the structure's own formula, differentiated by complex steps.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from nestedmlm._typing import FloatArray
from nestedmlm.bayes.model.names import pairs
from nestedmlm.covariance.structure import COMPLEX_STEP, Structure

Pullback = Callable[[FloatArray], FloatArray]


class CorrelationRows(Protocol):
    """Rows of the lower triangle of a Cholesky factor, but for its first entry, which is 1."""

    def rows(self, values: FloatArray) -> tuple[FloatArray, Pullback]:
        """The entries (…, k (k + 1) / 2 - 1) at some values, and the pullback of their adjoint."""
        ...


def lower_places(k: int) -> list[tuple[int, int]]:
    """Places of a lower triangle, row by row."""
    return [(i, j) for i in range(k) for j in range(i + 1)]


def correlation_matrices(values: FloatArray, k: int) -> FloatArray:
    """Correlation matrices (…, k, k) of the correlations (…, k (k - 1) / 2) of `pairs`."""
    out = np.ones((*values.shape[:-1], k, k))
    for m, (i, j) in enumerate(pairs(k)):
        out[..., i, j] = out[..., j, i] = values[..., m]
    return out


@dataclass(frozen=True, slots=True)
class PartialCorrelations:
    """An unstructured correlation matrix by the logits of its partial correlations.

    Attributes
    ----------
    k : int
        Columns.
    """

    k: int

    def rows(self, values: FloatArray) -> tuple[FloatArray, Pullback]:
        """Stick-breaking: ``L[i, j] = p[i, j] prod_l q[i, l]``, ``q = sqrt(1 - p^2)``."""
        p, q = np.tanh(0.5 * values), 1.0 / np.cosh(0.5 * values)
        out, lefts, at = [], [], 0
        for i in range(1, self.k):
            left = np.ones(values.shape[:-1])
            for j in range(i):
                lefts.append(left)
                out.append(p[..., at + j] * left)
                left = left * q[..., at + j]
            out.append(left)
            at += i

        def pullback(bar: FloatArray) -> FloatArray:
            found = np.empty_like(values)
            at, first = len(lefts), bar.shape[-1]
            for i in range(self.k - 1, 0, -1):
                at, first = at - i, first - i - 1
                left_bar = bar[..., first + i]
                for j in range(i - 1, -1, -1):
                    own_p, own_q, left = p[..., at + j], q[..., at + j], lefts[at + j]
                    p_bar, q_bar = bar[..., first + j] * left, left_bar * left
                    left_bar = left_bar * own_q + bar[..., first + j] * own_p
                    found[..., at + j] = 0.5 * own_q * (p_bar * own_q - q_bar * own_p)
            return found

        return np.stack(out, axis=-1), pullback


@dataclass(frozen=True, slots=True)
class StructuredRows:
    """A structured correlation matrix by the values of its parameters.

    Attributes
    ----------
    structure : Structure
    k : int
    """

    structure: Structure
    k: int

    def rows(self, values: FloatArray) -> tuple[FloatArray, Pullback]:
        """The structure's own rows, at one point after the other."""
        points = values.reshape(-1, values.shape[-1])
        found = [self._at(point) for point in points]
        size = self.k * (self.k + 1) // 2 - 1
        entries = np.array([own for own, _ in found]).reshape(*values.shape[:-1], size)
        slopes = np.array([slope for _, slope in found])

        def pullback(bar: FloatArray) -> FloatArray:
            flat = bar.reshape(len(points), 1, size)
            out: FloatArray = (flat @ slopes)[:, 0].reshape(values.shape)
            return out

        return entries, pullback

    def _at(self, point: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Entries at one point, and their slopes in each parameter."""
        steps = 1j * COMPLEX_STEP * np.eye(len(point))
        moved = [self._entries((point + step).tolist()) for step in steps]
        slopes = np.column_stack([found.imag / COMPLEX_STEP for found in moved])
        return self._entries(point.tolist()).real, slopes

    def _entries(self, par: list[complex]) -> np.ndarray:
        rows = self.structure.correlation_rows(np, par, self.k)
        numbers = [
            float(i == j) if rows[i][j] is None else rows[i][j] for i, j in lower_places(self.k)[1:]
        ]
        return np.array(numbers, dtype=complex)
