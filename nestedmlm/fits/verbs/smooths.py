"""Smooth terms of a fit."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from nestedmlm._typing import FloatArray
from nestedmlm.arguments import check_count
from nestedmlm.design.design import Design
from nestedmlm.design.frame.response_kinds import response_kind
from nestedmlm.errors import OptionError
from nestedmlm.inference.effects.smooths import (
    curve_band,
    effective_df,
    residual_df,
    smooth_terms,
    smooth_test,
)
from nestedmlm.inference.means.adjustments import Family, critical_values
from nestedmlm.inference.rows.working_model import working_solution
from nestedmlm.likelihood.solution import Solution
from nestedmlm.views.smooths import COLUMNS, Smooths

if TYPE_CHECKING:
    from nestedmlm.fits.lmer_fit import LmerFit


def smooths(
    fit: LmerFit, *, points: int = 100, level: float = 0.95, simultaneous: bool = False
) -> Smooths:
    """Smooth terms: effective degrees of freedom, tests, curves with bands.

    Parameters
    ----------
    points : int
        Values of x for each curve, evenly spaced over the range of the data.
    level : float
        Of the bands.
    simultaneous : bool
        Bands that hold a whole curve, at all points at once; by default they are pointwise.

    Returns
    -------
    Smooths
        A view; ``.terms`` and ``.curves`` are DataFrames.

    Raises
    ------
    OptionError
        If the model has no smooth terms.
    ResidualStructureError
        For a known sigma.

    Notes
    -----
    Of a generalized model they are those of the working linear model: given the weights of its last
    iteration, as in gamm4 and mgcv, curves on the scale of the linear predictor. Its test is
    chi-squared unless the family has a dispersion that is estimated. Where residuals differ or
    correlate their covariance is given too.

    All is given the SDs, as in mgcv's ``summary`` and ``plot``: the F test that a curve is zero
    (Wood 2013, Biometrika 100(1), 221-228), and Bayesian bands of the centred curve, which cover
    it on average over x (Marra & Wood 2012, Scandinavian Journal of Statistics 39(1), 53-74).
    Simultaneous bands are as many standard errors wide as the largest of all points' (multivariate
    normal) statistics has at the level (Ruppert, Wand & Carroll 2003, section 6.5).
    Whether a curve is more than a straight line is the test of its SD: ``fit.ranova()``.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> fit = nm.lmer("Reaction ~ s(Days, k=5) + (1 | Subject)", nm.load_dataset("sleepstudy"))
    >>> fit.smooths()
    Smooth terms:
            edf Ref.df Std.Dev.     F p-value
    s(Days)   1      1        0 169.4  <2e-16
    <BLANKLINE>
    edf: effective degrees of freedom; 1 is a straight line.
    F: test of no curve at all, given the SDs (Wood 2013).
    """
    check_count(points, "points", least=2)
    _some_smooths(fit.design)
    solution, design = working_solution(fit.core)
    bands, critical = [], partial(_largest, level) if simultaneous else None
    for t in smooth_terms(design):
        band = curve_band(solution, design, t, points=points, level=level, critical=critical)
        columns = {name: getattr(band, name) for name in band.__dataclass_fields__}
        bands.append(pd.DataFrame({"term": design.terms[t].name, **columns}))
    empty = pd.DataFrame(columns=["term", "x", "estimate", "std_error", "conf_low", "conf_high"])
    return Smooths(
        terms=_table(fit, solution, design),
        statistic=smooth_statistic(fit),
        curves=pd.concat(bands, ignore_index=True) if bands else empty,
        level=level,
    )


def _largest(level: float, corr: FloatArray) -> float:
    """Critical value of the largest of correlated standard normal statistics."""
    known = Family(size=len(corr), means=np.nan, rank=len(corr), corr=corr)
    return float(critical_values("mvt", level, np.full(len(corr), np.inf), known)[0])


def smooth_table(fit: LmerFit) -> pd.DataFrame:
    """Sizes and tests of the smooth terms.

    Raises
    ------
    OptionError
        If there are none.
    """
    _some_smooths(fit.design)
    return _table(fit, *working_solution(fit.core))


def _some_smooths(design: Design) -> None:
    if all(term.smooth is None for term in design.terms):
        raise OptionError("the model has no smooth terms: y ~ s(x) + (1 | g) has one")


def smooth_statistic(fit: LmerFit) -> str:
    """Name of the tests' statistic: ``F``, or ``Chi.sq`` where the dispersion is known."""
    return "F" if response_kind(fit.core.family).free_dispersion else "Chi.sq"


def _table(fit: LmerFit, solution: Solution, design: Design) -> pd.DataFrame:
    own = [t for t, term in enumerate(design.terms) if term.smooth is not None]
    estimated = smooth_statistic(fit) == "F"
    df = residual_df(solution, design) if estimated else np.inf
    whole, rows = smooth_terms(design), []
    for t in own:
        sd = float(solution.sigma * solution.T[t][0, 0])
        if t not in whole:
            edf = effective_df(solution, design, t)
            rows.append((edf, np.nan, sd, np.nan, np.nan))
            continue
        found = smooth_test(solution, design, t, df)
        statistic = found.statistic * (1.0 if estimated else found.ref_df)
        rows.append((found.edf, found.ref_df, sd, statistic, found.p_value))
    names = [design.terms[t].name for t in own]
    labels = [
        name if t in whole else f"({design.terms[t].text})"
        for t, name in zip(own, names, strict=True)
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS), index=pd.Index(labels, name="term"))
