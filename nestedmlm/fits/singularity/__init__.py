"""Singular fits: verdict, principal components, diagnosis and simplification.

`rank` holds the verdict, `diagnosis` the report, `simplify` the refits along `simpler` formulas.
"""

from __future__ import annotations

from nestedmlm.fits.singularity.diagnosis import Diagnosis, Recommendation, TermDiagnosis, diagnose
from nestedmlm.fits.singularity.rank import RePCA, is_singular, repca, singular_values
from nestedmlm.fits.singularity.simplify import Path, simplify

__all__ = [
    "Diagnosis",
    "Path",
    "RePCA",
    "Recommendation",
    "TermDiagnosis",
    "diagnose",
    "is_singular",
    "repca",
    "simplify",
    "singular_values",
]
