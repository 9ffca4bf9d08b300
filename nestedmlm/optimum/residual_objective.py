"""`ResidualObjective`: the criterion in random effects and residuals together, and its derivatives.

The gradient is exact: the elimination's adjoint of the crossproducts, contracted with the sums over
pairs. Without random effects so are second derivatives; else they are differences of gradients.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from nestedmlm._typing import FloatArray
from nestedmlm.likelihood.criterion import degrees
from nestedmlm.likelihood.elimination.panel_adjoint import panel_adjoint
from nestedmlm.likelihood.plan import Plan
from nestedmlm.optimum.curvature import curvature
from nestedmlm.optimum.evaluation import Evaluation, digits_lost, evaluate
from nestedmlm.optimum.trust_region import attempt
from nestedmlm.statistics.crossproducts import CrossProducts
from nestedmlm.statistics.pair_sums import PairSums

_UNKNOWN = 1e-2  # deviance units of rounding from which the criterion is taken not to exist
_DIFFERENCE_STEP = 1e-5  # of exact gradients, in free parameters


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ResidualObjective:
    """The criterion in ``(phi, gamma)``.

    Attributes
    ----------
    plan : Plan
    sums : PairSums
    REML : bool
    """

    plan: Plan
    sums: PairSums
    REML: bool

    def at(self, point: FloatArray) -> ResidualPoint:
        """Evaluate the criterion and its exact gradient.

        Raises
        ------
        numpy.linalg.LinAlgError
            If there is none, or the sums keep no digits of it: beside an edge where some rows are
            fitted exactly it would be any number.
        """
        n = self.plan.n_theta
        phi, free = point[:n], point[n:]
        stats = self.sums.at(free)
        ev = evaluate(phi, self.plan, stats, self.REML)
        if digits_lost(ev, stats, self.REML) > _UNKNOWN:
            raise np.linalg.LinAlgError(
                "the residuals of some rows are so small that sums keep no digits of them"
            )
        df, reml, _ = degrees(stats, self.REML)
        S_bar = reml * ev.S_inverse + np.outer(ev.v, ev.v) * (df / ev.r2)
        c_bar = self.sums.pull(panel_adjoint(stats, ev.state, 1.0, S_bar))
        at = stats.residual
        assert at is not None
        J, L = self.sums.model.jacobian(free, at.c)
        return ResidualPoint(
            objective=self,
            point=point,
            value=ev.criterion,
            gradient=np.concatenate([ev.gradient, c_bar @ J + L]),
            evaluation=ev,
            stats=stats,
            c_bar=c_bar,
            c=at.c,
            J=J,
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SecondOrder:
    """Second order at a point: derivatives in ``(phi, gamma)``.

    Attributes
    ----------
    hessian : (n, n) array
        Of the criterion, by differences of exact gradients.
    S_dot : (n, r, r) array
        Of ``S = [X y]'V^-1[X y]``, scaled columns.
    """

    hessian: FloatArray
    S_dot: FloatArray


@dataclass(frozen=True, kw_only=True, eq=False)  # no slots: cached properties stand in __dict__
class ResidualPoint:
    """The criterion at one point: a `nestedmlm.optimum.trust_region.LocalModel`.

    Attributes
    ----------
    objective : ResidualObjective
    point, gradient : (n_theta + n_free,) arrays
    value : float
    evaluation : Evaluation
    stats : CrossProducts
        The sums there.
    c_bar : (M,) array
        Derivative of the criterion in the coefficients of the pairs.
    c : (M,) array
        Those coefficients.
    J : (M, n_free) array
        Their derivatives.
    """

    objective: ResidualObjective
    point: FloatArray
    value: float
    gradient: FloatArray
    evaluation: Evaluation
    stats: CrossProducts
    c_bar: FloatArray
    c: FloatArray
    J: FloatArray
    escape_gain: float = 0.0

    @property
    def free(self) -> FloatArray:
        """The residuals' free parameters."""
        return self.point[self.objective.plan.n_theta :]

    @cached_property
    def hessian(self) -> FloatArray:
        """Second derivatives; those of the random effects among themselves nearly."""
        o, n = self.objective, self.objective.plan.n_theta
        if not n:
            return self._hessian_of_residuals()
        out = np.empty((len(self.point),) * 2)
        out[:, n:] = self._differences(range(n, len(self.point)))
        out[n:, :n] = out[:n, n:].T
        df = degrees(self.stats, o.REML).df
        out[:n, :n] = curvature(self.evaluation, o.plan, self.stats, df).hessian
        return 0.5 * (out + out.T)

    @cached_property
    def second_order(self) -> SecondOrder:
        """All second derivatives of the criterion, and first ones of S."""
        o, n, sums = self.objective, len(self.point), self.objective.sums
        if not o.plan.n_theta:
            return SecondOrder(hessian=self.hessian, S_dot=sums.slopes(self.J))
        h, H, S = _DIFFERENCE_STEP, np.empty((n, n)), []
        for q, e in enumerate(np.eye(n)):
            up, down, width = self._beside(h * e)
            H[q] = (up.gradient - down.gradient) / (width * h)
            S.append((up.evaluation.state.S - down.evaluation.state.S) / (width * h))
        return SecondOrder(hessian=0.5 * (H + H.T), S_dot=np.array(S))

    def _differences(self, places: range) -> FloatArray:
        h, columns = _DIFFERENCE_STEP, []
        for q in places:
            e = np.zeros(len(self.point))
            e[q] = h
            up, down, width = self._beside(e)
            columns.append((up.gradient - down.gradient) / (width * h))
        return np.column_stack(columns)

    def _beside(self, step: FloatArray) -> tuple[ResidualPoint, ResidualPoint, float]:
        """Points on both sides, or this one in the place of one, and how many steps apart.

        Next to the edge of what is a covariance there is no criterion on one side.
        """
        up = attempt(self.objective.at, self.point + step)
        down = attempt(self.objective.at, self.point - step)
        if up is None and down is None:
            raise np.linalg.LinAlgError("no criterion on either side of a point")
        return up or self, down or self, 2.0 if up and down else 1.0

    def _hessian_of_residuals(self) -> FloatArray:
        """Without random effects S is linear in the coefficients: everything is exact."""
        ev, sums, o = self.evaluation, self.objective.sums, self.objective
        df, reml, _ = degrees(self.stats, o.REML)
        slopes = sums.slopes(self.J)
        half = ev.S_inverse @ slopes
        moved = slopes @ ev.v
        rss = moved @ ev.v
        out = sums.model.bend(self.free, self.c_bar, self.c, self.J)
        out -= reml * np.einsum("qab,pba->qp", half, half, optimize=True)
        out -= 2.0 * df / ev.r2 * (moved @ ev.S_inverse @ moved.T)
        out -= df / ev.r2**2 * np.outer(rss, rss)
        return out


def residual_point(found: CrossProducts, plan: Plan, phi: FloatArray, REML: bool) -> ResidualPoint:
    """The point that crossproducts of a fit were made at."""
    at = found.residual
    assert at is not None
    objective = ResidualObjective(plan=plan, sums=at.sums, REML=REML)
    return objective.at(np.concatenate([phi, at.free]))
