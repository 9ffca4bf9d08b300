"""Partial R-squared of a test: the share of what is left over that its effects explain."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from nestedmlm.inference.effects.ddf import JointTest

_FAR = 1e6  # times F's numerator and denominator: no noncentrality is looked for beyond
_ALL_NONCENTRAL = 1e8  # from here the numerator of F is its noncentrality, to 8 digits


@dataclass(frozen=True, slots=True, kw_only=True)
class PartialR2:
    """A partial R-squared with its interval.

    Attributes
    ----------
    estimate, low, high : float
    """

    estimate: float
    low: float
    high: float


def partial_r2(test: JointTest, *, level: float) -> PartialR2:
    """Partial R-squared of an F test, and its interval.

    Parameters
    ----------
    test : JointTest
        With finite degrees of freedom.
    level : float

    Notes
    -----
    ``q F / (q F + nu)`` with q and nu degrees of freedom (Edwards, Muller, Wolfinger, Qaqish &
    Schabenberger 2008, eq. 19). The limits are those of the noncentrality parameter, the values at
    which F is a quantile of its distribution (Steiger 2004), as ``lambda / (lambda + nu)``.
    """
    F, q, nu = test.F, float(test.num_df), test.den_df
    if not q or not F >= 0.0:
        return PartialR2(estimate=float("nan"), low=float("nan"), high=float("nan"))
    tail = 0.5 * (1.0 - level)
    low, high = (_noncentrality(F, q, nu, p) for p in (1.0 - tail, tail))
    return PartialR2(estimate=q * F / (q * F + nu), low=low / (low + nu), high=high / (high + nu))


def _noncentrality(F: float, q: float, nu: float, p: float) -> float:
    """The noncentrality parameter at which F is the p quantile; 0 where that is below any."""
    from scipy.optimize import brentq
    from scipy.special import chdtrc, ncfdtr

    def miss(nc: float) -> float:
        if nc > _ALL_NONCENTRAL:  # where SciPy's sum loses digits, and then is NaN
            return float(chdtrc(nu, nc * nu / (q * F))) - p
        return float(ncfdtr(q, nu, nc, F)) - p

    if miss(0.0) <= 0.0:
        return 0.0
    return float(brentq(miss, 0.0, _end(miss, q * F + nu), xtol=1e-10, rtol=1e-12))


def _end(miss: Callable[[float], float], start: float) -> float:
    end = start
    while miss(end) > 0.0 and end < _FAR * start:
        end *= 2.0
    return end
