"""Influence of the priors on a posterior: shares of curvature, pulls, conflicts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from nestedmlm._typing import FloatArray
from nestedmlm.bayes.density.prior_coordinates import given_prior
from nestedmlm.bayes.density.prior_draws import draw_priors
from nestedmlm.bayes.model.prior_set import require_proper
from nestedmlm.bayes.model.scalar_parameters import Parameter, list_parameters
from nestedmlm.bayes.sampling.weighted_density import WeightedDensity
from nestedmlm.errors import OptionError, SamplingError
from nestedmlm.posterior.parameter_priors import log_prior
from nestedmlm.posterior.prior_scales import (
    Redraws,
    flat_priors,
    scaled_prior,
    tipping_width,
    where_interval_lies,
)
from nestedmlm.posterior.summaries import parameter_draws

_WHERE = {1: "above", -1: "below", 0: "around"}  # the reference an interval lies
_PRIOR_DRAWS = 10_000  # from the priors, for tail probabilities


def prior_shares(data: Any, redraws: Redraws, parameters: tuple[Parameter, ...]) -> FloatArray:
    """The priors' share of the curvature of each parameter's posterior, 0 to 1.

    With V the covariance of the posterior and H that part of its precision that is the priors',
    ``(V H V)_jj / V_jj``. H is the curvature of the quadratic function nearest to the log-prior
    over the posterior (least squares over the draws; a normal prior's own). Slopes move a
    posterior and do not narrow it: they are fitted beside. NaN of what is held at a value.
    """
    logs = log_prior(data, redraws.design, redraws.priors).values()
    total = np.sum([value.ravel() for value in logs], axis=0)
    away = np.column_stack([parameter_draws(data, p).ravel() for p in parameters])
    away = away - away.mean(axis=0)
    V = np.atleast_2d(np.cov(away.T, bias=True))
    sd = np.sqrt(np.diag(V))
    known = sd > 0.0
    unit = away[:, known] / sd[known]
    first, second = np.triu_indices(unit.shape[1])
    terms = np.column_stack([np.ones(len(unit)), unit, unit[:, first] * unit[:, second]])
    fitted = np.linalg.lstsq(terms, total, rcond=None)[0][-len(first) :]
    H = np.zeros((unit.shape[1],) * 2)
    np.subtract.at(H, (first, second), fitted)
    H = H + H.T
    R = V[np.ix_(known, known)] / np.outer(sd[known], sd[known])
    share = np.full(len(parameters), np.nan)
    share[known] = np.einsum("ij,jk,ki->i", R, H, R)
    out: FloatArray = np.clip(share, 0.0, 1.0)
    return out


def tail_probabilities(
    redraws: Redraws,
    parameters: tuple[Parameter, ...],
    estimates: FloatArray,
    errors: FloatArray,
) -> FloatArray:
    """How probable the priors make an estimate as far out as this one: small means conflict.

    The estimate is compared with draws from the priors to which its error is added (a prior
    predictive check of the estimate: Evans & Moshonov 2006, Bayesian Analysis 1). Two-sided; of
    standard deviations, upper tails. NaN where a prior is improper.
    """
    from nestedmlm.bayes.sampling.posterior_dataset import named_dataset  # xarray

    try:
        require_proper(redraws.priors, "it has no tails")
    except OptionError:
        return np.full(len(parameters), np.nan)
    rng = np.random.default_rng(redraws.seed)
    density = redraws.density(redraws.priors)
    if isinstance(density, WeightedDensity):
        density = density.parameters_only()
    named = draw_priors(density, _PRIOR_DRAWS, rng)
    data = {"posterior": named_dataset(density, named, (1, _PRIOR_DRAWS))}
    out = []
    for p, estimate, error in zip(parameters, estimates, errors, strict=True):
        values = parameter_draws(data, p).ravel()
        values = values + error * rng.standard_normal(len(values))
        above = float(np.mean(values >= estimate))
        one_sided = p.kind in ("sd", "sigma")
        out.append(above if one_sided else 2.0 * min(above, 1.0 - above))
    return np.where(np.isnan(estimates), np.nan, out)


def means_without_priors(
    redraws: Redraws, parameters: tuple[Parameter, ...]
) -> tuple[FloatArray, str]:
    """Posterior means with flat priors, by a new draw; NaN, and why, where there is none."""
    try:
        data = redraws(flat_priors(redraws.priors))
    except SamplingError as problem:
        return np.full(len(parameters), np.nan), f"With flat priors {problem}"
    return np.array([float(parameter_draws(data, p).mean()) for p in parameters]), ""


def influence_table(
    data: Any, redraws: Redraws, compared: pd.DataFrame, *, level: float, tips: bool
) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Where an estimate and a posterior part, and why, parameter by parameter.

    Parameters
    ----------
    data : mapping
        Of the posterior.
    redraws : Redraws
    compared : DataFrame
        Of `nestedmlm.posterior.comparison.comparison_table`.
    level : float
        Probability inside the intervals.
    tips : bool
        Look for the widths of priors at which conclusions change.

    Returns
    -------
    table : DataFrame
    notes : tuple of str
    """
    parameters = list_parameters(redraws.design)
    estimate, mean = compared["estimate"].to_numpy(), compared["mean"].to_numpy()
    flat, note = means_without_priors(redraws, parameters)
    errors = compared["std_error"].fillna(compared["sd"]).to_numpy()
    table = compared[["variable", "kind", "estimate", "std_error", "mean", "sd"]].assign(
        from_averaging=flat - estimate,
        from_priors=mean - flat,
        prior_share=prior_shares(data, redraws, parameters),
        conflict=tail_probabilities(redraws, parameters, estimate, errors),
    )
    signs = np.array([p.kind in ("fixed", "cor") for p in parameters])
    # an interval of a standard deviation lies above zero whatever the prior: no conclusion
    table["reference"] = np.where(signs, 0.0, np.where(estimate > 0.0, estimate, np.nan))
    rows = [
        _tips(data, redraws, p, reference, level) if tips and np.isfinite(reference) else _NO_TIPS
        for p, reference in zip(parameters, table["reference"], strict=True)
    ]
    return table.join(pd.DataFrame(rows, index=table.index)), (note,) if note else ()


_NO_TIPS = {"verdict": "", "narrower": np.nan, "wider": np.nan, "from": np.nan, "to": np.nan}


def _tips(
    data: Any, redraws: Redraws, parameter: Parameter, reference: float, level: float
) -> dict[str, Any]:
    """Where a parameter's interval lies, and the widths of its prior at which that changes."""
    values = parameter_draws(data, parameter).ravel()
    verdict = where_interval_lies(values, np.ones(len(values)), reference, level)
    found = {**_NO_TIPS, "verdict": _WHERE[verdict]}
    if scaled_prior(given_prior(redraws.priors, parameter.variable), 1.0) is None:
        return found
    down, up = (
        tipping_width(redraws, data, parameter, reference, direction=d, level=level)
        for d in (-1, 1)
    )
    return {
        **found, "narrower": down.width, "wider": up.width, "from": down.reached, "to": up.reached
    }  # fmt: skip
