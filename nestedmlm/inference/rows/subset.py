"""A design without some of its rows."""

from __future__ import annotations

import numpy as np

from nestedmlm._typing import IntArray
from nestedmlm.design.design import Design, GroupingFactor
from nestedmlm.design.matrices.qr import kept_columns
from nestedmlm.inference.resampling.resampling import Groups, take_rows


def without_rows(design: Design, gone: IntArray) -> Design:
    """Make the design without some rows; levels and fixed columns that vanish are dropped.

    The order of the terms stays, so that theta means the same.
    """
    keep = np.ones(design.n, dtype=bool)
    keep[gone] = False
    rows = np.flatnonzero(keep)
    groups = [_kept_levels(f, rows) for f in design.factors]
    rest = take_rows(design, rows, groups)
    columns = kept_columns(rest.X)
    if columns.size == design.p:
        return rest
    return rest.with_columns(columns.tolist())


def _kept_levels(factor: GroupingFactor, rows: IntArray) -> Groups:
    observed, codes = np.unique(factor.codes[rows], return_inverse=True)
    return Groups(kept=observed, codes=codes.astype(np.int32))
