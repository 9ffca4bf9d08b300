"""Variance parameters in long form, as broom.mixed names them."""

from __future__ import annotations

import numpy as np
import pandas as pd

from nestedmlm.design.design import Design
from nestedmlm.errors import OptionError

SCALES = {"sdcor": ("sd", "cor"), "vcov": ("var", "cov")}


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
        ``VarCorr.to_frame()``: ``grp, var1, var2, vcov, sdcor``.
    limits : DataFrame
        Rows ``kind, grp, var1, var2, se, lower, upper``, as
        `nestedmlm.inference.variances.wald.variance_parameters` has them, and
        `nestedmlm.inference.variances.structured_correlations.structured_correlations`.
    design : Design
    scale : {"sdcor", "vcov"}
        Standard deviations and correlations, or variances and covariances.

    Returns
    -------
    DataFrame
        ``group, term, estimate, std_error, conf_low, conf_high``: of each block the lower triangle
        column by column (``sd__(Intercept)``, ``cor__(Intercept).Days``, ``sd__Days``), then
        ``sd__Observation``. A variance's standard error is by the delta method and its limits are
        the squares of those of the standard deviation; covariances have none.
    """
    one, two = SCALES[scale]
    known = _by_entry(limits, design)
    rows = []
    for group, block in varcorr.groupby("grp", sort=False):
        place: dict[object, int] = {
            name: i for i, name in enumerate(block.loc[block["var2"].isna(), "var1"])
        }
        for row in block.itertuples():
            first = "Observation" if row.var1 is None else row.var1
            term = f"{one}__{first}" if row.var2 is None else f"{two}__{first}.{row.var2}"
            numbers = known.get((str(group), row.var1, row.var2), (np.nan,) * 3)
            if np.isnan(row.sdcor):  # of a pair with a standard deviation of zero
                numbers = (np.nan,) * 3
            if scale == "vcov":
                numbers = _squared(row, numbers)
            key = (place[row.var1], place[row.var2 or row.var1])
            rows.append((str(group), key, term, float(getattr(row, scale)), *numbers))
    order: dict[object, int] = {str(group): i for i, group in enumerate(varcorr["grp"].unique())}
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
            "std_error": own["se"].to_numpy(dtype=float),
            "conf_low": own["lower"].to_numpy(dtype=float),
            "conf_high": own["upper"].to_numpy(dtype=float),
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
        numbers = (float(row.se), float(row.lower), float(row.upper))
        term = terms.get(str(row.grp))
        columns = () if term is None else term.columns
        entries: list[tuple[str | None, str | None]] = [(row.var1, row.var2)]
        if row.kind == "sd" and term is not None and term.hom:
            entries = [(column, None) for column in columns]
        out.update({(str(row.grp), *entry): numbers for entry in entries})
    return out


def _squared(row: object, numbers: tuple[float, ...]) -> tuple[float, ...]:
    if getattr(row, "var2", None) is not None:
        return (np.nan,) * 3
    se, low, high = numbers
    sd: float = row.sdcor  # type: ignore[attr-defined]
    return (2.0 * sd * se, low**2, high**2)
