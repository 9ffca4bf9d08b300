"""REML estimates beside posterior ones."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from nestedmlm._typing import FloatArray
from nestedmlm.bayes.model.names import DISPERSION
from nestedmlm.bayes.model.scalar_parameters import Parameter, list_parameters
from nestedmlm.covariance import split_parameters
from nestedmlm.design.design import Design
from nestedmlm.design.model_parameters import residual_names
from nestedmlm.errors import ModelComparisonError
from nestedmlm.inference.fitted import Fitted
from nestedmlm.inference.variances.correlation import correlation_matrix, standard_deviations
from nestedmlm.inference.variances.residual_parameters import residual_values
from nestedmlm.posterior.summaries import parameter_table


def comparison_table(
    fitted: Fitted, data: Any, posterior_design: Design, *, level: float
) -> pd.DataFrame:
    """Put the parameters of two fits side by side.

    Parameters
    ----------
    fitted : Fitted
        The fit by likelihood.
    data, posterior_design : DataTree, Design
        Of the posterior.
    level : float
        Probability inside the intervals.

    Returns
    -------
    DataFrame
        By the names of ``conf_int``: ``variable`` (the posterior's name), ``kind, group, var1,
        var2, effect``; ``estimate, std_error`` of the solution (NaN for variance parameters, whose
        sampling distributions are skewed); ``mean, sd, conf_low, conf_high`` of the posterior;
        ``shift``, posterior mean minus estimate in standard errors (variance parameters: in
        posterior standard deviations); and ``inside``, whether the estimate lies in the interval.

    Raises
    ------
    ModelComparisonError
        If the fits are not of the same model and data.
    """
    solution, design = fitted.solution, fitted.design
    check_same(design, posterior_design)
    posterior = parameter_table(data, posterior_design, level=level)
    estimate = _estimates(solution, design)
    std_error = np.full(len(estimate), np.nan)
    std_error[: design.p] = np.sqrt(np.diag(fitted.vcov))
    mean, sd = posterior["estimate"].to_numpy(), posterior["std_error"].to_numpy()
    unit = np.where(np.isnan(std_error), sd, std_error)
    shift = np.full(len(mean), np.nan)
    np.divide(mean - estimate, unit, out=shift, where=unit > 0)
    inside = (posterior["conf_low"] <= estimate) & (estimate <= posterior["conf_high"])
    return posterior[["variable", "group", "effect", "kind", "var1", "var2"]].assign(
        estimate=estimate,
        std_error=std_error,
        mean=mean,
        sd=sd,
        conf_low=posterior["conf_low"],
        conf_high=posterior["conf_high"],
        shift=shift,
        inside=inside,
    )


def check_same(one: Design, other: Design) -> None:
    """Refuse designs that are not of the same model and data.

    Raises
    ------
    ModelComparisonError
    """
    problems = {
        "numbers of rows": one.n == other.n,
        "fixed effects": one.x_names == other.x_names,
        "random effects": _random_part(one) == _random_part(other),
        "families": _family(one) == _family(other),
        "residuals (dispersion=, residual=)": _residual_part(one) == _residual_part(other),
        "responses": one.n == other.n and _same_response(one, other),
    }
    different = [what for what, same in problems.items() if not same]
    if different:
        raise ModelComparisonError(
            f"these fits have different {' and '.join(different)}: compare a fit with the "
            "posterior of the same model, for example fit.sample()"
        )


def _same_response(one: Design, other: Design) -> bool:
    if one.sums is not None and other.sums is not None:
        return one.sums.same_data(other.sums)
    return np.array_equal(one.y, other.y)


def _family(design: Design) -> tuple[str, ...]:
    return () if design.family is None else (design.family.name, design.family.link.name)


def _random_part(design: Design) -> list[tuple[Any, ...]]:
    return [
        (
            design.factors[t.factor].name,
            len(design.factors[t.factor].levels),
            t.columns,
            t.structure,
        )
        for t in design.terms
    ]


def _residual_part(design: Design) -> tuple[str, ...]:
    return () if design.residual is None else design.residual.names


def _estimates(solution: Any, design: Design) -> FloatArray:
    """Values of `list_parameters` at a solution; NaN for a correlation with no variance."""
    terms = {
        t.name: (t.columns if t.smooth is None else (t.smooth.label,), T)
        for t, T in zip(design.terms, solution.T, strict=True)
    }
    beta = dict(zip(design.x_names, solution.beta, strict=True))
    parts = split_parameters(solution.theta, solution.plan.shapes)
    structured = {
        (t.name, q.name): float(value)
        for t, part in zip(design.terms, parts, strict=True)
        for q, value in zip(
            t.structure.parameters(len(t.columns)),
            t.structure.correlation_part(part, len(t.columns)),
            strict=True,
        )
    }
    beside = _beside(solution, design)

    def value(p: Parameter) -> float:
        if p.kind in ("family", "residual"):
            return beside[p.var1 or p.name]
        if p.kind == "sigma" or p.var1 is None:
            return float(solution.sigma)
        if p.kind == "fixed":
            return float(beta[p.var1])
        if p.kind == "par":
            return structured[p.group, p.var1]
        columns, T = terms[p.group]
        cov, i = solution.sigma**2 * (T @ T.T), columns.index(p.var1)
        if p.kind == "sd" or p.var2 is None:
            return float(standard_deviations(cov)[i])
        return float(correlation_matrix(cov)[i, columns.index(p.var2)])

    return np.array([value(p) for p in list_parameters(design)])


def _beside(solution: Any, design: Design) -> dict[str, float]:
    """Values of what a family has beside the mean, or of residuals that differ or correlate."""
    if design.residual is not None:
        names = [name for name, _ in residual_names(design.residual)]
        found = residual_values(solution.stats.residual, solution.sigma)
        return dict(zip(names, found.tolist(), strict=True))
    if design.family is None:
        return {}
    pymc, dispersion = design.family.pymc, solution.dispersion
    return {DISPERSION: dispersion} if pymc is None else pymc.at_dispersion(dispersion)
