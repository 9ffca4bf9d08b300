"""Rows of clusters with what the covariance of the response makes of them.

Residuals of one variance have ``V^{-1}[X e]`` by the random effects; those that differ or correlate
have V itself, dense, cluster by cluster.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from nestedmlm._typing import FloatArray, IntArray
from nestedmlm.errors import MemoryLimitError
from nestedmlm.inference.fitted import Fitted
from nestedmlm.inference.rows.deletion import inverse_rows
from nestedmlm.likelihood.criterion import profile
from nestedmlm.statistics.memory import available_memory


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Clusters:
    """Clusters of rows.

    Attributes
    ----------
    name : str
    codes : (n,) int array
        The cluster of each row.
    count : int
        Number of clusters.
    """

    name: str
    codes: IntArray
    count: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ClusterRows:
    """Rows of one cluster, in scaled columns of X and relative to sigma.

    Attributes
    ----------
    X, WX : (n, p) arrays
        And ``V^{-1} X``.
    We : (n,) array
        ``V^{-1}`` times the residuals.
    V : callable -> (n, n) array
        Made where it is asked for.
    """

    X: FloatArray
    WX: FloatArray
    We: FloatArray
    V: Callable[[], FloatArray]


def cluster_rows(fitted: Fitted, members: list[IntArray]) -> list[ClusterRows]:
    """Take the rows of each cluster.

    Parameters
    ----------
    fitted : Fitted
    members : list of int arrays
        Rows of each cluster, which hold all random effects and blocks of residuals.

    Raises
    ------
    MemoryLimitError
        If a cluster is too large for its V.
    """
    s, design = fitted.solution, fitted.design
    X = design.X @ s.stats.R_x_inverse
    if s.stats.residual is not None:
        y = design.y if design.offset is None else design.y - design.offset
        return _with_dense_variances(fitted, members, X, y - design.X @ s.beta)
    p = s.stats.p
    _, B, _ = inverse_rows(s, design)
    residual = B @ profile(s.state.S)[2]
    ones = np.ones(design.n) if design.weights is None else 1.0 / design.weights
    return [
        ClusterRows(
            X=X[own], WX=B[own, :p], We=residual[own], V=partial(_variance, fitted, own, ones)
        )
        for own in members
    ]


def _with_dense_variances(
    fitted: Fitted, members: list[IntArray], X: FloatArray, e: FloatArray
) -> list[ClusterRows]:
    at, w = fitted.solution.stats.residual, fitted.design.weights
    cluster, place = np.empty(len(e), dtype=np.int64), np.empty(len(e), dtype=np.int64)
    for g, own in enumerate(members):
        cluster[own], place[own] = g, np.arange(len(own))
    Vs = [_variance(fitted, own, np.zeros(len(e))) for own in members]
    for rows, R in at.model.matrices(at.free):
        root = 1.0 if w is None else np.sqrt(w[rows])[:, :, None] * np.sqrt(w[rows])[:, None, :]
        for some, block in zip(rows, R / root, strict=True):
            Vs[cluster[some[0]]][np.ix_(place[some], place[some])] += block
    return [
        ClusterRows(
            X=X[own],
            WX=np.linalg.solve(V, X[own]),
            We=np.linalg.solve(V, e[own]),
            V=partial(np.asarray, V),
        )
        for own, V in zip(members, Vs, strict=True)
    ]


def _variance(fitted: Fitted, own: IntArray, residual: FloatArray) -> FloatArray:
    """V of some rows relative to sigma squared, dense, for residuals of such variances."""
    design = fitted.design
    n = len(own)
    if 4 * 8 * n * n > available_memory():
        raise MemoryLimitError(
            f"the largest cluster needs {n:,} by {n:,} matrices: take vcov='CR1' or 'CR3', which "
            "need none where all residuals have one variance"
        )
    V = np.diag(residual[own])
    for term, T in zip(design.terms, fitted.solution.T, strict=True):
        codes = design.factors[term.factor].codes[own]
        Z = term.X[own] @ T
        V += (Z @ Z.T) * (codes[:, None] == codes[None, :])
    return np.asarray(V)
