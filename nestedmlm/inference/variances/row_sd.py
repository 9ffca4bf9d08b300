"""Standard deviation of a row given the predictors, and how well it is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from nestedmlm._typing import FloatArray
from nestedmlm.arguments import check_choice
from nestedmlm.design.moments import term_products
from nestedmlm.errors import OptionError
from nestedmlm.inference.fitted import Fitted
from nestedmlm.inference.variances.icc_r2 import mean_variance, residual_variance
from nestedmlm.inference.variances.wald import scaled_slopes

KINDS = ("total", "residual")


@dataclass(frozen=True, slots=True, kw_only=True)
class RowSd:
    """A standard deviation with its degrees of freedom.

    Attributes
    ----------
    sd : float
    df : float
        Satterthwaite's: the variance is estimated as well as one by so many free residuals.
    """

    sd: float
    df: float


def row_sd(fitted: Fitted, kind: str) -> RowSd:
    """Standard deviation of a row around its expected value.

    Parameters
    ----------
    fitted : Fitted
        A linear model with lme4's residuals.
    kind : {"total", "residual"}
        All random effects and the residual, ``sqrt(mean(z' Sigma z) + sigma^2 mean(1 / w))``, as
        in intraclass correlations; or the residual alone. Smooth curves are part of the mean.

    Raises
    ------
    OptionError
        For other models, which have no single such standard deviation, and where the criterion
        has no curvature.

    Notes
    -----
    Degrees of freedom by Satterthwaite (1946): ``2 v^2 / Var(v)`` for the variance v, by the delta
    method with the observed information of the fit's criterion.
    """
    check_choice(kind, "sigma", KINDS)
    design = fitted.design
    if fitted.family is not None or design.residual is not None:
        raise OptionError(
            f"sigma={kind!r} is of linear models with equal residual variances: give the standard "
            "deviation as a number, and edf= its degrees of freedom"
        )
    counted = [
        (t, term_products(term))
        for t, term in enumerate(design.terms)
        if kind == "total" and not design.factors[term.factor].is_whole
    ]

    def variance(theta: FloatArray, T: Sequence[FloatArray], sigma: float) -> FloatArray:
        terms = [float(mean_variance(m, T[t] @ T[t].T)) for t, m in counted]
        return np.array([sigma**2 * sum(terms) + residual_variance(design, sigma)])

    s = fitted.solution
    value = float(variance(s.theta, s.T, s.sigma)[0])
    noise = 2.0 * float(np.sum(scaled_slopes(variance, fitted) ** 2))
    if not np.isfinite(noise):
        raise OptionError(
            f"sigma={kind!r}: the criterion has no curvature in the variances, so that nothing is "
            "known of its error; give sigma= and edf= as numbers"
        )
    return RowSd(sd=float(np.sqrt(value)), df=2.0 * value**2 / noise if noise > 0 else np.inf)
