"""Estimates in long form, with broom.mixed's columns in snake case."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from nestedmlm._typing import FloatArray
from nestedmlm.design.design import Design
from nestedmlm.errors import OptionError
from nestedmlm.inference.rows.joint import relative_variances
from nestedmlm.inference.rows.modes import coef_frames, ranef_frame
from nestedmlm.likelihood.solution import Solution

EFFECTS = ("fixed", "ran_pars", "ran_vals", "ran_coefs")
COLUMNS = (
    "term", "group", "level", "effect", "estimate", "std_error", "df", "statistic", "p_value",
    "conf_low", "conf_high",
)  # fmt: skip
_TEXT = ("term", "group", "level", "effect")


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


def ran_vals_frame(solution: Solution, design: Design) -> pd.DataFrame:
    """Conditional modes: ``term, group, level, estimate, std_error``."""
    frame = ranef_frame(solution, design)
    return frame[["term", "group", "level", "estimate", "std_error"]]


def ran_coefs_frame(solution: Solution, design: Design) -> pd.DataFrame:
    """Fixed effects plus conditional modes: ``term, group, level, estimate, std_error``.

    The standard error counts the uncertainty of both, and their covariance, given theta (where
    broom.mixed has none).
    """
    pieces = []
    for f, (group, table) in enumerate(coef_frames(solution, design).items()):
        names = [str(name) for name in table.columns]
        variance = np.array([_coef_variance(solution, design, f, name) for name in names])
        piece = {
            "group": group,
            "level": np.tile(table.index.to_numpy(dtype=object), len(names)),
            "term": np.repeat(np.array(names, dtype=object), len(table)),
            "estimate": table.to_numpy().T.ravel(),
            "std_error": solution.sigma * np.sqrt(variance.clip(min=0.0)).ravel(),
        }
        pieces.append(pd.DataFrame(piece))
    return pd.concat(pieces, ignore_index=True)


def _coef_variance(solution: Solution, design: Design, f: int, name: str) -> FloatArray:
    """Variance over sigma^2 of one coefficient at each level of a factor, shape (J,)."""
    J = len(design.factors[f].levels)
    X = np.zeros((J, design.p))
    if name in design.x_names:
        X[:, design.x_names.index(name)] = 1.0
    rows = []
    for term in design.terms:
        own = term.factor == f and name in term.columns
        Z = np.zeros((J, len(term.columns)))
        if own:
            Z[:, term.columns.index(name)] = 1.0
        codes = np.arange(J) if term.factor == f else np.full(J, -1)
        rows.append((Z, codes.astype(np.int64)))
    return relative_variances(solution, X, rows)


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
