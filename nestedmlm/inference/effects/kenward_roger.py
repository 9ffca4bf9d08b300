"""Kenward & Roger's adjusted covariance and degrees of freedom.

Kenward & Roger (1997), Biometrics 53, 983-997, in the form of the R package pbkrtest: the
covariance of y is linear in the variances and covariances of the random effects, so the term with
second derivatives of the covariance drops out. Everything comes from the elimination's factors,
and V holds the prior weights (pbkrtest takes them for one).

The formulas do not change under a linear change of the covariance parameters. Used here are sigma^2
at fixed ratios, along which V itself moves, and the ratios: the components of the residual variance
need then not be formed.

``us`` and ``diag`` terms are linear. Other structures (``cs``, ``ar1``, a user's own) are
linearised at the estimates in their own parameters; their second derivatives are left out (what
SAS calls ``ddfm=kr(firstorder)``).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nestedmlm._typing import FloatArray
from nestedmlm.errors import OptionError
from nestedmlm.inference.effects.expected_movement import expected_movement
from nestedmlm.inference.effects.residual_movement import (
    Movement,
    covariance_movement,
    moved_products,
)
from nestedmlm.inference.effects.variance_derivatives import (
    VarianceDerivatives,
    variance_derivatives,
    weighted_products,
)
from nestedmlm.inference.fitted import Fitted, once_per_fit
from nestedmlm.inference.variances.directions import covariance_directions
from nestedmlm.inference.variances.expected_information import expected_information

OBSERVED = (
    "Kenward-Roger: first order, with the observed information (as SAS's ddfm=kr(firstorder) and "
    "mmrm's Kenward-Roger-Linear)"
)
_ZERO_EIGENVALUE = 1e-10  # eigenvalue (of the information with unit diagonal) that counts as zero


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class KenwardRoger:
    """Kenward and Roger's method at a fit: adjusted covariance, and sums for degrees of freedom.

    Attributes
    ----------
    cov : (p, p) array
        Adjusted covariance of the fixed effects, user's columns.
    unadjusted : (p, p) array
        Their covariance at the estimates.
    R_x : (p, p) array
        From user's to scaled columns.
    Phi : (p, p) array
        Unadjusted covariance in scaled columns, relative to sigma^2.
    moved : (n_v, p, p) array
        ``Phi P_r Phi`` of every component, in scaled columns.
    spread : (n_v, n_v) array
        ``W``, the asymptotic covariance of the components.
    notes : tuple of str
    """

    cov: FloatArray
    unadjusted: FloatArray
    R_x: FloatArray
    Phi: FloatArray
    moved: FloatArray
    spread: FloatArray
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Approximation:
    """Denominator degrees of freedom of an F test, and what its statistic is multiplied by."""

    df: float
    scaling: float


@once_per_fit
def kenward_roger(fitted: Fitted) -> KenwardRoger:
    """Prepare Kenward and Roger's method at a REML fit.

    Raises
    ------
    OptionError
        For a fit by maximum likelihood (as lmerTest) or a penalised one.
    """
    if not fitted.solution.stats.p:
        raise OptionError("the model has no fixed effects, whose tests are all ddf is about")
    if not fitted.REML:
        raise OptionError(
            "Kenward and Roger's method is for REML fits: fit with REML=True "
            "(fit.model.fit(REML=True)), or take ddf='satterthwaite'"
        )
    if fitted.penalty is not None:
        raise OptionError(
            "Kenward and Roger's method is for REML fits without a penalty: "
            "take ddf='satterthwaite'"
        )
    s = fitted.solution
    if s.stats.residual is not None:
        return _with_residuals(fitted, covariance_movement(fitted))
    directions = covariance_directions(fitted.phi, s.plan)
    found = variance_derivatives(fitted, directions)
    known = s.stats.sigma is not None
    spread, flat = spread_of(found, s.stats.n, s.stats.p, known=known)
    inner = weighted_products(fitted, directions, spread[1:, 1:])
    return with_products(
        found, spread, inner, sigma=s.sigma, unadjusted=s.vcov, R_x=s.stats.R_x, flat=flat
    )


def planned_kenward_roger(fitted: Fitted) -> KenwardRoger:
    """The method of a design whose response does not matter: with the expected information."""
    if fitted.solution.stats.residual is None:
        return kenward_roger(fitted)
    return _with_residuals(fitted, expected_movement(fitted))


def with_products(
    found: VarianceDerivatives,
    spread: FloatArray,
    products: FloatArray,
    *,
    sigma: float,
    unadjusted: FloatArray,
    R_x: FloatArray,
    flat: int,
) -> KenwardRoger:
    """The method from its sums.

    Parameters
    ----------
    found : VarianceDerivatives
    spread : (n_d + 1, n_d + 1) array
        And `flat`, how many combinations are not identified: `spread_of`.
    products : (p, p) array
        ``sum_rs spread_rs X'V^{-1} dV_r V^{-1} dV_s V^{-1}X`` over the directions.
    sigma : float
    unadjusted : (p, p) array
        Covariance of the fixed effects, user's columns.
    R_x : (p, p) array
        From user's to scaled columns.
    flat : int
    """
    Phi, ratios = found.Phi, spread[1:, 1:]
    weighted = np.tensordot(ratios, found.X_dV_X, axes=(1, 0))
    inner = products - np.einsum("rij,jk,rkl->il", found.X_dV_X, Phi, weighted, optimize=True)
    adjusted = Phi + 2.0 * Phi @ (0.5 * (inner + inner.T)) @ Phi
    Ri = np.linalg.solve(R_x, np.eye(len(R_x)))
    notes = (
        (f"Kenward-Roger's method is without {flat} combination(s) of variance components that "
         "the data do not identify",) if flat else ()
    )  # fmt: skip
    return KenwardRoger(
        cov=sigma**2 * (Ri @ adjusted @ Ri.T),
        unadjusted=unadjusted,
        R_x=R_x,
        Phi=Phi,
        moved=np.concatenate([-Phi[None], -(Phi @ found.X_dV_X @ Phi)]),
        spread=spread,
        notes=notes,
    )


def _with_residuals(fitted: Fitted, found: Movement) -> KenwardRoger:
    """First order in the residuals' parameters too."""
    s = fitted.solution
    Phi, p = found.Phi, s.stats.p
    P = np.concatenate([found.S_dot[:, :p, :p], -2.0 * np.linalg.inv(Phi)[None]])
    inner = moved_products(fitted, found)
    weighted = np.tensordot(found.spread, P, axes=(1, 0))
    inner -= np.einsum("rij,jk,rkl->il", P, Phi, weighted, optimize=True)
    adjusted = Phi + 2.0 * Phi @ (0.5 * (inner + inner.T)) @ Phi
    Ri = s.stats.R_x_inverse
    notes = [OBSERVED]
    if found.flat:
        notes.append(
            f"Kenward-Roger's method is without {found.flat} combination(s) of parameters that "
            "the data do not identify"
        )
    return KenwardRoger(
        cov=s.sigma**2 * (Ri @ adjusted @ Ri.T),
        unadjusted=s.vcov,
        R_x=s.stats.R_x,
        Phi=Phi,
        moved=Phi @ P @ Phi,
        spread=found.spread,
        notes=tuple(notes),
    )


def approximate(method: KenwardRoger, L: FloatArray) -> Approximation:
    """Match two moments of the Wald statistic of ``L beta`` to an F distribution.

    Parameters
    ----------
    method : KenwardRoger
    L : (q, p) array
        Of full row rank.
    """
    q = len(L)
    Ls = np.linalg.solve(method.R_x.T, L.T).T
    Theta = Ls.T @ np.linalg.solve(Ls @ method.Phi @ Ls.T, Ls)
    moved = Theta @ method.moved
    first = np.einsum("rii->r", moved)
    A1 = float(first @ method.spread @ first)
    A2 = float(np.sum(method.spread * np.einsum("rij,sji->rs", moved, moved)))
    return _match(A1, A2, q)


def _match(A1: float, A2: float, q: int) -> Approximation:
    """Kenward & Roger (1997), eq. 6-7 and the corrections that make two special cases exact."""
    if A2 <= 0.0:  # nothing of the covariance is uncertain along L
        return Approximation(df=float("inf"), scaling=1.0)
    B = (A1 + 6.0 * A2) / (2.0 * q)
    g = ((q + 1.0) * A1 - (q + 4.0) * A2) / ((q + 2.0) * A2)
    base = 3.0 * q + 2.0 * (1.0 - g)
    c1, c2, c3 = g / base, (q - g) / base, (q + 2.0 - g) / base
    V0, V1, V2 = 1.0 + c1 * B, 1.0 - c2 * B, 1.0 - c3 * B
    if abs(V0) < 1e-10:
        V0 = 0.0
    rho = (1.0 - A2 / q) ** 2 / V1**2 * V0 / V2 / q
    df = 4.0 + (q + 2.0) / (q * rho - 1.0)
    scaling = 1.0 if abs(df - 2.0) < 1e-2 else df * (1.0 - A2 / q) / (df - 2.0)
    return Approximation(df=df, scaling=scaling)


def spread_of(
    found: VarianceDerivatives, n: int, p: int, *, known: bool = False
) -> tuple[FloatArray, int]:
    """``W = 2 IE^{-1}``: component 0 moves V itself, the others are the directions.

    Where sigma is known, component 0 does not move.
    """
    IE, size = expected_information(found, n, p), np.append(n, np.diag(found.tr_dV_dV))
    if known:
        spread, flat = _twice_inverse(IE[1:, 1:], size[1:])
        return np.pad(spread, (1, 0)), flat
    return _twice_inverse(IE, size)


def _twice_inverse(IE: FloatArray, size: FloatArray) -> tuple[FloatArray, int]:
    """``2 IE^+`` without what the data do not identify, and how much that is.

    In units of the information without fixed effects: of random effects that they reproduce IE
    holds rounding.
    """
    d = 1.0 / np.sqrt(np.fmax(np.abs(np.diag(IE)), size).clip(min=1e-300))
    values, vectors = np.linalg.eigh(IE * np.outer(d, d))
    keep = values > _ZERO_EIGENVALUE
    root = vectors[:, keep] * d[:, None]
    return 2.0 * (root / values[keep]) @ root.T, int(np.sum(~keep))
