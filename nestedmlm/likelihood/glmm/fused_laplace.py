"""The Laplace approximation's first order in loops, for chains without crossed factors.

Written once: it runs as it stands, and `compiled_laplace` compiles it with the sweeps. The search
for modes before it is `nestedmlm.likelihood.glmm.fused_mode_search`.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from nestedmlm._typing import FloatArray, IntArray
from nestedmlm.families.row_terms import RowTerms
from nestedmlm.likelihood.elimination import Eliminated, Half, mirrored
from nestedmlm.likelihood.elimination.primitives import add_products, add_scaled, scale
from nestedmlm.likelihood.elimination.selected_inverse import select_inverse
from nestedmlm.likelihood.elimination.sweeps import solve_sides
from nestedmlm.likelihood.elimination.visit import lower_triangular
from nestedmlm.likelihood.glmm import fused_mode_search, fused_rows
from nestedmlm.likelihood.glmm.fused_mode_search import (
    FOUND,
    eliminate_at,
    fused_modes,
    stacked,
    times_vector,
)
from nestedmlm.likelihood.glmm.fused_rows import dispersion_constant, row_codes
from nestedmlm.likelihood.glmm.glmm_model import GlmmModel
from nestedmlm.likelihood.glmm.laplace import Approximation, Slopes, dispersion_slopes
from nestedmlm.likelihood.glmm.modes import Modes
from nestedmlm.statistics.forest import Block

MOST_ROWS = 50_000  # rows up to which loops are faster than vectors


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


class FirstOrder(NamedTuple):
    """Modes, elimination and derivatives, as `fused_first_order` returns them.

    Status, steps, B, b, eta, terms and value are those of `fused_modes`; logdet, NaN without a
    positive definite information, to BB those of `eliminate_at` at the modes. S is the Schur
    complement of F; d and change are those of `Answer`, M and of_gamma those of `Slopes`.
    """

    status: int
    steps: int
    B: FloatArray
    b: FloatArray
    eta: FloatArray
    terms: FloatArray
    value: float
    logdet: float
    panels_before: FloatArray
    panels: FloatArray
    N: FloatArray
    H: FloatArray
    right: FloatArray
    effects: FloatArray
    own: FloatArray
    info: FloatArray
    BB: FloatArray
    F: FloatArray
    S: FloatArray
    d: FloatArray
    change: FloatArray
    M: FloatArray
    of_gamma: FloatArray


def applies(model: GlmmModel) -> bool:
    """Whether loops know the family and repay, and nothing is crossed or cut into blocks."""
    products = model.products
    if len(model.y) > MOST_ROWS or len(products.sums) > 1:
        return False
    nested = products.empty.crossed is None and len(products.empty.blocks) == 1
    return nested and row_codes(model.family) is not None


@cache
def compiled_laplace() -> Any:
    """The functions of this module, compiled at their first call."""
    from nestedmlm.likelihood.elimination.compiled import compiled_copies  # Numba loads late

    modules = (fused_rows, fused_mode_search, sys.modules[__name__])
    return compiled_copies(*modules, called=("fused_first_order",))


def first_order(
    run: Any, model: GlmmModel, T: FloatArray, gamma: FloatArray, dispersion: float, B: FloatArray,
    *, effects: bool = True,
) -> tuple[Approximation, Slopes]:  # fmt: skip
    """The Laplace approximation and its derivatives, in loops.

    Parameters
    ----------
    run : module or namespace
        With `fused_first_order`: this module, or `compiled_laplace()`.
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
    products = model.products
    (block,) = products.blocks[len(gamma) + 1 if effects else 1]
    found = FirstOrder(*_caller(run, model, dispersion, block)(T, gamma, B))
    if found.status != FOUND:
        raise np.linalg.LinAlgError("the conditional modes were not found")
    if not math.isfinite(found.logdet):
        raise np.linalg.LinAlgError("the information at the modes is not positive definite")
    none = np.empty(0)
    modes = Modes(
        gamma=gamma, B=found.B, u=model.spherical(T, found.B), b=found.b, eta=found.eta,
        rows=RowTerms(none, *found.terms), penalised=found.value, steps=found.steps,
    )  # fmt: skip
    half = Half(
        panels=found.panels, N=found.N, H=found.H, B=found.right, b=found.effects, own=found.own,
        cross=none, Hc=none,
    )  # fmt: skip
    state = Eliminated(
        logdet=found.logdet, S=found.S, info=found.info, BB=found.BB, chain=(half,), dense=None
    )
    at = Approximation(
        value=float(found.value - 2.0 * model.constant + found.logdet),
        modes=modes,
        stats=replace(
            products.empty, blocks=(replace(block, panels=found.panels_before),), F=found.F
        ),
        state=mirrored(state, model.parts),
    )
    slope, curvature = dispersion_slopes(model, modes, dispersion, found.d, found.change)
    return at, Slopes(
        M=found.M, gamma=found.of_gamma, log_dispersion=slope, dispersion_curvature=curvature
    )


def gradients_on_both_sides(
    run: Any, model: GlmmModel, T: FloatArray, gamma: FloatArray, B: FloatArray, near: FloatArray
) -> tuple[FloatArray, FloatArray] | None:
    """Derivatives in ``T_f T_f'`` and in gamma at pairs of points on both sides of one.

    Second derivatives are their differences. What `first_order` makes of a point for others takes
    as long as a small model's loops, and is left out.

    Parameters
    ----------
    run, model
        As of `first_order`; a family without a dispersion.
    T, gamma : (m, 2, squares) and (m, 2, p) arrays
        The pairs: relative factors, and fixed effects in orthonormal columns.
    B : (q,) array
        Of the modes at the point between.
    near : (m, q) array
        B nearly of the first of each pair; the second starts opposite to what is found there.

    Returns
    -------
    M, of_gamma : arrays like T and gamma
        As in `Slopes`; None if modes are not found from there.
    """
    (block,) = model.products.blocks[1]
    call = _caller(run, model, model.family.value_of(None), block)
    M, of_gamma = np.empty_like(T), np.empty_like(gamma)
    for i, start in enumerate(near):
        for side in range(2):
            there = FirstOrder(*call(T[i, side], gamma[i, side], start))
            if there.status != FOUND or not math.isfinite(there.logdet):
                return None
            M[i, side], of_gamma[i, side] = there.M, there.of_gamma
            start = 2.0 * B - there.B
    return M, of_gamma


def _caller(run: Any, model: GlmmModel, dispersion: float, block: Block) -> Callable[..., Any]:
    """`fused_first_order` as a function of T, gamma and the B to start from."""
    products, codes = model.products, row_codes(model.family)
    assert codes is not None
    (one,), (sums,), (forms,) = products.blocks[1], products.sums, products.forms
    rows = Rows(
        *codes, model.family.is_canonical, dispersion,
        dispersion_constant(codes[0], model.y, model.weights, dispersion), model.y, model.weights,
    )  # fmt: skip
    maps = (sums, forms, products.Z, products.Zt)
    sparse = [Sparse(m.indptr, m.indices, m.data) for m in maps]

    def call(T: FloatArray, gamma: FloatArray, B: FloatArray) -> Any:
        return run.fused_first_order(
            rows, model.offset, products.X.T, gamma, one.shape, block.shape, one.starts, one.parent,
            *sparse, products.twice, lower_triangular(T, model.parts), B, model.one_information,
        )  # fmt: skip

    return call


def fused_first_order(
    rows: Any, offset: Any, Xt: Any, gamma: Any, s1: Any, s: Any, starts: Any, parent: Any,
    sums: Any, forms: Any, Z: Any, Zt: Any, twice: Any, T: Any, start: Any, one: bool,
) -> Any:  # fmt: skip
    """The modes, the elimination there and the derivatives of the approximation.

    Parameters
    ----------
    rows : Rows
    offset : (n,) array
    Xt : (p, n) array
    gamma : (p,) array
    s1, s : Shape
        With one right-hand side, and with those of the elimination at the modes: the working
        response, after the columns of X if it has p + 1.
    starts, parent, sums, Z, Zt, T, start
        As for `fused_modes`.
    forms, twice
        As in `Reweighting`.
    one : bool
        Whether log|M| has the weights of Newton's method.

    Returns
    -------
    tuple
        As `FirstOrder` names it.
    """
    n, r = offset.shape[0], s.r
    fixed = offset.copy()
    for j in range(Xt.shape[0]):
        add_scaled(fixed, gamma[j], Xt[j])
    modes = fused_modes(rows, s1, starts, parent, sums, Z, Zt, T, fixed, start)
    B, eta, terms = modes[2], modes[4], modes[5]
    w, w1 = terms[1 if one else 3], terms[2 if one else 4]
    R, F = np.empty((r, n)), np.zeros((r, r))
    for i in range(n):
        R[r - 1, i] = w[i] * (eta[i] - fixed[i]) + terms[0, i]
    for j in range(r - 1):
        scale(R[j], w, Xt[j])
    add_products(F[: r - 1], 1.0, Xt[: r - 1], R)
    S = F.copy()
    found = eliminate_at(s, starts, parent, sums, Zt, T, w, R, S)
    logdet, panels0, panels, N, H, right, effects, own, info, BB = found
    d, v, change = np.zeros(n), np.zeros((1, n)), np.zeros(n)
    B_c, a = np.zeros(start.shape[0]), np.zeros(start.shape[0])
    M, of_gamma = info.copy(), np.zeros((Xt.shape[0], 1))
    if math.isfinite(logdet):
        P = np.empty(twice.shape[0])
        select_inverse(s, parent, N, H, P)
        for i in range(P.shape[0]):
            P[i] *= twice[i]
        times_vector(forms, P, d)
        for i in range(n):
            v[0, i] = w1[i] * d[i]
        if one:  # the elimination at the modes is that of their answer
            x = np.empty(start.shape[0])
            fill_side(s, Zt, v[0], x)
            solved, moved = np.empty(start.shape[0]), np.empty(start.shape[0])
            solve_sides(s, starts, parent, panels, N, H, x, solved, moved)
        else:
            other = eliminate_at(s1, starts, parent, sums, Zt, T, terms[1], v, np.zeros((1, 1)))
            solved, moved = other[5], other[6]
            if not math.isfinite(other[0]):
                logdet = np.nan
        stacked(s1, solved, B_c)
        stacked(s1, moved, a)
        times_vector(Z, a, change)
        add_scores(s, B, B_c, M)
        for i in range(n):
            v[0, i] -= terms[1, i] * change[i] + 2.0 * terms[0, i]
        add_products(of_gamma, 1.0, Xt, v)
    return (
        *modes, logdet, panels0, panels, N, H, right, effects, own, info, BB, F, S, d, change, M,
        of_gamma[:, 0].copy(),
    )  # fmt: skip


def fill_side(s: Any, Zt: Any, x: Any, out: Any) -> None:
    """``Z'x`` by factor, column and level."""
    first = 0
    for i in range(s.K.shape[0]):
        k, levels = s.K[i], s.J[i]
        for j in range(levels):
            for a in range(k):
                row, total = first + j * k + a, 0.0
                for e in range(Zt.start[row], Zt.start[row + 1]):
                    total += Zt.value[e] * x[Zt.column[e]]
                out[first + a * levels + j] = total
        first += k * levels


def add_scores(s: Any, B: Any, B_c: Any, M: Any) -> None:
    """Add ``(B_c B' + B B_c') / 2 - BB'`` to the lower triangle of each factor; fill the upper."""
    first = 0
    for i in range(s.K.shape[0]):
        k, square = s.K[i], s.square[i]
        for a in range(k):
            for c in range(a + 1):
                total = M[square + a * k + c]
                for row in range(first, first + k * s.J[i], k):
                    b, other = B[row + a], B[row + c]
                    total += 0.5 * (B_c[row + a] * other + b * B_c[row + c]) - b * other
                M[square + a * k + c] = M[square + c * k + a] = total
        first += k * s.J[i]
