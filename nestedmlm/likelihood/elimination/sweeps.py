"""The sweeps of first order: up the chain for log|M| and S, down for their derivatives.

With U upper triangular and ``U U' = I + T'QT`` (its factorisation from the last column), ``N = U^-1
T'`` and ``H = N R``, eliminating a level replaces what remains by ``rest - H'H`` and adds ``log|I +
T'QT|`` to log|M|. Nothing is divided by T, and ``G = T (I + T'QT)^-1 T'`` is never formed: where a
level has fewer rows than columns its entries are of size T^2 and cancel.

Going down gives, per level, ``B = Z'V^-1 [X y]`` and ``Z'V^-1 Z``. Their sums are the derivatives
of both results, whatever the adjoints: ``d log|M| / d(T T') = sum Z'V^-1 Z`` and
``dS / d(T T')[a, b] = -sum B[a]' B[b]``.

T is lower triangular, row-major. The functions run as they stand, or compiled (`compiled`).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from nestedmlm.likelihood.elimination.primitives import (
    add_products,
    add_scaled,
    copy,
    fill,
    invert_root,
    log_total,
    of_parents,
    scale,
    subtract,
    subtract_scaled,
    sum_children,
    total,
)


def half_solve(T: Any, P: Any, N: Any) -> float:
    """Fill ``N = U^-1 T'`` (upper triangular) of every level; return the sum of log determinants.

    Parameters
    ----------
    T : (k * k,) array
        Row-major, lower triangular.
    P : (k, k + w, J) array
        Panels, of which the first k columns are read.
    N : (k, k, J) array
        Only the upper triangle is written.
    """
    k, levels = P.shape[0], P.shape[2]
    U = np.empty((k, k, levels))
    QT = np.empty((k, levels))  # column b of Q T
    det = np.ones(levels)
    for b in range(k - 1, -1, -1):
        scale(QT, T[b * k + b], P[b, :k])
        for j in range(b + 1, k):
            add_scaled(QT, T[j * k + b], P[j, :k])
        for a in range(b + 1):
            u = U[a, b]
            fill(u, 1.0 if a == b else 0.0)
            for i in range(a, k):
                add_scaled(u, T[i * k + a], QT[i])
            for c in range(b + 1, k):
                subtract_scaled(u, U[a, c], U[b, c])
        pivot = U[b, b]
        scale(det, pivot, det)
        invert_root(pivot)  # from here on the diagonal of U holds its reciprocals
        for a in range(b):
            scale(U[a, b], pivot, U[a, b])
    for a in range(k - 1, -1, -1):
        for i in range(a, k):
            n = N[a, i]
            fill(n, T[i * k + a])
            for c in range(a + 1, i + 1):
                subtract_scaled(n, U[a, c], N[c, i])
            scale(n, U[a, a], n)
    return log_total(det)


def upper_times(N: Any, P: Any, low: int, high: int, out: Any) -> None:
    """``out = N P[:, low:high]`` for every level, N upper triangular."""
    k = N.shape[0]
    for a in range(k):
        scale(out[a], N[a, a], P[a, low:high])
        for i in range(a + 1, k):
            add_scaled(out[a], N[a, i], P[i, low:high])


def lower_times(N: Any, X: Any, out: Any) -> None:
    """``out = N' X`` for every level, N upper triangular."""
    for a in range(N.shape[0]):
        scale(out[a], N[a, a], X[a])
        for c in range(a):
            add_scaled(out[a], N[c, a], X[c])


def go_up(s: Any, starts: Any, T: Any, panels: Any, N: Any, H: Any, S: Any) -> float:
    """Eliminate all levels of a block, finest factor first; return its share of log|M|.

    Parameters
    ----------
    s : Shape
    starts : int array
        First child of every level, by the places of `s.level`.
    T : (sum of K^2,) array
    panels : array
        Become the Schur complements at the time of elimination.
    N, H : arrays
        Are filled.
    S : (r, r) array
        What the random effects explain is subtracted.
    """
    m, r, logdet = s.K.shape[0], s.r, 0.0
    update = np.zeros((s.A[0], s.A[0] + r, s.J[0]))  # of what remains, per level, upper triangle
    for i in range(m):
        k, anc, levels = s.K[i], s.A[i], s.J[i]
        w = anc + r
        P = panels[s.panel[i] : s.panel[i + 1]].reshape(k, k + w, levels)
        n = N[s.root[i] : s.root[i + 1]].reshape(k, k, levels)
        h = H[s.half[i] : s.half[i + 1]].reshape(k, w, levels)
        logdet += half_solve(T[s.square[i] : s.square[i + 1]], P, n)
        upper_times(n, P, k, k + w, h)
        for a in range(k):
            add_products(S, -1.0, h[a, anc:], h[a, anc:])
        if i + 1 == m:
            break
        pass_up(h, update)
        sums = sum_children(update, starts[s.level[i + 1] : s.level[i + 2]])
        k1, levels1 = s.K[i + 1], s.J[i + 1]
        update = take_off(panels[s.panel[i + 1] : s.panel[i + 2]].reshape(k1, w, levels1), sums)
    return logdet


def pass_up(h: Any, update: Any) -> None:
    """Add ``H'H`` of the ancestors' rows to what is to be subtracted above (upper triangle)."""
    for x in range(update.shape[0]):
        for a in range(h.shape[0]):
            add_scaled(update[x, x:], h[a, x], h[a, x:])


def take_off(P: Any, sums: Any) -> Any:
    """Subtract from panels what the children explain; return the coarser factors' part."""
    k, w, levels = P.shape[0], P.shape[1], P.shape[2]
    for a in range(k):
        subtract(P[a, a:], sums[a, a:])
        for b in range(a):
            copy(P[a, b], P[b, a])
    rest = np.zeros((sums.shape[0] - k, w - k, levels))
    for x in range(rest.shape[0]):
        copy(rest[x], sums[k + x, k:])
    return rest


def go_down(
    s: Any, parent: Any, panels: Any, N: Any, H: Any, B: Any, b: Any, info: Any, BB: Any,
    own: Any,
) -> None:  # fmt: skip
    """Solve for every level of a block, coarsest factor first; sum what the derivatives need.

    Parameters
    ----------
    s : Shape
    parent : int array
        Parent of every level, by the places of `s.level`.
    panels, N, H : arrays
        As `go_up` left them.
    B, b : arrays
        Are filled: ``Z'V^-1[X y]``, and ``G Z'V^-1[X y]`` with G the covariance ``T T'``.
    info : (sum of K^2,) array
        Gains the lower triangle of ``sum Z'V^-1 Z``.
    BB : (sum of K^2, r, r) array
        Gains ``sum B[a]' B[b]`` for a >= b.
    own : array
        Is filled with each level's ``Z'V^-1 Z`` (lower triangle), by the places of `s.root`.
    """
    m, r = s.K.shape[0], s.r
    above = np.zeros((0, r, s.J[m - 1]))  # b of the ancestors
    inverse = np.zeros((0, 0, s.J[m - 1]))  # their block of Lambda (M)^-1 Lambda'
    for i in range(m - 1, -1, -1):
        k, anc, levels = s.K[i], s.A[i], s.J[i]
        P = panels[s.panel[i] : s.panel[i + 1]].reshape(k, k + anc + r, levels)
        n = N[s.root[i] : s.root[i + 1]].reshape(k, k, levels)
        h = H[s.half[i] : s.half[i + 1]].reshape(k, anc + r, levels)
        Bi = B[s.right[i] : s.right[i + 1]].reshape(k, r, levels)
        bi = b[s.right[i] : s.right[i + 1]].reshape(k, r, levels)
        A = own[s.root[i] : s.root[i + 1]].reshape(k, k, levels)
        NQ = np.empty((k, k, levels))
        upper_times(n, P, 0, k, NQ)
        D, V = np.empty((k, anc, levels)), np.empty((k, anc, levels))
        for a in range(k):
            copy(D[a], P[a, k : k + anc])
            copy(Bi[a], P[a, k + anc :])
            for c in range(k):
                subtract_scaled(D[a], NQ[c, a], h[c, :anc])
                subtract_scaled(Bi[a], NQ[c, a], h[c, anc:])
            fill(V[a], 0.0)
            for x in range(anc):
                subtract_scaled(Bi[a], D[a, x], above[x])
                add_scaled(V[a], D[a, x], inverse[x])
            for c in range(a + 1):
                t = A[a, c]
                copy(t, P[a, c])
                for e in range(k):
                    subtract_scaled(t, NQ[e, a], NQ[e, c])
                for x in range(anc):
                    subtract_scaled(t, V[a, x], D[c, x])
                at = s.square[i] + a * k + c
                info[at] += total(t)
                add_products(BB[at], 1.0, Bi[a], Bi[c])
        z = np.empty((k, r, levels))
        for a in range(k):
            copy(z[a], h[a, anc:])
            for x in range(anc):
                subtract_scaled(z[a], h[a, x], above[x])
        lower_times(n, z, bi)
        if i == 0:
            break
        Y = np.empty((k, anc, levels))
        lower_times(n, h[:, :anc], Y)
        for a in range(k):
            fill(V[a], 0.0)
            for x in range(anc):
                add_scaled(V[a], Y[a, x], inverse[x])
        children = parent[s.level[i - 1] : s.level[i]]
        inverse = of_parents(with_own_inverse(n, Y, V, inverse), children)
        above = of_parents(with_own_rows(bi, above), children)


def solve_sides(
    s: Any, starts: Any, parent: Any, panels: Any, N: Any, H: Any, R: Any, B: Any, b: Any
) -> None:
    """Solve for other right-hand sides at an elimination that is done: up the chain, and down.

    Parameters
    ----------
    s, starts, parent, panels, N, H
        As `go_up` took and left them.
    R, B, b : flat arrays of one size
        (k, n, J) of each factor. R is ``Z'x`` and loses what the levels below explain; B and b are
        filled: ``Z'V^-1 x`` and ``G Z'V^-1 x``.
    """
    m = s.K.shape[0]
    first = np.zeros(m + 1, dtype=np.int64)
    for i in range(m):
        first[i + 1] = first[i] + s.K[i] * s.J[i]
    n = R.shape[0] // first[m]
    first *= n
    half = np.empty(R.shape[0])
    update = np.zeros((s.A[0], n, s.J[0]))  # of what remains, to be subtracted above
    for i in range(m):
        k, anc, levels = s.K[i], s.A[i], s.J[i]
        left = R[first[i] : first[i + 1]].reshape(k, n, levels)
        z = half[first[i] : first[i + 1]].reshape(k, n, levels)
        h = H[s.half[i] : s.half[i + 1]].reshape(k, anc + s.r, levels)
        upper_times(N[s.root[i] : s.root[i + 1]].reshape(k, k, levels), left, 0, n, z)
        if i + 1 == m:
            break
        for x in range(anc):
            for a in range(k):
                add_scaled(update[x], h[a, x], z[a])
        sums = sum_children(update, starts[s.level[i + 1] : s.level[i + 2]])
        k1, levels1 = s.K[i + 1], s.J[i + 1]
        above = R[first[i + 1] : first[i + 2]].reshape(k1, n, levels1)
        for a in range(k1):
            subtract(above[a], sums[a])
        update = sums[k1:]
    over = np.zeros((0, n, s.J[m - 1]))  # b of the ancestors
    for i in range(m - 1, -1, -1):
        k, anc, levels = s.K[i], s.A[i], s.J[i]
        P = panels[s.panel[i] : s.panel[i + 1]].reshape(k, k + anc + s.r, levels)
        q = N[s.root[i] : s.root[i + 1]].reshape(k, k, levels)
        h = H[s.half[i] : s.half[i + 1]].reshape(k, anc + s.r, levels)
        left = R[first[i] : first[i + 1]].reshape(k, n, levels)
        z = half[first[i] : first[i + 1]].reshape(k, n, levels)
        Bi = B[first[i] : first[i + 1]].reshape(k, n, levels)
        bi = b[first[i] : first[i + 1]].reshape(k, n, levels)
        for a in range(k):
            for x in range(anc):
                subtract_scaled(z[a], h[a, x], over[x])
        NQ = np.empty((k, k, levels))
        upper_times(q, P, 0, k, NQ)
        for a in range(k):
            copy(Bi[a], left[a])
            for c in range(k):
                subtract_scaled(Bi[a], NQ[c, a], z[c])
            for x in range(anc):
                subtract_scaled(Bi[a], P[a, k + x], over[x])
        lower_times(q, z, bi)
        if i > 0:
            over = of_parents(with_own_rows(bi, over), parent[s.level[i - 1] : s.level[i]])


def with_own_rows(own: Any, above: Any) -> Any:
    """Rows of a level's own effects on top of its ancestors'."""
    k, anc = own.shape[0], above.shape[0]
    out = np.empty((k + anc, own.shape[1], own.shape[2]))
    for a in range(k):
        copy(out[a], own[a])
    for x in range(anc):
        copy(out[k + x], above[x])
    return out


def with_own_inverse(N: Any, Y: Any, V: Any, inverse: Any) -> Any:
    """``Lambda M^-1 Lambda'`` for a level and its ancestors, (k + anc, k + anc, J).

    With ``Y = N' H`` of the ancestors' columns, P their block and ``V = Y P``:
    ``[N'N + V Y', -V; ., P]``.
    """
    k, anc, levels = Y.shape[0], Y.shape[1], Y.shape[2]
    out = np.empty((k + anc, k + anc, levels))
    for a in range(k):
        for x in range(anc):
            scale(out[a, k + x], -1.0, V[a, x])
            scale(out[k + x, a], -1.0, V[a, x])
        for b in range(a + 1):
            mine = out[a, b]
            scale(mine, N[0, a], N[0, b])
            for c in range(1, b + 1):
                add_scaled(mine, N[c, a], N[c, b])
            for x in range(anc):
                add_scaled(mine, V[a, x], Y[b, x])
            if b < a:
                copy(out[b, a], mine)
    for x in range(anc):
        copy(out[k + x, k:], inverse[x])
    return out
