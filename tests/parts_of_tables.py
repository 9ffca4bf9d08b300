"""Tables cut into partitions, for the tests of summaries."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from nestedmlm.design.partitions.partition import Partition, Source


def parts_of(frame: pd.DataFrame, count: int = 3) -> Source:
    """A source of so many slices of a frame, of about equal size."""
    cuts = np.linspace(0, len(frame), count + 1).astype(int)
    return source_of([frame.iloc[a:b] for a, b in pairwise(cuts)])


def source_of(tables: Iterable[Any]) -> Source:
    """A source of tables as they are."""
    tables = list(tables)
    columns = tables[0].column_names if hasattr(tables[0], "column_names") else tables[0].columns

    def read(table: Any) -> Any:
        def columns_of(names: Sequence[str]) -> Any:
            there = [n for n in names if n in table.columns] if hasattr(table, "iloc") else names
            return table[there] if hasattr(table, "iloc") else table.select(there)

        return columns_of

    return Source(
        name="parts",
        columns=tuple(columns),
        partitions=lambda: (
            Partition(f"part {k}", read(table)) for k, table in enumerate(tables, start=1)
        ),
        count=len(tables),
    )
