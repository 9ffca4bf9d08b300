"""Linear functions of the fixed effects (and of smooth curves), draw by draw."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pandas as pd

from nestedmlm._typing import FloatArray
from nestedmlm.inference.means.null_hypothesis import ZERO, NullHypothesis
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
        hypothesis: NullHypothesis = ZERO,
        families: Sequence[np.ndarray] | None = None,
    ) -> pd.DataFrame:
        """``estimate, std_error, conf_low, conf_high, probability`` of linear functions.

        The posterior mean and standard deviation, the equal-tailed interval (open where the
        hypothesis has a side), and the probability of the alternative, by default of being above
        zero; `shown` takes draws to another scale, for all but that probability.
        """
        draws = self.of(L, offset)
        seen = draws if shown is None else shown(draws)
        probability = np.full(len(L), np.nan)
        for rows in (np.arange(len(L)),) if families is None else families:
            probability[rows] = hypothesis.probability(draws[:, rows])
        probability[np.isnan(draws[0])] = np.nan
        return self._interval(seen, level, hypothesis.side).assign(probability=probability)

    def _interval(self, draws: FloatArray, level: float, side: int) -> pd.DataFrame:
        """Estimates with an interval that is open where the hypothesis has its alternative."""
        found = estimates(draws, level=level)
        if not side:
            return found
        end = np.quantile(draws, 1.0 - level if side > 0 else level, axis=0)
        open_end = np.where(np.isnan(end), np.nan, side * np.inf)
        low, high = (end, open_end) if side > 0 else (open_end, end)
        return found.assign(conf_low=low, conf_high=high)
