"""Singular fits: verdict, principal components, diagnosis and simplification (layer 5).

Gathers `nestedmlm.singularity.rank`, `nestedmlm.singularity.diagnosis` and `nestedmlm.singularity.simplify`.
"""

from __future__ import annotations

from nestedmlm.singularity.diagnosis import Diagnosis, Recommendation, TermDiagnosis, diagnose
from nestedmlm.singularity.rank import RePCA, is_singular, repca, singular_values
from nestedmlm.singularity.simplify import Path, simplify

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
