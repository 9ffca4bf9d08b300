"""Fits of a formula that leaves out a part of another fit's."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from nestedmlm.errors import ModelComparisonError
from nestedmlm.formula import parse_formula, update_formula
from nestedmlm.inference.effects.hypotheses import predictor_values
from nestedmlm.inference.means.generalized_linear import (
    GeneralizedLinearFit,
    generalized_linear_fit,
)
from nestedmlm.inference.means.linear import LinearFit, linear_fit

if TYPE_CHECKING:
    from nestedmlm.design.design import Design
    from nestedmlm.fits.lmer_fit import LmerFit
    from nestedmlm.fits.model import Model

type Flat = LinearFit | GeneralizedLinearFit  # models without random effects

NONE = "<none>"  # R's label of the row where nothing is left out


def fit_reduced(fit: LmerFit, formula: str, *, REML: bool) -> LmerFit | Flat:
    """Fit a reduced formula to the same data; without random effects a flat model.

    Residuals that differ or correlate are so in both.
    """
    parsed = parse_formula(formula, double_bar=fit.design.formula.double_bar)
    if parsed.bars or fit.design.residual is not None:
        smaller: LmerFit | Flat = fit_like(fit, fit.model.reduced(parsed), REML=REML)
    elif fit.design.sigma is not None:
        raise ModelComparisonError(
            f"{formula} has no random effects left, and a linear model with a known sigma is not "
            "worked out: compare models that keep one"
        )
    else:
        design = fit.model.source.reduced(parsed).linear_design(parsed)
        smaller = without_random_effects(fit, design, REML=REML)
    if smaller.nobs != fit.nobs:
        raise ModelComparisonError(
            f"number of rows in use has changed from {fit.nobs} to {smaller.nobs} with the "
            f"formula {formula}: remove the rows with missing values first"
        )
    return smaller


def without_random_effects(
    fit: LmerFit, design: Design, *, REML: bool
) -> LinearFit | GeneralizedLinearFit:
    """Fit the fixed effects of a design alone, by the family of a fit."""
    if fit.core.family is not None:
        return generalized_linear_fit(design, fit.core.family)
    return linear_fit(
        design, partial(predictor_values, design, fit.model.source.predictors), REML=REML
    )


def fit_like(fit: LmerFit, model: Model, *, REML: bool) -> LmerFit:
    """Fit another model as a fit was made, a linear one by REML or not."""
    how = fit.core.approximation
    if how is None:
        return model.fit(REML=REML)
    return model.fit(nAGQ=how.nAGQ, information=how.information, penalty=fit.penalty)


def without(fit: LmerFit | GeneralizedLinearFit, label: str) -> str:
    """The fit's formula without one term of its fixed effects."""
    return update_formula(fit.design.formula, f". ~ . - {label}")
