"""Covariance structures of random effects: an open table.

`us`, `diag`, `cs` and `ar1` are there from the start; `register` adds others, which then work like
these in formulas, fits, profiles and Bayesian models.
"""

from __future__ import annotations

from nestedmlm.covariance.custom import cholesky, register
from nestedmlm.covariance.structures import (
    STRUCTURES,
    Parameter,
    Structure,
    TermShape,
    echelon,
    lower_indices,
    relative_factors,
    split_parameters,
    theta_names,
)

__all__ = [
    "STRUCTURES",
    "Parameter",
    "Structure",
    "TermShape",
    "cholesky",
    "echelon",
    "lower_indices",
    "register",
    "relative_factors",
    "split_parameters",
    "theta_names",
]
