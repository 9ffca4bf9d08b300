"""Diagnosis of a posterior: can its draws be trusted, which variances may be zero."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from nestedmlm.views.posterior import cells
from nestedmlm.views.render.blocks import Block, Text
from nestedmlm.views.render.view import View, Viewable, blank


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class BayesDiagnosis(Viewable):
    """Report on a posterior.

    Attributes
    ----------
    problems : tuple of str
        What is wrong with the sampling, and what to do; empty if nothing is.
    table : DataFrame
        One row per standard deviation of a random effect: ``group, var1, estimate, conf_high,
        threshold, share_near_zero, density_ratio, ratio_error, at_boundary`` (see
        `nestedmlm.posterior.diagnosis.boundary_table`).
    boundary : tuple of str
        A sentence for each standard deviation whose posterior is piled up at zero.
    level : float
        Probability below ``conf_high``.
    restarting : tuple of str
        Grouping factors whose ids restart in each level of another one.
    """

    problems: tuple[str, ...]
    table: pd.DataFrame
    boundary: tuple[str, ...]
    level: float
    restarting: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether the draws passed every check."""
        return not self.problems

    def view(self) -> View:
        """Build the document."""
        verdict = self.problems or (
            "Sampling: no divergences, R-hat and effective draws are fine.",
        )
        blocks: list[Block] = [Text(verdict), blank()]
        blocks.append(Text(("Random effects near zero:",), role="heading"))
        columns = {
            "group": ("Groups", cells.text),
            "var1": ("Name", cells.text),
            "estimate": ("Mean SD", cells.significant),
            "conf_high": (f"{100 * self.level:.6g} %", cells.significant),
            "threshold": ("Threshold", cells.significant),
            "share_near_zero": ("Draws below", _percent),
        }
        blocks.append(cells.frame_table("boundary", self.table, columns))
        blocks.append(Text(self.boundary or (NOTHING,)))
        if self.restarting:
            blocks += [blank(), Text(self.restarting)]
        return View(tuple(blocks))


NOTHING = "No standard deviation is piled up at zero."


def _percent(values: pd.Series) -> list[str]:
    return [f"{100.0 * x:.1f} %" for x in values]
