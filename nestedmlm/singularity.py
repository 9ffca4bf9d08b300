"""Singular fits: verdict, principal components, diagnosis and simplification (layer 5).

Gathers `nestedmlm.rank`, `nestedmlm.diagnosis` and `nestedmlm.simplify`.
"""

from __future__ import annotations

from nestedmlm.diagnosis import Diagnosis, Recommendation, TermDiagnosis, diagnose
from nestedmlm.rank import RePCA, is_singular, repca, singular_values
from nestedmlm.simplify import Path, simplify

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
