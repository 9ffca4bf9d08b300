"""Rank and pivots as R's `qr` (LINPACK dqrdc2) finds them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from nestedmlm._typing import FloatArray
from nestedmlm.covariance.closed_forms import cholesky


def _surely_full_rank(X: FloatArray, tol: float) -> bool:
    """Cheap sufficient check on X'X; False says nothing."""
    if X.shape[0] < X.shape[1]:
        return False
    with np.errstate(over="ignore", invalid="ignore"):
        gram = X.T @ X
    squares = gram.diagonal()
    if not np.isfinite(squares).all() or squares.min() <= 0:
        return False
    norms = np.sqrt(squares)
    try:
        pivots = cholesky(gram / norms / norms[:, None]).diagonal()
    except np.linalg.LinAlgError:
        return False
    # crossproducts lose half the digits: trust them only far away from the tolerance
    return bool(pivots.min() > max(1e4 * tol, 1e-3))


def kept_columns(X: FloatArray, *, tol: float = 1e-7) -> npt.NDArray[np.intp]:
    """Return the columns R keeps: the earliest that are linearly independent.

    Parameters
    ----------
    X : ndarray, shape (n, p)
    tol : float
        A column whose part orthogonal to the ones before it has less than `tol` of its own norm
        is moved to the end.

    Returns
    -------
    ndarray of int, shape (rank,)
        Ascending.

    Notes
    -----
    The rule of LINPACK's dqrdc2 as modified for R: Householder steps in order, a negligible
    column goes to the end and the others keep their order.
    """
    n, p = X.shape
    if p == 0 or _surely_full_rank(X, tol):
        return np.arange(p)
    # powers of two change no digit and keep squares from overflowing
    _, exponents = np.frexp(np.abs(X).max(axis=0, initial=0.0))
    work = np.asfortranarray(np.ldexp(X, -exponents))
    original = np.sqrt(np.einsum("ij,ij->j", work, work))
    original[original == 0] = 1.0
    kept: list[int] = []
    for column in range(p):
        row = len(kept)
        if row == n:
            break
        rest = work[row:, column]
        norm = np.sqrt(rest @ rest)
        if norm < original[column] * tol:
            continue
        kept.append(column)
        reflector = rest / (norm if rest[0] >= 0 else -norm)
        reflector[0] += 1.0
        later = work[row:, column + 1 :]
        later -= np.outer(reflector, (reflector @ later) / reflector[0])
    return np.asarray(kept, dtype=np.intp)
