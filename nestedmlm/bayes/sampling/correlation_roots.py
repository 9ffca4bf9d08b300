"""Roots of correlation matrices: Cholesky factors, singular ones too; partial correlations."""

from __future__ import annotations

import numpy as np

from nestedmlm._typing import FloatArray


def cholesky_roots(R: FloatArray) -> FloatArray:
    """Cholesky factors of (n, k, k) correlation matrices, also where they are singular."""
    L = np.zeros_like(R)
    for j in range(R.shape[1]):
        left = R[:, j, j] - np.sum(L[:, j, :j] ** 2, axis=1)
        L[:, j, j] = np.sqrt(np.clip(left, 0.0, None))
        safe = np.where(L[:, j, j] > 1e-8, L[:, j, j], np.inf)
        rest = R[:, j + 1 :, j] - np.einsum("nim,nm->ni", L[:, j + 1 :, :j], L[:, j, :j])
        L[:, j + 1 :, j] = rest / safe[:, None]
    return L


def partial_correlations(R: FloatArray) -> FloatArray:
    """Canonical partial correlations of a correlation matrix, pairs (i, j < i) row by row."""
    k = len(R)
    L, out = np.zeros((k, k)), []
    for i in range(k):
        left = 1.0
        for j in range(i):
            value = R[i, j] - L[i, :j] @ L[j, :j]
            L[i, j] = value / L[j, j] if L[j, j] > 1e-8 else 0.0
            room = np.sqrt(max(left, 0.0))
            out.append(L[i, j] / room if room > 1e-8 else 0.0)
            left -= L[i, j] ** 2
        L[i, i] = np.sqrt(max(left, 0.0))
    return np.clip(np.array(out), -1.0, 1.0)
