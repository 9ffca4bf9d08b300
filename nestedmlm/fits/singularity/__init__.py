"""Singular fits: verdict, principal components, diagnosis and simplification.

`rank` holds the verdict, `diagnosis` the report, `diagnose` makes it, `simplify` refits along its
`steps`.
"""

from __future__ import annotations

from nestedmlm.fits.singularity.diagnose import diagnose
from nestedmlm.fits.singularity.diagnosis import Diagnosis, Recommendation, TermDiagnosis
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
