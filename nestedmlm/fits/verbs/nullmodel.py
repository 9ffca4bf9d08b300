"""The fit of the same random effects without predictors."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from nestedmlm.fits.lmer_fit import LmerFit


def fit_null(fit: LmerFit) -> LmerFit:
    """Fit an intercept and the random effects to the rows, weights and offset of `fit`.

    The rows are those of `fit` even where its predictors have missing values, so that the two can
    be compared. Its formula and schema are still those of `fit`: use its numbers only.
    """
    design = replace(
        fit.design,
        X=np.ones((fit.nobs, 1)),
        x_names=("(Intercept)",),
        x_assign=(0,),
        x_terms=(),
        dropped=(),
        messages=(),
    )
    return fit.refitted(design)
