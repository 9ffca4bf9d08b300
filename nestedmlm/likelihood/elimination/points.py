"""Elimination at many points at once: relative factors as lanes beside the levels.

Samplers ask for log|M| and S at thousands of points, each of which takes a small model's sweeps
some forty calls. Here a chain's sweep runs over arrays whose last axes are points and levels,
``(…, m, J)``, so that the calls are shared. Columns of crossed factors stand among the right-hand
sides, ``[Z_t X y]``, and what is left of them is one small Cholesky factorisation per point. The
arithmetic is that of `nestedmlm.likelihood.elimination.sweeps`; where a design is too large for it
(or its elimination iterative), each point is eliminated by itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from nestedmlm._typing import FloatArray, IntArray
from nestedmlm.likelihood.elimination.finest_factor import (
    FinestFactor,
    finest_factor,
    half_solve,
)
from nestedmlm.likelihood.elimination.routes import eliminate
from nestedmlm.statistics.crossproducts import CrossProducts
from nestedmlm.statistics.forest import Block

_NUMBERS = 100_000  # numbers that one stack of points holds: they stay in the processor's cache
MOST_NUMBERS = 100_000  # numbers of one point, above which points gain nothing from each other


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Level:
    """One factor of a block after its elimination: ``U^-1 T'`` and N times the other columns."""

    N: FloatArray
    H: FloatArray
    ancestors: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Points:
    """Results of the elimination at m points.

    Attributes
    ----------
    logdet : (m,) array
        ``log|M|``; NaN where it cannot be evaluated.
    S : (m, p + 1, p + 1) array
        ``[X y]'V^-1[X y]`` in scaled columns.
    """

    logdet: FloatArray
    S: FloatArray


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Trailing:
    """The crossed factors' part: ``Lambda``, the Cholesky factor of their block, its half-solve."""

    Lambda: FloatArray
    root: FloatArray
    half: FloatArray


def serves(stats: CrossProducts) -> bool:
    """Whether points of a design gain from each other."""
    return stats.sparse is None and _numbers(stats) <= MOST_NUMBERS


def eliminate_points(T: FloatArray, stats: CrossProducts) -> Points:
    """Eliminate the random effects at many relative factors.

    Parameters
    ----------
    T : (m, sum of K_f^2) array
        As `nestedmlm.likelihood.elimination.eliminate` takes them, a point in each row.
    stats : CrossProducts

    Returns
    -------
    Points
    """
    m, r = len(T), stats.p + 1
    logdet, S = np.full(m, np.nan), np.full((m, r, r), np.nan)
    if not serves(stats):
        for i, own in enumerate(T):
            try:
                e = eliminate(own, stats)
            except np.linalg.LinAlgError:
                continue
            logdet[i], S[i] = e.logdet, e.S
        return Points(logdet=logdet, S=S)
    panels = _panels(stats)
    finest = [_finest(block, own) for block, own in zip(stats.blocks, panels, strict=True)]
    stacks = [np.arange(m)[rows] for rows in _stacks(T, _numbers(stats, finest))]
    while stacks:
        rows = stacks.pop()
        try:
            with np.errstate(all="ignore"):
                logdet[rows], S[rows], _, _ = _eliminate(T[rows], stats, panels, finest)
        except np.linalg.LinAlgError:  # some point's: the others are found in the halves
            stacks += np.array_split(rows, 2) if len(rows) > 1 else []
    return Points(logdet=logdet, S=S)


def draw_effects(
    T: FloatArray, v: FloatArray, noise: FloatArray, stats: CrossProducts
) -> FloatArray:
    """Draws of all random effects given the rest, one for each point.

    Parameters
    ----------
    T : (m, sum of K_f^2) array
    v : (m, p + 1) array
        ``(-beta, 1)`` in scaled columns: residuals are ``[X y] v``.
    noise : (m, q) array
        Standard normal, times sigma.
    stats : CrossProducts
        Of a design that `serves`.

    Returns
    -------
    (m, q) array
        In elimination order and scaled columns.
    """
    out, panels = np.empty(noise.shape), _panels(stats)
    for rows in _stacks(T, _numbers(stats)):
        _, _, blocks, trailing = _eliminate(T[rows], stats, panels)
        _draw(out[rows], v[rows], noise[rows], stats, blocks, trailing)
    return out


def _numbers(stats: CrossProducts, finest: Sequence[FinestFactor | None] = ()) -> int:
    """Numbers that one point's sweep holds at a time."""
    crossed = 0 if stats.crossed is None else len(stats.crossed.Q)
    width = sum(part.k for part in stats.chain_parts) + crossed + stats.p + 1
    sizes = [part.levels * width * max(part.k, width - part.k - crossed - stats.p - 1)
             for part in stats.chain_parts]  # fmt: skip
    tables = [table.numbers for table in finest if table is not None]
    if sizes and len(tables) == len(stats.blocks):
        sizes[0] = sum(tables)
    return max(sizes, default=0) + (crossed + stats.p + 1) ** 2


def _stacks(T: FloatArray, numbers: int) -> Iterator[slice]:
    size = max(1, _NUMBERS // numbers)
    for start in range(0, len(T), size):
        yield slice(start, start + size)


def _finest(block: Block, panels: list[FloatArray]) -> FinestFactor | None:
    s, above = block.shape, None
    if len(s.K) > 1:
        above = block.starts[s.level[1] : s.level[2]]
    return finest_factor(panels[0][:, :, 0], int(s.A[0]), above)


def _panels(stats: CrossProducts) -> list[list[FloatArray]]:
    """Each block's panels, (k, k + A + q_t + r, 1, J): crossed columns before the other ones."""
    return [
        [
            _with_crossed(block.panel(i), stats, i, k + int(block.shape.A[i]))[:, :, None]
            for i, k in enumerate(block.shape.K.tolist())
        ]
        for block in stats.blocks
    ]


def _with_crossed(panel: FloatArray, stats: CrossProducts, i: int, at: int) -> FloatArray:
    if stats.crossed is None:
        return panel
    e, k, levels = stats.crossed.entries, len(panel), panel.shape[2]
    own = slice(e.first[i], e.first[i + 1])
    cross = np.zeros((k, len(stats.crossed.Q), levels))
    values = stats.crossed.values[e.value[i] : e.value[i + 1]].reshape(k, -1)
    cross[:, e.col[own], e.node[own]] = values
    return np.concatenate([panel[:, :at], cross, panel[:, at:]], axis=1)


def _eliminate(
    T: FloatArray, stats: CrossProducts, panels: list[list[FloatArray]],
    finest: Sequence[FinestFactor | None] = (),
) -> tuple[FloatArray, FloatArray, list[list[_Level]], _Trailing | None]:  # fmt: skip
    """log|M|, S, and what `draw_effects` needs, unless there are tables of the finest factors."""
    m, r = len(T), stats.p + 1
    crossed = stats.crossed
    q = 0 if crossed is None else len(crossed.Q)
    S = np.zeros((m, q + r, q + r))
    S[:, q:, q:] = stats.F
    factors = [_lower(part.matrix(T.T).transpose(2, 0, 1)) for part in stats.parts]
    logdet, blocks = np.zeros(m), []
    tables = finest or [None] * len(panels)
    for block, own, table in zip(stats.blocks, panels, tables, strict=True):
        share, levels = _go_up(block, own, factors, S, table)
        logdet += share
        blocks.append(levels)
    if crossed is None:
        return logdet, S, blocks, None
    S[:, :q, :q] += np.tril(crossed.Q) + np.tril(crossed.Q, -1).T
    S[:, :q, q:] += crossed.R
    Lambda = np.zeros((m, q, q))
    for part, t in zip(crossed.parts, factors[len(stats.order.chain) :], strict=True):
        for first in range(part.rows.start, part.rows.stop, part.k):
            Lambda[:, first : first + part.k, first : first + part.k] = t
    H = Lambda.transpose(0, 2, 1) @ S[:, :q, :q] @ Lambda + np.eye(q)
    good = np.isfinite(H).all(axis=(1, 2))
    H[~good] = np.eye(q)
    root = np.linalg.cholesky(H)
    half = np.linalg.solve(root, Lambda.transpose(0, 2, 1) @ S[:, :q, q:])
    logdet += 2.0 * np.log(np.diagonal(root, axis1=1, axis2=2)).sum(axis=1)
    logdet[~good] = np.nan
    left = S[:, q:, q:] - half.transpose(0, 2, 1) @ half
    return logdet, left, blocks, _Trailing(Lambda=Lambda, root=root, half=half)


def _lower(T: FloatArray) -> FloatArray:
    """Lower-triangular factors with the same ``T T'``, (m, k, k)."""
    if not np.triu(T, 1).any():
        return T
    out: FloatArray = np.linalg.qr(T.transpose(0, 2, 1), mode="r").transpose(0, 2, 1)
    return out


def _go_up(
    block: Block, panels: list[FloatArray], factors: list[FloatArray], S: FloatArray,
    finest: FinestFactor | None,
) -> tuple[FloatArray, list[_Level]]:  # fmt: skip
    """Eliminate a block's levels, finest factor first; S loses what they explain."""
    s, m = block.shape, len(S)
    logdet, levels, rest = np.zeros(m), [], None
    for i, (k, anc, J) in enumerate(zip(s.K.tolist(), s.A.tolist(), s.J.tolist(), strict=True)):
        T = factors[i].transpose(1, 2, 0)[..., None]
        if i == 0 and finest is not None:
            share, rest = finest.eliminate(T, S)
            logdet += share
            continue
        P = panels[i] if rest is None else panels[i] - rest[:k]
        N, det = half_solve(T, P)
        H = np.zeros((k, P.shape[1] - k, m, J))
        for a in range(k):
            for c in range(a, k):
                H[a] += N[a, c] * P[c, k:]
        logdet += np.log(det).sum(axis=-1)
        right = H[:, anc:].transpose(2, 1, 0, 3).reshape(m, len(S[0]), k * J)
        S -= right @ right.transpose(0, 2, 1)
        levels.append(_Level(N=N, H=H, ancestors=anc))
        if i + 1 == len(s.K):
            break
        products = np.einsum("axmj,aymj->xymj", H[:, :anc], H)
        if rest is not None:
            products += rest[k:, k:]
        starts = block.starts[s.level[i + 1] : s.level[i + 2]]
        rest = np.add.reduceat(products, starts, axis=-1)
    return logdet, levels


def _draw(
    out: FloatArray, v: FloatArray, noise: FloatArray, stats: CrossProducts,
    blocks: list[list[_Level]], trailing: _Trailing | None,
) -> None:  # fmt: skip
    """From the top down, given the ancestors: ``b = N'(H [v, -b_above] + noise)``."""
    chain = stats.chain_parts
    cut, drawn = stats.chain_effects, np.zeros((len(v), 0))
    if trailing is not None:
        score = np.einsum("mqr,mr->mq", trailing.half, v) + noise[:, cut:]
        solved = np.linalg.solve(trailing.root.transpose(0, 2, 1), score[:, :, None])
        drawn = (trailing.Lambda @ solved)[:, :, 0]
        out[:, cut:] = drawn
    right = np.concatenate([-drawn, v], axis=1)
    for block, levels in zip(stats.blocks, blocks, strict=True):
        above = np.zeros((0, len(v), int(block.shape.J[-1])))
        for i in range(len(levels) - 1, -1, -1):
            own, part = levels[i], chain[i]
            k = part.k
            rows = _rows(part.rows.start, k, block.levels[i])
            z = noise[:, rows].reshape(len(v), -1, k).transpose(2, 0, 1)
            z = z + np.einsum("axmj,mx->amj", own.H[:, own.ancestors :], right)
            z -= np.einsum("axmj,xmj->amj", own.H[:, : own.ancestors], above)
            b = np.einsum("camj,cmj->amj", own.N, z)
            out[:, rows] = b.transpose(1, 2, 0).reshape(len(v), -1)
            if i > 0:
                parents: IntArray = block.parent[block.shape.level[i - 1] : block.shape.level[i]]
                above = np.concatenate([b, above])[:, :, parents]


def _rows(start: int, k: int, levels: slice) -> slice:
    """Rows of some levels among all random effects, k for each level."""
    return slice(start + k * levels.start, start + k * levels.stop)
