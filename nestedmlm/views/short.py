"""The repr of a fit, in the layout of lme4's ``print``."""

from __future__ import annotations

import pandas as pd

from nestedmlm.views import fit_blocks
from nestedmlm.views.protocols import Printed
from nestedmlm.views.render.blocks import Block, Table, Text
from nestedmlm.views.render.rformat import format_numbers
from nestedmlm.views.render.view import View
from nestedmlm.views.varcorr import residual_text, varcorr_table

DIGITS = 4  # significant digits


def fit_view(fit: Printed) -> View:
    """Build the short document that shows a fit.

    Parameters
    ----------
    fit : LmerFit

    Returns
    -------
    View
    """
    components = fit.varcorr()
    blocks: list[Block] = [
        *fit_blocks.title(fit),
        *fit_blocks.call(fit),
        fit_blocks.criteria(fit, digits=4),
    ]
    blocks += [
        fit_blocks.heading_of_components(fit),
        varcorr_table(components, digits=DIGITS),
        *residual_text(components),
        fit_blocks.groups(fit),
        *fit_blocks.dispersion(fit),
        *_fixed_effects(fit.params),
        *fit_blocks.messages(fit),
    ]
    return View(tuple(blocks))


def _fixed_effects(params: pd.Series) -> list[Block]:
    if not len(params):
        return [Text(("No fixed effect coefficients",))]
    table = Table(
        name="fixed",
        frame=params.to_frame("estimate").rename_axis("term"),
        cells=(tuple(format_numbers(params.to_numpy(dtype=float), digits=DIGITS)),),
        rows=("",),
        columns=tuple(map(str, params.index)),
        vector=True,
        gap=2,
    )
    return [Text(("Fixed Effects:",), role="heading"), table]
