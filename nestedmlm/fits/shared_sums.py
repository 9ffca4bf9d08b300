"""Shared sums: fits of a large table on the sums of one of them, so that they are compared.

Two fits of one table were made of sums by other cells and of other columns. Where those of one have
all columns and groups of the other, the other's model stands on them as well: nothing that compares
the two then needs the rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from nestedmlm._typing import FloatArray
from nestedmlm.design.moments import fixed_matrix, group_sizes, response_moments
from nestedmlm.errors import NestedMLMError
from nestedmlm.statistics.cells.cell_design import cell_design

if TYPE_CHECKING:
    from nestedmlm.design.design import Design
    from nestedmlm.fits.lmer_fit import LmerFit

_SAME = 1e-10  # relative difference of sums of products over the same rows


def with_shared_sums(fits: Sequence[LmerFit]) -> tuple[LmerFit, ...]:
    """Put fits on the sums of the one that has most, where all were made of sums.

    Parameters
    ----------
    fits : sequence of LmerFit

    Returns
    -------
    tuple of LmerFit
        A fit whose model has other columns or groups, or whose data are others, stays as it is.
    """
    sums = [fit.design.sums for fit in fits]
    there = [own for own in sums if own is not None]
    if len(there) < len(fits) or all(own.same_data(there[0]) for own in there):
        return tuple(fits)
    most = max(fits, key=lambda fit: _size(fit.design))
    return tuple(fit if fit is most else _on_sums(fit, most.design) for fit in fits)


def _size(design: Design) -> tuple[int, int, int]:
    assert design.sums is not None
    cells = design.sums.cells
    return len(cells.keys), cells.size, cells.d


def _on_sums(fit: LmerFit, base: Design) -> LmerFit:
    own, sums = fit.design, base.sums
    assert sums is not None
    try:
        found = cell_design(
            sums.plan, sums.cells, own.formula,
            contrasts=fit.model.source.options.contrasts, na_action=own.na_action,
        )  # fmt: skip
        if not _same(own, found):
            return fit
    except (NestedMLMError, KeyError):
        return fit
    return replace(fit, design=replace(own, sums=found.sums))


def _same(one: Design, other: Design) -> bool:
    """Whether two designs have the same columns and groups of the same rows, by their sums."""
    if (one.n, one.x_names, one.dropped) != (other.n, other.x_names, other.dropped):
        return False
    if [t.text for t in one.terms] != [t.text for t in other.terms]:
        return False
    if [len(f.levels) for f in one.factors] != [len(f.levels) for f in other.factors]:
        return False
    (A, a), (B, b) = _numbers(one), _numbers(other)
    size = np.sqrt(A.diagonal())
    if np.any(np.abs(A - B) > _SAME * np.outer(size, size)):
        return False
    if not np.allclose(a, b, rtol=_SAME, atol=_SAME * a[1]):
        return False
    return all(
        np.array_equal(group_sizes(one, f), group_sizes(other, f)) for f in range(len(one.factors))
    )


def _numbers(design: Design) -> tuple[FloatArray, FloatArray]:
    """Products of the fixed effects' columns with the response, and what is known of the latter."""
    sums = design.sums
    assert sums is not None
    columns = np.column_stack([fixed_matrix(design), sums.root[:, -1]])
    y, tally = response_moments(design), sums.cells.tally
    return columns.T @ columns, np.array([y.mean, y.sd, tally.low, tally.high])
