"""Averaging the cells of a reference grid over some of its variables."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from nestedmlm._typing import FloatArray
from nestedmlm.errors import OptionError
from nestedmlm.inference.means.nesting import Nesting
from nestedmlm.inference.means.reference_grid import Grid


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Cells:
    """Combinations of some variables, each a weighted average of the grid's cells.

    Attributes
    ----------
    names : tuple of str
    codes : (r, v) array of int
        Positions of the levels, the first variable changing fastest.
    values : (r, p_all + q + 1) array
        Row of the grid's matrix, and the offset.
    weight : (r,) array
        Rows of the data behind each.
    averaged : tuple of str
        What was averaged over.
    """

    names: tuple[str, ...]
    codes: np.ndarray
    values: FloatArray
    weight: FloatArray
    averaged: tuple[str, ...] = ()


def marginal_cells(grid: Grid, keep: Sequence[str], *, weights: str = "equal") -> Cells:
    """Average over all variables that are not in `keep`.

    Parameters
    ----------
    grid : Grid
    keep : sequence of str
        The variables of the means; factors around a nested one are added in front.
    weights : {"equal", "proportional", "outer", "cells", "flat"}
        How the levels of the others count: alike; by how often their combinations occur; by the
        product of how often each occurs; by the rows in each cell; alike over the cells that
        occur.

    Returns
    -------
    Cells
        Combinations of a nested factor that do not occur are left out.

    Raises
    ------
    OptionError
        For an unknown variable or kind of weights.
    """
    _check(grid, keep, weights)
    nested = [name for name in keep if name in grid.nesting]
    around = [o for name in nested for o in grid.nesting[name]]
    wanted = tuple(dict.fromkeys([*nested, *around, *keep])) if nested else tuple(keep)
    weight = grid.weight if np.any(grid.weight > 0) else np.ones(len(grid.codes))
    offset = np.zeros(len(grid.codes)) if grid.offset is None else grid.offset
    values = np.column_stack([grid.X, offset])
    whole = Cells(names=grid.names, codes=grid.codes, values=values, weight=weight)
    cells = _average(whole, wanted, weights, dict(grid.nesting))
    return _occurring(cells, nested, grid.nesting) if nested else cells


def _check(grid: Grid, keep: Sequence[str], weights: str) -> None:
    unknown = [name for name in keep if name not in grid.levels]
    if unknown:
        known = ", ".join(grid.levels) or "none"
        operators = [name for name in unknown if set(name) & set("*|:+")]
        hint = f'; a formula begins with ~: "~ {operators[0]}"' if operators else ""
        raise OptionError(
            f"no predictor is called {', '.join(unknown)}; the predictors: {known}{hint}"
        )
    if weights not in WEIGHTS:
        raise OptionError(f"weights must be one of {', '.join(WEIGHTS)}, not {weights!r}")


def _average(cells: Cells, keep: tuple[str, ...], weights: str, nesting: Nesting) -> Cells:
    """Average nested factors within the factors around them first, then over all the rest."""
    over = [name for name in cells.names if name not in keep and name in nesting]
    if not over:
        return _collapse(cells, keep, weights)
    # the innermost first: it has the most factors around it
    inner = max(reversed(over), key=lambda name: len(nesting[name]))
    groups = tuple(dict.fromkeys([*nesting[inner], *(name for name in over if name != inner)]))
    stay = tuple(dict.fromkeys([*keep, *(g for g in groups if g in cells.names)]))
    stay = tuple(name for name in cells.names if name in stay)
    place = [cells.names.index(name) for name in groups if name in cells.names]
    own = cells.names.index(inner)
    _, group = np.unique(cells.codes[:, place], axis=0, return_inverse=True)
    key = group.reshape(-1) * (int(cells.codes[:, own].max()) + 1) + cells.codes[:, own]
    occurs = np.bincount(key, weights=cells.weight)[key] > 0
    # where a group has no row at all there is nothing to choose from
    empty = np.bincount(group.reshape(-1), weights=occurs.astype(float))[group.reshape(-1)] == 0
    inside = _subset(cells, occurs | empty)
    rest = {name: outer for name, outer in nesting.items() if name != inner}
    return _average(_collapse(inside, stay, weights), keep, weights, rest)


def _subset(cells: Cells, mask: np.ndarray) -> Cells:
    return Cells(
        names=cells.names,
        codes=cells.codes[mask],
        values=cells.values[mask],
        weight=cells.weight[mask],
        averaged=cells.averaged,
    )


def _collapse(cells: Cells, keep: tuple[str, ...], weights: str) -> Cells:
    """Average over everything that is not in `keep`."""
    place = [cells.names.index(name) for name in keep]
    rest = [j for j, name in enumerate(cells.names) if name not in keep]
    sizes = [len(np.unique(cells.codes[:, j])) for j in rest]
    codes, group = _unique_rows(cells.codes[:, place])
    counts = WEIGHTS[weights](cells, [j for j, s in zip(rest, sizes, strict=True) if s > 1])
    total = np.bincount(group, weights=counts)
    with np.errstate(invalid="ignore", divide="ignore"):
        share = counts / total[group]
    values = np.zeros((len(codes), cells.values.shape[1]))
    np.add.at(values, group, share[:, None] * cells.values)
    over = tuple(cells.names[j] for j, s in zip(rest, sizes, strict=True) if s > 1)
    return Cells(
        names=keep,
        codes=codes,
        values=values,
        weight=np.bincount(group, weights=cells.weight),
        averaged=tuple(dict.fromkeys([*cells.averaged, *over])),
    )


def _unique_rows(codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distinct rows with the first column changing fastest, and which one each row is."""
    if codes.shape[1] == 0:
        return codes[:1], np.zeros(len(codes), dtype=np.int64)
    unique, group = np.unique(codes[:, ::-1], axis=0, return_inverse=True)
    return unique[:, ::-1], group.reshape(-1)


def _occurring(cells: Cells, nested: Sequence[str], nesting: Nesting) -> Cells:
    """Leave out combinations of nested factors that the data do not have."""
    mask = np.ones(len(cells.codes), dtype=bool)
    for name in nested:
        place = [cells.names.index(n) for n in (name, *nesting[name])]
        _, group = _unique_rows(cells.codes[:, place])
        mask &= np.bincount(group, weights=cells.weight)[group] > 0
    return _subset(cells, mask)


# --- weights of the cells that are averaged ------------------------------------------------------
def _equal(cells: Cells, over: list[int]) -> FloatArray:
    return np.ones(len(cells.codes))


def _proportional(cells: Cells, over: list[int]) -> FloatArray:
    _, group = _unique_rows(cells.codes[:, over])
    return np.asarray(np.bincount(group, weights=cells.weight)[group], dtype=float)


def _outer(cells: Cells, over: list[int]) -> FloatArray:
    out = np.ones(len(cells.codes))
    for j in over:
        own = cells.codes[:, j]
        out = out * np.bincount(own, weights=cells.weight)[own]
    return out


def _cells(cells: Cells, over: list[int]) -> FloatArray:
    return cells.weight


def _flat(cells: Cells, over: list[int]) -> FloatArray:
    return (cells.weight > 0).astype(float)


WEIGHTS: dict[str, Callable[[Cells, list[int]], FloatArray]] = {
    "equal": _equal,
    "proportional": _proportional,
    "outer": _outer,
    "cells": _cells,
    "flat": _flat,
}


def labels_of(grid: Grid, cells: Cells) -> pd.DataFrame:
    """Level of each variable in each row; factors are categorical columns."""
    index = pd.RangeIndex(len(cells.codes))
    if not cells.names:
        return pd.DataFrame({"1": ["overall"]}, index=index)
    columns: dict[str, Any] = {}
    for j, name in enumerate(cells.names):
        levels, codes = list(grid.levels[name]), cells.codes[:, j]
        if name in grid.ordered:
            columns[name] = pd.Categorical.from_codes(
                codes, categories=levels, ordered=grid.ordered[name]
            )
        else:
            columns[name] = np.array(levels)[codes]
    return pd.DataFrame(columns, index=index)
