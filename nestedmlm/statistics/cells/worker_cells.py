"""`Cells` whose products stay on Dask's workers: keys, counts and totals come here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np

from nestedmlm._typing import IntArray
from nestedmlm.design.partitions.on_partitions import partitions_on_workers
from nestedmlm.design.partitions.partition import Source
from nestedmlm.design.partitions.workers import OnWorkers
from nestedmlm.statistics.cells.cell_sums import Cells, Tally
from nestedmlm.statistics.cells.merge import merged_heads


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class WorkerCells:
    """Cells of each partition, on the workers that summed it.

    Attributes
    ----------
    parts : tuple
        Dask's handles of the `Cells` of each partition that has some.
    places : tuple of (J,) arrays
        For each part, the places of its cells among all.
    """

    parts: tuple[Any, ...]
    places: tuple[IntArray, ...]


def cells_on_workers(
    source: Source, columns: Sequence[str], summarise: Callable[[Any, str], Cells]
) -> Cells:
    """Sum a Dask frame partition by partition, and leave the products where they are.

    Parameters
    ----------
    source : Source
        Of a Dask frame.
    columns : sequence of str
        To be read.
    summarise : callable
        ``(table, label) -> Cells``.

    Returns
    -------
    Cells
        Of all rows; `Cells.products` stand for what is on the workers.
    """
    parts, heads = partitions_on_workers(source, columns, summarise, without_products)
    full = [k for k, head in enumerate(heads) if head.size] or [0]
    found, places = merged_heads([heads[k] for k in full])
    return replace(
        found,
        products=cast(Any, OnWorkers()),
        tally=sum((head.tally for head in heads), Tally()),
        on_workers=WorkerCells(parts=tuple(parts[k] for k in full), places=tuple(places)),
    )


def without_products(cells: Cells) -> Cells:
    """All but the products of cells."""
    return replace(cells, products=np.zeros((len(cells.products), 0)))
