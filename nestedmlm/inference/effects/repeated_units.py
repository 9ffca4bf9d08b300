"""Kenward and Roger's sums of a design of independent units that repeat a few kinds.

In a balanced nested design the outermost groups have the same rows, or a few patterns in turn, and
everything that standard errors and degrees of freedom need is a sum over them. So one unit of each
kind is enough, however many there are: with ``C = Z'Z`` of a unit and its covariance of random
effects D (relative to sigma^2), ``Z'V^{-1}Z = (I + C D)^{-1} C`` and
``Z'V^{-1}X = (I + C D)^{-1} Z'X``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from nestedmlm._typing import FloatArray, IntArray
from nestedmlm.inference.effects.kenward_roger import KenwardRoger, spread_of, with_products
from nestedmlm.inference.effects.variance_derivatives import VarianceDerivatives


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class UnitTerm:
    """One random-effects term in the rows of one unit.

    Attributes
    ----------
    matrix : (n, k) array
    codes : (n,) array of int
        Levels, counted within the unit.
    covariance : (k, k) array
        Relative to sigma^2.
    basis : sequence of (k, k) arrays
        Of the covariances that the term can have.
    """

    matrix: FloatArray
    codes: IntArray
    covariance: FloatArray
    basis: Sequence[FloatArray]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Sums:
    rows: FloatArray  # ()
    S: FloatArray  # X'V^{-1}X
    tr_dV: FloatArray
    tr_dV_dV: FloatArray
    X_dV_X: FloatArray
    Q: FloatArray  # X'V^{-1} dV_r V^{-1} dV_s V^{-1}X, (n_d, n_d, p, p)


def kenward_roger_of_units(
    units: Sequence[tuple[FloatArray, Sequence[UnitTerm]]],
    counts: Sequence[int],
    *,
    sigma: float,
) -> KenwardRoger:
    """Kenward and Roger's method of a design that repeats some units.

    Parameters
    ----------
    units : sequence of (X, terms)
        One of each kind.
    counts : sequence of int
        How often each kind occurs.
    sigma : float

    Returns
    -------
    KenwardRoger
        In the columns of X; `R_x` is the identity.
    """
    parts = [_sums(X, terms) for X, terms in units]
    weights = np.asarray(counts, dtype=float)
    total = _Sums(
        **{
            name: np.tensordot(weights, np.stack([getattr(part, name) for part in parts]), axes=1)
            for name in _Sums.__dataclass_fields__
        }
    )
    p, n_d = len(total.S), len(total.tr_dV)
    Phi = np.linalg.inv(total.S)
    no_response = np.full(n_d, np.nan)
    found = VarianceDerivatives(
        Phi=Phi,
        tr_dV=total.tr_dV,
        tr_dV_dV=total.tr_dV_dV,
        X_dV_X=total.X_dV_X,
        tr_Phi_Q=np.einsum("ij,rsji->rs", Phi, total.Q),
        d_rss=no_response,
        d2_rss=np.diag(no_response),
    )
    spread, flat = spread_of(found, int(total.rows), p)
    inner = np.einsum("rs,rsij->ij", spread[1:, 1:], total.Q)
    return with_products(
        found, spread, inner, sigma=sigma, unadjusted=sigma**2 * Phi, R_x=np.eye(p), flat=flat
    )


def _sums(X: FloatArray, terms: Sequence[UnitTerm]) -> _Sums:
    """One unit's share in all sums."""
    Z, D, moves = _random_part(len(X), terms)
    C, ZX = Z.T @ Z, Z.T @ X
    solved = np.linalg.solve(np.eye(len(C)) + C @ D, np.hstack([C, ZX]))
    M, Y = solved[:, : len(C)], solved[:, len(C) :]
    ME = [M[:, own] @ E for own, E in moves]  # the columns of M dV that are not zero
    EY = [E @ Y[own] for own, E in moves]
    n_d, p = len(moves), X.shape[1]
    tr, Q = np.empty((n_d, n_d)), np.empty((n_d, n_d, p, p))
    for r, (own, _) in enumerate(moves):
        for s, (other, _) in enumerate(moves):
            tr[r, s] = np.sum(ME[r][other] * ME[s][own].T)
            Q[r, s] = EY[r].T @ M[own, other] @ EY[s]
    return _Sums(
        rows=np.asarray(float(len(X))),
        S=X.T @ X - ZX.T @ D @ Y,
        tr_dV=np.array([np.trace(ME[own]) for ME, (own, _) in zip(ME, moves, strict=True)]),
        tr_dV_dV=tr,
        X_dV_X=np.array([Y[own].T @ e for e, (own, _) in zip(EY, moves, strict=True)]),
        Q=Q,
    )


def _random_part(
    n: int, terms: Sequence[UnitTerm]
) -> tuple[FloatArray, FloatArray, list[tuple[slice, FloatArray]]]:
    """Z, the covariance of all its effects, and each direction in the columns of its term."""
    blocks, start = [], 0
    covariances: list[tuple[slice, FloatArray]] = []
    moves: list[tuple[slice, FloatArray]] = []
    for term in terms:
        k, levels = term.matrix.shape[1], int(term.codes.max()) + 1
        Z = np.zeros((n, levels, k))
        Z[np.arange(n), term.codes] = term.matrix
        own, each = slice(start, start + levels * k), np.eye(levels)
        blocks.append(Z.reshape(n, -1))
        covariances.append((own, np.asarray(np.kron(each, term.covariance))))
        moves += [(own, np.asarray(np.kron(each, E))) for E in term.basis]
        start = own.stop
    D = np.zeros((start, start))
    for own, block in covariances:
        D[own, own] = block
    return np.hstack(blocks), D, moves
