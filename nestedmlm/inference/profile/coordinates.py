"""Coordinates of the whole model in which one reported parameter can be held.

A point is a vector z: ``log sigma``, then each term's coordinates
(`nestedmlm.inference.profile.term_coordinates`), then, for a fixed effect that is held, its value.
The held parameter is one of the entries of z, so holding it needs no constraint.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np

from nestedmlm._typing import FloatArray
from nestedmlm.covariance import echelon, split_parameters
from nestedmlm.covariance.structure import COMPLEX_STEP
from nestedmlm.design.model_parameters import ModelParameter
from nestedmlm.errors import ResidualStructureError
from nestedmlm.inference.profile.structured_coordinates import free_term, held_structured
from nestedmlm.inference.profile.term_coordinates import (
    TermAt,
    TermCoordinates,
    held_correlation,
    held_sd,
)
from nestedmlm.likelihood.plan import Plan, phi_of_theta, term_places
from nestedmlm.likelihood.solution import Solution
from nestedmlm.statistics.crossproducts import CrossProducts

_REAL_STEP = 1e-4  # of second derivatives, relative to the coordinate


class PointAt(Protocol):
    """A criterion where it has been evaluated: what a profile takes of it."""

    @property
    def z(self) -> FloatArray:
        """The point."""

    @property
    def value(self) -> float:
        """Deviance, or -2 log-likelihood."""

    @property
    def gradient(self) -> FloatArray:
        """First derivatives in z."""

    @property
    def gamma(self) -> FloatArray:
        """Fixed effects in orthonormal columns."""

    @property
    def dispersion(self) -> float | None:
        """Of the family, where it has one."""

    @property
    def residual(self) -> FloatArray | None:
        """Parameters of residuals that differ or correlate, as they are reported."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Criterion:
    """A criterion that is minimised along a profile, as functions.

    Attributes
    ----------
    at : callable (z, coordinates) -> PointAt
        Value and gradient.
    hessian : callable (point, coordinates) -> (n, n) array
        Second derivatives, at least nearly.
    """

    at: Callable[[FloatArray, Coordinates], Any]
    hessian: Callable[[Any, Coordinates], FloatArray]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Coordinates:
    """Coordinates z of the whole model.

    Attributes
    ----------
    plan : Plan
    stats : CrossProducts
        The model whose coordinates these are.
    start : (n,) array
        z at the estimate.
    terms : tuple of TermCoordinates
        One for each term.
    places : tuple of (slice, int array)
        Where each term's coordinates stand in z, and its entries in the flat factors.
    signed : tuple of int arrays
        For each term where it matters, the indices of the standard deviations that must share a
        sign.
    held : int
        Index of the held parameter in z; -1 if none is.
    removable : tuple of int
        Indices of the two standard deviations of a held correlation: where one of them is zero the
        correlation changes nothing.
    contrast : (p,) array or None
        Row of ``R_x^{-1}`` that belongs to the held fixed effect.
    beta0 : float
        Where that effect's value is counted from.
    still : tuple of int
        Indices of entries that never move: log sigma of a generalized model.
    criterion : Criterion or None
        What is minimised; None: the deviance of a linear model.
    to_natural, from_natural : callables
        Between the held coordinate and the parameter as it is reported.
    lower, upper : float
        Ends of the held coordinate.
    """

    plan: Plan
    stats: CrossProducts
    start: FloatArray
    terms: tuple[TermCoordinates, ...]
    places: tuple[tuple[slice, np.ndarray], ...]
    signed: tuple[np.ndarray, ...]
    held: int = -1
    removable: tuple[int, ...] = ()
    contrast: FloatArray | None = None
    beta0: float = 0.0
    still: tuple[int, ...] = ()
    criterion: Criterion | None = None
    to_natural: Callable[[float], float] = float
    from_natural: Callable[[float], float] = float
    lower: float = -np.inf
    upper: float = np.inf

    @property
    def size(self) -> int:
        """Length of the flat factors."""
        return sum(k * k for k in self.plan.widths)


def free_coordinates(solution: Solution) -> Coordinates:
    """The optimizer's own coordinates and ``log sigma``: nothing is held."""
    return join_terms([free_term(term) for term in terms_at(solution)], solution)


def held_coordinates(parameter: ModelParameter, solution: Solution) -> Coordinates:
    """Coordinates in which `parameter` is one of the entries.

    Parameters
    ----------
    parameter : ModelParameter
    solution : Solution
        The model at the estimate.

    Raises
    ------
    ResidualStructureError
        For a known sigma.
    """
    if solution.stats.sigma is not None:
        raise ResidualStructureError(
            "likelihood profiles are not worked out for a known sigma (fixed=): Wald intervals "
            "are, conf_int(method='wald')"
        )
    coordinates = free_coordinates(solution)
    if parameter.kind == "sigma":
        return hold_logarithm(coordinates, 0)
    if parameter.kind == "residual":  # `residual_coordinates` has its place
        return coordinates
    if parameter.kind == "beta":
        return _hold_beta(coordinates, parameter.i, solution.beta)
    return hold_in_term(coordinates, parameter, solution)


def hold_in_term(
    coordinates: Coordinates, parameter: ModelParameter, solution: Solution
) -> Coordinates:
    """Coordinates in which a parameter of a term's covariance is an entry."""
    t = parameter.term
    own = held_term(parameter, terms_at(solution)[t])
    coordinates = join_terms([*coordinates.terms[:t], own, *coordinates.terms[t + 1 :]], solution)
    first = coordinates.places[t][0].start
    return replace(
        coordinates,
        held=first + own.held,
        removable=tuple(first + i for i in own.removable),
        to_natural=own.to_natural,
        from_natural=own.from_natural,
        lower=own.lower,
        upper=own.upper,
    )


def held_term(parameter: ModelParameter, term: TermAt) -> TermCoordinates:
    """Coordinates of a term in which one of its own parameters is an entry."""
    if not term.shape.structure.free_correlations:
        return held_structured(parameter, term)
    return held_sd(parameter, term) if parameter.kind == "sd" else held_correlation(parameter, term)


def terms_at(solution: Solution) -> list[TermAt]:
    """The terms of a model at its estimate."""
    plan, stats = solution.plan, solution.stats
    parts = split_parameters(phi_of_theta(solution.theta, plan, stats), plan.shapes)
    return [
        TermAt(shape=shape, W=W, T=T, phi=phi, sigma=solution.sigma)
        for shape, W, T, phi in zip(plan.shapes, stats.transforms, solution.T, parts, strict=True)
    ]


def hold_logarithm(coordinates: Coordinates, at: int) -> Coordinates:
    """Hold an entry that is the logarithm of a parameter."""
    return replace(
        coordinates,
        held=at,
        to_natural=math.exp,
        from_natural=lambda s: math.log(max(s, 1e-300)),
    )


def _hold_beta(coordinates: Coordinates, j: int, beta: FloatArray) -> Coordinates:
    return replace(
        coordinates,
        start=np.append(coordinates.start, beta[j]),
        held=len(coordinates.start),
        contrast=coordinates.stats.R_x_inverse[j],
        beta0=float(coordinates.stats.beta0[j]),
    )


def join_terms(terms: Sequence[TermCoordinates], solution: Solution) -> Coordinates:
    """Coordinates of the whole model: log sigma, then each term's own."""
    places: list[tuple[slice, np.ndarray]] = []
    signed: list[np.ndarray] = []
    at = 1
    for term, entries in zip(terms, term_places(solution.plan), strict=True):
        places.append((slice(at, at + len(term.start)), entries))
        if term.signed:
            signed.append(np.arange(at, at + term.signed))
        at += len(term.start)
    return Coordinates(
        plan=solution.plan,
        stats=solution.stats,
        start=np.concatenate([[math.log(solution.sigma)], *(term.start for term in terms)]),
        terms=tuple(terms),
        places=tuple(places),
        signed=tuple(signed),
    )


def factors_at(z: FloatArray, coordinates: Coordinates) -> FloatArray:
    """The flat relative factors, scaled columns."""
    T = np.zeros(coordinates.size)
    for term, (own, entries) in zip(coordinates.terms, coordinates.places, strict=True):
        x = z[own]
        value = term.basis @ x[term.n_curved :]
        if term.curve is not None:
            value = value + term.curve(x[: term.n_curved], z[0])
        T[entries] = value
    return T


def jacobian_at(z: FloatArray, coordinates: Coordinates) -> FloatArray:
    """Derivative of the flat factors in z, exact (complex steps where they are not linear)."""
    J = np.zeros((coordinates.size, len(z)))
    for term, (own, entries) in zip(coordinates.terms, coordinates.places, strict=True):
        first = own.start + term.n_curved
        J[entries[:, None], np.arange(first, own.stop)] = term.basis
        for at in _curved(term, own):
            with np.errstate(all="ignore"):  # where this is not finite the step is rejected
                moved = _curve_at(term, own, _nudged(z, (at, 0.0), at))
            J[entries, at] = moved.imag / COMPLEX_STEP
    return J


def second_derivatives_at(z: FloatArray, coordinates: Coordinates, T_bar: FloatArray) -> FloatArray:
    """Second derivatives in z of ``T_bar' T``: zero but for the curved coordinates.

    Structured terms are left to the optimizer's secant corrections: theirs cost more than they
    save.
    """
    out = np.zeros((len(z), len(z)))
    for term, (own, entries) in zip(coordinates.terms, coordinates.places, strict=True):
        if term.phi is not None:
            continue
        curved, bar = _curved(term, own), T_bar[entries]
        for i, at in enumerate(curved):
            step = _REAL_STEP * max(1.0, abs(float(z[at])))
            for other in curved[i:]:
                slope = [
                    bar @ _curve_at(term, own, _nudged(z, (at, s * step), other)).imag
                    for s in (1.0, -1.0)
                ]
                second = (slope[0] - slope[1]) / (2.0 * step * COMPLEX_STEP)
                out[at, other] += second
                out[other, at] += second if other != at else 0.0
    return out


def _nudged(z: FloatArray, real: tuple[int, float], imaginary: int) -> np.ndarray:
    """Add a real step to one entry and an imaginary one to another."""
    out = z.astype(complex)
    out[real[0]] += real[1]
    out[imaginary] += 1j * COMPLEX_STEP
    return out


def theta_at(z: FloatArray, coordinates: Coordinates) -> FloatArray:
    """lme4's theta at z."""
    T, parts = factors_at(z, coordinates), []
    for shape, W, term, (own, entries) in zip(
        coordinates.plan.shapes,
        coordinates.stats.transforms,
        coordinates.terms,
        coordinates.places,
        strict=True,
    ):
        if term.phi is not None:
            parts.append(shape.structure.to_theta(term.phi(z[own], float(z[0])), W, shape.hom))
            continue
        L = echelon(W @ T[entries].reshape(W.shape))
        parts.append(shape.structure.theta_of_factor(L, shape.hom))
    return np.concatenate(parts) if parts else np.zeros(0)


def _curved(term: TermCoordinates, own: slice) -> list[int]:
    if term.curve is None:
        return []
    return [*([0] if term.uses_sigma else []), *range(own.start, own.start + term.n_curved)]


def _curve_at(term: TermCoordinates, own: slice, z: FloatArray) -> FloatArray:
    assert term.curve is not None
    return term.curve(z[own][: term.n_curved], complex(z[0]))
