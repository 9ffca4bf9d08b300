"""Profiles of chosen parameters at the maximum-likelihood fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from nestedmlm._typing import FloatArray
from nestedmlm.design.design import Design
from nestedmlm.inference.profile.coordinates import Chart, factors_at, held_chart, theta_at
from nestedmlm.inference.profile.curve import ProfileCurve, make_curve
from nestedmlm.inference.profile.deviance import Place
from nestedmlm.inference.profile.path import LOWER, LowerDeviance, Trace, refine, trace_profile
from nestedmlm.inference.variances.parameters import (
    ModelParameter,
    model_parameters,
    parameter_values,
    values_at,
)
from nestedmlm.likelihood.plan import term_places
from nestedmlm.likelihood.solution import Solution, results_at
from nestedmlm.likelihood.threads import blas_threads
from nestedmlm.optimum.optimize import optimize
from nestedmlm.progress import gather

_RESTARTS = 5


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Profiled:
    """Profiles of some parameters.

    Attributes
    ----------
    solution : Solution
        The maximum-likelihood fit they are profiles of.
    curves : tuple of ProfileCurve
        In the order asked for.
    points : DataFrame
        ``parameter, zeta, value, deviance`` and the values of all parameters at each knot: the
        best fit with `parameter` held at `value`.
    messages : tuple of str
        What deserves to be said.
    """

    solution: Solution
    curves: tuple[ProfileCurve, ...]
    points: pd.DataFrame
    messages: tuple[str, ...]


def profile_parameters(
    design: Design,
    solution: Solution,
    chosen: Sequence[ModelParameter],
    *,
    cutoff: float,
    step: float,
    zetas: Sequence[float] = (),
    progress: bool = False,
) -> Profiled:
    """Profile parameters one after the other.

    Parameters
    ----------
    design : Design
    solution : Solution
        The model at its maximum-likelihood estimate.
    chosen : sequence of ModelParameter
        What to profile.
    cutoff, step : float
        How far to go on each side and in which steps, in units of zeta.
    zetas : sequence of float
        Values of zeta near which there must be a knot.
    progress : bool
        Show a line of progress.

    Notes
    -----
    Where a profile comes to a deviance below that of `solution`, the model is fitted again from
    there and all profiles are begun again; a message says so. After Ctrl-C there are the profiles
    that were done; a message says so.
    """
    messages: list[str] = []
    for attempt in range(_RESTARTS):
        lower = LOWER if attempt < _RESTARTS - 1 else np.inf  # the last one takes what it finds
        try:
            with blas_threads(solution.stats):
                each = (
                    (p, _profile_one(p, solution, (cutoff, step, lower), zetas)) for p in chosen
                )
                pairs = gather(each, len(chosen), "profiles", show=progress)
            break
        except LowerDeviance as found:
            before = solution.deviance
            solution = _from_there(found, design, solution)
            messages.append(
                f"profiling found a deviance lower by {before - solution.deviance:.3g}: the "
                "profiles are those of the better fit; refit with start="
                f"{np.array2string(solution.theta, precision=6, separator=', ')}"
            )
    if len(pairs) < len(chosen):
        messages.append(f"interrupted: {len(pairs)} of {len(chosen)} parameters are profiled")
    values = parameter_values([p for p, _ in pairs], solution)
    curves = [
        _curve(p, float(value), found) for (p, found), value in zip(pairs, values, strict=True)
    ]
    everything = model_parameters(design)
    frames = [_points(p, found, everything, solution) for p, found in pairs if found is not None]
    points = pd.concat(frames, ignore_index=True) if frames else _no_points(everything)
    messages += [m for c, (_, f) in zip(curves, pairs, strict=True) for m in _remarks(c, f)]
    return Profiled(
        solution=solution, curves=tuple(curves), points=points, messages=tuple(messages)
    )


_Found = tuple[Chart, Trace] | None


def _profile_one(
    parameter: ModelParameter,
    solution: Solution,
    reach: tuple[float, float, float],
    zetas: Sequence[float],
) -> _Found:
    """Chart and trace; None where the parameter is not defined at the estimate.

    `reach` holds cutoff, step and what counts as a lower deviance.
    """
    if np.isnan(parameter_values([parameter], solution)[0]):
        return None
    chart = held_chart(parameter, solution)
    plan, stats = solution.plan, solution.stats
    cutoff, step, lower = reach
    trace = trace_profile(chart, plan, stats, cutoff=cutoff, step=step, lower=lower)
    return chart, refine(trace, chart, plan, stats, zetas=zetas, lower=lower)


def _from_there(found: LowerDeviance, design: Design, solution: Solution) -> Solution:
    plan, stats = solution.plan, solution.stats
    theta = theta_at(found.settled.place.z, found.chart, plan, stats)
    best = optimize(plan, stats, REML=False, start=theta)
    return results_at(design, best.theta, REML=False, stats=stats)


def _curve(parameter: ModelParameter, estimate: float, found: _Found) -> ProfileCurve:
    if found is None:
        nothing = np.zeros(0)
        return ProfileCurve(
            name=parameter.name,
            estimate=estimate,
            zeta=nothing,
            value=nothing,
            at=nothing,
            slope=nothing,
            jump=nothing,
            lower=parameter.lower,
            upper=parameter.upper,
            ends=("undefined", "undefined"),
        )
    chart, trace = found
    return make_curve(
        parameter.name, estimate, trace, chart, lower=parameter.lower, upper=parameter.upper
    )


def _points(
    parameter: ModelParameter,
    found: _Found,
    everything: Sequence[ModelParameter],
    solution: Solution,
) -> pd.DataFrame:
    """Every parameter at every knot."""
    assert found is not None
    chart, trace = found
    rows = [values_of(k.settled.place, chart, everything, solution) for k in trace.knots]
    frame = pd.DataFrame(rows, columns=[p.name for p in everything])
    first = {
        "parameter": parameter.name,
        "zeta": [k.zeta for k in trace.knots],
        "value": [chart.to_natural(k.at) for k in trace.knots],
        "deviance": [k.settled.place.value for k in trace.knots],
    }
    return pd.concat([pd.DataFrame(first, index=frame.index), frame], axis=1)


def _no_points(everything: Sequence[ModelParameter]) -> pd.DataFrame:
    numbers = ["zeta", "value", "deviance", *(p.name for p in everything)]
    types = {"parameter": object, **dict.fromkeys(numbers, float)}
    return pd.DataFrame({name: pd.Series(dtype=kind) for name, kind in types.items()})


def values_of(
    place: Place, chart: Chart, parameters: Sequence[ModelParameter], solution: Solution
) -> FloatArray:
    """Values of all parameters at one place of a chart."""
    plan, stats = solution.plan, solution.stats
    T = factors_at(place.z, chart)
    factors = [
        W @ T[e].reshape(W.shape) for W, e in zip(stats.transforms, term_places(plan), strict=True)
    ]
    beta = stats.beta0 - np.linalg.solve(stats.R_x, place.v[:-1]) if stats.p else stats.beta0
    return values_at(
        parameters,
        plan.shapes,
        theta=theta_at(place.z, chart, plan, stats),
        T=factors,
        sigma=float(np.exp(place.z[0])),
        beta=beta,
    )


def _remarks(curve: ProfileCurve, found: _Found) -> list[str]:
    """What a reader of the profile should know."""
    if found is None:
        return [
            f"{curve.name} is not defined at the estimate (a standard deviation is zero there): "
            "its interval is all admissible values"
        ]
    out = []
    if not found[1].monotone:
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
