"""Shares of variance: the numbers behind ICC, R-squared and the variance partition."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from nestedmlm._typing import FloatArray
from nestedmlm.arguments import check_choice
from nestedmlm.design.design import Design
from nestedmlm.design.matrices.grouping import refuse_curves
from nestedmlm.design.moments import fixed_deviations, mean_inverse_weight, term_products
from nestedmlm.errors import OptionError
from nestedmlm.families import Family
from nestedmlm.inference.fitted import Fitted
from nestedmlm.inference.rows.new_residuals import relative_residual_variance

SCALES = ("latent", "observation")
# variances of the distributions behind links of binomial responses
_LATENT = {"logit": np.pi**2 / 3.0, "probit": 1.0, "cloglog": np.pi**2 / 6.0}


@dataclass(frozen=True, slots=True, kw_only=True)
class Shares:
    """Shares of variance: the variance of a row, split.

    Attributes
    ----------
    fixed : float
        Variance over the rows of ``X beta`` (the sample variance; an offset does not count).
    terms : tuple of float
        Of each random-effects term its average over the rows, ``mean(z' Sigma z)``.
    residual : float
        Average residual variance of the rows, ``sigma^2 mean(R_ii / w)``.
    """

    fixed: float
    terms: tuple[float, ...]
    residual: float

    @property
    def random(self) -> float:
        """Variance of all random effects together."""
        return float(sum(self.terms))

    @property
    def total(self) -> float:
        """Fixed, random and residual variance together."""
        return self.fixed + self.random + self.residual


def variance_shares(fitted: Fitted, *, scale: str = "latent") -> Shares:
    """Split the variance of a row of a fitted model.

    Parameters
    ----------
    fitted : Fitted
    scale : {"latent", "observation"}
        Of the residual variance of a generalized model; see `distribution_variance`.

    Returns
    -------
    Shares
        An effect of each row of a generalized model counts as residual.

    References
    ----------
    Nakagawa & Schielzeth (2013) for random intercepts; Johnson (2014), eq. 10-11, for random
    slopes: their variance depends on the row, so its average over the rows is taken.
    """
    solution, design = fitted.solution, fitted.design
    refuse_curves(design.factors, "a share of the variance")
    covs = (fitted.scale**2 * (T @ T.T) for T in solution.T)
    fixed = float(fixed_variance(design, solution.beta))
    terms = [
        float(mean_variance(term_products(term), cov))
        for term, cov in zip(design.terms, covs, strict=True)
    ]
    if fitted.family is None:
        relative = relative_residual_variance(solution, design)
        residual = float(residual_variance(design, solution.sigma, relative))
        return Shares(fixed=fixed, terms=tuple(terms), residual=residual)
    residual = distribution_variance(fitted, sum(terms), scale=scale)
    for t, term in enumerate(design.terms):
        if len(design.factors[term.factor].levels) == design.n:
            residual, terms[t] = residual + terms[t], 0.0
    return Shares(fixed=fixed, terms=tuple(terms), residual=residual)


def distribution_variance(fitted: Fitted, random: float, *, scale: str) -> float:
    """Residual variance of a generalized model on the scale of its linear predictor.

    Parameters
    ----------
    fitted : Fitted
        With a family.
    random : float
        Variance of the random effects.
    scale : {"latent", "observation"}
        ``latent``: of the distribution behind the link (logit pi^2 / 3, probit 1, cloglog
        pi^2 / 6), and for a log link of the log-normal distribution with the response's
        coefficient of variation. ``observation``: of a response, by the delta method.

    Returns
    -------
    float

    Raises
    ------
    OptionError
        For an unknown scale.

    References
    ----------
    Nakagawa, Johnson & Schielzeth (2017), table 1 and supplement; the mean response counts the
    variance of the random effects, ``exp(eta + random / 2)`` with a log link.
    """
    assert fitted.family is not None
    found = distribution_variances(
        fitted.family, mean_predictor(fitted.design, fitted.solution.beta)[None],
        np.array([random]), fitted.family.value_of(fitted.dispersion), scale=scale,
    )  # fmt: skip
    return float(found[0])


def mean_predictor(design: Design, beta: FloatArray) -> FloatArray:
    """Mean over the rows of ``X beta`` and the offset; `beta` is (…, p)."""
    out: FloatArray = beta @ design.X.mean(axis=0)
    return out if design.offset is None else out + float(np.mean(design.offset))


def distribution_variances(
    family: Family, predictor: FloatArray, random: FloatArray, dispersion: Any, *, scale: str
) -> FloatArray:
    """The same at mean predictors, variances and dispersions, (S,) each, or one dispersion.

    Raises
    ------
    OptionError
        For an unknown scale, and a family without a variance function.
    """
    check_choice(scale, "scale", SCALES)
    link = family.link
    if scale == "latent" and link.name in _LATENT and family.name == "binomial":
        return np.full(len(predictor), _LATENT[link.name])
    if family.variance is None:
        raise OptionError(f"the {family.name} family has no variance function")
    at = predictor + (0.5 * random if link.name == "log" else 0.0)
    with np.errstate(over="ignore", invalid="ignore"):  # means that have no square
        variance = family.variance(link.mean(at), dispersion).V
        if family.scaled:
            variance = variance * dispersion
        delta: FloatArray = variance / link.derivatives(at)[0] ** 2
    return np.log1p(delta) if scale == "latent" and link.name == "log" else delta


def mean_variance(products: FloatArray, cov: FloatArray) -> FloatArray:
    """``mean over rows of x' cov x``, of ``X'X / n``; `cov` is (…, k, k), the result (…)."""
    out: FloatArray = np.einsum("...ij,ij->...", cov, products)
    return out


def fixed_variance(design: Design, beta: FloatArray) -> FloatArray:
    """Sample variance over the rows of ``X beta``; `beta` is (…, p)."""
    products = fixed_deviations(design) / max(design.n - 1, 1)
    out: FloatArray = np.einsum("...i,ij,...j->...", beta, products, beta)
    return out


def residual_variance(design: Design, sigma: Any, relative: Any = 1.0) -> Any:
    """``sigma^2 mean(R_ii / w)``: the average residual variance of the rows."""
    if np.ndim(relative) == 0:
        return float(relative) * mean_inverse_weight(design) * sigma**2
    w = 1.0 if design.weights is None else design.weights
    scale = float(np.mean(relative / w))
    return scale * sigma**2


def level_variances(shares: Shares, design: Design) -> dict[str, float]:
    """Variance of each grouping factor (all of its terms), in the design's order."""
    out = {factor.name: 0.0 for factor in design.factors}
    for term, variance in zip(design.terms, shares.terms, strict=True):
        out[design.factors[term.factor].name] += variance
    return out


def icc_values(shares: Shares) -> pd.Series:
    """Adjusted and unadjusted intraclass correlation.

    Returns
    -------
    Series
        ``adjusted``: random over random plus residual variance; ``unadjusted``: the denominator
        also counts the variance of the fixed effects.
    """
    given_x = shares.random + shares.residual
    return _series("term", {"adjusted": (shares.random, given_x),
                           "unadjusted": (shares.random, shares.total)})  # fmt: skip


def icc_by_group(shares: Shares, design: Design) -> pd.Series:
    """Share of each grouping factor, and of the residual, in the variance given the predictors."""
    parts = {**level_variances(shares, design), "Residual": shares.residual}
    total = sum(parts.values())
    return _series("group", {name: (value, total) for name, value in parts.items()})


def r2_values(shares: Shares) -> pd.Series:
    """Nakagawa's R-squared: ``marginal`` (fixed effects), ``conditional`` (fixed and random)."""
    return _series("term", {"marginal": (shares.fixed, shares.total),
                          "conditional": (shares.fixed + shares.random, shares.total)})  # fmt: skip


def r2_by_group(shares: Shares, null: Shares, design: Design) -> pd.Series:
    """Proportion of the null model's variance at each level that is no longer there.

    Parameters
    ----------
    shares, null : Shares
        Of the model, and of the model with the same random effects and only an intercept.
    design : Design

    Returns
    -------
    Series
        One entry for each grouping factor and ``Residual``. It is negative where a predictor
        uncovers variance at another level (Snijders & Bosker 2012, 7.1.3), and NaN where the null
        model has none.
    """
    own = {**level_variances(shares, design), "Residual": shares.residual}
    before = {**level_variances(null, design), "Residual": null.residual}
    return _series("group", {k: (before[k] - own[k], before[k]) for k in own})


def _series(index: str, ratios: dict[str, tuple[float, float]]) -> pd.Series:
    values = [part / whole if whole > 0 else np.nan for part, whole in ratios.values()]
    return pd.Series(values, index=pd.Index(list(ratios), name=index), name="estimate")
