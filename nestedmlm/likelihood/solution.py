"""Everything a fit reports, as a pure function of (design, theta).

`results_at` needs no optimizer, so printing, profiling, the bootstrap and the tests can ask for
the model at any theta.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from nestedmlm._typing import FloatArray
from nestedmlm.covariance.closed_forms import singular_ends, solve
from nestedmlm.design.design import Design
from nestedmlm.design.rows import rows_here
from nestedmlm.likelihood import elimination
from nestedmlm.likelihood.criterion import criterion, profile
from nestedmlm.likelihood.elimination import Eliminated
from nestedmlm.likelihood.plan import Plan, flat_of_theta, make_plan, parts_of, term_columns
from nestedmlm.statistics.crossproducts import CrossProducts, cross_products

ALL = slice(None)
_ROWS_AT_ONCE = 65_536  # rows whose residuals are squared at a time


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, weakref_slot=True)
class Solution:
    """The model at one theta.

    Attributes
    ----------
    theta : (n_theta,) array
        lme4's covariance parameters. All arrays of results are read-only.
    T : tuple of (k, k) arrays
        Lower-triangular relative factor of each term, user's columns.
    reml_criterion, deviance : float
        REML criterion and -2 log-likelihood at theta (beta and sigma profiled out of each).
    pwrss : float
        Penalised weighted residual sum of squares, from the residuals themselves where the design
        has its rows in hand.
    sigma : float
        ``sqrt(pwrss / (n - p))`` for REML, ``sqrt(pwrss / n)`` for ML; or what is known.
    beta : (p,) array
        Fixed effects.
    vcov : (p, p) array
        Their covariance matrix.
    b : tuple of (J, k) arrays
        Conditional modes of each term, rows in the order of the factor's levels.
    fitted : (n,) array
        ``X beta + Z b + offset``; computed when it is first asked for.
    discrepancy : float
        Relative difference between `pwrss` and its value from the crossproducts; NaN where the
        design has sums, as `pwrss` is the latter then.
    design : Design
        The model's.
    stats, plan, state
        What it was computed from, for whatever needs more.
    """

    theta: FloatArray
    T: tuple[FloatArray, ...]
    reml_criterion: float
    deviance: float
    pwrss: float
    sigma: float
    beta: FloatArray
    vcov: FloatArray
    b: tuple[FloatArray, ...]
    discrepancy: float
    design: Design
    stats: CrossProducts
    plan: Plan
    state: Eliminated
    _fitted: dict[str, Any] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        for array in (self.theta, self.beta, self.vcov, *self.T, *self.b):
            array.flags.writeable = False

    @property
    def fitted(self) -> FloatArray:
        """``X beta + Z b + offset`` of each row.

        Raises
        ------
        RowsNotHereError
            If the design has no rows.
        """
        if not self._fitted:
            rows_here(self.design.rows, "the fitted values")
            fitted = fitted_values(self.design, self.beta, self.b)
            fitted.flags.writeable = False
            self._fitted["values"] = fitted
        values: FloatArray = self._fitted["values"]
        return values


def results_at(
    design: Design, theta: FloatArray, *, REML: bool = True, stats: CrossProducts | None = None
) -> Solution:
    """Solve the model at given covariance parameters.

    Parameters
    ----------
    design : Design
    theta : (n_theta,) array
        lme4's covariance parameters, in the order of ``design.terms``.
    REML : bool
        Which estimate of sigma to report.
    stats : CrossProducts, optional
        ``cross_products(design)`` where the caller has it already.

    Notes
    -----
    Bates et al. (2015) eq. 16-19 and 35; the conditional modes are
    ``b = T T' Z'V^{-1}(y - X beta)``, scaled back to the user's columns.
    """
    stats = stats or cross_products(design)
    plan = make_plan(design, stats)
    theta = np.array(theta, dtype=float)
    T = flat_of_theta(theta, plan, stats)
    return results_of(design, theta, T, elimination.eliminate(T, stats), plan, stats, REML=REML)


def results_of(
    design: Design,
    theta: FloatArray,
    T_flat: FloatArray,
    state: Eliminated,
    plan: Plan,
    stats: CrossProducts,
    *,
    REML: bool,
) -> Solution:
    """What `results_at` gives, where the elimination at theta is known.

    Parameters
    ----------
    design, theta, plan, stats, REML
    T_flat : array
        Relative factors in scaled columns; any with the covariances of `theta`.
    state : Eliminated
        ``eliminate(T_flat, stats)``.
    """
    log_sxx, r2, v, inverse = profile(state.S)
    b, u2 = _by_term(*elimination.effects(stats, state, v), T_flat, stats, plan)
    Ri = stats.R_x_inverse
    beta = stats.beta0 - Ri @ v[:-1]
    pwrss = r2 if _from_sums(design) else _squares(design, beta, b, stats) + u2
    df = stats.n - stats.p if REML else stats.n
    sigma2 = pwrss / df if stats.sigma is None else stats.sigma**2
    return Solution(
        theta=theta,
        T=tuple(
            s.structure.factor_of_theta(part, s.k, s.hom)
            for part, s in zip(parts_of(theta, plan), plan.shapes, strict=True)
        ),
        reml_criterion=criterion(state.logdet, log_sxx, pwrss, stats, True),
        deviance=criterion(state.logdet, log_sxx, pwrss, stats, False),
        pwrss=pwrss,
        sigma=math.sqrt(sigma2),
        beta=beta,
        vcov=sigma2 * (Ri @ inverse[:-1, :-1] @ Ri.T),
        b=b,
        discrepancy=_discrepancy(design, pwrss, r2),
        design=design,
        stats=stats,
        plan=plan,
        state=state,
    )


def fitted_values(
    design: Design, beta: FloatArray, b: tuple[FloatArray, ...], rows: slice = ALL
) -> FloatArray:
    """``X beta + Z b + offset`` for some rows of the design."""
    out = design.X[rows] @ beta
    if design.offset is not None:
        out += design.offset[rows]
    for term, modes in zip(design.terms, b, strict=True):
        codes = design.factors[term.factor].codes[rows]
        out += np.einsum("ij,ij->i", term.X[rows], modes[codes])
    return out


def _squares(
    design: Design, beta: FloatArray, b: tuple[FloatArray, ...], stats: CrossProducts
) -> float:
    """Weighted sum of squared residuals, so many rows at a time that they stay in the cache."""
    total, w = 0.0, design.weights
    if stats.residual is not None:
        return stats.residual.square_sum(design.y - fitted_values(design, beta, b), w)
    for at in range(0, design.n, _ROWS_AT_ONCE):
        rows = slice(at, at + _ROWS_AT_ONCE)
        rest = design.y[rows] - fitted_values(design, beta, b, rows)
        total += float((rest * rest if w is None else w[rows] * rest * rest).sum())
    return total


def _from_sums(design: Design) -> bool:
    return design.rows is None or design.sums is not None


def _discrepancy(design: Design, pwrss: float, r2: float) -> float:
    if _from_sums(design):
        return math.nan
    return abs(pwrss - r2) / pwrss if pwrss > 0 else 0.0


def scaled_factors(solution: Solution) -> tuple[FloatArray, ...]:
    """Relative factor of each term in scaled columns, where units and origins do not matter.

    Unstructured terms are in orthonormal columns, so a shifted or rescaled slope variable gives
    the same singular values.
    """
    return tuple(solve(W, T) for W, T in zip(solution.stats.transforms, solution.T, strict=True))


def smallest_singular_value(solution: Solution) -> float:
    """Smallest relative standard deviation of any direction of any term; 0 at a singular fit."""
    return min((singular_ends(T)[0] for T in scaled_factors(solution)), default=np.inf)


def conditional_covariances(solution: Solution, design: Design) -> tuple[FloatArray, ...]:
    """Covariance of each level's conditional modes given theta: (J, k, k) for each term.

    ``sigma^2 (T T' - T T' Z_g'V^{-1}Z_g T T')``: lme4's ``condVar``.
    """
    stats, plan = solution.stats, solution.plan
    T_flat = flat_of_theta(solution.theta, plan, stats)
    relative = elimination.level_covariances(stats, solution.state, T_flat)
    out: list[FloatArray] = [np.zeros(0)] * len(plan.shapes)
    for place, of_levels in enumerate(relative):
        cov = solution.sigma**2 * of_levels
        for t in plan.factors[place]:
            own, W = term_columns(plan)[t], stats.transforms[t]
            if (basis := stats.basis(place)) is not None:
                found = solution.sigma**2 * _basis_covariances(solution, place, basis)
                out[t] = W @ found[:, own, own] @ W.T
                continue
            out[t] = (W @ cov[:, own, own] @ W.T)[stats.level_order(place)]
    return tuple(out)


def _basis_covariances(solution: Solution, place: int, basis: FloatArray) -> FloatArray:
    """Relative conditional covariance of each level's effects where a factor has a basis."""
    dense, part = solution.state.dense, solution.stats.parts[place]
    assert dense is not None
    own = slice(*(x - solution.stats.chain_effects for x in (part.rows.start, part.rows.stop)))
    G = dense.G[own, own].reshape(part.levels, part.k, part.levels, part.k)
    half = np.tensordot(basis, G, axes=1)  # level, column, basis function, column
    out: FloatArray = np.einsum("jarb,jr->jab", half, basis, optimize=True)
    return out


def _by_term(
    b: FloatArray, w: FloatArray, T_flat: FloatArray, stats: CrossProducts, plan: Plan
) -> tuple[tuple[FloatArray, ...], float]:
    """Conditional modes of each term in the user's units, and ``|u|^2``."""
    out: list[FloatArray] = [np.zeros(0)] * len(plan.shapes)
    u2 = 0.0
    for place, part in enumerate(stats.parts):
        modes = stats.of_levels(place, part.by_level(b))
        u2 += float(np.sum((part.by_level(w) @ part.matrix(T_flat)) ** 2))
        for t in plan.factors[place]:
            out[t] = modes[:, term_columns(plan)[t]] @ stats.transforms[t].T
    return tuple(out), u2
