"""Joint tests of rows that depend on each other: lmerTest's contestMD, row for row as given."""

from __future__ import annotations

import numpy as np
import pytest

import nestedmlm as nm
from nestedmlm.inference.effects.ddf import df_method, joint_test

FORMULA = "Reaction ~ Days + I(Days^2) + (1 | Subject) + (0 + Days | Subject)"
# lmerTest 3.1-3: contestMD(lmer(FORMULA, sleepstudy), L)
LMERTEST = [  # rows, NumDF, DenDF, F
    ([[1, 0, 1], [0, 1, 0], [1, -1, 1]], 2, 51.56383, 759.5450),
    ([[0, 1, 0], [0, 2, 0]], 1, 114.99433, 6.928492),
    ([[0, 1, 0], [0, 1, 1], [0, 0, 1], [0, 3, 2]], 2, 56.99226, 23.36102),
]


@pytest.fixture(scope="module")
def fit():
    return nm.lmer(FORMULA, nm.load_dataset("sleepstudy"))


@pytest.mark.parametrize(("rows", "num", "den", "F"), LMERTEST)
def test_degrees_of_freedom_are_those_of_the_rows_as_given(fit, rows, num, den, F):
    table = fit.contest(rows).table.iloc[0]
    assert table["NumDF"] == num
    assert table["DenDF"] == pytest.approx(den, rel=2e-5)
    assert table["F value"] == pytest.approx(F, rel=2e-5)


def test_a_row_of_zeros_says_nothing(fit):
    some = fit.contest([[0, 1, 0], [0, 0, 1]]).table
    more = fit.contest([[0, 0, 0], [0, 1, 0], [0, 0, 1]]).table
    np.testing.assert_allclose(some.to_numpy(), more.to_numpy(), rtol=1e-9)


def test_values_of_the_hypothesis_are_subtracted(fit):
    estimate = fit.fixef.to_numpy()
    L = np.array([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    found = joint_test(df_method(fit.core), L, rhs=L @ estimate)
    assert found.F == pytest.approx(0.0, abs=1e-12)
    half = joint_test(df_method(fit.core), L, rhs=0.5 * L @ estimate)
    assert half.F == pytest.approx(joint_test(df_method(fit.core), L).F / 4.0)
