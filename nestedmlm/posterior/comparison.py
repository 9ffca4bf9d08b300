"""REML estimates beside posterior ones."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from nestedmlm.design.design import Design
from nestedmlm.errors import ModelComparisonError
from nestedmlm.posterior.summaries import list_parameters, parameter_table


def comparison_table(fit: Any, bayes: Any, *, prob: float) -> pd.DataFrame:
    """Put the parameters of two fits side by side.

    Parameters
    ----------
    fit : LmerFit
    bayes : BayesFit
    prob : float
        Probability inside the intervals.

    Returns
    -------
    DataFrame
        By the posterior's names: ``kind, group, var1, var2``; ``estimate, std_error`` of the
        `LmerFit` (NaN for variance parameters, whose sampling distributions are skewed);
        ``mean, sd, lower, upper`` of the posterior; ``shift``, posterior mean minus estimate in
        standard errors (variance parameters: in posterior standard deviations); and ``inside``,
        whether the estimate lies in the interval.

    Raises
    ------
    ModelComparisonError
        If the fits are not of the same model and data.
    """
    check_same(fit.design, bayes.design)
    posterior = parameter_table(bayes.data, bayes.design, prob=prob)
    estimate = _estimates(fit)
    std_error = np.full(len(estimate), np.nan)
    std_error[: fit.design.p] = fit.bse.to_numpy(dtype=float)
    mean, sd = posterior["estimate"].to_numpy(), posterior["sd"].to_numpy()
    unit = np.where(np.isnan(std_error), sd, std_error)
    shift = np.full(len(mean), np.nan)
    np.divide(mean - estimate, unit, out=shift, where=unit > 0)
    inside = (posterior["lower"] <= estimate) & (estimate <= posterior["upper"])
    return posterior[["kind", "group", "var1", "var2"]].assign(
        estimate=estimate,
        std_error=std_error,
        mean=mean,
        sd=sd,
        lower=posterior["lower"],
        upper=posterior["upper"],
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
        "responses": one.n == other.n and np.array_equal(one.y, other.y),
    }
    different = [what for what, same in problems.items() if not same]
    if different:
        raise ModelComparisonError(
            f"these fits have different {' and '.join(different)}: compare a fit with the "
            "posterior of the same model, for example fit.sample()"
        )


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


def _estimates(fit: Any) -> np.ndarray:
    """Values of `list_parameters` in an `LmerFit`; NaN for a correlation with no variance."""
    blocks = {block.name: block for block in fit.varcorr().blocks}

    def value(p: Any) -> float:
        if p.kind == "fixed":
            return float(fit.params[p.var1])
        if p.kind == "sigma":
            return float(fit.sigma)
        block = blocks[p.group]
        i = block.columns.index(p.var1)
        if p.kind == "sd":
            return float(block.sd[i])
        return float(block.corr[i, block.columns.index(p.var2)])

    return np.array([value(p) for p in list_parameters(fit.design)])
