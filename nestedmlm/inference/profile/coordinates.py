"""Coordinates of the whole model in which one reported parameter can be held.

A point is a vector z: ``log sigma``, then each term's coordinates
(`nestedmlm.inference.profile.term_coordinates`), then, for a fixed effect that is held, its value.
The held parameter is one of the entries of z, so holding it needs no constraint.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from nestedmlm._typing import FloatArray
from nestedmlm.covariance import echelon, split_parameters
from nestedmlm.inference.profile.term_coordinates import (
    Piece,
    free_piece,
    held_correlation,
    held_sd,
    held_structured,
)
from nestedmlm.inference.variances.parameters import ModelParameter
from nestedmlm.likelihood.plan import Plan, phi_of_theta, term_places
from nestedmlm.likelihood.solution import Solution
from nestedmlm.statistics.crossproducts import CrossProducts

_COMPLEX_STEP = 1e-40
_REAL_STEP = 1e-4


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Chart:
    """Coordinates z of the whole model.

    Attributes
    ----------
    start : (n,) array
        z at the estimate.
    pieces : tuple of Piece
        One for each term.
    places : tuple of (slice, int array)
        Where each term's coordinates stand in z, and its entries in the flat factors.
    size : int
        Length of the flat factors.
    held : int
        Place of the held parameter in z; -1 if none is.
    signed : tuple of int arrays
        For each term where it matters, the places of the standard deviations that must share a
        sign.
    removable : tuple of int
        Places of coordinates at whose zero the held one no longer matters.
    contrast : (p,) array or None
        Row of ``R_x^{-1}`` that belongs to the held fixed effect.
    beta0 : float
        Where that effect's value is counted from.
    to_natural, from_natural : callables
        Between the held coordinate and the reported parameter.
    lower, upper : float
        Ends of the held coordinate.
    """

    start: FloatArray
    pieces: tuple[Piece, ...]
    places: tuple[tuple[slice, np.ndarray], ...]
    size: int
    signed: tuple[np.ndarray, ...]
    held: int = -1
    removable: tuple[int, ...] = ()
    contrast: FloatArray | None = None
    beta0: float = 0.0
    to_natural: Callable[[float], float] = float
    from_natural: Callable[[float], float] = float
    lower: float = -np.inf
    upper: float = np.inf


_HOLD = {"sd": held_sd, "cor": held_correlation, "structured": held_structured}


def free_chart(solution: Solution) -> Chart:
    """The optimizer's own coordinates and ``log sigma``: nothing is held."""
    plan, stats = solution.plan, solution.stats
    parts = split_parameters(phi_of_theta(solution.theta, plan, stats), plan.shapes)
    pieces = [free_piece(shape, part) for shape, part in zip(plan.shapes, parts, strict=True)]
    return _join(pieces, plan, solution.sigma)


def held_chart(parameter: ModelParameter, solution: Solution) -> Chart:
    """Coordinates in which `parameter` is one of the entries.

    Parameters
    ----------
    parameter : ModelParameter
    solution : Solution
        The model at the estimate.
    """
    chart, plan = free_chart(solution), solution.plan
    if parameter.kind == "sigma":
        return replace(
            chart, held=0, to_natural=math.exp, from_natural=lambda s: math.log(max(s, 1e-300))
        )
    if parameter.kind == "beta":
        return _hold_beta(chart, parameter.i, solution.stats, solution.beta)
    t = parameter.term
    shape = plan.shapes[t]
    kind = parameter.kind if shape.structure.free_correlations else "structured"
    piece = _HOLD[kind](
        parameter,
        shape,
        solution.stats.transforms[t],
        solution.T[t],
        chart.pieces[t].start,
        solution.sigma,
    )
    pieces = [*chart.pieces[:t], piece, *chart.pieces[t + 1 :]]
    chart = _join(pieces, plan, solution.sigma)
    return replace(
        chart,
        held=chart.places[t][0].start + piece.held,
        removable=tuple(chart.places[t][0].start + i for i in piece.removable),
        to_natural=piece.to_natural,
        from_natural=piece.from_natural,
        lower=piece.lower,
        upper=piece.upper,
    )


def _hold_beta(chart: Chart, j: int, stats: CrossProducts, beta: FloatArray) -> Chart:
    return replace(
        chart,
        start=np.append(chart.start, beta[j]),
        held=len(chart.start),
        contrast=stats.R_x_inverse[j],
        beta0=float(stats.beta0[j]),
    )


def _join(pieces: Sequence[Piece], plan: Plan, sigma: float) -> Chart:
    places: list[tuple[slice, np.ndarray]] = []
    signed: list[np.ndarray] = []
    at = 1
    for piece, entries in zip(pieces, term_places(plan), strict=True):
        places.append((slice(at, at + len(piece.start)), entries))
        if piece.signed:
            signed.append(np.arange(at, at + piece.signed))
        at += len(piece.start)
    return Chart(
        start=np.concatenate([[math.log(sigma)], *(p.start for p in pieces)]),
        pieces=tuple(pieces),
        places=tuple(places),
        size=sum(k * k for k in plan.widths),
        signed=tuple(signed),
    )


def factors_at(z: FloatArray, chart: Chart) -> FloatArray:
    """The flat relative factors, scaled columns."""
    T = np.zeros(chart.size)
    for piece, (own, entries) in zip(chart.pieces, chart.places, strict=True):
        x = z[own]
        value = piece.basis @ x[piece.n_curved :]
        if piece.curve is not None:
            value = value + piece.curve(x[: piece.n_curved], z[0])
        T[entries] = value
    return T


def jacobian_at(z: FloatArray, chart: Chart) -> FloatArray:
    """Derivative of the flat factors in z, exact (complex steps where they are not linear)."""
    J = np.zeros((chart.size, len(z)))
    for piece, (own, entries) in zip(chart.pieces, chart.places, strict=True):
        first = own.start + piece.n_curved
        J[entries[:, None], np.arange(first, own.stop)] = piece.basis
        for at in _curved(piece, own):
            with np.errstate(all="ignore"):  # where this is not finite the step is rejected
                moved = _curve_at(piece, own, _nudged(z, (at, 0.0), at))
            J[entries, at] = moved.imag / _COMPLEX_STEP
    return J


def bend_at(z: FloatArray, chart: Chart, T_bar: FloatArray) -> FloatArray:
    """Second derivatives in z of ``T_bar' T``: zero but for the curved coordinates.

    Structured terms are left to the optimizer's secant corrections: theirs cost more than they
    save.
    """
    out = np.zeros((len(z), len(z)))
    for piece, (own, entries) in zip(chart.pieces, chart.places, strict=True):
        if piece.phi is not None:
            continue
        curved, bar = _curved(piece, own), T_bar[entries]
        for i, at in enumerate(curved):
            step = _REAL_STEP * max(1.0, abs(float(z[at])))
            for other in curved[i:]:
                slope = [
                    bar @ _curve_at(piece, own, _nudged(z, (at, s * step), other)).imag
                    for s in (1.0, -1.0)
                ]
                second = (slope[0] - slope[1]) / (2.0 * step * _COMPLEX_STEP)
                out[at, other] += second
                out[other, at] += second if other != at else 0.0
    return out


def _nudged(z: FloatArray, real: tuple[int, float], imaginary: int) -> np.ndarray:
    """Add a real step to one entry and an imaginary one to another."""
    out = z.astype(complex)
    out[real[0]] += real[1]
    out[imaginary] += 1j * _COMPLEX_STEP
    return out


def theta_at(z: FloatArray, chart: Chart, plan: Plan, stats: CrossProducts) -> FloatArray:
    """lme4's theta at z."""
    T, parts = factors_at(z, chart), []
    for shape, W, piece, (own, entries) in zip(
        plan.shapes, stats.transforms, chart.pieces, chart.places, strict=True
    ):
        structure = shape.structure
        if piece.phi is not None:
            parts.append(structure.to_theta(piece.phi(z[own], float(z[0])), W, shape.hom))
            continue
        L = echelon(W @ T[entries].reshape(W.shape))
        parts.append(structure.theta_of_factor(L, shape.hom))
    return np.concatenate(parts)


def _curved(piece: Piece, own: slice) -> list[int]:
    if piece.curve is None:
        return []
    return [*([0] if piece.uses_sigma else []), *range(own.start, own.start + piece.n_curved)]


def _curve_at(piece: Piece, own: slice, z: FloatArray) -> FloatArray:
    assert piece.curve is not None
    return piece.curve(z[own][: piece.n_curved], complex(z[0]))
