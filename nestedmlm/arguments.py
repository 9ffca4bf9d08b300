"""Checks of arguments: confidence levels and their normal quantiles."""

from __future__ import annotations

from numbers import Real
from typing import Any

from nestedmlm.errors import OptionError


def check_level(level: Any, name: str = "level") -> float:
    """Return a confidence level; refuse what is no probability.

    Raises
    ------
    OptionError
        If it is not a number strictly between 0 and 1.
    """
    if not isinstance(level, Real) or not 0.0 < float(level) < 1.0:
        raise OptionError(f"{name} must be between 0 and 1, not {level!r}")
    return float(level)


def normal_quantile(level: float) -> float:
    """Normal quantile of a two-sided interval.

    Raises
    ------
    OptionError
        If `level` is not strictly between 0 and 1.
    """
    from scipy.special import ndtri

    return float(ndtri(0.5 + 0.5 * check_level(level)))
