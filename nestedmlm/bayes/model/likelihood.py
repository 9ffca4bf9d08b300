"""The marginal log-likelihood as one PyTensor Op that brings its gradient along."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from pytensor.graph.basic import Apply

from nestedmlm.bayes.density.marginal_likelihood import marginal_likelihood
from nestedmlm.bayes.model.likelihood_op import LikelihoodOp
from nestedmlm.statistics.crossproducts import CrossProducts


class Data:
    """The statistics that a density is of; `set_response` exchanges them."""

    def __init__(self, stats: CrossProducts) -> None:
        self.stats = stats


class MarginalLikelihood(LikelihoodOp):
    """``(entries, beta, sigma, P, C, c) -> (value, and its gradient in the first three)``.

    ``value = -1/2 (log|M| + v'S v / sigma^2)`` with ``(log|M|, S) = eliminate(T)``,
    ``T = P entries / sigma`` and ``v = c + C beta``: what of the log-likelihood needs the data.

    Parameters
    ----------
    data : Data
    """

    what = "marginal likelihood"
    # entries, beta, sigma, P, C, c
    input_types: ClassVar = tuple(("float64", ndim) for ndim in (1, 1, 0, 2, 2, 1))

    def perform(self, node: Apply, inputs: Any, outputs: Any) -> None:
        """Evaluate value and gradient."""
        value, entries_bar, beta_bar, sigma_bar = marginal_likelihood(self.data.stats, *inputs)
        outputs[0][0], outputs[3][0] = np.asarray(value), np.asarray(sigma_bar)
        outputs[1][0], outputs[2][0] = entries_bar, beta_bar
