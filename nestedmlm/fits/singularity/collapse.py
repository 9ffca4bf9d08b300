"""Collapse of one term's covariance: its rank, and the finding in words."""

from __future__ import annotations

import numpy as np

from nestedmlm._typing import FloatArray
from nestedmlm.fits.singularity.rank import TOL, structured_bound
from nestedmlm.fits.singularity.steps import Collapse
from nestedmlm.inference.variances.identification import listed
from nestedmlm.views.varcorr import VarCorrBlock

_EXACT_CORRELATION_GAP = 1e-6  # a correlation this close to 1 or -1 is called exact


def collapse_of(
    block: VarCorrBlock, X: FloatArray, values: FloatArray, sigma: float, tol: float
) -> Collapse:
    """The rank of a term's covariance.

    Parameters
    ----------
    block : VarCorrBlock
        Of the term.
    X : (n, k) array
        Its columns.
    values : (k,) array
        Singular values of its factor.
    sigma, tol : float
        Relative standard deviations below `tol` are zero.
    """
    size = np.sqrt(np.mean(np.square(X), axis=0))
    sd = block.sd * size / sigma if sigma > 0 else block.sd * size
    # one column is judged as `is_singular` judges it
    zero = values < tol if len(sd) == 1 else sd < tol
    rank = int(np.sum(values >= tol))
    pairs = block.corr[np.tril_indices(len(sd), -1)]
    rho = float(np.min(pairs)) if len(pairs) else np.nan
    return Collapse(columns=block.columns, sd=sd, zero=zero, rank=rank, rho=rho)


def finding_of(block: VarCorrBlock, collapse: Collapse) -> str:
    """Say in words what has collapsed."""
    if not collapse.singular:
        return ""
    zero = [name for name, gone in zip(collapse.columns, collapse.zero, strict=True) if gone]
    if zero:
        noun = "standard deviation" if len(zero) == 1 else "standard deviations"
        verb = "is" if len(zero) == 1 else "are"
        return f"the {noun} of {listed(zero)} {verb} zero"
    bound = structured_bound(block, TOL)
    if bound:
        return bound
    corr = block.corr
    pairs = [
        f"{block.columns[j]} and {block.columns[i]} is {'' if corr[i, j] > 0 else '-'}1"
        for j in range(len(corr))
        for i in range(j + 1, len(corr))
        if abs(corr[i, j]) > 1.0 - _EXACT_CORRELATION_GAP
    ]
    if pairs:
        return f"the correlation of {listed(pairs)}"
    return f"some combination of {listed(collapse.columns)} has variance zero"
