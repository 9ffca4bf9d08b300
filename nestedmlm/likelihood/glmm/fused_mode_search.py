"""Conditional modes in loops, for chains without crossed factors; they run as they stand.

The steps and their decisions are those of `nestedmlm.likelihood.glmm.modes`.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from nestedmlm.likelihood.elimination.sweeps import go_down, go_up
from nestedmlm.likelihood.glmm.fused_rows import fill_rows

NEAR, THERE = 1e-11, 1e-22  # as in `modes`: of the last step of Newton's method, of any other
MOST = 200  # steps
FISHER = 2  # steps before Newton's method where the information is not positive
LEAST = 1e-8  # share of a step
LEVEL = 1e-11  # share of the criterion that is no rise
FOUND, LOST = range(2)


def times_vector(A: Any, x: Any, out: Any) -> None:
    """``out = A x``."""
    for i in range(out.shape[0]):
        total = 0.0
        for j in range(A.start[i], A.start[i + 1]):
            total += A.value[j] * x[A.column[j]]
        out[i] = total


def place(
    rows: Any, s: Any, T: Any, Z: Any, fixed: Any, B: Any, b: Any, eta: Any, terms: Any
) -> float:
    """Fill b, eta and the rows' terms at B; return the penalised criterion."""
    size, at = 0.0, 0
    u = np.empty(b.shape[0])
    for i in range(s.K.shape[0]):
        k, square = s.K[i], s.square[i]
        for _ in range(s.J[i]):
            for c in range(k):
                u[at + c] = 0.0
                for r in range(k):
                    u[at + c] += T[square + r * k + c] * B[at + r]
                size += u[at + c] ** 2
            for r in range(k):
                b[at + r] = 0.0
                for c in range(k):
                    b[at + r] += T[square + r * k + c] * u[at + c]
            at += k
    times_vector(Z, b, eta)
    for i in range(eta.shape[0]):
        eta[i] += fixed[i]
    density = fill_rows(rows.family, rows.link, rows.dispersion, rows.y, rows.a, eta, terms)
    value: float = size - 2.0 * (density + rows.constant)
    return value


def length_of(s: Any, T: Any, B: Any, other: Any) -> float:
    """Squared length of the change of u, and of u, from `other` to B."""
    change, size, at = 0.0, 0.0, 0
    for i in range(s.K.shape[0]):
        k, square = s.K[i], s.square[i]
        for _ in range(s.J[i]):
            for c in range(k):
                d, u = 0.0, 0.0
                for r in range(k):
                    d += T[square + r * k + c] * (B[at + r] - other[at + r])
                    u += T[square + r * k + c] * other[at + r]
                change += d * d
                size += u * u
            at += k
    return change / (1.0 + size)


def fill_panels(s: Any, sums: Any, Zt: Any, w: Any, R: Any, panels: Any) -> None:
    """Fill the panels at weights w, with the weighted right-hand sides R, (r, n)."""
    entry, first = 0, 0
    for i in range(s.K.shape[0]):
        k, own, levels = s.K[i], s.K[i] + s.A[i], s.J[i]
        P = panels[s.panel[i] : s.panel[i + 1]].reshape(k, own + s.r, levels)
        for a in range(k):
            for c in range(own):
                for j in range(levels):
                    total = 0.0
                    for x in range(sums.start[entry], sums.start[entry + 1]):
                        total += sums.value[x] * w[sums.column[x]]
                    P[a, c, j] = total
                    entry += 1
        for j in range(levels):
            for a in range(k):
                row = first + j * k + a
                for c in range(s.r):
                    total = 0.0
                    for x in range(Zt.start[row], Zt.start[row + 1]):
                        total += Zt.value[x] * R[c, Zt.column[x]]
                    P[a, own + c, j] = total
        first += k * levels


def eliminate_at(
    s: Any, starts: Any, parent: Any, sums: Any, Zt: Any, T: Any, w: Any, R: Any, S: Any
) -> Any:
    """The elimination at weights: log|M|, panels before and after, and what the sweeps fill."""
    m, squares = s.K.shape[0], T.shape[0]
    panels0 = np.empty(s.panel[m])
    fill_panels(s, sums, Zt, w, R, panels0)
    panels = panels0.copy()
    N, H = np.empty(s.root[m]), np.empty(s.half[m])
    B, b, own = np.empty(s.right[m]), np.empty(s.right[m]), np.empty(s.root[m])
    info, BB = np.zeros(squares), np.zeros((squares, s.r, s.r))
    logdet = go_up(s, starts, T, panels, N, H, S)
    if math.isfinite(logdet):
        go_down(s, parent, panels, N, H, B, b, info, BB, own)
    return logdet, panels0, panels, N, H, B, b, own, info, BB


def stacked(s: Any, B: Any, out: Any) -> None:
    """One right-hand side's solution, by factor, column and level, level after level."""
    first = 0
    for i in range(s.K.shape[0]):
        k, levels = s.K[i], s.J[i]
        for j in range(levels):
            for a in range(k):
                out[first + j * k + a] = B[first + a * levels + j]
        first += k * levels


def fused_modes(
    rows: Any, s: Any, starts: Any, parent: Any, sums: Any, Z: Any, Zt: Any, T: Any, fixed: Any,
    start: Any,
) -> Any:  # fmt: skip
    """Find the conditional modes.

    Parameters
    ----------
    rows : Rows
    s, starts, parent
        Of the block, with one right-hand side.
    sums, Z, Zt : Sparse
    T : flat array
        Lower triangular.
    fixed : (n,) array
        Linear predictor without random effects.
    start : (q,) array

    Returns
    -------
    status, steps, B, b, eta, terms, value
    """
    n, q = fixed.shape[0], start.shape[0]
    B, there = start.copy(), start.copy()
    b, eta, terms = np.zeros(q), np.zeros(n), np.zeros((5, n))
    b1, eta1, terms1 = np.zeros(q), np.zeros(n), np.zeros((5, n))
    target, R = np.zeros(q), np.zeros((1, n))
    value = place(rows, s, T, Z, fixed, B, b, eta, terms)
    if not math.isfinite(value):
        B[:] = 0.0
        value = place(rows, s, T, Z, fixed, B, b, eta, terms)
    if not math.isfinite(value):
        return LOST, 0, B, b, eta, terms, value
    for count in range(1, MOST + 1):
        positive = rows.canonical or terms[1].min() > 0.0
        newton = positive or count > FISHER
        taken, share = False, 1.0
        for _ in range(2):
            w = terms[1] if newton else terms[3]
            for i in range(n):
                R[0, i] = w[i] * (eta[i] - fixed[i]) + terms[0, i]
            S = np.zeros((1, 1))
            found = eliminate_at(s, starts, parent, sums, Zt, T, w, R, S)
            usable = math.isfinite(found[0])
            if usable:
                stacked(s, found[5], target)
                for i in range(q):
                    usable = usable and math.isfinite(target[i])
            share = 1.0
            while usable and not taken and share >= LEAST:
                for i in range(q):
                    there[i] = B[i] + share * (target[i] - B[i])
                value1 = place(rows, s, T, Z, fixed, there, b1, eta1, terms1)
                taken = value1 <= value + LEVEL * (abs(value) + 1.0)
                if not taken:
                    share *= 0.5
            if usable and not taken and length_of(s, T, there, B) <= THERE:
                return FOUND, count, B, b, eta, terms, value
            if taken or not newton or positive:
                break
            newton = False
        if not taken:
            return LOST, count, B, b, eta, terms, value
        moved = length_of(s, T, there, B)
        B, there = there, B
        b, b1, eta, eta1, terms, terms1, value = b1, b, eta1, eta, terms1, terms, value1
        if moved <= (NEAR if newton and share == 1.0 else THERE):
            return FOUND, count, B, b, eta, terms, value
    return LOST, MOST, B, b, eta, terms, value
