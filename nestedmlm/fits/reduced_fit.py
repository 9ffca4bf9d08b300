"""Fits of a formula that leaves out a part of another fit's."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from nestedmlm.errors import ModelComparisonError
from nestedmlm.formula import parse_formula, update_formula
from nestedmlm.inference.effects.hypotheses import predictor_values
from nestedmlm.inference.means.linear import LinearFit, linear_fit

if TYPE_CHECKING:
    from nestedmlm.fits.lmer_fit import LmerFit

NONE = "<none>"  # R's label of the row where nothing is left out


def fit_reduced(fit: LmerFit, formula: str, *, REML: bool) -> LmerFit | LinearFit:
    """Fit a reduced formula to the same data; without random effects a linear model.

    Residuals that differ or correlate are so in both.
    """
    parsed = parse_formula(formula, double_bar=fit.design.formula.double_bar)
    if parsed.bars or fit.design.residual is not None:
        smaller: LmerFit | LinearFit = fit.model.reduced(parsed).fit(REML=REML)
    else:
        design = fit.model.source.reduced(parsed).linear_design(parsed)
        smaller = linear_fit(design, partial(predictor_values, design, fit.model.data), REML=REML)
    if smaller.nobs != fit.nobs:
        raise ModelComparisonError(
            f"number of rows in use has changed from {fit.nobs} to {smaller.nobs} with the "
            f"formula {formula}: remove the rows with missing values first"
        )
    return smaller


def without(fit: LmerFit, label: str) -> str:
    """The fit's formula without one term of its fixed effects."""
    return update_formula(fit.design.formula, f". ~ . - {label}")
