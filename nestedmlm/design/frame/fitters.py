"""Functions of a formula that learn from the data, by name: a closed table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from nestedmlm.design.frame import column_statistics as statistics
from nestedmlm.design.frame.group_columns import fit_between, fit_lag, fit_reorder, fit_within
from nestedmlm.design.frame.splines import fit_bs, fit_ns
from nestedmlm.design.frame.transforms import (
    Transform,
    fit_center,
    fit_dummy,
    fit_poly,
    fit_scale,
)


@dataclass(frozen=True, slots=True)
class Fitter:
    """A function that learns from data.

    Attributes
    ----------
    fit : callable
        Of the columns and the options.
    columns : str
        R's names of the parameters that are columns, in order, separated by blanks.
    options : str
        R's names of the others.
    kinds : str
        What each column is: ``number``, ``factor`` or ``time``.
    several : bool
        Whether further columns may follow the first.
    remembers : bool
        Whether new rows need not have the first column: it keeps that of the fit.
    """

    fit: Callable[..., Transform]
    columns: str
    options: str
    kinds: str = "number"
    several: bool = False
    remembers: bool = False


_NS = Fitter(fit_ns, "x", "df knots intercept Boundary.knots")
_SCALE = Fitter(fit_scale, "x", "center scale")
_BETWEEN = Fitter(fit_between, "x g", "", "number factor")
_NUMBERS: Mapping[str, Callable[..., float]] = {
    "mean": np.mean,
    "median": np.median,
    "sd": lambda x: np.sqrt(statistics.variance(x)),
    "var": statistics.variance,
    "min": np.min,
    "max": np.max,
    "sum": np.sum,
}

FITTERS: Mapping[str, Fitter] = {
    "scale": _SCALE,
    "standardize": _SCALE,
    "center": Fitter(fit_center, "x", ""),
    "poly": Fitter(fit_poly, "x", "degree raw", several=True),
    "ns": _NS,
    "cr": _NS,
    "bs": Fitter(fit_bs, "x", "df knots degree intercept Boundary.knots"),
    "dummy": Fitter(fit_dummy, "f", "levelsToKeep", "factor"),
    **{
        name: Fitter(statistics.statistic(name, function), "x", "na.rm")
        for name, function in _NUMBERS.items()
    },
    "range": Fitter(statistics.fit_range, "x", "na.rm"),
    "quantile": Fitter(statistics.fit_quantile, "x", "probs na.rm"),
    "cut": Fitter(
        statistics.fit_cut, "x", "breaks labels include.lowest right dig.lab ordered_result"
    ),
    "rank": Fitter(statistics.fit_rank, "x", "na.last ties.method"),
    "between": _BETWEEN,
    "ave": _BETWEEN,
    "within": Fitter(fit_within, "x g", "", "number factor"),
    "lag": Fitter(fit_lag, "x g t", "n", "number factor time", remembers=True),
    "reorder": Fitter(fit_reorder, "x X", "", "factor number"),
}

# what R has and a formula cannot answer exactly for other rows than those it was fitted to
UNANSWERABLE: Mapping[str, str] = {
    **dict.fromkeys(
        ("cumsum", "cumprod", "cummax", "cummin", "diff", "rev", "order", "sort", "seq_along",
         "row_number", "head", "tail"),
        "depends on the order of the rows, which new data do not have",
    ),
    **dict.fromkeys(
        ("sample", "rnorm", "runif", "rbinom", "rpois", "rexp", "rt"),
        "draws at random, so that the model could not be evaluated twice",
    ),
    **dict.fromkeys(
        ("length", "nrow", "NROW", "n"),
        "counts rows, which are others in new data",
    ),
    **dict.fromkeys(
        ("tapply", "aggregate", "sapply", "lapply", "apply", "with", "do.call"),
        "works on whole tables or takes functions; group means are between(x, g)",
    ),
}  # fmt: skip
