"""Fixed effects given the other parameters, as a marginal likelihood has them: a normal.

Given standard deviations, correlations and sigma the log-likelihood is quadratic in the fixed
effects, ``-1/2 v'S v / sigma^2`` with ``v = c + C beta``, and so is the log-density where their
priors are normal or flat. With few groups they spread as widely as the standard deviation of the
groups is large: a proposal has to draw them given it, or their tails, and its own, are too short.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytensor
import pytensor.tensor as pt
from pytensor.graph.replace import clone_replace
from pytensor.graph.traversal import ancestors
from pytensor.tensor.basic import MakeVector
from scipy.linalg import cholesky, solve_triangular

from nestedmlm._typing import FloatArray
from nestedmlm.bayes.model.likelihood import MarginalLikelihood
from nestedmlm.bayes.sampling.density import Density
from nestedmlm.bayes.sampling.mode import Peak
from nestedmlm.bayes.sampling.scalarcode import python_functions
from nestedmlm.likelihood.elimination import eliminate
from nestedmlm.statistics.crossproducts import CrossProducts

_SAME = 1e-6  # relative difference of a prior's curvatures up to which it counts as normal


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CoefficientDraw:
    """A draw of the coefficients given the rest.

    Attributes
    ----------
    values : (p,) array
    log_height : float
        Log-density of the conditional at its mean, without ``-p/2 log(2 pi)``.
    logp : float
        The whole density where the draw is.
    """

    values: FloatArray
    log_height: float
    logp: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ConditionalCoefficients:
    """Coefficients given the other coordinates of a density.

    Attributes
    ----------
    at : (p,) array of int
        Their coordinates.
    columns : (p,) array of int
        Their places in beta.
    exact : bool
        Whether all their priors are normal or flat, so that the conditional is a normal.
    linear, precision : (p,) array
        Of the priors (normal ones, or what comes nearest): ``linear b - precision b^2 / 2``.
    """

    at: np.ndarray
    columns: np.ndarray
    exact: bool
    linear: FloatArray
    precision: FloatArray
    _density: Density
    _graph: LikelihoodGraph

    def draw(self, x: FloatArray, scores: FloatArray) -> CoefficientDraw:
        """The coefficients of these standard scores, given the rest of a point.

        Raises
        ------
        numpy.linalg.LinAlgError
            If the point cannot be evaluated.
        """
        entries, beta, sigma, P, C, c = self._graph.parts(self._density.split(x))
        e = eliminate(P @ entries / sigma, self._graph.stats)
        S = e.S / sigma**2
        own = C[:, self.columns]
        others = np.array(beta)
        others[self.columns] = 0.0
        v = c + C @ others
        precision = own.T @ S @ own
        precision[np.diag_indices_from(precision)] += self.precision
        root = cholesky(precision, lower=True)
        half = solve_triangular(root, self.linear - own.T @ (S @ v), lower=True)
        values = solve_triangular(root, half + scores, lower=True, trans="T")
        v += own @ values
        there = np.array(x)
        there[self.at] = values
        likelihood = -0.5 * (e.logdet + float(v @ S @ v))
        return CoefficientDraw(
            values=values,
            log_height=float(np.sum(np.log(np.diag(root)))),
            logp=self._graph.logp(self._density.split(there), likelihood),
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LikelihoodGraph:
    """The graph of a log-density, cut where the marginal likelihood stands in it.

    Attributes
    ----------
    node : Apply
        The likelihood.
    """

    node: Any
    _every: Callable[..., Any]
    _logp: Callable[..., Any]

    @property
    def stats(self) -> CrossProducts:
        """The statistics of the data."""
        found: CrossProducts = self.node.op.data.stats
        return found

    def parts(self, values: list[Any]) -> tuple[Any, ...]:
        """The likelihood's inputs: entries, beta, sigma, P, C, c."""
        return tuple(self._every(*values, 0.0)[1 : 1 + len(self.node.inputs)])

    def slopes(self, values: list[Any]) -> FloatArray:
        """Derivatives of the coefficients' log-priors."""
        return np.array(self._every(*values, 0.0)[1 + len(self.node.inputs) :], dtype=float)

    def logp(self, values: list[Any], likelihood: float) -> float:
        """The log-density, given the value of the likelihood."""
        value: float = self._logp(*values, likelihood)[0]
        return value


def conditional_coefficients(density: Density, peak: Peak) -> ConditionalCoefficients | None:
    """Find the coefficients that are coordinates of a density.

    Parameters
    ----------
    density : Density
        Of a marginal model.
    peak : Peak
        Of the density: priors that are not normal are approximated there.

    Returns
    -------
    ConditionalCoefficients or None
        None where there is none (none in the model, or each made of another variable).
    """
    logp = density.model.logp()
    node = next(
        (v.owner for v in ancestors([logp]) if v.owner and _is_likelihood(v.owner.op)), None
    )
    if node is None or not _is_vector(node.inputs[1]):
        return None
    values = density.model.value_vars
    ends = np.cumsum([int(np.prod(shape, dtype=int)) for shape in density.shapes])
    found = [
        (column, values.index(variable))
        for column, variable in enumerate(node.inputs[1].owner.inputs)
        if variable in values
    ]
    if not found:
        return None
    own = [values[place] for _, place in found]
    prior = density.model.logp(vars=[density.model.values_to_rvs[value] for value in own])
    slopes = pytensor.grad(prior, own, disconnected_inputs="ignore")
    likelihood = pt.dscalar("likelihood")
    rest = clone_replace(logp, {node.outputs[0]: likelihood})
    every, alone = python_functions([*values, likelihood], [rest, *node.inputs, *slopes])
    graph = LikelihoodGraph(node=node, _every=every, _logp=alone)
    at = np.array([ends[place] - 1 for _, place in found])
    priors = _quadratic_priors(density, graph, peak, at)
    return ConditionalCoefficients(
        at=at,
        columns=np.array([column for column, _ in found]),
        exact=priors.exact,
        linear=priors.linear,
        precision=priors.precision,
        _density=density,
        _graph=graph,
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Priors:
    exact: bool
    linear: FloatArray
    precision: FloatArray


def _quadratic_priors(
    density: Density, graph: LikelihoodGraph, peak: Peak, at: np.ndarray
) -> _Priors:
    """The quadratics that the log-densities of priors are, or are near to at the peak."""
    widths = np.sqrt(np.sum(peak.root[at] ** 2, axis=1))

    def slopes(steps: float) -> FloatArray:
        x = peak.x.copy()
        x[at] += steps * widths
        return graph.slopes(density.split(x))

    near, far = ((slopes(-s) - slopes(s)) / (2.0 * s * widths) for s in (1.0, 10.0))
    precision = np.maximum(near, 0.0)
    exact = bool(np.all(np.abs(near - far) <= _SAME * np.maximum(np.abs(near), np.abs(far))))
    return _Priors(exact=exact, linear=slopes(0.0) + precision * peak.x[at], precision=precision)


def _is_likelihood(op: Any) -> bool:
    return isinstance(op, MarginalLikelihood)


def _is_vector(variable: Any) -> bool:
    return variable.owner is not None and isinstance(variable.owner.op, MakeVector)
