"""Profiles and confidence intervals (layer 7)."""

from __future__ import annotations


class IntervalVerbs:
    """Profiles and confidence intervals; mixed into `LmerFit`."""

    __slots__ = ()
