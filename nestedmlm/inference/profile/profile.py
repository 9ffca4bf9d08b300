"""Profiles of chosen parameters at the maximum-likelihood fit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from nestedmlm._typing import FloatArray
from nestedmlm.design.design import Design
from nestedmlm.design.model_parameters import ModelParameter, model_parameters
from nestedmlm.errors import DataError, NotDefinedError
from nestedmlm.inference.profile.coordinates import (
    Coordinates,
    PointAt,
    factors_at,
    held_coordinates,
    theta_at,
)
from nestedmlm.inference.profile.curve import ProfileCurve, make_curve
from nestedmlm.inference.profile.path import LOWER, ProfilePath, follow_profile, refine_path
from nestedmlm.inference.profile.point import LowerDeviance
from nestedmlm.inference.variances.parameters import parameter_values, values_at
from nestedmlm.late import late_imports
from nestedmlm.likelihood.elimination.speed import held, refit_seconds
from nestedmlm.likelihood.plan import term_places
from nestedmlm.likelihood.solution import Solution, results_at
from nestedmlm.likelihood.threads import blas_threads
from nestedmlm.optimum.optimize import optimize
from nestedmlm.progress import gather

if TYPE_CHECKING:
    from nestedmlm.inference.profile.generalized_deviance import generalized_coordinates
    from nestedmlm.inference.profile.residual_deviance import (
        refitted_residuals,
        residual_coordinates,
    )
    from nestedmlm.likelihood.glmm.glmm_solution import GlmmSolution
    from nestedmlm.optimum.glmm.solve_glmm import GlmmSolved, solved_again
else:  # of generalized models, and of residuals that differ or correlate
    globals().update(
        late_imports(
            "nestedmlm",
            {
                "inference.profile.generalized_deviance": "generalized_coordinates",
                "inference.profile.residual_deviance": "refitted_residuals residual_coordinates",
                "optimum.glmm.solve_glmm": "solved_again",
            },
        )
    )

_RESTARTS = 5  # from better fits that a profile has come to


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Profiles:
    """Profiles of some parameters of a model.

    Attributes
    ----------
    solution : Solution or GlmmSolution
        The maximum-likelihood fit they are profiles of.
    curves : tuple of ProfileCurve
        In the order asked for.
    points : DataFrame
        ``parameter, zeta, value, deviance`` and the values of all parameters at each point: the
        best fit with `parameter` held at `value`.
    messages : tuple of str
        Warnings for the reader: ends that are infinite, a lower deviance that was found, ...
    """

    solution: Solution | GlmmSolution
    curves: tuple[ProfileCurve, ...]
    points: pd.DataFrame
    messages: tuple[str, ...]


@contextmanager
def _criterion_exists() -> Iterator[None]:
    """Say of a profile without a criterion what is the matter."""
    try:
        yield
    except (np.linalg.LinAlgError, ArithmeticError) as error:
        raise DataError(
            "profiles end where there is no criterion: next to this optimum rows are fitted "
            "exactly, or covariances are singular; take a simpler model, or method='wald'"
        ) from error


@_criterion_exists()
def profile_parameters(
    design: Design,
    found: Solution | GlmmSolved,
    chosen: Sequence[ModelParameter],
    *,
    everything: Sequence[ModelParameter] | None = None,
    cutoff: float,
    step: float,
    zetas: Sequence[float] = (),
    progress: bool = False,
) -> Profiles:
    """Profile parameters one after the other.

    Parameters
    ----------
    design : Design
    found : Solution or GlmmSolved
        The model at its maximum-likelihood estimate.
    chosen : sequence of ModelParameter
        What to profile.
    everything : sequence of ModelParameter, optional
        What to report at every point; by default the parameters of a linear model.
    cutoff, step : float
        How far to go on each side and in which steps, in units of zeta.
    zetas : sequence of float
        Values of zeta near which there must be a point.
    progress : bool
        Show a line of progress.

    Raises
    ------
    DataError
        If there is no criterion next to the estimate.
    NotDefinedError
        If the approximation falls without bound beside the estimate.

    Notes
    -----
    Where a profile comes to a deviance below that of `solution`, the model is fitted again from
    there and all profiles are begun again; a message says so. After Ctrl-C there are the profiles
    that were done; a message says so.
    """
    messages: list[str] = []
    everything = model_parameters(design) if everything is None else everything
    for attempt in range(_RESTARTS):
        lower = LOWER if attempt < _RESTARTS - 1 else np.inf  # the last one takes what it finds
        solution = solution_of(found)
        try:
            with (
                held(refit_seconds(solution.stats, 20 * len(chosen))),
                blas_threads(solution.stats),
            ):
                each = ((p, _profile_one(p, found, cutoff, step, lower, zetas)) for p in chosen)
                pairs = gather(each, len(chosen), "profiles", show=progress)
            break
        except LowerDeviance as lower_one:
            before = solution.deviance
            found = _refitted_from(lower_one, design, found)
            solution = solution_of(found)
            _refuse_pole(found, before)
            messages.append(
                f"profiling found a deviance lower by {before - solution.deviance:.3g}: the "
                "profiles are those of the better fit; refit with start="
                f"{np.array2string(solution.theta, precision=6, separator=', ')}"
            )
    if len(pairs) < len(chosen):
        messages.append(f"interrupted: {len(pairs)} of {len(chosen)} parameters are profiled")
    values = parameter_values([p for p, _ in pairs], solution)
    curves = [_curve(p, float(value), path) for (p, path), value in zip(pairs, values, strict=True)]
    frames = [_points(p, path, everything) for p, path in pairs if path is not None]
    points = pd.concat(frames, ignore_index=True) if frames else _no_points(everything)
    messages += [m for c, (_, path) in zip(curves, pairs, strict=True) for m in _remarks(c, path)]
    return Profiles(
        solution=solution, curves=tuple(curves), points=points, messages=tuple(messages)
    )


def _refuse_pole(found: Solution | GlmmSolved, before: float) -> None:
    """Refuse profiles that fall below the optimum where there is no other.

    Raises
    ------
    NotDefinedError
        If the fit from the lower place came back, and its approximation has no bound.
    """
    if isinstance(found, Solution) or found.model.bounded:
        return
    if not found.solution.deviance < before - LOWER:
        raise NotDefinedError(
            "profiles of this fit fall below its optimum, and no other is there: where the "
            "observed information of the random effects loses its definiteness, the approximation "
            'falls without bound and is not the likelihood; fit with information="expected", which '
            "has a bound, or use method='wald' or method='boot'"
        )


def solution_of(found: Solution | GlmmSolved) -> Any:
    """The solution of a linear model is itself; that of a generalized one is in what was found."""
    return found if isinstance(found, Solution) else found.solution


def _profile_one(
    parameter: ModelParameter,
    found: Solution | GlmmSolved,
    cutoff: float,
    step: float,
    lower: float,
    zetas: Sequence[float],
) -> ProfilePath | None:
    """Profile one parameter; None where it is not defined at the estimate."""
    if np.isnan(parameter_values([parameter], solution_of(found))[0]):
        return None
    if isinstance(found, Solution):
        coordinates = held_coordinates(parameter, found)
        if found.stats.residual is not None:
            coordinates = residual_coordinates(parameter, coordinates, found)
    else:
        coordinates = generalized_coordinates(parameter, found)
    path = follow_profile(coordinates, cutoff=cutoff, step=step, lower=lower)
    return refine_path(path, zetas=zetas, lower=lower)


def _refitted_from(
    lower: LowerDeviance, design: Design, found: Solution | GlmmSolved
) -> Solution | GlmmSolved:
    """The optimum from where a profile came to a lower deviance."""
    at: Any = lower.fit.deviance
    theta = theta_at(at.z, lower.coordinates)
    if not isinstance(found, Solution):
        beta = np.linalg.solve(found.solution.stats.R_x, at.gamma)
        return solved_again(found, design, theta=theta, beta=beta, dispersion=at.dispersion)
    plan, stats = found.plan, found.stats
    if stats.residual is not None:
        return refitted_residuals(found, design, theta, at.free)
    best = optimize(plan, stats, REML=False, start=theta)
    return results_at(design, best.theta, REML=False, stats=stats)


def _curve(parameter: ModelParameter, estimate: float, path: ProfilePath | None) -> ProfileCurve:
    if path is None:
        nothing = np.zeros(0)
        return ProfileCurve(
            name=parameter.name,
            estimate=estimate,
            zeta=nothing,
            value=nothing,
            coordinate=nothing,
            slope=nothing,
            value_slope=nothing,
            lower=parameter.lower,
            upper=parameter.upper,
            ends=("undefined", "undefined"),
        )
    return make_curve(parameter.name, estimate, path, lower=parameter.lower, upper=parameter.upper)


def _points(
    parameter: ModelParameter,
    path: ProfilePath,
    everything: Sequence[ModelParameter],
) -> pd.DataFrame:
    """Every parameter at every point."""
    coordinates = path.coordinates
    rows = [values_of(p.fit.deviance, coordinates, everything) for p in path.points]
    frame = pd.DataFrame(rows, columns=[p.name for p in everything])
    first = {
        "term": parameter.name,
        "zeta": [p.zeta for p in path.points],
        "value": [coordinates.to_natural(p.coordinate) for p in path.points],
        "deviance": [p.fit.deviance.value for p in path.points],
    }
    return pd.concat([pd.DataFrame(first, index=frame.index), frame], axis=1)


def _no_points(everything: Sequence[ModelParameter]) -> pd.DataFrame:
    numbers = ["zeta", "value", "deviance", *(p.name for p in everything)]
    types = {"term": object, **dict.fromkeys(numbers, float)}
    return pd.DataFrame({name: pd.Series(dtype=kind) for name, kind in types.items()})


def values_of(
    at: PointAt, coordinates: Coordinates, parameters: Sequence[ModelParameter]
) -> FloatArray:
    """Values of all parameters at one constrained fit."""
    plan, stats = coordinates.plan, coordinates.stats
    T = factors_at(at.z, coordinates)
    factors = [
        W @ T[e].reshape(W.shape) for W, e in zip(stats.transforms, term_places(plan), strict=True)
    ]
    beta = stats.beta0 + np.linalg.solve(stats.R_x, at.gamma) if stats.p else stats.beta0
    return values_at(
        parameters,
        plan.shapes,
        theta=theta_at(at.z, coordinates),
        T=factors,
        sigma=float(np.exp(at.z[0])),
        beta=beta,
        residual=at.residual,
        dispersion=at.dispersion,
    )


def _remarks(curve: ProfileCurve, path: ProfilePath | None) -> list[str]:
    """Warnings about one profile: undefined, not monotone, infinite or unknown ends."""
    if path is None:
        return [
            f"{curve.name} is not defined at the estimate (a standard deviation is zero there): "
            "its interval is all admissible values"
        ]
    out = []
    if not path.monotone:
        out.append(
            f"the profile of {curve.name} is not monotone: an interval ends where zeta first "
            "reaches its limit"
        )
    for side, end in zip(("below", "above"), curve.ends, strict=True):
        if end == "open":
            out.append(f"the profile of {curve.name} stays flat {side}: that end is infinite")
        if end == "lost":
            last = curve.value[0 if side == "below" else -1]
            out.append(
                f"the profile of {curve.name} could not be followed beyond {last:.6g}: that end "
                "is unknown (NaN)"
            )
    return out
