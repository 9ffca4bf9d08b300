"""Estimates without each case or group: theta held, one Newton step away, or refitted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from types import MappingProxyType

import numpy as np

from nestedmlm._typing import FloatArray, IntArray
from nestedmlm.design.design import Design
from nestedmlm.errors import DataError, GroupingError, OptionError
from nestedmlm.inference.fitted import Fitted
from nestedmlm.inference.rows.deletion import (
    DeletionEstimates,
    check_sizes,
    delete_held,
    empty_estimates,
    write_estimates,
)
from nestedmlm.inference.rows.subset import without_rows
from nestedmlm.likelihood.plan import Plan, make_plan, phi_of_theta, theta_of_phi
from nestedmlm.likelihood.solution import Solution
from nestedmlm.likelihood.threads import blas_threads
from nestedmlm.optimum.objective import Objective
from nestedmlm.optimum.optimize import optimize
from nestedmlm.optimum.penalty import Penalty
from nestedmlm.optimum.quadratic import quadratic_step
from nestedmlm.optimum.residual_objective import ResidualObjective
from nestedmlm.optimum.solve import solve
from nestedmlm.optimum.trust_region import RADIUS
from nestedmlm.progress import gather
from nestedmlm.statistics.crossproducts import CrossProducts, cross_products
from nestedmlm.statistics.pair_sums import pair_sums

HELD = "none"
_NO_CRITERION = (
    "the criterion cannot be computed: the other rows hardly vary beside the random effects; leave "
    "other rows out, or fit a model that leaves something to the residuals"
)
ResidualMove = Callable[[Design, Solution, bool], tuple[CrossProducts, FloatArray, bool]]
Move = Callable[[Plan, CrossProducts, bool, FloatArray, Penalty | None], tuple[FloatArray, bool]]


def one_step(
    plan: Plan, stats: CrossProducts, REML: bool, theta: FloatArray, penalty: Penalty | None
) -> tuple[FloatArray, bool]:
    """One trust-region Newton step from `theta`, with the gradient and Hessian of these rows."""
    objective = Objective(plan=plan, stats=stats, REML=REML, penalty=penalty)
    here = objective.at(phi_of_theta(theta, plan, stats))
    step = quadratic_step(here.hessian, here.gradient, RADIUS)[2]
    return theta_of_phi(here.point + step, plan, stats), True


def to_the_optimum(
    plan: Plan, stats: CrossProducts, REML: bool, theta: FloatArray, penalty: Penalty | None
) -> tuple[FloatArray, bool]:
    """Optimise from `theta`."""
    found = optimize(plan, stats, REML=REML, start=theta, penalty=penalty)
    return found.theta, found.certificate.holds


def residuals_one_step(
    rest: Design, whole: Solution, REML: bool
) -> tuple[CrossProducts, FloatArray, bool]:
    """`one_step` in the covariances of random effects and residuals together."""
    sums, at = pair_sums(rest), whole.stats.residual
    assert at is not None
    sums = replace(sums, model=sums.model.like(at.model))
    plan = make_plan(rest, sums.base)
    objective = ResidualObjective(plan=plan, sums=sums, REML=REML and rest.p > 0)
    phi = phi_of_theta(whole.theta, plan, sums.base)
    here = objective.at(np.concatenate([phi, at.free]))
    new = here.point + quadratic_step(here.hessian, here.gradient, RADIUS)[2]
    stats = sums.at(new[plan.n_theta :])
    return stats, theta_of_phi(new[: plan.n_theta], plan, stats), True


def residuals_to_the_optimum(
    rest: Design, whole: Solution, REML: bool
) -> tuple[CrossProducts, FloatArray, bool]:
    """`to_the_optimum` in the covariances of random effects and residuals together."""
    start = whole.theta if whole.theta.size else None
    found = solve(rest, REML=REML, start=start)
    return found.solution.stats, found.solution.theta, found.certificate.holds


RESIDUAL_MOVES: MappingProxyType[str, ResidualMove] = MappingProxyType(
    {"full": residuals_to_the_optimum, "one-step": residuals_one_step}
)
MOVES: MappingProxyType[str, Move] = MappingProxyType(
    {"full": to_the_optimum, "one-step": one_step}
)


def leave_out(
    fitted: Fitted,
    sets: list[IntArray],
    *,
    refit: str,
    residuals: bool = False,
    progress: bool = True,
) -> DeletionEstimates:
    """Estimates without each set of rows.

    Parameters
    ----------
    fitted : Fitted
        With all rows.
    sets : list of int arrays
        Rows to leave out.
    refit : {"full", "one-step", "none"}
        Optimise theta anew from the fit's; move it by one Newton step; or hold it.
    residuals : bool
        Whether the residuals' covariance without each set is kept, which holds as many numbers as
        there are rows.
    progress : bool

    Returns
    -------
    DeletionEstimates
        After Ctrl-C of the sets done so far.

    Raises
    ------
    OptionError
        For an unknown `refit`.
    GroupingError
        If a grouping factor would have one level left (theta could not be estimated).
    DataError
        If too few rows would be left, or rows without which there is no criterion.
    """
    solution, design, REML = fitted.solution, fitted.design, fitted.REML
    start, penalty = solution.theta, fitted.penalty
    if refit == HELD:
        try:
            return delete_held(solution, design, sets, REML=REML)
        except np.linalg.LinAlgError as error:
            raise DataError(f"without one of the sets {_NO_CRITERION}") from error
    if refit not in MOVES:
        raise OptionError(f"refit={refit!r} is unknown; known: {', '.join((*MOVES, HELD))}")
    check_sizes(design, sets)
    out = empty_estimates(design, len(start), len(sets))

    def each() -> Iterator[None]:
        for g, gone in enumerate(sets):
            rest = without_rows(design, gone)
            check_levels(design, rest)
            try:
                write(g, rest)
            except np.linalg.LinAlgError as error:
                raise DataError(
                    f"without set {g + 1} of {len(sets)} (rows: {len(gone)}) {_NO_CRITERION}"
                ) from error
            yield

    def write(g: int, rest: Design) -> None:
        if rest.residual is not None:
            at, theta, out.converged[g] = RESIDUAL_MOVES[refit](rest, solution, REML)
            write_estimates(out, g, design, rest, theta, REML, at)
            if residuals:
                out.residual[g] = at.residual
            return
        stats = cross_products(rest)
        with blas_threads(stats):
            theta, out.converged[g] = MOVES[refit](
                make_plan(rest, stats), stats, REML and rest.p > 0, start, penalty
            )
            write_estimates(out, g, design, rest, theta, REML, stats)

    count = len(gather(each(), len(sets), "refits", show=progress))
    return replace(out, **{f.name: getattr(out, f.name)[:count] for f in fields(out)})


def check_levels(design: Design, rest: Design) -> None:
    """Refuse rows without which a factor has one level, or a group of residuals no rows."""
    for factor, left in zip(design.factors, rest.factors, strict=True):
        if len(left.levels) < 2 <= len(factor.levels):
            raise GroupingError(
                f"without those rows {factor.name} has one level left, from which no variance can "
                "be estimated; leave out smaller groups, or hold theta with refit='none'"
            )
    if design.residual is None or rest.residual is None or design.residual.by is None:
        return
    assert rest.residual.by is not None
    gone = np.setdiff1d(design.residual.by, rest.residual.by)
    if gone.size:
        raise GroupingError(
            f"without those rows {design.residual.by_levels[gone[0]]} of by= has none left, from "
            "which its residual covariance could be estimated; leave out smaller groups, or hold "
            "the covariances with refit='none'"
        )
