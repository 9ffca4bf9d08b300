"""Quantile of the normal distribution for two-sided intervals."""

from __future__ import annotations

from nestedmlm.arguments import check_level


def normal_quantile(level: float) -> float:
    """Normal quantile of a two-sided interval.

    Raises
    ------
    OptionError
        If `level` is not strictly between 0 and 1.
    """
    from scipy.special import ndtri

    return float(ndtri(0.5 + 0.5 * check_level(level)))
