"""Centring of the predictors: the intercept that is sampled is the one at their means."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nestedmlm._typing import FloatArray
from nestedmlm.design.moments import fixed_means

if TYPE_CHECKING:
    from nestedmlm.design.design import Design


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Centring:
    """Centring of the predictors: how the sampled coefficients give the user's.

    Attributes
    ----------
    intercept : int or None
        Column of the intercept, if another column is centred against it.
    means : (p,) array
        Means of the other columns; zero for the intercept.
    """

    intercept: int | None
    means: FloatArray

    def matrix(self) -> FloatArray:
        """The (p, p) matrix A with ``beta = A beta_sampled``."""
        A = np.eye(len(self.means))
        if self.intercept is not None:
            A[self.intercept] -= self.means
        return A


def centring(design: Design) -> Centring:
    """Centre the predictors where there is an intercept to take up their means."""
    means = fixed_means(design)
    if "(Intercept)" not in design.x_names or design.p < 2:
        return Centring(intercept=None, means=np.zeros(design.p))
    j = design.x_names.index("(Intercept)")
    means[j] = 0.0
    return Centring(intercept=j, means=means)
