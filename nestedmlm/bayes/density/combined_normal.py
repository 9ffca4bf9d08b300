"""The joint prior of fixed effects where combinations of them have priors: a normal, if all are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nestedmlm._typing import FloatArray, IntArray
from nestedmlm.bayes.density.coefficient_priors import CombinationPrior, ConditionalPrior
from nestedmlm.bayes.density.named_coordinates import NamedCoordinates
from nestedmlm.errors import OptionError

_LOG_2PI = float(np.log(2.0 * np.pi))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CombinedNormal:
    """The normal that priors of coefficients and of combinations make together.

    Attributes
    ----------
    at : (q,) array of int
        Coordinates of the coefficients.
    mean : (q,) array
    root : (q, q) array
        Square root of the covariance.
    log_mass : float
        Logarithm of the integral of the product of the densities, by which it is not a density.
    """

    at: IntArray
    mean: FloatArray
    root: FloatArray
    log_mass: float


def combined_normal(density: NamedCoordinates) -> CombinedNormal | None:
    """Multiply the normal priors of coefficients and of combinations.

    Parameters
    ----------
    density : NamedCoordinates

    Returns
    -------
    CombinedNormal or None
        None where no combination has a prior.

    Raises
    ------
    OptionError
        If a prior among them is not normal, or has hyperparameters: the product has no integral in
        closed form then.
    """
    factors = density.coordinates.factors
    combinations = [f for f in factors if isinstance(f, CombinationPrior)]
    if not combinations:
        return None
    at = np.array([i for i in density.beta if i >= 0], dtype=np.int64)
    columns = np.flatnonzero(density.beta >= 0)
    own = [density.coordinates.each[i].prior for i in at]
    conditional = any(isinstance(f, ConditionalPrior) for f in factors)
    every = [*own, *(f.prior for f in combinations)]
    if conditional or any(p.distribution != "Normal" or p.truncated for p in every):
        raise OptionError(
            f"with a prior of {combinations[0].name!r} besides them, draws from the priors and the "
            "marginal likelihood need normal priors of all fixed effects and combinations; the "
            "posterior needs neither"
        )
    held = density.coordinates.variables(np.zeros(density.ndim))
    m, s = (np.array([p[key] for p in own]) for key in ("mu", "sigma"))
    H, score = np.diag(s**-2.0), m / s**2
    squares = [(m / s) ** 2, 2.0 * np.log(s)]
    for factor in combinations:
        # what is held moves the constant
        constant = factor.constant + float(
            factor.L @ np.where(density.beta < 0, held[factor.at], 0.0)
        )
        L, scale = factor.L[columns], float(factor.prior["sigma"])
        away = float(factor.prior["mu"]) - constant
        H = H + np.outer(L, L) / scale**2
        score = score + L * away / scale**2
        squares.append(np.array([(away / scale) ** 2, 2.0 * np.log(scale), _LOG_2PI]))
    covariance = np.linalg.inv(H)
    mean = covariance @ score
    constant = sum(float(np.sum(part)) for part in squares)
    log_mass = 0.5 * (float(score @ mean) - float(np.linalg.slogdet(H)[1]) - constant)
    return CombinedNormal(at=at, mean=mean, root=np.linalg.cholesky(covariance), log_mass=log_mass)
