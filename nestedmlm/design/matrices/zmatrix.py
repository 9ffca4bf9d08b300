"""The random-effects model matrix Z, for export and tests; no computation needs it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from nestedmlm.design.design import Design

if TYPE_CHECKING:
    from scipy.sparse import csr_array


def z_matrix(design: Design) -> csr_array[Any]:
    """Build Z in lme4's order of columns.

    Parameters
    ----------
    design : Design

    Returns
    -------
    csr_array, shape (n, q)
        Terms side by side; within a term all columns of the first level, then of the second, ...
    """
    from scipy.sparse import csr_array, hstack

    blocks = []
    for term in design.terms:
        factor = design.factors[term.factor]
        n, k = term.X.shape
        columns = factor.codes[:, None].astype(np.int64) * k + np.arange(k)
        starts = np.arange(0, n * k + 1, k)
        parts = (np.asarray(term.X).ravel(), columns.ravel(), starts)
        blocks.append(csr_array(parts, shape=(n, factor.levels.size * k)))
    if not blocks:
        return csr_array((design.n, 0))
    return csr_array(hstack(blocks, format="csr"))
