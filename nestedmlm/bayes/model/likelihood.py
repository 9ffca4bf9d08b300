"""The marginal log-likelihood as one PyTensor Op that brings its gradient along.

A sampler always wants both, and one visit of the elimination gives both.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytensor.tensor as pt
from pytensor.gradient import DisconnectedType, disconnected_type, grad_not_implemented
from pytensor.graph.basic import Apply, Variable
from pytensor.graph.op import Op

from nestedmlm.bayes.density.marginal_likelihood import Result, marginal_likelihood
from nestedmlm.statistics.crossproducts import CrossProducts

# entries, beta, sigma, P, C, c
INPUT_TYPES = tuple(("float64", ndim) for ndim in (1, 1, 0, 2, 2, 1))
_PARAMETERS = 3  # inputs that are parameters; the rest is data


class Data:
    """The statistics that a density is of; `set_response` exchanges them."""

    def __init__(self, stats: CrossProducts) -> None:
        self.stats = stats


class MarginalLikelihood(Op):
    """``(entries, beta, sigma, P, C, c) -> (value, and its gradient in the first three)``.

    ``value = -1/2 (log|M| + v'S v / sigma^2)`` with ``(log|M|, S) = eliminate(T)``,
    ``T = P entries / sigma`` and ``v = c + C beta``: what of the log-likelihood needs the data.
    Only the value can be differentiated, and only in the first three inputs.

    Parameters
    ----------
    data : Data
    """

    __props__ = ("data",)

    def __init__(self, data: Data) -> None:
        self.data = data

    def make_node(self, *inputs: Any) -> Apply:
        """Type the node; the only checks are of number, types and dimensions."""
        variables = [pt.as_tensor_variable(i) for i in inputs]
        found = tuple((v.type.dtype, v.type.ndim) for v in variables)
        if found != INPUT_TYPES:
            raise TypeError(f"the marginal likelihood takes {INPUT_TYPES}, got {found}")
        return Apply(self, variables, [pt.dscalar(), pt.dvector(), pt.dvector(), pt.dscalar()])

    def perform(self, node: Apply, inputs: Any, outputs: Any) -> None:
        """Evaluate value and gradient."""
        value, entries_bar, beta_bar, sigma_bar = self.function()(*inputs, True)
        outputs[0][0], outputs[3][0] = np.asarray(value), np.asarray(sigma_bar)
        outputs[1][0], outputs[2][0] = entries_bar, beta_bar

    def function(self) -> Callable[..., Result]:
        """Return the function of the inputs' values and of whether the gradient is wanted."""
        data = self.data

        def evaluate(*inputs: Any) -> Result:
            return marginal_likelihood(data.stats, *inputs)

        return evaluate

    def pullback(self, inputs: Any, outputs: Any, cotangents: Any) -> list[Variable]:
        """Multiply the gradient that is there already."""
        data = [disconnected_type() for _ in inputs[_PARAMETERS:]]
        if any(not isinstance(c.type, DisconnectedType) for c in cotangents[1:]):
            problem = "the marginal likelihood has no second derivatives"
            parameters = enumerate(inputs[:_PARAMETERS])
            return [*(grad_not_implemented(self, i, x, problem) for i, x in parameters), *data]
        return [*(cotangents[0] * bar for bar in outputs[1:]), *data]

    def connection_pattern(self, node: Apply) -> list[list[bool]]:
        """All outputs depend on the parameters; the rest is data."""
        n_out, n_data = len(node.outputs), len(node.inputs) - _PARAMETERS
        return [[True] * n_out] * _PARAMETERS + [[False] * n_out] * n_data
