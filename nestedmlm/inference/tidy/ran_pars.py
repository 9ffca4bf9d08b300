"""Variance parameters in long form, as broom.mixed names them."""

from __future__ import annotations

import numpy as np
import pandas as pd

from nestedmlm.design.design import Design
from nestedmlm.errors import OptionError
from nestedmlm.inference.variances.parameters import variance_name

SCALES = {"sdcor": "estimate", "vcov": "vcov"}  # of the variance components


def check_scale(scales: str | None) -> str:
    """Return the scale of the variance parameters: ``sdcor`` or ``vcov``."""
    scale = "sdcor" if scales is None else scales
    if scale not in SCALES:
        raise OptionError(f"scales must be one of {', '.join(SCALES)}, not {scales!r}")
    return scale


def ran_pars_frame(
    varcorr: pd.DataFrame, limits: pd.DataFrame, design: Design, *, scale: str = "sdcor"
) -> pd.DataFrame:
    """Variance parameters, their standard errors and intervals.

    Parameters
    ----------
    varcorr : DataFrame
        ``VarCorr.to_frame()``: ``group, var1, var2, estimate, vcov``.
    limits : DataFrame
        Rows ``kind, group, var1, var2, std_error, conf_low, conf_high``, as
        `nestedmlm.inference.variances.wald.variance_parameters` has them, and
        `nestedmlm.inference.variances.structured_correlations.structured_correlations`.
    design : Design
    scale : {"sdcor", "vcov"}
        Standard deviations and correlations, or variances and covariances.

    Returns
    -------
    DataFrame
        ``term, group, estimate, std_error, conf_low, conf_high``: of each block the lower triangle
        column by column (``sd_(Intercept)|Subject``, ``cor_Days.(Intercept)|Subject``,
        ``sd_Days|Subject``), then ``sigma``, under the names of ``conf_int``; variances and
        covariances are ``var_…``, ``cov_…`` and ``sigma^2``. A variance's standard error is by the
        delta method and its limits are the squares of those of the standard deviation; covariances
        have none.
    """
    known = _by_entry(limits, design)
    rows = []
    for group, block in varcorr.groupby("group", sort=False):
        place: dict[object, int] = {
            name: i for i, name in enumerate(block.loc[block["var2"].isna(), "var1"])
        }
        for row in block.itertuples():
            term = row.term if scale == "sdcor" else variance_name(row.term)
            numbers = known.get((str(group), row.var1, row.var2), (np.nan,) * 3)
            if np.isnan(row.estimate):  # of a pair with a standard deviation of zero
                numbers = (np.nan,) * 3
            if scale == "vcov":
                numbers = _squared(row, numbers)
            key = (place[row.var1], place[row.var2 or row.var1])
            rows.append((str(group), key, str(term), float(getattr(row, SCALES[scale])), *numbers))
    order: dict[object, int] = {str(group): i for i, group in enumerate(varcorr["group"].unique())}
    rows.sort(key=lambda row: (order[row[0]], row[1]))
    names = ["group", "term", "estimate", "std_error", "conf_low", "conf_high"]
    return pd.DataFrame([(row[0], *row[2:]) for row in rows], columns=names)


def residual_pars_frame(limits: pd.DataFrame) -> pd.DataFrame:
    """Parameters of residuals that differ or correlate, as they stand: ratios, slopes, rho.

    Parameters
    ----------
    limits : DataFrame
        As for `ran_pars_frame`; rows of the kind ``residual`` are taken.
    """
    own = limits[limits["kind"] == "residual"]
    return pd.DataFrame(
        {
            "group": "Residual",
            "term": own.index.to_numpy(dtype=object),
            "estimate": own["estimate"].to_numpy(dtype=float),
            "std_error": own["std_error"].to_numpy(dtype=float),
            "conf_low": own["conf_low"].to_numpy(dtype=float),
            "conf_high": own["conf_high"].to_numpy(dtype=float),
        }
    )


Entry = tuple[str, str | None, str | None]


def _by_entry(limits: pd.DataFrame, design: Design) -> dict[Entry, tuple[float, ...]]:
    """Standard error and limits of each entry of the covariance blocks.

    One standard deviation may stand for all columns.
    """
    out: dict[Entry, tuple[float, ...]] = {}
    terms = {term.name: term for term in design.terms}
    for row in limits.itertuples():
        numbers = (float(row.std_error), float(row.conf_low), float(row.conf_high))
        term = terms.get(str(row.group))
        columns = () if term is None else term.columns
        entries: list[tuple[str | None, str | None]] = [(row.var1, row.var2)]
        if row.kind == "sd" and term is not None and term.hom:
            entries = [(column, None) for column in columns]
        out.update({(str(row.group), *entry): numbers for entry in entries})
    return out


def _squared(row: object, numbers: tuple[float, ...]) -> tuple[float, ...]:
    if getattr(row, "var2", None) is not None:
        return (np.nan,) * 3
    se, low, high = numbers
    sd: float = row.estimate  # type: ignore[attr-defined]
    return (2.0 * sd * se, low**2, high**2)
