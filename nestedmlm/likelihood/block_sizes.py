"""Sizes of the blocks of the elimination, in order, and the memory they take."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

import numpy as np
import pandas as pd

from nestedmlm.design.design import Design
from nestedmlm.likelihood.solution import Solution
from nestedmlm.statistics.crossproducts import CrossProducts
from nestedmlm.statistics.memory import DenseBlock


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BlockSizes:
    """Order and sizes of an elimination.

    Attributes
    ----------
    factors : DataFrame
        One row for each grouping factor, in the order of elimination. ``block`` is ``"chain"``
        (eliminated level by level) or ``"dense"``; ``levels``; ``columns``, of each level;
        ``above``, the columns of the coarser factors that a level lies in; ``met``, the columns of
        the dense block that a level meets on average.
    pieces : int
        Parts of the chain that share no level: each may have a thread of its own.
    dense : DenseBlock or None
        Of the crossed factors, if there are any.
    statistics, evaluation : int
        Bytes of the sums of products, and of what one evaluation of the criterion keeps.
    """

    factors: pd.DataFrame
    pieces: int
    dense: DenseBlock | None
    statistics: int
    evaluation: int


def block_sizes(solution: Solution, design: Design) -> BlockSizes:
    """Describe the elimination of a solved model."""
    stats = solution.stats
    names = [design.factors[f].name for f in stats.factors]
    m = len(stats.chain_parts)
    columns = [part.k for part in stats.chain_parts]
    frame = pd.DataFrame(
        {
            "block": ["chain"] * m + ["dense"] * (len(names) - m),
            "levels": [part.levels for part in stats.parts],
            "columns": [part.k for part in stats.parts],
            "above": [sum(columns[place + 1 :]) for place in range(len(names))],
            "met": [*_columns_met(stats), *[0.0] * (len(names) - m)],
        },
        index=pd.Index(names, name="factor"),
    )
    dense = None
    if stats.crossed is not None:
        dense = DenseBlock(factors=tuple(names[m:]), columns=len(stats.crossed.Q))
    return BlockSizes(
        factors=frame,
        pieces=len(stats.blocks),
        dense=dense,
        statistics=_bytes(stats),
        evaluation=_bytes(solution.state),
    )


def _columns_met(stats: CrossProducts) -> list[float]:
    if stats.crossed is None:
        return [0.0] * len(stats.chain_parts)
    entries = np.diff(stats.crossed.entries.first)
    return [float(n) / part.levels for n, part in zip(entries, stats.chain_parts, strict=True)]


def _bytes(record: Any) -> int:
    """Bytes of all arrays in a record; an array that stands there twice counts once."""
    return sum({id(array): array.nbytes for array in _arrays(record)}.values())


def _arrays(value: Any) -> Iterator[np.ndarray]:
    if isinstance(value, np.ndarray):
        yield value
    elif is_dataclass(value):
        for field in fields(value):
            yield from _arrays(getattr(value, field.name))
    elif isinstance(value, tuple):
        for item in value:
            yield from _arrays(item)
