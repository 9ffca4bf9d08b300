"""`Link`: from the mean of a response to the linear predictor, back, and three derivatives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from scipy import special

from nestedmlm._typing import FloatArray

_LOG_LARGEST = 700.0  # of exponents: their exponential and its square root's products are finite
_PROBIT_LARGEST = 37.0  # predictor beyond which 1 - mu is zero to the computer
_CLOGLOG_LARGEST = 6.5  # predictor beyond which 1 - mu is below the smallest number
_CLOGLOG_LEAST = -300.0  # predictor below which the square of mu is zero to the computer
_LEAST = 1e-300  # of a probability whose logarithm is taken

type Elementwise = Callable[[FloatArray], FloatArray]
type Slopes = tuple[FloatArray, FloatArray, FloatArray]


class Mean(NamedTuple):
    """The mean, its complement ``1 - mu``, and the logarithms of both, each without cancellation.

    The complement and its logarithm are None for means that are no shares.
    """

    mu: FloatArray
    log_mu: FloatArray
    complement: FloatArray | None
    log_complement: FloatArray | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A link function ``eta = g(mu)`` and its inverse.

    Attributes
    ----------
    name : str
        As R calls it.
    eta, mu : callable
        ``g`` and its inverse, of arrays; NaN where they do not exist.
    derivatives : callable
        ``eta -> (mu', mu'', mu''')``.
    unit : bool
        Whether means are between 0 and 1.
    complement, log_mu, log_complement : callable, optional
        Of `eta`: ``1 - mu`` and the logarithms, where they can be had without cancellation.
    whole : callable, optional
        ``eta -> (Mean, derivatives)`` at once, where they have much in common.
    symbolic : callable, optional
        `mu` of PyTensor variables, of a link of one's own in a PyMC model.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> link = nm.families.binomial("logit").link
    >>> float(link.mu(link.eta(0.25)))
    0.25
    """

    name: str
    eta: Elementwise
    mu: Elementwise
    derivatives: Callable[[FloatArray], tuple[FloatArray, FloatArray, FloatArray]]
    unit: bool = False
    complement: Elementwise | None = None
    log_mu: Elementwise | None = None
    log_complement: Elementwise | None = None
    whole: Callable[[FloatArray], tuple[Mean, Slopes]] | None = None
    symbolic: Callable[[Any], Any] | None = None

    def mean_and_derivatives(self, eta: FloatArray) -> tuple[Mean, Slopes]:
        """The mean with its logarithms, and its three derivatives in eta.

        Parameters
        ----------
        eta : array

        Returns
        -------
        mean : Mean
        derivatives : tuple of three arrays
        """
        if self.whole is not None:
            return self.whole(eta)
        return self.mean(eta), self.derivatives(eta)

    def mean(self, eta: FloatArray) -> Mean:
        """Everything that densities need of the mean at a linear predictor.

        Parameters
        ----------
        eta : array

        Returns
        -------
        Mean
        """
        if self.whole is not None:
            return self.whole(eta)[0]
        mu = self.mu(eta)
        log_mu = np.log(mu) if self.log_mu is None else self.log_mu(eta)
        if not self.unit:
            return Mean(mu, log_mu, None, None)
        rest = 1.0 - mu if self.complement is None else self.complement(eta)
        log_rest = np.log(rest) if self.log_complement is None else self.log_complement(eta)
        return Mean(mu, log_mu, rest, log_rest)


def mean_of(mu: FloatArray, unit: bool) -> Mean:
    """The same from the mean itself.

    Parameters
    ----------
    mu : array
    unit : bool
        Whether it is a share.

    Returns
    -------
    Mean
    """
    mu = np.asarray(mu, dtype=float)
    with np.errstate(divide="ignore", invalid="ignore"):
        if not unit:
            return Mean(mu, np.log(mu), None, None)
        return Mean(mu, np.log(mu), 1.0 - mu, np.log1p(-mu))


def _logit(eta: FloatArray) -> tuple[Mean, Slopes]:
    small = np.exp(-np.abs(eta))
    larger = 1.0 / (1.0 + small)
    smaller = small * larger
    upper = eta >= 0.0
    mu, rest = np.where(upper, larger, smaller), np.where(upper, smaller, larger)
    log_rest = -np.log1p(small) - np.maximum(eta, 0.0)
    first = larger * smaller
    slopes = first, first * (rest - mu), first * (1.0 - 6.0 * first)
    return Mean(mu, log_rest + eta, rest, log_rest), slopes


def _logit_derivatives(eta: FloatArray) -> Slopes:
    return _logit(eta)[1]


def _density(eta: FloatArray) -> FloatArray:
    out: FloatArray = np.exp(-0.5 * eta * eta) / np.sqrt(2.0 * np.pi)
    return out


def _visible(eta: FloatArray) -> FloatArray:
    """The predictor, as far as the probit's mean and its complement are both positive."""
    return np.clip(eta, -_PROBIT_LARGEST, _PROBIT_LARGEST)


def _probit_derivatives(eta: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    eta = _visible(eta)
    first = _density(eta)
    return first, -eta * first, (eta * eta - 1.0) * first


# Python's functions around SciPy's: pickle looks for those without a module's name in all modules
def _log_odds(mu: FloatArray) -> FloatArray:
    return special.logit(mu)  # type: ignore[no-any-return]


def _from_log_odds(eta: FloatArray) -> FloatArray:
    return special.expit(eta)  # type: ignore[no-any-return]


def _probit_eta(mu: FloatArray) -> FloatArray:
    return special.ndtri(mu)  # type: ignore[no-any-return]


def _probit_mu(eta: FloatArray) -> FloatArray:
    return special.ndtr(_visible(eta))  # type: ignore[no-any-return]


def _probit_log_mu(eta: FloatArray) -> FloatArray:
    return special.log_ndtr(eta)  # type: ignore[no-any-return]


def _probit_complement(eta: FloatArray) -> FloatArray:
    return special.ndtr(-_visible(eta))  # type: ignore[no-any-return]


def _probit_log_complement(eta: FloatArray) -> FloatArray:
    return special.log_ndtr(-eta)  # type: ignore[no-any-return]


def _hazard(eta: FloatArray) -> FloatArray:
    """``exp(eta)``, as far as ``exp(-exp(eta))`` is a number, and its own square is."""
    out: FloatArray = np.exp(np.clip(eta, _CLOGLOG_LEAST, _CLOGLOG_LARGEST))
    return out


def _cloglog_eta(mu: FloatArray) -> FloatArray:
    out: FloatArray = np.log(-np.log1p(-mu))
    return out


def _cloglog_mu(eta: FloatArray) -> FloatArray:
    out: FloatArray = -np.expm1(-_hazard(eta))
    return out


def _cloglog_complement(eta: FloatArray) -> FloatArray:
    out: FloatArray = np.exp(-_hazard(eta))
    return out


def _cloglog_log_mu(eta: FloatArray) -> FloatArray:
    out: FloatArray = np.log(np.maximum(-np.expm1(-np.exp(np.minimum(eta, _LOG_LARGEST))), _LEAST))
    return out


def _cloglog_log_complement(eta: FloatArray) -> FloatArray:
    out: FloatArray = -np.exp(np.minimum(eta, _LOG_LARGEST))
    return out


def _cloglog_derivatives(eta: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    x = _hazard(eta)
    first = x * np.exp(-x)
    return first, first * (1.0 - x), first * (1.0 - 3.0 * x + x * x)


def _cauchit_eta(mu: FloatArray) -> FloatArray:
    out: FloatArray = np.tan(np.pi * (mu - 0.5))
    return out


def _cauchit_mu(eta: FloatArray) -> FloatArray:
    # arctan(-1 / eta) / pi is the lower tail without cancellation
    out: FloatArray = np.arctan2(1.0, -eta) / np.pi
    return out


def _cauchit_complement(eta: FloatArray) -> FloatArray:
    return _cauchit_mu(-eta)


def _cauchit_derivatives(eta: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    q = 1.0 + eta * eta
    first = 1.0 / (np.pi * q)
    return first, -2.0 * eta * first / q, first * (6.0 * eta * eta - 2.0) / (q * q)


def _exponential(eta: FloatArray) -> FloatArray:
    out: FloatArray = np.exp(np.minimum(eta, _LOG_LARGEST))
    return out


def _log_derivatives(eta: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    mu = _exponential(eta)
    return mu, mu, mu


def _itself(x: FloatArray) -> FloatArray:
    return np.asarray(x, dtype=float)


def _positive_square(eta: FloatArray) -> FloatArray:
    out: FloatArray = np.square(eta)
    return out


def _sqrt_derivatives(eta: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    return 2.0 * eta, np.full_like(eta, 2.0), np.zeros_like(eta)


def _identity_derivatives(eta: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    return np.ones_like(eta), np.zeros_like(eta), np.zeros_like(eta)


def _inverse_derivatives(eta: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    mu = 1.0 / eta
    square = mu * mu
    return -square, 2.0 * square * mu, -6.0 * square * square


def _inverse_square(mu: FloatArray) -> FloatArray:
    out: FloatArray = 1.0 / np.square(mu)
    return out


def _inverse_root(eta: FloatArray) -> FloatArray:
    with np.errstate(divide="ignore", invalid="ignore"):  # no mean: NaN
        out: FloatArray = 1.0 / np.sqrt(eta)
    return out


def _inverse_square_derivatives(eta: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    first = -0.5 * eta**-1.5
    return first, -1.5 * first / eta, 3.75 * first / (eta * eta)


LINKS: dict[str, Link] = {
    link.name: link
    for link in (
        Link(
            name="logit",
            eta=_log_odds,
            mu=_from_log_odds,
            derivatives=_logit_derivatives,
            unit=True,
            whole=_logit,
        ),
        Link(
            name="probit",
            eta=_probit_eta,
            mu=_probit_mu,
            derivatives=_probit_derivatives,
            unit=True,
            complement=_probit_complement,
            log_mu=_probit_log_mu,
            log_complement=_probit_log_complement,
        ),
        Link(
            name="cloglog",
            eta=_cloglog_eta,
            mu=_cloglog_mu,
            derivatives=_cloglog_derivatives,
            unit=True,
            complement=_cloglog_complement,
            log_mu=_cloglog_log_mu,
            log_complement=_cloglog_log_complement,
        ),
        Link(
            name="cauchit",
            eta=_cauchit_eta,
            mu=_cauchit_mu,
            derivatives=_cauchit_derivatives,
            unit=True,
            complement=_cauchit_complement,
        ),
        Link(name="log", eta=np.log, mu=_exponential, derivatives=_log_derivatives, log_mu=_itself),
        Link(name="sqrt", eta=np.sqrt, mu=_positive_square, derivatives=_sqrt_derivatives),
        Link(name="identity", eta=_itself, mu=_itself, derivatives=_identity_derivatives),
        Link(
            name="inverse",
            eta=np.reciprocal,
            mu=np.reciprocal,
            derivatives=_inverse_derivatives,
        ),
        Link(
            name="1/mu^2",
            eta=_inverse_square,
            mu=_inverse_root,
            derivatives=_inverse_square_derivatives,
        ),
    )
}
