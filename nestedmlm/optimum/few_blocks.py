"""Unstructured residuals of too few blocks: a likelihood without a maximum.

N blocks were seen at all of v levels, and fixed and random effects leave d of their N sums over
these levels free. With ``0 < d < v`` some combination of the levels is zero in all of them at
suitable effects; as its variance shrinks to zero, so does what it adds to the squares, and the
criterion falls without end, by d times the logarithm. An optimum beside that edge is a local one.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from nestedmlm._typing import FloatArray, IntArray
from nestedmlm.statistics.pair_sums import PairSums

_FEW_BLOCKS = 300  # more of them are not looked at: their effects' rank takes time
_MOST_PATTERNS = 200  # of levels seen: of more the levels that two share are not looked at
_MOST_SETS = 200  # of levels, those of the fewest blocks first
_MOST_LEVELS = 62  # bits of a set of levels
_SAME_SUM = 1e-8  # relative singular value below which sums of effects are one another's


def unbounded_levels(sums: PairSums, *, REML: bool) -> str | None:
    """Say which levels of an unstructured matrix have too few blocks for a maximum to exist.

    Parameters
    ----------
    sums : PairSums
    REML : bool

    Returns
    -------
    str or None
        What the certificate says; None where a maximum may exist.
    """
    model = sums.model
    if model.structure is None or not model.structure.is_root:
        return None
    if model.time.max(initial=0) >= _MOST_LEVELS:
        return None
    effects = sums.base.p + sum(part.k * part.levels for part in sums.base.parts)
    for own, by_size in zip(model.cuts, model.blocks, strict=True):
        for levels, rows in _seen_together(by_size, model.time.astype(np.int64), effects):
            if _falls_without_end(sums, rows, REML):
                _, _, group = model.names[own.start].partition("|")
                return (
                    f"the likelihood has no maximum, and this is a local optimum: only {len(rows)} "
                    f"block{'s' if len(rows) > 1 else ''}{f' of {group}' if group else ''} with "
                    "rows at all of levels "
                    f"{', '.join(str(v + 1) for v in levels)}, too few for an unstructured matrix "
                    "beside these effects, so some combination of the levels can be fitted exactly;"
                    f" take a simpler structure, toep, ad1 or cs{', or no by=' if group else ''}"
                )
    return None


def _seen_together(
    by_size: tuple[IntArray, ...], time: IntArray, effects: int
) -> Iterator[tuple[tuple[int, ...], IntArray]]:
    """Levels seen together in few blocks, two at least, and the rows (blocks, levels) there.

    Patterns of levels that occur, and what two of them share: of other sets of levels no fewer
    blocks decide. A set of levels is a number, with a bit for each.
    """
    seen = [np.bitwise_or.reduce(1 << time[rows], axis=1) for rows in by_size]
    patterns, counts = np.unique(np.concatenate(seen), return_counts=True)
    every = int(np.bitwise_or.reduce(patterns))
    if counts[patterns == every].sum() >= every.bit_count() + effects:
        return  # and no set of levels was seen in fewer blocks
    sets = patterns
    if len(patterns) <= _MOST_PATTERNS:
        sets = np.unique(patterns[:, None] & patterns)
    blocks = ((sets[:, None] & patterns) == sets[:, None]) @ counts
    free = blocks - np.array([levels.bit_count() for levels in sets.tolist()])
    for i in np.argsort(free, kind="stable")[:_MOST_SETS].tolist():
        own = int(sets[i])
        levels = tuple(at for at in range(own.bit_length()) if own >> at & 1)
        if len(levels) < 2 or free[i] >= effects or blocks[i] > _FEW_BLOCKS:
            continue
        found = [
            _rows_at(levels, rows[mask & own == own], time)
            for rows, mask in zip(by_size, seen, strict=True)
        ]
        yield levels, np.concatenate(found)


def _rows_at(levels: tuple[int, ...], rows: IntArray, time: IntArray) -> IntArray:
    """Rows at these levels, which all of the blocks have."""
    chosen = np.isin(time[rows], levels)  # rows of a block are in the order of time
    out: IntArray = rows[chosen].reshape(len(rows), len(levels))
    return out


def _falls_without_end(sums: PairSums, rows: IntArray, REML: bool) -> bool:
    """Whether the effects leave fewer of the blocks' sums free than there are levels.

    Sums that depend on the combination of levels, as those of a covariate that varies within
    blocks do, are not counted: they may leave it no way to be fitted.
    """
    N, v = rows.shape
    X, Z = _fixed(sums, rows), _random(sums, rows)
    each = [np.column_stack([A(sums, rows[:, [i]]) for i in range(v)]) for A in (_fixed, _random)]
    for some in (1.0, 0.0):  # a random effect may be zero
        fitted = _rank(np.column_stack([X, some * Z]))
        free = N - fitted if _rank(np.column_stack([each[0], some * each[1]])) == fitted else N
        if N > (fitted if REML else _rank(some * Z)) and free < v:
            return True
    return False


def _fixed(sums: PairSums, rows: IntArray) -> FloatArray:
    out: FloatArray = sums.Y[:-1, rows].sum(axis=2).T
    return out


def _random(sums: PairSums, rows: IntArray) -> FloatArray:
    places = [*zip(sums.chain, sums.nodes, strict=True)]
    places += [*zip(sums.trailing, sums.columns, strict=True)]
    empty = np.zeros((len(rows), 0))
    return np.column_stack([empty, *(_sums_of(z, node, rows) for z, node in places)])


def _sums_of(z: FloatArray, node: IntArray, rows: IntArray) -> FloatArray:
    """Sums of a factor's columns over the rows of each block, (blocks, columns of its levels)."""
    N, v = rows.shape
    _, level = np.unique(node[rows], return_inverse=True)
    level = level.reshape(N, v)
    out = np.zeros((N, len(z), int(level.max(initial=-1)) + 1))
    for at in range(v):
        out[np.arange(N), :, level[:, at]] += z[:, rows[:, at]].T
    return out.reshape(N, -1)


def _rank(A: FloatArray) -> int:
    return int(np.linalg.matrix_rank(A, rtol=_SAME_SUM)) if A.size else 0
