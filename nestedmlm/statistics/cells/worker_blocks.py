"""Sums of whole subtrees of the coarsest factor on Dask's workers, in place of a chain's blocks.

What an elimination makes of them are sums over these *shares*, which are always added in their
order: the result does not depend on how many workers there are, nor on which has what.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from nestedmlm._typing import FloatArray, IntArray
from nestedmlm.design.partitions.workers import comes, later, stays
from nestedmlm.errors import SumsNotHereError
from nestedmlm.statistics.cells.cell_sums import Cells
from nestedmlm.statistics.cells.panels import (
    Recoding,
    add_to_panels,
    pieces_of_cells,
    products_of,
)
from nestedmlm.statistics.cells.worker_cells import WorkerCells
from nestedmlm.statistics.elimination_order import Order
from nestedmlm.statistics.forest import LEVELS, cut_into_blocks
from nestedmlm.statistics.parts import FactorPart, stacked_parts
from nestedmlm.statistics.sufficient_statistics import CrossProducts

if TYPE_CHECKING:
    from nestedmlm.design.design import Design

_MOST_SHARES = 64  # each is a task of every evaluation, of about a millisecond


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class WorkerBlocks:
    """Shares of the groups: subtrees of the coarsest factor that share no level with others.

    Attributes
    ----------
    shares : tuple
        Dask's handles of the `CrossProducts` of each share, with zero for what is not a sum over
        groups.
    parts : tuple of tuple of FactorPart
        Of each share, in its own vectors.
    levels : tuple of tuple of slice
        Of each share and factor, its levels among all, in the order of elimination.
    """

    shares: tuple[Any, ...]
    parts: tuple[tuple[FactorPart, ...], ...]
    levels: tuple[tuple[slice, ...], ...]

    def kept(self, function: Callable[..., Any], *arguments: Any) -> tuple[Any, ...]:
        """Handles of what a function of each share's sums gives."""
        return stays([later(function, share, *arguments) for share in self.shares])

    def each(self, function: Callable[..., Any], *of_share: Sequence[Any]) -> list[Any]:
        """What a function of each share's sums gives; further arguments share by share."""
        return comes([later(function, *own) for own in zip(self.shares, *of_share, strict=True)])

    def split(self, stacked: FloatArray, whole: Sequence[FactorPart]) -> Iterator[FloatArray]:
        """The rows of each share among stacked rows of all random effects."""
        by_level = [part.by_level(stacked) for part in whole]
        for own in self.levels:
            rows = [x[levels] for x, levels in zip(by_level, own, strict=True)]
            yield np.concatenate([x.reshape(-1, *stacked.shape[1:]) for x in rows])

    def stacked(self, rows: Sequence[FloatArray]) -> FloatArray:
        """Rows of all random effects from those of each share."""
        factors = range(len(self.parts[0]))
        return np.concatenate(
            [x[own[f].rows] for f in factors for x, own in zip(rows, self.parts, strict=True)]
        )


def refuse_crossed(design: Design, order: Order) -> NoReturn:
    """Refuse to leave the cells of crossed factors on workers.

    Raises
    ------
    SumsNotHereError
    """
    names = ", ".join(design.factors[f].name for f in order.trailing)
    raise SumsNotHereError(
        f"{names} is crossed with {design.factors[order.chain[0]].name}: what meets in one level "
        'cannot be summed apart, so cells="workers" fits nested factors only; leave it out, or, '
        "where ids begin anew in each group, write (1 | outer/inner)"
    )


def blocks_on_workers(
    cells: WorkerCells,
    recoded: Recoding,
    nodes: IntArray,
    parents: Sequence[IntArray],
    K: IntArray,
    J: IntArray,
    p: int,
) -> WorkerBlocks:
    """Bring the cells of each subtree together on some worker, and sum them there.

    Parameters
    ----------
    cells : WorkerCells
    recoded : Recoding
        Columns of the model.
    nodes : (cells,) array
        Level of the finest factor, in the order of elimination.
    parents : sequence of arrays
        For each factor but the coarsest, the parent of each level.
    K, J : (m,) arrays
        Columns and levels of each factor, finest first.
    p : int
        Fixed effects.
    """
    placed: list[Any] = []
    met: list[IntArray] = []
    cuts = _cuts(parents, J, min(len(cells.parts), _MOST_SHARES))
    for part, places in zip(cells.parts, cells.places, strict=True):  # a small graph each time
        own = nodes[places]
        placed += stays([later(_placed, part, own)])
        met.append(np.unique(np.searchsorted(cuts[1:, 0], own, side="right")))
    shares: list[Any] = []
    sizes = []
    for k, (begin, end) in enumerate(pairwise(cuts)):
        up = [parents[i][begin[i] : end[i]] - begin[i + 1] for i in range(len(K) - 1)]
        low, high = int(begin[0]), int(end[0])
        some = [later(_between, x, low, high) for x, ks in zip(placed, met, strict=True) if k in ks]
        shares += stays([later(_share, some, recoded, up, K, end - begin, p)])
        sizes.append(stacked_parts(zip(K.tolist(), (end - begin).tolist(), strict=True)))
    return WorkerBlocks(
        shares=tuple(shares),
        parts=tuple(sizes),
        levels=tuple(
            tuple(slice(int(a), int(b)) for a, b in zip(begin, end, strict=True))
            for begin, end in pairwise(cuts)
        ),
    )


def _cuts(parents: Sequence[IntArray], J: IntArray, count: int) -> IntArray:
    """Where shares of about equally many finest levels begin, (shares + 1, m)."""
    tops = np.arange(int(J[-1]) + 1)
    starts = [tops]  # of each level of the coarsest factor among the levels of each
    for up in reversed(parents):
        starts.insert(0, np.searchsorted(up, starts[0]))
    wanted = np.linspace(0, J[0], count + 1)
    chosen = np.unique(np.searchsorted(starts[0], wanted))
    return np.stack(starts, axis=1)[chosen]


def _placed(cells: Cells, nodes: IntArray) -> tuple[Cells, IntArray]:
    return cells, nodes


def _between(placed: tuple[Cells, IntArray], low: int, high: int) -> tuple[Cells, IntArray]:
    cells, nodes = placed
    own = np.flatnonzero((nodes >= low) & (nodes < high))
    some = replace(cells, keys={}, products=cells.products[:, own], counts=cells.counts[own])
    return some, nodes[own] - low


def _share(
    pieces: list[tuple[Cells, IntArray]],
    recoded: Recoding,
    parents: list[IntArray],
    K: IntArray,
    J: IntArray,
    p: int,
) -> CrossProducts:
    """Sums of products of some subtrees."""
    blocks, kc = cut_into_blocks(K, J, parents, p + 1, most=LEVELS), int(K.sum())
    for cells, nodes in pieces:
        products = products_of(cells, recoded)
        for some in pieces_of_cells(cells.size):
            M = products(some)
            columns = [*range(kc), *range(M.shape[1] - p - 1, M.shape[1])]
            add_to_panels(M[:kc], nodes[some], parents, blocks, columns)
    return CrossProducts(
        n=0,
        p=p,
        order=Order(chain=tuple(range(len(K))), trailing=(), parents=(), node_of_level=()),
        parts=stacked_parts(zip(K.tolist(), J.tolist(), strict=True)),
        blocks=blocks,
        crossed=None,
        F=np.zeros((p + 1, p + 1)),
        transforms=(),
        R_x=np.eye(p),
        beta0=np.zeros(p),
        log_det_R=0.0,
        sum_log_w=0.0,
    )
