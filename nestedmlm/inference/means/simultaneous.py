"""Estimates, intervals and tests of linear functions in families."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from nestedmlm._typing import FloatArray
from nestedmlm.inference.effects.ddf import DfMethod, row_tests
from nestedmlm.inference.means.adjustments import Family, adjusted_pvalues, critical_values
from nestedmlm.inference.means.null_hypothesis import ZERO, NullHypothesis

COLUMNS = (
    "estimate", "std_error", "df", "statistic", "p_value", "conf_low", "conf_high",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LinearFunctions:
    """Linear functions of the fixed effects, in families.

    Attributes
    ----------
    L : (r, p) array
        NaN in rows that cannot be estimated.
    offset : (r,) array
        Added to ``L beta``.
    families : tuple of arrays of int
        Rows of each family.
    means : tuple of float
        For each family the number of means its pairs are made of.
    """

    L: FloatArray
    offset: FloatArray
    families: tuple[np.ndarray, ...]
    means: tuple[float, ...]


def simultaneous_table(
    functions: LinearFunctions,
    ddf: DfMethod,
    *,
    level: float,
    adjust: str,
    hypothesis: NullHypothesis = ZERO,
) -> pd.DataFrame:
    """Estimate and test every function.

    Parameters
    ----------
    functions : LinearFunctions
    ddf : DfMethod
        Method of degrees of freedom.
    level : float
        Confidence level of each family's intervals together.
    adjust : str
        A name in `nestedmlm.inference.means.adjustments.ADJUSTMENTS`.
    hypothesis : NullHypothesis
        What each is tested against. Intervals of a side are open on the other end.

    Returns
    -------
    DataFrame
        ``estimate, std_error, df, statistic, p_value, conf_low, conf_high``.
    """
    L, offset = functions.L, functions.offset
    known = ~np.isnan(L).any(axis=1)
    found = {name: np.full(len(L), np.nan) for name in ("estimate", "std_error", "df", "statistic")}
    if known.any():
        tests = row_tests(ddf, L[known], rhs=-offset[known]).to_frame()
        for name, values in found.items():
            values[known] = tests[name]
    estimate = found["estimate"] + offset
    half, p_value = np.full(len(L), np.nan), np.full(len(L), np.nan)
    statistic, side = found["statistic"], hypothesis.side
    for rows, means in zip(functions.families, functions.means, strict=True):
        family = make_family(L[rows], ddf.cov, means)
        df = found["df"][rows]
        if not hypothesis.plain:
            statistic[rows] = hypothesis.statistic(estimate[rows], found["std_error"][rows])
        of_interval = replace(family, tail=side)
        half[rows] = critical_values(adjust, level, df, of_interval) * found["std_error"][rows]
        of_test = replace(family, tail=hypothesis.tail)
        p_value[rows] = adjusted_pvalues(adjust, statistic[rows], df, of_test)
    open_end = np.where(np.isnan(estimate), np.nan, np.inf)
    columns = (estimate, found["std_error"], found["df"], statistic, p_value,
               -open_end if side < 0 else estimate - half,
               open_end if side > 0 else estimate + half)  # fmt: skip
    return pd.DataFrame(dict(zip(COLUMNS, columns, strict=True)))


def make_family(L: FloatArray, cov: FloatArray, means: float) -> Family:
    """Describe one family; rows that cannot be estimated count for its size only."""
    known = np.nan_to_num(L)
    V = known @ cov @ known.T
    sd = np.sqrt(np.diag(V).clip(min=0.0))
    scale = np.where(sd > 0, sd, 1.0)
    return Family(
        size=len(L),
        means=means,
        rank=int(np.linalg.matrix_rank(known)) if len(L) else 0,
        corr=V / np.outer(scale, scale),
    )


def split_rows(labels: pd.DataFrame, by: Sequence[str]) -> tuple[np.ndarray, ...]:
    """Rows of each combination of `by`, in order of first appearance."""
    if not by:
        return (np.arange(len(labels)),)
    keys = list(zip(*(labels[name].tolist() for name in by), strict=True))
    groups: dict[object, list[int]] = {}
    for row, key in enumerate(keys):
        groups.setdefault(key, []).append(row)
    return tuple(np.array(rows) for rows in groups.values())
