"""Recompute a fit from its capsule: NumPy and nothing else.

    python verifier.py m17.json

reads formula, relative covariance factors and sums over rows, and prints criterion, gradient,
fixed effects and standard errors beside those in the file. It imports nothing of the library that
made the file. The mathematics is that of Bates, Maechler, Bolker & Walker (2015), Journal of
Statistical Software 67(1), equations 13 to 42, with dense matrices.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np


def cell_sums(statistics: dict[str, Any]) -> np.ndarray:
    """``sum w z c'`` of each cell, (cells, kz, d), in the basis."""
    kz, d = statistics["kz"], len(statistics["basis"])
    packed = np.array(statistics["cells"]["products"], dtype=float)
    out = np.zeros((packed.shape[1], kz, d))
    places = [(a, b) for a in range(kz) for b in range(a, d)]
    for row, (a, b) in zip(packed, places, strict=True):
        out[:, a, b] = row
        if b < kz:
            out[:, b, a] = row
    return out


def least_squares(R: np.ndarray, F: np.ndarray, fixed: list[int]) -> tuple[np.ndarray, ...]:
    """X and the response without its least-squares fit, in the basis, and the coefficients."""
    X, e, beta = R[:, fixed], R[:, -1], np.zeros(len(fixed))
    for _ in range(2):  # the second round removes the rounding of the first
        step = np.linalg.solve(X.T @ F @ X, X.T @ F @ e) if fixed else beta
        e, beta = e - X @ step, beta + step
    return X, e, beta


def recompute(capsule: dict[str, Any]) -> dict[str, Any]:
    """Criterion, its gradient in theta, fixed effects, standard errors and sigma."""
    s, terms, fixed = capsule["statistics"], capsule["terms"], capsule["fixed"]["places"]
    R, F, P = np.array(s["basis"]), np.array(s["total"]), cell_sums(s)
    F, kz, p = 0.5 * (F + F.T), s["kz"], len(fixed)
    X, e, beta0 = least_squares(R, F, fixed)
    C = np.column_stack([X, e])
    # Z'WZ, Z'W[X e] and L = Lambda, term by term and cell by cell
    codes = [np.array(s["cells"]["groups"][t["group"]]) for t in terms]
    sizes = [(int(c.max()) + 1) * len(t["T"]) for c, t in zip(codes, terms, strict=True)]
    *starts, q = np.concatenate([[0], np.cumsum(sizes)]).astype(int)
    A, B, L = np.zeros((q, q)), np.zeros((q, p + 1)), np.zeros((q, q))
    rows = [
        start + code[:, None] * len(t["T"]) + np.arange(len(t["T"]))
        for start, code, t in zip(starts, codes, terms, strict=True)
    ]
    for t, at in zip(terms, rows, strict=True):
        left = R[:kz, t["places"]].T @ P
        np.add.at(B, at, left @ C)
        for other, to in zip(terms, rows, strict=True):
            np.add.at(A, (at[:, :, None], to[:, None]), left[:, :, :kz] @ R[:kz, other["places"]])
    for t, start, size in zip(terms, starts, sizes, strict=True):
        own = slice(start, start + size)
        L[own, own] = np.kron(np.eye(size // len(t["T"])), np.array(t["T"]))
    M = L.T @ A @ L + np.eye(len(A))
    u = np.linalg.solve(M, L.T @ B)
    S = C.T @ F @ C - (L.T @ B).T @ u
    n_df = s["n"] - p if capsule["REML"] else s["n"]
    step = np.linalg.solve(S[:p, :p], S[:p, p])
    rss = float(S[p, p] - S[:p, p] @ step)
    log_det = np.linalg.slogdet(M)[1] + capsule["REML"] * np.linalg.slogdet(S[:p, :p])[1]
    criterion = log_det + n_df * (1.0 + np.log(2.0 * np.pi * rss / n_df)) - s["sum_log_w"]
    # derivative in Lambda, then in theta
    v = np.append(-step, 1.0)
    S_bar = n_df / rss * np.outer(v, v)
    if capsule["REML"]:
        S_bar[:p, :p] += np.linalg.inv(S[:p, :p])
    G = 2.0 * (A @ L @ np.linalg.inv(M) - (B - A @ L @ u) @ S_bar @ u.T)
    gradient = []
    for t, start, size in zip(terms, starts, sizes, strict=True):
        k = len(t["T"])
        levels = range(start, start + size, k)
        total = sum(G[at : at + k, at : at + k] for at in levels)
        gradient += [float(np.sum(total * np.array(slope))) for slope in t["slopes"]]
    sigma2 = rss / n_df
    return {
        "criterion": float(criterion),
        "gradient": gradient,
        "beta": (beta0 + step).tolist(),
        "std_error": np.sqrt(sigma2 * np.diag(np.linalg.inv(S[:p, :p]))).tolist(),
        "sigma": float(np.sqrt(sigma2)),
    }


def by_name(columns: list[str], numbers: dict[str, Any]) -> dict[str, float]:
    """Criterion, sigma, and each fixed effect with its standard error."""
    named = {"criterion": numbers["criterion"], "sigma": numbers["sigma"]}
    for name, b, se in zip(columns, numbers["beta"], numbers["std_error"], strict=True):
        named |= {name: b, f"{name} std_error": se}
    return named


def in_the_file(capsule: dict[str, Any]) -> dict[str, float]:
    """The numbers that a capsule states, by name."""
    fixed = capsule["fixed"]
    stated = {"beta": fixed["estimate"], "std_error": fixed["std_error"]}
    return by_name(fixed["columns"], {**capsule, **stated})


def report(capsule: dict[str, Any]) -> str:
    """The numbers in the file and those recomputed, as text."""
    found = recompute(capsule)
    lines = [
        f"{capsule['formula']}  ({'REML' if capsule['REML'] else 'maximum likelihood'})",
        f"{'':<32}{'in the file':>18}{'recomputed':>18}",
    ]
    again = by_name(capsule["fixed"]["columns"], found)
    lines += [f"{n:<32}{x:>18.10g}{again[n]:>18.10g}" for n, x in in_the_file(capsule).items()]
    steepest = max(map(abs, found["gradient"]), default=0.0)
    return "\n".join([*lines, f"largest derivative of the criterion in theta: {steepest:.1e}", ""])


if __name__ == "__main__":
    sys.stdout.write(report(json.loads(Path(sys.argv[1]).read_text("utf-8"))))
