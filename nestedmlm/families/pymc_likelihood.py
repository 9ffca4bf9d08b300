"""The PyMC likelihood of a family: how its rows are written in a PyMC model.

An entry of the family's record, so that a registered family brings its own. Names are Bambi's:
``p`` for the mean of a binomial response and ``mu`` for any other, ``alpha``, ``kappa``, ``lam``,
``sigma`` and ``nu`` for what stands beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from nestedmlm._typing import FloatArray
from nestedmlm.families.links import Mean

type Named = Mapping[str, Any]


class PymcRows(NamedTuple):
    """Rows of a PyMC model, symbolic: what a likelihood is written of.

    `weights` are numbers of trials of binomial responses, or prior weights that divide the
    dispersion; None where there are none.
    """

    link: str
    eta: Any
    mu: Any
    weights: Any
    parameters: Named


@dataclass(frozen=True, slots=True, kw_only=True)
class SampledParameter:
    """A parameter beside the mean, positive, with its default prior.

    Attributes
    ----------
    name : str
        In the posterior: ``alpha``.
    prior : tuple of str and mapping
        The distribution by its PyMC name, and its parameters.
    unit : {"", "mean y", "sd y"}
        What the prior's scale is counted in; empty: it is a number.
    power : float or None
        The family's dispersion is this power of it; None: it is another parameter.
    start : float
        Where a sampler starts, if that does not follow from a dispersion.
    """

    name: str
    prior: tuple[str, tuple[tuple[str, float], ...]]
    unit: str = ""
    power: float | None = 1.0
    start: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PymcLikelihood:
    """The PyMC likelihood of a family.

    Attributes
    ----------
    distribution : callable
        `PymcRows` to the PyMC distribution of the rows, by its name (or as it is), and its
        arguments.
    mean : str
        What the expected response is called.
    parameters : tuple of SampledParameter
        What is sampled beside the mean.
    known_parameter : float or None
        A parameter that is given and not sampled, where there is one beside the dispersion.
    log_density, draw : callable, optional
        ``(y, mean, weights, values)`` and ``(mu, weights, values, rng)`` at values of the
        parameters by name, where they are more than the family's dispersion.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> likelihood = nm.families.negative_binomial().pymc
    >>> likelihood.mean, [parameter.name for parameter in likelihood.parameters]
    ('mu', ['alpha'])
    """

    distribution: Callable[[PymcRows], tuple[Any, dict[str, Any]]]
    mean: str = "mu"
    parameters: tuple[SampledParameter, ...] = ()
    known_parameter: float | None = None
    log_density: Callable[[FloatArray, Mean, FloatArray, Named], FloatArray] | None = None
    draw: Callable[[FloatArray, FloatArray, Named, Any], FloatArray] | None = None

    def dispersion(self, values: Named) -> Any:
        """The family's dispersion at values of the parameters; None where there is none.

        Parameters
        ----------
        values : mapping of str to number or array

        Returns
        -------
        number, array or None
        """
        for parameter in self.parameters:
            if parameter.power is not None:
                return values[parameter.name] ** parameter.power
        return None

    def at_dispersion(self, dispersion: float | None) -> dict[str, float]:
        """Values of the parameters at a dispersion of the family.

        Parameters
        ----------
        dispersion : float or None

        Returns
        -------
        dict
        """
        return {
            p.name: p.start
            if p.power is None or dispersion is None
            else float(dispersion) ** (1.0 / p.power)
            for p in self.parameters
        }


def _beside(name: str, *, power: float = 1.0, unit: str = "") -> tuple[SampledParameter, ...]:
    prior = ("HalfCauchy", (("beta", 1.0),))
    return (SampledParameter(name=name, prior=prior, unit=unit, power=power),)


SIGMA = SampledParameter(
    name="sigma", prior=("HalfNormal", (("sigma", 1.0),)), unit="sd y", power=2.0
)


def _times(value: Any, weights: Any) -> Any:
    return value if weights is None else value * weights


def _spread(sigma: Any, weights: Any) -> Any:
    return sigma if weights is None else sigma / weights**0.5


def binomial_rows(rows: PymcRows) -> tuple[Any, dict[str, Any]]:
    """Successes among trials, or 0 and 1."""
    p = {"logit_p": rows.eta} if rows.link == "logit" else {"p": rows.mu}
    if rows.weights is None:
        return "Bernoulli", p
    return "Binomial", {"n": rows.weights, **p}


def poisson_rows(rows: PymcRows) -> tuple[Any, dict[str, Any]]:
    """Counts."""
    return "Poisson", {"mu": rows.mu}


def negative_binomial_rows(rows: PymcRows) -> tuple[Any, dict[str, Any]]:
    """Counts with variance ``mu + mu^2 / alpha``."""
    return "NegativeBinomial", {"mu": rows.mu, "alpha": rows.parameters["alpha"]}


def gamma_rows(rows: PymcRows) -> tuple[Any, dict[str, Any]]:
    """Positive numbers of shape alpha."""
    alpha = _times(rows.parameters["alpha"], rows.weights)
    return "Gamma", {"alpha": alpha, "beta": alpha / rows.mu}


def inverse_gaussian_rows(rows: PymcRows) -> tuple[Any, dict[str, Any]]:
    """Positive numbers with variance ``mu^3 / lam``."""
    return "Wald", {"mu": rows.mu, "lam": _times(rows.parameters["lam"], rows.weights)}


def beta_rows(rows: PymcRows) -> tuple[Any, dict[str, Any]]:
    """Shares of precision kappa."""
    kappa = rows.parameters["kappa"]
    return "Beta", {"alpha": rows.mu * kappa, "beta": (1.0 - rows.mu) * kappa}


def gaussian_rows(rows: PymcRows) -> tuple[Any, dict[str, Any]]:
    """Normal numbers."""
    return "Normal", {"mu": rows.mu, "sigma": _spread(rows.parameters["sigma"], rows.weights)}


BINOMIAL = PymcLikelihood(distribution=binomial_rows, mean="p")
POISSON = PymcLikelihood(distribution=poisson_rows)
NEGATIVE_BINOMIAL = PymcLikelihood(distribution=negative_binomial_rows, parameters=_beside("alpha"))
GAMMA = PymcLikelihood(distribution=gamma_rows, parameters=_beside("alpha", power=-1.0))
INVERSE_GAUSSIAN = PymcLikelihood(
    distribution=inverse_gaussian_rows, parameters=_beside("lam", power=-1.0, unit="mean y")
)
BETA = PymcLikelihood(distribution=beta_rows, parameters=_beside("kappa"))
GAUSSIAN = PymcLikelihood(distribution=gaussian_rows, parameters=(SIGMA,))
