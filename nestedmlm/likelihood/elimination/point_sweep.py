"""The sweep up at many points at once: relative factors as lanes beside the levels.

Samplers ask for log|M| and S at thousands of points, each of which takes a small model's sweeps
some forty calls. Here a chain's sweep runs over arrays whose last axes are points and levels,
``(…, m, J)``, so that the calls are shared. Columns of crossed factors stand among the right-hand
sides, ``[Z_t X y]``, and what is left of them is one small Cholesky factorisation per point. The
arithmetic is that of `nestedmlm.likelihood.elimination.sweeps`.
"""

from __future__ import annotations

from dataclasses import dataclass
from weakref import WeakKeyDictionary

import numpy as np

from nestedmlm._typing import FloatArray
from nestedmlm.likelihood.elimination.finest_factor import (
    FinestFactor,
    finest_factor,
    half_solve,
)
from nestedmlm.statistics.crossproducts import CrossProducts
from nestedmlm.statistics.forest import Block

_NUMBERS = 100_000  # numbers that one stack of points holds: they stay in the processor's cache
MOST_NUMBERS = 100_000  # numbers of one point, above which points gain nothing from each other
_MOST_OF_GRADIENTS = 10_000  # the same for gradients, beside visits of one point


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Panels:
    """The data as the sweep takes them, of one block.

    Attributes
    ----------
    each : tuple of (k, k + A + q_t + r, 1 or m, J) arrays
        Of each factor: its own columns, its ancestors', those of crossed factors, ``[X y]``.
    finest : FinestFactor or None
        Products of the finest factor's columns; None where their table would be too large.
    """

    each: tuple[FloatArray, ...]
    finest: FinestFactor | None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Level:
    """One factor of a block after its elimination.

    Attributes
    ----------
    N : (k, k, m, J) array
        ``U^-1 T'`` with ``U U' = I + T'QT``; by the table of the finest factor's, of each Q.
    P, H : (k, k + A + q_t + r, m, J) and (k, A + q_t + r, m, J) arrays
        Panels when the factor's turn came (the data's, of a finest factor), and N times all but
        the own columns; None by the table of the finest factor.
    ancestors : int
        A.
    table : FinestFactor or None
        The finest factor's, where it went by that.
    """

    N: FloatArray
    P: FloatArray | None
    H: FloatArray | None
    ancestors: int
    table: FinestFactor | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Trailing:
    """The crossed factors' part.

    Attributes
    ----------
    Q, R : (m, q, q) and (m, q, r) arrays
        Their sums of products once the chain is gone.
    Lambda, root, half : (m, q, q), (m, q, q) and (m, q, r) arrays
        ``Lambda``, the Cholesky factor of ``Lambda'Q Lambda + I``, and its half-solve of
        ``Lambda'R``.
    """

    Q: FloatArray
    R: FloatArray
    Lambda: FloatArray
    root: FloatArray
    half: FloatArray


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Swept:
    """Results of the sweep at m points.

    Attributes
    ----------
    logdet : (m,) array
        ``log|M|``; NaN where it cannot be evaluated.
    S : (m, r, r) array
        ``[X y]'V^-1[X y]`` in scaled columns.
    blocks : tuple of tuple of Level
        Block by block, the finest factor first.
    trailing : Trailing or None
    """

    logdet: FloatArray
    S: FloatArray
    blocks: tuple[tuple[Level, ...], ...]
    trailing: Trailing | None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PointData:
    """The data as the sweep takes them: the same at all points, or each point's own.

    Attributes
    ----------
    blocks : tuple of Panels
    F : (r, r) or (m, r, r) array
        ``[X y]'[X y]``.
    R : (q, r) or (m, q, r) array, or None
        Products of crossed factors' columns with ``[X y]``.
    numbers : int
        How many one point's sweep holds at a time, by tables of the finest factors.
    """

    blocks: tuple[Panels, ...]
    F: FloatArray
    R: FloatArray | None
    numbers: int


_DATA: WeakKeyDictionary[CrossProducts, PointData] = WeakKeyDictionary()


def point_data(stats: CrossProducts) -> PointData:
    """Panels and tables of a design, made once as long as its sums live."""
    found = _DATA.get(stats)
    if found is None:
        blocks = tuple(_panels(stats, block) for block in stats.blocks)
        R = None if stats.crossed is None else stats.crossed.R
        found = PointData(blocks=blocks, F=stats.F, R=R, numbers=numbers(stats, blocks))
        _DATA[stats] = found
    return found


def serves(stats: CrossProducts) -> bool:
    """Whether points of a design gain from each other."""
    return stats.sparse is None and numbers(stats) <= MOST_NUMBERS


def gradients_serve(stats: CrossProducts) -> bool:
    """Whether gradients at points of a design gain from each other."""
    return serves(stats) and point_data(stats).numbers <= _MOST_OF_GRADIENTS


def stacks(m: int, stats: CrossProducts, *, tables: bool = True) -> list[slice]:
    """Cut m points into stacks that are swept together."""
    size = max(1, _NUMBERS // (point_data(stats).numbers if tables else numbers(stats)))
    return [slice(start, start + size) for start in range(0, m, size)]


def sweep_up(
    T: FloatArray, stats: CrossProducts, data: PointData | None = None, *, tables: bool = True
) -> Swept:
    """Eliminate the random effects at relative factors in rows.

    Parameters
    ----------
    T : (m, sum of K_f^2) array
    stats : CrossProducts
        Of a design that `serves`.
    data : PointData, optional
        Other data than `point_data` of the design: such as have no tables.
    tables : bool
        Whether the finest factors go by their tables; without, `Level.H` is whole.

    Raises
    ------
    numpy.linalg.LinAlgError
        If the crossed factors of a point cannot be eliminated.
    """
    m, r = len(T), stats.p + 1
    crossed = stats.crossed
    q = 0 if crossed is None else len(crossed.Q)
    data = point_data(stats) if data is None else data
    S = np.zeros((m, q + r, q + r))
    S[:, q:, q:] = data.F
    factors = [_lower(part.matrix(T.T).transpose(2, 0, 1)) for part in stats.parts]
    logdet, blocks = np.zeros(m), []
    for block, panels in zip(stats.blocks, data.blocks, strict=True):
        share, levels = _go_up(block, panels, factors, S, tables=tables)
        logdet += share
        blocks.append(tuple(levels))
    if crossed is None or data.R is None:
        return Swept(logdet=logdet, S=S, blocks=tuple(blocks), trailing=None)
    S[:, :q, :q] += np.tril(crossed.Q) + np.tril(crossed.Q, -1).T
    S[:, :q, q:] += data.R
    share, left, trailing = _trailing(S, stats, factors[len(stats.order.chain) :])
    return Swept(logdet=logdet + share, S=left, blocks=tuple(blocks), trailing=trailing)


def _trailing(
    S: FloatArray, stats: CrossProducts, factors: list[FloatArray]
) -> tuple[FloatArray, FloatArray, Trailing]:
    crossed = stats.crossed
    assert crossed is not None
    m, q = len(S), len(crossed.Q)
    Lambda = np.zeros((m, q, q))
    for part, t in zip(crossed.parts, factors, strict=True):
        for first in range(part.rows.start, part.rows.stop, part.k):
            Lambda[:, first : first + part.k, first : first + part.k] = t
    Q, R = S[:, :q, :q], S[:, :q, q:]
    H = Lambda.transpose(0, 2, 1) @ Q @ Lambda + np.eye(q)
    good = np.isfinite(H).all(axis=(1, 2))
    H[~good] = np.eye(q)
    root = np.linalg.cholesky(H)
    half = np.linalg.solve(root, Lambda.transpose(0, 2, 1) @ R)
    logdet = 2.0 * np.log(np.diagonal(root, axis1=1, axis2=2)).sum(axis=1)
    logdet[~good] = np.nan
    left = S[:, q:, q:] - half.transpose(0, 2, 1) @ half
    return logdet, left, Trailing(Q=Q, R=R, Lambda=Lambda, root=root, half=half)


def _lower(T: FloatArray) -> FloatArray:
    """Lower-triangular factors with the same ``T T'``, (m, k, k)."""
    above = (np.abs(T[:, a, a + 1 :]) for a in range(T.shape[1] - 1))
    if not any((own > 0.0).any() for own in above):  # NaN is none
        return T
    out: FloatArray = np.linalg.qr(T.transpose(0, 2, 1), mode="r").transpose(0, 2, 1)
    return out


def _go_up(
    block: Block, panels: Panels, factors: list[FloatArray], S: FloatArray, *, tables: bool
) -> tuple[FloatArray, list[Level]]:
    """Eliminate a block's levels, finest factor first; S loses what they explain."""
    s, m = block.shape, len(S)
    logdet, levels, rest = np.zeros(m), [], None
    for i, (k, anc, J) in enumerate(zip(s.K.tolist(), s.A.tolist(), s.J.tolist(), strict=True)):
        T = factors[i].transpose(1, 2, 0)[..., None]
        if i == 0 and tables and panels.finest is not None:
            share, rest, N = panels.finest.eliminate(T, S)
            logdet += share
            levels.append(Level(N=N, P=None, H=None, ancestors=anc, table=panels.finest))
            continue
        P = panels.each[i] if rest is None else panels.each[i] - rest[:k]
        N, det = half_solve(T, P)
        H = np.zeros((k, P.shape[1] - k, m, J))
        for a in range(k):
            for c in range(a, k):
                H[a] += N[a, c] * P[c, k:]
        logdet += np.log(det).sum(axis=-1)
        right = H[:, anc:].transpose(2, 1, 0, 3).reshape(m, len(S[0]), k * J)
        S -= right @ right.transpose(0, 2, 1)
        levels.append(Level(N=N, P=P, H=H, ancestors=anc))
        if i + 1 == len(s.K):
            break
        products = np.einsum("axmj,aymj->xymj", H[:, :anc], H)
        if rest is not None:
            products += rest[k:, k:]
        starts = block.starts[s.level[i + 1] : s.level[i + 2]]
        rest = np.add.reduceat(products, starts, axis=-1)
    return logdet, levels


def numbers(stats: CrossProducts, panels: tuple[Panels, ...] = ()) -> int:
    """Numbers that one point's sweep holds at a time."""
    crossed = 0 if stats.crossed is None else len(stats.crossed.Q)
    width = sum(part.k for part in stats.chain_parts) + crossed + stats.p + 1
    sizes = [part.levels * width * max(part.k, width - part.k - crossed - stats.p - 1)
             for part in stats.chain_parts]  # fmt: skip
    tables = [own.finest.numbers for own in panels if own.finest is not None]
    if sizes and len(tables) == len(stats.blocks):
        sizes[0] = sum(tables)
    return max(sizes, default=0) + (crossed + stats.p + 1) ** 2


def _panels(stats: CrossProducts, block: Block) -> Panels:
    s, above = block.shape, None
    if len(s.K) > 1:
        above = block.starts[s.level[1] : s.level[2]]
    each = tuple(
        _with_crossed(block.panel(i), stats, i, k + int(s.A[i]))[:, :, None]
        for i, k in enumerate(s.K.tolist())
    )
    return Panels(each=each, finest=finest_factor(each[0][:, :, 0], int(s.A[0]), above))


def _with_crossed(panel: FloatArray, stats: CrossProducts, i: int, at: int) -> FloatArray:
    """A factor's panels with the crossed factors' columns, before the right-hand sides."""
    if stats.crossed is None:
        return panel
    e, k, levels = stats.crossed.entries, len(panel), panel.shape[2]
    own = slice(e.first[i], e.first[i + 1])
    cross = np.zeros((k, len(stats.crossed.Q), levels))
    values = stats.crossed.values[e.value[i] : e.value[i + 1]].reshape(k, -1)
    cross[:, e.col[own], e.node[own]] = values
    return np.concatenate([panel[:, :at], cross, panel[:, at:]], axis=1)
