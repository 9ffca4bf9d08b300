"""Effects that fit every row exactly: a likelihood without a maximum.

``-2 log L = log|V| + r'V^-1 r`` and more that stays bounded. Where fixed effects and those of some
terms reproduce the response, the second part stays bounded as sigma shrinks and the variances of
these terms stand, while the first falls by n less the rank of their Z, times the logarithm of
sigma^2. REML has the rank of X and Z together in its place: nothing falls where they span all rows.
"""

from __future__ import annotations

from itertools import chain, combinations

import numpy as np

from nestedmlm._typing import FloatArray
from nestedmlm.design.design import Design
from nestedmlm.statistics.crossproducts import CrossProducts

_MOST_ROWS = 400  # of more the rank, a matter of (n, n) matrices, is not looked at
_MOST_TERMS = 4  # of which every selection is looked at
_SAME = 1e-8  # relative singular value below which a column is a sum of others
_REPRODUCED = 1e-12  # share of the response that rounding leaves where it is reproduced


def without_maximum(design: Design, stats: CrossProducts, *, REML: bool) -> str | None:
    """Say that effects reproduce the response, so that the likelihood has no maximum.

    Only where there are as many effects as rows, at least.

    Parameters
    ----------
    design : Design
    stats : CrossProducts
    REML : bool

    Returns
    -------
    str or None
        What the certificate says; None where a maximum may exist.
    """
    n, terms = design.n, design.terms
    no_rows = design.rows is None or design.sums is not None
    if n > _MOST_ROWS or no_rows or stats.sigma is not None:
        return None
    effects = sum(t.X.shape[1] * len(design.factors[t.factor].levels) for t in terms)
    if design.p + effects < n or any(term.smooth for term in terms):
        return None
    y = design.y if design.offset is None else design.y - design.offset
    columns = [_columns(design, place) for place in range(len(terms))]
    for some in _selections(len(terms)):
        Z = np.column_stack([columns[place] for place in some])
        basis = _basis(np.column_stack([design.X, Z]))
        rank = basis.shape[1] if REML else _basis(Z).shape[1]
        rest = y - basis @ (basis.T @ y)
        if rank < n and np.linalg.norm(rest) <= _REPRODUCED * np.linalg.norm(y):
            instead = "fewer effects" if REML else "REML, or fewer effects"
            return (
                "the likelihood has no maximum, and this is a local optimum: fixed and random "
                "effects together fit every row exactly, so it grows without end as the residual "
                f"variance goes to zero; take {instead}"
            )
    return None


def _selections(terms: int) -> list[tuple[int, ...]]:
    """Places of all terms, then of fewer."""
    every = tuple(range(terms))
    sizes = range(terms, 0, -1) if terms <= _MOST_TERMS else (terms,)
    return list(chain.from_iterable(combinations(every, size) for size in sizes))


def _columns(design: Design, place: int) -> FloatArray:
    """A term's columns in the rows, one for each effect of each level that has rows."""
    term = design.terms[place]
    seen, own = np.unique(design.factors[term.factor].codes, return_inverse=True)
    out = np.zeros((design.n, len(seen), term.X.shape[1]))
    out[np.arange(design.n), own.reshape(-1)] = term.X
    return out.reshape(design.n, -1)


def _basis(A: FloatArray) -> FloatArray:
    """Orthonormal columns that span those of a matrix."""
    size = np.linalg.norm(A, axis=0)
    U, values, _ = np.linalg.svd(A / np.where(size > 0.0, size, 1.0), full_matrices=False)
    out: FloatArray = U[:, values > _SAME * values[:1].max(initial=0.0)]
    return out
