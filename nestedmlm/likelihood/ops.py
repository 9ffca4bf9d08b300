"""The elimination as PyTensor Ops, with exact pullbacks.

`eliminate` is the one heavy node of every graph: the REML/ML criterion and the marginal Bayesian
model are different heads on its two results. Structure and data enter as ordinary inputs (the
fields of `Tree`, then those of `Sums`), so a compiled graph serves every data set whose covariance
has the same shape.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import Any

import numpy as np
import pytensor.tensor as pt
from pytensor.gradient import DisconnectedType, disconnected_type
from pytensor.graph.basic import Apply, Variable
from pytensor.graph.op import Op

from nestedmlm.likelihood import elimination
from nestedmlm.likelihood.criterion import profile
from nestedmlm.likelihood.elimination import Eliminated
from nestedmlm.statistics.crossproducts import Sums
from nestedmlm.statistics.kernels.common import twice_products
from nestedmlm.statistics.layout import Tree

# dtype and dimensions of the fields of Tree and Sums, in order: vectors of integers, then matrices
# and the flat panels
ARRAY_TYPES = (
    *(("int64", 1) for _ in Tree._fields),
    *(("float64", 1 if field == "panels" else 2) for field in Sums._fields),
)
STATE_TYPES = (1, 1, 2, 2, 2)  # dimensions of panels, G, Qtt, Qtr, Gtt
N_ARRAYS = len(ARRAY_TYPES)


def array_inputs() -> list[Any]:
    """Fresh symbolic inputs for the fields of `Tree` and `Sums`."""
    return [pt.tensor(dtype=dtype, shape=(None,) * ndim) for dtype, ndim in ARRAY_TYPES]


def records_of(arrays: Iterable[np.ndarray]) -> tuple[Tree, Sums]:
    """Give the arrays of a graph (`ARRAY_TYPES`) their names again."""
    fields = iter(arrays)
    return Tree._make(islice(fields, len(Tree._fields))), Sums._make(fields)


def _writable(arrays: Any) -> tuple[np.ndarray, ...]:
    """Copies of read-only arrays (constants under PyTensor's Numba linker).

    The kernels never write into the data, but Numba would compile them a second time.
    """
    return tuple(a if a.flags.writeable else a.copy() for a in arrays)


class Eliminate(Op):
    """``(T, *arrays) -> (log|M|, S, *state)``; see `nestedmlm.likelihood.elimination.forward`.

    T is the flat vector of relative factors in elimination order; the state is what the pullback
    needs again, and is not differentiable.
    """

    __props__ = ()

    def make_node(self, T: Any, *arrays: Any) -> Apply:
        """Type the node; the only checks are of number and dimensions."""
        inputs = [pt.as_tensor_variable(T), *(pt.as_tensor_variable(a) for a in arrays)]
        if len(inputs) != 1 + N_ARRAYS:
            raise TypeError(f"eliminate takes T and {N_ARRAYS} arrays, got {len(inputs)} inputs")
        state = [pt.tensor(dtype="float64", shape=(None,) * d) for d in STATE_TYPES]
        return Apply(self, inputs, [pt.dscalar(), pt.dmatrix(), *state])

    def perform(self, node: Apply, inputs: Any, outputs: Any) -> None:
        """Run the forward sweep."""
        T, *arrays = inputs
        e = elimination.forward(T, *records_of(_writable(arrays)))
        results = (np.asarray(e.logdet), e.S, e.panels, e.G, e.Qtt, e.Qtr, e.Gtt)
        for storage, value in zip(outputs, results, strict=True):
            storage[0] = value

    def pullback(self, inputs: Any, outputs: Any, cotangents: Any) -> list[Variable]:
        """Chain rule through one reverse sweep; the arrays are data."""
        l_bar, S_bar = cotangents[:2]
        if isinstance(l_bar.type, DisconnectedType):
            l_bar = pt.zeros(())
        if isinstance(S_bar.type, DisconnectedType):
            S_bar = pt.zeros_like(outputs[1])
        T_bar, _ = eliminate_pullback(l_bar, S_bar, inputs[0], *inputs[1:], *outputs[2:])
        return [T_bar, *(disconnected_type() for _ in inputs[1:])]

    def connection_pattern(self, node: Apply) -> list[list[bool]]:
        """Only T, and only through the first two outputs."""
        n_out = len(node.outputs)
        return [[True, True, *[False] * (n_out - 2)], *[[False] * n_out] * (len(node.inputs) - 1)]


class EliminatePullback(Op):
    """``(l_bar, S_bar, T, *arrays, *state) -> (T_bar, M)``.

    M is the flat vector of symmetric matrices ``M_f = d/d(T_f T_f')``, and ``T_bar = 2 M_f T_f``.
    """

    __props__ = ()

    def make_node(self, *inputs: Any) -> Apply:
        """Type the node."""
        return Apply(self, [pt.as_tensor_variable(i) for i in inputs], [pt.dvector(), pt.dvector()])

    def perform(self, node: Apply, inputs: Any, outputs: Any) -> None:
        """Run the reverse sweep."""
        l_bar, S_bar, T = inputs[:3]
        tree, _ = records_of(_writable(inputs[3 : 3 + N_ARRAYS]))
        state = Eliminated(
            logdet=np.nan,  # neither is used by the reverse sweep
            S=S_bar,
            panels=inputs[-5],
            G=inputs[-4],
            Qtt=inputs[-3],
            Qtr=inputs[-2],
            Gtt=inputs[-1],
        )
        M = elimination.adjoint(T, tree, state, float(l_bar), S_bar)
        widths = np.concatenate([tree.K, tree.Kt])
        outputs[0][0], outputs[1][0] = twice_products(widths, M, *_writable((T,))), M


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


eliminate = Eliminate()
eliminate_pullback = EliminatePullback()
profiled_criterion = ProfiledCriterion()
criterion_pullback = CriterionPullback()
