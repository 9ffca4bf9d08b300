"""Many responses of one design fitted together: what the bootstrap and power need.

Each response is its own optimum, found as `nestedmlm.optimum.optimize` finds it; what they share is
the design, its statistics, and one compiled loop or sweeps over all of them. Where a descent ends
near the boundary of the covariances, `optimize` itself takes over for that response.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from nestedmlm._typing import FloatArray
from nestedmlm.errors import DataError, OptionError
from nestedmlm.likelihood.criterion import degrees
from nestedmlm.likelihood.elimination.point_sweep import stacks
from nestedmlm.likelihood.elimination.response_points import response_data
from nestedmlm.likelihood.elimination.speed import Speed, held, refit_seconds, speed
from nestedmlm.likelihood.plan import SINGULAR, Plan, linear_map, make_plan, theta_of_phi
from nestedmlm.optimum.control import Control
from nestedmlm.optimum.fused import CONVERGED, applies, descend_compiled
from nestedmlm.optimum.many_responses import least_factor, optima_together
from nestedmlm.optimum.one_variance import (
    fit_one_variance,
    has_one_variance,
    is_singular,
    level_sums,
    theta_of_tau,
)
from nestedmlm.optimum.optimize import optimize
from nestedmlm.optimum.response_objective import ResponseObjective, seconds_together, serves
from nestedmlm.optimum.starts import starting_point
from nestedmlm.statistics.crossproducts import CrossProducts, cross_products
from nestedmlm.statistics.responses import Responses, in_chunks

if TYPE_CHECKING:
    from nestedmlm.design.design import Design


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Batch:
    """The optima of m responses.

    Attributes
    ----------
    theta : (m, n_theta) array
        lme4's covariance parameters.
    criterion : (m,) array
        REML criterion or deviance.
    sigma : (m,) array
        Residual standard deviations.
    beta : (m, p) array
        Fixed effects.
    std_error : (m, p) array
        Their standard errors.
    converged : (m,) bool array
        Whether each optimum is certified.
    singular : (m,) bool array
        Whether some direction of some term has variance zero.
    evaluations : (m,) int array
    """

    theta: FloatArray
    criterion: FloatArray
    sigma: FloatArray
    beta: FloatArray
    std_error: FloatArray
    converged: npt.NDArray[np.bool_]
    singular: npt.NDArray[np.bool_]
    evaluations: npt.NDArray[np.int64]


def refit_many(
    design: Design,
    Y: FloatArray,
    *,
    REML: bool = True,
    start: FloatArray | None = None,
    stats: CrossProducts | None = None,
    workers: int = 1,
    progress: Callable[[int], None] | None = None,
) -> Batch:
    """Fit the model of a design to each column of `Y`.

    Parameters
    ----------
    design : Design
    Y : (n, m) array
        Responses for the rows of the design, one per column.
    REML : bool
    start : (n_theta,) array, optional
        Theta to start from, for example that of the fit the responses were simulated from.
    stats : CrossProducts, optional
        ``cross_products(design)`` where the caller has it already.
    workers : int
        Threads; the result does not depend on their number.
    progress : callable, optional
        Told how many more responses are done, after every few or every few hundred.

    Returns
    -------
    Batch

    Raises
    ------
    DataError
        If `Y` has the wrong shape or holds what is no number.
    """
    Y = np.asarray(Y, dtype=np.float64)
    n = design.n if design.rows is None else design.rows.n
    if Y.ndim != 2 or Y.shape[0] != n:
        raise DataError(f"Y must have one row for each of the {n} rows, got {Y.shape}")
    if not np.all(np.isfinite(Y)):
        raise DataError("the responses hold missing or infinite values")
    if workers < 1:
        raise OptionError(f"workers must be at least 1, not {workers}")
    stats = stats or cross_products(design)
    plan = make_plan(design, stats)
    with held(batch_seconds(design, stats, Y.shape[1])):
        parts = [
            _refit_chunk(chunk, plan, REML, start, workers, progress or _ignore)
            for chunk in in_chunks(design, stats, Y)
        ]
    return Batch(**{name: np.concatenate([p[name] for p in parts]) for name in _FIELDS})


def on_arrays(design: Design, stats: CrossProducts) -> bool:
    """Whether responses to a design are fitted together, by one computation on arrays."""
    plan = make_plan(design, stats)
    return has_one_variance(plan, stats) or serves(plan, stats)


def batch_seconds(design: Design, stats: CrossProducts, responses: int) -> float:
    """Seconds that so many responses spend in NumPy's sweeps: none with one variance."""
    plan = make_plan(design, stats)
    if has_one_variance(plan, stats):
        return 0.0
    if serves(plan, stats):
        return seconds_together(plan, stats, responses)
    return refit_seconds(stats, responses)


_FIELDS = tuple(Batch.__dataclass_fields__)


def _ignore(done: int) -> None:
    """Progress callback that does nothing."""


def _refit_chunk(
    chunk: Responses,
    plan: Plan,
    REML: bool,
    start: FloatArray | None,
    workers: int,
    progress: Callable[[int], None],
) -> dict[str, np.ndarray]:
    m = chunk.m
    out = {
        "theta": np.empty((m, plan.n_theta)),
        "criterion": np.empty(m),
        "sigma": np.empty(m),
        "beta": np.empty((m, chunk.stats.p)),
        "std_error": np.empty((m, chunk.stats.p)),
        "converged": np.zeros(m, dtype=bool),
        "singular": np.zeros(m, dtype=bool),
        "evaluations": np.zeros(m, dtype=np.int64),
    }
    if has_one_variance(plan, chunk.stats):
        converged, arrived = _newton_for_all(chunk, plan, REML, progress, out), None
    else:
        converged, arrived = _descend_all(chunk, plan, REML, start, workers, progress, out)
    for j in np.flatnonzero(~converged).tolist():
        _fit_one(j, chunk, plan, REML, start, None if arrived is None else arrived[j], out)
        progress(1)
    return out


def _newton_for_all(
    chunk: Responses,
    plan: Plan,
    REML: bool,
    progress: Callable[[int], None],
    out: dict[str, np.ndarray],
) -> npt.NDArray[np.bool_]:
    """Fit all responses of a model with one variance: for which that went well."""
    stats = chunk.stats
    found = fit_one_variance(level_sums(chunk), stats, REML)
    out["theta"][:] = theta_of_tau(found.tau, plan, stats)
    out["criterion"][:], out["evaluations"][:] = found.criterion, found.evaluations
    at, df = found.at, degrees(stats, REML).df
    _put_estimates(out, np.arange(chunk.m), chunk, df, at.r2, at.b, at.inverse)
    out["converged"][:], out["singular"][:] = found.converged, is_singular(found.tau)
    progress(int(found.converged.sum()))
    return found.converged


def _put_estimates(
    out: dict[str, np.ndarray],
    lanes: npt.NDArray[np.int64],
    chunk: Responses,
    df: float,
    r2: FloatArray,
    b: FloatArray,
    inverse: FloatArray,
) -> None:
    """Write sigma, beta and its standard errors of some responses, from b in scaled columns."""
    Ri = chunk.stats.R_x_inverse
    with np.errstate(invalid="ignore"):  # of those that are fitted once more
        out["sigma"][lanes] = np.sqrt(r2 / df)
        unit = np.sqrt(np.einsum("ab,ibc,ac->ia", Ri, inverse, Ri))
    out["beta"][lanes] = chunk.beta0[:, lanes].T + b @ Ri.T
    out["std_error"][lanes] = out["sigma"][lanes, None] * unit


def _descend_all(
    chunk: Responses,
    plan: Plan,
    REML: bool,
    start: FloatArray | None,
    workers: int,
    progress: Callable[[int], None],
    out: dict[str, np.ndarray],
) -> tuple[npt.NDArray[np.bool_], FloatArray | None]:
    """Descend for every response: for which that led to an optimum, and where all arrived."""
    stats, converged = chunk.stats, np.zeros(chunk.m, dtype=bool)
    fast, together = speed(stats) == Speed.DESCENT and applies(plan, stats), serves(plan, stats)
    if not (fast or together):
        return converged, None
    phi = np.repeat(starting_point(plan, stats, start)[None], chunk.m, axis=0)
    if fast:
        _descend_compiled(chunk, plan, REML, workers, progress, phi, converged, out)
    if together:
        _sweep_rest(chunk, plan, REML, progress, phi, converged, out)
    out["converged"][:] = converged
    for j in np.flatnonzero(converged).tolist():
        out["theta"][j] = theta_of_phi(phi[j], plan, stats)
    return converged, phi


def _descend_compiled(
    chunk: Responses,
    plan: Plan,
    REML: bool,
    workers: int,
    progress: Callable[[int], None],
    phi: FloatArray,
    converged: npt.NDArray[np.bool_],
    out: dict[str, np.ndarray],
) -> None:
    """Descend from `phi` one after the other, in place."""
    stats, control, of_criterion = chunk.stats, Control(), degrees(chunk.stats, REML)

    def work(j: int) -> bool:
        own = chunk.statistics(j)
        found = descend_compiled(
            plan, own, phi[j], of_criterion,
            tolerance=control.tolerance, max_evaluations=control.max_evaluations,
        )  # fmt: skip
        phi[j] = found.phi
        out["criterion"][j], out["evaluations"][j] = found.value, found.evaluations
        out["sigma"][j] = np.sqrt(found.at.r2 / of_criterion.df)
        out["beta"][j] = own.beta0 - stats.R_x_inverse @ found.at.v[:-1]
        out["std_error"][j] = out["sigma"][j] * _unit_errors(found.at.inverse, stats)
        inside = least_factor((linear_map(plan) @ phi[j])[None], stats)[0] > control.snap
        return bool(found.status == CONVERGED and inside)

    with ThreadPoolExecutor(workers) as pool:
        for j, done in enumerate((map if workers == 1 else pool.map)(work, range(chunk.m))):
            converged[j] = done
            progress(int(done))


def _sweep_rest(
    chunk: Responses,
    plan: Plan,
    REML: bool,
    progress: Callable[[int], None],
    phi: FloatArray,
    converged: npt.NDArray[np.bool_],
    out: dict[str, np.ndarray],
) -> None:
    """Descend from `phi` with all that have not converged, by sweeps over many, in place."""
    stats, of_criterion = chunk.stats, degrees(chunk.stats, REML)
    rest = np.flatnonzero(~converged)
    for lanes in (rest[some] for some in stacks(len(rest), stats, tables=False)):
        data = response_data(chunk, lanes)
        objective = ResponseObjective(plan=plan, stats=stats, data=data, degrees=of_criterion)
        try:
            found = optima_together(objective, phi[lanes], Control())
        except np.linalg.LinAlgError:  # some response's: single fits say which
            continue
        at, phi[lanes], converged[lanes] = found.at, found.phi, found.converged
        out["criterion"][lanes] = at.value
        out["evaluations"][lanes] += found.evaluations
        _put_estimates(out, lanes, chunk, of_criterion.df, at.r2, -at.v[:, :-1], at.inverse)
        out["singular"][lanes] = least_factor(found.phi @ linear_map(plan).T, stats) < SINGULAR
        progress(int(found.converged.sum()))


def _fit_one(
    j: int,
    chunk: Responses,
    plan: Plan,
    REML: bool,
    start: FloatArray | None,
    arrived: FloatArray | None,
    out: dict[str, np.ndarray],
) -> None:
    """Fit one response as a single fit is fitted, from where its descent arrived."""
    stats = chunk.statistics(j)
    optimum = optimize(plan, stats, REML=REML, start=start, phi=arrived)
    ev = optimum.evaluation
    out["theta"][j] = optimum.theta
    out["criterion"][j] = ev.criterion
    df = degrees(stats, REML).df
    out["sigma"][j] = np.sqrt(ev.r2 / df) if stats.sigma is None else stats.sigma
    out["beta"][j] = stats.beta0 - stats.R_x_inverse @ ev.v[:-1]
    out["std_error"][j] = out["sigma"][j] * _unit_errors(ev.S_inverse, stats)
    out["converged"][j] = optimum.certificate.holds
    out["evaluations"][j] += optimum.certificate.evaluations
    out["singular"][j] = least_factor(ev.T[None, :], stats)[0] < SINGULAR


def _unit_errors(inverse: FloatArray, stats: CrossProducts) -> FloatArray:
    """Standard errors of the fixed effects over sigma, from ``S_xx^{-1}`` in scaled columns."""
    Ri = stats.R_x_inverse
    out: FloatArray = np.sqrt(np.einsum("ij,jk,ik->i", Ri, inverse[:-1, :-1], Ri))
    return out
