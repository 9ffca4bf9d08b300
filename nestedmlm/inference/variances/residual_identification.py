"""Random effects of the residuals' own blocks that the residuals' structure contains.

Within a block ``toep`` takes up a common variance, and so does each structure of blocks of two
rows. What can be told apart is a matter of derivatives of the rows' covariance: those of the
random effects depend on those of the residuals, whatever the response is.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from nestedmlm._typing import FloatArray, IntArray
from nestedmlm.covariance import TermShape
from nestedmlm.design.moments import term_matrix
from nestedmlm.inference.variances.null_space import null_vectors, rank_of

if TYPE_CHECKING:
    from nestedmlm.design.design import Design
    from nestedmlm.likelihood.solution import Solution

_OFF_SYMMETRY = 0.3  # in free parameters: equal standard deviations make structures look alike
_INVOLVED = 1e-4  # share of the largest entry of a null vector that means a parameter


def terms_in_residuals(design: Design, solution: Solution) -> tuple[tuple[int, bool], ...]:
    """Terms that the data cannot tell from the residuals' structure.

    Parameters
    ----------
    design : Design
    solution : Solution

    Returns
    -------
    tuple of (int, bool)
        Places of the terms, and whether the model without the term is the same.
    """
    rows, at = design.residual, solution.stats.residual
    if rows is None or at is None or rows.structure is None or rows.block is None:
        return ()
    own = [i for i in range(len(design.terms)) if _same_levels(design, i, rows.block)]
    if not own:
        return ()
    owner = list[int]()
    directions = list[tuple[FloatArray, FloatArray]]()
    for place in own:
        found = _directions(solution.plan.shapes[place])
        owner += [place] * len(found)
        directions += [(term_matrix(design.terms[place]), E) for E in found]
    free = at.free + _OFF_SYMMETRY * np.cos(np.arange(len(at.free)))
    owner += [-1] * (1 + len(free))
    information = np.zeros((len(owner), len(owner)))
    weights = np.ones(design.n) if design.weights is None else design.weights
    for block, R in at.model.matrices(free):
        scale = 1.0 / np.sqrt(weights[block][:, :, None] * weights[block][:, None, :])
        moved = [np.einsum("bia,ac,bjc->bij", X[block], E, X[block]) for X, E in directions]
        moved += [R * scale]
        moved += [_slope(at.model.slopes(free, e), block) * scale for e in np.eye(len(free))]
        flat = np.stack([one.ravel() for one in moved])
        information += flat @ flat.T
    null = np.abs(null_vectors(information))
    if not null.shape[1]:
        return ()
    owners = np.array(owner)
    involved = set(owners[null.max(axis=1) > _INVOLVED * null.max()].tolist())
    if -1 not in involved:  # terms that are confounded with one another
        return ()
    without = {i: owners != i for i in involved - {-1}}
    every = rank_of(information)
    return tuple(
        (i, rank_of(information[np.ix_(rest, rest)]) == every)
        for i, rest in sorted(without.items())
    )


def _slope(slopes: Iterator[tuple[IntArray, FloatArray]], block: IntArray) -> FloatArray:
    """The derivative of the matrices of these blocks."""
    return next(slope for rows, slope in slopes if np.array_equal(rows, block))


def _same_levels(design: Design, place: int, block: IntArray) -> bool:
    """Whether a term's levels, unrelated, are the blocks."""
    factor = design.factors[design.terms[place].factor]
    if factor.basis is not None:
        return False
    pairs = np.unique(np.stack([factor.codes, block]), axis=1).shape[1]
    return bool(pairs == len(np.unique(factor.codes)) == len(np.unique(block)))


def _directions(shape: TermShape) -> list[FloatArray]:
    """Derivatives of a term's covariance in its parameters, off every boundary."""
    k = shape.k
    phi = shape.structure.start(k, shape.hom)
    phi = phi + _OFF_SYMMETRY * np.cos(np.arange(len(phi)))
    T = shape.structure.factor(np, phi, k, shape.hom)
    slopes = shape.jacobian(phi).T.reshape(-1, k, k)
    return [slope @ T.T + T @ slope.T for slope in slopes]
