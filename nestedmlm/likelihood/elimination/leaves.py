"""Elimination of leaf levels before the chain: the sums of the whole model from a smaller block.

The factor whose leaves were moved stands in two parts with one T: what is summed over its levels is
the sum of both. Everything else of the elimination is worked out, in the whole block, where it is
first asked for.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from nestedmlm._typing import FloatArray, IntArray
from nestedmlm.likelihood.elimination import variates, visit
from nestedmlm.likelihood.elimination.variates import Variates
from nestedmlm.likelihood.elimination.visit import Eliminated, Rearranged
from nestedmlm.statistics.crossproducts import CrossProducts
from nestedmlm.statistics.leaf_levels import LeafLevels


class LeavesEliminated(Rearranged):
    """Results of a visit in which leaf levels went first.

    Attributes
    ----------
    inner : Eliminated
        Of the rearranged statistics.
    T, stats
        What it was asked of.
    """

    def __init__(self, *, inner: Eliminated, T: FloatArray, stats: CrossProducts) -> None:
        moved = _moved(stats)
        info, BB = np.zeros(len(T)), np.zeros((len(T), *inner.S.shape))
        np.add.at(info, moved.flat, inner.info)
        np.add.at(BB, moved.flat, inner.BB)
        own = {"logdet": inner.logdet, "S": inner.S, "info": info, "BB": BB}
        for name, value in {**own, "inner": inner, "T": T, "stats": stats}.items():
            object.__setattr__(self, name, value)

    inner: Eliminated

    def __reduce__(self) -> tuple[Any, ...]:
        return _again, (self.inner, self.T, self.stats)


def _again(inner: Eliminated, T: FloatArray, stats: CrossProducts) -> LeavesEliminated:
    return LeavesEliminated(inner=inner, T=T, stats=stats)


def _moved(stats: CrossProducts) -> LeafLevels:
    assert stats.leaves is not None
    return stats.leaves


def eliminate(T: FloatArray, stats: CrossProducts) -> LeavesEliminated:
    """Eliminate with the leaves first; see the exact `eliminate`."""
    moved = _moved(stats)
    inner = visit.eliminate(np.asarray(T)[moved.flat], moved.stats)
    return LeavesEliminated(inner=inner, T=T, stats=stats)


def solve(stats: CrossProducts, e: LeavesEliminated) -> tuple[FloatArray, FloatArray]:
    """Random effects of every right-hand side; see the exact `solve`."""
    moved = _moved(e.stats)
    real = moved.rows >= 0
    out = []
    for found in visit.solve(moved.stats, e.inner):
        placed = np.empty((stats.q, found.shape[1]))
        placed[moved.rows[real]] = found[real]
        out.append(placed)
    return out[0], out[1]


def working_variates(
    stats: CrossProducts, e: LeavesEliminated, v: FloatArray, entries: IntArray
) -> Variates:
    """Products of the working variates; see the exact `working_variates`."""
    moved = _moved(e.stats)
    place, which = np.nonzero(np.array(moved.factor)[:, None] == entries[:, 0])
    inner = np.column_stack([place, entries[which, 1:]])
    found = variates.working_variates(moved.stats, e.inner, v, np.ascontiguousarray(inner))
    P = np.zeros((len(entries), len(inner)))
    P[which, np.arange(len(inner))] = 1.0
    return Variates(gram=P @ found.gram @ P.T, BF=P @ found.BF, Fe=P @ found.Fe)
