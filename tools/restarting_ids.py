"""How often ids are said to restart, as a table: `python tools/restarting_ids.py [sets]`.

Simulated schools with classes (ids restart) and subjects with items (they cross), several rows for
each; how often `restarting_ids` speaks, and so errs in the second half of the table.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

import nestedmlm as nm
from nestedmlm.design.restarting_ids import restarting_ids

Codes = tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]
PARENTS, ROWS = 30, 6  # levels of the outer factor; rows of a cell


def balanced(rng: np.random.Generator, ids: int) -> Codes:
    """Every parent has all ids."""
    cells = np.indices((PARENTS, ids)).reshape(2, -1)
    return tuple(np.repeat(cells, ROWS, axis=1))


def ragged(rng: np.random.Generator, ids: int) -> Codes:
    """Parents have the first 1 to `ids` ids."""
    a, b = balanced(rng, ids)
    some = b < rng.integers(1, ids + 1, PARENTS)[a]
    return a[some], b[some]


def absent(rng: np.random.Generator, ids: int) -> Codes:
    """A fifth of the cells is absent by chance."""
    a, b = balanced(rng, ids)
    some = (rng.random((PARENTS, ids)) > 0.2)[a, b]
    return a[some], b[some]


def share(
    layout: Callable[[np.random.Generator, int], Codes],
    ids: int,
    sd: tuple[float, float, float],
    sets: int,
) -> float:
    """Share of data sets in which ids are said to restart; SDs of parents, ids and cells."""
    found = 0
    for seed in range(sets):
        rng = np.random.default_rng(seed)
        a, b = layout(rng, ids)
        y = sd[0] * rng.normal(size=PARENTS)[a] + sd[1] * rng.normal(size=ids)[b]
        y = y + sd[2] * rng.normal(size=(PARENTS, ids))[a, b] + rng.normal(size=len(a))
        data = {"y": y, "a": a, "b": b + 1}
        design = nm.build_design("y ~ 1 + (1 | a) + (1 | b)", data)
        found += any(ids.inner == "b" for ids in restarting_ids(design))
    return found / sets


SITUATIONS = [  # what, layout, ids, SDs of parents, ids and cells relative to the residual
    ("ids restart, 4 in each parent, SD of cells 0.5", balanced, 4, (0.5, 0.0, 0.5)),
    ("ids restart, 4 in each parent, SD of cells 0.25", balanced, 4, (0.5, 0.0, 0.25)),
    ("ids restart, 2 in each parent, SD of cells 0.5", balanced, 2, (0.5, 0.0, 0.5)),
    ("ids restart, 1 to 6 in a parent, SD of cells 0.5", ragged, 6, (0.5, 0.0, 0.5)),
    ("ids restart, 1 to 6 in a parent, SD of cells 0.25", ragged, 6, (0.5, 0.0, 0.25)),
    ("crossed, 12 items, SD 0.5", balanced, 12, (0.5, 0.5, 0.0)),
    ("crossed, 12 items, SD 0.1", balanced, 12, (0.5, 0.1, 0.0)),
    ("crossed, 12 items, SD 0.5, interaction 0.25", balanced, 12, (0.5, 0.5, 0.25)),
    ("crossed, 12 items, SD 0.5, a fifth of the cells absent", absent, 12, (0.5, 0.5, 0.0)),
    ("crossed, 4 raters, SD 0.25", balanced, 4, (0.5, 0.25, 0.0)),
    ("crossed, 4 raters, SD 0.25, interaction 0.25", balanced, 4, (0.5, 0.25, 0.25)),
    ("crossed, 2 raters, SD 0.25, interaction 0.25", balanced, 2, (0.5, 0.25, 0.25)),
    ("crossed, 6 occasions, SD 0.25, dropout", ragged, 6, (0.5, 0.25, 0.0)),
]


def main(sets: int) -> None:
    """Print the table."""
    print("| data (SDs relative to the residual's) | said to restart |\n|---|---|")
    for what, layout, ids, sd in SITUATIONS:
        print(f"| {what} | {100 * share(layout, ids, sd, sets):.1f} % |", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 500)
