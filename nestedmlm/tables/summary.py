"""The summary of a fit, in lme4's layout (layer 6)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from nestedmlm.tables import fitparts as parts
from nestedmlm.tables.abbreviate import abbreviate
from nestedmlm.tables.blocks import Block, Table, Text
from nestedmlm.tables.coefmat import CoefmatLayout, coefmat_cells
from nestedmlm.tables.rformat import format_numbers, quantiles, round_r, zapsmall
from nestedmlm.tables.short import fit_view
from nestedmlm.tables.view import View, blank
from nestedmlm.varcorr import COMPONENTS, varcorr_table

__all__ = ["fit_view", "summary_view"]

DIGITS = 4
MAX_CORRELATION = 12  # more fixed effects than this: their correlations are not shown
QUANTILES = ("Min", "1Q", "Median", "3Q", "Max")


def summary_view(fit: Any, *, correlation: bool | None = None) -> View:
    """Build the summary of a fit.

    Parameters
    ----------
    fit : LmerFit
    correlation : bool, optional
        Whether to show the correlations of the fixed effects; by default up to 12 of them.

    Returns
    -------
    View
        With tables ``coefficients``, ``varcorr``, ``residuals``, for ML fits ``fit``, and
        ``correlation`` where it is shown.
    """
    blocks: list[Block] = [*parts.title(fit), *parts.call(fit), blank()]
    blocks += [parts.criteria(fit, digits=1), blank(), *_residuals(fit), blank()]
    blocks += [
        Text(("Random effects:",), role="heading"),
        varcorr_table(fit.varcorr(), digits=DIGITS, comp=COMPONENTS),
        parts.groups(fit),
        *_fixed_effects(fit, correlation),
        *parts.messages(fit),
    ]
    return View(tuple(blocks))


def _fixed_effects(fit: Any, correlation: bool | None) -> list[Block]:
    frame = pd.DataFrame({"Estimate": fit.params, "Std. Error": fit.bse, "t value": fit.tvalues})
    if not len(frame):
        return []
    layout = CoefmatLayout(estimates=(0, 1), tests=(2,), digits=DIGITS)
    cells, _ = coefmat_cells(frame.to_numpy(dtype=float), layout)
    table = Table(
        name="coefficients",
        frame=frame,
        cells=tuple(map(tuple, cells)),
        rows=tuple(map(str, frame.index)),
        columns=tuple(map(str, frame.columns)),
    )
    heading = Text(("Fixed effects:",), role="heading")
    return [blank(), heading, table, *_correlations(fit, len(frame), correlation)]


def _correlations(fit: Any, p: int, wanted: bool | None) -> list[Block]:
    if wanted is None and p > MAX_CORRELATION:
        return _hint(p)
    if wanted is False or p < 2:
        return []
    heading = Text(("Correlation of Fixed Effects:",), role="heading")
    return [blank(), heading, _correlation_table(fit.cov_params())]


def _hint(p: int) -> list[Block]:
    lines = (
        "",
        f"Correlation matrix not shown by default, as p = {p} > {MAX_CORRELATION}.",
        "Use fit.summary(correlation=True) or fit.cov_params() if you need it.",
    )
    return [Text(lines, role="note")]


def _correlation_table(cov: pd.DataFrame) -> Table:
    """Lower triangle without its diagonal, three decimals, labels abbreviated as R does."""
    values = cov.to_numpy(dtype=float)
    sd = np.sqrt(np.diag(values))
    corr = values / np.outer(sd, sd)
    p, names = len(sd), [str(name) for name in cov.index]
    texts = format_numbers(round_r(corr, 3), nsmall=3)
    cells = tuple(
        tuple(texts[i * p + j] if j < i else "" for j in range(p - 1)) for i in range(1, p)
    )
    return Table(
        name="correlation",
        frame=pd.DataFrame(corr, index=cov.index, columns=cov.columns),
        cells=cells,
        rows=tuple(abbreviate(names, 11)[1:]),
        columns=tuple(abbreviate(names, 6)[:-1]),
        right=False,
        numeric=None,
    )


def _residuals(fit: Any) -> list[Block]:
    scaled = np.asarray(fit.residuals("pearson", scaled=True), dtype=float)
    values = quantiles(scaled)
    cells = format_numbers(zapsmall(values, DIGITS + 1), digits=DIGITS)
    table = Table(
        name="residuals",
        frame=pd.DataFrame([values], index=["scaled residuals"], columns=list(QUANTILES)),
        cells=(tuple(cells),),
        rows=("",),
        columns=QUANTILES,
        vector=True,
    )
    return [Text(("Scaled residuals:",), role="heading"), table]
