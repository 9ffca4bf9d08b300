"""Tests of effects beside lmerTest 3.1-3 and pbkrtest 0.5.2: numbers of `reference/effects`.

Nested three-level (classroom), crossed (Penicillin), weights, offset, contrasts of every kind,
rank-deficient X, empty cells, singular fits. The same verbs run live in
``python -m benchmarks.agreement.effects``.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from reference import numbers

import nestedmlm as nm
from benchmarks.agreement.effects import CASES, fit_case, verbs_of

ANSWERS = numbers("effects/effects")
MODELS = {case["id"]: case for case in CASES}
VERBS = [(case, verb) for case, answer in ANSWERS.items() for verb in answer]
# lmerTest differentiates numerically, and lme4 stops a little before the optimum
TOLERANCE = 2e-5


@cache
def fit_of(case: str) -> nm.LmerFit:
    return fit_case(MODELS[case], {})


@pytest.fixture(autouse=True)
def _data(shared_data):
    return shared_data


@pytest.mark.parametrize(("case", "verb"), VERBS, ids=[f"{verb}, {case}" for case, verb in VERBS])
def test_beside_r(case, verb):
    expected = np.array(ANSWERS[case][verb], dtype=float)
    found = np.asarray(verbs_of(fit_of(case), {verb: expected})[verb], dtype=float)
    if not expected.size:  # a table without rows
        assert not found.size
        return
    assert found.shape == expected.shape
    assert found == pytest.approx(expected, rel=TOLERANCE, abs=1e-7, nan_ok=True)
