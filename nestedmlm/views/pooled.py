"""The summary of fits pooled over imputed data sets."""

from __future__ import annotations

import pandas as pd

from nestedmlm.views.effect_tests import stars_legend
from nestedmlm.views.protocols import PrintedPool
from nestedmlm.views.render.blocks import Block, Table, Text
from nestedmlm.views.render.coefmat import CoefmatLayout, coefmat_cells
from nestedmlm.views.render.frame_columns import named_frame
from nestedmlm.views.render.view import View, blank, note
from nestedmlm.views.varcorr import COMPONENTS, varcorr_table

_COLUMNS = {"estimate": "Estimate", "std_error": "Std. Error", "df": "df", "statistic": "t value",
            "p_value": "Pr(>|t|)"}  # fmt: skip
_LAYOUT = CoefmatLayout(estimates=(0, 1), tests=(3,), pvalue=4, digits=4)


def pooled_view(fit: PrintedPool, coefficients: pd.DataFrame, *, notes: tuple[str, ...]) -> View:
    """Build the summary.

    Parameters
    ----------
    fit : PooledFit
    coefficients : DataFrame
        Its `tidy`.
    notes : tuple of str
        Lines below.
    """
    family = fit.core.family
    kind = (
        "Linear mixed model"
        if family is None
        else (f"Generalized linear mixed model ({family.name}, {family.link.name})")
    )
    by = "REML" if fit.REML else "maximum likelihood"
    blocks: list[Block] = [
        Text(
            (f"{kind} fit by {by}, pooled over {len(fit.fits)} imputed data sets",),
            role="title",
        ),
        Text((f"Formula: {fit.formula}",)),
        blank(),
        Text(("Random effects (means):",), role="heading"),
        varcorr_table(fit.varcorr(), digits=4, comp=COMPONENTS),
        Text((f"Number of obs: {fit.nobs}, groups: {_groups(fit.ngrps)}",)),
    ]
    if len(coefficients):
        blocks += [blank(), Text(("Fixed effects:",), role="heading"), *_fixed(coefficients)]
    return View((*blocks, note(*notes)), main="coefficients")


def _groups(counts: pd.Series) -> str:
    return "; ".join(f"{name}, {count}" for name, count in counts.items())


def _fixed(coefficients: pd.DataFrame) -> list[Block]:
    frame = coefficients[list(_COLUMNS)].rename(columns=_COLUMNS)
    frame.index = pd.Index(coefficients["term"].tolist())
    cells, starred = coefmat_cells(frame.to_numpy(dtype=float), _LAYOUT)
    shares = [f"{value:.3f}" for value in coefficients["fmi"]]
    width = len(_COLUMNS)
    rows = [(*row[:width], share, *row[width:]) for row, share in zip(cells, shares, strict=True)]
    table = Table(
        name="coefficients",
        frame=named_frame(frame).assign(fmi=coefficients["fmi"].to_numpy()),
        cells=tuple(rows),
        rows=tuple(map(str, frame.index)),
        columns=(*frame.columns, "FMI", *([""] if starred else [])),
        numeric=tuple(range(width + 1)),
    )
    return [table, *([stars_legend()] if starred else [])]
