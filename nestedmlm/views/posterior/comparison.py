"""REML beside posterior: what `nestedmlm.compare` returns."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from nestedmlm.views.posterior import cells
from nestedmlm.views.render.blocks import Block, Text
from nestedmlm.views.render.view import View, Viewable, note

_NUMBERS = ("estimate", "std_error", "mean", "sd", "lower", "upper")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Comparison(Viewable):
    """The same parameters from two engines.

    Attributes
    ----------
    table : DataFrame
        See `nestedmlm.posterior.comparison.comparison_table`.
    formula : str
    method : str
        ``REML`` or ``ML``.
    prob : float
        Probability inside the intervals.
    notes : tuple of str
        Variance components at the boundary.
    """

    table: pd.DataFrame
    formula: str
    method: str
    prob: float
    notes: tuple[str, ...]

    def view(self) -> View:
        """Build the document."""
        lower, upper = cells.level_names(self.prob)
        columns = {
            "estimate": (self.method, cells.as_is),
            "std_error": ("SE", cells.as_is),
            "mean": ("Mean", cells.as_is),
            "sd": ("Post.SD", cells.as_is),
            "lower": (lower, cells.as_is),
            "upper": (upper, cells.as_is),
            "shift": ("Shift", cells.fixed_point(2)),
        }
        shown = cells.by_spread(self.table, _NUMBERS)
        table = cells.frame_table(
            "comparison", self.table, columns, rows=[str(x) for x in self.table.index], shown=shown
        )
        title = f"{self.method} estimates and posterior means"
        blocks: list[Block] = [Text((title,), role="title"), Text((f"Formula: {self.formula}",))]
        blocks += [table, note(LEGEND)]
        if self.notes:
            blocks.append(Text(self.notes))
        return View(tuple(blocks))


LEGEND = "Shift: (mean - estimate) / SE; of variance parameters, / Post.SD."
