"""Elimination at many points at once, and draws of the random effects at each.

Small designs sweep all points together (`nestedmlm.likelihood.elimination.point_sweep`); where a
design is too large for that (or its elimination iterative), each point is eliminated by itself.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nestedmlm._typing import FloatArray, IntArray
from nestedmlm.likelihood.elimination.point_sweep import Swept, serves, stacks, sweep_up
from nestedmlm.likelihood.elimination.routes import eliminate
from nestedmlm.statistics.crossproducts import CrossProducts


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
    left = [np.arange(m)[rows] for rows in stacks(m, stats)]
    while left:
        rows = left.pop()
        try:
            with np.errstate(all="ignore"):
                found = sweep_up(T[rows], stats)
        except np.linalg.LinAlgError:  # some point's: the others are found in the halves
            left += np.array_split(rows, 2) if len(rows) > 1 else []
            continue
        logdet[rows], S[rows] = found.logdet, found.S
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
    out = np.empty(noise.shape)
    for rows in stacks(len(T), stats, tables=False):
        _draw(out[rows], v[rows], noise[rows], stats, sweep_up(T[rows], stats, tables=False))
    return out


def _draw(
    out: FloatArray, v: FloatArray, noise: FloatArray, stats: CrossProducts, swept: Swept
) -> None:
    """From the top down, given the ancestors: ``b = N'(H [v, -b_above] + noise)``."""
    chain, trailing = stats.chain_parts, swept.trailing
    cut, drawn = stats.chain_effects, np.zeros((len(v), 0))
    if trailing is not None:
        score = np.einsum("mqr,mr->mq", trailing.half, v) + noise[:, cut:]
        solved = np.linalg.solve(trailing.root.transpose(0, 2, 1), score[:, :, None])
        drawn = (trailing.Lambda @ solved)[:, :, 0]
        out[:, cut:] = drawn
    right = np.concatenate([-drawn, v], axis=1)
    for block, levels in zip(stats.blocks, swept.blocks, strict=True):
        above = np.zeros((0, len(v), int(block.shape.J[-1])))
        for i in range(len(levels) - 1, -1, -1):
            own, part = levels[i], chain[i]
            k = part.k
            rows = _rows(part.rows.start, k, block.levels[i])
            assert own.H is not None  # swept without tables
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
