"""Simultaneous inference: p-values and critical values adjusted for a family of tests.

A family is a set of rows that are looked at together; the functions here take one family.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from nestedmlm._typing import FloatArray
from nestedmlm.errors import OptionError
from nestedmlm.inference.means.max_distributions import (
    dunnett_cdf,
    each_df,
    mvt_below,
    mvt_inside,
    t_critical,
    t_pvalues,
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Family:
    """A family of tests that are adjusted together.

    Attributes
    ----------
    size : int
        Number of tests, those that cannot be estimated included.
    means : float
        Number of means that are compared pairwise (for Tukey's method).
    rank : int
        Rank of the linear functions (for Scheffé's method).
    corr : ndarray, shape (size, size)
        Correlations of the estimates (for the multivariate t).
    tail : {-1, 0, 1}
        Which tail p-values are of, or on which side of the estimate an interval is open; 0: both
        tails, and closed.
    """

    size: int
    means: float
    rank: int
    corr: FloatArray
    tail: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Adjustment:
    """A method of adjusting p-values and critical values for a family of tests.

    Attributes
    ----------
    pvalues : function of (t, df, family) to adjusted p-values
    critical : function of (level, df, family) to half widths in standard errors, or None
        None: Bonferroni's intervals are used (step-wise methods have none of their own).
    says : str
        What the footer adds after "method"; may use ``{means}``, ``{size}``, ``{rank}``.
    """

    pvalues: Callable[[FloatArray, FloatArray, Family], FloatArray]
    critical: Callable[[float, FloatArray, Family], FloatArray] | None = None
    says: str = " for {size} tests"


def _none_p(t: FloatArray, df: FloatArray, family: Family) -> FloatArray:
    return t_pvalues(t, df, family.tail)


def _bonferroni_p(t: FloatArray, df: FloatArray, family: Family) -> FloatArray:
    return np.minimum(1.0, family.size * _none_p(t, df, family))


def _sidak_p(t: FloatArray, df: FloatArray, family: Family) -> FloatArray:
    # 1 - (1 - p)^m without cancellation
    with np.errstate(divide="ignore"):  # a one-sided p-value may be one
        out: FloatArray = -np.expm1(family.size * np.log1p(-_none_p(t, df, family)))
    return out


def _holm_p(t: FloatArray, df: FloatArray, family: Family) -> FloatArray:
    def step(p: FloatArray) -> FloatArray:
        return np.maximum.accumulate((family.size - np.arange(p.size)) * p)

    return _ordered(_none_p(t, df, family), step)


def _hochberg_p(t: FloatArray, df: FloatArray, family: Family) -> FloatArray:
    def step(p: FloatArray) -> FloatArray:
        scaled = (family.size - np.arange(p.size)) * p
        return np.minimum.accumulate(scaled[::-1])[::-1]

    return _ordered(_none_p(t, df, family), step)


def _fdr_p(t: FloatArray, df: FloatArray, family: Family) -> FloatArray:
    def step(p: FloatArray) -> FloatArray:
        scaled = family.size / np.arange(1, p.size + 1) * p
        return np.minimum.accumulate(scaled[::-1])[::-1]

    return _ordered(_none_p(t, df, family), step)


def _ordered(p: FloatArray, step: Callable[[FloatArray], FloatArray]) -> FloatArray:
    """Apply a step-wise rule to the known p-values in ascending order."""
    out = np.full(p.shape, np.nan)
    known = np.flatnonzero(~np.isnan(p))
    order = known[np.argsort(p[known], kind="stable")]
    out[order] = np.minimum(1.0, step(p[order]))
    return out


def _tukey_p(t: FloatArray, df: FloatArray, family: Family) -> FloatArray:
    from scipy.stats import studentized_range

    out = np.full(t.shape, np.nan)
    for i in np.flatnonzero(~np.isnan(t)):
        out[i] = studentized_range.sf(np.sqrt(2.0) * abs(t[i]), family.means, df[i])
    return np.asarray(np.clip(out, 0.0, 1.0))


def _tukey_critical(level: float, df: FloatArray, family: Family) -> FloatArray:
    from scipy.stats import studentized_range

    return each_df(df, lambda v: studentized_range.ppf(level, family.means, v) / np.sqrt(2.0))


def _scheffe_p(t: FloatArray, df: FloatArray, family: Family) -> FloatArray:
    from scipy.stats import chi2, f

    r = family.rank
    with np.errstate(invalid="ignore"):
        F = f.sf(t**2 / r, r, np.where(np.isfinite(df), df, 1.0))
    out: FloatArray = np.where(np.isfinite(df), F, chi2.sf(t**2, r))
    return np.where(np.isnan(t), np.nan, out)


def _scheffe_critical(level: float, df: FloatArray, family: Family) -> FloatArray:
    from scipy.stats import chi2, f

    r = family.rank
    F = r * f.ppf(level, r, np.where(np.isfinite(df), df, 1.0))
    return np.asarray(np.sqrt(np.where(np.isfinite(df), F, chi2.ppf(level, r))))


def _dunnett_p(t: FloatArray, df: FloatArray, family: Family) -> FloatArray:
    return np.clip(1.0 - dunnett_cdf(np.abs(t), df, family.size), 0.0, 1.0)


def _dunnett_critical(level: float, df: FloatArray, family: Family) -> FloatArray:
    from scipy.optimize import brentq

    def critical(v: float) -> float:
        at = np.array([v])
        low = float(t_critical(level, at)[0])
        high = 2.0 * float(t_critical(1.0 - (1.0 - level) / family.size, at)[0])

        def miss(x: float) -> float:
            return float(dunnett_cdf(np.array([x]), at, family.size)[0] - level)

        return low if miss(low) >= 0 else float(brentq(miss, low, high, xtol=1e-8))

    return each_df(df, critical)


def _mvt_p(t: FloatArray, df: FloatArray, family: Family) -> FloatArray:
    out = np.full(t.shape, np.nan)
    known = np.flatnonzero(~np.isnan(t))
    corr = family.corr[np.ix_(known, known)]
    for i in known:
        size = abs(float(t[i])) if family.tail == 0 else family.tail * float(t[i])
        out[i] = 1.0 - _mvt_share(family)(size, float(df[i]), corr)
    return np.asarray(np.clip(out, 0.0, 1.0))


def _mvt_share(family: Family) -> Callable[[float, float, FloatArray], float]:
    return mvt_below if family.tail else mvt_inside


def _mvt_critical(level: float, df: FloatArray, family: Family) -> FloatArray:
    from scipy.optimize import brentq

    known = np.flatnonzero(~np.isnan(df))
    corr = family.corr[np.ix_(known, known)]

    def critical(v: float) -> float:
        at = np.array([v])
        low = float(t_critical(level, at, family.tail)[0])
        high = float(t_critical(1.0 - (1.0 - level) / len(corr), at, family.tail)[0])

        def miss(x: float) -> float:
            return _mvt_share(family)(x, v, corr) - level

        if len(corr) == 1 or miss(low) >= 0:
            return low
        return high if miss(high) <= 0 else float(brentq(miss, low, high, xtol=1e-6))

    return each_df(df, critical)


ADJUSTMENTS: dict[str, Adjustment] = {
    "none": Adjustment(
        pvalues=_none_p,
        critical=lambda level, df, family: t_critical(level, df, family.tail),
        says="",
    ),
    "tukey": Adjustment(
        pvalues=_tukey_p,
        critical=_tukey_critical,
        says=" for comparing a family of {means} estimates",
    ),
    "bonferroni": Adjustment(
        pvalues=_bonferroni_p,
        critical=lambda level, df, family: t_critical(
            1.0 - (1.0 - level) / family.size, df, family.tail
        ),
    ),
    "sidak": Adjustment(
        pvalues=_sidak_p,
        critical=lambda level, df, family: t_critical(
            level ** (1.0 / family.size), df, family.tail
        ),
    ),
    "holm": Adjustment(pvalues=_holm_p),
    "hochberg": Adjustment(pvalues=_hochberg_p),
    "fdr": Adjustment(pvalues=_fdr_p),
    "scheffe": Adjustment(pvalues=_scheffe_p, critical=_scheffe_critical, says=" with rank {rank}"),
    "dunnettx": Adjustment(pvalues=_dunnett_p, critical=_dunnett_critical),
    "mvt": Adjustment(pvalues=_mvt_p, critical=_mvt_critical),
}


_TWO_SIDED = frozenset(["tukey", "scheffe", "dunnettx"])  # these have no one-sided form


def of_tail(adjust: str, tail: int) -> str:
    """The adjustment that is used for one tail; Šidák's where the asked one is two-sided."""
    return "sidak" if tail and adjust in _TWO_SIDED else adjust


def check_adjust(adjust: str) -> str:
    """Return the name of a known adjustment.

    Raises
    ------
    OptionError
    """
    name = {"bh": "fdr", "dunnett": "dunnettx"}.get(str(adjust).lower(), str(adjust).lower())
    if name not in ADJUSTMENTS:
        known = ", ".join(sorted(ADJUSTMENTS))
        raise OptionError(f"adjust={adjust!r} is unknown; known: {known}")
    return name


def adjusted_pvalues(adjust: str, t: FloatArray, df: FloatArray, family: Family) -> FloatArray:
    """p-values of one family.

    Parameters
    ----------
    adjust : str
        A name in `ADJUSTMENTS`. A family of one test is not adjusted.
    t, df : (m,) array
        Statistics and degrees of freedom; NaN where nothing can be estimated.
    family : Family
    """
    return ADJUSTMENTS[_used(adjust, family)].pvalues(t, df, family)


def critical_values(adjust: str, level: float, df: FloatArray, family: Family) -> FloatArray:
    """Half widths of simultaneous intervals, in standard errors; see `adjusted_pvalues`."""
    rule = ADJUSTMENTS[_used(adjust, family)].critical or ADJUSTMENTS["bonferroni"].critical
    assert rule is not None
    return np.where(np.isnan(df), np.nan, rule(level, df, family))


def _used(adjust: str, family: Family) -> str:
    adjust = of_tail(adjust, family.tail)
    return "none" if family.size == 1 and adjust != "scheffe" else adjust
