"""Correlations that a structure makes of its parameters: standard errors and intervals.

A structured covariance has fewer parameters than pairs of columns. Delta method: where
``r = r(par)``, ``se(r)^2 = r' Cov(par) r'``, and the interval is symmetric on the atanh scale.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from nestedmlm._typing import FloatArray
from nestedmlm.design.design import Design, ReTerm
from nestedmlm.design.model_parameters import ModelParameter
from nestedmlm.inference.normal_quantile import normal_quantile
from nestedmlm.inference.variances.wald import VarianceEstimates, wald_interval

Numbers = tuple[float, float, float]  # standard error, lower, upper
_UNKNOWN: Numbers = (np.nan, np.nan, np.nan)
_PLACES = 65  # of an interval, where its image is looked for


def structured_correlations(
    found: VarianceEstimates, limits: FloatArray, design: Design, *, level: float | None
) -> list[tuple[str, str, str, str, Numbers]]:
    """Standard errors and intervals of all correlations of structured terms.

    Parameters
    ----------
    found : VarianceEstimates
        The n parameters.
    limits : (n, 2) array
        Their intervals.
    design : Design
    level : float or None
        Coverage of Wald intervals. None where `limits` come from a profile or a bootstrap: an
        interval of the only parameter that a correlation depends on is mapped onto it, and with
        several there is none.

    Returns
    -------
    list
        ``("cor", group, var1, var2, (std_error, conf_low, conf_high))`` for each pair of columns of
        each term. A correlation that *is* a parameter has that parameter's
        numbers; one that nothing moves has none.
    """
    rows = []
    for t, term in enumerate(design.terms):
        own = [i for i, p in enumerate(found.parameters) if p.kind == "par" and p.term == t]
        if not own:
            continue
        fitted = _Fitted(
            term=term,
            par=found.estimate[own],
            se=found.se[own],
            covariance=found.covariance[np.ix_(own, own)],
            limits=limits[own],
        )
        k = len(term.columns)
        pairs = [(i, j) for j in range(k) for i in range(j + 1, k)]
        numbers = _numbers(fitted, pairs, level)
        rows += [
            ("cor", term.name, term.columns[j], term.columns[i], three)
            for (i, j), three in zip(pairs, numbers, strict=True)
        ]
    return rows


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Fitted:
    """The parameters of one structured correlation as they were estimated."""

    term: ReTerm
    par: FloatArray
    se: FloatArray
    covariance: FloatArray
    limits: FloatArray


def _numbers(of: _Fitted, pairs: Sequence[tuple[int, int]], level: float | None) -> list[Numbers]:
    k, structure = len(of.term.columns), of.term.structure
    if not np.all(np.isfinite(of.par)):
        return [_UNKNOWN] * len(pairs)
    value, slope = structure.correlations(of.par, k), structure.correlation_slopes(of.par, k)
    return [_of_pair(of, pair, float(value[pair]), slope[:, *pair], level) for pair in pairs]


def _of_pair(
    of: _Fitted, pair: tuple[int, int], value: float, slope: FloatArray, level: float | None
) -> Numbers:
    used = np.flatnonzero(slope)
    if len(used) == 0:
        return _UNKNOWN
    first = int(used[0])
    if len(used) == 1 and np.isclose([slope[first], of.par[first]], [1.0, value]).all():
        return float(of.se[first]), float(of.limits[first, 0]), float(of.limits[first, 1])
    if not np.all(np.isfinite(of.se[used])):
        return _UNKNOWN
    se = float(np.sqrt(slope @ of.covariance @ slope))
    if level is not None:
        low, high = wald_interval(_CORRELATION, value, se, normal_quantile(level))
    else:
        low, high = _image(of, pair, first) if len(used) == 1 else (np.nan, np.nan)
    return se, float(low), float(high)


_CORRELATION = ModelParameter(kind="cor", name="", lower=-1.0, upper=1.0)


def _image(of: _Fitted, pair: tuple[int, int], which: int) -> tuple[float, float]:
    """Smallest and largest correlation as one parameter goes through its interval."""
    low, high = of.limits[which]
    finite = np.isfinite([low, high]).all()
    places = np.linspace(low, high, _PLACES) if finite else np.array([low, high])
    found = []
    with np.errstate(all="ignore"):  # an open end may have no correlation
        for value in (of.par[which], *places):
            par = np.where(np.arange(len(of.par)) == which, value, of.par)
            found.append(float(of.term.structure.correlations(par, len(of.term.columns))[pair]))
    return (np.nan, np.nan) if np.isnan(found).any() else (min(found), max(found))
