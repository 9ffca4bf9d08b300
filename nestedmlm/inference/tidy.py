"""Estimates in long form, with broom.mixed's columns in snake case (layer 5)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from nestedmlm._typing import FloatArray
from nestedmlm.design import Design
from nestedmlm.errors import OptionError
from nestedmlm.randomeffects import coef_frames, ranef_frame
from nestedmlm.results import Solution

EFFECTS = ("fixed", "ran_pars", "ran_vals", "ran_coefs")
SCALES = {"sdcor": ("sd", "cor"), "vcov": ("var", "cov")}
COLUMNS = (
    "effect", "group", "level", "term", "estimate", "std_error", "statistic", "df", "p_value",
    "conf_low", "conf_high",
)  # fmt: skip
_TEXT = ("effect", "group", "level", "term")


def check_effects(effects: str | Sequence[str]) -> tuple[str, ...]:
    """Return the wanted kinds of effects in the table's order.

    Raises
    ------
    OptionError
        For an unknown kind.
    """
    wanted = (effects,) if isinstance(effects, str) else tuple(effects)
    unknown = [name for name in wanted if name not in EFFECTS]
    if unknown or not wanted:
        raise OptionError(f"effects must be among {', '.join(EFFECTS)}, not {effects!r}")
    return tuple(name for name in EFFECTS if name in wanted)


def check_scale(scales: str | None) -> str:
    """Return the scale of the variance parameters: ``sdcor`` or ``vcov``."""
    scale = "sdcor" if scales is None else scales
    if scale not in SCALES:
        raise OptionError(f"scales must be one of {', '.join(SCALES)}, not {scales!r}")
    return scale


def ran_pars_frame(varcorr: pd.DataFrame, *, scale: str = "sdcor") -> pd.DataFrame:
    """Variance parameters as broom.mixed names them.

    Parameters
    ----------
    varcorr : DataFrame
        ``VarCorr.to_frame()``: ``grp, var1, var2, vcov, sdcor``.
    scale : {"sdcor", "vcov"}
        Standard deviations and correlations, or variances and covariances.

    Returns
    -------
    DataFrame
        ``group, term, estimate``: of each block the lower triangle column by column
        (``sd__(Intercept)``, ``cor__(Intercept).Days``, ``sd__Days``), then ``sd__Observation``.
    """
    one, two = SCALES[scale]
    rows = []
    for group, block in varcorr.groupby("grp", sort=False):
        columns = list(block.loc[block["var2"].isna(), "var1"])
        place = {name: i for i, name in enumerate(columns)}
        for row in block.itertuples():
            first = "Observation" if row.var1 is None else row.var1
            term = f"{one}__{first}" if row.var2 is None else f"{two}__{first}.{row.var2}"
            key = (place[row.var1], place[row.var2 or row.var1])
            rows.append((str(group), key, term, float(getattr(row, scale))))
    order = {str(group): i for i, group in enumerate(varcorr["grp"].unique())}
    rows.sort(key=lambda row: (order[row[0]], row[1]))
    return pd.DataFrame(
        [(group, term, value) for group, _, term, value in rows],
        columns=["group", "term", "estimate"],
    )


def ran_vals_frame(solution: Solution, design: Design) -> pd.DataFrame:
    """Conditional modes: ``group, level, term, estimate, std_error``."""
    frame = ranef_frame(solution, design)
    names = {"grpvar": "group", "grp": "level", "condval": "estimate", "condsd": "std_error"}
    return frame.rename(columns=names)[["group", "level", "term", "estimate", "std_error"]]


def ran_coefs_frame(solution: Solution, design: Design) -> pd.DataFrame:
    """Fixed effects plus conditional modes: ``group, level, term, estimate``."""
    pieces = []
    for group, table in coef_frames(solution, design).items():
        long = table.rename_axis(index="level", columns="term").T.stack().rename("estimate")
        piece = long.reset_index()[["level", "term", "estimate"]]
        pieces.append(piece.assign(group=group))
    return pd.concat(pieces, ignore_index=True)[["group", "level", "term", "estimate"]]


def normal_interval(estimate: FloatArray, se: FloatArray, level: float) -> tuple[Any, Any]:
    """Limits of the interval ``estimate -+ z se``."""
    from scipy.special import ndtri

    z = float(ndtri(0.5 + 0.5 * level))
    return estimate - z * se, estimate + z * se


def stack(pieces: dict[str, pd.DataFrame], *, conf_int: bool) -> pd.DataFrame:
    """Put the tables of several kinds of effects under each other.

    Returns
    -------
    DataFrame
        The columns of `COLUMNS` that some piece has (``conf_low, conf_high`` when asked for);
        missing names are None, missing numbers NaN.
    """
    frames = [piece.assign(effect=effect) for effect, piece in pieces.items()]
    known = {column for frame in frames for column in frame.columns}
    if conf_int:
        known |= {"conf_low", "conf_high"}
    columns = [column for column in COLUMNS if column in known]
    data: dict[str, Any] = {}
    for column in columns:
        text = column in _TEXT
        parts = [_column(frame, column, text) for frame in frames]
        data[column] = np.concatenate(parts)
    return pd.DataFrame(
        {name: pd.Series(v, dtype=object if name in _TEXT else float) for name, v in data.items()}
    )


def _column(frame: pd.DataFrame, column: str, text: bool) -> Any:
    if column in frame:
        return frame[column].to_numpy(dtype=object if text else float)
    return np.full(len(frame), None if text else np.nan, dtype=object if text else float)
