"""The variance partition of a fit as a view."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from nestedmlm.arguments import checked
from nestedmlm.errors import OptionError
from nestedmlm.inference.variances.variance_partition import Partition
from nestedmlm.views.render.blocks import Block, Table, Text
from nestedmlm.views.render.rformat import format_numbers, round_r
from nestedmlm.views.render.view import View, Viewable, blank, note

DIGITS = 4  # significant digits
QUANTILE_NAMES = ("Min", "1Q", "Median", "3Q", "Max")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class VariancePartition(Viewable):
    """Variance components read by level, with their shares; what `fit.variance_partition` gives.

    Attributes
    ----------
    numbers : Partition
        The tables ``levels``, ``components`` and ``slopes``.
    formula : str
        Of the model.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> fit = nm.lmer("Reaction ~ Days + (Days | Subject)", nm.load_dataset("sleepstudy"))
    >>> fit.variance_partition().to_frame("level").columns[:3].tolist()
    ['groups', 'variance', 'sd']
    """

    numbers: Partition
    formula: str

    @checked
    def to_frame(self, by: str = "level") -> pd.DataFrame:
        """Return the numbers.

        Parameters
        ----------
        by : {"level", "component", "slope"}
            One row for each level; for each variance and covariance; or for each random slope and
            quantile of its predictor.

        Returns
        -------
        DataFrame
            By grouping factor, then ``Residual``: ``groups`` (number of levels), ``variance``,
            ``sd``, ``share`` of the variance given the predictors, ``to_residual`` (ratio to the
            residual variance), ``correlation`` of two rows that share a level.
        """
        if by not in _FRAMES:
            raise OptionError(f"by must be one of {', '.join(_FRAMES)}, not {by!r}")
        return _FRAMES[by](self.numbers).copy()

    def view(self) -> View:
        """Build the document: levels, components of levels with slopes, variance along slopes."""
        blocks: list[Block] = [Text(("Variance by level",), role="title")]
        blocks += [Text((f"Formula: {self.formula}",)), blank(), _levels(self.numbers.levels)]
        slopes = self.numbers.slopes
        if len(slopes):
            blocks += [blank(), Text(("Average over the rows, by component:",), role="heading")]
            blocks.append(_components(self.numbers.components))
        for (group, column), frame in slopes.groupby(["group", "column"], sort=False):
            heading = f"Variance between the levels of {group} along {column}:"
            blocks += [
                blank(),
                Text((heading,), role="heading"),
                _along(frame, f"{group}|{column}"),
            ]
        return View((*blocks, blank(), note(*_notes(self.numbers))))


_FRAMES: dict[str, Callable[[Partition], pd.DataFrame]] = {
    "level": lambda numbers: numbers.levels,
    "component": lambda numbers: numbers.components,
    "slope": lambda numbers: numbers.slopes,
}


def _levels(frame: pd.DataFrame) -> Table:
    residual = len(frame) - 1
    groups = [f"{int(g)}" for g in frame["groups"].iloc[:residual]] + [""]
    columns = [
        groups,
        format_numbers(frame["variance"], digits=DIGITS),
        format_numbers(frame["sd"], digits=DIGITS),
        _percent(frame["share"]),
        [*_ratio(frame["to_residual"].iloc[:residual]), ""],
        [*_decimals(frame["correlation"].iloc[:residual], 3), ""],
    ]
    return Table(
        name="levels",
        frame=frame,
        cells=tuple(zip(*columns, strict=True)),
        rows=tuple(map(str, frame.index)),
        columns=("Groups", "Variance", "Std.Dev.", "Share", "To residual", "Correlation"),
    )


def _components(frame: pd.DataFrame) -> Table:
    labels = [
        row.var1 if row.var2 is None else f"{row.var1} with {row.var2}"
        for row in frame.itertuples()
    ]
    groups = [
        "" if i and frame["term"].iloc[i] == frame["term"].iloc[i - 1] else str(group)
        for i, group in enumerate(frame["group"])
    ]
    numbers = format_numbers(frame["variance"], digits=DIGITS)
    cells = zip(groups, labels, numbers, _percent(frame["share"]), strict=True)
    return Table(
        name="components",
        frame=frame,
        cells=tuple(cells),
        rows=("",) * len(frame),
        columns=("Level", "Component", "Variance", "Share"),
        right=False,
        numeric=(2, 3),
    )


def _along(frame: pd.DataFrame, name: str) -> Table:
    rows = ("at", "Variance", "Std.Dev.")
    values = [frame[column].to_numpy() for column in ("x", "variance", "sd")]
    return Table(
        name=name,
        frame=frame,
        cells=tuple(tuple(format_numbers(value, digits=DIGITS)) for value in values),
        rows=rows,
        columns=QUANTILE_NAMES,
    )


def _notes(numbers: Partition) -> list[str]:
    lines = ["Share: of the variance given the predictors."]
    if len(numbers.levels) > 1:
        lines.append("Correlation: of two rows in the same group (and in the groups around it).")
    if numbers.average:
        lines.append("Residuals differ or correlate: averages over the rows, and over their pairs.")
    if len(numbers.slopes):
        lines.append("Random slopes count with their average over the rows, mean(z' Sigma z).")
    if numbers.slopes["x"].isna().any():
        lines.append("NaN: quantiles of predictors that the sums do not tell.")
    total = numbers.levels["variance"].sum() + numbers.fixed
    share = numbers.fixed / total if total > 0 else 0.0
    text = format_numbers([numbers.fixed], digits=DIGITS)[0].strip()
    return [*lines, f"Fixed effects: variance {text}, {_percent([share])[0].strip()} of the whole."]


def _percent(values: object) -> list[str]:
    return [f"{text}%" for text in _decimals(100.0 * np.asarray(values, dtype=float), 1)]


def _ratio(values: pd.Series) -> list[str]:
    return _decimals(values, 3)


def _decimals(values: object, decimals: int) -> list[str]:
    rounded = round_r(np.asarray(values, dtype=float), decimals)
    return format_numbers(rounded, nsmall=decimals)
