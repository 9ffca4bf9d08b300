"""Confidence levels (layer 5)."""

from __future__ import annotations

from nestedmlm.errors import OptionError


def normal_quantile(level: float) -> float:
    """Normal quantile of a two-sided interval.

    Raises
    ------
    OptionError
        If `level` is not strictly between 0 and 1.
    """
    from scipy.special import ndtri

    if not 0.0 < level < 1.0:
        raise OptionError(f"level must be between 0 and 1, not {level!r}")
    return float(ndtri(0.5 + 0.5 * level))
