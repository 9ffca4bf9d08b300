"""Evaluating the criterion and its derivatives at one phi.

Two routes to the same numbers. The PyTensor graph (`nestedmlm.optimum.graph`) serves every
covariance structure, a user's own included, and every design. Where the relative factors are linear
in phi and nothing is crossed with the chain, `nestedmlm.likelihood.kernels.criterion` does the same
in one compiled call: on a model of a few hundred groups Python between the graph's nodes would take
most of the time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from nestedmlm._typing import FloatArray
from nestedmlm.covariance.parameters import Plan, linear_map
from nestedmlm.likelihood.criterion import degrees
from nestedmlm.likelihood.elimination import Eliminated
from nestedmlm.likelihood.kernels.criterion import first_order
from nestedmlm.statistics.crossproducts import CrossProducts


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Evaluation:
    """The criterion and its derivatives at one phi.

    Attributes
    ----------
    phi : (n_theta,) array
    criterion : float
    gradient : (n_theta,) array
        d criterion / d phi.
    T, M : flat arrays
        Relative factors and ``M_f = d criterion / d(T_f T_f')``, in elimination order.
    r2 : float
        Penalised weighted residual sum of squares.
    v : (p+1,) array
        ``(-beta, 1)`` in scaled columns.
    S_inverse : (p+1, p+1) array
        ``S_xx^{-1}``, padded with zeros.
    state : Eliminated
        The forward sweep's result.
    """

    phi: FloatArray
    criterion: float
    gradient: FloatArray
    T: FloatArray
    M: FloatArray
    r2: float
    v: FloatArray
    S_inverse: FloatArray
    state: Eliminated


def compiled_route(plan: Plan, stats: CrossProducts) -> bool:
    """Whether one compiled call can evaluate this model (see above)."""
    return plan.linear and not stats.trailing


def evaluate(phi: FloatArray, plan: Plan, stats: CrossProducts, REML: bool) -> Evaluation:
    """Evaluate the criterion, its gradient and what second-order methods need."""
    phi = np.ascontiguousarray(phi, dtype=np.float64)
    route = evaluate_compiled if compiled_route(plan, stats) else evaluate_graph
    return route(phi, plan, stats, REML)


def evaluate_graph(phi: FloatArray, plan: Plan, stats: CrossProducts, REML: bool) -> Evaluation:
    """Evaluate through the PyTensor graph."""
    from nestedmlm.optimum.graph import compiled_criterion  # PyTensor is slow to import

    df, reml, constant = degrees(stats, REML)
    out = compiled_criterion(plan)(phi, np.asarray(df), np.asarray(reml), *stats.tree, *stats.sums)
    crit, gradient, T, M, r2, v, inverse, logdet, S, panels, G, Qtt, Qtr, Gtt = out
    return Evaluation(
        phi=phi,
        criterion=float(crit) + constant,
        gradient=gradient,
        T=T,
        M=M,
        r2=float(r2),
        v=v,
        S_inverse=inverse,
        state=Eliminated(logdet=float(logdet), S=S, panels=panels, G=G, Qtt=Qtt, Qtr=Qtr, Gtt=Gtt),
    )


def evaluate_compiled(phi: FloatArray, plan: Plan, stats: CrossProducts, REML: bool) -> Evaluation:
    """Evaluate through the fused kernels."""
    df, reml, constant = degrees(stats, REML)
    out = first_order(stats.tree, stats.sums, linear_map(plan), phi, df, reml)
    return evaluation_of(phi, out, stats, constant)


def evaluation_of(
    phi: FloatArray, out: tuple[Any, ...], stats: CrossProducts, constant: float
) -> Evaluation:
    """Give what `first_order` returned its names."""
    value, gradient, T, M, r2, v, inverse, logdet, S, panels, G = out
    return Evaluation(
        phi=phi,
        criterion=value + constant,
        gradient=gradient,
        T=T,
        M=M,
        r2=r2,
        v=v,
        S_inverse=inverse,
        state=Eliminated(
            logdet=logdet,
            S=S,
            panels=panels,
            G=G,
            Qtt=stats.sums.Qtt,
            Qtr=stats.sums.Qtr,
            Gtt=stats.sums.Qtt,
        ),
    )
