"""``F'Z'V^-1Z F`` for coefficient vectors F of any kind: one more sweep up the chain."""

from __future__ import annotations

import numpy as np

from nestedmlm._typing import FloatArray, IntArray
from nestedmlm.likelihood.elimination.speed import sweeps
from nestedmlm.likelihood.elimination.sweeps import upper_times
from nestedmlm.likelihood.elimination.visit import Eliminated, Half
from nestedmlm.statistics.crossproducts import Crossed, CrossProducts
from nestedmlm.statistics.forest import Block, Shape


def gram(stats: CrossProducts, e: Eliminated, F: FloatArray) -> FloatArray:
    """Return ``(Z F)' V^{-1} (Z F)`` for coefficient vectors `F` (q, n) in elimination order."""
    n, chain = F.shape[1], stats.chain_parts
    own = [part.by_level(F).transpose(1, 2, 0) for part in chain]  # levels last
    Ft = np.ascontiguousarray(F[stats.chain_effects :].T)
    half, Rt = np.zeros((n, n)), np.zeros_like(Ft)
    for block, kept in zip(stats.blocks, e.chain, strict=True):
        parts = [f[..., levels] for f, levels in zip(own, block.levels, strict=True)]
        half += _block_gram(block, kept, parts, stats.crossed, Ft, Rt)
    out: FloatArray = half + half.T
    if stats.crossed is not None and e.dense is not None:
        FQ = Ft @ stats.crossed.Q
        Rt += FQ
        out += Ft @ FQ.T - Rt @ e.dense.G @ Rt.T
    return 0.5 * (out + out.T)


def _block_gram(
    block: Block,
    kept: Half,
    F: list[FloatArray],
    crossed: Crossed | None,
    Ft: FloatArray,
    Rt: FloatArray,
) -> FloatArray:
    """Half of a block's share (its symmetric part counts); what it leaves is added to `Rt`."""
    s, n = block.shape, Ft.shape[0]
    m = len(s.K)
    above = [np.zeros((0, n, int(s.J[-1])))]  # ancestors' F, per level
    for i in range(m - 1, 0, -1):
        children = block.parent[s.level[i - 1] : s.level[i]]
        above.insert(0, np.concatenate([F[i], above[0]]).take(children, axis=-1))
    half = np.zeros((n, n))
    up = np.zeros((int(s.K[0] + s.A[0]), n, int(s.J[0])))
    for i in range(m):
        k, anc, J = int(s.K[i]), int(s.A[i]), int(s.J[i])
        P = block.panel(i)
        N, H = _factor(s, kept, i)
        for a in range(k):
            mine = sum(P[a, c] * F[i][c] for c in range(k))
            rest = sum((P[a, k + x] * above[i][x] for x in range(anc)), np.zeros((n, J)))
            if crossed is not None:
                starts = crossed.entries.ptr[s.level[i] + i : s.level[i + 1] + i]
                rest += _from_dense(crossed, i, a, k, starts, Ft)
            half += F[i][a] @ (0.5 * mine + rest).T
            up[a] += mine + rest
        solved = np.empty((k, n, J))
        upper_times(N, up, 0, n, solved)
        for a in range(k):
            half -= 0.5 * (solved[a] @ solved[a].T)
        if crossed is not None:
            _to_dense(crossed, kept, i, k, F[i], solved, Rt)
        if i + 1 == m:
            break
        for x in range(anc):
            for a in range(k):
                up[k + x] += P[a, k + x] * F[i][a] - H[a, x] * solved[a]
        starts = block.starts[s.level[i + 1] : s.level[i + 2]]
        up = np.add.reduceat(up[k:], starts, axis=-1)
    return half


def _from_dense(
    crossed: Crossed, i: int, a: int, k: int, starts: IntArray, Ft: FloatArray
) -> FloatArray:
    """Row a of ``Z_i'Z_t F_t``, (n, J); `starts` is each level's first entry."""
    e = crossed.entries
    own = slice(int(e.first[i]), int(e.first[i + 1]))
    values = crossed.values[e.value[i] : e.value[i + 1]].reshape(k, -1)[a]
    out: FloatArray = np.add.reduceat(Ft[:, e.col[own]] * values, starts, axis=1)
    return out


def _to_dense(
    crossed: Crossed, kept: Half, i: int, k: int, F: FloatArray, solved: FloatArray, Rt: FloatArray
) -> None:
    """Add ``Z_t'Z_i F_i``, less what the elimination of factor i takes of ``Z_t'Z F``."""
    e = crossed.entries
    own = slice(int(e.first[i]), int(e.first[i + 1]))
    node, col = e.node[own], e.col[own]
    values = crossed.values[e.value[i] : e.value[i + 1]].reshape(k, -1)
    Hc = kept.Hc[e.value[i] : e.value[i + 1]].reshape(k, -1)
    for q in range(len(Rt)):
        left = sum(values[a] * F[a, q][node] - Hc[a] * solved[a, q][node] for a in range(k))
        Rt[q] += np.bincount(col, left, minlength=Rt.shape[1])


def products(block: Block, F: list[FloatArray]) -> list[FloatArray]:
    """``Z'Z F`` for coefficients F, (k, n, J) of each factor of the chain."""
    s, m = block.shape, len(F)
    out = [np.zeros_like(f) for f in F]
    above = np.zeros((0, F[0].shape[1], int(s.J[-1])))
    carried = [np.zeros((0, 0, 0))] * m
    for i in range(m - 1, -1, -1):
        k, anc = int(s.K[i]), int(s.A[i])
        P = block.panel(i)
        for a in range(k):
            for c in range(k):
                out[i][a] += P[a, c] * F[i][c]
            for x in range(anc):
                out[i][a] += P[a, k + x] * above[x]
        carried[i] = np.stack(
            [sum(P[a, k + x] * F[i][a] for a in range(k)) for x in range(anc)]
        ) if anc else np.zeros((0, *F[i].shape[1:]))  # fmt: skip
        if i > 0:
            children = block.parent[s.level[i - 1] : s.level[i]]
            above = np.concatenate([F[i], above]).take(children, axis=-1)
    up = np.zeros((int(s.A[0]), *F[0].shape[1:]))
    for i in range(m - 1):
        starts = block.starts[s.level[i + 1] : s.level[i + 2]]
        sums = np.add.reduceat(up + carried[i], starts, axis=-1)
        k = int(s.K[i + 1])
        out[i + 1] += sums[:k]
        up = sums[k:]
    return out


def apply_chain(
    stats: CrossProducts, block: Block, kept: Half, R: list[FloatArray]
) -> list[FloatArray]:
    """``Z'V_c^{-1} x`` from ``R = Z'x``, with V_c the covariance of the chain alone.

    Parameters
    ----------
    stats : CrossProducts
    block, kept : Block, Half
        One of its blocks, and what was kept of it.
    R : list of (k, n, J) arrays
        For each factor of the chain, n right-hand sides, levels last.

    Returns
    -------
    list of (k, n, J) arrays
    """
    right = np.concatenate([r.ravel() for r in R])
    B, b = np.empty_like(right), np.empty_like(right)
    sweeps(stats).solve_sides(
        block.shape, block.starts, block.parent, kept.panels, kept.N, kept.H, right, B, b
    )
    ends = np.cumsum([r.size for r in R[:-1]])
    return [part.reshape(r.shape) for part, r in zip(np.split(B, ends), R, strict=True)]


def _factor(s: Shape, kept: Half, i: int) -> tuple[FloatArray, FloatArray]:
    """N and H of factor i."""
    k, J = int(s.K[i]), int(s.J[i])
    N = kept.N[s.root[i] : s.root[i + 1]].reshape(k, k, J)
    return N, kept.H[s.half[i] : s.half[i + 1]].reshape(k, int(s.A[i]) + s.r, J)
