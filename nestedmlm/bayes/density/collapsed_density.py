"""`CollapsedDensity`: a marginal posterior with its fixed effects integrated out, too.

Coefficients and the hyperparameters of their priors make a funnel: where a scale is small, so are
its coefficients. Another one is that of an intercept and the standard deviation of a few groups:
where this is large, the intercept may lie anywhere. Given all other parameters the coefficients
with normal priors are normal (as the likelihood is, Bates et al. 2015, eq. 20), so they are
integrated out exactly and drawn afterwards: what is sampled has neither funnel, and fewer
dimensions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from nestedmlm._typing import BoolArray, FloatArray, IntArray
from nestedmlm.bayes.density.coefficient_priors import CombinationPrior, ConditionalPrior
from nestedmlm.bayes.density.marginal_density import MarginalDensity
from nestedmlm.bayes.density.named_coordinates import PosteriorVariable
from nestedmlm.bayes.density.prior_coordinates import Coordinate
from nestedmlm.errors import OptionError

_LOG_2PI = float(np.log(2.0 * np.pi))
_RANK = 1e-12  # relative size of an eigenvalue of a precision that has a Cholesky factor


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CollapsedDensity:
    """The density of what is left when coefficients are integrated out.

    Attributes
    ----------
    density : MarginalDensity
    integrated : (q,) array of int
        Coordinates of the coefficients.
    rest : (r,) array of int
        The other coordinates, which are those of this density.
    columns : (q,) array of int
        Places of the coefficients among the fixed effects.
    precision : (q, q) array
        Of the coefficients' priors without hyperparameters.
    seed : int or None
        Of the coefficients' draws.
    """

    density: MarginalDensity
    integrated: IntArray
    rest: IntArray
    columns: IntArray
    precision: FloatArray
    seed: int | None

    @property
    def form(self) -> str:
        """How it treats the random effects."""
        return self.density.form

    @property
    def ndim(self) -> int:
        """Number of coordinates."""
        return len(self.rest)

    @property
    def together(self) -> bool:
        """Whether points in rows cost less than one after the other."""
        return self.density.together

    @property
    def initial(self) -> FloatArray:
        """A point to start from."""
        return self.density.initial[self.rest]

    @property
    def folded(self) -> tuple[int, ...]:
        """Coordinates that are signed standard deviations."""
        places = {int(place): i for i, place in enumerate(self.rest)}
        return tuple(places[i] for i in self.density.folded)

    @property
    def variables(self) -> tuple[PosteriorVariable, ...]:
        """Those of the density."""
        return self.density.variables

    @property
    def coords(self) -> Mapping[str, tuple[Any, ...]]:
        """Those of the density."""
        return self.density.coords

    def at(self, values: Mapping[str, Any]) -> FloatArray:
        """The point of given values of the free variables, those of the coefficients left out."""
        return self.density.at(values)[self.rest]

    def logp_points(self, z: FloatArray) -> FloatArray:
        """Log-density at points in rows; minus infinity where it cannot be evaluated."""
        return self._normal(z).log_integral

    def logp_grad(self, z: FloatArray) -> tuple[float, FloatArray]:
        """Log-density and its gradient; minus infinity where it cannot be evaluated."""
        value, gradient = self.logp_grads(z[None])
        return float(value[0]), gradient[0]

    def logp_grads(self, z: FloatArray) -> tuple[FloatArray, FloatArray]:
        """`logp_grad` at points in rows.

        That of an integral is the mean of the integrand's, here of a normal's second moments.
        """
        found, p = self._normal(z), self.density.C.shape[1]
        covariance = found.half.transpose(0, 2, 1) @ found.half
        if len(self.columns) < p:
            own, covariance = covariance, np.zeros((len(z), p, p))
            covariance[np.ix_(np.arange(len(z)), self.columns, self.columns)] = own
        gradient = self.density.logp_grads(self._whole(z, found.mean), covariance)[1]
        gradient[np.isneginf(found.log_integral)] = 0.0
        return found.log_integral, gradient[:, self.rest]

    def named(self, z: FloatArray) -> dict[str, FloatArray]:
        """The named variables at points in rows, coefficients drawn given the rest."""
        return self.density.named(self.complete(z))

    def complete(self, z: FloatArray) -> FloatArray:
        """Points of the density with all coordinates, coefficients drawn given the rest."""
        rng, found = np.random.default_rng(self.seed), self._normal(z)
        scores = rng.standard_normal((len(z), 1, len(self.integrated)))
        return self._whole(z, found.mean + (scores @ found.half)[:, 0])

    def _whole(self, z: FloatArray, coefficients: FloatArray) -> FloatArray:
        out = np.empty((len(z), self.density.ndim))
        out[:, self.rest], out[:, self.integrated] = z, coefficients
        return out

    def _normal(self, z: FloatArray) -> _Normal:
        """The coefficients given the rest, and the logarithm of the integral."""
        den, q = self.density, len(self.integrated)
        with np.errstate(all="ignore"):
            whole = self._whole(z, np.zeros((len(z), q)))
            x = den.coordinates.variables(whole)
            prior, slopes, _ = den.coordinates.log_prior(whole, x)
            logdet, S = den.remaining(whole)
            v, own = den.c + x[:, den.beta] @ den.C.T, den.C[:, self.columns]
            inverse = 1.0 / x[:, den.sigma] ** 2
            A = own.T @ S @ own * inverse[:, None, None] + self.precision
            for factor in den.coordinates.factors:
                if isinstance(factor, ConditionalPrior):
                    places = np.searchsorted(self.integrated, factor.at)
                    A[:, places, places] += factor.precision(x)
            Sv = (S @ v[:, :, None])[:, :, 0]
            score = slopes[:, self.integrated] - (Sv @ own) * inverse[:, None]
            value = prior + den.of_contrasts(logdet, np.sum(v * Sv, axis=1), x[:, den.sigma])
            half, good = _inverse_roots(A, np.isfinite(value + score.sum(axis=1)))
            scaled = half @ np.where(good[:, None], score, 0.0)[:, :, None]
            mean = (half.transpose(0, 2, 1) @ scaled)[:, :, 0]
            value = value + 0.5 * np.sum(scaled[:, :, 0] ** 2, axis=1)
            value += np.log(np.diagonal(half, axis1=1, axis2=2)).sum(axis=1) + 0.5 * q * _LOG_2PI
        return _Normal(mean=mean, half=half, log_integral=np.where(good, value, -np.inf))


def _inverse_roots(A: FloatArray, good: BoolArray) -> tuple[FloatArray, BoolArray]:
    """H with ``H'H`` the inverse of each matrix, and where that exists; elsewhere the identity."""
    good = good & np.isfinite(A.sum(axis=(1, 2)))
    A = np.where(good[:, None, None], A, np.eye(A.shape[1]))
    try:
        return np.linalg.inv(np.linalg.cholesky(A)), good
    except np.linalg.LinAlgError:  # some point's
        values = np.linalg.eigvalsh(A)
        return _inverse_roots(A, good & (values[:, 0] > _RANK * values[:, -1]))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Normal:
    """Coefficients given the rest: means (m, q), H (m, q, q) of covariances H'H, log-integrals."""

    mean: FloatArray
    half: FloatArray
    log_integral: FloatArray


def collapse[D](density: D, seed: int | None, *, few: int = 0) -> D | CollapsedDensity:
    """Integrate coefficients out where they make a funnel.

    Parameters
    ----------
    density : LogDensity
    seed : int, optional
        Of the coefficients' draws.
    few : int
        Without hyperparameters: where some grouping factor has no more levels than these.

    Returns
    -------
    CollapsedDensity, or the density itself
        Itself if there is no funnel, none of the coefficients has a prior that is normal (given
        hyperparameters, where there are some), nothing else would be left, or it is not a
        `MarginalDensity`.

    Raises
    ------
    OptionError
        Where a combination of coefficients whose priors have hyperparameters has a prior that is
        not normal.
    """
    if not isinstance(density, MarginalDensity):
        return density
    factors, each = density.coordinates.factors, density.coordinates.each
    linked = {int(i) for f in factors if isinstance(f, ConditionalPrior) for i in f.at}
    if not linked and all(part.levels > few for part in density.stats.parts):
        return density
    combined = [f for f in factors if isinstance(f, CombinationPrior)]
    other = [f for f in combined if f.prior.distribution != "Normal"]
    apart = _coefficients(other, density)
    _require_normal(other, linked, density)
    own = [
        int(i)
        for i in density.beta
        if i >= 0 and i not in apart and (i in linked or _is_normal(each[i]))
    ]
    if not 0 < len(own) < density.ndim:
        return density
    at = np.array(sorted(own), dtype=np.int64)
    columns = np.array([density.beta.tolist().index(i) for i in at], dtype=np.int64)
    precision = np.diag([_precision(each[i]) for i in at])
    for factor in combined:
        L = factor.L[columns]
        if L.any():
            precision += np.outer(L, L) / factor.prior["sigma"] ** 2
    rest = np.setdiff1d(np.arange(density.ndim), at)
    return CollapsedDensity(
        density=density, integrated=at, rest=rest, columns=columns, precision=precision, seed=seed
    )


def _coefficients(combined: Sequence[CombinationPrior], density: MarginalDensity) -> set[int]:
    """Coordinates of the coefficients of some combinations."""
    return {int(i) for f in combined for i, own in zip(density.beta, f.L, strict=True) if own}


def _require_normal(
    other: Sequence[CombinationPrior], linked: set[int], density: MarginalDensity
) -> None:
    for factor in other:
        if _coefficients([factor], density) & linked:
            raise OptionError(
                f"the prior of {factor.name!r} is {factor.prior}: beside priors with "
                "hyperparameters it must be a Normal, or sample with marginal=False"
            )


def _is_normal(c: Coordinate) -> bool:
    return c.prior.distribution in ("Normal", "Flat") and not c.prior.truncated


def _precision(c: Coordinate) -> float:
    return float(c.prior["sigma"]) ** -2 if c.prior.distribution == "Normal" else 0.0
