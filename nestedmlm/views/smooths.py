"""The smooth terms of a fit as a view."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from nestedmlm.views.render.blocks import Block, Table, Text
from nestedmlm.views.render.rformat import format_numbers, format_pvalues
from nestedmlm.views.render.view import View, Viewable, blank, note

COLUMNS = ("edf", "ref_df", "sd", "statistic", "p_value")
DIGITS = 4  # significant digits
_SMALLEST_P = 2e-16  # shown as it is


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Smooths(Viewable):
    """Smooth terms of a fit: sizes, tests, curves; what `fit.smooths` gives.

    Attributes
    ----------
    terms : DataFrame
        Indexed by label: ``edf, ref_df, sd, statistic, p_value``; no test of curves for each
        level of a grouping factor.
    curves : DataFrame
        ``term, x, estimate, std_error, conf_low, conf_high``: the curves of all data.
    level : float
        Of the band.
    statistic : str
        Name of the tests' statistic.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> fit = nm.lmer("Reaction ~ s(Days, k=5) + (1 | Subject)", nm.load_dataset("sleepstudy"))
    >>> fit.smooths().terms[["edf"]].round(2)
             edf
    term
    s(Days)  1.0
    >>> fit.smooths(points=3).curves[["x", "estimate"]].round(1)
         x  estimate
    0  0.0     -47.1
    1  4.5       0.0
    2  9.0      47.1
    """

    terms: pd.DataFrame
    curves: pd.DataFrame
    level: float
    statistic: str = "F"

    def to_frame(self) -> pd.DataFrame:
        """Return the table of the terms.

        Returns
        -------
        DataFrame
            A copy of `terms`: by term ``edf, ref_df, sd, statistic, p_value``.
        """
        return self.terms.copy()

    def view(self) -> View:
        """Build the document: one row for each smooth term."""
        lines = (
            "edf: effective degrees of freedom; 1 is a straight line.",
            f"{self.statistic}: test of no curve at all, given the SDs (Wood 2013).",
        )
        return View((*smooth_blocks(self.terms, self.statistic), blank(), note(*lines)))


def smooth_blocks(terms: pd.DataFrame, statistic: str = "F") -> list[Block]:
    """Heading and table of smooth terms."""
    numbers = [format_numbers(terms[name].to_numpy(), digits=DIGITS) for name in COLUMNS[:4]]
    p = format_pvalues(terms["p_value"].to_numpy(), digits=3, eps=_SMALLEST_P)
    cells = zip(*numbers, p, strict=True)
    table = Table(
        name="smooths",
        frame=terms,
        cells=tuple(
            tuple("" if value.strip() in ("NA", "NaN", "nan") else value for value in row)
            for row in cells
        ),
        rows=tuple(map(str, terms.index)),
        columns=("edf", "Ref.df", "Std.Dev.", statistic, "p-value"),
    )
    return [Text(("Smooth terms:",), role="heading"), table]
