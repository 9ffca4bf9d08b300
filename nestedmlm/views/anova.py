"""Tables of model comparisons and of sequential sums of squares; they print as lme4's ``anova``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from nestedmlm._typing import FloatArray
from nestedmlm.views.render.blocks import Table, Text
from nestedmlm.views.render.coefmat import CoefmatLayout, coefmat_cells
from nestedmlm.views.render.frame_columns import named_frame
from nestedmlm.views.render.rformat import STARS_LEGEND, format_pvalues
from nestedmlm.views.render.view import View, Viewable, note

LRT_COLUMNS = ("npar", "AIC", "BIC", "logLik", "-2*log(L)", "Chisq", "Df", "Pr(>Chisq)")
SS_COLUMNS = ("npar", "Sum Sq", "Mean Sq", "F value")
_DIGITS = 5  # of R's print for anova tables
_CHISQ_P = 7  # where the chi-squared p-value stands

_LAYOUTS = {
    LRT_COLUMNS: CoefmatLayout(tests=(5,), zapped=(0, 1, 2, 3, 4), pvalue=7, digits=_DIGITS, na=""),
    SS_COLUMNS: CoefmatLayout(tests=(3,), zapped=(0, 1, 2), digits=_DIGITS, na=""),
}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class AnovaResult(Viewable):
    """A table of model comparisons or of sequential sums of squares; prints as lme4's.

    Attributes
    ----------
    table : pandas.DataFrame
        Columns `LRT_COLUMNS` with one row per model, or `SS_COLUMNS` with one row per term: the
        headers that are printed; `to_frame` has the columns of all frames.
    heading : tuple of str
        Lines above the table.
    messages : tuple of str
        What lme4 says on the way, such as that models were refitted, and which are not nested.
    notes : tuple of str
        Below the table: models that are not nested, how p-values beside the chi-squared ones
        came about.
    draws : mapping of str to array
        For each larger model, draws of the statistic if the smaller one is true (bootstrap).

    Examples
    --------
    >>> import nestedmlm as nm
    >>> data = nm.load_dataset("Pastes")
    >>> a = nm.lmer("strength ~ 1 + (1 | batch)", data, REML=False)
    >>> b = nm.lmer("strength ~ 1 + (1 | batch/cask)", data, REML=False)
    >>> nm.anova(a, b).to_frame()["npar"].to_dict()
    {'a': 3, 'b': 4}
    """

    table: pd.DataFrame
    heading: tuple[str, ...]
    messages: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    draws: Mapping[str, FloatArray] = field(default_factory=dict)

    def view(self) -> View:
        """Build the document."""
        columns = tuple(map(str, self.table.columns))
        cells, starred = _cells(self.table.to_numpy(dtype=float), columns)
        table = Table(
            name="anova",
            frame=named_frame(self.table, "model"),
            cells=tuple(map(tuple, cells)),
            rows=tuple(map(str, self.table.index)),
            columns=(*columns, "") if starred else columns,
            numeric=tuple(range(len(columns))),
        )
        legend = Text(("---", f"Signif. codes:  {STARS_LEGEND}"), role="note")
        notes = [note(*self.notes)] if self.notes else []
        return View((Text(self.heading), table, *([legend] if starred else []), *notes))


def _cells(values: FloatArray, columns: tuple[str, ...]) -> tuple[list[list[str]], bool]:
    """Format a table; stars go by the last p-value."""
    if columns in _LAYOUTS:
        return coefmat_cells(values, _LAYOUTS[columns])
    layout = replace(_LAYOUTS[columns[:-1]], pvalue=len(columns) - 1)
    cells, starred = coefmat_cells(values, layout)
    p = values[:, _CHISQ_P]
    known = np.flatnonzero(~np.isnan(p))
    for row, text in zip(known, format_pvalues(p[known], digits=_DIGITS - 1), strict=True):
        cells[row][_CHISQ_P] = text
    return cells, starred
