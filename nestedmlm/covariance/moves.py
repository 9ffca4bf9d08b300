"""Moves off the boundary of a structured covariance, where the optimizer's gradient sees nothing.

The covariance is ``C = S R(par) S`` with standard deviations ``s >= 0`` and parameters between
their ends. The optimizer's phi folds at the ends of a parameter, and where standard deviations are
zero the parameters may be anything: there the one-sided derivatives of C itself decide.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from nestedmlm._typing import FloatArray
from nestedmlm.covariance.parameter import Parameter, ends, quantile

if TYPE_CHECKING:
    from nestedmlm.covariance.structure import Structure

_END_SHARE = 1e-5  # of a parameter's range: so near an end, phi no longer moves the parameter
_GRID = 150  # values of the parameters tried where a covariance is zero, at most about so many
_FINEST = 17  # values of one parameter among them
_SAME = 1e-8  # difference of correlations that means nothing
_ROUNDS = 50  # power iterations for the steepest direction


@dataclass(frozen=True, slots=True, eq=False)
class Move:
    """A one-sided change of a term's covariance.

    Attributes
    ----------
    direction : (k, k) array
        Derivative of the covariance at step zero.
    at : callable
        Phi after a step > 0.
    unit : bool
        Whether its size is known to be 1.
    """

    direction: FloatArray
    at: Callable[[float], FloatArray]
    unit: bool = False

    @property
    def size(self) -> float:
        """Nuclear norm of the direction: its trace where it is positive semi-definite."""
        if self.unit:
            return 1.0
        return float(np.abs(np.linalg.eigvalsh(self.direction)).sum())


@dataclass(frozen=True, slots=True, eq=False)
class StructuredAt:
    """A structured covariance at one point.

    Attributes
    ----------
    structure : Structure
    k : int
    hom : bool
    sds : (1,) or (k,) array
        Standard deviations >= 0, as phi has them.
    par : tuple of float
        Values of the structure's parameters.
    """

    structure: Structure
    k: int
    hom: bool
    sds: FloatArray
    par: tuple[float, ...]

    def phi(self, sds: FloatArray, par: tuple[float, ...]) -> FloatArray:
        """Phi with other standard deviations and parameters."""
        return np.append(sds, self.structure.unbounded(par, self.k))

    def correlations(self, par: tuple[float, ...]) -> FloatArray:
        """The correlation matrix at other parameters; NaN where there is none."""
        with np.errstate(all="ignore"):  # at the ends a root may divide by zero
            R = self.structure.correlations(np.array(par), self.k)
        return np.asarray(R, dtype=float)


def structured_moves(here: StructuredAt, M: FloatArray) -> tuple[Move, ...]:
    """All moves from one point; `M` (k, k) is the derivative of the criterion in the covariance."""
    if not here.sds.any():
        return tuple(_from_zero(here, M))
    if here.k == 1:
        return ()
    return (*_from_ends(here), *_new_columns(here))


def parameter_grid(
    structure: Structure, k: int, finest: int = _FINEST
) -> tuple[tuple[float, ...], ...]:
    """Values of the parameters over their whole range, finite ends included."""
    own = structure.parameters(k)
    count = max(3, min(finest, int(_GRID ** (1.0 / max(len(own), 1)))))
    shares = np.linspace(0.0, 1.0, count)
    if len(own) <= 4:
        return tuple(product(*([quantile(p, u) for u in shares] for p in own)))
    middle = tuple(quantile(p, 0.5) for p in own)  # many parameters: one at a time
    return tuple(
        (*middle[:i], quantile(p, u), *middle[i + 1 :]) for i, p in enumerate(own) for u in shares
    )


def _from_zero(here: StructuredAt, M: FloatArray) -> Iterator[Move]:
    """From no covariance at all: along ``v v' * R(par)`` for any v >= 0 and any parameters."""
    for par in parameter_grid(here.structure, here.k):
        R = here.correlations(par)
        if not np.all(np.isfinite(R)):
            continue
        v = np.ones(here.k) if here.hom else steepest_nonnegative(M * R)
        unit = v[: len(here.sds)]

        def at(step: float, unit: FloatArray = unit, par: tuple[float, ...] = par) -> FloatArray:
            return here.phi(math.sqrt(step) * unit, par)

        yield Move(np.outer(v, v) * R, at)


def steepest_nonnegative(A: FloatArray) -> FloatArray:
    """Unit v >= 0 with the smallest ``v'Av`` that projected power iterations find."""
    k = len(A)
    B = np.abs(A).sum(axis=1).max() * np.eye(k) - A
    V = np.column_stack([np.eye(k) + 1e-3, np.ones((k, 1))])
    for _ in range(_ROUNDS):
        V = np.maximum(B @ V, 0.0)
        V /= np.maximum(np.linalg.norm(V, axis=0), 1e-300)
    best: FloatArray = V[:, np.argmin(np.einsum("ij,ik,kj->j", V, A, V))]
    return best


def _from_ends(here: StructuredAt) -> Iterator[Move]:
    """From a parameter at one of its ends, inwards."""
    own = here.structure.parameters(here.k)
    inward = [_inward(p, value) for p, value in zip(own, here.par, strict=True)]
    if not any(inward):
        return
    S = np.outer(here.sds, here.sds)
    slopes = here.structure.correlation_slopes(np.array(here.par), here.k)
    for i, (p, sign) in enumerate(zip(own, inward, strict=True)):
        if sign == 0.0:
            continue

        def at(step: float, i: int = i, p: Parameter = p, sign: float = sign) -> FloatArray:
            value = min(max(here.par[i] + sign * step, p.lower), p.upper)
            return here.phi(here.sds, (*here.par[:i], value, *here.par[i + 1 :]))

        yield Move(sign * S * slopes[i], at)


def _inward(p: Parameter, value: float) -> float:
    """1 at the lower end of a parameter, -1 at its upper one, else 0."""
    reach = _END_SHARE * abs(quantile(p, 0.75) - quantile(p, 0.25))
    low, high = ends(p)
    if low and value - p.lower < reach:
        return 1.0
    return -1.0 if high and p.upper - value < reach else 0.0


def _new_columns(here: StructuredAt) -> Iterator[Move]:
    """From a standard deviation of zero, with parameters that leave the other columns alone."""
    alive = here.sds > 0.0
    if here.hom or alive.all():
        return
    now = here.correlations(here.par)
    own = here.structure.parameters(here.k)
    mirrored = tuple(p.lower + p.upper - v for p, v in zip(own, here.par, strict=True))
    for par in (here.par, mirrored, *parameter_grid(here.structure, here.k)):
        R = here.correlations(par)
        if not np.all(np.abs(R - now)[np.ix_(alive, alive)] < _SAME):  # NaN differs
            continue
        for i in np.flatnonzero(~alive).tolist():
            e, pull = np.eye(here.k)[i], R[i] * here.sds
            coupled = bool(np.abs(pull).max() > _SAME)
            if par is here.par and coupled:
                continue  # the gradient of phi says it

            def at(
                step: float, i: int = i, par: tuple[float, ...] = par, root: bool = not coupled
            ) -> FloatArray:
                sds = here.sds.copy()
                sds[i] = math.sqrt(step) if root else step
                return here.phi(sds, par)

            yield Move(np.outer(e, pull) + np.outer(pull, e) if coupled else np.outer(e, e), at)
