"""Dense twin of `nestedmlm.likelihood.elimination`: slow and obvious, n x n matrices.

Used by the tests to check the fast path; nothing else calls it. Equation numbers refer to
Bates, Mächler, Bolker & Walker (2015).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from nestedmlm._typing import FloatArray

if TYPE_CHECKING:
    from nestedmlm.design.design import Design


def dense_z(design: Design) -> list[FloatArray]:
    """Return the dense (n, q k) matrix of each random-effects term, effect by effect."""
    out = []
    for term in design.terms:
        factor = design.factors[term.factor]
        n, k = term.X.shape
        Z = np.zeros((n, len(factor.levels) * k))
        for row, code in enumerate(factor.codes):
            Z[row, code * k : (code + 1) * k] = term.X[row]
        out.append(Z if factor.basis is None else Z @ np.kron(factor.basis, np.eye(k)))
    return out


def dense_criterion(design: Design, T: Sequence[FloatArray], *, REML: bool) -> float:
    """REML or ML criterion at the terms' relative factors `T` (user's columns).

    ``y ~ N(X beta, sigma^2 (W^{-1} + Z Lambda Lambda' Z'))`` with beta and sigma profiled out
    (eq. 34 and 41 of the source, written with V instead of the sparse factor).
    """
    n, p = design.X.shape
    w = np.ones(n) if design.weights is None else design.weights
    y = design.y if design.offset is None else design.y - design.offset
    V = np.diag(1.0 / w)
    for Z, t in zip(dense_z(design), T, strict=True):
        ZL = Z @ np.kron(np.eye(Z.shape[1] // len(t)), t)
        V = V + ZL @ ZL.T
    # whiten with the Cholesky factor of V, then solve least squares by QR: no crossproducts
    C: FloatArray = np.linalg.cholesky(V)
    Xw, yw = np.linalg.solve(C, design.X), np.linalg.solve(C, y)
    Q, R = np.linalg.qr(Xw)
    r2 = float(np.sum((yw - Q @ (Q.T @ yw)) ** 2))
    # V includes W^{-1}, so log|V| = log|M| - sum log w
    log_v = 2.0 * float(np.sum(np.log(np.diag(C))))
    df = n - p if REML and p else n
    constant = df * (1.0 + float(np.log(2.0 * np.pi * r2 / df)))
    if REML and p:
        constant += 2.0 * float(np.sum(np.log(np.abs(np.diag(R)))))
    return float(log_v + constant)
