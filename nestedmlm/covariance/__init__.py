"""Covariance structures of random effects: an open table.

`us`, `diag`, `cs` and `ar1` are there from the start; `register` adds others, which then work like
these in formulas, fits, profiles and Bayesian models. Terms and shapes carry the `Structure`
itself, which answers all that is asked of it: nobody else asks for its name.
"""

from __future__ import annotations

from nestedmlm.covariance.custom import cholesky, register
from nestedmlm.covariance.parameter import Parameter
from nestedmlm.covariance.shapes import (
    TermShape,
    near_bounds,
    parameter_slices,
    relative_factors,
    split_parameters,
    term_bounds,
)
from nestedmlm.covariance.structure import Structure
from nestedmlm.covariance.table import BUILT_IN, STRUCTURES, add_structure, temporary_structures
from nestedmlm.covariance.triangle import echelon, lower_indices
from nestedmlm.covariance.us import entry_names

__all__ = [
    "BUILT_IN",
    "STRUCTURES",
    "Parameter",
    "Structure",
    "TermShape",
    "add_structure",
    "cholesky",
    "echelon",
    "entry_names",
    "lower_indices",
    "near_bounds",
    "parameter_slices",
    "register",
    "relative_factors",
    "split_parameters",
    "temporary_structures",
    "term_bounds",
]
