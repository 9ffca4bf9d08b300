"""Slow, obvious twins of Satterthwaite's and Kenward and Roger's methods: dense, n x n."""

from __future__ import annotations

from typing import Any

import numpy as np

from nestedmlm.likelihood.plan import flat_of_theta, make_plan
from nestedmlm.statistics.crossproducts import cross_products


def dense_parts(d: Any, stats: Any, plan: Any, T: np.ndarray, directions: Any) -> Any:
    """V relative to sigma^2, its derivative in each direction, and ``W^{-1}``."""
    w = np.ones(d.n) if d.weights is None else d.weights
    V, at, Z = np.diag(1.0 / w), 0, []
    for f, (terms, K) in enumerate(zip(plan.factors, plan.widths, strict=True)):
        factor = d.factors[stats.factors[f]]
        X = np.hstack([d.terms[t].X @ stats.transforms[t] for t in terms])
        J = factor.effects
        basis = np.eye(J) if factor.basis is None else factor.basis
        block = np.zeros((d.n, J * K))
        for row, code in enumerate(factor.codes):
            block[row] = np.kron(basis[code], X[row])
        own = T[at : at + K * K].reshape(K, K)
        at += K * K
        V = V + block @ np.kron(np.eye(J), own @ own.T) @ block.T
        Z.append((block, J))
    moved = [
        Z[f][0] @ np.kron(np.eye(Z[f][1]), E) @ Z[f][0].T
        for f, E in zip(directions.factor, directions.matrices, strict=True)
    ]
    return V, moved, np.diag(1.0 / w)


def kenward_roger(fit: Any, directions: Any, L: np.ndarray) -> tuple[np.ndarray, float, float]:
    """Adjusted covariance, denominator df and scaling, from the formulas of the paper.

    The components are sigma^2 and the directions; everything in units of y.
    """
    d, s = fit.design, fit.solution
    stats = cross_products(d)
    plan = make_plan(d, stats)
    V, moved, R = dense_parts(d, stats, plan, flat_of_theta(fit.theta, plan, stats), directions)
    X, Vi = d.X, np.linalg.inv(s.sigma**2 * V)
    G = [R, *moved]
    Phi = np.linalg.inv(X.T @ Vi @ X)
    P = [-X.T @ Vi @ g @ Vi @ X for g in G]
    Q = [[X.T @ Vi @ g @ Vi @ h @ Vi @ X for h in G] for g in G]
    m = len(G)
    IE = np.array(
        [
            [
                np.trace(Vi @ G[r] @ Vi @ G[t])
                - 2 * np.trace(Phi @ Q[r][t])
                + np.trace(Phi @ P[r] @ Phi @ P[t])
                for t in range(m)
            ]
            for r in range(m)
        ]
    )
    W = 2 * np.linalg.inv(IE)
    inner = sum(W[r, t] * (Q[r][t] - P[r] @ Phi @ P[t]) for r in range(m) for t in range(m))
    adjusted = Phi + 2 * Phi @ inner @ Phi
    q = len(L)
    Theta = L.T @ np.linalg.solve(L @ Phi @ L.T, L)
    M = [Theta @ Phi @ p @ Phi for p in P]
    A1 = sum(W[r, t] * np.trace(M[r]) * np.trace(M[t]) for r in range(m) for t in range(m))
    A2 = sum(W[r, t] * np.trace(M[r] @ M[t]) for r in range(m) for t in range(m))
    E, B = 1 / (1 - A2 / q), (A1 + 6 * A2) / (2 * q)
    g = ((q + 1) * A1 - (q + 4) * A2) / ((q + 2) * A2)
    base = 3 * q + 2 * (1 - g)
    V_star = 2 / q * (1 + g / base * B)
    V_star /= (1 - (q - g) / base * B) ** 2 * (1 - (q + 2 - g) / base * B)
    rho = V_star / (2 * E**2)
    df = 4 + (q + 2) / (q * rho - 1)
    return adjusted, df, df / (E * (df - 2))


def deviance(d: Any, T: np.ndarray, sigma: float, *, REML: bool) -> float:
    """-2 (restricted) log-likelihood at relative factors T (scaled columns) and sigma."""
    stats = cross_products(d)
    plan = make_plan(d, stats)
    V, _, _ = dense_parts(d, stats, plan, T, _nothing())
    V = sigma**2 * V
    y = d.y if d.offset is None else d.y - d.offset
    C = np.linalg.cholesky(V)
    X, y = np.linalg.solve(C, d.X), np.linalg.solve(C, y)
    beta = np.linalg.lstsq(X, y, rcond=None)[0]
    out = 2 * np.sum(np.log(np.diag(C))) + np.sum((y - X @ beta) ** 2)
    if REML:
        out += np.linalg.slogdet(X.T @ X)[1]
    return float(out)


def covariance(d: Any, T: np.ndarray, sigma: float) -> np.ndarray:
    """Covariance of the fixed effects at T and sigma."""
    stats = cross_products(d)
    plan = make_plan(d, stats)
    V, _, _ = dense_parts(d, stats, plan, T, _nothing())
    return sigma**2 * np.linalg.inv(d.X.T @ np.linalg.solve(V, d.X))


def _nothing() -> Any:
    from nestedmlm.inference.variances.directions import Directions

    return Directions(factor=np.zeros(0, dtype=np.int64), matrices=())
