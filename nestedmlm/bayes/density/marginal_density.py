"""`MarginalDensity`: the log-density of a marginal posterior, its gradient, its named variables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from nestedmlm._typing import FloatArray
from nestedmlm.bayes.density.fixed_priors import fixed_coordinates, link_fixed
from nestedmlm.bayes.density.marginal_likelihood import (
    Heads,
    contrast,
    contrast_slopes,
    entry_places,
    likelihood_constant,
    marginal_likelihoods,
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
from nestedmlm.likelihood.elimination.point_sweep import serves
from nestedmlm.likelihood.elimination.points import eliminate_points
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

    def of_rows(self, design: Design, rest: Design) -> MarginalDensity:
        """The density of some rows: priors, coordinates and what they are at the means of stay.

        Parameters
        ----------
        design : Design
            That of the density, whose residuals differ or correlate.
        rest : Design
            The same of fewer rows, maybe of fewer levels.
        """
        assert self.residual is not None
        sums = pair_sums(rest)
        sums = replace(sums, model=sums.model.like(self.residual.sums.model))
        return replace(
            self,
            stats=sums.base,
            residual=replace(self.residual, sums=sums),
            P=entry_places([term.places for term in self._terms], rest, sums.base),
            C=contrast_slopes(design, sums.base),
            c=contrast(sums.base),
        )

    # --- the density ---------------------------------------------------------------------------
    def logp_grad(self, z: FloatArray) -> tuple[float, FloatArray]:
        """Log-density (with the scales' Jacobians) and its gradient.

        Where it cannot be evaluated it is minus infinity, with a zero gradient.
        """
        value, gradient = self.logp_grads(z[None])
        return float(value[0]), gradient[0]

    def logp_grads(
        self, z: FloatArray, covariance: FloatArray | None = None
    ) -> tuple[FloatArray, FloatArray]:
        """`logp_grad` at points in rows.

        With covariances (m, p, p) of the fixed effects the gradients are their means over
        coefficients that have them, for those at z in the middle.
        """
        spread = variance = None
        with np.errstate(all="ignore"):
            x = self.coordinates.variables(z)
            if covariance is not None:
                spread, variance = self.C @ covariance @ self.C.T, np.zeros(x.shape)
                variance[:, self.beta] = np.diagonal(covariance, axis1=1, axis2=2)
            value, gradient, slopes = self.coordinates.log_prior(z, x, variance)
            entries, pullback = self._entries(z, x)
            found = self._likelihoods(z, x, entries, spread, slopes, gradient)
            sigma = x[:, self.sigma]
            gradient += pullback(found.entries_bar, slopes)
            gradient[:, self.beta] += found.beta_bar * slopes[:, self.beta]
            gradient[:, self.sigma] += (found.sigma_bar - self.stats.n / sigma) * slopes[
                :, self.sigma
            ]
            total = value + found.value - self.stats.n * np.log(sigma)
        total += likelihood_constant(self.stats)
        gradient = gradient[:, : self.ndim]
        bad = np.isnan(total)
        total[bad], gradient[bad] = -np.inf, 0.0
        return total, gradient

    def _likelihoods(
        self, z: FloatArray, x: FloatArray, entries: FloatArray, spread: FloatArray | None,
        slopes: FloatArray, gradient: FloatArray,
    ) -> Heads:  # fmt: skip
        """The likelihood at points in rows; gradients gain the residuals' own parameters."""
        maps, sigma = (self.P, self.C, self.c), x[:, self.sigma]
        if self.residual is None:
            return marginal_likelihoods(
                self.stats, entries, x[:, self.beta], sigma, *maps, spread=spread
            )
        found = Heads.nowhere(len(z), entries.shape[1], len(self.beta))
        for i in range(len(z)):
            free, back = self.residual.free(z[i], x[i])
            try:
                result, free_bar = residual_likelihood(
                    self.residual.sums, entries[i], x[i, self.beta], float(sigma[i]), free, *maps,
                    spread=None if spread is None else spread[i],
                )  # fmt: skip
            except (np.linalg.LinAlgError, ZeroDivisionError):
                continue
            back(free_bar, slopes[i], gradient[i])
            found.put(i, result)
        return found

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
