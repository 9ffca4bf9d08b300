"""Shares of variance from posterior draws: R-squared and intraclass correlations."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from nestedmlm._typing import FloatArray
from nestedmlm.design.design import Design
from nestedmlm.design.moments import term_products
from nestedmlm.errors import OptionError
from nestedmlm.families import Family
from nestedmlm.inference.variances.icc_r2 import (
    distribution_variances,
    fixed_variance,
    mean_predictor,
    mean_variance,
    residual_variance,
)
from nestedmlm.posterior.draws import covariance_draws, fixed_draws, sigma_draws
from nestedmlm.posterior.row_draws import fitted_rows
from nestedmlm.posterior.row_residuals import residual_draws
from nestedmlm.posterior.row_responses import dispersion_draws
from nestedmlm.posterior.summaries import LEVEL, estimates


def r2_table(data: Any, design: Design, *, level: float = LEVEL) -> pd.DataFrame:
    """Three kinds of R-squared.

    Returns
    -------
    DataFrame
        Rows ``bayes``: variance of the expected values of the rows over that plus the residual
        variance (Gelman et al. 2019); ``marginal`` and ``conditional``: the share of the fixed
        effects, and of fixed and random effects, in the variance of a new row (Nakagawa &
        Schielzeth 2013; random slopes as Johnson 2014). Columns ``estimate, std_error, conf_low,
        conf_high``.
    """
    if design.family is None:
        fitted = _variance_of_fitted(data, design)
        bayes = fitted / (fitted + split_variance(data, design)[1])
    else:
        bayes = _bayes_share(data, design, design.family)
    draws = np.column_stack([bayes, *nakagawa_draws(data, design)])
    index = pd.Index(["bayes", "marginal", "conditional"], name="term")
    return estimates(draws, level=level, index=index)


def nakagawa_draws(data: Any, design: Design) -> tuple[FloatArray, FloatArray]:
    """Marginal and conditional R-squared in every draw, (S,) each; from sums, too.

    Smooth curves of all data count with the fixed effects.
    """
    if any(factor.is_whole for factor in design.factors):
        fixed = _variance_of_fitted(data, design, curves_only=True)
    else:
        fixed = np.asarray(fixed_variance(design, fixed_draws(data, design)))
    terms, residual = split_variance(data, design)
    random = sum(terms, np.zeros(1))
    total = fixed + random + residual
    return fixed / total, (fixed + random) / total


def icc_table(data: Any, design: Design, *, level: float = LEVEL) -> pd.DataFrame:
    """Share of each grouping factor, and of the residual, in the variance given the predictors.

    A factor with random slopes counts with its average over the rows, ``mean(z' Sigma z)``
    (Johnson 2014), so that for random intercepts it is the textbook's intraclass correlation.
    Smooth curves of all data are predictors.

    Returns
    -------
    DataFrame
        One row per factor and ``Residual``; ``estimate, std_error, conf_low, conf_high``.
    """
    shares = {factor.name: np.zeros(1) for factor in design.factors if not factor.is_whole}
    terms, residual = split_variance(data, design)
    for term, variance in zip(design.terms, terms, strict=True):
        factor = design.factors[term.factor]
        if not factor.is_whole:
            shares[factor.name] = shares[factor.name] + variance
    shares["Residual"] = residual
    draws = np.column_stack(list(shares.values()))
    index = pd.Index(list(shares), name="group")
    return estimates(draws / draws.sum(axis=1, keepdims=True), level=level, index=index)


def row_sd_draws(data: Any, design: Design) -> dict[str, FloatArray]:
    """Standard deviation of a row given the predictors, ``total`` and ``residual``, (S,) each."""
    residual = mean_residual_variance(data, design)
    total = residual + sum(term_variances(data, design), start=np.zeros(1))
    return {"total": np.sqrt(total), "residual": np.sqrt(residual)}


def split_variance(data: Any, design: Design) -> tuple[list[FloatArray], FloatArray]:
    """Variances of the terms, and of the residual, in every draw, (S,) each.

    Of a generalized model on the latent scale; an effect of each row counts as residual there, as
    in `nestedmlm.inference.variances.icc_r2.variance_shares`.
    """
    terms, family = term_variances(data, design), design.family
    if family is None:
        return terms, mean_residual_variance(data, design)
    beta = fixed_draws(data, design)
    residual = distribution_variances(
        family, mean_predictor(design, beta), sum(terms, np.zeros(len(beta))),
        np.ravel(dispersion_draws(data, family)), scale="latent",
    )  # fmt: skip
    for t, term in enumerate(design.terms):
        if len(design.factors[term.factor].levels) == design.n:
            residual, terms[t] = residual + terms[t], np.zeros(len(beta))
    return terms, residual


def _bayes_share(data: Any, design: Design, family: Family) -> FloatArray:
    """Variance over the rows of the expected responses, over that plus the mean variance (S,)."""
    rows, dispersion = fitted_rows(data, design), dispersion_draws(data, family)
    if family.variance is None:
        raise OptionError(f"the {family.name} family has no variance function")
    weights = np.ones(design.n) if design.weights is None else design.weights
    divided = family.scaled or family.name == "binomial"  # by the weights
    total = squares = own = np.zeros(len(rows.beta))
    for block in rows.blocks():
        mean = family.link.mean(rows.eta(block))
        variance = family.variance(mean, dispersion).V * (dispersion if family.scaled else 1.0)
        total = total + mean.mu.sum(axis=1)
        squares = squares + np.einsum("sr,sr->s", mean.mu, mean.mu)
        own = own + (variance / (weights[block] if divided else 1.0)).sum(axis=1)
    fitted = squares / design.n - (total / design.n) ** 2
    out: FloatArray = fitted / (fitted + own / design.n)
    return out


def mean_residual_variance(data: Any, design: Design) -> FloatArray:
    """Average residual variance of the rows, shape (S,)."""
    sigma, own = sigma_draws(data, design), residual_draws(data, design)
    if own is None:
        out: FloatArray = residual_variance(design, sigma)
        return out
    w = 1.0 if design.weights is None else design.weights
    return sigma**2 * np.mean(own.row_sd() ** 2 / w, axis=1)


def term_variances(data: Any, design: Design) -> list[FloatArray]:
    """``mean over rows of z' Sigma z`` of each term, shapes (S,).

    Zero for smooth curves of all data, which are part of the predictor.
    """
    return [
        np.zeros(len(cov))
        if design.factors[term.factor].is_whole
        else mean_variance(term_products(term), cov)
        for term, cov in zip(design.terms, covariance_draws(data, design), strict=True)
    ]


def _variance_of_fitted(data: Any, design: Design, *, curves_only: bool = False) -> FloatArray:
    """Variance over the rows of the linear predictors without the offset, shape (S,).

    Without random effects but for those that make curves, if `curves_only`.
    """
    rows = fitted_rows(data, design, re_form=False if curves_only else None)
    total = np.zeros(len(rows.beta))
    squares = np.zeros(len(rows.beta))
    # an origin near the values: sums of squares then lose no digits
    origin = float(np.mean(design.y))
    for block in rows.blocks():
        eta = rows.eta(block) - origin
        if rows.offset is not None:
            eta = eta - rows.offset[block]
        total += eta.sum(axis=1)
        squares += np.einsum("sr,sr->s", eta, eta)
    out: FloatArray = squares / design.n - (total / design.n) ** 2
    return out
