"""Log-density of blocks of rows given all other rows, where residuals differ or correlate.

With V the rows' covariance, random effects integrated out, ``A = (V^-1)_jj`` and ``g = V^-1 (y - X
beta)``, ``log p(y_j | y_-j) = 1/2 (log|A| - g_j' A^-1 g_j - n_j log 2 pi)``. V is dense, for each
set of rows that share no group or block with others. Where several units are left out at once, each
is given the rows that stay: normal with mean ``V_jk V_kk^-1 e_k`` and covariance ``V_jj - V_jk
V_kk^-1 V_kj``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from nestedmlm._typing import BoolArray, FloatArray, IntArray
from nestedmlm.design.design import Design
from nestedmlm.design.matrices.grouping import refuse_related
from nestedmlm.errors import MemoryLimitError
from nestedmlm.posterior.draws import MarginalDraws
from nestedmlm.posterior.row_residuals import ResidualDraws

_LOG_2PI = float(np.log(2.0 * np.pi))
_MOST_ROWS = 2000  # that hang together: their covariance is dense at every draw


def block_log_density(
    draws: MarginalDraws,
    residual: ResidualDraws,
    design: Design,
    units: IntArray,
    *,
    held: BoolArray | None = None,
) -> FloatArray:
    """Log-density of each unit's rows given all other rows, for each draw.

    Parameters
    ----------
    draws : MarginalDraws
    residual : ResidualDraws
        Of the same draws.
    design : Design
    units : (n,) array of int
        The unit of each row: 0, 1, …, none missing.
    held : (U,) array of bool, optional
        Units that are left out at once: each is given the rows of those that are not, and those
        have no density.

    Returns
    -------
    (S, U) array

    Raises
    ------
    MemoryLimitError
        If too many rows hang together.
    RelationshipError
        If levels of a factor are related.
    """
    refuse_related(design.factors, "loo by blocks")
    y = design.y if design.offset is None else design.y - design.offset
    rest = y - draws.beta @ design.X.T
    out = np.full((len(rest), int(units.max()) + 1), np.nan)
    parts = [rows for rows in _components(design, units) if held is None or held[units[rows]].any()]
    root = np.ones(design.n) if design.weights is None else np.sqrt(design.weights)
    for s, free in enumerate(residual.free):
        blocks = list(residual.model.matrices(free))
        covariances = tuple(cov[s] for cov in draws.covariances)
        for rows in parts:
            V = _covariance(design, rows, blocks, draws.sigma[s] / root, covariances)
            own, e = units[rows], rest[s, rows]
            found = _given_others(V, e, own) if held is None else _given_rest(V, e, own, held)
            for unit, value in found:
                out[s, unit] = value
    return out


def _covariance(
    design: Design,
    rows: IntArray,
    blocks: Sequence[tuple[IntArray, FloatArray]],
    scale: FloatArray,
    covariances: Sequence[FloatArray],
) -> FloatArray:
    """Covariance of rows at one draw, random effects integrated out."""
    V = np.zeros((len(rows), len(rows)))
    place = np.full(design.n, -1)
    place[rows] = np.arange(len(rows))
    for of_blocks, R in blocks:
        mine = place[of_blocks[:, 0]] >= 0
        at, sd = place[of_blocks[mine]], scale[of_blocks[mine]]
        V[at[:, :, None], at[:, None, :]] = R[mine] * sd[:, :, None] * sd[:, None, :]
    for term, cov in zip(design.terms, covariances, strict=True):
        codes, Z = design.factors[term.factor].codes[rows], term.X[rows]
        V += (codes[:, None] == codes) * (Z @ cov @ Z.T)
    return V


def _given_others(
    V: FloatArray, e: FloatArray, units: IntArray
) -> Iterator[tuple[IntArray | int, Any]]:
    """Log-densities of units given all others, with the units."""
    K = np.linalg.inv(V)
    g = K @ e
    if len(np.unique(units)) == len(units):  # each is one row
        A = np.diag(K)
        yield units, 0.5 * (np.log(A) - g**2 / A - _LOG_2PI)
        return
    for unit in np.unique(units).tolist():
        mine = np.flatnonzero(units == unit)
        A = K[np.ix_(mine, mine)]
        quadratic = g[mine] @ np.linalg.solve(A, g[mine])
        logdet = np.linalg.slogdet(A)[1]
        yield unit, 0.5 * (logdet - quadratic - len(mine) * _LOG_2PI)


def _given_rest(
    V: FloatArray, e: FloatArray, units: IntArray, held: BoolArray
) -> Iterator[tuple[int, float]]:
    """Log-densities of units that are left out given the rows that are not, with the units."""
    kept = np.flatnonzero(~held[units])
    for unit in np.unique(units[held[units]]).tolist():
        mine = np.flatnonzero(units == unit)
        share = np.linalg.solve(V[np.ix_(kept, kept)], V[np.ix_(kept, mine)])
        cov = V[np.ix_(mine, mine)] - V[np.ix_(mine, kept)] @ share
        left = e[mine] - e[kept] @ share
        quadratic = left @ np.linalg.solve(cov, left)
        logdet = np.linalg.slogdet(cov)[1]
        yield unit, -0.5 * (logdet + quadratic + len(mine) * _LOG_2PI)


def _components(design: Design, units: IntArray) -> Iterator[IntArray]:
    """Rows that share no group, block or unit with others."""
    codes = [units, *(factor.codes for factor in design.factors)]
    if design.residual is not None and design.residual.block is not None:
        codes.append(design.residual.block)
    starts = np.cumsum([0, *(int(own.max()) + 1 for own in codes)])
    nodes = np.stack([own + start for own, start in zip(codes, starts, strict=False)])
    first = np.tile(nodes[0], len(nodes))
    graph = coo_array((np.ones(first.size), (first, nodes.ravel())), shape=(starts[-1],) * 2)
    labels = connected_components(graph, directed=False)[1][nodes[0]]
    if np.bincount(labels).max() > _MOST_ROWS:
        raise MemoryLimitError(
            f"{np.bincount(labels).max()} rows hang together; leaving blocks out needs their dense "
            f"covariance at every draw (at most {_MOST_ROWS}); use loo('row')"
        )
    order = np.argsort(labels, kind="stable")
    yield from np.split(order, np.flatnonzero(np.diff(labels[order])) + 1)
