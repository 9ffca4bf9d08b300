"""Adjoint of the crossproducts: what a criterion of log|M| and S gains with each of their entries.

With ``C = Lambda M^-1 Lambda'`` and b the solution of the random effects for ``[X y]``, the
adjoint of ``[Z X y]'R^-1[Z X y]`` is ``[l C + b S_bar b', -b S_bar; ., S_bar]`` for adjoints l of
log|M| and S_bar of S. Only the entries that panels hold are worked out, factor by factor down the
chain; an entry that stands for two (a panel holds one half of what is symmetric) counts twice.
"""

from __future__ import annotations

import numpy as np

from nestedmlm._typing import FloatArray
from nestedmlm.likelihood.elimination.visit import Dense, Eliminated
from nestedmlm.statistics.crossproducts import CrossProducts


def panel_adjoint(
    stats: CrossProducts, e: Eliminated, l_bar: float, S_bar: FloatArray
) -> FloatArray:
    """Pull adjoints of ``log|M|`` and S back to the crossproducts.

    Parameters
    ----------
    stats : CrossProducts
        In one block.
    e : Eliminated
        ``eliminate(T, stats)``.
    l_bar, S_bar : float, (r, r) array

    Returns
    -------
    array
        Flat: panels of the chain, products with the crossed block, that block, its right-hand
        sides, F.
    """
    S_bar = 0.5 * (S_bar + S_bar.T)
    dense = e.dense
    if not stats.blocks:
        return S_bar.ravel() if dense is None else _of_dense(dense, l_bar, S_bar)
    (block,), (half,), r = stats.blocks, e.chain, len(S_bar)
    s, m = block.shape, len(block.shape.K)
    q = 0 if dense is None else len(dense.Q)
    G = np.zeros((0, 0)) if dense is None else dense.G
    b_t = np.zeros((0, r)) if dense is None else dense.b
    top = int(s.J[m - 1])
    C, C_d, above = np.zeros((0, 0, top)), np.zeros((0, q, top)), np.zeros((0, r, top))
    panels = np.empty(int(s.panel[-1]))
    values = np.empty(0 if stats.crossed is None else len(stats.crossed.values))
    for i in range(m - 1, -1, -1):
        k, anc, J = int(s.K[i]), int(s.A[i]), int(s.J[i])
        if i < m - 1:
            up = block.parent[s.level[i] : s.level[i + 1]]
            C, C_d, above = C[:, :, up], C_d[:, :, up], above[:, :, up]
        N = half.N[s.root[i] : s.root[i + 1]].reshape(k, k, J)
        N = np.where(np.tri(k, k=-1, dtype=bool)[:, :, None], 0.0, N)  # only the upper is filled
        H = half.H[s.half[i] : s.half[i + 1]].reshape(k, anc + r, J)[:, :anc]
        b = half.b[s.right[i] : s.right[i + 1]].reshape(k, r, J)
        Y, Y_d = np.einsum("caj,cxj->axj", N, H), np.zeros((k, q, J))
        if stats.crossed is not None:
            E = stats.crossed.entries
            some = slice(int(E.first[i]), int(E.first[i + 1]))
            col, node = E.col[some], E.node[some]
            Hc = half.Hc[E.value[i] : E.value[i + 1]].reshape(k, -1)
            Y_d[:, col, node] = np.einsum("cae,ce->ae", N[:, :, node], Hc)
        V = np.einsum("axj,xyj->ayj", Y, C) + np.einsum("aqj,xqj->axj", Y_d, C_d)
        V_d = np.einsum("axj,xqj->aqj", Y, C_d) + np.einsum("aqj,qp->apj", Y_d, G)
        own = np.einsum("caj,cbj->abj", N, N) + np.einsum("axj,bxj->abj", V, Y)
        own += np.einsum("aqj,bqj->abj", V_d, Y_d)
        bS = np.einsum("arj,rs->asj", b, S_bar)
        if stats.crossed is not None:
            both = np.einsum("ase,es->ae", bS[:, :, node], b_t[col]) - l_bar * V_d[:, col, node]
            values[E.value[i] : E.value[i + 1]] = 2.0 * both.ravel()
        P = panels[s.panel[i] : s.panel[i + 1]].reshape(k, k + anc + r, J)
        P[:, :k] = l_bar * own + np.einsum("asj,bsj->abj", bS, b)
        P[:, k : k + anc] = 2.0 * (np.einsum("asj,xsj->axj", bS, above) - l_bar * V)
        P[:, k + anc :] = -2.0 * bS
        C = np.concatenate(
            [np.concatenate([own, -V], axis=1), np.concatenate([-V.transpose(1, 0, 2), C], axis=1)]
        )
        C_d = np.concatenate([-V_d, C_d])
        above = np.concatenate([b, above])
    if dense is None:
        return np.concatenate([panels, S_bar.ravel()])
    return np.concatenate([panels, values, _of_dense(dense, l_bar, S_bar)])


def _of_dense(dense: Dense, l_bar: float, S_bar: FloatArray) -> FloatArray:
    """The adjoint of the crossed block, its right-hand sides and F."""
    bS = dense.b @ S_bar
    Q = l_bar * dense.G + bS @ dense.b.T
    return np.concatenate([Q.ravel(), -2.0 * bS.ravel(), S_bar.ravel()])
