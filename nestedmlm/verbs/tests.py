"""Degrees of freedom, tests of fixed and random effects (layer 7)."""

from __future__ import annotations


class TestVerbs:
    """Degrees of freedom, tests of fixed and random effects; mixed into `LmerFit`."""

    __slots__ = ()
