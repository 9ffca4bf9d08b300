"""Residuals that differ or correlate as PyMC variables, and the likelihood given the mean.

The marginal model wants the free parameters of `nestedmlm.statistics.residual_model`; the
hierarchical one each row's standard deviation, and the rows' densities: innovations
``y_t | y_(t-1)`` where correlations decay, one `pymc.MvNormal` for each pattern of rows otherwise.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pymc as pm
import pytensor.tensor as pt

from nestedmlm._typing import IntArray
from nestedmlm.bayes.model.distributions import Prior
from nestedmlm.bayes.model.factors import (
    TermFactor,
    called,
    scale,
    unstructured_rows,
)
from nestedmlm.bayes.model.names import (
    OBS_DIM,
    CorrelationNames,
    ParameterNames,
    response_data_name,
    response_name,
    unbounded_name,
)
from nestedmlm.bayes.model.residual_correlations import (
    CorrelationParameter,
    correlation_parameters,
)
from nestedmlm.covariance.residual_structures import BLOCK, GAPS
from nestedmlm.covariance.table import STRUCTURES
from nestedmlm.statistics.residual_correlation import Decay
from nestedmlm.statistics.residual_model import ResidualModel, residual_model

if TYPE_CHECKING:
    from nestedmlm.bayes.model.prior_set import PriorSet
    from nestedmlm.design.design import Design


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class GroupVariables:
    """Variables of one group's correlations.

    Attributes
    ----------
    values : tuple of scalars
        The parameters, at the unit of the model's gaps.
    free : tuple of scalars
    factor : TermFactor or None
        Of an unstructured matrix, relative to sigma and the group's ratio.
    """

    values: tuple[Any, ...]
    free: tuple[Any, ...]
    factor: TermFactor | None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ResidualVariables:
    """Variables of the residuals' covariance in a PyMC model.

    Attributes
    ----------
    model : ResidualModel
    log_sd : tuple of scalars
    groups : tuple of GroupVariables
    """

    model: ResidualModel
    log_sd: tuple[Any, ...]
    groups: tuple[GroupVariables, ...]

    @property
    def free(self) -> Any:
        """The free parameters, a vector."""
        own = [v * u for v, u in zip(self.log_sd, self.model.unit.tolist(), strict=True)]
        own += [x for group in self.groups for x in group.free]
        return pt.stack(own) if own else pt.zeros(0)

    def row_sd(self) -> Any:
        """Standard deviation of each row over sigma, but for an unstructured matrix's share."""
        m = self.model
        total: Any = np.zeros(len(m.classes))
        for value, unit, column in zip(self.log_sd, m.unit.tolist(), m.classes.T, strict=True):
            total = total + value * (unit * column)
        return pt.exp(total)[m.row_class]


def residual_variables(
    design: Design, names: ParameterNames, priors: PriorSet, sigma: Any
) -> ResidualVariables:
    """Make the residuals' variables in the PyMC model that is being built.

    Parameters
    ----------
    design : Design
    names : ParameterNames
    priors : PriorSet
    sigma : scalar
    """
    assert design.residual is not None
    model, own = residual_model(design.residual), names.residual
    log_sd = tuple(_real(name, priors) for name in own.log_sd)
    of_groups = correlation_parameters(own, model)
    ratios = [None, *log_sd[len(log_sd) - len(own.groups) + 1 :]]
    groups = []
    for g, group in enumerate(own.groups):
        if group.correlation is None:
            made = [_parameter(p, priors) for p in of_groups[g]]
            values, free = zip(*made, strict=True)
            groups.append(GroupVariables(values=values, free=free, factor=None))
        else:
            first = sigma if ratios[g] is None else sigma * pt.exp(ratios[g])
            groups.append(_unstructured(group, priors, first))
    return ResidualVariables(model=model, log_sd=log_sd, groups=tuple(groups))


def observe(own: ResidualVariables, design: Design, mu: Any, spread: Any, y: Any) -> None:
    """Make the response's variables in the hierarchical model that is being built.

    Parameters
    ----------
    own : ResidualVariables
    design : Design
    mu : (n,) vector
        Expected values.
    spread : (n,) vector
        sigma over the root of the weights.
    y : (n,) vector
        The data.
    """
    m = own.model
    spread = spread * own.row_sd()
    if m.structure is None or m.structure.time == GAPS:
        if m.structure is not None:
            mu, spread = _innovations(own, mu, spread, y)
        pm.Normal(response_name(design), mu, spread, observed=y, dims=OBS_DIM)
        return
    for i, (rows, C) in enumerate(_patterns(own)):
        sd = spread[rows]
        data = pm.Data(f"{response_data_name(design)}_{i}", design.y[rows])
        L = sd[:, :, None] * pt.linalg.cholesky(C)[None]
        pm.MvNormal(f"{response_name(design)}_{i}", mu[rows], chol=L, observed=data)


def observed_rows(design: Design) -> Iterator[tuple[str, IntArray]]:
    """Names of the data of a hierarchical model's patterns, and the rows that they hold."""
    assert design.residual is not None
    m = residual_model(design.residual)
    if m.structure is not None and m.structure.time != GAPS:
        for i, (rows, _, _) in enumerate(_pattern_rows(m)):
            yield f"{response_data_name(design)}_{i}", rows


def _innovations(own: ResidualVariables, mu: Any, spread: Any, y: Any) -> tuple[Any, Any]:
    """Mean and spread of each row given the row before it in its block."""
    m, n = own.model, len(own.model.row_class)
    previous, gaps = np.arange(n), np.ones(n)
    number = np.zeros(n, dtype=np.int64)
    first = np.ones(n, dtype=bool)
    for g, (part, by_size) in enumerate(zip(m.correlations, m.blocks, strict=True)):
        assert isinstance(part, Decay)
        for rows in by_size:
            later = rows[:, 1:]
            number[rows], first[later], previous[later] = g, False, rows[:, :-1]
            gaps[later] = (m.time[later] - m.time[rows[:, :-1]]) / part.unit
    rho = pt.stack([group.values[0] for group in own.groups])[number]
    if m.structure is not None and m.structure.whole_gaps:
        gaps = np.rint(gaps)
    phi = pt.where(first, 0.0, pt.power(rho, gaps))
    left = (y - mu)[previous] / spread[previous]
    return mu + phi * spread * left, spread * pt.sqrt(1.0 - phi**2)


def _pattern_rows(m: ResidualModel) -> Iterator[tuple[IntArray, int, IntArray]]:
    """Rows of each pattern (blocks, k), the group, and the visits."""
    by_block = m.structure is not None and m.structure.time == BLOCK
    for g, by_size in enumerate(m.blocks):
        for rows in by_size:
            visits = m.time[rows].astype(np.int64) * (0 if by_block else 1)
            kinds, place = np.unique(visits, axis=0, return_inverse=True)
            for number, kind in enumerate(kinds):
                yield rows[place.reshape(-1) == number], g, kind


def _patterns(own: ResidualVariables) -> Iterator[tuple[IntArray, Any]]:
    m, matrices = own.model, {}
    for rows, g, visits in _pattern_rows(m):
        k = rows.shape[1] if m.structure is not None and m.structure.time == BLOCK else m.levels
        if (g, k) not in matrices:
            matrices[g, k] = _matrix(own.groups[g], m, k)
        whole = m.structure is not None and m.structure.time == BLOCK
        C = matrices[g, k] if whole else matrices[g, k][visits][:, visits]
        yield rows, C


def _matrix(group: GroupVariables, m: ResidualModel, k: int) -> Any:
    """Correlations (of an unstructured matrix covariances) over k levels."""
    if group.factor is not None:
        R, sd = _correlations(group.factor), pt.stack(group.factor.sds)
        return R * sd[:, None] * sd[None, :]
    assert m.structure is not None
    made = m.structure.correlations
    return (
        _registered(group.values, k, m.structure.name)
        if made is None
        else (made(pt, group.values, k))
    )


def _correlations(factor: TermFactor) -> Any:
    """``L L'`` of the rows of a factor."""
    k = len(factor.rows)
    cells = [[pt.constant(0.0)] * k for _ in range(k)]
    for i, row in enumerate(factor.rows):
        for j, value in enumerate(row):
            cells[i][j] = pt.constant(float(i == j)) if value is None else value
    L = pt.stack([pt.stack(row) for row in cells])
    return pt.dot(L, L.T)


def _registered(values: tuple[Any, ...], k: int, name: str) -> Any:
    rows = STRUCTURES[name].correlation_rows(pt, list(values), k)
    sds = (pt.constant(1.0),) * k
    return _correlations(TermFactor(sds=sds, rows=rows))


def _real(name: str, priors: PriorSet) -> Any:
    prior = priors[name].prior
    return prior.variable(name) if isinstance(prior, Prior) else called(name, prior, ())


def _parameter(p: CorrelationParameter, priors: PriorSet) -> tuple[Any, Any]:
    """A parameter's value and its free number; the reported one is a variable of the model."""
    prior = priors[p.name].prior
    if not isinstance(prior, Prior):
        reported = called(p.name, prior, ())
        value = reported if p.unit == 1.0 else reported**p.unit
        return value, _free(p, p.share(value) if all(p.ends) else p.distance(value))
    if not any(p.ends):
        value = prior.variable(p.name)
        return value, value
    inner = prior.variable(unbounded_name(p.name))
    low, high = p.ends
    if low:
        value = p.parameter.lower + (p.parameter.upper - p.parameter.lower if high else 1.0) * inner
    else:
        value = p.parameter.upper - inner
    pm.Deterministic(p.name, value if p.unit == 1.0 else value ** (1.0 / p.unit))
    return value, _free(p, inner)


def _free(p: CorrelationParameter, inner: Any) -> Any:
    if not all(p.ends):
        return pt.log(inner)
    if p.rate is None:
        return pt.arcsin(2.0 * inner - 1.0)
    return (pt.log(inner) - pt.log1p(-inner)) / p.rate


def _unstructured(group: CorrelationNames, priors: PriorSet, first: Any) -> GroupVariables:
    assert group.correlation is not None
    others = [scale(name, priors[name].prior, folded=False) for name in group.sds]
    sds = (pt.constant(1.0), *(sd / first for sd in others))
    rows = unstructured_rows(group.correlation, len(sds), priors)
    factor = TermFactor(sds=sds, rows=rows)
    pm.Deterministic(group.correlation, _correlations(factor), dims=group.expr_dims)
    entries = factor.entries()
    free = tuple(value for place, value in entries.items() if place != (0, 0))
    return GroupVariables(values=(), free=free, factor=factor)
