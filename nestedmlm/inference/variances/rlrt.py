"""Exact null distribution of the restricted likelihood ratio test of one variance.

Crainiceanu & Ruppert (2004), Journal of the Royal Statistical Society B 66(1), 165-185,
theorem 1: with ``mu`` the eigenvalues of ``Z'P_0 Z`` and lambda the ratio of the tested variance to
the residual one,

    RLRT = sup over lambda >= 0 of  (n - p) log(total / D(lambda)) - sum log(1 + lambda mu_s),
    D(lambda) = sum w_s^2 / (1 + lambda mu_s) + rest,   total = D(0).

With other variances in the model the distribution is that of the model without them (Greven,
Crainiceanu, Kuechenhoff & Peters 2008), an approximation.
"""

from __future__ import annotations

import numpy as np

from nestedmlm._typing import FloatArray
from nestedmlm.design.design import Design
from nestedmlm.errors import MemoryLimitError

_GRID = np.exp(np.linspace(-10.0, 8.0, 200))  # of lambda, in units of the largest eigenvalue
_EQUAL_DIGITS = 10  # digits to which eigenvalues count as equal
_ZERO_SHARE_OF_EIGENVALUE = 1e-10  # of the largest, below which an eigenvalue is zero
_DRAWS_TOGETHER = 2000  # simulated at a time
_MAX_LEVELS = 20_000  # levels whose eigenvalues can be had in memory and minutes


def spectrum(design: Design, term: int) -> tuple[FloatArray, FloatArray, int]:
    """Eigenvalues of ``Z' W^{1/2} P_0 W^{1/2} Z`` for a term with one column.

    Returns
    -------
    mu : (m,) array
        The distinct positive ones, the largest scaled to 1.
    counts : (m,) array
        How often each occurs.
    rest : int
        ``n - p`` less their number.

    Raises
    ------
    MemoryLimitError
        For more than 20,000 levels.
    """
    chosen = design.terms[term]
    codes = design.factors[chosen.factor].codes
    basis = design.factors[chosen.factor].basis
    size = len(design.factors[chosen.factor].levels)
    if size > _MAX_LEVELS:
        raise MemoryLimitError(
            f"the exact test needs the eigenvalues of a {size:,} x {size:,} matrix; "
            "use anova(test='boundary')"
        )
    root = np.ones(design.n) if design.weights is None else np.sqrt(design.weights)
    z = root * chosen.X[:, 0]
    Q, _ = np.linalg.qr(root[:, None] * design.X)
    C = (
        np.vstack([np.bincount(codes, q * z, size) for q in Q.T])
        if design.p
        else np.zeros((0, size))
    )
    M = np.diag(np.bincount(codes, z**2, size)) - C.T @ C
    mu = np.linalg.eigvalsh(M if basis is None else basis.T @ M @ basis)
    mu = mu[mu > _ZERO_SHARE_OF_EIGENVALUE * mu[-1]] / mu[-1]
    values, counts = np.unique(np.round(mu, _EQUAL_DIGITS), return_counts=True)
    return values, counts.astype(float), design.n - design.p - len(mu)


def draw_rlrt(
    mu: FloatArray, counts: FloatArray, rest: int, *, nsim: int, rng: np.random.Generator
) -> FloatArray:
    """Draw from the null distribution.

    Parameters
    ----------
    mu, counts, rest
        From `spectrum`.
    nsim : int
    rng : Generator

    Returns
    -------
    (nsim,) array
        Exact zeros where the supremum is at lambda = 0.
    """
    df = float(counts.sum()) + rest
    shrink = 1.0 / (1.0 + np.outer(mu, _GRID))
    penalty = -(counts @ np.log(shrink))
    out = []
    for start in range(0, nsim, _DRAWS_TOGETHER):
        size = min(_DRAWS_TOGETHER, nsim - start)
        w2 = rng.chisquare(counts, (size, len(mu)))
        left = rng.chisquare(rest, size) if rest > 0 else np.zeros(size)
        total = w2.sum(axis=1) + left
        D = w2 @ shrink + left[:, None]
        out.append(_supremum(df * (np.log(total)[:, None] - np.log(D)) - penalty))
    return np.concatenate(out)


def _supremum(f: FloatArray) -> FloatArray:
    """Largest value on the grid, refined by a parabola through its neighbours; at least 0."""
    best = np.clip(np.argmax(f, axis=1), 1, f.shape[1] - 2)
    rows = np.arange(len(f))
    low, mid, high = f[rows, best - 1], f[rows, best], f[rows, best + 1]
    curvature = 2.0 * mid - low - high
    gain = np.divide(
        (high - low) ** 2, 8.0 * curvature, out=np.zeros_like(mid), where=curvature > 0
    )
    peak = np.where((mid >= low) & (mid >= high), mid + gain, np.maximum(low, high))
    return np.maximum(peak, 0.0)
