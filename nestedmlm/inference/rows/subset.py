"""A design without some of its rows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from nestedmlm._typing import IntArray
from nestedmlm.design.design import Design, GroupingFactor
from nestedmlm.design.matrices.qr import kept_columns
from nestedmlm.design.rows import rows_here
from nestedmlm.inference.resampling.resampling import Groups, take_rows


def without_rows(design: Design, gone: IntArray) -> Design:
    """Make the design without some rows; levels and fixed columns that vanish are dropped.

    The order of the terms stays, so that theta means the same.
    """
    keep = np.ones(design.n, dtype=bool)
    keep[gone] = False
    rows = np.flatnonzero(keep)
    groups = [_kept_levels(f, rows) for f in design.factors]
    residual = design.residual
    if residual is None:
        rest = take_rows(design, rows, groups)
    else:  # what correlates stays together: no row is taken twice or moved to another block
        whole = rows_here(design.rows, "taking some of them")
        rest = take_rows(design.with_rows(replace(whole, residual=None)), rows, groups)
        left = rows_here(rest.rows, "taking some of them")
        rest = rest.with_rows(replace(left, residual=residual.of_rows(rows)))
    columns = kept_columns(rest.X)
    if columns.size == design.p:
        return rest
    return rest.with_columns(columns.tolist())


def _kept_levels(factor: GroupingFactor, rows: IntArray) -> Groups:
    observed, codes = np.unique(factor.codes[rows], return_inverse=True)
    return Groups(kept=observed, codes=codes.astype(np.int32))
