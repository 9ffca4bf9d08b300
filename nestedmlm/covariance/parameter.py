"""A parameter of a structured correlation, and its map to an unbounded number."""

from __future__ import annotations

import math
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np

_REACH = 3.0  # unbounded numbers from the start of a parameter that has no end there


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of a structured correlation.

    Attributes
    ----------
    name : str
        As reported: ``rho`` gives ``rho|Subject``.
    lower, upper : float
        Ends of its values; infinite where there is none.
    start : float or None
        Where the optimizer begins; None: the middle, or 1 from the only end, or 0.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> nm.covariance.Parameter("rho", lower=-1, upper=1).start is None
    True
    """

    name: str
    lower: float = -math.inf
    upper: float = math.inf
    start: float | None = None


def ends(p: Parameter) -> tuple[bool, bool]:
    """Whether a parameter has a lower and an upper end."""
    return math.isfinite(p.lower), math.isfinite(p.upper)


def middle(p: Parameter) -> float:
    """Starting value of a parameter for the optimizer."""
    if p.start is not None:
        return p.start
    low, high = ends(p)
    if low and high:
        return 0.5 * (p.lower + p.upper)
    if low:
        return p.lower + 1.0
    return p.upper - 1.0 if high else 0.0


def quantile(p: Parameter, share: float) -> float:
    """The value that leaves this share of a parameter's range below it: ends at 0 and 1.

    Ranges without an end are cut where the optimizer's unbounded number is 3 from its start.
    """
    if all(ends(p)):
        return p.lower + share * (p.upper - p.lower)
    return float(bounded(p, np, unbounded(p, middle(p)) + _REACH * (2.0 * share - 1.0)))


def near_end(p: Parameter, value: float, tol: float) -> bool:
    """Whether a value is closer than `tol` to an end."""
    return bool(min(value - p.lower, p.upper - value) < tol)


def bounded(p: Parameter, xp: ModuleType, x: Any) -> Any:
    """A parameter's value from an unbounded number; `xp` is NumPy or ``pytensor.tensor``."""
    low, high = ends(p)
    if low and high:
        half = 0.5 * (p.upper - p.lower)
        return p.lower + half * (1.0 + xp.sin(x))
    if low:
        return p.lower + xp.exp(x)
    return p.upper - xp.exp(x) if high else x


def unbounded(p: Parameter, value: float) -> float:
    """Inverse of `bounded`."""
    low, high = ends(p)
    if low and high:
        unit = 2.0 * (value - p.lower) / (p.upper - p.lower) - 1.0
        return math.asin(min(max(unit, -1.0), 1.0))
    if low or high:
        return math.log(max(value - p.lower if low else p.upper - value, 1e-300))
    return value
