"""Families of responses and their links: `nm.families`.

>>> import nestedmlm as nm
>>> nm.families.negative_binomial(theta=2).label_at(None)
'Negative Binomial(2)'
"""

from __future__ import annotations

from nestedmlm.families.constructors import (
    beta,
    binomial,
    gamma,
    gaussian,
    inverse_gaussian,
    negative_binomial,
    poisson,
    student_t,
)
from nestedmlm.families.family import Family
from nestedmlm.families.family_table import FAMILIES, register_family, resolve_family
from nestedmlm.families.links import LINKS, Link
from nestedmlm.families.pymc_likelihood import PymcLikelihood, PymcRows, SampledParameter
from nestedmlm.families.row_terms import DispersionTerms, RowTerms, dispersion_rows, rows

__all__ = [
    "FAMILIES",
    "LINKS",
    "DispersionTerms",
    "Family",
    "Link",
    "PymcLikelihood",
    "PymcRows",
    "RowTerms",
    "SampledParameter",
    "beta",
    "binomial",
    "dispersion_rows",
    "gamma",
    "gaussian",
    "inverse_gaussian",
    "negative_binomial",
    "poisson",
    "register_family",
    "resolve_family",
    "rows",
    "student_t",
]
