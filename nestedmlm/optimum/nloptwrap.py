"""The place where lme4's default optimizer (``nloptwrap``) stops, which is not quite the optimum.

NLopt's BOBYQA (Powell 2009) on the criterion as a function of theta, in the user's own columns,
with lme4's start, bounds and tolerances; then lme4's two looks at the boundary (``optimizeLmer``,
``check.boundary``). The path is lme4's as long as the last bits of the criterion do not decide it,
so the sweeps and BLAS take one route, whatever was fitted before.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from nestedmlm._typing import FloatArray
from nestedmlm.covariance import BUILT_IN, term_bounds
from nestedmlm.errors import DataError, OptionError
from nestedmlm.likelihood.criterion import degrees, profile
from nestedmlm.likelihood.elimination import eliminate
from nestedmlm.likelihood.elimination.speed import Speed, held, visit_seconds
from nestedmlm.likelihood.plan import Plan, flat_of_theta, phi_of_theta
from nestedmlm.optimum.certificate import Certificate, min_slope
from nestedmlm.optimum.control import Control
from nestedmlm.optimum.objective import Objective, ObjectiveAt
from nestedmlm.optimum.optimize import Optimum
from nestedmlm.optimum.penalty import Penalty
from nestedmlm.optimum.quadratic import newton_decrease
from nestedmlm.optimum.starts import checked_start
from nestedmlm.statistics.crossproducts import CrossProducts
from nestedmlm.statistics.one_thread import one_thread

if TYPE_CHECKING:
    from nestedmlm.design.design import Design
from nestedmlm.design.matrices.grouping import refuse_related

XTOL_ABS = FTOL_ABS = 1e-8  # lme4's `nloptwrap`: absolute changes of theta and of the criterion
XTOL_REL = 1e-4  # relative change of theta: nloptr's own default, which lme4 does not replace
MAX_EVALUATIONS = 100_000  # evaluations, lme4's `maxeval`
EDGE = 1e-5  # theta from a bound: lme4's `boundary.tol`, and the step of its `restart_edge`

# seconds of NumPy's for an evaluation from which the sweeps are compiled: this follows from the
# design, so that what was fitted before moves no last bits
COMPILED_FROM_SECONDS = 5e-4

type Criterion = Callable[[FloatArray], float]


@dataclass(slots=True, kw_only=True, eq=False)
class _Trace:
    """The criterion with a record of its evaluations: their number, the best so far."""

    criterion: Criterion
    evaluations: int = 0
    best: FloatArray = field(default_factory=lambda: np.empty(0))
    path: list[float] = field(default_factory=list)

    def __call__(self, theta: FloatArray, _gradient: FloatArray) -> float:
        value = self.criterion(theta)
        self.evaluations += 1
        if not self.path or value < self.path[-1]:
            self.path.append(value)
            self.best = theta.copy()
        return value


def stop_as_lme4(
    design: Design,
    plan: Plan,
    stats: CrossProducts,
    *,
    REML: bool,
    start: FloatArray | None,
    control: Control,
    penalty: Penalty | None,
) -> Optimum:
    """Go where lme4's ``lmer`` stops, and measure how far from the optimum that is.

    Parameters
    ----------
    design, plan, stats : Design, Plan, CrossProducts
    REML : bool
    start : (n_theta,) array or None
        Theta to start from, as it is; None: lme4's start.
    control : Control
        Goes into the certificate; lme4's tolerances are those of this module.
    penalty : None

    Returns
    -------
    Optimum
        Its certificate holds only where lme4 happened to stop at the optimum.

    Raises
    ------
    OptionError
        For what lme4 does not have (penalties, registered structures), and for a start outside the
        bounds.
    DataError
        Where the path leads to covariances at which the criterion cannot be computed.

    Notes
    -----
    lme4 1.1-31 and 2.0: ``mkLmerDevfun``, ``optimizeLmer``, ``check.boundary``, ``nloptwrap``.
    """
    _refuse_what_lme4_lacks(plan, penalty)
    refuse_related(design.factors, "lme4's optimizer")
    began = time.perf_counter()
    lower, upper = term_bounds(plan.shapes)
    first = lme4_start(design, plan) if start is None else checked_start(plan, start)
    if np.any(first < lower) or np.any(first > upper):
        raise OptionError(
            "start must lie within the bounds of theta: diagonal entries (standard deviations) are "
            "not negative; without start= the path begins where lme4's does"
        )
    trace = _Trace(criterion=lambda theta: _criterion(theta, plan, stats, REML))
    with held(choice=_speed(stats)), one_thread():
        theta, used_up = _bobyqa(trace, first, lower, upper)
        if falls_inwards(trace.criterion, theta, lower, upper):
            theta, used_up = _bobyqa(trace, theta, lower, upper)
        theta = on_the_edge(trace.criterion, theta, lower, upper)
    here = Objective(plan=plan, stats=stats, REML=REML).at(phi_of_theta(theta, plan, stats))
    return Optimum(
        theta=theta,
        evaluation=here.evaluation,
        stats=stats,
        information=here.curvature.information,
        certificate=_certificate(here, trace, first, control, used_up, began),
    )


def lme4_start(design: Design, plan: Plan) -> FloatArray:
    """Theta where lme4 starts.

    Standard deviations of 1 and correlations of 0; where all terms are ``(1 | g)`` of different g,
    the variances of the group means of y, relative to what they leave of the variance of y.
    """
    lower, _ = term_bounds(plan.shapes)
    standard: FloatArray = np.where(lower == 0.0, 1.0, 0.0)
    intercepts = all(t.columns == ("(Intercept)",) for t in design.terms)
    if not intercepts or len(design.terms) != len(design.factors):
        return standard
    codes = [design.factors[t.factor].codes for t in design.terms]
    means = [np.bincount(c, weights=design.y) / np.bincount(c) for c in codes]
    between = np.array([np.var(m[c], ddof=1) for m, c in zip(means, codes, strict=True)])
    within = float(np.var(design.y, ddof=1) - between.sum())
    return np.sqrt(between / within) if within > 0.0 else standard


def _speed(stats: CrossProducts) -> Speed:
    return Speed.SWEEPS if visit_seconds(stats) > COMPILED_FROM_SECONDS else Speed.NUMPY


def _refuse_what_lme4_lacks(plan: Plan, penalty: Penalty | None) -> None:
    if penalty is not None:
        raise OptionError("lme4's optimizer knows no penalties: leave out penalty= or control=")
    own = [s.structure.name for s in plan.shapes if s.structure not in BUILT_IN]
    if own:
        raise OptionError(
            f"lme4 does not have the covariance structure {own[0]}, so there is no place where it "
            "stops: leave out control=Control(optimizer='lme4')"
        )


def _criterion(theta: FloatArray, plan: Plan, stats: CrossProducts, REML: bool) -> float:
    df, reml, constant = degrees(stats, REML)
    try:
        state = eliminate(flat_of_theta(theta, plan, stats), stats)
        rest = profile(state.S)
    except np.linalg.LinAlgError as error:
        raise DataError(
            f"lme4's path has come to theta = {np.array2string(theta, precision=4)}, where the "
            "criterion cannot be computed (lme4 may say 'Downdated VtV is not positive definite'): "
            "rescale the predictors of random slopes, or leave out control= for the optimum, "
            "which does not depend on units"
        ) from error
    return state.logdet + reml * rest.log_sxx + df * float(np.log(rest.r2)) + constant


def _bobyqa(
    trace: _Trace, start: FloatArray, lower: FloatArray, upper: FloatArray
) -> tuple[FloatArray, bool]:
    """Where BOBYQA ends, and whether it had used up its evaluations."""
    import nlopt  # only those who ask for it wait for its import

    optimizer = nlopt.opt(nlopt.LN_BOBYQA, len(start))
    optimizer.set_min_objective(trace)
    optimizer.set_lower_bounds(lower)
    optimizer.set_upper_bounds(upper)
    optimizer.set_xtol_abs(XTOL_ABS)
    optimizer.set_ftol_abs(FTOL_ABS)
    optimizer.set_xtol_rel(XTOL_REL)
    optimizer.set_maxeval(MAX_EVALUATIONS)
    try:
        end = np.asarray(optimizer.optimize(start), dtype=np.float64) + 0.0  # no minus zeros
    except nlopt.RoundoffLimited:  # lme4 warns, and keeps the best point
        return trace.best, False
    return end, optimizer.last_optimize_result() == nlopt.MAXEVAL_REACHED


def falls_inwards(
    criterion: Criterion, theta: FloatArray, lower: FloatArray, upper: FloatArray
) -> bool:
    """Whether the criterion falls when a parameter leaves its bound (lme4's ``restart_edge``)."""
    here = criterion(theta)
    for bound, inwards in ((lower, EDGE), (upper, -EDGE)):
        for i in np.flatnonzero(theta == bound):
            if criterion(_with(theta, i, bound[i] + inwards)) < here:
                return True
    return False


def on_the_edge(
    criterion: Criterion, theta: FloatArray, lower: FloatArray, upper: FloatArray
) -> FloatArray:
    """Theta with entries close to a bound on it, where that lowers the criterion."""
    here, out = criterion(theta), theta
    for bound, distance in ((lower, theta - lower), (upper, upper - theta)):
        for i in np.flatnonzero((distance > 0.0) & (distance < EDGE)):
            if criterion(_with(theta, i, bound[i])) < here:
                out = _with(out, i, bound[i])
    return out


def _with(theta: FloatArray, i: int, value: float) -> FloatArray:
    out = theta.copy()
    out[i] = value
    return out


def _certificate(
    here: ObjectiveAt,
    trace: _Trace,
    start: FloatArray,
    control: Control,
    used_up: bool,
    began: float,
) -> Certificate:
    """What is true of the place: it is an optimum only if nothing more is promised."""
    slopes = here.free_gradient
    free = slopes == here.gradient
    values, vectors = np.linalg.eigh(here.hessian[np.ix_(free, free)])
    promised = float(newton_decrease(values, vectors.T @ slopes[free]))
    holds = promised <= control.tolerance and here.escape_gain <= control.escape_tolerance
    message = "lme4's optimizer has stopped at the optimum"
    if not holds:
        above = max(promised, here.escape_gain)
        message = (
            f"lme4's optimizer has stopped about {above:.1g} deviance units above an optimum; "
            "fit.polish() goes there"
        )
    if used_up:
        message += f"; it had used all its {MAX_EVALUATIONS} evaluations"
    return Certificate(
        holds=holds,
        gradient=float(np.max(np.abs(slopes), initial=0.0)),
        predicted_decrease=promised,
        min_eigenvalue=min_slope(here.evaluation, here.objective.plan),
        escape_gain=here.escape_gain,
        evaluations=trace.evaluations,
        seconds=time.perf_counter() - began,
        message=message,
        control=control,
        start=tuple(start.tolist()),
        starts=1,
        path=tuple(trace.path),
        route="NLopt BOBYQA",
        escapes=0,
        snaps=0,
    )
