"""Standard errors and Wald intervals of variance parameters.

Delta method on the scale where the likelihood is most nearly quadratic: log for standard
deviations, atanh for correlations. The Hessian is the observed one, exact, the same as in
Satterthwaite's method. What lies on the boundary is held there and has no standard error.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from nestedmlm._typing import FloatArray
from nestedmlm.covariance import relative_factors, split_parameters
from nestedmlm.design.design import Design
from nestedmlm.design.model_parameters import ModelParameter
from nestedmlm.errors import ResidualStructureError
from nestedmlm.inference.effects.satterthwaite import curvature_at
from nestedmlm.inference.fitted import Fitted
from nestedmlm.inference.normal_quantile import normal_quantile
from nestedmlm.inference.variances.directions import parameter_directions
from nestedmlm.inference.variances.parameters import parameter_values, values_at
from nestedmlm.inference.variances.residual_parameters import residual_values
from nestedmlm.late import late_imports
from nestedmlm.likelihood.plan import theta_of_phi
from nestedmlm.likelihood.solution import Solution

if TYPE_CHECKING:
    from nestedmlm.inference.effects.residual_movement import covariance_movement
else:  # of residuals that differ or correlate only
    globals().update(
        late_imports("nestedmlm.inference.effects", {"residual_movement": "covariance_movement"})
    )

_DIFFERENCE_STEP = 1e-4  # relative to the parameter
_BOUNDARY = 1e-4  # relative standard deviations and distances to a bound below this are zero

# what is read of theta, the relative factors and sigma; of a generalized model its dispersion, or 1
Reading = Callable[[FloatArray, Sequence[FloatArray], float], FloatArray]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class VarianceEstimates:
    """Standard deviations, correlations, parameters of structures and sigma, with their errors.

    Attributes
    ----------
    parameters : tuple of ModelParameter
        The n of them, in the order of `model_parameters`.
    estimate, se : (n,) arrays
        NaN where there is none: on the boundary, or where the Hessian is singular.
    covariance : (n, n) array
        Of the estimates, by the delta method; it knows nothing of missing standard errors.
    """

    parameters: tuple[ModelParameter, ...]
    estimate: FloatArray
    se: FloatArray
    covariance: FloatArray


def variance_estimates(fitted: Fitted) -> VarianceEstimates:
    """Estimates of standard deviations, correlations and sigma, and their covariance.

    Parameters
    ----------
    fitted : Fitted
        The curvature of its criterion counts, and that of its penalty.
    """
    solution = fitted.solution
    chosen = tuple(p for p in fitted.parameters if p.kind != "beta")
    estimate = parameter_values(chosen, solution)
    if solution.stats.residual is not None:
        covariance = _residual_covariance(chosen, fitted)
        se = np.sqrt(np.diag(covariance).clip(min=0.0))
        known = [not _at_end(p, e, solution.sigma) for p, e in zip(chosen, estimate, strict=True)]
        se = np.where(known & (se > 0.0), se, np.nan)
        return VarianceEstimates(parameters=chosen, estimate=estimate, se=se, covariance=covariance)

    def values(theta: FloatArray, T: Sequence[FloatArray], sigma: float) -> FloatArray:
        shapes = solution.plan.shapes
        unit, dispersion = (sigma, None) if fitted.family is None else (1.0, sigma)
        return values_at(
            chosen, shapes, theta=theta, T=T, sigma=unit, beta=solution.beta, dispersion=dispersion
        )

    slopes = scaled_slopes(values, fitted)
    se = np.sqrt(2.0 * np.sum(slopes**2, axis=1))
    if solution.stats.sigma is not None:
        se[[p.kind == "sigma" for p in chosen]] = np.nan
    se[[_at_end(p, e, solution.sigma) for p, e in zip(chosen, estimate, strict=True)]] = np.nan
    return VarianceEstimates(
        parameters=chosen, estimate=estimate, se=se, covariance=2.0 * slopes @ slopes.T
    )


def variance_parameters(fitted: Fitted, *, level: float = 0.95) -> pd.DataFrame:
    """Estimates, standard errors and Wald intervals of SDs, correlations and sigma.

    Parameters
    ----------
    fitted : Fitted
        The curvature of its criterion counts, and that of its penalty.
    level : float
        Coverage of the intervals.

    Returns
    -------
    DataFrame
        Index: ``sd_Days|Subject`` and so on, the last row ``sigma`` or a family's dispersion.
        Columns ``kind`` (``sd``, ``cor``, ``par``, ``sigma``, ``dispersion``), ``group, var1,
        var2`` (as ``VarCorr.to_frame()`` has them; for ``par`` the parameter's name), ``effect``
        (``ran_pars``), ``estimate, std_error, conf_low, conf_high``. On the boundary standard
        error and limits are NaN, and ``attrs["messages"]``
        says so.

    Notes
    -----
    Standard errors are on the scale of the estimate: that of a standard deviation is it times the
    standard error of its logarithm.
    """
    return variance_frame(variance_estimates(fitted), fitted.design, level=level)


def variance_frame(found: VarianceEstimates, design: Design, *, level: float) -> pd.DataFrame:
    """The frame that `variance_parameters` returns."""
    chosen, estimate, se = found.parameters, found.estimate, found.se
    limits = wald_limits(found, level)
    rows = [(p.kind, *parameter_labels(p, design)) for p in chosen]
    frame = pd.DataFrame(
        {
            **{
                column: pd.Series(values, dtype=object)
                for column, values in zip(
                    ("kind", "group", "var1", "var2"), zip(*rows, strict=True), strict=True
                )
            },
            "effect": "ran_pars",
            "estimate": estimate,
            "std_error": se,
            "conf_low": limits[:, 0],
            "conf_high": limits[:, 1],
        }
    )
    frame.index = pd.Index([p.name for p in chosen], name="term")
    frame.attrs["messages"] = _messages(chosen, se)
    return frame


def wald_limits(found: VarianceEstimates, level: float) -> FloatArray:
    """Wald intervals of variance parameters, shape (n, 2)."""
    z = normal_quantile(level)
    limits = [
        wald_interval(p, e, s, z)
        for p, e, s in zip(found.parameters, found.estimate, found.se, strict=True)
    ]
    return np.array(limits).reshape(-1, 2)


def scaled_slopes(read: Reading, fitted: Fitted) -> FloatArray:
    """S with covariance ``2 S S'`` of what is read: its slopes in units of the curvature.

    NaN where the Hessian is singular.

    Raises
    ------
    ResidualStructureError
        For other residuals than lme4's, which go another way.
    """
    if fitted.solved is not None:
        return _generalized_slopes(read, fitted)
    solution = fitted.solution
    plan, stats, phi = solution.plan, solution.stats, fitted.phi
    if stats.residual is not None:
        raise ResidualStructureError(
            "this interval is not worked out for residuals that differ or correlate: "
            "conf_int() and variance_parameters() are"
        )
    curvature = curvature_at(fitted)
    inner = np.flatnonzero(~_on_boundary(phi, solution)[curvature.free])
    z = np.append(phi, np.log(solution.sigma))
    own, free = inner, curvature.free[inner]
    if stats.sigma is None:
        own, free = np.append(own, len(curvature.hessian) - 1), np.append(free, len(z) - 1)
    H = curvature.hessian[np.ix_(own, own)]

    def values(at: FloatArray) -> FloatArray:
        theta = theta_of_phi(at[:-1], plan, stats)
        return read(theta, relative_factors(theta, plan.shapes), float(np.exp(at[-1])))

    roots, vectors = np.linalg.eigh(0.5 * (H + H.T))
    if not roots.size or roots[0] <= 1e-10 * max(roots[-1], 1e-300):
        return np.full((len(values(z)), len(free)), np.nan)
    out: FloatArray = _derivative(values, z, free) @ (vectors / np.sqrt(roots))
    return out


def _residual_covariance(chosen: Sequence[ModelParameter], fitted: Fitted) -> FloatArray:
    """Covariance of the parameters by the delta method, those of the residuals among them."""
    solution, phi = fitted.solution, fitted.phi
    plan, at = solution.plan, solution.stats.residual
    assert at is not None
    n = plan.n_theta
    _, free = parameter_directions(phi, plan)
    z = np.concatenate([phi, at.free, [np.log(solution.sigma)]])

    def values(x: FloatArray) -> FloatArray:
        theta, sigma = theta_of_phi(x[:n], plan, solution.stats), float(np.exp(x[-1]))
        return values_at(
            chosen, plan.shapes, theta=theta, T=relative_factors(theta, plan.shapes), sigma=sigma,
            beta=solution.beta, residual=residual_values(at, sigma, x[n:-1]),
        )  # fmt: skip

    kept = np.concatenate([free, np.arange(n, len(z))]).astype(int)
    slopes = np.nan_to_num(_derivative(values, z, kept))
    return np.asarray(slopes @ covariance_movement(fitted).spread @ slopes.T)


def _generalized_slopes(read: Reading, fitted: Fitted) -> FloatArray:
    """The same of a generalized model, whose Hessian is in all parameters."""
    solution, solved = fitted.solution, fitted.solved
    assert solved is not None
    plan, stats = solution.plan, solution.stats
    n_theta = plan.n_theta
    dispersion = [-1] if solved.model.family.has_dispersion else []

    def values(z: FloatArray) -> FloatArray:
        theta = theta_of_phi(z[:n_theta], plan, stats)
        scale = float(np.exp(z[-1])) if dispersion else 1.0
        return read(theta, relative_factors(theta, plan.shapes), scale)

    own = [*range(n_theta), *dispersion]
    inverse = solved.covariance[np.ix_(own, own)]
    roots, vectors = np.linalg.eigh(0.5 * (inverse + inverse.T))
    z = np.concatenate([fitted.phi, np.log([solution.dispersion] if dispersion else [])])
    slopes = _derivative(values, z, np.arange(len(z)))
    out: FloatArray = slopes @ (vectors * np.sqrt(np.maximum(roots, 0.0)))
    return out


def _derivative(f: object, z: FloatArray, free: np.ndarray) -> FloatArray:
    """Central differences of a vector function in some of its arguments."""
    columns = []
    for at in free:
        step = _DIFFERENCE_STEP * max(1.0, abs(float(z[at])))
        e = np.where(np.arange(len(z)) == at, step, 0.0)
        columns.append((f(z + e) - f(z - e)) / (2.0 * step))  # type: ignore[operator]
    return np.column_stack(columns)


def _on_boundary(phi: FloatArray, solution: Solution) -> np.ndarray:
    """Which of the optimizer's parameters stand on the boundary of the covariances."""
    shapes = solution.plan.shapes
    marks = [
        shape.structure.on_boundary(own, theta, shape.k, shape.hom, _BOUNDARY)
        for shape, own, theta in zip(
            shapes,
            split_parameters(phi, shapes),
            split_parameters(solution.theta, shapes),
            strict=True,
        )
    ]
    return np.concatenate([np.zeros(0, dtype=bool), *marks])


def _at_end(p: ModelParameter, estimate: float, sigma: float) -> bool:
    if p.kind == "sd":
        return bool(estimate <= _BOUNDARY * 1e-4 * sigma)
    room = min(estimate - p.lower, p.upper - estimate)
    return not room > (1e-8 if p.kind in ("cor", "par") else 0.0)


def wald_interval(p: ModelParameter, estimate: float, se: float, z: float) -> tuple[float, float]:
    """Interval symmetric on the log scale (one end) or the atanh scale (two), mapped back."""
    if not np.isfinite(se):
        return np.nan, np.nan
    if np.isfinite(p.upper):
        half = 0.5 * (p.upper - p.lower)
        unit = (estimate - p.lower) / half - 1.0
        if not abs(unit) < 1.0:  # at its end, but for rounding
            return np.nan, np.nan
        width = z * se / half / (1.0 - unit**2)
        low, high = np.tanh(np.arctanh(unit) + np.array([-width, width]))
        return p.lower + half * (low + 1.0), p.lower + half * (high + 1.0)
    if np.isfinite(p.lower):
        with np.errstate(over="ignore"):  # all that is known is that it is positive
            ratio = np.exp(z * se / (estimate - p.lower))
        return p.lower + (estimate - p.lower) / ratio, p.lower + (estimate - p.lower) * ratio
    return estimate - z * se, estimate + z * se


def parameter_labels(p: ModelParameter, design: Design) -> tuple[str, str | None, str | None]:
    """Names of a parameter in ``VarCorr.to_frame()``: group, var1, var2."""
    if p.kind == "sigma":
        return "Residual", None, None
    if p.kind in ("residual", "dispersion"):
        return "Residual", p.name, None
    term = design.terms[p.term]
    if p.kind == "par":
        return term.name, p.name.rpartition("|")[0], None
    return (
        term.name,
        term.columns[p.j if p.kind == "cor" else p.i] if term.smooth is None else term.smooth.label,
        (term.columns[p.i] if p.kind == "cor" else None),
    )


def _messages(chosen: Sequence[ModelParameter], se: FloatArray) -> tuple[str, ...]:
    missing = [p.name for p, s in zip(chosen, se, strict=True) if not np.isfinite(s)]
    if not missing:
        return ()
    if len(missing) == len(chosen):
        return ("no standard errors: the Hessian is singular, some parameters are not identified",)
    return (
        f"no standard error for {', '.join(missing)}: on the boundary or undefined there; the "
        "others are computed with these held",
    )
