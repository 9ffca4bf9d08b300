"""Evaluation at given relative factors: log|M|, S and their exact derivatives in one visit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, reduce

import numpy as np

from nestedmlm._typing import FloatArray, IntArray
from nestedmlm.likelihood import trailing
from nestedmlm.likelihood.elimination.speed import on_blocks, sweeps
from nestedmlm.statistics.crossproducts import CrossProducts
from nestedmlm.statistics.forest import Block
from nestedmlm.statistics.parts import FactorPart


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Half:
    """The half-solved arrays of a block: see `nestedmlm.likelihood.elimination.sweeps`.

    Attributes
    ----------
    panels, N, H, B, b : flat arrays
        By the offsets of the block's shape: Schur complements, ``U^-1 T'``, N times the rest of
        the panels, ``Z'V^-1[X y]`` and ``G Z'V^-1[X y]``.
    own : flat array
        Each level's ``Z'V^-1Z`` (lower triangle).
    cross, Hc : flat arrays
        The crossed parts; empty without crossed factors.
    """

    panels: FloatArray
    N: FloatArray
    H: FloatArray
    B: FloatArray
    b: FloatArray
    own: FloatArray
    cross: FloatArray
    Hc: FloatArray


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Dense:
    """The dense block after its elimination.

    Attributes
    ----------
    Q, R : (q, q) and (q, r) arrays
        Schur complement once the chain is gone, and its right-hand sides.
    G : (q, q) array
        ``Lambda_t H^-1 Lambda_t'`` with ``H = Lambda_t' Q Lambda_t + I``.
    b, B : (q, r) arrays
        ``G R`` and ``Z'V^-1[X y]``.
    own : tuple of (J, k, k) arrays
        Each level's ``Z'V^-1Z``, factor by factor.
    """

    Q: FloatArray
    R: FloatArray
    G: FloatArray
    b: FloatArray
    B: FloatArray
    own: tuple[FloatArray, ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Eliminated:
    """Results of a visit.

    Attributes
    ----------
    logdet : float
        ``log|M|``.
    S : (p+1, p+1) array
        ``[X y]'V^-1[X y]`` in scaled columns.
    info : (sum of K_f^2,) array
        ``sum Z'V^-1Z``, the derivative of `logdet` in each ``T_f T_f'``.
    BB : (sum of K_f^2, p+1, p+1) array
        ``sum B[a]'B[b]``, minus the derivative of `S` in each ``T_f T_f'``.
    chain : tuple of Half
        Block by block.
    dense : Dense or None
    """

    logdet: float
    S: FloatArray
    info: FloatArray
    BB: FloatArray
    chain: tuple[Half, ...]
    dense: Dense | None


class Rearranged(Eliminated):
    """Results of an elimination in another way, with the parts of this one when asked for.

    Attributes
    ----------
    T, stats
        What it was asked of.
    """

    T: FloatArray
    stats: CrossProducts

    @cached_property
    def whole(self) -> Eliminated:
        """The same by the visit of the whole statistics."""
        return eliminate(self.T, self.stats)

    @property
    def chain(self) -> tuple[Half, ...]:
        """As of the whole."""
        return self.whole.chain

    @property
    def dense(self) -> Dense | None:
        """As of the whole."""
        return self.whole.dense


def eliminate(T: FloatArray, stats: CrossProducts) -> Eliminated:
    """Exact `nestedmlm.likelihood.elimination.eliminate`."""
    if not stats.parts:
        none = np.zeros(0)
        BB = np.zeros((0, *stats.F.shape))
        return Eliminated(logdet=0.0, S=stats.F, info=none, BB=BB, chain=(), dense=None)
    if not np.all(np.isfinite(T)):
        raise np.linalg.LinAlgError("relative factors that are no numbers")
    T = lower_triangular(T, stats.parts)
    with np.errstate(all="ignore"):
        visit = _nested if stats.crossed is None else _crossed
        return mirrored(visit(T, stats), stats.parts)


def mirrored(found: Eliminated, parts: Sequence[FactorPart]) -> Eliminated:
    """Fill the upper triangles of the sums of derivatives: the sweeps fill the lower."""
    for part in parts:
        if part.k > 1:
            info, BB = part.matrix(found.info), part.matrix(found.BB)
            for a in range(1, part.k):
                for b in range(a):
                    info[b, a] = info[a, b]
                    BB[b, a] = BB[a, b].T
    return found


def lower_triangular(T: FloatArray, parts: Sequence[FactorPart]) -> FloatArray:
    """Factors with the same ``T T'`` that are lower triangular, as the sweeps take them."""
    out = T
    for part in parts:
        block = part.matrix(T)
        if part.k > 1 and any(block[a, a + 1 :].any() for a in range(part.k - 1)):
            out = T.copy() if out is T else out
            out[part.flat] = np.linalg.qr(block.T, mode="r").T.ravel()
    return out


def _nested(T: FloatArray, stats: CrossProducts) -> Eliminated:
    run, none = sweeps(stats), np.empty(0)

    def visit(block: Block) -> Eliminated:
        s = block.shape
        S, info, BB = _sums(s.r, len(T))
        # a lone factor's panels stay as they are
        panels = block.panels if len(s.K) == 1 else block.panels.copy()
        N, H, B, b, own = (np.empty(int(x[-1])) for x in (s.root, s.half, s.right, s.right, s.root))
        logdet = run.go_up(s, block.starts, T, panels, N, H, S)
        run.go_down(s, block.parent, panels, N, H, B, b, info, BB, own)
        half = Half(panels=panels, N=N, H=H, B=B, b=b, own=own, cross=none, Hc=none)
        return Eliminated(logdet=logdet, S=S, info=info, BB=BB, chain=(half,), dense=None)

    found = on_blocks(visit, stats.blocks)
    return Eliminated(
        logdet=sum(e.logdet for e in found),
        S=reduce(np.add, (e.S for e in found), stats.F),
        info=reduce(np.add, (e.info for e in found)),
        BB=reduce(np.add, (e.BB for e in found)),
        chain=tuple(half for e in found for half in e.chain),
        dense=None,
    )


def _crossed(T: FloatArray, stats: CrossProducts) -> Eliminated:
    run, crossed = sweeps(stats), stats.crossed
    assert crossed is not None
    S, info, BB = _sums(len(stats.F), len(T))
    S += stats.F
    if not stats.blocks:
        found = _dense(T, stats, crossed.Q.copy(), crossed.R, S, info, BB)
        return Eliminated(logdet=found[0], S=S, info=info, BB=BB, chain=(), dense=found[1])
    (block,), e = stats.blocks, crossed.entries
    s = block.shape
    panels, cross = block.panels.copy(), crossed.values.copy()
    N, H, B, b, own = (np.empty(int(x[-1])) for x in (s.root, s.half, s.right, s.right, s.root))
    Hc, Q, Rt = np.empty(len(cross)), crossed.Q.copy(), crossed.R.T.copy()
    logdet = run.go_up_crossed(s, e, block.starts, T, panels, cross, N, H, Hc, S, Q, Rt)
    logdet_t, dense = _dense(T, stats, Q, Rt.T, S, info, BB)
    bt = np.ascontiguousarray(dense.b.T)
    run.go_down_crossed(
        s, e, block.parent, panels, cross, N, H, Hc, dense.G, bt, B, b, info, BB, own
    )
    half = Half(panels=panels, N=N, H=H, B=B, b=b, own=own, cross=cross, Hc=Hc)
    return Eliminated(logdet=logdet + logdet_t, S=S, info=info, BB=BB, chain=(half,), dense=dense)


def _dense(
    T: FloatArray, stats: CrossProducts, Q: FloatArray, R: FloatArray, S: FloatArray,
    info: FloatArray, BB: FloatArray,
) -> tuple[float, Dense]:  # fmt: skip
    """Eliminate the dense block, once the chain is gone from Q and R; S, info and BB are filled."""
    crossed = stats.crossed
    assert crossed is not None
    whole = stats.parts[len(stats.order.chain) :]  # of the crossed factors, among all
    factors = [part.matrix(T) for part in whole]
    found = trailing.eliminate(Q, R, factors, crossed.parts, crossed.components)
    S -= found.explained
    B = R - Q @ found.b
    own = tuple(trailing.information(Q, found.G, factors, crossed.parts, crossed.components))
    for A, part, dense_part in zip(own, whole, crossed.parts, strict=True):
        mine = dense_part.by_level(B)
        part.matrix(info)[...] = A.sum(axis=0)
        part.matrix(BB)[...] = np.einsum("jar,jbs->abrs", mine, mine)
    return found.logdet, Dense(Q=Q, R=R, G=found.G, b=found.b, B=B, own=own)


def _sums(r: int, squares: int) -> tuple[FloatArray, FloatArray, FloatArray]:
    return np.zeros((r, r)), np.zeros(squares), np.zeros((squares, r, r))


def adjoint(e: Eliminated, l_bar: float, S_bar: FloatArray) -> FloatArray:
    """Pull the adjoints of ``log|M|`` and ``S`` back to each ``T_f T_f'``.

    Parameters
    ----------
    e : Eliminated
    l_bar, S_bar : float, (p+1, p+1) array
        Adjoints of ``log|M|`` and S.

    Returns
    -------
    (sum of K_f^2,) array
        The symmetric matrices M_f, flat, in elimination order; the adjoint of T_f is
        ``2 M_f T_f``.
    """
    S_bar = 0.5 * (S_bar + S_bar.T)
    out: FloatArray = l_bar * e.info - e.BB.reshape(len(e.info), S_bar.size) @ S_bar.ravel()
    return out


def solve(stats: CrossProducts, e: Eliminated) -> tuple[FloatArray, FloatArray]:
    """Exact `nestedmlm.likelihood.elimination.solve`."""
    r = len(e.S)
    parts = [
        np.concatenate([getattr(h, name)[at].reshape(k, r, -1) for h, at in pieces], axis=-1)
        .transpose(2, 0, 1)
        .reshape(-1, r)
        for name in ("b", "B")
        for k, pieces in _by_factor(stats, e)
    ]
    half = len(parts) // 2
    if not parts and e.dense is None:
        return np.zeros((0, r)), np.zeros((0, r))
    dense = ([], []) if e.dense is None else ([e.dense.b], [e.dense.B])
    return np.vstack([*parts[:half], *dense[0]]), np.vstack([*parts[half:], *dense[1]])


def effects(stats: CrossProducts, e: Eliminated, v: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Exact `nestedmlm.likelihood.elimination.effects`."""
    r, b, B = len(v), list[FloatArray](), list[FloatArray]()
    for k, pieces in _by_factor(stats, e):
        for name, out in (("b", b), ("B", B)):
            own = [v @ getattr(h, name)[at].reshape(k, r, -1) for h, at in pieces]  # (k, levels)
            out.append((own[0] if len(own) == 1 else np.concatenate(own, axis=-1)).T.ravel())
    if e.dense is not None:
        b.append(e.dense.b @ v)
        B.append(e.dense.B @ v)
    if len(b) == 1:
        return b[0], B[0]
    return np.concatenate([np.zeros(0), *b]), np.concatenate([np.zeros(0), *B])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Factor:
    """A factor of the chain after the elimination, all blocks together.

    Attributes
    ----------
    N, H : (k, k, J) and (k, A, J) arrays
        ``U^-1 T'``, and N times the ancestors' columns.
    right : (k, p + 1, J) array
        N times the right-hand sides.
    col, ptr, Hc : (E,), (J + 1,) and (k, E) arrays
        Columns of the dense block that each level meets, where a level's begin, and N times their
        panels; empty without crossed factors.
    """

    N: FloatArray
    H: FloatArray
    right: FloatArray
    col: IntArray
    ptr: IntArray
    Hc: FloatArray


def whole_factor(stats: CrossProducts, e: Eliminated, i: int) -> Factor:
    """Gather factor i of the chain from its blocks."""
    k, anc, N, H = stats.parts[i].k, int(stats.blocks[0].shape.A[i]), [], []
    for block, half in zip(stats.blocks, e.chain, strict=True):
        s, J = block.shape, int(block.shape.J[i])
        N.append(half.N[s.root[i] : s.root[i + 1]].reshape(k, k, J))
        H.append(half.H[s.half[i] : s.half[i + 1]].reshape(k, -1, J))
    none = np.zeros(0, dtype=np.int64)
    col, ptr, Hc = none, none, np.zeros((k, 0))
    if stats.crossed is not None:
        entries, s = stats.crossed.entries, stats.blocks[0].shape
        col = entries.col[entries.first[i] : entries.first[i + 1]]
        ptr = entries.ptr[s.level[i] + i : s.level[i + 1] + i + 1]
        Hc = e.chain[0].Hc[entries.value[i] : entries.value[i + 1]].reshape(k, -1)
    rest = np.concatenate(H, axis=-1)
    return Factor(
        N=np.concatenate(N, axis=-1), H=rest[:, :anc], right=rest[:, anc:], col=col, ptr=ptr, Hc=Hc
    )


def level_information(stats: CrossProducts, e: Eliminated) -> list[FloatArray]:
    """``Z_g'V^{-1}Z_g`` of every level: (J, k, k) for each factor, in elimination order."""
    out = []
    for i, part in enumerate(stats.chain_parts):
        pieces = [
            h.own[block.shape.root[i] : block.shape.root[i + 1]].reshape(part.k, part.k, -1)
            for h, block in zip(e.chain, stats.blocks, strict=True)
        ]
        A = np.concatenate(pieces, axis=-1).transpose(2, 0, 1)
        out.append(np.tril(A) + np.tril(A, -1).transpose(0, 2, 1))
    return out if e.dense is None else [*out, *e.dense.own]


def inverse_on_pattern(stats: CrossProducts, e: Eliminated) -> FloatArray:
    """``Lambda M^-1 Lambda'`` on the pattern of the sums of products, flat.

    Returns
    -------
    array
        The panels of block after block without right-hand sides, the crossed parts, and the dense
        block: the order of `nestedmlm.statistics.reweighting.Reweighting.sums`.
    """
    run, out = sweeps(stats), []
    with np.errstate(all="ignore"):
        for block, half in zip(stats.blocks, e.chain, strict=True):
            s = block.shape
            own = np.empty(int(s.panel[-1]) - int(s.right[-1]))
            out.append(own)
            if stats.crossed is None or e.dense is None:
                run.select_inverse(s, block.parent, half.N, half.H, own)
                continue
            cross = np.empty_like(half.cross)
            run.select_inverse_crossed(
                s, stats.crossed.entries, block.parent, half.N, half.H, half.Hc, e.dense.G, own,
                cross,
            )  # fmt: skip
            out += [cross, e.dense.G.ravel()]
    return np.concatenate(out)


def _by_factor(stats: CrossProducts, e: Eliminated) -> list[tuple[int, list[tuple[Half, slice]]]]:
    """For each chain factor its columns, and where its right-hand sides stand in each block."""
    out = []
    for i, part in enumerate(stats.chain_parts):
        cuts = [slice(int(b.shape.right[i]), int(b.shape.right[i + 1])) for b in stats.blocks]
        out.append((part.k, list(zip(e.chain, cuts, strict=True))))
    return out
