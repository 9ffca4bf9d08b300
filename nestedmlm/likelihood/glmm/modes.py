"""Conditional modes by penalised iteratively reweighted least squares.

u maximises ``sum log f(y; eta) - |u|^2 / 2``, so ``u = Lambda'Z'g`` with g the score. The state is
``B = Z'g``, a vector that exists at singular covariances too and changes smoothly with all
parameters: ``u = Lambda'B``, ``b = Lambda u``. A Newton step is one elimination with the observed
information as weights and the working response as right-hand side (Bates, Mächler, Bolker & Walker
2015, section 5 for the linear model; McCullagh & Nelder 1989, section 2.5 for the weights).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from nestedmlm._typing import FloatArray
from nestedmlm.families.row_terms import RowTerms
from nestedmlm.likelihood.elimination import Eliminated, eliminate, solve
from nestedmlm.likelihood.glmm.glmm_model import GlmmModel
from nestedmlm.statistics.crossproducts import CrossProducts

_NEAR = 1e-11  # relative squared length of a Newton step that is the last: the next is its square
_THERE = 1e-22  # the same of steps that converge linearly
_MOST_STEPS = 60  # towards the modes
_FISHER_STEPS = 2  # before Newton's method is tried where the observed information is not positive
_LEAST_SHARE = 1e-8  # of a step that is tried when it does not lower the criterion
_ROUNDING = 1e-11  # share of the criterion that is no rise
_CLOSE = 1e-2  # relative squared length of a step after which its elimination serves the next
_SLOW = 1e-2  # share of the last squared length above which the next step eliminates anew


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Modes:
    """The conditional modes at given parameters.

    Attributes
    ----------
    gamma : (p,) array
        Fixed effects in orthonormal columns: as given, or at the joint mode.
    B, u, b : (q,) arrays
        ``Z'g``, spherical modes and modes in scaled columns, in the order of elimination.
    eta : (n,) array
    rows : RowTerms
    penalised : float
        ``-2 sum log f + |u|^2``, without the log-density's constants.
    steps : int
    """

    gamma: FloatArray
    B: FloatArray
    u: FloatArray
    b: FloatArray
    eta: FloatArray
    rows: RowTerms
    penalised: float
    steps: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Elimination:
    """An elimination on the way, and the weights it was made at."""

    stats: CrossProducts
    state: Eliminated
    weights: FloatArray


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Place:
    """A place on the way: B, gamma and what follows from them."""

    gamma: FloatArray
    fixed: FloatArray
    B: FloatArray
    u: FloatArray
    b: FloatArray
    eta: FloatArray
    terms: RowTerms
    value: float


def find_modes(
    model: GlmmModel,
    T: FloatArray,
    gamma: FloatArray,
    dispersion: float,
    *,
    B: FloatArray | None = None,
    joint: bool = False,
) -> Modes:
    """Find the conditional modes.

    Parameters
    ----------
    model : GlmmModel
    T : flat array
        Relative factors in scaled columns.
    gamma : (p,) array
        Fixed effects; where to start from if `joint`.
    dispersion : float
    B : (q,) array, optional
        To start from.
    joint : bool
        Maximise over the fixed effects too (``nAGQ=0``).

    Raises
    ------
    numpy.linalg.LinAlgError
        If there is no density at the start, or the steps do not converge.
    """
    return from_modes(lambda start: _descend(model, T, gamma, dispersion, start, joint), B)


def from_modes[R](find: Callable[[FloatArray | None], R], B: FloatArray | None) -> R:
    """What is found from modes at other parameters, or from none where those lead nowhere.

    They may lie where the density has underflowed.

    Raises
    ------
    numpy.linalg.LinAlgError
        If it is not found from none either.
    """
    try:
        return find(B)
    except np.linalg.LinAlgError:
        if B is None:
            raise
        return find(None)


def _descend(
    model: GlmmModel,
    T: FloatArray,
    gamma: FloatArray,
    dispersion: float,
    B: FloatArray | None,
    joint: bool,
) -> Modes:
    here = _start(model, T, gamma, dispersion, B)
    for count in range(1, _MOST_STEPS + 1):
        for weights, newton in _weights(model, here.terms, count):
            moved = _next(model, T, here, weights, joint=joint, dispersion=dispersion)
            if moved is not None:
                nearest = _NEAR if newton and moved[1] == 1.0 else _THERE
                break
        else:
            raise np.linalg.LinAlgError("no step towards the conditional modes")
        there, share, made = moved
        length, stuck = _length(here, there, joint=joint), share < _LEAST_SHARE
        here = there
        if length <= nearest or stuck:
            return _modes(here, count)
        if made is not None and nearest == _NEAR and length <= _CLOSE:
            here, arrived = _with_elimination(model, T, here, made, dispersion, length)
            if arrived:
                return _modes(here, count)
    raise np.linalg.LinAlgError("the conditional modes were not found")


def _length(here: _Place, there: _Place, *, joint: bool = False) -> float:
    """Squared length of a step, relative to where it begins."""
    length = float(np.sum((there.u - here.u) ** 2) + np.sum((there.gamma - here.gamma) ** 2))
    return length / (1.0 + float(here.u @ here.u + (here.gamma @ here.gamma if joint else 0.0)))


def _modes(here: _Place, steps: int) -> Modes:
    return Modes(
        gamma=here.gamma, B=here.B, u=here.u, b=here.b, eta=here.eta, rows=here.terms,
        penalised=here.value, steps=steps,
    )  # fmt: skip


def _with_elimination(
    model: GlmmModel,
    T: FloatArray,
    here: _Place,
    made: _Elimination,
    dispersion: float,
    length: float,
) -> tuple[_Place, bool]:
    """Go on with an elimination while its steps shrink fast; whether they came to their end.

    Beside a large dense block an elimination costs many times what the rows do. Its steps converge
    linearly, by the change of the weights since.
    """
    w = made.weights
    for _ in range(_MOST_STEPS):
        working = w * (here.eta - here.fixed) + here.terms.g
        B = model.solve_other(T, (made.stats, made.state), w, model.products.Zt @ working)
        there = _place(model, T, here.gamma, here.fixed, B, dispersion)
        rise = there.value - here.value
        if not rise <= _ROUNDING * (abs(here.value) + 1.0):
            return here, False
        last, length = length, _length(here, there)
        here = there
        shrunk = length / last if last > 0.0 else 0.0
        if length * shrunk <= _THERE:  # the next step's length
            return here, True
        if shrunk > _SLOW:
            return here, False
    return here, False


def _start(
    model: GlmmModel, T: FloatArray, gamma: FloatArray, dispersion: float, B: FloatArray | None
) -> _Place:
    q, fixed = model.parts[-1].rows.stop, model.predictor(gamma)
    for begin in ([] if B is None else [B]) + [np.zeros(q)]:
        place = _place(model, T, gamma, fixed, begin, dispersion)
        if math.isfinite(place.value):
            return place
    raise np.linalg.LinAlgError("no density at these parameters")


def _place(
    model: GlmmModel,
    T: FloatArray,
    gamma: FloatArray,
    fixed: FloatArray,
    B: FloatArray,
    dispersion: float,
) -> _Place:
    u = model.spherical(T, B)
    b = model.effects(T, u)
    eta = fixed + model.products.Z @ b
    terms = model.rows(eta, dispersion)
    value = -2.0 * float(terms.loglik.sum()) + float(u @ u)
    return _Place(gamma=gamma, fixed=fixed, B=B, u=u, b=b, eta=eta, terms=terms, value=value)


def _weights(model: GlmmModel, terms: RowTerms, count: int) -> Iterator[tuple[FloatArray, bool]]:
    """Weights to try, and whether they are Newton's."""
    positive = model.family.is_canonical or bool((terms.h > 0.0).all())
    if positive or count > _FISHER_STEPS:
        yield terms.h, True
    if not positive:
        yield terms.w, False


def _next(
    model: GlmmModel,
    T: FloatArray,
    here: _Place,
    weights: FloatArray,
    *,
    joint: bool,
    dispersion: float,
) -> tuple[_Place, float, _Elimination | None] | None:
    """The place after one step, the share of it that was taken, and an elimination that may serve.

    None if it does not descend.
    """
    try:
        B, gamma, made = _full_step(model, T, here, weights, joint=joint)
    except np.linalg.LinAlgError:
        return None
    if not (np.isfinite(B).all() and np.isfinite(gamma).all()):
        return None
    dB, dgamma, share = B - here.B, gamma - here.gamma, 1.0
    largest = _ROUNDING * (abs(here.value) + 1.0)
    while True:
        moved = here.gamma + share * dgamma
        fixed = model.predictor(moved) if joint else here.fixed
        there = _place(model, T, moved, fixed, here.B + share * dB, dispersion)
        if there.value <= here.value + largest:
            return there, share, made
        share *= 0.5
        if share < _LEAST_SHARE:
            change = there.u - here.u
            still = float(change @ change) <= _THERE * (1.0 + float(here.u @ here.u))
            return (here, share, None) if still else None


def _full_step(
    model: GlmmModel,
    T: FloatArray,
    here: _Place,
    weights: FloatArray,
    *,
    joint: bool,
) -> tuple[FloatArray, FloatArray, _Elimination | None]:
    """B and gamma after a full step: penalised least squares of the working response.

    With them the elimination, where there is a dense block.
    """
    products, X = model.products, model.products.X
    if not joint:
        working = weights * (here.eta - here.fixed) + here.terms.g
        stats = products.at(weights, working[:, None])
        found = eliminate(T, stats)
        if not math.isfinite(found.logdet):
            raise np.linalg.LinAlgError("the information is not positive definite")
        kept = None
        if found.dense is not None:
            kept = _Elimination(stats=stats, state=found, weights=weights)
        return solve(stats, found)[1][:, 0], here.gamma, kept
    right = np.column_stack(
        [X * weights[:, None], weights * (here.eta - model.offset) + here.terms.g]
    )
    F = np.zeros((right.shape[1],) * 2)
    F[:-1] = X.T @ right
    stats = products.at(weights, right, F)
    found = eliminate(T, stats)
    if not math.isfinite(found.logdet):
        raise np.linalg.LinAlgError("the information is not positive definite")
    gamma = np.linalg.solve(found.S[:-1, :-1], found.S[:-1, -1])
    B = solve(stats, found)[1]
    return B[:, -1] - B[:, :-1] @ gamma, gamma, None
