"""log|M|, S and the adjoint of each ``T_f T_f'`` at many points at once: the sweep down.

Where `nestedmlm.likelihood.elimination.sweeps` sums what any adjoint needs, the adjoints of log|M|
and S are known here beforehand, and what each level passes to those below is the adjoint of its
panels. With W = T (I + T'QT)^-1 T' of a level, R its other columns and Y the adjoint of what its
``R'WR`` is taken from: ``W_bar = -R Y R'``, ``Q_bar = l_bar W - W W_bar W`` and
``R_bar = -2 W R Y``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nestedmlm._typing import FloatArray
from nestedmlm.likelihood.elimination.finest_factor import own_information, weights
from nestedmlm.likelihood.elimination.point_sweep import (
    Level,
    Swept,
    Trailing,
    gradients_serve,
    stacks,
    sweep_up,
)
from nestedmlm.likelihood.elimination.routes import eliminate
from nestedmlm.likelihood.elimination.speed import Speed, speed, visit_seconds
from nestedmlm.likelihood.elimination.visit import adjoint
from nestedmlm.statistics.crossproducts import CrossProducts
from nestedmlm.statistics.forest import Block

_SHORT_SECONDS = 6e-5  # of a visit (`visit_seconds`) that is short for NumPy, too


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PointGradients:
    """Results at m points.

    Attributes
    ----------
    logdet : (m,) array
        ``log|M|``; NaN where it cannot be evaluated.
    S : (m, r, r) array
        ``[X y]'V^-1[X y]`` in scaled columns.
    M : (m, sum of K_f^2) array
        The symmetric adjoints of ``T_f T_f'``, flat, in elimination order; that of T_f is
        ``2 M_f T_f``.
    """

    logdet: FloatArray
    S: FloatArray
    M: FloatArray


def eliminate_with_adjoint(
    T: FloatArray, stats: CrossProducts, l_bar: float, S_bar: FloatArray
) -> PointGradients:
    """Eliminate at relative factors in rows, and pull adjoints of log|M| and S back.

    Points of a small design are swept together, unless compiled sweeps are at hand.

    Parameters
    ----------
    T : (m, sum of K_f^2) array
    stats : CrossProducts
    l_bar : float
        Adjoint of log|M|.
    S_bar : (m, r, r) array
        That of S, symmetric.
    """
    if gradients_serve(stats) and not _sooner_compiled(stats):
        try:
            return _together(T, stats, l_bar, S_bar)
        except np.linalg.LinAlgError:  # some point's
            pass
    m, r = len(T), stats.p + 1
    logdet, S, M = np.full(m, np.nan), np.full((m, r, r), np.nan), np.zeros(T.shape)
    for i in range(m):
        try:
            e = eliminate(T[i], stats)
        except np.linalg.LinAlgError:
            continue
        logdet[i], S[i], M[i] = e.logdet, e.S, adjoint(e, l_bar, S_bar[i])
    return PointGradients(logdet=logdet, S=S, M=M)


def _sooner_compiled(stats: CrossProducts) -> bool:
    """Whether compiled sweeps are at hand, and so much faster than NumPy's that one by one pays."""
    short = stats.crossed is not None or visit_seconds(stats) <= _SHORT_SECONDS
    return speed(stats) > Speed.NUMPY and not short


def _together(
    T: FloatArray, stats: CrossProducts, l_bar: float, S_bar: FloatArray
) -> PointGradients:
    m, r = len(T), stats.p + 1
    logdet, S, M = np.empty(m), np.empty((m, r, r)), np.empty(T.shape)
    for rows in stacks(m, stats):
        found = sweep_up(T[rows], stats)
        logdet[rows], S[rows] = found.logdet, found.S
        M[rows] = sweep_down(found, stats, l_bar, S_bar[rows])
    return PointGradients(logdet=logdet, S=S, M=M)


def sweep_down(swept: Swept, stats: CrossProducts, l_bar: float, S_bar: FloatArray) -> FloatArray:
    """Pull adjoints of log|M| and S back to each ``T_f T_f'``.

    Parameters
    ----------
    swept : Swept
        From `nestedmlm.likelihood.elimination.point_sweep.sweep_up`.
    stats : CrossProducts
    l_bar, S_bar : float, (m, r, r) array
        As `eliminate_with_adjoint` takes them.

    Returns
    -------
    (m, sum of K_f^2) array
        `PointGradients.M`.
    """
    m = len(S_bar)
    M = np.zeros((m, stats.parts[-1].flat.stop if stats.parts else 0))
    if swept.trailing is not None:
        whole = stats.parts[len(stats.order.chain) :]
        dense, S_bar = _trailing(swept.trailing, l_bar, S_bar)
        assert stats.crossed is not None
        for part, own in zip(whole, stats.crossed.parts, strict=True):
            M[:, part.flat] = sum(
                dense[:, i : i + part.k, i : i + part.k].reshape(m, -1)
                for i in range(own.rows.start, own.rows.stop, part.k)
            )
    for block, levels in zip(stats.blocks, swept.blocks, strict=True):
        found = _go_down(block, levels, l_bar, S_bar)
        for part, of_factor in zip(stats.chain_parts, found, strict=True):
            M[:, part.flat] += of_factor.reshape(part.k**2, m).T
    return M


def _trailing(e: Trailing, l_bar: float, S_bar: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Adjoints of the dense ``Lambda Lambda'``, and of S with the crossed factors' columns."""
    N = np.linalg.solve(e.root, e.Lambda.transpose(0, 2, 1))
    Nt = N.transpose(0, 2, 1)
    W, WR = Nt @ N, Nt @ e.half
    W_bar = -e.R @ S_bar @ e.R.transpose(0, 2, 1)
    E = np.eye(len(W[0])) - e.Q @ W
    of_Lambda = E @ (W_bar @ E.transpose(0, 2, 1) + l_bar * e.Q)
    half = -WR @ S_bar
    top = np.concatenate([l_bar * W - W @ W_bar @ W, half], axis=2)
    return of_Lambda, np.concatenate(
        [top, np.concatenate([half.transpose(0, 2, 1), S_bar], axis=2)], axis=1
    )


def _go_down(
    block: Block, levels: tuple[Level, ...], l_bar: float, S_bar: FloatArray
) -> list[FloatArray]:
    """Adjoints of each factor's ``T T'``, (k, k, m), the finest factor first."""
    s, m, r = block.shape, len(S_bar), S_bar.shape[1]
    above = np.zeros((0, r, m, int(s.J[-1])))  # of the ancestors' panels: rows theirs
    out: list[FloatArray] = []
    for i in range(len(levels) - 1, -1, -1):
        own = levels[i]
        if own.table is not None:
            out.append(own.table.information(own.N, l_bar, S_bar, above))
            break
        assert own.P is not None  # without a table both are there
        assert own.H is not None
        if i + 1 < len(levels):
            above = above.take(block.parent[s.level[i] : s.level[i + 1]], axis=-1)
        k, anc = len(own.N), own.ancestors
        Q, R = own.P[:, :k], own.P[:, k:]
        W_bar = -np.einsum("axmj,bxmj->abmj", _times(R, above, S_bar), R)
        out.append(own_information(own.N, Q, W_bar, l_bar))
        if i == 0:
            break
        W = weights(own.N)
        Q_bar = l_bar * W - np.einsum("abmj,bcmj,cdmj->admj", W, W_bar, W)
        right = -_times(np.einsum("camj,cxmj->axmj", own.N, own.H), above, S_bar)
        theirs = np.concatenate([right[:, :anc].transpose(1, 0, 2, 3), above], axis=1)
        above = np.concatenate([np.concatenate([Q_bar, right], axis=1), theirs])
    return out[::-1]


def _times(R: FloatArray, above: FloatArray, S_bar: FloatArray) -> FloatArray:
    """``R Y`` of every level, with Y of the ancestors' and the other columns."""
    anc = len(above)
    right: FloatArray = np.einsum("axmj,mxy->aymj", R[:, anc:], S_bar)
    if not anc:
        return right
    out: FloatArray = np.einsum("axmj,xymj->aymj", R[:, :anc], above)
    out[:, :anc] += np.einsum("axmj,yxmj->aymj", R[:, anc:], above[:, anc:])
    out[:, anc:] += right
    return out
