"""The marginal log-likelihood as one PyTensor Op that brings its gradient along."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from pytensor.graph.basic import Apply

from nestedmlm._typing import FloatArray
from nestedmlm.bayes.density.marginal_likelihood import (
    Result,
    marginal_likelihood,
    residual_likelihood,
)
from nestedmlm.bayes.model.likelihood_op import LikelihoodOp
from nestedmlm.statistics.crossproducts import CrossProducts
from nestedmlm.statistics.pair_sums import PairSums


class Data:
    """The statistics that a density is of; `set_response` exchanges them.

    `sums` are what they are made from where residuals differ or correlate.
    """

    def __init__(self, stats: CrossProducts, sums: PairSums | None = None) -> None:
        self.stats, self.sums = stats, sums


class MarginalLikelihood(LikelihoodOp):
    """``(entries, beta, sigma, free, P, C, c) -> (value, its gradient in the first four)``.

    ``value = -1/2 (log|M| + v'S v / sigma^2)`` with ``(log|M|, S) = eliminate(T)``,
    ``T = P entries / sigma`` and ``v = c + C beta``: what of the log-likelihood needs the data.
    `free` are parameters of the residuals (none where they neither differ nor correlate), and the
    value then has ``-1/2 log|R|``.

    Parameters
    ----------
    data : Data
    """

    what = "marginal likelihood"
    # entries, beta, sigma, free, P, C, c
    input_types: ClassVar = tuple(("float64", ndim) for ndim in (1, 1, 0, 1, 2, 2, 1))
    parameters = 4

    def perform(self, node: Apply, inputs: Any, outputs: Any) -> None:
        """Evaluate value and gradient."""
        (value, entries_bar, beta_bar, sigma_bar), free_bar = self._evaluate(*inputs)
        outputs[0][0], outputs[3][0] = np.asarray(value), np.asarray(sigma_bar)
        outputs[1][0], outputs[2][0], outputs[4][0] = entries_bar, beta_bar, free_bar

    def _evaluate(
        self, entries: FloatArray, beta: FloatArray, sigma: float, free: FloatArray, *maps: Any
    ) -> tuple[Result, FloatArray]:
        data = self.data
        if data.sums is None:
            return marginal_likelihood(data.stats, entries, beta, sigma, *maps), np.zeros(0)
        return residual_likelihood(data.sums, entries, beta, sigma, free, *maps)
