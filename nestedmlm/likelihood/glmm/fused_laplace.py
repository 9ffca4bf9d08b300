"""Modes and the Laplace approximation's first order in loops, for chains without crossed factors.

Written once: it runs as it stands, and `compiled_laplace` compiles it with the sweeps. The steps
and their decisions are those of `nestedmlm.likelihood.glmm.modes`.
"""

from __future__ import annotations

import math
import sys
from dataclasses import replace
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from nestedmlm._typing import FloatArray, IntArray
from nestedmlm.families.row_terms import RowTerms
from nestedmlm.likelihood.elimination import Eliminated, Half, mirrored
from nestedmlm.likelihood.elimination.selected_inverse import select_inverse
from nestedmlm.likelihood.elimination.sweeps import go_down, go_up
from nestedmlm.likelihood.elimination.visit import lower_triangular
from nestedmlm.likelihood.glmm import fused_rows
from nestedmlm.likelihood.glmm.fused_rows import dispersion_constant, fill_rows, row_codes
from nestedmlm.likelihood.glmm.glmm_model import GlmmModel
from nestedmlm.likelihood.glmm.laplace import Answer, Approximation, Slopes, slopes_of
from nestedmlm.likelihood.glmm.modes import Modes

NEAR, THERE = 1e-11, 1e-22  # as in `modes`: of the last step of Newton's method, of any other
MOST = 200  # steps
FISHER = 2  # steps before Newton's method where the information is not positive
LEAST = 1e-8  # share of a step
LEVEL = 1e-11  # share of the criterion that is no rise
MOST_ROWS = 50_000  # rows up to which loops are faster than vectors
FOUND, LOST = range(2)


class Sparse(NamedTuple):
    """A sparse matrix by rows."""

    start: IntArray
    column: IntArray
    value: FloatArray


class Rows(NamedTuple):
    """Rows of a model: codes of family and link, dispersion, responses, weights."""

    family: int
    link: int
    canonical: bool
    dispersion: float
    constant: float
    y: FloatArray
    a: FloatArray


def applies(model: GlmmModel) -> bool:
    """Whether loops know the family and repay, and nothing is crossed or cut into blocks."""
    products = model.products
    if len(model.y) > MOST_ROWS:
        return False
    nested = products.empty.crossed is None and len(products.empty.blocks) == 1
    return nested and row_codes(model.family) is not None


@cache
def compiled_laplace() -> Any:
    """The functions of this module, compiled at their first call."""
    from nestedmlm.likelihood.elimination.compiled import compiled_copies  # Numba loads late

    called = ("fused_modes", "fused_slopes")
    return compiled_copies(fused_rows, sys.modules[__name__], called=called)


def first_order(
    run: Any, model: GlmmModel, T: FloatArray, gamma: FloatArray, dispersion: float, B: FloatArray,
    *, effects: bool = True,
) -> tuple[Approximation, Slopes]:  # fmt: skip
    """The Laplace approximation and its derivatives, in loops.

    Parameters
    ----------
    run : module or namespace
        With `fused_modes` and `fused_slopes`: this module, or `compiled_laplace()`.
    model : GlmmModel
        One that `applies`.
    T, gamma, dispersion, B
        As of `nestedmlm.likelihood.glmm.modes.find_modes`.
    effects : bool
        As of `nestedmlm.likelihood.glmm.laplace.laplace`.

    Returns
    -------
    Approximation, Slopes

    Raises
    ------
    numpy.linalg.LinAlgError
        If there are no modes, or an information is not positive definite there.
    """
    products, codes = model.products, row_codes(model.family)
    assert codes is not None
    r = len(gamma) + 1 if effects else 1
    (one,), (block,) = products.blocks[1], products.blocks[r]
    rows = Rows(
        *codes, model.family.is_canonical, dispersion,
        dispersion_constant(codes[0], model.y, model.weights, dispersion), model.y, model.weights,
    )  # fmt: skip
    lower = lower_triangular(T, model.parts)
    sums, forms, Z, Zt = (
        Sparse(m.indptr, m.indices, m.data)
        for m in (products.sums, products.forms, products.Z, products.Zt)
    )
    fixed = model.predictor(gamma)
    status, steps, B, b, eta, found, value = run.fused_modes(
        rows, one.shape, one.starts, one.parent, sums, Z, Zt, lower, fixed, B
    )
    if status != FOUND:
        raise np.linalg.LinAlgError("the conditional modes were not found")
    u = model.spherical(T, B)
    none = np.empty(0)
    terms = RowTerms(none, *found)
    modes = Modes(gamma=gamma, B=B, u=u, b=b, eta=eta, rows=terms, penalised=value, steps=steps)
    w, w1 = (terms.h, terms.h1) if model.one_information else (terms.w, terms.w1)
    R, F = np.empty((r, len(eta))), np.zeros((r, r))
    R[-1] = w * (eta - fixed) + terms.g
    if effects:
        np.multiply(products.X.T, w, out=R[:-1])
        F[:-1] = products.X.T @ R.T
    S = F.copy()
    swept, *answer = run.fused_slopes(
        block.shape, one.shape, one.starts, one.parent, sums, forms, Z, Zt, products.twice, lower,
        found, w, w1, R, S,
    )  # fmt: skip
    logdet, panels0, panels, N, H, Bs, bs, own, info, BB = swept
    if not math.isfinite(logdet) or not len(answer[-1]):
        raise np.linalg.LinAlgError("the information at the modes is not positive definite")
    half = Half(panels=panels, N=N, H=H, B=Bs, b=bs, own=own, cross=none, Hc=none)
    state = Eliminated(logdet=logdet, S=S, info=info, BB=BB, chain=(half,), dense=None)
    at = Approximation(
        value=float(value - 2.0 * model.constant + logdet),
        modes=modes,
        stats=replace(products.empty, blocks=(replace(block, panels=panels0),), F=F),
        state=mirrored(state, model.parts),
    )
    return at, slopes_of(model, at, Answer(*answer), dispersion)


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


def stacked(s: Any, B: Any, column: int, out: Any) -> None:
    """One right-hand side's solution, level after level."""
    first = 0
    for i in range(s.K.shape[0]):
        k, levels = s.K[i], s.J[i]
        own = B[s.right[i] : s.right[i + 1]].reshape(k, s.r, levels)
        for j in range(levels):
            for a in range(k):
                out[first + j * k + a] = own[a, column, j]
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
                stacked(s, found[5], 0, target)
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


def fused_slopes(
    s: Any, s1: Any, starts: Any, parent: Any, sums: Any, forms: Any, Z: Any, Zt: Any, twice: Any,
    T: Any, terms: Any, w: Any, w1: Any, R: Any, S: Any,
) -> Any:  # fmt: skip
    """The elimination at the modes, the rows' variances and the modes' answer to their slopes.

    Parameters
    ----------
    s, s1 : Shape
        With the right-hand sides R, and with one.
    starts, parent, sums, Z, Zt, T
        As for `fused_modes`.
    forms, twice
        As in `Reweighting`.
    terms, w, w1 : arrays
        Rows' terms at the modes; weights of log|M| and their slopes.
    R, S : (r, n) and (r, r) arrays
        Weighted right-hand sides, and their products; S becomes the Schur complement.

    Returns
    -------
    tuple
        What `eliminate_at` returns, d, c, ``Za`` and ``B_c``; with a log|M| of NaN, or an empty
        ``B_c``, where an information is not positive definite.
    """
    n, q = w.shape[0], Zt.start.shape[0] - 1
    d, c, change, B_c, a = np.zeros(n), np.zeros(n), np.zeros(n), np.zeros(q), np.zeros(q)
    found = eliminate_at(s, starts, parent, sums, Zt, T, w, R, S)
    if math.isfinite(found[0]):
        P = np.empty(sums.start.shape[0] - 1)
        select_inverse(s, parent, found[3], found[4], P)
        for i in range(P.shape[0]):
            P[i] *= twice[i]
        times_vector(forms, P, d)
        right = np.zeros((1, n))
        for i in range(n):
            c[i] = w1[i] * d[i]
            right[0, i] = c[i]
        other = np.zeros((1, 1))
        second = eliminate_at(s1, starts, parent, sums, Zt, T, terms[1], right, other)
        if math.isfinite(second[0]):
            stacked(s1, second[5], 0, B_c)
            stacked(s1, second[6], 0, a)
            times_vector(Z, a, change)
        else:
            B_c = np.zeros(0)
    return found, d, c, change, B_c
