"""The summary of a fit, in lme4's layout."""

from __future__ import annotations

from functools import partial

import numpy as np
import pandas as pd

from nestedmlm.errors import RowsNotHereError
from nestedmlm.late import Late
from nestedmlm.views import fit_blocks
from nestedmlm.views.effect_tests import METHOD_NAMES, stars_legend
from nestedmlm.views.protocols import Printed
from nestedmlm.views.render.abbreviate import abbreviate
from nestedmlm.views.render.blocks import Block, Table, Text
from nestedmlm.views.render.coefmat import CoefmatLayout, coefmat_cells
from nestedmlm.views.render.frame_columns import named_frame
from nestedmlm.views.render.rformat import format_numbers, quantiles, round_r, zapsmall
from nestedmlm.views.render.view import View, blank
from nestedmlm.views.short import fit_view
from nestedmlm.views.varcorr import COMPONENTS, residual_text, varcorr_table

__all__ = ["fit_view", "summary_view"]

smooth_blocks = Late("nestedmlm.views.smooths", "smooth_blocks")

DIGITS = 4  # significant digits
MAX_CORRELATION = 12  # more fixed effects than this: their correlations are not shown
TEST_CLASS = "lmerModLmerTest"  # what lmerTest calls the class of a fit with t tests
_LAYOUT = CoefmatLayout(estimates=(0, 1), tests=(2,), digits=DIGITS)
_TESTED = {  # by reference distribution: with degrees of freedom, or without
    "t": CoefmatLayout(estimates=(0, 1, 2), tests=(3,), pvalue=4, digits=DIGITS),
    "z": CoefmatLayout(estimates=(0, 1), tests=(2,), pvalue=3, digits=DIGITS),
}
QUANTILES = ("Min", "1Q", "Median", "3Q", "Max")


def summary_view(
    fit: Printed,
    *,
    correlation: bool | None = None,
    coefficients: pd.DataFrame | None = None,
    cov: pd.DataFrame | None = None,
    method: str = "none",
    smooths: pd.DataFrame | None = None,
    statistic: str = "F",
    notes: tuple[str, ...] = (),
) -> View:
    """Build the summary of a fit.

    Parameters
    ----------
    fit : LmerFit
    correlation : bool, optional
        Whether to show the correlations of the fixed effects; by default up to 12 of them.
    coefficients : DataFrame, optional
        Coefficients with tests: lmerTest's columns, or glmer's; by default lme4's three columns.
    cov : DataFrame, optional
        Covariance of the fixed effects, where it is not the fit's.
    method : str
        The method of the tests, for the title.
    smooths : DataFrame, optional
        Table of the smooth terms.
    statistic : str
        Name of their tests' statistic.
    notes : tuple of str
        What to say of the tests, below.

    Returns
    -------
    View
        With tables ``coefficients``, ``varcorr``, ``residuals``, for ML fits ``fit``, and
        ``correlation`` where it is shown.
    """
    components = fit.varcorr()
    blocks: list[Block] = [
        *_title(fit, method, coefficients is not None),
        *fit_blocks.call(fit),
        blank(),
    ]
    blocks += [fit_blocks.criteria(fit, digits=1), blank(), *_residuals(fit), blank()]
    blocks += [
        fit_blocks.heading_of_components(fit),
        varcorr_table(components, digits=DIGITS, comp=COMPONENTS),
        *residual_text(components),
        fit_blocks.groups(fit),
        *fit_blocks.dispersion(fit),
        *_fixed_effects(fit, correlation, coefficients, cov),
        *([] if smooths is None else [blank(), *smooth_blocks(smooths, statistic)]),
        *fit_blocks.messages(fit),
    ]
    if notes:
        blocks.append(Text(notes, role="note"))
    return View(tuple(blocks), main="coefficients")


def _title(fit: Printed, method: str, tested: bool) -> list[Block]:
    """lme4's first line, or lmerTest's, which says what the t tests use."""
    if not tested or fit.core.family is not None:
        return fit_blocks.title(fit)
    first = f"{fit_blocks.method_title(fit)}. t-tests use {METHOD_NAMES[method]}"
    return [fit_blocks.wrapped_title(first, TEST_CLASS)]


def _fixed_effects(
    fit: Printed,
    correlation: bool | None,
    tested: pd.DataFrame | None,
    cov: pd.DataFrame | None,
) -> list[Block]:
    frame = tested
    layout = _TESTED["t" if fit.core.family is None else "z"]
    if frame is None and fit.core.family is None:
        plain = {"Estimate": fit.params, "Std. Error": fit.bse, "t value": fit.tvalues}
        frame, layout = pd.DataFrame(plain), _LAYOUT
    if frame is None or not len(frame):
        return []
    cells, starred = coefmat_cells(frame.to_numpy(dtype=float), layout)
    columns = tuple(map(str, frame.columns))
    table = Table(
        name="coefficients",
        frame=partial(named_frame, frame),
        cells=tuple(map(tuple, cells)),
        rows=tuple(map(str, frame.index)),
        columns=(*columns, "") if starred else columns,
        numeric=tuple(range(len(columns))),
    )
    heading = Text(("Fixed effects:",), role="heading")
    legend = [stars_legend()] if starred else []
    return [blank(), heading, table, *legend, *_correlations(fit, len(frame), correlation, cov)]


def _correlations(
    fit: Printed, p: int, wanted: bool | None, cov: pd.DataFrame | None
) -> list[Block]:
    if wanted is None and p > MAX_CORRELATION:
        return _hint(p)
    if wanted is False or p < 2:
        return []
    heading = Text(("Correlation of Fixed Effects:",), role="heading")
    return [blank(), heading, _correlation_table(fit.cov_params() if cov is None else cov)]


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
        frame=partial(pd.DataFrame, corr, index=cov.index, columns=cov.columns),
        cells=cells,
        rows=tuple(abbreviate(names, 11)[1:]),
        columns=tuple(abbreviate(names, 6)[:-1]),
        right=False,
        numeric=None,
    )


def _residuals(fit: Printed) -> list[Block]:
    try:
        scaled = np.asarray(fit.residuals("pearson", scaled=True), dtype=float)
    except RowsNotHereError:  # fitted from sums over rows
        return []
    values = quantiles(scaled)
    cells = format_numbers(zapsmall(values, DIGITS + 1), digits=DIGITS)
    table = Table(
        name="residuals",
        frame=partial(pd.DataFrame, [values], index=["scaled residuals"], columns=list(QUANTILES)),
        cells=(tuple(cells),),
        rows=("",),
        columns=QUANTILES,
        vector=True,
    )
    return [Text(("Scaled residuals:",), role="heading"), table]
