"""The criterion in 60 digits, as plainly as it can be written; slow, for n of some dozens."""

from __future__ import annotations

from collections.abc import Sequence

import mpmath as mp
import numpy as np

from nestedmlm.design.design import Design

DIGITS = 60


def exact_criterion(design: Design, T: Sequence[np.ndarray], *, REML: bool = True) -> float:
    """REML or ML criterion of the doubles in `design` at relative factors `T` (user's columns).

    V = W^-1 + Z Lambda Lambda' Z' is Cholesky-factored, [X y] whitened with the factor, and
    beta and sigma read off the Cholesky factor of the whitened crossproducts.
    """
    with mp.workdps(DIGITS):
        L = mp.cholesky(_covariance(design, T))
        C = mp.cholesky(_whitened_crossproducts(design, L))
        n, p = design.X.shape
        df = n - p if REML and p else n
        out = 2 * mp.fsum(mp.log(L[i, i]) for i in range(n))
        out += df * (1 + mp.log(2 * mp.pi * C[p, p] ** 2 / df))
        if REML:
            out += 2 * mp.fsum(mp.log(C[i, i]) for i in range(p))
        return float(out)


def _covariance(design: Design, T: Sequence[np.ndarray]) -> mp.matrix:
    n = design.n
    w = np.ones(n) if design.weights is None else design.weights
    V = mp.diag([1 / mp.mpf(float(value)) for value in w])
    for term, t in zip(design.terms, T, strict=True):
        codes = design.factors[term.factor].codes
        A = mp.matrix(term.X.tolist()) * mp.matrix(t.tolist())
        for i in range(n):
            for j in range(n):
                if codes[i] == codes[j]:
                    V[i, j] += mp.fdot((A[i, a], A[j, a]) for a in range(A.cols))
    return V


def _whitened_crossproducts(design: Design, L: mp.matrix) -> mp.matrix:
    y = design.y if design.offset is None else design.y - design.offset
    B = mp.matrix(np.column_stack([design.X, y]).tolist())
    for i in range(B.rows):
        for c in range(B.cols):
            B[i, c] = (B[i, c] - mp.fdot((L[i, k], B[k, c]) for k in range(i))) / L[i, i]
    return B.T * B
