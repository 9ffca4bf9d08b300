"""`LikelihoodOp`: a log-likelihood as one PyTensor Op that brings its gradient along.

A sampler always wants both, and one evaluation gives both.
"""

from __future__ import annotations

from typing import Any, ClassVar

import pymc as pm
import pytensor.tensor as pt
from pytensor.gradient import DisconnectedType, disconnected_type, grad_not_implemented
from pytensor.graph.basic import Apply, Variable
from pytensor.graph.op import Op
from pytensor.graph.traversal import ancestors


class LikelihoodOp(Op):
    """``inputs -> (value, and its gradient in the parameters)``.

    The parameters are the first inputs; the rest is data. Only the value can be differentiated, and
    only in the parameters. A subclass says what the inputs are, and has `perform`.

    Parameters
    ----------
    data : object
        What the likelihood is of; it can be exchanged.
    """

    __props__ = ("data",)

    what: ClassVar[str]  # its name, for messages
    input_types: ClassVar[tuple[tuple[str, int], ...]]  # and dimensions
    parameters: ClassVar[int] = 3

    def __init__(self, data: Any) -> None:
        self.data = data

    def make_node(self, *inputs: Any) -> Apply:
        """Type the node; the only checks are of number, types and dimensions."""
        variables = [pt.as_tensor_variable(i) for i in inputs]
        found = tuple((v.type.dtype, v.type.ndim) for v in variables)
        if found != self.input_types:
            raise TypeError(f"the {self.what} takes {self.input_types}, got {found}")
        bars = [pt.tensor(dtype=t, shape=(None,) * d) for t, d in found[: self.parameters]]
        return Apply(self, variables, [pt.dscalar(), *bars])

    def pullback(self, inputs: Any, outputs: Any, cotangents: Any) -> list[Variable]:
        """Multiply the gradient that is there already."""
        data = [disconnected_type() for _ in inputs[self.parameters :]]
        if any(not isinstance(c.type, DisconnectedType) for c in cotangents[1:]):
            problem = f"the {self.what} has no second derivatives"
            own = enumerate(inputs[: self.parameters])
            return [*(grad_not_implemented(self, i, x, problem) for i, x in own), *data]
        return [*(cotangents[0] * bar for bar in outputs[1:]), *data]

    def connection_pattern(self, node: Apply) -> list[list[bool]]:
        """All outputs depend on the parameters; the rest is data."""
        n_out, n_data = len(node.outputs), len(node.inputs) - self.parameters
        return [[True] * n_out] * self.parameters + [[False] * n_out] * n_data


def data_of(model: pm.Model, potential: str) -> Any:
    """What the likelihood of a model is of.

    Parameters
    ----------
    model : pymc.Model
    potential : str
        Name of the term that a `LikelihoodOp` is in.

    Returns
    -------
    object or None
        None where there is no such Op.
    """
    for variable in ancestors([model[potential]]):
        if variable.owner is not None and isinstance(variable.owner.op, LikelihoodOp):
            return variable.owner.op.data
    return None
