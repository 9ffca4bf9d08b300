"""`MarginalDensity`: the log-density of a marginal posterior, its gradient, its named variables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from nestedmlm._typing import FloatArray
from nestedmlm.bayes.density.fixed_priors import fixed_coordinates, link_fixed
from nestedmlm.bayes.density.marginal_likelihood import (
    contrast,
    contrast_slopes,
    entry_places,
    likelihood_constant,
    marginal_likelihood,
    residual_likelihood,
)
from nestedmlm.bayes.density.named_coordinates import (
    NamedCoordinates,
    hyper_dimensions,
    posterior_variables,
)
from nestedmlm.bayes.density.prior_coordinates import (
    CoordinateList,
    Coordinates,
    given_prior,
    make_coordinate,
)
from nestedmlm.bayes.density.residual_coordinates import ResidualCoordinates, add_residuals
from nestedmlm.bayes.density.term_covariance import add_term
from nestedmlm.bayes.model.centring import centring
from nestedmlm.bayes.model.names import coordinates, parameter_names
from nestedmlm.bayes.model.prior_set import PriorSet
from nestedmlm.bayes.model.priors import resolve_priors
from nestedmlm.likelihood.elimination import eliminate
from nestedmlm.likelihood.elimination.points import eliminate_points, serves
from nestedmlm.statistics.crossproducts import CrossProducts, cross_products
from nestedmlm.statistics.pair_sums import pair_sums

if TYPE_CHECKING:
    from nestedmlm.design.design import Design


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MarginalDensity(NamedCoordinates):
    """A log-density with its gradient, and the way back to named variables.

    Attributes
    ----------
    stats : CrossProducts
        Of the data; of residuals that differ or correlate what does not depend on how.
    P, C, c : arrays
        Of `nestedmlm.bayes.density.marginal_likelihood.marginal_likelihood`.
    """

    form: ClassVar[str] = "marginal"

    stats: CrossProducts
    P: FloatArray
    C: FloatArray
    c: FloatArray

    @property
    def sigma(self) -> int:
        """Coordinate of sigma."""
        return self.beside[0][1]

    @property
    def together(self) -> bool:
        """Whether points in rows cost less than one after the other."""
        return self.residual is None and serves(self.stats)

    def with_response(self, design: Design) -> MarginalDensity:
        """The density of another response (or offset): priors and coordinates stay.

        Parameters
        ----------
        design : Design
            That of the density but for the response.
        """
        if self.residual is None:
            stats = cross_products(design)
            return replace(self, stats=stats, c=contrast(stats))
        sums = pair_sums(design)
        own = replace(self.residual, sums=sums)
        return replace(self, stats=sums.base, residual=own, c=contrast(sums.base))

    # --- the density ---------------------------------------------------------------------------
    def logp_grad(
        self, z: FloatArray, covariance: FloatArray | None = None
    ) -> tuple[float, FloatArray]:
        """Log-density (with the scales' Jacobians) and its gradient.

        Where it cannot be evaluated it is minus infinity, with a zero gradient.

        With a (p, p) covariance of the fixed effects the gradient is its mean over coefficients
        that have it, for those at z in the middle.
        """
        spread = variance = None
        with np.errstate(all="ignore"):
            x = self.coordinates.variables(z)
            if covariance is not None:
                spread, variance = self.C @ covariance @ self.C.T, np.zeros(len(x))
                variance[self.beta] = np.diag(covariance)
            value, gradient, slopes = self.coordinates.log_prior(z, x, variance)
            entries, pullback = self._entries(z, x)
            sigma = float(x[self.sigma])
            own = entries, x[self.beta], sigma
            maps = self.P, self.C, self.c
            try:
                if self.residual is None:
                    found = marginal_likelihood(self.stats, *own, *maps, spread=spread)
                else:
                    free, back = self.residual.free(z, x)
                    found, free_bar = residual_likelihood(
                        self.residual.sums, *own, free, *maps, spread=spread
                    )
                    back(free_bar, slopes, gradient)
            except (np.linalg.LinAlgError, ZeroDivisionError):
                return -np.inf, np.zeros(self.ndim)
            likelihood, entries_bar, beta_bar, sigma_bar = found
            gradient += pullback(entries_bar, slopes)
            gradient[self.beta] += beta_bar * slopes[self.beta]
            gradient[self.sigma] += (sigma_bar - self.stats.n / sigma) * slopes[self.sigma]
            total = float(value) + likelihood - self.stats.n * float(np.log(sigma))
        return total + likelihood_constant(self.stats), gradient[: self.ndim]

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
        """Marginal log-likelihood, given `remaining`'s logdet and ``v'S v``."""
        out: FloatArray = -0.5 * (logdet + vSv / sigma**2) - self.stats.n * np.log(sigma)
        return out + likelihood_constant(self.stats)

    def remaining(self, z: FloatArray) -> tuple[FloatArray, FloatArray]:
        """``log|M| + log|R|`` and S at points in rows: (m,) and (m, p + 1, p + 1) arrays."""
        with np.errstate(all="ignore"):
            x = self.coordinates.variables(z)
            entries, _ = self._entries(z, x)
            T = entries @ self.P.T / x[:, [self.sigma]]
            if self.residual is None:
                found = eliminate_points(T, self.stats)
                return found.logdet, found.S
            return self._remaining_with(self.residual, T, z, x)

    def _remaining_with(
        self, residual: ResidualCoordinates, T: FloatArray, z: FloatArray, x: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        """`remaining` where each point has sums of its own; NaN where there is no covariance."""
        m, r = len(z), self.stats.p + 1
        logdet, S = np.full(m, np.nan), np.full((m, r, r), np.nan)
        for i in range(m):
            try:
                stats = residual.sums.at(residual.free(z[i], x[i])[0])
                e = eliminate(T[i], stats)
            except np.linalg.LinAlgError:
                continue
            logdet[i], S[i] = e.logdet - (stats.sum_log_w - self.stats.sum_log_w), e.S
        return logdet, S


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
    sums = None if design.residual is None else pair_sums(design)
    stats = sums.base if sums is not None else stats or cross_products(design)
    priors = resolve_priors(design, priors)
    names = parameter_names(design)
    made = CoordinateList()
    beta = made.add(*fixed_coordinates(design, priors))
    terms = [
        add_term(made, term, own, priors)
        for term, own in zip(design.terms, names.terms, strict=True)
    ]
    sigma = int(made.add(make_coordinate(names.sigma, given_prior(priors, names.sigma)))[0])
    residual = None if sums is None else add_residuals(made, names, sums, priors, sigma)
    hyper = link_fixed(made, design, priors, beta, sigma)
    return MarginalDensity(
        stats=stats,
        coordinates=Coordinates.of(made),
        beta=beta,
        beside=((names.sigma, sigma),),
        centring=centring(design),
        variables=posterior_variables(design, hyper),
        coords={k: tuple(v) for k, v in coordinates(design).items()} | hyper_dimensions(hyper),
        residual=residual,
        hyper=hyper,
        _fixed=names.fixed,
        _terms=tuple(terms),
        P=entry_places([term.places for term in terms], design, stats),
        C=contrast_slopes(design, stats),
        c=contrast(stats),
    )
