"""The Laplace approximation as one PyTensor Op that brings its exact gradient along."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from pytensor.graph.basic import Apply

from nestedmlm.bayes.model.likelihood_op import LikelihoodOp
from nestedmlm.likelihood.glmm.glmm_model import GlmmModel
from nestedmlm.likelihood.glmm.laplace_likelihood import LaplaceLikelihood


class Data:
    """The likelihood that an Op evaluates; `set_response` exchanges it."""

    def __init__(self, model: GlmmModel) -> None:
        self.likelihood = LaplaceLikelihood(model=model)


class LaplaceApproximation(LikelihoodOp):
    """``(T, gamma, log dispersion) -> (value, and its gradient in the three)``.

    The logarithm of the Laplace approximation of the likelihood. Where there is none the value is
    minus infinity.

    Parameters
    ----------
    data : Data
    """

    what = "Laplace approximation"
    # flat factors, fixed effects in orthonormal columns, logarithm of the dispersion
    input_types: ClassVar = tuple(("float64", ndim) for ndim in (1, 1, 0))

    def perform(self, node: Apply, inputs: Any, outputs: Any) -> None:
        """Evaluate value and gradient."""
        T, gamma, log_dispersion = inputs
        dispersion = float(np.exp(log_dispersion))
        found = self.data.likelihood.log_likelihood(T, gamma, dispersion)
        value, of_T, of_gamma, slope = found
        outputs[0][0], outputs[3][0] = np.asarray(value), np.asarray(slope)
        outputs[1][0], outputs[2][0] = of_T, of_gamma
