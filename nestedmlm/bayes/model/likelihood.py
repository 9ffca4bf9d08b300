"""The marginal log-likelihood as one PyTensor Op that brings its gradient along.

A sampler always wants both, and everything between the parameters and the value runs in one
compiled call (`nestedmlm.bayes.model.marginalkernel`). Where crossed factors leave a large dense
block, the elimination's own functions run instead, for their LAPACK.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytensor.tensor as pt
from pytensor.gradient import DisconnectedType, disconnected_type, grad_not_implemented
from pytensor.graph.basic import Apply, Variable
from pytensor.graph.op import Op

from nestedmlm._typing import FloatArray
from nestedmlm.bayes.model.marginalkernel import marginal_likelihood
from nestedmlm.likelihood import elimination
from nestedmlm.likelihood.ops import ARRAY_TYPES, records_of

# entries, beta, sigma, P, C, c; then the fields of Tree and Sums
INPUT_TYPES = (
    *(("float64", ndim) for ndim in (1, 1, 0, 2, 2, 1)),
    *ARRAY_TYPES,
)
DENSE = 64  # trailing columns from which LAPACK wins over loops
_PARAMETERS = 3

Result = tuple[float, FloatArray, FloatArray, float]


class MarginalLikelihood(Op):
    """``(entries, beta, sigma, P, C, c, *arrays) -> (value, and its gradient in the first three)``.

    ``value = -1/2 (log|M| + v'S v / sigma^2)`` with ``(log|M|, S) = eliminate(T)``,
    ``T = P entries / sigma`` and ``v = c + C beta``: what of the log-likelihood needs the data.
    Only the value can be differentiated, and only in the first three inputs.

    Parameters
    ----------
    dense : bool
        The trailing block is left to LAPACK.
    """

    __props__ = ("dense",)

    def __init__(self, dense: bool) -> None:
        self.dense = dense

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
        return by_lapack if self.dense else marginal_likelihood

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


def by_lapack(
    entries: FloatArray, beta: FloatArray, sigma: float, P: FloatArray, C: FloatArray,
    c: FloatArray, *rest: Any,
) -> Result:  # fmt: skip
    """`marginal_likelihood`, by the functions of `nestedmlm.likelihood.elimination`."""
    *data, gradient = rest
    tree, sums = records_of(data)
    sigma = float(sigma)
    T, v = P @ entries / sigma, c + C @ beta
    e = elimination.forward(T, tree, sums)
    Sv = e.S @ v
    quadratic = float(v @ Sv) / sigma**2
    value = -0.5 * (e.logdet + quadratic)
    if not gradient:
        return value, np.zeros(len(entries)), np.zeros(len(beta)), 0.0
    M = elimination.adjoint(T, tree, e, -0.5, np.outer(v, v) * (-0.5 / sigma**2))
    T_bar, at = np.empty_like(T), 0
    for k in (*tree.K.tolist(), *tree.Kt.tolist()):
        block = slice(at, at + k * k)
        T_bar[block] = 2.0 * (M[block].reshape(k, k) @ T[block].reshape(k, k)).ravel()
        at += k * k
    return value, P.T @ T_bar / sigma, -C.T @ Sv / sigma**2, (quadratic - float(T_bar @ T)) / sigma
