"""Tidy tables, shares of variance, marginal means (layer 7)."""

from __future__ import annotations


class SummaryVerbs:
    """Tidy tables, shares of variance, marginal means; mixed into `LmerFit`."""

    __slots__ = ()
