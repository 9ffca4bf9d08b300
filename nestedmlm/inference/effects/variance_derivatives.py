"""Derivatives of the criterion in the covariance V, for both small-sample methods.

With ``V = W^{-1} + sum_r gamma_r Z E_r Z'`` relative to sigma^2, ``S = X'V^{-1}X``,
``e = V^{-1}(y - X beta)`` and ``P = V^{-1} - V^{-1}X S^{-1}X'V^{-1}``, all in scaled columns.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from nestedmlm._typing import FloatArray
from nestedmlm.inference.effects.trace_sums import (
    apply_direction,
    direction_traces,
    pair_traces,
)
from nestedmlm.inference.fitted import Fitted
from nestedmlm.inference.variances.directions import Directions
from nestedmlm.likelihood import elimination
from nestedmlm.likelihood.criterion import profile

_COLUMNS_TOGETHER = 64  # right-hand sides that are eliminated together


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class VarianceDerivatives:
    """Derivatives of the criterion's parts as V moves in some directions ``dV_r = Z E_r Z'``.

    Attributes
    ----------
    Phi : (p, p) array
        ``S^{-1}``, the covariance of the fixed effects relative to sigma^2.
    tr_dV : (n_d,) array
        ``tr(V^{-1} dV_r)``: derivative of ``log|V|``.
    tr_dV_dV : (n_d, n_d) array
        ``tr(V^{-1} dV_r V^{-1} dV_s)``.
    X_dV_X : (n_d, p, p) array
        ``X'V^{-1} dV_r V^{-1}X``, minus the derivative of S; Kenward & Roger's ``-P_r``.
    tr_Phi_Q : (n_d, n_d) array
        ``tr(Phi Q_rs)`` with Kenward & Roger's ``Q_rs = X'V^{-1} dV_r V^{-1} dV_s V^{-1}X``.
    d_rss : (n_d,) array
        Derivative of the residual sum of squares: ``-e' dV_r e``.
    d2_rss : (n_d, n_d) array
        Its second derivative: ``2 e' dV_r P dV_s e``.
    """

    Phi: FloatArray
    tr_dV: FloatArray
    tr_dV_dV: FloatArray
    X_dV_X: FloatArray
    tr_Phi_Q: FloatArray
    d_rss: FloatArray
    d2_rss: FloatArray


def variance_derivatives(
    fitted: Fitted, directions: Directions, *, traces: bool = True
) -> VarianceDerivatives:
    """Differentiate along some directions; each pair costs a few eliminations.

    Without `traces`, `tr_dV_dV` is NaN: it needs the exact elimination.
    """
    s = fitted.solution
    stats, n_d, p = s.stats, len(directions), s.stats.p
    _, _, v, inverse = profile(s.state.S)
    Phi = inverse[:p, :p]
    _, B = elimination.solve(stats, s.state)
    # columns: X rotated so that Phi is the identity, then the residual
    root = np.linalg.cholesky(s.state.S[:p, :p])  # as `profile`: that of Phi may not exist
    rotation = np.zeros((p + 1, p + 1))
    rotation[:p, :p] = np.linalg.inv(root).T
    rotation[:, p] = v
    C = B @ rotation
    tr_Phi_Q, e_dV_dV_e = np.zeros((n_d, n_d)), np.zeros((n_d, n_d))
    block = max(1, _COLUMNS_TOGETHER // max(n_d, 1))
    for start in range(0, p + 1 if n_d else 0, block):
        own = C[:, start : start + block]
        diagonal = _diagonal(gram_of(own, directions, fitted))
        last = start + own.shape[1] == p + 1
        tr_Phi_Q += diagonal[: len(diagonal) - last].sum(axis=0)
        if last:
            e_dV_dV_e = diagonal[-1]
    X_dV_X, X_dV_e, e_dV_e = np.empty((n_d, p, p)), np.empty((n_d, p)), np.empty(n_d)
    for d, EC in enumerate(apply_directions(C, directions, fitted)):
        product = C.T @ EC
        X_dV_X[d], X_dV_e[d], e_dV_e[d] = product[:p, :p], product[:p, p], product[p, p]
    return VarianceDerivatives(
        Phi=Phi,
        tr_dV=direction_traces(s.state, stats, directions),
        tr_dV_dV=(
            pair_traces(stats, s.state, directions) if traces else np.full((n_d, n_d), np.nan)
        ),
        X_dV_X=root @ X_dV_X @ root.T,
        tr_Phi_Q=tr_Phi_Q,
        d_rss=-e_dV_e,
        d2_rss=2.0 * (e_dV_dV_e - X_dV_e @ X_dV_e.T),
    )


def weighted_products(fitted: Fitted, directions: Directions, weights: FloatArray) -> FloatArray:
    """``sum_rs w_rs X'V^{-1} Z E_r Z' V^{-1} Z E_s Z' V^{-1}X`` for symmetric weights, (p, p)."""
    s = fitted.solution
    p = s.stats.p
    _, B = elimination.solve(s.stats, s.state)
    values, vectors = np.linalg.eigh(weights)
    total = np.zeros((p, p))
    moves = list(apply_directions(B[:, :p], directions, fitted))
    for value, vector in zip(values, vectors.T, strict=True):  # one direction at a time
        combined = sum(w * m for w, m in zip(vector, moves, strict=True))
        total += value * elimination.gram(s.stats, s.state, np.asarray(combined))
    return total


def gram_of(own: FloatArray, directions: Directions, fitted: Fitted) -> FloatArray:
    """``(Z E_r c_i)' V^{-1} (Z E_s c_j)`` for the columns c of `own`: (n_d, k, n_d, k)."""
    n_d, k = len(directions), own.shape[1]
    F = np.stack(list(apply_directions(own, directions, fitted)), axis=1).reshape(len(own), n_d * k)
    s = fitted.solution
    return elimination.gram(s.stats, s.state, F).reshape(n_d, k, n_d, k)


def _diagonal(gram: FloatArray) -> FloatArray:
    """The (k, n_d, n_d) blocks of equal columns."""
    return np.ascontiguousarray(np.einsum("risi->irs", gram))


def apply_directions(B: FloatArray, directions: Directions, fitted: Fitted) -> Iterator[FloatArray]:
    """``(I (x) E) B`` for each direction: in the rows of its factor, zero in the others."""
    factors = fitted.solution.stats.parts
    for f, E in zip(directions.factor, directions.matrices, strict=True):
        yield apply_direction(B, factors[f], E)
