"""Log-density of left-out rows of a generalized model, random effects integrated out.

With one grouping factor the rows of a unit and those of its group that stay have the densities
``L(rest + unit)`` and ``L(rest)``, both by quadrature over the group's random effects at each draw:
``log p(y_unit | y_rest) = L(rest + unit) - L(rest)``. A unit lies in one group.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from nestedmlm._typing import BoolArray, FloatArray, IntArray
from nestedmlm.design.design import Design
from nestedmlm.posterior.draws import covariance_draws, fixed_draws
from nestedmlm.posterior.generalized_group_density import (
    MOST_EFFECTS,
    group_log_densities,
    group_rows,
)
from nestedmlm.posterior.row_responses import FamilyResponses, fitted_responses


def by_quadrature(design: Design) -> bool:
    """Whether `unit_log_densities` can integrate the random effects of a design out."""
    factors, family = design.factors, design.family
    if family is None or not family.has_derivatives or len(factors) != 1:
        return False
    columns = sum(len(term.columns) for term in design.terms)
    return factors[0].basis is None and not factors[0].is_whole and columns <= MOST_EFFECTS


def unit_log_densities(
    data: Any,
    design: Design,
    units: IntArray,
    *,
    held: BoolArray | None = None,
    chosen: IntArray | None = None,
) -> FloatArray:
    """Log-density of units of rows given other rows, for each draw.

    Parameters
    ----------
    data : DataTree or mapping with a group ``posterior``
    design : Design
        With one grouping factor, whose groups the units are, or lie in.
    units : (n,) array of int
        The unit of each row: 0, 1, …, none missing.
    held : (U,) array of bool, optional
        Units that are left out together: each is given the rows of those that are not. By default
        each is given all others.
    chosen : array of int, optional
        Which draws, by default all.

    Returns
    -------
    (S, U) array
        NaN for units that are not `held`.

    Raises
    ------
    OptionError
        If random effects cannot be integrated out; see `group_rows`.
    """
    density = GroupDensities(data, design, chosen)
    count = int(units.max()) + 1
    group = np.empty(count, dtype=np.int64)
    group[units] = density.codes  # of each unit
    asked = np.flatnonzero(np.ones(count, dtype=bool) if held is None else held)
    stays = np.ones(design.n, dtype=bool) if held is None else ~held[units]
    touched = np.isin(density.codes, group[asked])
    base = density.of(stays & touched)
    out = np.full((len(base), count), np.nan)
    for mine in _one_of_each_group(asked, group):
        rows = np.isin(units, mine)
        near = touched & np.isin(density.codes, group[mine])
        if held is None:
            out[:, mine] = (base - density.of(near & ~rows))[:, group[mine]]
        else:
            out[:, mine] = (density.of(near & (stays | rows)) - base)[:, group[mine]]
    return out


def _one_of_each_group(units: IntArray, group: IntArray) -> list[IntArray]:
    """Units in parts that have one unit of a group at most."""
    order = units[np.argsort(group[units], kind="stable")]
    starts = np.flatnonzero(np.r_[True, np.diff(group[order]) > 0])
    sizes = np.diff(np.r_[starts, len(order)])
    rank = np.arange(len(order)) - np.repeat(starts, sizes)
    return [order[rank == r] for r in range(int(sizes.max()))]


class GroupDensities:
    """Log-densities of groups of some rows, (S, J): zero where a group has none.

    Parameters
    ----------
    data : DataTree or mapping with a group ``posterior``
    design : Design
    chosen : array of int, optional
        Which draws, by default all.
    """

    def __init__(self, data: Any, design: Design, chosen: IntArray | None = None) -> None:
        kept: Any = slice(None) if chosen is None else chosen
        group_rows(design)  # refuses where it cannot be
        responses = fitted_responses(data, design)
        assert isinstance(responses, FamilyResponses)
        self.design, self.responses = design, responses.chosen(kept)
        self.codes = design.factors[0].codes.astype(np.int64)
        self.beta = fixed_draws(data, design)[kept]
        self.covariances = tuple(cov[kept] for cov in covariance_draws(data, design))

    def of(self, rows: BoolArray) -> FloatArray:
        """Of the groups' rows that are asked for."""
        out = np.zeros((len(self.beta), len(self.design.factors[0].levels)))
        if rows.any():
            own = group_rows(self.design, np.flatnonzero(rows))
            responses = self.responses.of_rows(rows)
            values = group_log_densities(own, responses, self.beta, self.covariances)
            out[:, own.codes] = values
        return out
