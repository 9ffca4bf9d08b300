"""Preconditioned conjugate gradients for many right-hand sides, and what they say of log|S|.

Golub & Van Loan (2013), Matrix Computations, 11.5; the coefficients of the iterations are those of
Lanczos' tridiagonal matrix (Golub & Meurant 2010), whose logarithm gives a log-determinant.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from nestedmlm._typing import FloatArray, IntArray

TOLERANCE = 1e-10  # of the residual, relative to the right-hand side, in the preconditioner's norm
MOST_ITERATIONS = 1000  # after which a right-hand side counts as one without a solution
_GONE = 1e-300  # squared norm of a residual that is zero

type Map = Callable[[FloatArray], FloatArray]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Solved:
    """Solutions, and the coefficients of the iterations.

    Attributes
    ----------
    x : (q, m) array
    alpha, beta : (iterations, m) arrays
        Step lengths, and how much of the last direction was kept.
    iterations : (m,) array
        How many each right-hand side took.
    """

    x: FloatArray
    alpha: FloatArray
    beta: FloatArray
    iterations: IntArray


def conjugate_gradients(apply: Map, precondition: Map, rhs: FloatArray) -> Solved:
    """Solve ``S x = rhs``, all columns together.

    Parameters
    ----------
    apply, precondition : callable
        ``S x`` and ``P^{-1} r`` of (q, m) arrays.
    rhs : (q, m) array

    Raises
    ------
    numpy.linalg.LinAlgError
        If some column does not converge.
    """
    x, r = np.zeros_like(rhs), rhs.copy()
    z = precondition(r)
    rz = np.einsum("qm,qm->m", r, z)
    stop = TOLERANCE**2 * rz
    direction, alphas, betas = z.copy(), [], []
    iterations = np.zeros(rhs.shape[1], dtype=np.int64)
    for _ in range(MOST_ITERATIONS):
        active = (rz > stop) & (rz > _GONE)
        if not active.any():
            break
        Sd = apply(direction)
        length = np.einsum("qm,qm->m", direction, Sd)
        alpha = np.where(active, rz / np.where(active, length, 1.0), 0.0)
        x += alpha * direction
        r -= alpha * Sd
        z = precondition(r)
        new = np.einsum("qm,qm->m", r, z)
        beta = np.where(active, new / np.where(active, rz, 1.0), 0.0)
        direction *= beta
        direction += z
        rz = np.where(active, new, rz)
        alphas.append(alpha)
        betas.append(beta)
        iterations += active
        if not np.all(np.isfinite(rz)):
            break
    else:
        active = (rz > stop) & (rz > _GONE)
    if active.any() or not np.all(np.isfinite(rz)):
        raise np.linalg.LinAlgError("conjugate gradients did not converge")
    none = np.zeros((0, rhs.shape[1]))
    return Solved(
        x=x,
        alpha=np.array(alphas) if alphas else none,
        beta=np.array(betas) if betas else none,
        iterations=iterations,
    )


def log_determinants(found: Solved, columns: slice, q: int) -> FloatArray:
    """Estimates of ``log|P^{-1/2} S P^{-1/2}|``, one for each random right-hand side.

    Parameters
    ----------
    found : Solved
        For right-hand sides ``P^{1/2} z`` with the z of random signs.
    columns : slice
        Where they stand.
    q : int
        Size of S.

    Notes
    -----
    Stochastic Lanczos quadrature, less the first-order term, whose expectation is zero where the
    diagonal of ``P^{-1/2} S P^{-1/2}`` is one.
    """
    from scipy.linalg import eigh_tridiagonal  # most fits need no SciPy

    out = []
    for j in range(*columns.indices(found.x.shape[1])):
        n = int(found.iterations[j])
        if n == 0:
            out.append(0.0)
            continue
        alpha, beta = found.alpha[:n, j], found.beta[:n, j]
        diagonal = 1.0 / alpha
        diagonal[1:] += beta[:-1] / alpha[:-1]
        values, vectors = eigh_tridiagonal(diagonal, np.sqrt(beta[:-1]) / alpha[:-1])
        # log x - (x - 1), small where S is nearly its preconditioner
        out.append(q * float(vectors[0] ** 2 @ (np.log(values) - (values - 1.0))))
    return np.array(out)
