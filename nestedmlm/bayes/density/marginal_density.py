"""`MarginalDensity`: the log-density of a marginal posterior, its gradient, its named variables."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from nestedmlm._typing import FloatArray, IntArray
from nestedmlm.bayes.density.marginal_likelihood import (
    contrast,
    contrast_slopes,
    entry_places,
    likelihood_constant,
    marginal_likelihood,
)
from nestedmlm.bayes.density.prior_coordinates import (
    Coordinates,
    fixed_coordinates,
    given_prior,
    make_coordinate,
)
from nestedmlm.bayes.density.term_covariance import TermCovariance, add_term
from nestedmlm.bayes.model.centring import Centring, centring
from nestedmlm.bayes.model.names import coordinates, parameter_names
from nestedmlm.bayes.model.priors import PriorSet, resolve_priors
from nestedmlm.errors import OptionError
from nestedmlm.likelihood.elimination.points import eliminate_points, serves
from nestedmlm.statistics.crossproducts import CrossProducts, cross_products

if TYPE_CHECKING:
    from nestedmlm.design.design import Design

# of the adjoint of all entries, and of dx/dz, to the gradient in the coordinates
EntriesPullback = Callable[[FloatArray, FloatArray], FloatArray]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PosteriorVariable:
    """One variable of the posterior: its name, shape and dimensions."""

    name: str
    shape: tuple[int, ...]
    dims: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MarginalDensity:
    """A log-density with its gradient, and the way back to named variables.

    Attributes
    ----------
    stats : CrossProducts
        Of the data.
    coordinates : Coordinates
    beta : (p,) array of int
        Coordinates of the fixed effects.
    sigma : int
        Coordinate of sigma.
    centring : Centring
    variables : tuple of PosteriorVariable
        What `named` returns.
    coords : mapping of str to tuple
    """

    stats: CrossProducts
    coordinates: Coordinates
    beta: IntArray
    sigma: int
    centring: Centring
    variables: tuple[PosteriorVariable, ...]
    coords: Mapping[str, tuple[Any, ...]]
    _fixed: tuple[str, ...]
    _terms: tuple[TermCovariance, ...]
    P: FloatArray
    C: FloatArray
    c: FloatArray

    @property
    def ndim(self) -> int:
        """Number of coordinates."""
        return len(self.coordinates)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the variables that the coordinates belong to."""
        return self.coordinates.names

    @property
    def together(self) -> bool:
        """Whether points in rows cost less than one after the other."""
        return serves(self.stats)

    @property
    def initial(self) -> FloatArray:
        """A point to start from."""
        return self.coordinates.point({})

    @property
    def folded(self) -> tuple[int, ...]:
        """Coordinates that are signed standard deviations: signs do not change the density."""
        return tuple(i for i, c in enumerate(self.coordinates.each) if c.signed)

    def with_response(self, design: Design) -> MarginalDensity:
        """The density of another response (or offset): priors and coordinates stay.

        Parameters
        ----------
        design : Design
            That of the density but for the response.
        """
        stats = cross_products(design)
        return replace(self, stats=stats, c=contrast(stats))

    # --- the density ---------------------------------------------------------------------------
    def logp_grad(self, z: FloatArray) -> tuple[float, FloatArray]:
        """Log-density (with the scales' Jacobians) and its gradient.

        Where it cannot be evaluated it is minus infinity, with a zero gradient.
        """
        with np.errstate(all="ignore"):
            x = self.coordinates.variables(z)
            value, gradient, slopes = self.coordinates.log_prior(z, x)
            entries, pullback = self._entries(z, x)
            sigma = float(x[self.sigma])
            try:
                found = marginal_likelihood(
                    self.stats, entries, x[self.beta], sigma, self.P, self.C, self.c
                )
            except (np.linalg.LinAlgError, ZeroDivisionError):
                return -np.inf, np.zeros(self.ndim)
            likelihood, entries_bar, beta_bar, sigma_bar = found
            gradient += pullback(entries_bar, slopes)
            gradient[self.beta] += beta_bar * slopes[self.beta]
            gradient[self.sigma] += (sigma_bar - self.stats.n / sigma) * slopes[self.sigma]
            total = float(value) + likelihood - self.stats.n * float(np.log(sigma))
        return total + likelihood_constant(self.stats), gradient

    def logp(self, z: FloatArray) -> float:
        """Log-density at one point."""
        return float(self.logp_points(z[None])[0])

    def logp_points(self, z: FloatArray) -> FloatArray:
        """Log-density at points in rows; minus infinity where it cannot be evaluated."""
        prior, _, _ = self.coordinates.log_prior(z, self.coordinates.variables(z))
        value = prior + self.log_likelihood(z)
        return np.where(np.isnan(value), -np.inf, value)

    def log_likelihood(self, z: FloatArray) -> FloatArray:
        """Marginal log-likelihood at points in rows."""
        x = self.coordinates.variables(z)
        logdet, S = self.remaining(z)
        v = self.c + x[:, self.beta] @ self.C.T
        return self.of_contrasts(logdet, np.einsum("mr,mrs,ms->m", v, S, v), x[:, self.sigma])

    def of_contrasts(self, logdet: FloatArray, vSv: FloatArray, sigma: FloatArray) -> FloatArray:
        """Marginal log-likelihood, given ``log|M|`` and ``v'S v``."""
        out: FloatArray = -0.5 * (logdet + vSv / sigma**2) - self.stats.n * np.log(sigma)
        return out + likelihood_constant(self.stats)

    def remaining(self, z: FloatArray) -> tuple[FloatArray, FloatArray]:
        """``log|M|`` and S at points in rows: (m,) and (m, p + 1, p + 1) arrays."""
        with np.errstate(all="ignore"):
            x = self.coordinates.variables(z)
            entries, _ = self._entries(z, x)
            found = eliminate_points(entries @ self.P.T / x[:, [self.sigma]], self.stats)
        return found.logdet, found.S

    def _entries(self, z: FloatArray, x: FloatArray) -> tuple[FloatArray, EntriesPullback]:
        """Entries of all ``D L``, and the pullback of their adjoint to the coordinates."""
        found = [term.entries(z, x) for term in self._terms]

        def pullback(bar: FloatArray, slopes: FloatArray) -> FloatArray:
            out, first = np.zeros(z.shape), 0
            for (own, back), term in zip(found, self._terms, strict=True):
                last = first + own.shape[-1]
                of_sds, of_par = back(bar[first:last], slopes)
                np.add.at(out, term.sds, of_sds)
                out[term.par] += of_par
                first = last
            return out

        return np.concatenate([own for own, _ in found], axis=-1), pullback

    # --- named variables -----------------------------------------------------------------------
    def at(self, values: Mapping[str, Any]) -> FloatArray:
        """The point of given values of the variables, by their names; others where they start.

        Raises
        ------
        OptionError
            For a name that is none of the variables'.
        """
        unknown = [n for n in values if n not in self.names]
        if unknown:
            raise OptionError(
                f"no free variable {unknown[0]!r} to start; the names are: {', '.join(self.names)}"
            )
        return self.coordinates.point(values)

    def named(self, z: FloatArray) -> dict[str, FloatArray]:
        """The named variables at points in rows: arrays (m, …)."""
        x = self.coordinates.variables(z)
        beta = x[:, self.beta] @ self.centring.matrix().T
        out = dict(zip(self._fixed, beta.T, strict=True))
        for term in self._terms:
            out |= term.named(z, x)
        return {**out, parameter_sigma(self): x[:, self.sigma]}

    def to_values(self, z: FloatArray) -> dict[str, FloatArray]:
        """The named variables at one point."""
        return {name: values[0] for name, values in self.named(z[None]).items()}


def parameter_sigma(density: MarginalDensity) -> str:
    """Name of the residual standard deviation."""
    return density.coordinates.each[density.sigma].name


def marginal_density(
    design: Design,
    priors: PriorSet | Mapping[str, Any] | None = None,
    *,
    stats: CrossProducts | None = None,
) -> MarginalDensity:
    """Prepare the log-density of a design's marginal posterior.

    Parameters
    ----------
    design : Design
    priors : PriorSet or mapping, optional
        See `nestedmlm.bayes.model.priors.resolve_priors`; each an `nm.Prior`, as functions need the
        PyMC model.
    stats : CrossProducts, optional
        ``cross_products(design)`` where the caller has it already.

    Returns
    -------
    MarginalDensity
    """
    stats = stats or cross_products(design)
    priors = resolve_priors(design, priors)
    names = parameter_names(design)
    each = fixed_coordinates(design, priors)
    beta = np.arange(len(each))
    terms = [
        add_term(each, term, own, priors)
        for term, own in zip(design.terms, names.terms, strict=True)
    ]
    each.append(make_coordinate(names.sigma, given_prior(priors, names.sigma)))
    shapes = {own.correlation: (len(own.pairs),) for own in names.terms if own.correlation}
    dims = {own.correlation: (own.pair_dim,) for own in names.terms if own.correlation}
    return MarginalDensity(
        stats=stats,
        coordinates=Coordinates.of(each),
        beta=beta,
        sigma=len(each) - 1,
        centring=centring(design),
        variables=tuple(
            PosteriorVariable(
                name=name,
                shape=shapes.get(name, ()),
                dims=dims.get(name, ()),
            )
            for name in names.parameters
        ),
        coords={k: tuple(v) for k, v in coordinates(design).items()},
        _fixed=names.fixed,
        _terms=tuple(terms),
        P=entry_places([term.places for term in terms], design, stats),
        C=contrast_slopes(design, stats),
        c=contrast(stats),
    )
