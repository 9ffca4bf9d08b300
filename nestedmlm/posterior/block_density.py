"""Log-density of blocks of rows given all other rows, where residuals differ or correlate.

With V the rows' covariance, random effects integrated out, ``A = (V^-1)_jj`` and ``g = V^-1 (y - X
beta)``, ``log p(y_j | y_-j) = 1/2 (log|A| - g_j' A^-1 g_j - n_j log 2 pi)``. V is dense, for each
set of rows that share no group or block with others.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from nestedmlm._typing import FloatArray, IntArray
from nestedmlm.design.design import Design
from nestedmlm.design.matrices.grouping import refuse_related
from nestedmlm.errors import MemoryLimitError
from nestedmlm.posterior.draws import MarginalDraws
from nestedmlm.posterior.row_residuals import ResidualDraws

_MOST_ROWS = 2000  # that hang together: their covariance is dense at every draw


def block_log_density(
    draws: MarginalDraws, residual: ResidualDraws, design: Design, units: IntArray
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
    out = np.empty((len(rest), int(units.max()) + 1))
    parts = list(_components(design, units))
    root = np.ones(design.n) if design.weights is None else np.sqrt(design.weights)
    for s, free in enumerate(residual.free):
        blocks = list(residual.model.matrices(free))
        for rows in parts:
            V = np.zeros((len(rows), len(rows)))
            place = np.full(design.n, -1)
            place[rows] = np.arange(len(rows))
            for of_blocks, R in blocks:
                own = place[of_blocks[:, 0]] >= 0
                at = place[of_blocks[own]]
                scale = draws.sigma[s] / root[of_blocks[own]]
                V[at[:, :, None], at[:, None, :]] = R[own] * scale[:, :, None] * scale[:, None, :]
            for term, cov in zip(design.terms, draws.covariances, strict=True):
                codes, Z = design.factors[term.factor].codes[rows], term.X[rows]
                V += (codes[:, None] == codes) * (Z @ cov[s] @ Z.T)
            K = np.linalg.inv(V)
            g = K @ rest[s, rows]
            for unit in np.unique(units[rows]).tolist():
                mine = np.flatnonzero(units[rows] == unit)
                A = K[np.ix_(mine, mine)]
                quadratic = g[mine] @ np.linalg.solve(A, g[mine])
                logdet = np.linalg.slogdet(A)[1]
                out[s, unit] = 0.5 * (logdet - quadratic - len(mine) * np.log(2.0 * np.pi))
    return out


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
