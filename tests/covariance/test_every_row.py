"""Rows of the table of structures: what each says of itself agrees, at any parameters."""

import numpy as np
import pytest

from nestedmlm.covariance import STRUCTURES

STRUCTURED = sorted(name for name, s in STRUCTURES.items() if not s.free_correlations)


@pytest.mark.parametrize("hom", [False, True])
@pytest.mark.parametrize("k", [2, 3, 5])
@pytest.mark.parametrize("name", STRUCTURED)
def test_a_row_says_one_correlation_matrix(name, k, hom):
    structure, rng = STRUCTURES[name], np.random.default_rng(7)
    for _ in range(5):
        free = rng.normal(size=len(structure.parameters(k))).tolist()
        par = structure.bounded(np, free, k)
        assert structure.bounded(np, structure.unbounded(par, k), k) == pytest.approx(par)
        sds = rng.uniform(0.5, 2.0, size=1 if hom else k)
        T = structure.factor(np, np.array([*sds, *free]), k, hom)
        C = (T @ T.T) / np.outer(np.full(k, sds), np.full(k, sds))
        np.testing.assert_allclose(np.diag(C), 1.0, atol=1e-12)
        np.testing.assert_allclose(structure.correlations(par, k), C, atol=1e-12)
        if structure.correlated:
            rows = structure.correlation_rows(np, par, k)
            L = np.zeros((k, k))
            for i, row in enumerate(rows):
                for j, value in enumerate(row):
                    L[i, j] = (1.0 if i == j else 0.0) if value is None else float(value)
            np.testing.assert_allclose(L @ L.T, C, atol=1e-12)
