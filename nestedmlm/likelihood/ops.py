"""The elimination as a PyTensor Op, with its exact pullback.

`Eliminate` is the one heavy node of every graph: the REML/ML criterion and the marginal Bayesian
model are different heads on its two results.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytensor.tensor as pt
from pytensor.gradient import DisconnectedType, disconnected_type
from pytensor.graph.basic import Apply, Variable
from pytensor.graph.op import Op

from nestedmlm.likelihood.criterion import profile
from nestedmlm.likelihood.elimination import eliminate
from nestedmlm.statistics.crossproducts import CrossProducts


class Eliminate(Op):
    """``T -> (log|M|, S, info, BB)``; see `nestedmlm.likelihood.elimination.eliminate`.

    T is the flat vector of relative factors in elimination order. The last two outputs are the
    derivatives of the first two in each ``T_f T_f'``; they make the pullback an ordinary
    expression, and are not differentiable themselves.

    Parameters
    ----------
    stats : CrossProducts
        The data.
    """

    __props__ = ("stats",)

    def __init__(self, stats: CrossProducts) -> None:
        self.stats = stats

    def make_node(self, T: Any) -> Apply:
        """Type the node."""
        r, size = len(self.stats.F), self.stats.parts[-1].flat.stop
        outputs = [pt.dscalar(), pt.dmatrix(shape=(r, r)), pt.dvector(shape=(size,))]
        outputs.append(pt.tensor(dtype="float64", shape=(size, r, r)))
        return Apply(self, [pt.as_tensor_variable(T)], outputs)

    def perform(self, node: Apply, inputs: Any, outputs: Any) -> None:
        """Run both sweeps."""
        e = eliminate(np.asarray(inputs[0]), self.stats)
        for storage, value in zip(outputs, (e.logdet, e.S, e.info, e.BB), strict=True):
            storage[0] = np.asarray(value)

    def pullback(self, inputs: Any, outputs: Any, cotangents: Any) -> list[Variable]:
        """Chain rule: ``M_f = l_bar info_f - <S_bar, BB_f>``, and ``2 M_f T_f``."""
        (T,), (_, _, info, BB), (l_bar, S_bar, *_) = inputs, outputs, cotangents
        M = pt.zeros_like(info)
        if not isinstance(l_bar.type, DisconnectedType):
            M = M + l_bar * info
        if not isinstance(S_bar.type, DisconnectedType):
            M = M - pt.sum(BB * (0.5 * (S_bar + S_bar.T)), axis=(1, 2))
        products = [
            2.0 * (M[part.flat].reshape((part.k,) * 2) @ T[part.flat].reshape((part.k,) * 2))
            for part in self.stats.parts
        ]
        return [pt.concatenate([product.ravel() for product in products])]

    def connection_pattern(self, node: Apply) -> list[list[bool]]:
        """Only the first two outputs can be differentiated."""
        return [[True, True, False, False]]


class ProfiledCriterion(Op):
    """``(logdet, S, df, reml) -> (criterion, r^2, v, inverse)``: beta and sigma profiled out.

    ``criterion = logdet + reml log|S_xx| + df log r^2``, up to a constant; ``v = (-beta, 1)`` and
    `inverse` is ``S_xx^{-1}`` padded with zeros (see `nestedmlm.likelihood.criterion.profile`).
    Only the first output is differentiable, in its first two inputs: beta is stationary, so ``d
    log|S_xx| = <inverse, dS>`` and ``d r^2 = v' dS v``. An Op of its own because PyTensor rewrites
    a log-determinant to the logarithm of a determinant, which underflows for long beta.
    """

    __props__ = ()

    def make_node(self, logdet: Any, S: Any, df: Any, reml: Any) -> Apply:
        """Type the node."""
        inputs = [pt.as_tensor_variable(i) for i in (logdet, S, df, reml)]
        return Apply(self, inputs, [pt.dscalar(), pt.dscalar(), pt.dvector(), pt.dmatrix()])

    def perform(self, node: Apply, inputs: Any, outputs: Any) -> None:
        """Factor S once."""
        logdet, S, df, reml = inputs
        log_sxx, r2, v, inverse = profile(S)
        value = logdet + reml * log_sxx + df * np.log(r2)
        results = (np.asarray(value), np.asarray(r2), v, inverse)
        for storage, result in zip(outputs, results, strict=True):
            storage[0] = result

    def pullback(self, inputs: Any, outputs: Any, cotangents: Any) -> list[Variable]:
        """Chain rule; degrees of freedom are not differentiated."""
        _, _, df, reml = inputs
        _, r2, v, inverse = outputs
        S_bar = criterion_pullback(cotangents[0], df, reml, r2, v, inverse)
        return [cotangents[0], S_bar, disconnected_type(), disconnected_type()]

    def connection_pattern(self, node: Apply) -> list[list[bool]]:
        """Only the criterion, and only through logdet and S."""
        return [[True, False, False, False]] * 2 + [[False] * 4] * 2


class CriterionPullback(Op):
    """``(bar, df, reml, r2, v, inverse) -> S_bar = bar (reml inverse + df v v' / r2)``."""

    __props__ = ()

    def make_node(self, *inputs: Any) -> Apply:
        """Type the node."""
        return Apply(self, [pt.as_tensor_variable(i) for i in inputs], [pt.dmatrix()])

    def perform(self, node: Apply, inputs: Any, outputs: Any) -> None:
        """Combine the two parts."""
        bar, df, reml, r2, v, inverse = inputs
        outputs[0][0] = (bar * reml) * inverse + np.outer((bar * df / r2) * v, v)


profiled_criterion = ProfiledCriterion()
criterion_pullback = CriterionPullback()
