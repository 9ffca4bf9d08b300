"""Student's t family: numbers with outliers, of mean mu, scale sigma and nu degrees of freedom.

Lange, Little & Taylor (1989), Journal of the American Statistical Association 84(408). The
dispersion is ``sigma^2``; nu is given, or sampled with the other parameters of a posterior. The
density is not concave, so there is no maximum likelihood of it here.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import special

from nestedmlm._typing import FloatArray
from nestedmlm.errors import OptionError
from nestedmlm.families.links import Mean
from nestedmlm.families.pymc_likelihood import (
    SIGMA,
    Named,
    PymcRows,
    SampledParameter,
)

_NU_START = 10.0  # degrees of freedom that a sampler starts from
NU = SampledParameter(
    name="nu",
    prior=("Gamma", (("alpha", 2.0), ("beta", 0.1))),
    power=None,
    start=_NU_START,
)


def known(nu: float | None) -> float:
    """The degrees of freedom where they are given.

    Raises
    ------
    OptionError
        If they are not.
    """
    if nu is None:
        raise OptionError(
            "nu of the t family is a parameter of the posterior here: give it for densities and "
            "draws of the family itself, nm.families.student_t(nu=4)"
        )
    return nu


def t_log_density(y: FloatArray, mu: FloatArray, a: FloatArray, phi: Any, nu: Any) -> FloatArray:
    """Log-density but for ``log(2 pi) / 2``, so that it is the normal one at large nu."""
    precision = a / phi
    squares = precision * (y - mu) ** 2
    half = 0.5 * nu
    constant = special.gammaln(half + 0.5) - special.gammaln(half) - 0.5 * np.log(half)
    out: FloatArray = constant + 0.5 * np.log(precision) - (half + 0.5) * np.log1p(squares / nu)
    return out


def t_kernel(
    y: FloatArray, mean: Mean, a: FloatArray, phi: float, *, nu: float | None
) -> FloatArray:
    """Log-density up to ``-log(2 pi) / 2``."""
    return t_log_density(y, mean.mu, a, phi, known(nu))


def t_constant(y: FloatArray, a: FloatArray) -> FloatArray:
    """``-log(2 pi) / 2``."""
    return np.full_like(y, -0.5 * np.log(2.0 * np.pi))


def t_deviance(y: FloatArray, mu: FloatArray, phi: float, *, nu: float | None) -> FloatArray:
    """Twice what a mean of y would gain, times the dispersion."""
    df = known(nu)
    out: FloatArray = phi * (df + 1.0) * np.log1p((y - mu) ** 2 / (df * phi))
    return out


def t_draw(
    mu: FloatArray, a: FloatArray, phi: float, rng: np.random.Generator, *, nu: float | None
) -> FloatArray:
    """Numbers with tails."""
    out: FloatArray = mu + np.sqrt(phi / a) * rng.standard_t(known(nu), size=np.shape(mu))
    return out


def _nu_of(values: Named, nu: float | None) -> Any:
    return values["nu"] if nu is None else nu


def t_density_at(
    y: FloatArray, mean: Mean, a: FloatArray, values: Named, *, nu: float | None
) -> FloatArray:
    """Log-density up to ``-log(2 pi) / 2`` at draws of sigma and nu."""
    return t_log_density(y, mean.mu, a, values["sigma"] ** 2, _nu_of(values, nu))


def t_draw_at(
    mu: FloatArray, a: FloatArray, values: Named, rng: np.random.Generator, *, nu: float | None
) -> FloatArray:
    """A response for each draw of sigma and nu."""
    noise = rng.standard_t(np.broadcast_to(_nu_of(values, nu), np.shape(mu)))
    out: FloatArray = mu + values["sigma"] / np.sqrt(a) * noise
    return out


def t_rows(rows: PymcRows, *, nu: float | None) -> tuple[str, dict[str, object]]:
    """The rows of a PyMC model."""
    sigma = rows.parameters["sigma"]
    if rows.weights is not None:
        sigma = sigma / rows.weights**0.5
    return "StudentT", {"nu": _nu_of(rows.parameters, nu), "mu": rows.mu, "sigma": sigma}


def t_parameters(nu: float | None) -> tuple[SampledParameter, ...]:
    """What is sampled: sigma, and nu where it is not given."""
    return (SIGMA, NU) if nu is None else (SIGMA,)
