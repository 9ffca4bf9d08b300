"""Elimination where the sums of the groups are: on Dask's workers, share by share.

log|M|, S and their derivatives are sums over whole subtrees of the coarsest factor, and so is all
that is asked of an elimination afterwards. Its factors stay with the sums; what comes here for an
evaluation are a few numbers of each share.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial, reduce
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from nestedmlm._typing import FloatArray, IntArray
from nestedmlm.design.partitions.workers import OnWorkers
from nestedmlm.likelihood.elimination import gram as chain_gram
from nestedmlm.likelihood.elimination import variates, visit
from nestedmlm.likelihood.elimination.speed import Speed, held, speed
from nestedmlm.likelihood.elimination.variates import Variates
from nestedmlm.likelihood.elimination.visit import Eliminated
from nestedmlm.statistics.crossproducts import CrossProducts

if TYPE_CHECKING:
    from nestedmlm.statistics.cells.worker_blocks import WorkerBlocks

type _Sums = tuple[float, FloatArray, FloatArray, FloatArray]


class EliminatedOnWorkers(Eliminated):
    """Results of an elimination whose factors stay on Dask's workers.

    Attributes
    ----------
    kept : tuple
        Dask's handles of the `Eliminated` of each share.
    """

    def __init__(self, *, kept: tuple[Any, ...], **sums: Any) -> None:
        away = cast(Any, OnWorkers())
        for name, value in {**sums, "kept": kept, "chain": away, "dense": None}.items():
            object.__setattr__(self, name, value)

    kept: tuple[Any, ...]


def eliminate(T: FloatArray, stats: CrossProducts) -> EliminatedOnWorkers:
    """Eliminate the random effects at relative factors `T`; see the exact `eliminate`."""
    if not np.all(np.isfinite(T)):
        raise np.linalg.LinAlgError("relative factors that are no numbers")
    blocks = _blocks(stats)
    kept = blocks.kept(partial(_eliminated, T, speed(stats)))
    found = blocks.each(_sums_of, kept)
    return EliminatedOnWorkers(
        kept=kept,
        logdet=sum(e[0] for e in found),
        S=reduce(np.add, (e[1] for e in found), stats.F),
        info=reduce(np.add, (e[2] for e in found)),
        BB=reduce(np.add, (e[3] for e in found)),
    )


def _eliminated(T: FloatArray, choice: Speed, share: CrossProducts) -> Eliminated:
    with held(choice=choice):  # the same digits on every worker
        return visit.eliminate(T, share)


def _sums_of(share: CrossProducts, e: Eliminated) -> _Sums:
    return e.logdet, e.S, e.info, e.BB


def summed[Result](
    function: Callable[..., Result], stats: CrossProducts, e: Eliminated, *arguments: Any
) -> list[Result]:
    """What a function of the sums and the elimination gives, share by share.

    Parameters
    ----------
    function : callable
        ``(stats, e, *arguments) -> result``.
    stats, e : CrossProducts, Eliminated
        On workers.
    *arguments
        The same for every share.
    """
    work = partial(_with_speed, function, speed(stats), arguments)
    return _blocks(stats).each(work, _kept(e))


def _with_speed(
    function: Callable[..., Any],
    choice: Speed,
    arguments: tuple[Any, ...],
    share: CrossProducts,
    e: Eliminated,
    *own: Any,
) -> Any:
    with held(choice=choice):
        return function(share, e, *own, *arguments)


def solve(stats: CrossProducts, e: Eliminated) -> tuple[FloatArray, FloatArray]:
    """See `nestedmlm.likelihood.elimination.solve`; all of it comes here."""
    return _effects(stats, e, visit.solve)


def effects(stats: CrossProducts, e: Eliminated, v: FloatArray) -> tuple[FloatArray, FloatArray]:
    """See `nestedmlm.likelihood.elimination.effects`."""
    return _effects(stats, e, _combined, v)


def _combined(share: CrossProducts, e: Eliminated, v: FloatArray) -> tuple[FloatArray, FloatArray]:
    b, B = visit.solve(share, e)
    return b @ v, B @ v


def _effects(
    stats: CrossProducts, e: Eliminated, function: Callable[..., Any], *arguments: Any
) -> tuple[FloatArray, FloatArray]:
    b, B = zip(*summed(function, stats, e, *arguments), strict=True)
    blocks = _blocks(stats)
    return blocks.stacked(b), blocks.stacked(B)


def gram(stats: CrossProducts, e: Eliminated, F: FloatArray) -> FloatArray:
    """See `nestedmlm.likelihood.elimination.gram`."""
    blocks = _blocks(stats)
    work = partial(_with_speed, chain_gram.gram, speed(stats), ())
    rows = list(blocks.split(F, stats.parts))
    found: FloatArray = sum(blocks.each(work, _kept(e), rows))
    return found


def working_variates(
    stats: CrossProducts, e: Eliminated, v: FloatArray, entries: IntArray
) -> Variates:
    """See `nestedmlm.likelihood.elimination.working_variates`."""
    found = summed(variates.working_variates, stats, e, v, entries)
    return Variates(
        gram=reduce(np.add, (x.gram for x in found)),
        BF=reduce(np.add, (x.BF for x in found)),
        Fe=reduce(np.add, (x.Fe for x in found)),
    )


def level_information(stats: CrossProducts, e: Eliminated) -> list[FloatArray]:
    """See `nestedmlm.likelihood.elimination.level_information`."""
    found = summed(visit.level_information, stats, e)
    return [np.concatenate(own) for own in zip(*found, strict=True)]


def _blocks(stats: CrossProducts) -> WorkerBlocks:
    assert stats.on_workers is not None
    return stats.on_workers


def _kept(e: Eliminated) -> tuple[Any, ...]:
    assert isinstance(e, EliminatedOnWorkers)
    return e.kept
