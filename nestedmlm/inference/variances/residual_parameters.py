"""Parameters of residuals that differ or correlate, as they are read.

Ratios of standard deviations and slopes of their logarithm, correlations; of an unstructured matrix
the standard deviations and correlations of the visits. `sigma` stands before them: the standard
deviation of the first stratum or visit, or where the predictors of the dispersion are zero.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from nestedmlm._typing import FloatArray
from nestedmlm.covariance.residual_structures import BLOCK
from nestedmlm.inference.variances.correlation import correlation_matrix

if TYPE_CHECKING:
    from nestedmlm.design.residual import ResidualRows
    from nestedmlm.statistics.pair_sums import ResidualAt

Bounds = tuple[float, float]
_INFINITE = float("inf")


def residual_names(rows: ResidualRows) -> list[tuple[str, Bounds]]:
    """Names of the parameters after sigma, with the ends of their admissible values."""
    structure, q = rows.structure, rows.log_sd.shape[1]
    out: list[tuple[str, Bounds]] = [
        (name, (0.0, _INFINITE) if name.startswith("sd_ratio") else (-_INFINITE, _INFINITE))
        for name in rows.names[:q]
    ]
    if structure is None:
        return out
    if not structure.is_root:
        k = rows.levels
        if structure.time == BLOCK and rows.block is not None:
            k = int(np.bincount(rows.block).max())
        own, names = structure.ends(k), rows.names[q:]
        bounds = [(p.lower, p.upper) for p in own] * (len(names) // max(len(own), 1))
        return [*out, *zip(names, bounds, strict=True)]
    groups = [""] if rows.by is None else [f"|{level}" for level in rows.by_levels]
    labels = rows.time_labels
    for ending in groups:
        # the first is sigma's, or sigma's times the group's ratio
        out += [(f"residual_sd[{label}{ending}]", (0.0, _INFINITE)) for label in labels[1:]]
        out += [
            (f"residual_cor[{labels[i]},{labels[j]}{ending}]", (-1.0, 1.0))
            for j in range(len(labels))
            for i in range(j + 1, len(labels))
        ]
    return out


def residual_values(at: ResidualAt, sigma: float, free: FloatArray | None = None) -> FloatArray:
    """Values of the parameters of `residual_names`.

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
