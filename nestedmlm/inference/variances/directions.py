"""Directions in which the covariance of the random effects can move.

A direction is one symmetric (K_f, K_f) matrix E: the derivative of ``G_f = T_f T_f'`` of one
grouping factor, in scaled columns, the same for all its levels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from nestedmlm._typing import FloatArray
from nestedmlm.likelihood.plan import Plan, flat_factors, jacobian, term_columns, term_places

SHORTEST = 1e-7  # a direction shorter than this (relative to sigma) is no direction


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Directions:
    """Some directions, in elimination order of their factors.

    Attributes
    ----------
    factor : (n,) array
        Factor of each direction, counted in elimination order; ascending.
    matrices : tuple of (K_f, K_f) arrays
    """

    factor: np.ndarray
    matrices: tuple[FloatArray, ...]

    def __len__(self) -> int:
        return len(self.matrices)


def parameter_directions(phi: FloatArray, plan: Plan) -> tuple[Directions, np.ndarray]:
    """One direction for each parameter that moves the covariance at `phi`.

    Parameters
    ----------
    phi : (n_theta,) array
        Unbounded parameters, in scaled columns.
    plan : Plan

    Returns
    -------
    directions : Directions
        ``d(T T') / d phi_k`` of the free parameters.
    free : array of int
        Which parameters these are, in the order of the directions. The others belong to
        collapsed columns: to first order they change nothing.
    """
    moves = [(f, k, E) for f, k, E in _moves(phi, plan) if np.abs(E).max(initial=0.0) > SHORTEST]
    return _directions([(f, E) for f, _, E in moves]), np.array([k for _, k, _ in moves], dtype=int)


def covariance_directions(phi: FloatArray, plan: Plan) -> Directions:
    """A basis of the covariances: linear where the structure is, linearised where it is not.

    Unstructured terms move each variance and covariance, diagonal ones each variance (also where
    it is zero); any other structure moves along the derivatives of its own parameters.
    """
    found: list[tuple[int, FloatArray]] = []
    by_term: dict[int, list[tuple[int, FloatArray]]] = {}
    for f, k, E in _moves(phi, plan):
        if np.abs(E).max(initial=0.0) > SHORTEST:
            by_term.setdefault(_term_of(k, plan), []).append((f, E))
    for f, terms in enumerate(plan.factors):
        K = plan.widths[f]
        for t in terms:
            shape, own = plan.shapes[t], term_columns(plan)[t]
            basis = shape.structure.linear_basis(shape.k, shape.hom)
            for block in basis:
                E = np.zeros((K, K))
                E[own, own] = block
                found.append((f, E))
            found += [] if basis else by_term.get(t, [])
    return _directions(found)


def _moves(phi: FloatArray, plan: Plan) -> list[tuple[int, int, FloatArray]]:
    """(factor, parameter, derivative of T T') of every parameter, factors ascending."""
    J, flat = jacobian(phi, plan), flat_factors(np, phi, plan)
    starts = np.cumsum([0, *(s.count for s in plan.shapes)])
    out = []
    for f, terms in enumerate(plan.factors):
        K = plan.widths[f]
        for t in terms:
            k, own = plan.shapes[t].k, term_columns(plan)[t]
            places = term_places(plan)[t]
            T = flat[places].reshape(k, k)
            for parameter in range(starts[t], starts[t + 1]):
                half = J[places, parameter].reshape(k, k) @ T.T
                E = np.zeros((K, K))
                E[own, own] = half + half.T
                out.append((f, parameter, E))
    return out


def _term_of(parameter: int, plan: Plan) -> int:
    ends = np.cumsum([s.count for s in plan.shapes])
    return int(np.searchsorted(ends, parameter, side="right"))


def _directions(found: Sequence[tuple[int, FloatArray]]) -> Directions:
    return Directions(
        factor=np.array([f for f, _ in found], dtype=np.int64),
        matrices=tuple(np.ascontiguousarray(E) for _, E in found),
    )
