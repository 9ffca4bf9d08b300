"""Bases of smooths: what they span, what they penalise, how they go on outside the data."""

import pickle
from itertools import pairwise

import numpy as np
import pytest
from scipy.integrate import quad

from nestedmlm.design.smooth_bases import MOST_VALUES, learn_basis
from nestedmlm.errors import DataError, OptionError

X = np.sort(np.random.default_rng(3).gamma(2.0, size=60)).round(2)
ALL = pytest.mark.parametrize("bs", ["tp", "cr", "ps"])


@ALL
def test_sums_to_zero_and_leaves_the_line_to_the_fixed_part(bs):
    Z = learn_basis(X, k=8, bs=bs)(X)
    assert Z.shape == (60, 6)
    np.testing.assert_allclose(Z.sum(axis=0), 0.0, atol=1e-9 * np.abs(Z).sum())
    both = np.column_stack([np.ones(60), X, Z])
    assert np.linalg.matrix_rank(both / np.linalg.norm(both, axis=0)) == 8


@pytest.mark.parametrize("bs", ["cr", "tp"])
def test_penalty_is_the_integral_of_squared_curvature(bs):
    # independent coefficients: the integral of f''g'' is 1 for f = g and 0 otherwise. Of a thin
    # plate this holds only with all its functions (k = number of values), up to its constant.
    x = np.array([0.0, 0.7, 1.1, 2.0, 2.6, 3.9])
    basis, h = learn_basis(x, k=6, bs=bs), 1e-3

    def curvature(t):
        return ((basis([t - h]) - 2 * basis([t]) + basis([t + h])) / h**2)[0]

    parts = [
        [
            sum(
                quad(lambda t, i=i, j=j: curvature(t)[i] * curvature(t)[j], a + h, b - h)[0]
                for a, b in pairwise(x)
            )
            for j in range(4)
        ]
        for i in range(4)
    ]
    np.testing.assert_allclose(parts, np.eye(4), atol=0.02)


@ALL
def test_goes_on_smoothly_and_straight_outside(bs):
    basis, gap = learn_basis(X, k=8, bs=bs), 0.1 * np.ptp(X)
    for end, step in ((X.min(), -gap), (X.max(), gap)):
        near = basis([end - 1e-7 * step, end, end + 1e-7 * step])
        np.testing.assert_allclose(near[0] - near[1], near[1] - near[2], atol=1e-10)
        a, b, c = basis(end + step * np.array([1.0, 2.0, 3.0]))
        np.testing.assert_allclose(b - a, c - b, atol=1e-8 * np.abs(c).max())
        slope = (near[2] - near[0]) / 2e-7  # P-splines are straight a thousandth further out
        np.testing.assert_allclose(b - a, slope, atol=0.02 * np.abs(slope).max())


@ALL
def test_learned_state_is_used_for_new_values(bs):
    basis = pickle.loads(pickle.dumps(learn_basis(X, k=8, bs=bs)))
    np.testing.assert_array_equal(basis(X[5:9]), basis(X)[5:9])


def test_errors():
    with pytest.raises(OptionError, match="'ts' is no basis"):
        learn_basis(X, bs="ts")
    with pytest.raises(OptionError, match="at least 4"):
        learn_basis(X, k=3, bs="ps")
    with pytest.raises(DataError, match="there are 3: write k=3"):
        learn_basis([1, 2, 3, 3], k=10)
    with pytest.raises(DataError, match="at most 2,000"):
        learn_basis(np.arange(MOST_VALUES + 1.0), bs="tp")
