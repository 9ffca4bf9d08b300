"""The Laplace approximation as one PyTensor Op that brings its exact gradient along."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytensor.tensor as pt
from pytensor.gradient import DisconnectedType, grad_not_implemented
from pytensor.graph.basic import Apply, Variable
from pytensor.graph.op import Op

from nestedmlm.likelihood.glmm.glmm_model import GlmmModel
from nestedmlm.likelihood.glmm.laplace_likelihood import LaplaceLikelihood

# flat factors, fixed effects in orthonormal columns, logarithm of the dispersion
INPUT_TYPES = tuple(("float64", ndim) for ndim in (1, 1, 0))


class Data:
    """The likelihood that an Op evaluates; `set_response` exchanges it."""

    def __init__(self, model: GlmmModel) -> None:
        self.likelihood = LaplaceLikelihood(model=model)


class LaplaceApproximation(Op):
    """``(T, gamma, log dispersion) -> (value, and its gradient in the three)``.

    The logarithm of the Laplace approximation of the likelihood. Where there is none the value is
    minus infinity. Only the value can be differentiated.

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
            raise TypeError(f"the Laplace approximation takes {INPUT_TYPES}, got {found}")
        return Apply(self, variables, [pt.dscalar(), pt.dvector(), pt.dvector(), pt.dscalar()])

    def perform(self, node: Apply, inputs: Any, outputs: Any) -> None:
        """Evaluate value and gradient."""
        T, gamma, log_dispersion = inputs
        dispersion = float(np.exp(log_dispersion))
        found = self.data.likelihood.log_likelihood(T, gamma, dispersion)
        value, of_T, of_gamma, slope = found
        outputs[0][0], outputs[3][0] = np.asarray(value), np.asarray(slope)
        outputs[1][0], outputs[2][0] = of_T, of_gamma

    def pullback(self, inputs: Any, outputs: Any, cotangents: Any) -> list[Variable]:
        """Multiply the gradient that is there already."""
        if any(not isinstance(c.type, DisconnectedType) for c in cotangents[1:]):
            problem = "the Laplace approximation has no second derivatives"
            return [grad_not_implemented(self, i, x, problem) for i, x in enumerate(inputs)]
        return [cotangents[0] * bar for bar in outputs[1:]]

    def connection_pattern(self, node: Apply) -> list[list[bool]]:
        """All outputs depend on all inputs."""
        return [[True] * len(node.outputs)] * len(node.inputs)
