"""`GlmmObjective`: -2 log-likelihood of a generalized model in all its parameters.

A point is ``(phi, gamma, log dispersion)``: the covariance parameters, the fixed effects in
orthonormal columns, and the dispersion where one is estimated. For ``nAGQ=0`` the fixed effects are
at the joint mode and no part of it.

With the working response ``y* = eta + W^-1 g`` one has ``V^-1(y* - X beta) = g``, so the average
information of linear models (Gilmour, Thompson & Cullis 1995) holds with ``B = Z'g`` in place of
the residual scores, and

    H ~ [AI + 2 (M (x) I), 0; 0, 2 X'V^-1X]

What it lacks is learnt from gradients (`nestedmlm.optimum.trust_region`), or, where that takes
long, taken from differences of the exact gradient.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from nestedmlm._typing import FloatArray
from nestedmlm.likelihood.elimination import working_variates
from nestedmlm.likelihood.glmm.glmm_model import GlmmModel
from nestedmlm.likelihood.glmm.laplace import Approximation, Slopes
from nestedmlm.likelihood.glmm.laplace_likelihood import in_loops, laplace_with_slopes
from nestedmlm.likelihood.glmm.quadrature import Grid, integrate, slope_of_integral
from nestedmlm.likelihood.glmm.warm_start import WarmStart
from nestedmlm.likelihood.plan import flat_factors, jacobian
from nestedmlm.optimum.curvature import Curvature, curvature_of, free_entries
from nestedmlm.optimum.evaluation import Evaluation
from nestedmlm.optimum.glmm.exact_hessian import exact_hessian
from nestedmlm.optimum.objective import Objective, ObjectiveAt, lower_bounds
from nestedmlm.optimum.penalty import penalty_terms
from nestedmlm.optimum.trust_region import Descent, minimize
from nestedmlm.statistics.parts import twice_products

_PATIENCE = 25  # evaluations before the Hessian is taken from differences
LEAST_CURVATURE = 1e-3  # of the log dispersion: the model must not be flat far from the optimum
_LARGEST_EXPONENT = 300.0  # of a log dispersion


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class GlmmEvaluation(Evaluation):
    """The criterion and its derivatives at one point.

    Attributes
    ----------
    point : (n,) array
    dispersion : float
    approximation : Approximation
    slopes : Slopes
    """

    point: FloatArray
    dispersion: float
    approximation: Approximation
    slopes: Slopes


class CriterionAt(NamedTuple):
    """-2 log-likelihood at given factors, with its derivative in them and in the rest."""

    value: float
    of_T: FloatArray
    approximation: Approximation
    slopes: Slopes


@dataclass(frozen=True, kw_only=True, eq=False)
class GlmmObjective(Objective):
    """The criterion of a generalized model.

    Attributes
    ----------
    model : GlmmModel
    nAGQ : int
        0: fixed effects at the joint mode; 1: Laplace; more: nodes of `grid`.
    grid : Grid or None
        Of the quadrature.
    precision : (p, p) array or None
        Of a normal prior on the fixed effects (orthonormal columns).
    warm : list of one WarmStart
        The last modes: where the next evaluation starts from.
    """

    model: GlmmModel
    nAGQ: int = 1
    grid: Grid | None = None
    precision: FloatArray | None = None
    warm: list[WarmStart]

    @property
    def joint(self) -> bool:
        """Whether the fixed effects are at the joint mode."""
        return self.nAGQ == 0

    def split(self, point: FloatArray) -> tuple[FloatArray, FloatArray, float]:
        """Phi, gamma (at the joint mode: empty) and the dispersion of a point."""
        nt, p = self.plan.n_theta, 0 if self.joint else self.stats.p
        dispersion = self.model.family.value_of(None)
        if self.model.family.has_dispersion:
            if abs(point[-1]) > _LARGEST_EXPONENT:
                raise np.linalg.LinAlgError("a dispersion without bounds")
            dispersion = math.exp(point[-1])
        return point[:nt], point[nt : nt + p], dispersion

    def approximate(
        self, T: FloatArray, gamma: FloatArray, dispersion: float, *, effects: bool = True
    ) -> tuple[Approximation, Slopes]:
        """The Laplace approximation at factors T, and its derivatives."""
        if not np.isfinite(T).all():
            raise np.linalg.LinAlgError("relative factors that are no numbers")
        (warm,) = self.warm
        start, B = (warm.gamma, warm.B) if self.joint else (gamma, warm.near(gamma))
        found, slopes = laplace_with_slopes(
            self.model, T, start, dispersion, B, joint=self.joint, effects=effects
        )
        self.warm[:] = [WarmStart.of(found)]
        return found, slopes

    def criterion_at(
        self, T: FloatArray, gamma: FloatArray, dispersion: float, *, effects: bool = True
    ) -> CriterionAt:
        """The criterion at factors T, and its derivatives in them and the other parameters."""
        with np.errstate(all="ignore"):
            found, slopes = self.approximate(T, gamma, dispersion, effects=effects)
            value, of_T = found.value, twice_products(slopes.M, T, self.model.parts)
            if self.grid is not None:
                exact = integrate(self.model, self.grid, T, found.modes, dispersion)
                value, of_T = exact.value, exact.T
                slopes = replace(
                    slopes,
                    M=slope_of_integral(self.model, self.grid, T, of_T, found.modes, dispersion),
                    gamma=exact.gamma,
                    log_dispersion=exact.log_dispersion,
                )
        return CriterionAt(value=value, of_T=of_T, approximation=found, slopes=slopes)

    def evaluate(self, point: FloatArray, *, effects: bool = True) -> GlmmEvaluation:
        """The criterion and its derivatives; without `effects`, no second ones."""
        phi, gamma, dispersion = self.split(point)
        with np.errstate(all="ignore"):
            T = flat_factors(np, phi, self.plan)
        value, of_T, found, slopes = self.criterion_at(T, gamma, dispersion, effects=effects)
        gradient = [jacobian(phi, self.plan).T @ of_T]
        gradient += [] if self.joint else [slopes.gamma]
        if self.model.family.has_dispersion:
            gradient.append(np.array([slopes.log_dispersion]))
        p = self.stats.p
        v = np.zeros(p + 1)
        v[p] = 1.0
        return GlmmEvaluation(
            phi=phi,
            criterion=value,
            gradient=np.concatenate(gradient),
            T=T,
            M=slopes.M,
            r2=1.0,
            v=v,
            S_inverse=np.zeros((p + 1, p + 1)),
            state=found.state,
            point=point,
            dispersion=dispersion,
            approximation=found,
            slopes=slopes,
        )

    def gradient_at(self, point: FloatArray) -> FloatArray:
        """The gradient of the objective."""
        return self.around(self.evaluate(point, effects=False)).gradient

    def around(self, ev: Evaluation) -> GlmmObjectiveAt:
        """The objective where the criterion has been evaluated."""
        assert isinstance(ev, GlmmEvaluation)
        value, gradient, curvature = ev.criterion, ev.gradient.copy(), None
        nt, p = len(ev.phi), self.stats.p
        if self.precision is not None:
            pull = self.precision @ ev.point[nt : nt + p]
            value += float(ev.point[nt : nt + p] @ pull)
            gradient[nt : nt + p] += 2.0 * pull
        if self.penalty is not None:
            prior = penalty_terms(ev.phi, self.plan, self.penalty)
            value += prior.value
            gradient[:nt] += prior.gradient
            curvature = np.append(prior.curvature, np.zeros(len(gradient) - nt))
        return GlmmObjectiveAt(
            objective=self,
            evaluation=ev,
            value=value,
            gradient=gradient,
            penalty_curvature=curvature,
        )

    @property
    def route(self) -> str:
        """How the criterion is evaluated."""
        way = "Laplace" if self.nAGQ == 1 else f"nAGQ = {self.nAGQ}"
        compiled = not self.joint and in_loops(self.model)
        return f"{way}, {'compiled loops' if compiled else super().route}"

    @property
    def lower(self) -> FloatArray | None:
        """Bounds of a point; None where there are none."""
        own = lower_bounds(self.plan)
        if own is None:
            return None
        rest = (0 if self.joint else self.stats.p) + self.model.family.has_dispersion
        return np.append(own, np.full(rest, -np.inf))

    def descend(self, phi: FloatArray, *, tolerance: float, max_evaluations: int) -> Descent[Any]:
        """Descend from a point; slow descents go on with the exact Hessian."""
        first = minimize(
            self.at,
            self.at(phi),
            tolerance=tolerance,
            max_evaluations=min(_PATIENCE, max_evaluations - 1),
            lower=self.lower,
        )
        used, cost = first.evaluations + 1, 2 * len(phi) + 1
        steps = (max_evaluations - used) // cost
        if first.converged or steps < 2:
            return replace(first, evaluations=used)
        exact = minimize(
            self.exactly_at,
            self.exactly_at(first.best.point),
            tolerance=tolerance,
            max_evaluations=steps - 1,
            lower=self.lower,
        )
        used += (exact.evaluations + 1) * cost
        return replace(exact, evaluations=used, path=first.path + exact.path[1:])

    def exactly_at(self, point: FloatArray) -> ExactObjectiveAt:
        """The objective whose Hessian is taken from differences."""
        here = self.at(point)
        return ExactObjectiveAt(
            objective=self,
            evaluation=here.evaluation,
            value=here.value,
            gradient=here.gradient,
            penalty_curvature=here.penalty_curvature,
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class GlmmObjectiveAt(ObjectiveAt):
    """The objective of a generalized model at one point."""

    @property
    def point(self) -> FloatArray:
        """``(phi, gamma, log dispersion)``."""
        return self._evaluation.point

    @property
    def _evaluation(self) -> GlmmEvaluation:
        assert isinstance(self.evaluation, GlmmEvaluation)
        return self.evaluation

    @property
    def _objective(self) -> GlmmObjective:
        assert isinstance(self.objective, GlmmObjective)
        return self.objective

    @cached_property
    def curvature(self) -> Curvature:
        """Second derivatives in phi, and the information of the covariances."""
        ev, plan = self._evaluation, self.objective.plan
        stats, entries = ev.approximation.stats, free_entries(plan).array
        made = working_variates(stats, ev.state, ev.v, entries)
        return curvature_of(made.gram, ev, plan, stats)

    @property
    def hessian(self) -> FloatArray:
        """Second derivatives of the objective, nearly."""
        return self.approximate_hessian

    @cached_property
    def approximate_hessian(self) -> FloatArray:
        """The average information's."""
        ev, nt = self._evaluation, self.objective.plan.n_theta
        H = np.zeros((len(self.point),) * 2)
        H[:nt, :nt] = self.curvature.hessian
        if not self._objective.joint:
            p = self.objective.stats.p
            H[nt : nt + p, nt : nt + p] = 2.0 * ev.state.S[:p, :p]
            if self._objective.precision is not None:
                H[nt : nt + p, nt : nt + p] += 2.0 * self._objective.precision
        if self._objective.model.family.has_dispersion:
            H[-1, -1] = max(abs(ev.slopes.dispersion_curvature), LEAST_CURVATURE)
        return H if self.penalty_curvature is None else H + np.diag(self.penalty_curvature)

    def __getstate__(self) -> dict[str, Any]:
        # the way out is a function, which no pickle takes; it is found again where it is asked for
        return {name: value for name, value in self.__dict__.items() if name != "escape"}


@dataclass(frozen=True, kw_only=True, eq=False)
class ExactObjectiveAt(GlmmObjectiveAt):
    """The same with the exact Hessian."""

    @cached_property
    def exact(self) -> FloatArray:
        """Differences of the gradient."""
        return exact_hessian(self)

    @property
    def hessian(self) -> FloatArray:
        """Second derivatives of the objective."""
        return self.exact
