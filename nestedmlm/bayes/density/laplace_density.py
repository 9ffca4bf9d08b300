"""`LaplaceDensity`: the posterior with random effects integrated out approximately.

The likelihood is the Laplace approximation that maximum likelihood takes
(`nestedmlm.likelihood.glmm.laplace`), with its exact gradient; priors and coordinates are those of
linear models. With few rows of 0 and 1 in a group the approximation may be far off: it is asked for
by name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from nestedmlm._typing import FloatArray
from nestedmlm.bayes.density.fixed_priors import fixed_coordinates, link_fixed
from nestedmlm.bayes.density.marginal_likelihood import entry_places
from nestedmlm.bayes.density.named_coordinates import (
    NamedCoordinates,
    hyper_dimensions,
    posterior_variables,
)
from nestedmlm.bayes.density.point_by_point import point_by_point
from nestedmlm.bayes.density.prior_coordinates import (
    CoordinateList,
    Coordinates,
    given_prior,
    make_coordinate,
)
from nestedmlm.bayes.density.term_covariance import add_term
from nestedmlm.bayes.model.centring import centring
from nestedmlm.bayes.model.names import coordinates, parameter_names, sampled_parameters
from nestedmlm.bayes.model.prior_set import PriorSet, refuse_conditional
from nestedmlm.bayes.model.priors import resolve_priors
from nestedmlm.errors import OptionError
from nestedmlm.families import Family
from nestedmlm.likelihood.glmm.glmm_model import make_model
from nestedmlm.likelihood.glmm.laplace import Approximation
from nestedmlm.likelihood.glmm.laplace_likelihood import LaplaceLikelihood

if TYPE_CHECKING:
    from nestedmlm.design.design import Design

NO_DENSITY = (np.linalg.LinAlgError, ArithmeticError)  # what says that there is none


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LaplaceDensity(NamedCoordinates):
    """A log-density with its gradient, and the way back to named variables.

    Attributes
    ----------
    likelihood : LaplaceLikelihood
    power : float
        The family's dispersion is this power of the last coordinate's variable, if there is one.
    P : (t, e) array
        Takes the entries of the terms' factors to the flat ones, scaled.
    G : (p, p) array
        Takes the sampled coefficients to orthonormal columns.
    """

    form: ClassVar[str] = "laplace"

    likelihood: LaplaceLikelihood
    power: float
    P: FloatArray
    G: FloatArray

    @property
    def together(self) -> bool:
        """Whether points in rows cost less than one after the other."""
        return False

    def logp_grad(self, z: FloatArray) -> tuple[float, FloatArray]:
        """Log-density (with the scales' Jacobians) and its gradient.

        Where it cannot be evaluated it is minus infinity, with a zero gradient.
        """
        with np.errstate(all="ignore"):
            x = self.coordinates.variables(z)
            value, gradient, slopes = self.coordinates.log_prior(z, x)
            entries, pullback = self._entries(z, x)
            likelihood, of_T, of_gamma, slope = self.likelihood.log_likelihood(
                self.P @ entries, self.G @ x[self.beta], float(self.dispersion(x))
            )
            gradient += pullback(self.P.T @ of_T, slopes)
            gradient[self.beta] += (self.G.T @ of_gamma) * slopes[self.beta]
            for _, at in self.beside:
                gradient[at] += slope * self.power / x[at] * slopes[at]
            total = float(value) + likelihood
        if not (np.isfinite(total) and np.isfinite(gradient).all()):
            return -np.inf, np.zeros(self.ndim)
        return total, gradient[: self.ndim]

    def logp_grads(self, z: FloatArray) -> tuple[FloatArray, FloatArray]:
        """`logp_grad` at points in rows."""
        return point_by_point(self, z)

    def logp_points(self, z: FloatArray) -> FloatArray:
        """Log-density at points in rows; minus infinity where it cannot be evaluated."""
        prior, _, _ = self.coordinates.log_prior(z, self.coordinates.variables(z))
        value = prior + np.array([self._log_likelihood(point) for point in z])
        return np.where(np.isnan(value), -np.inf, value)

    def approximation(self, z: FloatArray) -> tuple[FloatArray, Approximation]:
        """Flat factors, and the approximation at one point.

        Raises
        ------
        numpy.linalg.LinAlgError
            If there is none.
        """
        x = self.coordinates.variables(z)
        T = self.P @ self._entries(z, x)[0]
        gamma = self.G @ x[self.beta]
        return T, self.likelihood.value(T, gamma, float(self.dispersion(x)))

    def dispersion(self, x: FloatArray) -> Any:
        """The family's dispersion at variables (…, d)."""
        for _, at in self.beside:
            return x[..., at] ** self.power
        return self.likelihood.model.family.value_of(None)

    def _log_likelihood(self, z: FloatArray) -> float:
        with np.errstate(all="ignore"):
            try:
                return -0.5 * self.approximation(z)[1].value
            except NO_DENSITY:
                return -np.inf


def laplace_density(
    design: Design,
    priors: PriorSet | Mapping[str, Any] | None = None,
    *,
    rows: Design | None = None,
) -> LaplaceDensity:
    """Prepare the log-density of a generalized model's approximate marginal posterior.

    Parameters
    ----------
    design : Design
        With a family.
    priors : PriorSet or mapping, optional
        Each an `nm.Prior`, as functions need the PyMC model.
    rows : Design, optional
        The same design without some of its rows: what the likelihood is of. The coordinates and
        their priors stay those of `design`.

    Returns
    -------
    LaplaceDensity

    Raises
    ------
    OptionError
        For a family whose density has no derivatives (t).
    """
    return LaplaceDensity(**laplace_fields(design, resolve_priors(design, priors), rows or design))


def laplace_fields(design: Design, priors: PriorSet, rows: Design) -> dict[str, Any]:
    """What a `LaplaceDensity` of a design is made of, with the likelihood of some of its rows."""
    family = require_derivatives(design.family)
    model = make_model(rows, family)
    stats = model.products.empty
    refuse_conditional(priors, "the Laplace approximation")
    own = family_fields(design, priors)
    return {
        **own,
        "likelihood": LaplaceLikelihood(model=model),
        "power": dispersion_power(family),
        "P": entry_places([term.places for term in own["_terms"]], rows, stats),
        "G": stats.R_x @ own["centring"].matrix(),
    }


def family_fields(design: Design, priors: PriorSet) -> dict[str, Any]:
    """The coordinates of a generalized model's parameters, as `NamedCoordinates` has them."""
    names, made = parameter_names(design), CoordinateList()
    beta = made.add(*fixed_coordinates(design, priors))
    terms = [
        add_term(made, term, own, priors)
        for term, own in zip(design.terms, names.terms, strict=True)
    ]
    beside = [
        (name, int(made.add(make_coordinate(name, given_prior(priors, name)))[0]))
        for name in names.beside
    ]
    hyper = link_fixed(made, design, priors, beta, None)
    return {
        "coordinates": Coordinates.of(made),
        "beta": beta,
        "beside": tuple(beside),
        "centring": centring(design),
        "variables": posterior_variables(design, hyper),
        "coords": {k: tuple(v) for k, v in coordinates(design).items()} | hyper_dimensions(hyper),
        "hyper": hyper,
        "_fixed": names.fixed,
        "_terms": tuple(terms),
    }


def dispersion_power(family: Family) -> float:
    """The family's dispersion is this power of the parameter that is sampled for it."""
    for parameter in sampled_parameters(family):
        if parameter.power is not None:
            return parameter.power
    return 1.0


def require_derivatives(family: Family | None) -> Family:
    """Refuse a family whose density has no derivatives.

    Raises
    ------
    OptionError
    """
    assert family is not None
    if not family.has_derivatives:
        raise OptionError(
            f"the random effects of the {family.name} family cannot be integrated out: sample them "
            "with the rest (marginal=False, sampler='nutpie')"
        )
    return family
