"""Parameters of residuals that differ or correlate, as they are read.

Ratios of standard deviations and slopes of their logarithm, correlations; of an unstructured matrix
the standard deviations and correlations of the visits. `sigma` stands before them: the standard
deviation of the first stratum or visit, or where the predictors of the dispersion are zero.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from nestedmlm._typing import FloatArray
from nestedmlm.inference.variances.correlation import correlation_matrix

if TYPE_CHECKING:
    from nestedmlm.statistics.pair_sums import ResidualAt


def residual_values(at: ResidualAt, sigma: float, free: FloatArray | None = None) -> FloatArray:
    """Values of the parameters of `nestedmlm.design.model_parameters.residual_names`.

    Parameters
    ----------
    at : ResidualAt
    sigma : float
    free : array, optional
        Free parameters in place of `at`'s.
    """
    model, free = at.model, at.free if free is None else free
    natural, q = model.natural(free), model.q
    if model.structure is None or not model.structure.is_root:
        return natural
    k, out = model.levels, [natural[:q]]
    lower = [(i, j) for j in range(k) for i in range(j + 1, k)]
    scales = [sigma, *(sigma * natural[q - len(model.correlations) + 1 : q])]
    for scale, own in zip(scales, model.cuts, strict=True):
        cov = model.structure.matrix(free[own], k)
        sd, corr = scale * np.sqrt(np.diag(cov)), correlation_matrix(cov)
        out += [sd[1:], np.array([corr[i, j] for i, j in lower])]
    return np.concatenate(out)
