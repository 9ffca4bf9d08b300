"""Generalized linear models without random effects: maximum likelihood by Fisher scoring."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from nestedmlm._typing import FloatArray
from nestedmlm.errors import NestedMLMError
from nestedmlm.families import Family, rows

if TYPE_CHECKING:
    from nestedmlm.design.design import Design

_STEPS = 100  # of scoring, and of halving
_CLOSE = 1e-12  # relative change of -2 log-likelihood at which scoring ends
_NOT_FITTED = "the model without random effects could not be fitted"
_WIDTH = 12.0  # of the search for the logarithm of a dispersion, on both sides


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class GeneralizedLinearFit:
    """A generalized linear model without random effects, with R's ``logLik`` of a ``glm``.

    Attributes
    ----------
    design : Design
    family : Family
    beta : (p,) array
    vcov : (p, p) array
        Inverse of the expected information on the coefficients.
    dispersion : float or None
    llf : float
        Log-likelihood, all constants included; a dispersion is at its maximum, too.
    """

    design: Design
    family: Family
    beta: FloatArray
    vcov: FloatArray
    dispersion: float | None
    llf: float

    @property
    def formula(self) -> str:
        """The formula of the fixed effects."""
        formula = self.design.formula
        return f"{formula.response_text} {formula.fixed_text}"

    @property
    def nobs(self) -> int:
        """Number of rows."""
        return self.design.n

    @property
    def npar(self) -> int:
        """Coefficients and an estimated dispersion."""
        return len(self.beta) + int(self.family.has_dispersion)

    @property
    def params(self) -> pd.Series:
        """Coefficients."""
        return pd.Series(self.beta, index=list(self.design.x_names), name="estimate")

    def __repr__(self) -> str:
        name = self.family.label_at(self.dispersion)
        return f"Generalized linear model ({name}): {self.formula}\n{self.params}"


@np.errstate(all="ignore")  # a step whose mean or variance overflows is halved
def generalized_linear_fit(design: Design, family: Family) -> GeneralizedLinearFit:
    """Fit a design's fixed effects alone.

    Parameters
    ----------
    design : Design
    family : Family

    Returns
    -------
    GeneralizedLinearFit

    Raises
    ------
    NestedMLMError
        If scoring finds no step that raises the likelihood.
    """
    weights = np.ones(design.n) if design.weights is None else design.weights
    offset = np.zeros(design.n) if design.offset is None else design.offset
    with np.errstate(all="ignore"):  # normal responses may be where the link has no value
        eta = family.link.eta(family.start_mean(design.y, weights))
    eta = np.where(np.isfinite(eta), eta, 0.0)
    beta = np.linalg.lstsq(design.X, eta - offset, rcond=None)[0]

    def at(phi: float) -> tuple[float, FloatArray]:
        return _scored(design, family, weights, offset, beta, phi)

    phi = family.value_of(None)
    if family.has_dispersion:
        from scipy.optimize import minimize_scalar

        assert family.start_dispersion is not None
        mu = family.link.mu(design.X @ beta + offset)
        first = np.log(family.start_dispersion(design.y, mu, weights))
        found = minimize_scalar(
            lambda log_phi: at(float(np.exp(log_phi)))[0],
            bounds=(first - _WIDTH, first + _WIDTH),
            method="bounded",
            options={"xatol": 1e-9},
        )
        phi = float(np.exp(found.x))
    criterion, beta = at(phi)
    constant = float(family.log_constant(design.y, weights).sum())
    w = rows(family, design.X @ beta + offset, design.y, weights, phi).w
    return GeneralizedLinearFit(
        design=design,
        family=family,
        beta=beta,
        vcov=np.linalg.pinv(design.X.T @ (w[:, None] * design.X), hermitian=True),
        dispersion=phi if family.has_dispersion else family.dispersion_value,
        llf=constant - 0.5 * criterion,
    )


def _scored(
    design: Design,
    family: Family,
    weights: FloatArray,
    offset: FloatArray,
    beta: FloatArray,
    phi: float,
) -> tuple[float, FloatArray]:
    """-2 log-likelihood without its constant, and coefficients, at a dispersion."""
    X = design.X
    terms = rows(family, X @ beta + offset, design.y, weights, phi)
    best = -2.0 * float(terms.loglik.sum())
    for _ in range(_STEPS):
        root = np.sqrt(terms.w)
        if not np.all(np.isfinite(terms.g / root)):  # means beyond their range, or at its end
            raise NestedMLMError(_NOT_FITTED)
        step = np.linalg.lstsq(root[:, None] * X, terms.g / root, rcond=None)[0]
        share = 1.0
        for _ in range(_STEPS):
            tried = beta + share * step
            terms = rows(family, X @ tried + offset, design.y, weights, phi)
            value = -2.0 * float(terms.loglik.sum())
            if value <= best + _CLOSE * (1.0 + abs(best)):
                break
            share *= 0.5
        else:
            raise NestedMLMError(_NOT_FITTED)
        change, beta, best = best - value, tried, value
        if change <= _CLOSE * (1.0 + abs(best)):
            break
    return best, beta
