"""Closed forms of small matrices beside LAPACK, and what must hold of factors of any size."""

from __future__ import annotations

import numpy as np
import pytest

from nestedmlm.covariance import closed_forms, echelon

SIZES = (1, 2, 3, 4)
RNG = np.random.default_rng(20)


@pytest.mark.parametrize("k", SIZES)
def test_decompositions_are_lapacks(k: int) -> None:
    for _ in range(20):
        A = RNG.normal(size=(k, k)) * 10.0 ** RNG.uniform(-3, 3, size=(k, 1))
        covariance = A @ A.T
        np.testing.assert_allclose(
            closed_forms.cholesky(covariance), np.linalg.cholesky(covariance), rtol=1e-8
        )
        R = np.triu(A) + np.eye(k)
        np.testing.assert_allclose(closed_forms.upper_inverse(R) @ R, np.eye(k), atol=1e-9)
        for W in (R, A):
            own, lapack = closed_forms.solve(W, A.T), np.linalg.solve(W, A.T)
            np.testing.assert_allclose(own, lapack, rtol=1e-6, atol=1e-9 * np.abs(lapack).max())
        values = np.linalg.svd(A, compute_uv=False)
        np.testing.assert_allclose(
            closed_forms.singular_ends(A), values[[-1, 0]], rtol=1e-12, atol=1e-13 * values[0]
        )
        M = A + A.T
        u, least = closed_forms.steepest_direction(M), np.linalg.eigvalsh(M)[0]
        np.testing.assert_allclose([u @ u, u @ M @ u], [1.0, least], atol=1e-12 * np.abs(M).max())


@pytest.mark.parametrize("k", SIZES)
def test_what_is_not_positive_definite_has_no_cholesky_factor(k: int) -> None:
    for A in (np.zeros((k, k)), -np.eye(k), np.ones((k, k)) - 2.0 * np.eye(k)[:, ::-1]):
        if np.linalg.eigvalsh(0.5 * (A + A.T))[0] <= 0.0:
            with pytest.raises(np.linalg.LinAlgError):
                closed_forms.cholesky(0.5 * (A + A.T))


@pytest.mark.parametrize("k", SIZES)
@pytest.mark.parametrize("columns", [1, 2, 3, 5])
def test_echelon_is_the_lower_triangular_factor(k: int, columns: int) -> None:
    for gone in (False, True):
        T = RNG.normal(size=(k, columns))
        if gone:
            T[0] = 0.0
        L = echelon(T)
        np.testing.assert_allclose(L @ L.T, T @ T.T, atol=1e-13)
        assert np.array_equal(L, np.tril(L))
        assert (L.diagonal() >= 0.0).all()
        empty = L.diagonal() == 0.0
        assert not L[:, empty].any()
        assert empty.sum() >= k - min(columns, k - gone)


def test_singular_matrices_have_a_smallest_value_of_zero() -> None:
    assert closed_forms.singular_ends(np.zeros((2, 2))) == (0.0, 0.0)
    smallest, largest = closed_forms.singular_ends(np.array([[3.0, 0.0], [4.0, 0.0]]))
    assert (smallest, largest) == (0.0, pytest.approx(5.0))
