"""Free parameters of residuals that differ or correlate, of draws and of a fit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from nestedmlm._typing import FloatArray
from nestedmlm.bayes.model.names import (
    PARTIAL,
    CorrelationNames,
    parameter_names,
    unbounded_name,
)
from nestedmlm.bayes.model.residual_correlations import (
    CorrelationParameter,
    correlation_parameters,
)
from nestedmlm.bayes.sampling.correlation_roots import cholesky_roots, partial_correlations
from nestedmlm.statistics.residual_model import ResidualModel

if TYPE_CHECKING:
    from nestedmlm.design.design import Design
    from nestedmlm.statistics.pair_sums import ResidualAt

_LARGEST_SHARE = 0.975  # of a range: starts are kept away from its ends


def free_draws(design: Design, model: ResidualModel, draws: Mapping[str, np.ndarray]) -> FloatArray:
    """Free parameters of each draw, (S, n_free), from the named variables.

    Parameters
    ----------
    design : Design
    model : ResidualModel
    draws : mapping of str to (S, …) array
    """
    names = parameter_names(design)
    own, sigma = names.residual, np.asarray(draws[names.sigma], dtype=float)
    log_sd = [np.asarray(draws[name], dtype=float) for name in own.log_sd]
    columns = [value * unit for value, unit in zip(log_sd, model.unit, strict=True)]
    ratios: list[Any] = [0.0, *log_sd[len(log_sd) - len(own.groups) + 1 :]]
    of_groups = correlation_parameters(own, model)
    for g, group in enumerate(own.groups):
        columns += [p.free(np.asarray(draws[p.name], dtype=float)) for p in of_groups[g]]
        if group.correlation is not None:
            columns += _roots(group, draws, sigma * np.exp(ratios[g]))
    return np.column_stack(columns)


def _roots(
    group: CorrelationNames, draws: Mapping[str, np.ndarray], first: FloatArray
) -> list[FloatArray]:
    """Lower triangles of an unstructured matrix relative to its first variance, entry by entry."""
    R = cholesky_roots(np.asarray(draws[str(group.correlation)], dtype=float))
    sds = np.column_stack([first, *(draws[name] for name in group.sds)]) / first[:, None]
    i, j = np.tril_indices(R.shape[1])
    return list((R[:, i, j] * sds[:, i]).T[1:])


def residual_start(design: Design, at: ResidualAt, sigma: float) -> dict[str, Any]:
    """Values of the posterior's free variables at a fit's residual parameters.

    Parameters
    ----------
    design : Design
    at : ResidualAt
    sigma : float
    """
    own, model = parameter_names(design).residual, at.model
    log_sd = at.free[: model.q] / model.unit
    found: dict[str, Any] = dict(zip(own.log_sd, log_sd.tolist(), strict=True))
    ratios = [0.0, *log_sd[len(log_sd) - len(own.groups) + 1 :].tolist()]
    of_groups = correlation_parameters(own, model)
    for g, (group, cut) in enumerate(zip(own.groups, model.cuts, strict=False)):
        for p, free in zip(of_groups[g], at.free[cut].tolist(), strict=False):
            found |= _parameter_start(p, free)
        if group.correlation is None or model.structure is None:
            continue
        cov = model.structure.matrix(at.free[cut], model.levels)
        root = np.sqrt(np.diag(cov))
        sds = sigma * np.exp(ratios[g]) * root
        found |= dict(zip(group.sds, sds[1:].tolist(), strict=True))
        most = 2.0 * _LARGEST_SHARE - 1.0
        partial = np.clip(partial_correlations(cov / np.outer(root, root)), -most, most)
        unit = 0.5 + 0.5 * partial
        found[group.correlation + PARTIAL] = float(unit[0]) if len(unit) == 1 else unit
    return found


def _parameter_start(p: CorrelationParameter, free: float) -> dict[str, float]:
    if not any(p.ends):
        return {p.name: free}
    value = np.float64(p.value(free))
    inside = p.distance(value)
    if all(p.ends):
        inside = np.clip(p.share(value), 1.0 - _LARGEST_SHARE, _LARGEST_SHARE)
    return {unbounded_name(p.name): float(inside)}
