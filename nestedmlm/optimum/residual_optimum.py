"""Optimum of a model whose residuals differ or correlate: random effects and residuals together.

The point is ``(phi, gamma)``: the optimizer's covariance parameters, then the free parameters of
the residuals. The gradient is exact: the elimination's adjoint of the crossproducts, contracted
with the sums over pairs. Each descent starts at the optimum without the structure, and ends only
where leaving any boundary of the random effects promises nothing.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import numpy as np

from nestedmlm._typing import FloatArray
from nestedmlm.covariance.residual_structures import LEVELS
from nestedmlm.errors import ResidualStructureError
from nestedmlm.likelihood.plan import Plan, theta_of_phi
from nestedmlm.optimum.certificate import Certificate, min_slope
from nestedmlm.optimum.control import Control
from nestedmlm.optimum.evaluation import digits_lost
from nestedmlm.optimum.few_blocks import unbounded_levels
from nestedmlm.optimum.local_optimum import LocalOptimum, local_optimum
from nestedmlm.optimum.objective import Objective
from nestedmlm.optimum.optimize import CERTIFIED, Optimum, optimize, rounded
from nestedmlm.optimum.residual_objective import ResidualObjective, ResidualPoint
from nestedmlm.optimum.residual_starts import farther_starts, look_from, other_starts, phi_of
from nestedmlm.optimum.trust_region import Descent, attempt, minimize
from nestedmlm.statistics.pair_sums import PairSums
from nestedmlm.statistics.residual_model import ResidualModel

_SAME = 1e-9  # deviance units within which two points are equally good
_JOURNEYS = 3  # how often an optimum that is found farther off is left in the same way
_ROUNDS = 6  # of descents together and of the random effects alone
_FLAT = "flat: the data do not tell"
_FLAT_EIGENVALUE = 1e-9  # of the Hessian with unit diagonal
_EDGE_LOG_RATIO = 12.0  # |log| of a ratio of standard deviations: further is a variance of zero
_NEAR_EDGE = 6.0  # the same where the criterion still falls, or is flat
_LEAST_CURVATURE = 0.1  # of the criterion in a log ratio, whose standard error is then above 4
_EDGE_CORRELATION = 1e-6  # distance from 1 of a correlation
_FARTHEST = 10.0  # |log| of sigma at zero over that at the predictors' means
_SINGULAR = 1e-8  # least eigenvalue of correlations between levels
_NAMED = 0.3  # share of a flat direction from which a parameter is named


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Found:
    """Found point: where one start led to."""

    here: ResidualPoint
    descent: Descent[ResidualPoint]
    inner: LocalOptimum | None
    evaluations: int
    start: FloatArray


def optimize_residuals(
    plan: Plan,
    sums: PairSums,
    *,
    REML: bool,
    start: FloatArray | None = None,
    control: Control | None = None,
) -> Optimum:
    """Minimise the criterion over the random effects and the residuals' structure.

    Parameters
    ----------
    plan, sums : Plan, PairSums
    REML : bool
    start : (n_theta,) array, optional
        Theta of the first start.
    control : Control, optional

    Raises
    ------
    DataError
        If the criterion cannot be computed at any start.
    """
    control, began = control or Control(), time.perf_counter()
    whole = ResidualObjective(plan=plan, sums=sums, REML=REML)
    model, shift = sums.model.centered()
    objective = whole if not shift.any() else _replaced(whole, model)
    simple = _without_structure(objective, start, control)
    found, used = [], 0 if simple is None else simple.certificate.evaluations
    for point in other_starts(objective, simple, control):
        try:
            found.append(descend_from(objective, point, control))
        except np.linalg.LinAlgError:
            continue
    least = np.inf if simple is None else simple.evaluation.criterion
    if not found or min(f.here.value for f in found) > least + _SAME:
        neutral = np.concatenate([np.zeros(sums.model.q), *sums.model.neutral])
        phi = phi_of(simple)
        found.append(descend_from(objective, np.concatenate([phi, neutral]), control))
    best, looks, more = _lowest(min(found, key=lambda f: f.here.value), control)
    here = best.here if objective is whole else whole.at(_uncentered(best.here, shift))
    ev = here.evaluation
    doubt = _verdict(best.here, best.descent.converged) or unbounded_levels(sums, REML=REML)
    holds = doubt is None and best.descent.converged and (best.inner is None or best.inner.holds)
    message = doubt or (CERTIFIED if holds else _ADVICE)
    if doubt is None or doubt.startswith(_FLAT):  # which rounding may look like
        message = rounded(message, digits_lost(ev, here.stats, REML), bool(holds))
    theta = theta_of_phi(here.point[: plan.n_theta], plan, here.stats)
    return Optimum(
        theta=theta,
        evaluation=ev,
        stats=here.stats,
        information=None,
        certificate=Certificate(
            holds=bool(holds),
            gradient=float(np.max(np.abs(best.here.gradient), initial=0.0)),
            predicted_decrease=max(float(best.descent.predicted), 0.0),
            min_eigenvalue=min_slope(ev, plan),
            escape_gain=0.0 if best.inner is None else best.inner.here.escape_gain,
            evaluations=used + more + sum(f.evaluations for f in found),
            seconds=time.perf_counter() - began,
            message=message,
            control=control,
            start=tuple(theta_of_phi(best.start[: plan.n_theta], plan, here.stats).tolist()),
            starts=len(found) + looks,
            path=best.descent.path,
            route="NumPy sweeps",
            escapes=0 if best.inner is None else best.inner.log.escapes,
            snaps=0 if best.inner is None else best.inner.log.snaps,
        ),
    )


def _lowest(best: Found, control: Control) -> tuple[Found, int, int]:
    """The lowest that farther starts lead to; how many there were, and their evaluations."""
    starts = used = 0
    for _ in range(_JOURNEYS):
        if _verdict(best.here, best.descent.converged) is not None:
            break
        lower = best
        for point in farther_starts(best.here):
            led, evaluations = look_from(best.here, point, control)
            starts, used = starts + 1, used + evaluations
            if led is None:
                continue
            try:
                other = descend_from(best.here.objective, led, control)
            except np.linalg.LinAlgError:
                continue
            used += other.evaluations
            lower = min(lower, other, key=lambda f: f.here.value)
        if lower.here.value > best.here.value - _SAME:
            break
        best = lower
    return best, starts, used


def _replaced(objective: ResidualObjective, model: ResidualModel) -> ResidualObjective:
    return replace(objective, sums=replace(objective.sums, model=model))


def _uncentered(here: ResidualPoint, shift: FloatArray) -> FloatArray:
    """The point in the predictors as they are: sigma is then another, and so are ratios to it.

    Raises
    ------
    ResidualStructureError
        If that sigma is out of reach.
    """
    plan, parts, at = here.objective.plan, [], 0
    away = float(shift @ here.free[: len(shift)])
    if abs(away) > _FARTHEST:
        names = here.objective.sums.model.names
        far = ", ".join(name for name, x in zip(names, shift, strict=False) if x)
        raise ResidualStructureError(
            f"{far}: the predictor is far from zero, where sigma is defined, which would be "
            f"exp({away:.0f}) times its value at the data: centre it, '~ I(x - 2000)' or "
            "'~ scale(x)'"
        )
    ratio = float(np.exp(away))
    for s in plan.shapes:
        own = here.point[at : at + s.count].copy()
        n_sd = s.count if s.structure.linear else s.count - len(s.structure.parameters(s.k))
        own[:n_sd] *= ratio
        parts.append(own)
        at += s.count
    return np.concatenate([*parts, here.free])


_ADVICE = (
    "the optimum could not be certified: the criterion still falls in some direction but no step "
    "lowers it; take a simpler residual structure or fewer random effects"
)


def _without_structure(
    objective: ResidualObjective, start: FloatArray | None, control: Control
) -> Optimum | None:
    """The optimum with independent residuals of one variance; None without random effects."""
    if not objective.plan.n_theta:
        return None
    base = objective.sums.base
    return optimize(objective.plan, base, REML=objective.REML, start=start, control=control)


def descend_from(objective: ResidualObjective, point: FloatArray, control: Control) -> Found:
    """Descend together; then off every boundary of the random effects, and together again.

    Raises
    ------
    numpy.linalg.LinAlgError
        If there is no criterion at the point.
    """
    here, used, plan = objective.at(point), 1, objective.plan
    if not np.isfinite(here.value):
        raise np.linalg.LinAlgError
    inner = None
    for _ in range(_ROUNDS):
        descent = minimize(
            objective.at, here, tolerance=control.tolerance,
            max_evaluations=max(2, control.max_evaluations - used),
        )  # fmt: skip
        used += descent.evaluations
        here = descent.best
        if not plan.n_theta or (not descent.converged and _edge(here, False) is not None):
            break  # further digits of the criterion are rounding
        own = Objective(plan=plan, stats=here.stats, REML=objective.REML)
        inner = local_optimum(own, here.point[: plan.n_theta], control)
        used += inner.log.evaluations
        moved = attempt(objective.at, np.concatenate([inner.here.point, here.free]))
        if moved is None:
            break
        gain, here = here.value - moved.value, moved
        if gain <= _SAME:
            break
    return Found(here=here, descent=descent, inner=inner, evaluations=used, start=point)


def _edge(here: ResidualPoint, converged: bool) -> str | None:
    """Rows that are fitted exactly, or correlations of 1."""
    model = here.objective.sums.model
    n = here.objective.plan.n_theta
    curvatures, values = np.diag(here.hessian[n:, n:]), model.natural(here.free)
    spreads = np.zeros(len(values))
    spreads[: model.q] = np.abs(here.free[: model.q]) * np.ptp(model.classes, axis=0)
    for name, value, spread, curvature_of in zip(
        model.names, values, spreads, curvatures, strict=True
    ):
        falls = not converged or curvature_of < _LEAST_CURVATURE
        if spread > (_NEAR_EDGE if falls else _EDGE_LOG_RATIO):
            return _of_exact_rows(name, value)
        if name.startswith("rho") and 1.0 - abs(value) < _EDGE_CORRELATION:
            return _of_whole_correlation(name, value, here)
    return None


def _verdict(here: ResidualPoint, converged: bool) -> str | None:
    """What keeps a stationary point from being an optimum of interest: an edge, a flat ridge."""
    edge = _edge(here, converged)
    if edge is not None:
        return edge
    model = here.objective.sums.model
    n = here.objective.plan.n_theta
    H = here.hessian[n:, n:]
    if not H.size:
        return None
    if _least_eigenvalue(model, here.free) < _SINGULAR:
        return (
            "at the edge: the matrix of the residuals becomes singular, so some combinations of "
            "rows are fitted exactly and the likelihood has no maximum; take a simpler structure, "
            "cs or ar1"
        )
    d = 1.0 / np.sqrt(np.abs(np.diag(H)).clip(min=1e-300))
    roots, vectors = np.linalg.eigh(H * np.outer(d, d))
    if roots[0] > _FLAT_EIGENVALUE:
        return None
    named = [m for m, x in zip(model.names, vectors[:, 0], strict=True) if abs(x) > _NAMED]
    return (
        f"{_FLAT} {', '.join(named)} apart from what else is in the model; take "
        "a simpler residual structure or fewer random effects"
    )


def _of_exact_rows(name: str, value: float) -> str:
    """What is said where standard deviations of some rows are next to none of those of others."""
    if name.startswith("sd_ratio"):
        end, advice = "zero" if value < 1 else "infinity", "join this stratum with another one"
    else:
        end, advice = f"{np.sign(value) * np.inf:+}", "take a simpler dispersion="
    return f"at the edge: {name} goes to {end}, so some rows are fitted exactly; {advice}"


def _of_whole_correlation(name: str, value: float, here: ResidualPoint) -> str:
    """What is said where residuals of a block determine one another."""
    model = here.objective.sums.model
    if model.structure is not None and model.structure.time == LEVELS:
        apart = ", or no by=" if len(model.correlations) > 1 else ""
        advice = (
            ", so some combinations of rows are fitted exactly; take a simpler structure, ar1 or "
            f"cs{apart}"
        )
    elif here.objective.plan.n_theta:
        advice = (
            "; the random effects and this residual structure explain the same, drop one of them"
        )
    else:
        advice = "; the rows of a block hardly differ but by their predictors: take their means"
    return f"at the edge: {name} goes to {np.sign(value):+.0f}{advice}"


def _least_eigenvalue(model: ResidualModel, free: FloatArray) -> float:
    """Of the correlations between levels, over the groups; 1 of structures without levels."""
    if model.structure is None or model.structure.time != LEVELS:
        return 1.0
    least = []
    for part, own in zip(model.correlations, model.cuts, strict=True):
        R = np.asarray(model.structure.matrix(free[own], model.levels_of(part)))
        sd = np.sqrt(np.diag(R))
        least.append(float(np.linalg.eigvalsh(R / np.outer(sd, sd))[0]))
    return min(least)
