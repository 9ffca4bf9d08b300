"""Second-order information from the factors of one evaluation.

Hessian of the criterion in phi ~ average information + 2 (M (x) I). The average information is
Gilmour, Thompson & Cullis (1995) with beta and sigma profiled out; the second part is exact, and
supplies the curvature where a column of T is zero.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nestedmlm._typing import FloatArray
from nestedmlm.likelihood.criterion import residual_part
from nestedmlm.likelihood.elimination import working_variates
from nestedmlm.likelihood.plan import (
    Plan,
    jacobian,
    once_per_plan,
    term_columns,
    term_parameters,
    term_places,
)
from nestedmlm.optimum.evaluation import Evaluation
from nestedmlm.statistics.crossproducts import CrossProducts
from nestedmlm.statistics.parts import twice_products

_DIFFERENCE_STEP = 1e-5  # in phi, of derivatives of exact derivatives


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Curvature:
    """Approximate second derivatives.

    Attributes
    ----------
    hessian : (n_theta, n_theta) array
        In phi.
    information : (n, n) array
        Average information in the free entries of all ``T_f T_f'``: those of `free_entries`.
    """

    hessian: FloatArray
    information: FloatArray


def curvature(ev: Evaluation, plan: Plan, stats: CrossProducts, df: float) -> Curvature:
    """Hessian in phi and average information at one evaluation."""
    return curvature_of(average_information(ev, plan, stats, df), ev, plan, stats)


def curvature_of(
    information: FloatArray, ev: Evaluation, plan: Plan, stats: CrossProducts
) -> Curvature:
    """Hessian in phi where the information in the free entries is known."""
    J, places, at = jacobian(ev.phi, plan), diagonal_places(plan), free_entries(plan)
    n, width = J.shape[1], sum(plan.widths)
    dT, T, M = np.zeros((n, width * width)), np.zeros(width * width), np.zeros(width * width)
    dT[:, places], T[places], M[places] = J.T, ev.T, ev.M  # block diagonal, all factors at once
    blocks, square = dT.reshape(n, width, width), (width, width)
    half = (blocks @ T.reshape(square).T).reshape(n, -1)
    D = half[:, at.place] + half[:, at.mirrored]  # rows: d(T T') in the direction of each phi
    M_part = dT @ (M.reshape(square) @ blocks).reshape(n, -1).T
    hessian = D @ information @ D.T + 2.0 * M_part
    if not plan.linear:
        hessian += second_derivatives(ev, plan, stats)
    return Curvature(hessian=hessian, information=information)


@once_per_plan
def diagonal_places(plan: Plan) -> np.ndarray:
    """Where the flat vector's entries stand in one block-diagonal matrix of all factors, flat."""
    width, out, first = sum(plan.widths), [], 0
    for k in plan.widths:
        own = np.arange(first, first + k)
        out.append((own[:, None] * width + own).ravel())
        first += k
    return np.concatenate(out)


def second_derivatives(ev: Evaluation, plan: Plan, stats: CrossProducts) -> FloatArray:
    """``<d criterion / d T, d^2 T / d phi^2>``: what a factor that is not linear in phi adds."""
    weights = twice_products(ev.M, ev.T, stats.parts)
    out = np.zeros((plan.n_theta, plan.n_theta))
    for shape, places, own in zip(
        plan.shapes, term_places(plan), term_parameters(plan), strict=True
    ):
        phi, block = ev.phi[own], out[own, own]
        # standard deviations multiply rows: their own second derivatives vanish
        for i in range(shape.count - len(shape.structure.parameters(shape.k)), shape.count):
            e = np.where(np.arange(shape.count) == i, _DIFFERENCE_STEP, 0.0)
            change = shape.jacobian(phi + e) - shape.jacobian(phi - e)
            block[i] = block[:, i] = weights[places] @ change / (2.0 * _DIFFERENCE_STEP)
    return out


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FreeEntries:
    """The entries (a, b), a >= b, of each ``T_f T_f'`` that some parameter can change.

    Attributes
    ----------
    flat : (n,) array
        Their places in the flat vector of all factors.
    place, mirrored : (n,) arrays
        Places of (a, b) and (b, a) in the matrix of `diagonal_places`.
    pairs : tuple of (factor, a, b)
        In the same order; a and b count columns of the factor.
    array : (n, 3) int64 array
        The same.
    of_term : dict
        For each term, which of the n entries are its own, and their places in its (k, k) block.
    """

    flat: np.ndarray
    place: np.ndarray
    mirrored: np.ndarray
    pairs: tuple[tuple[int, int, int], ...]
    array: np.ndarray
    of_term: dict[int, tuple[np.ndarray, np.ndarray]]


@once_per_plan
def free_entries(plan: Plan) -> FreeEntries:
    """List the entries: the lower triangle of each term, only the diagonal of diagonal terms."""
    flat: list[int] = []
    pairs: list[tuple[int, int, int]] = []
    of_term: dict[int, tuple[np.ndarray, np.ndarray]] = {}
    for f, terms in enumerate(plan.factors):
        for t in terms:
            shape, at = plan.shapes[t], term_columns(plan)[t].start
            own = [
                (a, b)
                for a in range(shape.k)
                for b in range(a + 1)
                if a == b or shape.structure.correlated
            ]
            places = np.array([a * shape.k + b for a, b in own])
            of_term[t] = (np.arange(len(pairs), len(pairs) + len(own)), places)
            pairs += [(f, at + a, at + b) for a, b in own]
            flat += term_places(plan)[t][places].tolist()
    first = np.concatenate([[0], np.cumsum(plan.widths)])
    array = np.array(pairs, dtype=np.int64).reshape(-1, 3)
    own_factor, row, column = array.T
    return FreeEntries(
        flat=np.array(flat),
        place=(first[own_factor] + row) * first[-1] + first[own_factor] + column,
        mirrored=(first[own_factor] + column) * first[-1] + first[own_factor] + row,
        pairs=tuple(pairs),
        array=array,
        of_term=of_term,
    )


def average_information(ev: Evaluation, plan: Plan, stats: CrossProducts, df: float) -> FloatArray:
    """Average information for the free entries of each ``T_f T_f'``.

    With e = V^{-1}(y - X beta), w = Z'e and the working variates ``f = Z dG w``:
    ``[f_i' P f_j - (e'f_i)(e'f_j) / r^2] df / r^2``; where sigma is known ``f_i' P f_j / sigma^2``.
    """
    made = working_variates(stats, ev.state, ev.v, free_entries(plan).array)
    out: FloatArray = made.gram - made.BF @ ev.S_inverse @ made.BF.T
    if stats.sigma is None:  # sigma is profiled out, too
        out -= np.outer(made.Fe, made.Fe) / ev.r2
    return out * residual_part(ev.r2, df, stats.sigma).slope
