"""The order of elimination of a fit as a view."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd

from nestedmlm.likelihood.block_sizes import BlockSizes
from nestedmlm.statistics.memory import written_bytes
from nestedmlm.views.render.blocks import Table, Text
from nestedmlm.views.render.view import View, Viewable, blank, note


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Elimination(Viewable):
    """Order of elimination of the random effects; what `fit.elimination` gives.

    Attributes
    ----------
    numbers : BlockSizes
        Factors, sizes and memory.
    formula : str
        Of the model.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> fit = nm.lmer("strength ~ 1 + (1 | batch/cask)", nm.load_dataset("Pastes"))
    >>> fit.elimination().to_frame()["levels"].to_dict()
    {'cask:batch': 30, 'batch': 10}
    """

    numbers: BlockSizes
    formula: str

    def view(self) -> View:
        """Build the document: a row for each factor, then what that means."""
        return View(
            (
                Text(("Elimination of the random effects",), role="title"),
                Text((f"Formula: {self.formula}",)),
                blank(),
                _factors(self.numbers.factors),
                blank(),
                note(*_notes(self.numbers)),
            )
        )


def _factors(frame: pd.DataFrame) -> Table:
    cells = [
        (str(row.block), f"{row.levels:,}", str(row.columns), str(row.above), _met(row))
        for row in frame.itertuples()
    ]
    return Table(
        name="factors",
        frame=frame,
        cells=tuple(cells),
        rows=tuple(map(str, frame.index)),
        columns=("Block", "Levels", "Columns", "Above", "Met"),
        numeric=(1, 2, 3, 4),
    )


def _met(row: Any) -> str:
    return f"{row.met:,.1f}" if row.block == "chain" else ""


def _notes(numbers: BlockSizes) -> list[str]:
    chain = numbers.factors.index[numbers.factors["block"] == "chain"]
    nested = " within ".join(map(str, chain))
    pieces = f", in {numbers.pieces} pieces" if numbers.pieces > 1 else ""
    lines = [f"Chain: {nested}, level by level{pieces}."] if nested else []
    if numbers.dense is None:
        lines.append("Nothing is crossed with the chain: no dense block.")
    else:
        lines.append(f"The {numbers.dense}.")
    kept, used = written_bytes(numbers.statistics), written_bytes(numbers.evaluation)
    return [*lines, f"Memory: {kept} of sums of products, {used} for an evaluation."]
