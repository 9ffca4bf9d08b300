"""Priors of the fixed effects that are more than a density of each: factors of the joint density.

A prior of a linear combination multiplies in. A prior with hyperparameters is a density of
coefficients given other variables, where it lies and how wide it is: of ordinary hyperpriors, of
the horseshoe, of R2D2. All of them here are normal given these, so that coefficients can be
integrated out of them (`nestedmlm.bayes.density.collapsed_density`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from nestedmlm._typing import FloatArray, IntArray
from nestedmlm.bayes.density.log_priors import LogDensity
from nestedmlm.bayes.model.distributions import Prior

_LOG_2PI = float(np.log(2.0 * np.pi))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CombinationPrior:
    """The prior of a linear combination, as a factor of the density.

    Attributes
    ----------
    name : str
        The combination as it was written.
    prior : Prior
    at : (p,) array of int
        Places of the coefficients among the variables.
    L : (p,) array
        Of the coefficients that are sampled (the intercept at the predictors' means).
    constant : float
    density : LogDensity
        Of the prior.
    """

    name: str
    prior: Prior
    at: IntArray
    L: FloatArray
    constant: float
    density: LogDensity

    def log_density(
        self, x: FloatArray, variance: FloatArray | None = None
    ) -> tuple[FloatArray, FloatArray]:
        """Log-density at variables (…, d), and its gradient in them."""
        value, slope = self.density((x[..., self.at] @ self.L + self.constant)[..., None])
        gradient = np.zeros(x.shape)
        gradient[..., self.at] = slope * self.L
        return value[..., 0], gradient


class Spread(Protocol):
    """Logarithms of the standard deviations of some coefficients, made of other variables."""

    def log_scales(self, x: FloatArray) -> FloatArray:
        """They at variables (…, d): (…, q)."""
        ...

    def pull(self, x: FloatArray, bar: FloatArray, gradient: FloatArray) -> None:
        """Add to a gradient in the variables what the adjoint of the logarithms makes of it."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class OwnSpread:
    """One standard deviation for all: a variable, or a number.

    Attributes
    ----------
    at : int or None
    value : float
    """

    at: int | None
    value: float

    def log_scales(self, x: FloatArray) -> FloatArray:
        """See `Spread`."""
        if self.at is None:
            return np.full((*x.shape[:-1], 1), np.log(self.value))
        out: FloatArray = np.log(x[..., [self.at]])
        return out

    def pull(self, x: FloatArray, bar: FloatArray, gradient: FloatArray) -> None:
        """See `Spread`."""
        if self.at is not None:
            gradient[..., self.at] += bar.sum(axis=-1) / x[..., self.at]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class HorseshoeSpread:
    """Standard deviations of the regularised horseshoe (Piironen & Vehtari 2017, eq. 2.8).

    Attributes
    ----------
    whole, slab : int
        Places of tau over its scale, and of ``c^2`` over its own.
    local : (q,) array of int
    sigma : int or None
        None: one unit of the link's scale.
    log_scale, log_slab : float
        Logarithms of the scales of tau (over sigma) and of ``c^2``.
    log_spreads : (q,) array
        Of the predictors.
    """

    whole: int
    slab: int
    local: IntArray
    sigma: int | None
    log_scale: float
    log_slab: float
    log_spreads: FloatArray

    def _free(self, x: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Logarithms without the slab, and the slab's share (0 to 1)."""
        free = self.log_scale + np.log(x[..., [self.whole]]) + np.log(x[..., self.local])
        if self.sigma is not None:
            free = free + np.log(x[..., [self.sigma]])
        over = 2.0 * free - self.log_slab - np.log(x[..., [self.slab]])
        return free, over

    def log_scales(self, x: FloatArray) -> FloatArray:
        """See `Spread`."""
        free, over = self._free(x)
        return free - 0.5 * np.logaddexp(0.0, over) - self.log_spreads

    def pull(self, x: FloatArray, bar: FloatArray, gradient: FloatArray) -> None:
        """See `Spread`."""
        _, over = self._free(x)
        slab = 0.5 * (1.0 + np.tanh(0.5 * over))
        of_free = bar * (1.0 - slab)
        gradient[..., self.local] += of_free / x[..., self.local]
        gradient[..., self.whole] += of_free.sum(axis=-1) / x[..., self.whole]
        if self.sigma is not None:
            gradient[..., self.sigma] += of_free.sum(axis=-1) / x[..., self.sigma]
        gradient[..., self.slab] += 0.5 * (bar * slab).sum(axis=-1) / x[..., self.slab]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class R2D2Spread:
    """Standard deviations of R2D2: a share of the variance that is explained.

    Attributes
    ----------
    r2 : int
    stick : (q - 1,) array of int
    sigma : int or None
        None: one unit of the link's scale.
    log_spreads : (q,) array
        Of the predictors.
    """

    r2: int
    stick: IntArray
    sigma: int | None
    log_spreads: FloatArray

    def log_scales(self, x: FloatArray) -> FloatArray:
        """See `Spread`."""
        r2 = x[..., [self.r2]]
        out = 0.5 * (np.log(r2) - np.log1p(-r2) + log_shares(x[..., self.stick]))
        if self.sigma is not None:
            out = out + np.log(x[..., [self.sigma]])
        return out - self.log_spreads

    def pull(self, x: FloatArray, bar: FloatArray, gradient: FloatArray) -> None:
        """See `Spread`."""
        whole, r2, stick = bar.sum(axis=-1), x[..., self.r2], x[..., self.stick]
        gradient[..., self.r2] += 0.5 * whole / (r2 * (1.0 - r2))
        if self.sigma is not None:
            gradient[..., self.sigma] += whole / x[..., self.sigma]
        after = np.cumsum(bar[..., :0:-1], axis=-1)[..., ::-1]  # of the slopes that follow
        gradient[..., self.stick] += 0.5 * (bar[..., :-1] / stick - after / (1.0 - stick))


def log_shares(stick: FloatArray) -> FloatArray:
    """Logarithms of q shares, of what q - 1 of them take of what those before leave."""
    none = np.zeros((*stick.shape[:-1], 1))
    left = np.concatenate([none, np.cumsum(np.log1p(-stick), axis=-1)], axis=-1)
    return left + np.concatenate([np.log(stick), none], axis=-1)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ConditionalPrior:
    """A normal prior of some coefficients given other variables.

    Attributes
    ----------
    names : tuple of str
        Of the coefficients.
    at : (q,) array of int
    centre : int or float
        The variable in the middle (an int), or a number.
    spread : Spread
    """

    names: tuple[str, ...]
    at: IntArray
    centre: int | float
    spread: Spread

    def _middle(self, x: FloatArray) -> FloatArray | float:
        return x[..., [self.centre]] if isinstance(self.centre, int) else self.centre

    def log_density(
        self, x: FloatArray, variance: FloatArray | None = None
    ) -> tuple[FloatArray, FloatArray]:
        """Log-density at variables (…, d), and its gradient in them.

        With a variance of each variable the gradient is its mean over coefficients that have it.
        """
        log_s = self.spread.log_scales(x)
        s = np.exp(log_s)
        z = (x[..., self.at] - self._middle(x)) / s
        gradient, squares = np.zeros(x.shape), z * z
        if variance is not None:
            squares = squares + variance[..., self.at] / s**2
        gradient[..., self.at] = -z / s
        if isinstance(self.centre, int):
            gradient[..., self.centre] += (z / s).sum(axis=-1)
        self.spread.pull(x, np.broadcast_to(squares - 1.0, z.shape), gradient)
        each = -0.5 * z * z - log_s - 0.5 * _LOG_2PI
        return each.sum(axis=-1), gradient

    def each(self, x: FloatArray) -> FloatArray:
        """Log-density of every coefficient, (…, q)."""
        log_s = self.spread.log_scales(x)
        z = (x[..., self.at] - self._middle(x)) * np.exp(-log_s)
        out: FloatArray = -0.5 * z * z - log_s - 0.5 * _LOG_2PI
        return out

    def precision(self, x: FloatArray) -> FloatArray:
        """Of the coefficients, (…, q)."""
        out: FloatArray = np.exp(-2.0 * self.spread.log_scales(x)) + np.zeros(len(self.at))
        return out

    def draw(self, x: FloatArray, rng: np.random.Generator) -> FloatArray:
        """Coefficients (n, q) given the other variables in rows (n, d)."""
        z = rng.standard_normal((len(x), len(self.at)))
        out: FloatArray = self._middle(x) + np.exp(self.spread.log_scales(x)) * z
        return out


Factor = CombinationPrior | ConditionalPrior
