"""Dense twin of the generalized models' likelihood: explicit Z, small data, slow and obvious.

Used by the tests to check `nestedmlm.likelihood.glmm.laplace` and
`nestedmlm.likelihood.glmm.quadrature`; nothing else calls it.
"""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from nestedmlm._typing import FloatArray
from nestedmlm.covariance import relative_factors
from nestedmlm.families.family import Family
from nestedmlm.families.row_terms import rows
from nestedmlm.likelihood.plan import term_shapes
from nestedmlm.likelihood.pls import dense_z

if TYPE_CHECKING:
    from nestedmlm.design.design import Design

_TWIN_STEPS = 500  # towards the modes
_SMALLEST_STEP = 1e-13  # relative, in u


def dense_laplace(
    design: Design,
    family: Family,
    theta: FloatArray,
    beta: FloatArray,
    dispersion: float = 1.0,
    *,
    information: str = "expected",
) -> float:
    """-2 log-likelihood by the Laplace approximation, at the user's theta and beta."""
    A, fixed, y, weights = _rows_of(design, theta, beta)
    u = dense_modes(family, A, fixed, y, weights, dispersion)
    eta = fixed + A @ u
    terms = rows(family, eta, y, weights, dispersion)
    w = terms.w if information == "expected" else terms.h
    M = A.T @ (A * w[:, None]) + np.eye(len(u))
    loglik = float((terms.loglik + family.log_constant(y, weights)).sum())
    return -2.0 * loglik + float(u @ u) + float(np.linalg.slogdet(M)[1])


def dense_quadrature(
    design: Design,
    family: Family,
    theta: FloatArray,
    beta: FloatArray,
    dispersion: float = 1.0,
    *,
    nodes: int,
    information: str = "expected",
) -> float:
    """-2 log-likelihood by adaptive quadrature, one level of one factor after the other."""
    A, fixed, y, weights = _rows_of(design, theta, beta)
    u = dense_modes(family, A, fixed, y, weights, dispersion)
    x, mass = np.polynomial.hermite.hermgauss(nodes)
    J = len(design.factors[0].levels)
    k = len(u) // J
    total = 0.0
    # the columns of level j are those of every term's level j
    places = _level_places(design)
    for j in range(J):
        own = places[j]
        mine = design.factors[0].codes == j
        Aj, uj = A[np.ix_(mine, own)], u[own]
        terms = rows(family, fixed[mine] + Aj @ uj, y[mine], weights[mine], dispersion)
        w = terms.w if information == "expected" else terms.h
        L = np.linalg.cholesky(Aj.T @ (Aj * w[:, None]) + np.eye(k))
        C = np.linalg.inv(L).T
        integral = []
        for grid in product(range(nodes), repeat=k):
            at = uj + np.sqrt(2.0) * C @ x[list(grid)]
            eta = fixed[mine] + Aj @ at
            density = rows(family, eta, y[mine], weights[mine], dispersion).loglik.sum()
            log_mass = np.log(mass[list(grid)]).sum() + (x[list(grid)] ** 2).sum()
            integral.append(log_mass + density - 0.5 * at @ at)
        total += np.logaddexp.reduce(integral) - np.log(np.diag(L)).sum() - 0.5 * k * np.log(np.pi)
    return -2.0 * (total + float(family.log_constant(y, weights).sum()))


def dense_modes(
    family: Family,
    A: FloatArray,
    fixed: FloatArray,
    y: FloatArray,
    weights: FloatArray,
    dispersion: float,
) -> FloatArray:
    """Modes of u where ``eta = fixed + A u``, by Newton's method with halved steps."""

    def value(u: FloatArray) -> float:
        with np.errstate(all="ignore"):
            terms = rows(family, fixed + A @ u, y, weights, dispersion)
        found = -2.0 * float(terms.loglik.sum()) + float(u @ u)
        return found if np.isfinite(found) else np.inf

    u = np.zeros(A.shape[1])
    for count in range(_TWIN_STEPS):
        terms = rows(family, fixed + A @ u, y, weights, dispersion)
        w = terms.h if count > 3 else np.where(terms.h > 0.0, terms.h, terms.w)
        M = A.T @ (A * w[:, None]) + np.eye(len(u))
        if np.linalg.eigvalsh(M)[0] <= 0.0:
            M = A.T @ (A * terms.w[:, None]) + np.eye(len(u))
        step = np.linalg.solve(M, A.T @ terms.g - u)
        share, before = 1.0, value(u)
        while value(u + share * step) > before + 1e-11 * abs(before) and share > 1e-10:
            share /= 2.0
        u = u + share * step
        if np.max(np.abs(step), initial=0.0) < _SMALLEST_STEP * (1.0 + np.max(np.abs(u))):
            break
    return u


def _rows_of(
    design: Design, theta: FloatArray, beta: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """``Z Lambda`` term by term, the fixed predictor, responses and weights."""
    factors = relative_factors(np.asarray(theta, dtype=float), term_shapes(design))
    A = np.hstack(
        [
            Z @ np.kron(np.eye(Z.shape[1] // len(T)), T)
            for Z, T in zip(dense_z(design), factors, strict=True)
        ]
    )
    fixed = design.X @ beta
    if design.offset is not None:
        fixed = fixed + design.offset
    weights = np.ones(design.n) if design.weights is None else np.asarray(design.weights)
    return A, fixed, np.asarray(design.y, dtype=float), weights


def _level_places(design: Design) -> list[list[int]]:
    """Columns of ``Z Lambda`` that belong to each level of the first factor."""
    J = len(design.factors[0].levels)
    places: list[list[int]] = [[] for _ in range(J)]
    at = 0
    for term in design.terms:
        k = len(term.columns)
        for j in range(J):
            places[j] += range(at + j * k, at + (j + 1) * k)
        at += J * k
    return places
