"""Posterior probabilities of hypotheses: what ``BayesFit.hypothesis()`` returns."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from nestedmlm.posterior.summaries import ESTIMATES
from nestedmlm.views.posterior import cells
from nestedmlm.views.render.view import View, Viewable, note


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class HypothesisResult(Viewable):
    """Posterior probabilities of hypotheses.

    Attributes
    ----------
    table : DataFrame
        Indexed by the hypotheses; ``estimate, std_error, conf_low, conf_high`` of the larger side
        minus the smaller one (NaN for compound hypotheses), ``probability`` that it is true, its
        Monte-Carlo error ``mcse``, and the posterior ``odds``.
    level : float
        Probability inside the intervals.
    draws : int
        Number of draws behind it.
    """

    table: pd.DataFrame
    level: float
    draws: int

    def view(self) -> View:
        """Build the document."""
        lower, upper = cells.level_names(self.level)
        columns = {
            "estimate": ("Difference", cells.as_is),
            "std_error": ("Post.SD", cells.as_is),
            "conf_low": (lower, cells.as_is),
            "conf_high": (upper, cells.as_is),
            "probability": ("P(true)", cells.fixed_point(3)),
            "mcse": ("MCSE", cells.fixed_point(3)),
            "odds": ("Odds", cells.significant),
        }
        rows = [str(name) for name in self.table.index]
        shown = cells.by_spread(self.table, ESTIMATES)
        blocks = [cells.frame_table("hypothesis", self.table, columns, rows=rows, shown=shown)]
        if self.table["probability"].isin([0.0, 1.0]).any():
            limit = f"A probability of 0 or 1 means: in none or all of {self.draws} draws."
            return View((*blocks, note(limit)))
        return View(tuple(blocks))
