"""Recoding of X, y and the random-effects columns before crossproducts are formed.

Conditioning (all of it undone exactly when results are reported):

- X is replaced by ``X R_x^{-1}`` with orthonormal weighted columns, y by its residual from
  weighted least squares on X;
- each term's columns are replaced by ``X_t W_t``: orthonormal up to ``sqrt(n)`` for unstructured
  terms (which are equivariant under any linear recoding), scaled to unit root mean square where
  only a scaling keeps the structure. A relative factor T in the user's columns is
  ``W_t^{-1} T`` here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from nestedmlm._typing import FloatArray

if TYPE_CHECKING:
    from nestedmlm.covariance import Structure
    from nestedmlm.design.design import Design


def orthonormal(X: FloatArray, w: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return ``(X R^{-1}, R)`` with ``(X R^{-1})' W (X R^{-1}) = I``.

    Two rounds of Cholesky where X is well conditioned (two passes over the rows, no (n, p)
    factorisation); Householder QR where it is not.
    """
    p = X.shape[1]
    if p == 0:
        return X, np.zeros((0, 0))
    size = np.sqrt(np.einsum("ij,ij,i->j", X, X, w))
    size[size == 0] = 1.0
    try:
        U = X / size
        R1 = np.linalg.cholesky((U.T * w) @ U).T
        if np.diag(R1).min() < 1e-4:  # unit columns: this bounds the condition number
            raise np.linalg.LinAlgError
        U = U @ np.linalg.inv(R1)
        R2 = np.linalg.cholesky((U.T * w) @ U).T
        return U @ np.linalg.inv(R2), R2 @ R1 * size
    except np.linalg.LinAlgError:
        root = np.sqrt(w)[:, None]
        Q, R = np.linalg.qr(X / size * root)
        return Q / root, R * size


def least_squares(X: FloatArray, y: FloatArray, w: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Project y off the orthonormal X, twice (the second removes the rounding of the first)."""
    beta = X.T @ (w * y)
    resid = y - X @ beta
    correction = X.T @ (w * resid)
    return beta + correction, resid - X @ correction


def scaled_columns(
    design: Design, w: FloatArray
) -> tuple[list[FloatArray], tuple[FloatArray, ...]]:
    """Columns of each factor (its terms side by side) after scaling, and each term's W."""
    scaled = [_scaled_term(t.X, t.structure, t.hom, w) for t in design.terms]
    columns = []
    for f in range(len(design.factors)):
        parts = [s[0] for s, t in zip(scaled, design.terms, strict=True) if t.factor == f]
        columns.append(parts[0] if len(parts) == 1 else np.hstack(parts))
    return columns, tuple(s[1] for s in scaled)


def _scaled_term(
    X: FloatArray, structure: Structure, hom: bool, w: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Recode one term's columns as far as its structure allows; return (X W, W)."""
    n, k = X.shape
    # per row, not per unit of weight: multiplying all weights then changes nothing here
    rms = np.sqrt(np.einsum("ij,ij,i->j", X, X, w) / n)
    rms[rms == 0] = 1.0
    if hom:
        rms[:] = np.sqrt(np.mean(rms**2))
    if structure.recodable and k > 1:
        Q, R = orthonormal(X, w)
        d = np.abs(np.diag(R)) / np.linalg.norm(R, axis=0).clip(min=1e-300)
        if np.all(d > 1e-8):
            return np.ascontiguousarray(Q * np.sqrt(n)), np.linalg.inv(R) * np.sqrt(n)
    return X / rms, np.diag(1.0 / rms)
