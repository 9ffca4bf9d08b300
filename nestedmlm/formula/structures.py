"""Covariance structures as formulas spell them: what they are stands in `nestedmlm.covariance`."""

from __future__ import annotations

from nestedmlm.covariance import STRUCTURES

UNSTRUCTURED, DIAGONAL = "us", "diag"  # what a single bar means, and one that keeps `||` together
DOUBLE_BAR = "||"


def is_known(name: str) -> bool:
    """Whether formulas may use this name before a bar."""
    return name in STRUCTURES


def known_names() -> list[str]:
    """Return all names that may stand before a bar."""
    return sorted(STRUCTURES)


def default_hom(name: str) -> bool:
    """Whether a structure has one standard deviation for all columns unless told otherwise."""
    return STRUCTURES[name].default_hom


def takes_hom(name: str) -> bool:
    """Whether a structure takes ``hom=``: one standard deviation for all columns."""
    return STRUCTURES[name].takes_hom
