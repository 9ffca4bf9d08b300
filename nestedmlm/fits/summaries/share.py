"""Shared summaries: cells of few rows are refused, groups renamed, the sources left out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from nestedmlm.design.frame.values import Factor
from nestedmlm.errors import DataError, OptionError
from nestedmlm.statistics.cells.cell_sums import Cells, Tally
from nestedmlm.statistics.cells.combinations import combinations, plain_codes
from nestedmlm.statistics.cells.predictor_tally import PredictorTally

if TYPE_CHECKING:
    from nestedmlm.fits.summaries.data_summary import Summary

_FAR = 3.0  # standard deviations from the mean that stand for the extremes of the response


def share(summary: Summary, *, min_rows: int = 10, groups: Sequence[str] | None = None) -> Summary:
    """Make a summary that others may have: no cell of few rows, no names of groups.

    Parameters
    ----------
    min_rows : int
        Least number of rows of a cell, and of a level of a fixed factor.
    groups : sequence of str, optional
        Grouping variables that are kept: cells are summed over the others, and their terms leave
        the formula. By default all.

    Returns
    -------
    Summary
        Its groups have numbers in the place of names, drawn at random, so that it adds up only
        with what has no group in common with it.

    Raises
    ------
    DataError
        If a cell or a level has fewer rows; it says how many do.
    OptionError
        If a group to be kept is not there.

    Notes
    -----
    Sums are not anonymous by themselves: those of a cell of one row are the row. See *What a
    summary holds*.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> s = nm.summarise("Reaction ~ Days + (Days | Subject)", nm.load_dataset("sleepstudy"))
    >>> shared = s.share(min_rows=10)
    >>> round(shared.fit().criterion, 3), shared.sources
    (1743.628, ())
    """
    wanted = list(summary.plan.groups) if groups is None else list(groups)
    for name in wanted:
        if name not in summary.plan.groups:
            raise OptionError(
                f"{name!r} is no grouping variable; there are {', '.join(summary.plan.groups)}"
            )
    if len(wanted) < len(summary.plan.groups):
        summary = _coarser(summary, wanted)
    cells = summary.cells
    few = int((cells.counts < min_rows).sum())
    if few:
        others = [name for name in wanted if len(wanted) > 1]
        hint = f"; sum over the finest group: s.share(groups={others[:-1]!r})" if others else ""
        raise DataError(
            f"{few:,} of {cells.size:,} combinations of {', '.join(wanted)} have fewer than "
            f"{min_rows} rows, and their sums would tell of single rows{hint}"
        )
    for name, counts in cells.tally.used.items():
        rare = counts[(counts > 0) & (counts < min_rows)]
        if rare.size:
            raise DataError(
                f"{rare.size} level(s) of {name} have fewer than {min_rows} rows, and sums would "
                "tell of them: put rare levels together first"
            )
    return replace(
        summary,
        plan=replace(summary.plan, pilot=None),
        cells=replace(cells, keys=_renamed(cells), tally=_without_extremes(cells, min_rows)),
        source_name="shared sums",
        parts=1,
    )


def _coarser(summary: Summary, wanted: Sequence[str]) -> Summary:
    """Sums over some grouping variables, whose terms leave the formula."""
    formula = summary.plan.reading.formula
    for bar in formula.bars:
        if any(part.name not in wanted for part in bar.parts):
            formula = formula.without(bar)
    cells = summary.cells
    keys = {name: cells.keys[name] for name in wanted}
    codes, first = combinations([plain_codes(value) for value in keys.values()])
    J = len(first)
    products = np.stack([np.bincount(codes, row, minlength=J) for row in cells.products])
    kept = {
        name: replace(v, codes=v.codes[first]) if isinstance(v, Factor) else np.asarray(v)[first]
        for name, v in keys.items()
    }
    summed = replace(
        cells,
        keys=kept,
        products=products,
        counts=np.bincount(codes, cells.counts, minlength=J).astype(np.int64),
    )
    reading = replace(summary.plan.reading, formula=formula)
    return replace(
        summary, plan=replace(summary.plan, groups=tuple(wanted), reading=reading), cells=summed
    )


def _renamed(cells: Cells) -> dict[str, np.ndarray]:
    """Numbers in the place of names, in an order that tells nothing."""
    rng = np.random.default_rng()
    keys = {}
    for name, value in cells.keys.items():
        _, codes = np.unique(plain_codes(value), return_inverse=True)
        keys[name] = rng.permutation(int(codes.max()) + 1)[codes.ravel()]
    return keys


def _without_extremes(cells: Cells, min_rows: int) -> Tally:
    """Counts with the mean and a few standard deviations for the extremes of the response.

    Combinations of the predictors are left out where one has few rows, as are their extremes.
    """
    y = cells.basis[:, -1]
    plain = cells.total if cells.plain is None else cells.plain
    mean = float(cells.sums @ y) / cells.tally.n
    square = float(y @ plain @ y) / cells.tally.n
    spread = _FAR * max(square - mean**2, 0.0) ** 0.5
    return replace(
        cells.tally,
        low=mean - spread,
        high=mean + spread,
        at_low=0,
        at_high=0,
        missing={},
        marks=(),
        predictors=_shared_predictors(cells.tally.predictors, min_rows),
    )


def _shared_predictors(tally: PredictorTally | None, min_rows: int) -> PredictorTally | None:
    """Combinations of predictors of which none is rare, and means in the place of extremes."""
    if tally is None or (tally.counts < min_rows).any():
        return None
    numbers = {
        name: own if name in tally.values else replace(own, low=own.mean, high=own.mean)
        for name, own in tally.numbers.items()
    }
    return replace(tally, numbers=numbers)
