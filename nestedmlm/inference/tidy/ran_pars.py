"""Variance parameters in long form, as broom.mixed names them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from nestedmlm.design.design import Design
from nestedmlm.errors import OptionError
from nestedmlm.inference.variances.parameters import variance_name

Component = tuple[str, str, str | None, str | None, float, float]
Entry = tuple[str, str | None, str | None]
Numbers = tuple[float, float, float]  # standard error, lower, upper

SCALES = ("sdcor", "vcov")  # of the variance components
_COLUMNS = ("term", "group", "estimate", "std_error", "conf_low", "conf_high")
_UNKNOWN: Numbers = (np.nan, np.nan, np.nan)


def check_scale(scales: str | None) -> str:
    """Return the scale of the variance parameters: ``sdcor`` or ``vcov``."""
    scale = "sdcor" if scales is None else scales
    if scale not in SCALES:
        raise OptionError(f"scales must be one of {', '.join(SCALES)}, not {scales!r}")
    return scale


def ran_pars_columns(
    components: Sequence[Component],
    known: Mapping[Entry, Numbers],
    *,
    scale: str = "sdcor",
) -> dict[str, Sequence[Any]]:
    """Variance parameters, their standard errors and intervals.

    Parameters
    ----------
    components : sequence of (term, group, var1, var2, vcov, estimate)
        Rows of ``VarCorr.to_frame()``.
    known : mapping
        Standard error and limits of each entry of the covariance blocks: `entries_of`.
    scale : {"sdcor", "vcov"}
        Standard deviations and correlations, or variances and covariances.

    Returns
    -------
    dict
        ``term, group, estimate, std_error, conf_low, conf_high``: of each block the lower triangle
        column by column (``sd_(Intercept)|Subject``, ``cor_Days.(Intercept)|Subject``,
        ``sd_Days|Subject``), then ``sigma``, under the names of ``conf_int``; variances and
        covariances are ``var_…``, ``cov_…`` and ``sigma^2``. A variance's standard error is by the
        delta method and its limits are the squares of those of the standard deviation; covariances
        have none.
    """
    places: dict[str, dict[str | None, int]] = {}  # of each block's columns
    for _, group, var1, var2, _, _ in components:
        if var2 is None:
            block = places.setdefault(group, {})
            block.setdefault(var1, len(block))
    order = {group: i for i, group in enumerate(places)}
    rows = []
    for term, group, var1, var2, vcov, estimate in components:
        numbers = _UNKNOWN if np.isnan(estimate) else known.get((group, var1, var2), _UNKNOWN)
        if scale == "vcov":
            term, numbers = variance_name(term), _squared(var2, estimate, numbers)
            estimate = vcov
        key = (order[group], places[group][var1], places[group][var2 or var1])
        rows.append((key, term, group, estimate, *numbers))
    rows.sort(key=lambda row: row[0])
    return dict(zip(_COLUMNS, list(zip(*rows, strict=True))[1:], strict=True))


def entries_of(
    rows: Iterable[tuple[str, str, str | None, str | None, Numbers]], design: Design
) -> dict[Entry, Numbers]:
    """Standard error and limits of each entry of the covariance blocks.

    Parameters
    ----------
    rows : iterable of (kind, group, var1, var2, (std_error, conf_low, conf_high))
        Of the variance parameters. One standard deviation may stand for all columns.
    design : Design
    """
    out: dict[Entry, Numbers] = {}
    terms = {term.name: term for term in design.terms}
    for kind, group, var1, var2, numbers in rows:
        term = terms.get(group)
        if kind == "sd" and term is not None and term.hom:
            own = term.columns if term.smooth is None else (term.smooth.label,)
            out.update({(group, column, None): numbers for column in own})
        else:
            out[group, var1, var2] = numbers
    return out


def _squared(var2: str | None, sd: float, numbers: Numbers) -> Numbers:
    if var2 is not None:
        return _UNKNOWN
    se, low, high = numbers
    return (2.0 * sd * se, low**2, high**2)
