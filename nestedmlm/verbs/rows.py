"""Prediction, residuals, influence (layer 7)."""

from __future__ import annotations


class RowVerbs:
    """Prediction, residuals, influence; mixed into `LmerFit`."""

    __slots__ = ()
