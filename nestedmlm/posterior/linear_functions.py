"""Linear functions of the fixed effects (and of smooth curves), draw by draw."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pandas as pd

from nestedmlm._typing import FloatArray
from nestedmlm.posterior.summaries import estimates


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CoefficientDraws:
    """Draws of the fixed effects: the part of a method of degrees of freedom, for posteriors.

    Attributes
    ----------
    beta : (S, p + q) array
        With the penalised coefficients of smooth curves, if there are some.
    row_sd : mapping or None
        Draws (S,) of the standard deviation of a row, ``total`` and ``residual``, for effect sizes.
    """

    method: ClassVar[str] = "posterior"
    vcov: ClassVar[None] = None
    notes: ClassVar[tuple[str, ...]] = ()

    beta: FloatArray
    row_sd: Mapping[str, FloatArray] | None = None

    @property
    def cov(self) -> FloatArray:
        """Posterior covariance matrix, (p, p)."""
        return np.atleast_2d(np.cov(self.beta.T))

    def of(self, L: FloatArray, offset: FloatArray) -> FloatArray:
        """Draws of linear functions, (S, r); NaN where L is."""
        out: FloatArray = self.beta @ L.T + offset
        return out

    def table(
        self,
        L: FloatArray,
        offset: FloatArray,
        *,
        level: float,
        shown: Callable[[FloatArray], FloatArray] | None = None,
    ) -> pd.DataFrame:
        """``estimate, std_error, conf_low, conf_high, probability`` of linear functions.

        The posterior mean and standard deviation, the equal-tailed interval, and the probability
        of being above zero; `shown` takes draws to another scale, for all but that probability.
        """
        draws = self.of(L, offset)
        found = estimates(draws if shown is None else shown(draws), level=level)
        above = np.where(np.isnan(draws[0]), np.nan, (draws > 0.0).mean(axis=0))
        return found.assign(probability=above)
