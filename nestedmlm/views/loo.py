"""Leave-one-group-out of a fit by likelihood: elpd and error for new groups."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from nestedmlm.views.render.blocks import Block, Table
from nestedmlm.views.render.view import View, Viewable, blank, note


def sum_error(values: Any) -> Any:
    """Standard error of a sum (of a frame: of its columns' sums), from the terms' spread."""
    return np.sqrt(len(values) * values.var(ddof=1))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class GroupLoo(Viewable):
    """Expected log predictive density of new groups, by leaving out one group after the other.

    Attributes
    ----------
    group : str
        The factor whose groups were left out.
    table : DataFrame
        By level: ``rows, elpd, rmse``, and of a generalized model ``mc_error``, the Monte Carlo
        standard error of its elpd.
    refit : str
        How theta was found without each group.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> fit = nm.lmer("Reaction ~ Days + (1 | Subject)", nm.load_dataset("sleepstudy"))
    >>> found = fit.loo(progress=False)
    >>> print(round(found.elpd, 2), round(found.rmse, 2))
    -907.12 49.6
    >>> found.to_frame().columns.tolist()
    ['rows', 'elpd', 'rmse']
    """

    group: str
    table: pd.DataFrame
    refit: str

    @property
    def elpd(self) -> float:
        """Sum of the groups' log predictive densities: larger is better."""
        return float(self.table["elpd"].sum())

    @property
    def se(self) -> float:
        """Standard error of `elpd`, from the spread over the groups."""
        return float(sum_error(self.table["elpd"].to_numpy()))

    @property
    def rmse(self) -> float:
        """Root mean squared error of predictions of new groups' rows."""
        rows = self.table["rows"].to_numpy()
        return float(np.sqrt((rows * self.table["rmse"].to_numpy() ** 2).sum() / rows.sum()))

    def to_frame(self) -> pd.DataFrame:
        """Return the table, a row for each group: a copy of `table`."""
        return self.table.copy()

    def view(self) -> View:
        """Build the document."""
        frame = pd.DataFrame(
            {"Estimate": [self.elpd, self.rmse], "SE": [self.se, np.nan]},
            index=["elpd_loo", "rmse"],
        )
        cells = ((f"{self.elpd:.2f}", f"{self.se:.2f}"), (f"{self.rmse:.4g}", ""))
        table = Table(
            name="loo", frame=frame, cells=cells, rows=tuple(frame.index),
            columns=tuple(frame.columns),
        )  # fmt: skip
        worst = self.table["elpd"].div(self.table["rows"]).idxmin()
        blocks: list[Block] = [
            table,
            blank(),
            note(
                f"Each of {len(self.table)} {self.group} predicted by the others "
                f"(theta: {self.refit}); worst predicted per row: {worst}"
            ),
        ]
        if "mc_error" in self.table:
            error = float(np.sqrt((self.table["mc_error"] ** 2).sum()))
            blocks.append(note(f"Monte Carlo standard error of elpd_loo: {error:.2g}"))
        return View(tuple(blocks))
