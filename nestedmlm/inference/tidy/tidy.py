"""Estimates in long form, with broom.mixed's columns in snake case."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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


def stack(pieces: Mapping[str, Mapping[str, Any]], *, conf_int: bool) -> pd.DataFrame:
    """Put the tables of several kinds of effects under each other.

    Parameters
    ----------
    pieces : mapping of str to mapping of str to arrays
        Columns of each kind of effects.
    conf_int : bool
        Whether ``conf_low, conf_high`` are shown.

    Returns
    -------
    DataFrame
        The columns of `COLUMNS` that some piece has; missing names are None, missing numbers NaN.
    """
    limits = {"conf_low", "conf_high"}
    known = {"effect"}.union(*pieces.values()) - limits | (limits if conf_int else set())
    lengths = {effect: len(piece["term"]) for effect, piece in pieces.items()}
    data: dict[str, Any] = {"effect": np.repeat(np.array([*pieces], object), [*lengths.values()])}
    for column in known - {"effect"}:
        text = column in _TEXT
        kind, missing = (object, None) if text else (float, np.nan)
        data[column] = np.concatenate(
            [
                np.asarray(piece.get(column, [missing] * lengths[effect]), dtype=kind)
                for effect, piece in pieces.items()
            ]
        )
    # object columns: pandas' string type would turn None into NaN; of one index, which is not
    # looked for in each of them
    rows = pd.RangeIndex(sum(lengths.values()))
    columns = {
        name: pd.Series(data[name], rows, dtype=object, copy=False) if name in _TEXT else data[name]
        for name in COLUMNS
        if name in data
    }
    return pd.DataFrame(columns, rows)
