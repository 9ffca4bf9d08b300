"""A comparison of residual structures as a view."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from nestedmlm.views.render.blocks import Block, Table, Text
from nestedmlm.views.render.rformat import format_numbers
from nestedmlm.views.render.view import View, Viewable, blank, note

_DIGITS = 3  # decimals of criteria
_INFORMATION = ("criterion", "aic", "bic")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class ResidualComparison(Viewable):
    """Comparison of residual structures; what `compare_residuals` returns.

    Attributes
    ----------
    table : DataFrame
        One row for each structure, the best AIC first: ``residual, npar, criterion, aic, bic,
        chisq, df, p_value, converged``. The last test is against the largest structure, where that
        contains the others (`us`); else it is NaN.
    formula : str
    REML : bool
    against : str
        The structure that the others are tested against, "" where there is none.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> fit = nm.lmer("distance ~ age * Sex", nm.load_dataset("Orthodont"),
    ...               residual="us(age | Subject)")
    >>> nm.compare_residuals(fit, ["ar1", "cs", "us"]).table[["residual", "npar"]]
                residual  npar
    0   cs(age | Subject)     6
    1   us(age | Subject)    14
    2  ar1(age | Subject)     6
    """

    table: pd.DataFrame
    formula: str
    REML: bool
    against: str

    def view(self) -> View:
        """Build the document: a row for each structure."""
        frame = self.table
        shown = {
            name: format_numbers(np.round(frame[name].to_numpy(dtype=float), _DIGITS))
            for name in _INFORMATION
        }
        tests = [self._test(row) for row in frame.itertuples()]
        cells = tuple(
            (
                str(row.residual),
                str(row.npar),
                *(shown[name][i] for name in _INFORMATION),
                *tests[i],
            )
            for i, row in enumerate(frame.itertuples())
        )
        said = [] if not self.against else [f"Chisq: against {self.against}, which contains it."]
        failed = [str(name) for name in frame.loc[~frame["converged"], "residual"]]
        said += [f"Not certified: {', '.join(failed)}."] if failed else []
        blocks: list[Block] = [
            Text(("Residual structures, by AIC",), role="title"),
            Text((f"Formula: {self.formula}", f"Fitted by {'REML' if self.REML else 'ML'}")),
            blank(),
            Table(
                name="structures",
                frame=frame,
                cells=cells,
                rows=("",) * len(cells),
                columns=(
                    "Residual",
                    "npar",
                    "Criterion",
                    "AIC",
                    "BIC",
                    "Chisq",
                    "Df",
                    "Pr(>Chisq)",
                ),
                right=True,
                numeric=tuple(range(1, 8)),
            ),
        ]
        return View((*blocks, *([note(*said)] if said else [])))

    @staticmethod
    def _test(row: object) -> tuple[str, str, str]:
        chisq, df, p = (getattr(row, name) for name in ("chisq", "df", "p_value"))
        return ("", "", "") if np.isnan(chisq) else (f"{chisq:.3f}", f"{df:.0f}", f"{p:.4g}")
