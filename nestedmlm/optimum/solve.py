"""From a design to the model at its optimum: what every fit goes through."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from nestedmlm._typing import FloatArray
from nestedmlm.arguments import check_instance
from nestedmlm.callers import PACKAGE
from nestedmlm.design.design import Design
from nestedmlm.errors import ConvergenceWarning, DataError, OptionError
from nestedmlm.late import late_imports
from nestedmlm.likelihood.elimination.speed import held, refit_seconds
from nestedmlm.likelihood.plan import make_plan
from nestedmlm.likelihood.solution import Solution, results_of
from nestedmlm.likelihood.threads import blas_threads
from nestedmlm.optimum.certificate import Certificate
from nestedmlm.optimum.control import DEFAULT, Control
from nestedmlm.optimum.optimize import ROUNDED, UNKNOWN, Optimum, optimize
from nestedmlm.optimum.penalty import Penalty, resolve_penalty
from nestedmlm.optimum.precise import REPRODUCED, optimize_precisely
from nestedmlm.optimum.saturated import without_maximum
from nestedmlm.progress import interruptible
from nestedmlm.statistics.crossproducts import CrossProducts, cross_products
from nestedmlm.statistics.sufficient_statistics import check_magnitude

if TYPE_CHECKING:
    from nestedmlm.optimum.graph_objective import graph_objective
    from nestedmlm.optimum.iterative import optimize_iteratively
    from nestedmlm.optimum.nloptwrap import stop_as_lme4
    from nestedmlm.optimum.residual_optimum import optimize_residuals
    from nestedmlm.statistics.pair_sums import pair_sums
else:  # each loads when it is first asked for
    globals().update(
        late_imports(
            "nestedmlm",
            {
                "optimum.graph_objective": "graph_objective",
                "optimum.iterative": "optimize_iteratively",
                "optimum.nloptwrap": "stop_as_lme4",
                "optimum.residual_optimum": "optimize_residuals",
                "statistics.pair_sums": "pair_sums",
            },
        )
    )

OPTIMIZERS: Mapping[str, Callable[..., Optimum]] = MappingProxyType(
    {
        "newton": optimize_precisely,
        "pytensor": lambda _design, *model, **how: optimize(*model, make=graph_objective, **how),
        "iterative": lambda _design, *model, **how: optimize_iteratively(*model, **how),
        "lme4": stop_as_lme4,
    }
)
# deviance units above the optimum that are worth a warning: those who ask for lme4's place expect
# to be near it, not at it
WARNED_FROM = MappingProxyType({"newton": 0.0, "pytensor": 0.0, "lme4": 1e-3})
_FEW_ROWS = 5.0  # for a parameter of residuals and random effects: with fewer optima are many
_WORST_DISCREPANCY = 1e-6  # relative, of residuals and crossproducts: more deserves a warning


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Solved:
    """A solution, and how it was found.

    Attributes
    ----------
    solution : Solution
        The model at the optimum.
    REML : bool
        The criterion: REML or maximum likelihood.
    information : (n, n) array or None
        Average information in the free entries of the covariances there, if it is known.
    certificate : Certificate
        What was checked at the optimum.
    penalty : Penalty or None
    """

    solution: Solution
    REML: bool
    information: FloatArray | None
    certificate: Certificate
    penalty: Penalty | None


def solve(
    design: Design,
    *,
    REML: bool,
    start: FloatArray | None = None,
    control: Control | None = None,
    penalty: Penalty | str | None = None,
    stats: CrossProducts | None = None,
) -> Solved:
    """Find the optimum of a design's criterion, and the solution there.

    Parameters
    ----------
    design : Design
    REML : bool
        Without fixed effects REML is maximum likelihood, as in lme4.
    start : (n_theta,) array, optional
        Theta to start from.
    control : Control, optional
        With ``optimizer="lme4"`` where lme4 stops, in place of the optimum.
    penalty : {"wishart"} or Penalty, optional
    stats : CrossProducts, optional
        ``cross_products(design)``, where the caller has them already.

    Returns
    -------
    Solved

    Raises
    ------
    DataError
        If the criterion cannot be computed.
    OptionError
        For a design, control or stats of another class, and settings that do not go together.
    """
    REML = bool(REML) and check_instance(design, Design, "design").p > 0
    control = DEFAULT if control is None else check_instance(control, Control, "control")
    if stats is not None:
        check_instance(stats, CrossProducts, "stats")
    if design.residual is not None:
        return _solve_residuals(design, REML=REML, start=start, control=control, penalty=penalty)
    method = control.method if control.optimizer == "newton" else "exact"
    stats = stats or cross_products(design, method=method)
    plan = make_plan(design, stats)
    prior = resolve_penalty(penalty, plan)
    exact = stats.sparse is None
    if stats.sigma is not None and (not exact or control.optimizer != "newton"):
        raise OptionError(
            "a known sigma is fitted by Newton's method to the exact criterion: leave method= out"
        )
    find = OPTIMIZERS[control.optimizer if exact else "iterative"]
    seconds = refit_seconds(stats, 1) if exact else 0.0  # in the sweeps, which those do without
    try:
        with held(seconds), blas_threads(stats), interruptible():
            optimum = find(
                design, plan, stats, REML=REML, start=start, control=control, penalty=prior
            )
            best, used = optimum.evaluation, optimum.stats
            solution = results_of(design, optimum.theta, best.T, best.state, plan, used, REML=REML)
    except (ArithmeticError, np.linalg.LinAlgError) as error:
        raise DataError(
            f"the criterion of this model cannot be computed ({error}): its effects reproduce the "
            "response exactly, or numbers are so large or small that digits are lost; rescale them"
        ) from error
    certificate = optimum.certificate
    if certificate.holds and prior is None:
        endless = without_maximum(design, stats, REML=REML)
        if endless is not None:
            certificate = replace(certificate, holds=False, message=endless)
    return Solved(
        solution=solution,
        REML=REML,
        information=optimum.information,
        certificate=certificate,
        penalty=prior,
    )


def _solve_residuals(
    design: Design,
    *,
    REML: bool,
    start: FloatArray | None,
    control: Control,
    penalty: Penalty | str | None,
) -> Solved:
    """`solve` for residuals that differ or correlate."""
    if penalty is not None or control.optimizer != "newton" or control.method == "iterative":
        raise OptionError(
            "residuals that differ or correlate (dispersion=, residual=) are fitted by Newton's "
            "method to the exact criterion, without a penalty: leave penalty= and method= out"
        )
    if design.weights is not None:
        check_magnitude("the column of weights", design.weights)
    try:
        sums = pair_sums(design)
        plan = make_plan(design, sums.base)
        found = optimize_residuals(plan, sums, REML=REML, start=start, control=control)
        best = found.evaluation
        solution = results_of(design, found.theta, best.T, best.state, plan, found.stats, REML=REML)
    except (ArithmeticError, np.linalg.LinAlgError) as error:
        raise DataError(f"the criterion of this model cannot be computed ({error})") from error
    return Solved(
        solution=solution,
        REML=REML,
        information=None,
        certificate=found.certificate,
        penalty=None,
    )


def remarks_on_precision(found: Solved) -> tuple[str, ...]:
    """Say how well the optimum is known, where it is not to all digits that are printed."""
    message = found.certificate.message
    if found.solution.stats.sparse is not None:
        return (f"crossed factors eliminated iteratively: {message}",)
    said = (message,) if message.startswith(ROUNDED) else ()
    return said if found.solution.stats.residual is None else (*said, *_other_optima(found))


def _other_optima(found: Solved) -> tuple[str, ...]:
    """Say that covariances have so many parameters that their optimum is one of several."""
    s, at = found.solution, found.solution.stats.residual
    parameters = len(s.theta) + (0 if at is None else len(at.free))
    rows = s.design.n - s.design.p
    if rows >= _FEW_ROWS * parameters:
        return ()
    return (
        f"{parameters} parameters of random effects and residuals on {rows} degrees of freedom: "
        "there may be lower optima than this one, also at an edge where rows are fitted exactly; "
        "take a simpler structure",
    )


def warn_uncertified(found: Solved) -> tuple[str, ...]:
    """Warn of an optimum that is not certified, and of arithmetic that lost too many digits.

    Returns
    -------
    tuple of str
        What it warned of.
    """
    certificate = found.certificate
    near = certificate.gap < WARNED_FROM[certificate.control.optimizer]
    said = [] if certificate.holds or near else [certificate.message]
    rounded = certificate.message.startswith(
        (ROUNDED, UNKNOWN, REPRODUCED)
    )  # which says why they disagree
    if found.solution.discrepancy > _WORST_DISCREPANCY and not rounded:
        said.append(
            "residuals and crossproducts disagree on the residual sum of squares by a relative "
            f"{found.solution.discrepancy:.1e}: some predictors are nearly collinear or on extreme "
            "scales; centre and rescale them"
        )
    for message in said:
        warnings.warn(message, ConvergenceWarning, skip_file_prefixes=PACKAGE)
    return tuple(said)
