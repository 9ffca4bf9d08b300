"""The optimum where large crossed factors are eliminated iteratively.

Newton's method on the gradient, whose quadratic forms are exact and whose traces are means over
fixed random vectors, with average information (Gilmour, Thompson & Cullis 1995). As many vectors
are taken as bring the Monte Carlo error of theta below a share of its standard error.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from nestedmlm._typing import FloatArray
from nestedmlm.likelihood.elimination import IterativelyEliminated
from nestedmlm.likelihood.plan import Plan, jacobian, phi_of_theta
from nestedmlm.optimum.control import Control
from nestedmlm.optimum.objective import Objective, ObjectiveAt
from nestedmlm.optimum.optimize import Optimum, optimize
from nestedmlm.optimum.penalty import Penalty
from nestedmlm.optimum.quadratic import local_step, within
from nestedmlm.optimum.trust_region import RADIUS, Descent, attempt
from nestedmlm.statistics.crossproducts import CrossProducts
from nestedmlm.statistics.parts import twice_products

LARGEST_SHARE = 0.02  # Monte Carlo error of theta, in standard errors, that a certificate allows
MOST_PROBES = 1024  # random vectors
_SPARE = 1.5  # times the vectors that seem to be needed are taken
_TOLERANCE = 1e-6  # deviance units a Newton step may still promise
_UNKNOWN = 2e-4  # deviance units by which theta is off at 2 % of its standard error
_SHRINKS = 0.9  # share of what Newton's method promised that a step must undercut
_SMALLEST_RADIUS = 1e-8  # trust radius at which no step is short enough


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class IterativeObjective(Objective):
    """The criterion with a Monte Carlo error: its values and its gradient agree only up to that."""

    def noise(self, value: float) -> float:
        """Differences from a value that mean nothing where a choice has to be made."""
        return _UNKNOWN

    @property
    def route(self) -> str:
        """Name of the way to descend."""
        return "iterative"

    def descend(
        self, phi: FloatArray, *, tolerance: float, max_evaluations: int
    ) -> Descent[ObjectiveAt]:
        """Newton's method on the gradient: the value decides only where it can."""
        here, radius, lower = self.at(phi), RADIUS, self.lower
        path, used = [here.value], 1
        while True:
            promised, _, step, predicted = local_step(
                here.hessian, here.gradient, radius, here.point, lower
            )
            if promised <= tolerance or used >= max_evaluations or radius < _SMALLEST_RADIUS:
                break
            used += 1
            there = attempt(self.at, within(here.point + step, lower))
            if there is not None and _is_better(there, here, predicted, promised, lower):
                here, radius = there, 3.0 * radius
                path.append(here.value)
            else:
                radius = 0.25 * float(np.linalg.norm(step))
        return Descent(
            best=here,
            evaluations=used,
            predicted=promised,
            converged=promised <= tolerance,
            path=tuple(path),
        )


def _is_better(
    there: ObjectiveAt,
    here: ObjectiveAt,
    predicted: float,
    promised: float,
    lower: FloatArray | None,
) -> bool:
    """Whether the value fell, or Newton's method promises less than before."""
    if here.value - there.value > 0.1 * predicted:
        return True
    left, *_ = local_step(there.hessian, there.gradient, RADIUS, there.point, lower)
    return left < _SHRINKS * promised


def optimize_iteratively(
    plan: Plan,
    stats: CrossProducts,
    *,
    REML: bool,
    start: FloatArray | None = None,
    control: Control | None = None,
    penalty: Penalty | None = None,
) -> Optimum:
    """Minimise the criterion of sparse statistics; the arguments are those of `optimize`.

    Raises
    ------
    OptionError, DataError
        As `optimize`.
    """
    asked, phi, evaluations = control or Control(), None, 0
    looser = replace(
        asked,
        tolerance=max(asked.tolerance, _TOLERANCE),
        escape_tolerance=max(asked.escape_tolerance, _UNKNOWN),
    )
    while True:
        found = optimize(
            plan, stats, REML=REML, start=start, control=looser, penalty=penalty, phi=phi,
            make=IterativeObjective,
        )  # fmt: skip
        evaluations += found.certificate.evaluations
        objective = IterativeObjective(plan=plan, stats=stats, REML=REML, penalty=penalty)
        error = monte_carlo_error(objective.around(found.evaluation))
        sums = stats.sparse
        assert sums is not None
        enough = error.share <= LARGEST_SHARE
        if enough or sums.probes >= MOST_PROBES or not found.certificate.holds:
            break
        needed = math.ceil(_SPARE * sums.probes * (error.share / LARGEST_SHARE) ** 2)
        stats = replace(stats, sparse=replace(sums, probes=min(MOST_PROBES, needed)))
        phi = phi_of_theta(found.theta, plan, stats)
    holds = found.certificate.holds and enough
    certificate = replace(
        found.certificate,
        holds=holds,
        message=_message(holds, error),
        control=asked,
        evaluations=evaluations,
        monte_carlo_error=error.share,
    )
    return replace(found, certificate=certificate)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MonteCarloError:
    """Monte Carlo error of an iterative optimum.

    Attributes
    ----------
    share : float
        Largest ratio of a covariance parameter's Monte Carlo error to its standard error.
    criterion : float
        Standard error of the criterion.
    """

    share: float
    criterion: float


def monte_carlo_error(here: ObjectiveAt) -> MonteCarloError:
    """Error of the estimates that is due to the random vectors, from their spread."""
    plan, stats, state = here.objective.plan, here.objective.stats, here.evaluation.state
    assert isinstance(state, IterativelyEliminated)
    J, T = jacobian(here.point, plan), here.evaluation.T
    n, noise = len(state.logdet_draws), np.zeros((plan.n_theta,) * 2)
    for draws in state.info_draws:  # of one factor's vectors
        slopes = np.array([J.T @ twice_products(d, T, stats.parts) for d in draws])
        noise += np.atleast_2d(np.cov(slopes, rowvar=False)) / n
    values, vectors = np.linalg.eigh(here.hessian)
    keep = values > 1e-10 * max(float(values[-1]), 1e-300)
    inverse = (vectors[:, keep] / values[keep]) @ vectors[:, keep].T
    moved, own = np.diag(inverse @ noise @ inverse), 2.0 * np.diag(inverse)
    shares = np.sqrt(moved[own > 0] / own[own > 0])
    return MonteCarloError(
        share=float(np.max(shares, initial=0.0)),
        criterion=float(np.std(state.logdet_draws, ddof=1) / math.sqrt(n)),
    )


def _message(holds: bool, error: MonteCarloError) -> str:
    found = (
        f"Monte Carlo error of theta {100.0 * error.share:.1f} % of its standard error, of the "
        f"criterion {error.criterion:.2g}"
    )
    if holds:
        return f"local optimum certified; {found}"
    return (
        f"the optimum could not be certified; {found}. Start nearer (start=), allow more "
        "(control=Control(max_evaluations=...)), or simplify the random effects"
    )
