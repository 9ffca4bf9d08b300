"""Variance components of a posterior: what ``BayesFit.varcorr()`` returns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd

from nestedmlm.bayes.model.names import SIGMA
from nestedmlm.errors import NotDefinedError
from nestedmlm.posterior.summaries import ESTIMATES
from nestedmlm.views.posterior import cells
from nestedmlm.views.render.blocks import Table
from nestedmlm.views.render.view import View, Viewable


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class BayesVarCorr(Viewable):
    """Standard deviations and correlations of the random effects, with intervals.

    Attributes
    ----------
    table : DataFrame
        One row per parameter (see `nestedmlm.posterior.summaries.varcorr_table`).
    level : float
        Probability inside the intervals.
    """

    table: pd.DataFrame
    level: float

    @property
    def sigma(self) -> float:
        """Posterior mean of the residual standard deviation.

        Raises
        ------
        NotDefinedError
            In a generalized model without one.
        """
        found = self.table.loc[self.table["variable"] == SIGMA, "estimate"]
        if not len(found):
            raise NotDefinedError("there is no residual standard deviation in this model")
        return float(found.iloc[0])

    def to_frame(self) -> pd.DataFrame:
        """Return the rows of lme4's ``as.data.frame(VarCorr(m))``, with spread and interval.

        Returns
        -------
        DataFrame
            ``term, group, var1, var2, vcov, estimate, std_error, conf_low, conf_high``: `estimate`
            is the posterior mean of the standard deviation or correlation, the last three describe
            it; `vcov` is the posterior mean of the variance or covariance.
        """
        return self.table.reset_index()[
            [
                "term",
                "group",
                "var1",
                "var2",
                "vcov",
                "estimate",
                "std_error",
                "conf_low",
                "conf_high",
            ]
        ]

    def view(self) -> View:
        """Build the document: one row per standard deviation or correlation."""
        return View((varcorr_block(self.table, self.level, frame=self.to_frame()),))


def varcorr_block(table: pd.DataFrame, level: float, *, frame: pd.DataFrame | None = None) -> Table:
    """Lay out variance components, groups named once."""
    lower, upper = cells.level_names(level)
    groups = [
        "" if previous == group else group
        for previous, group in zip([None, *table["group"]], table["group"], strict=False)
    ]
    shown = cells.by_spread(table, ESTIMATES)
    shown = shown.assign(group=groups, name=[_name(row) for row in table.itertuples()])
    return cells.frame_table(
        "varcorr",
        table if frame is None else frame,
        {
            "group": ("Groups", cells.text),
            "name": ("Name", cells.text),
            "estimate": ("Estimate", cells.as_is),
            "std_error": ("Post.SD", cells.as_is),
            "conf_low": (lower, cells.as_is),
            "conf_high": (upper, cells.as_is),
            "r_hat": ("R-hat", cells.fixed_point(2)),
            "ess_bulk": ("ESS", cells.whole),
        },
        shown=shown,
    )


def _name(row: Any) -> str:
    kind, var1, var2 = (getattr(row, name) for name in ("kind", "var1", "var2"))
    if kind == "cor":
        return f"corr({var1}, {var2})"
    if kind == "family":
        return str(row.variable)
    return var1 or ""
