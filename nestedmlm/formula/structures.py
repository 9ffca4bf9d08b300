"""Names of covariance structures that formulas may use: what they are stands in covariance."""

from __future__ import annotations

# name -> whether the structure has one standard deviation for all columns unless told otherwise
HOM_DEFAULT: dict[str, bool] = {"us": False, "diag": False, "cs": False, "ar1": True}
_SPELLING: dict[str, str] = {name: name for name in HOM_DEFAULT}


def admit(name: str, hom: bool) -> None:
    """Let formulas use a structure; `name` is the object that terms will carry."""
    _SPELLING[name] = name
    HOM_DEFAULT[name] = hom


def spelling(name: str) -> str:
    """The name as it was admitted (a subclass of str may know more than its letters)."""
    return _SPELLING[name]
