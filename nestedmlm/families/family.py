"""`Family`: the distribution of a response given its mean, with the link of that mean.

A family is a record of functions. Exponential-dispersion families (McCullagh & Nelder 1989, chapter
2) say their variance function ``V(mu)`` with two derivatives; others give derivatives of the
log-density in the mean themselves. Everything per row is made of these in
`nestedmlm.families.row_terms`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from nestedmlm._typing import FloatArray
from nestedmlm.arguments import check_number, real_array
from nestedmlm.errors import NestedMLMError, OptionError, ResponseError, WeightsError
from nestedmlm.families.links import Link, Mean, mean_of
from nestedmlm.families.pymc_likelihood import PymcLikelihood


class Variance(NamedTuple):
    """A variance function and its first two derivatives in the mean."""

    V: FloatArray
    V1: FloatArray
    V2: FloatArray


class MeanDerivatives(NamedTuple):
    """Derivatives of a log-density in the mean.

    Three of the log-density itself; the expected information (minus the expectation of the second)
    and its slope; the derivatives of the first two, and of the information, in the logarithm of the
    dispersion.
    """

    first: FloatArray
    second: FloatArray
    third: FloatArray
    information: FloatArray
    information_slope: FloatArray
    first_dispersion: FloatArray
    second_dispersion: FloatArray
    information_dispersion: FloatArray


def accept(y: FloatArray, weights: FloatArray) -> None:
    """Take any response: the check of families that say nothing else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """A distribution with a link.

    Responses are `y`, and `weights` are numbers of trials where y is a share of successes, else
    prior weights. Those multiply the log-density, or divide the dispersion where `scaled`.

    Attributes
    ----------
    name : str
        As `nestedmlm.families` calls it.
    label : str
        As R prints it.
    link : Link
    dispersion : {"none", "fixed", "estimated"}
        Of the parameter beside the mean.
    dispersion_name : str
        What that parameter is called.
    dispersion_value : float or None
        Where it is fixed.
    scaled : bool
        Whether it divides the weights (Gamma, inverse Gaussian, Gaussian).
    canonical : str
        Name of the link for which the observed information is the expected one; empty: none.
    variance : callable or None
        ``(mean, dispersion) -> Variance`` of exponential-dispersion families.
    variance_slope : callable or None
        ``(mean, dispersion)`` to the derivatives of V and V' in the logarithm of the dispersion,
        where it is a parameter of the variance function.
    mean_derivatives : callable or None
        ``(y, mean, weights, dispersion) -> MeanDerivatives`` of all other families.
    log_kernel, log_constant : callable
        ``(y, mean, weights, dispersion)`` and ``(y, weights)``: their sum is the log-density of
        each row; the constant holds what neither mean nor dispersion change.
    dispersion_score : callable or None
        ``(y, mean, weights, dispersion)`` to the derivative of the log-density in the logarithm of
        the dispersion.
    unit_deviance : callable
        ``(y, mu, dispersion)`` to the deviance of each row at weight one.
    draw : callable
        ``(mu, weights, dispersion, rng)`` to a response.
    start_mean : callable
        ``(y, weights)`` to means strictly inside their range, to start from.
    start_dispersion : callable or None
        ``(y, mu, weights)`` to a first dispersion.
    check : callable
        ``(y, weights)``: raises for responses that the family cannot have made.
    pymc : PymcLikelihood or None
        How its rows are written in a PyMC model.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> family = nm.families.poisson()
    >>> family.name, family.link.name, family.dispersion
    ('poisson', 'log', 'none')
    """

    name: str
    label: str
    link: Link
    dispersion: str = "none"
    dispersion_name: str = ""
    dispersion_value: float | None = None
    scaled: bool = False
    canonical: str = ""
    variance: Callable[[Mean, float], Variance] | None = None
    variance_slope: Callable[[Mean, float], tuple[FloatArray, FloatArray]] | None = None
    mean_derivatives: Callable[[FloatArray, Mean, FloatArray, float], MeanDerivatives] | None = None
    log_kernel: Callable[[FloatArray, Mean, FloatArray, float], FloatArray]
    log_constant: Callable[[FloatArray, FloatArray], FloatArray]
    dispersion_score: Callable[[FloatArray, Mean, FloatArray, float], FloatArray] | None = None
    unit_deviance: Callable[[FloatArray, FloatArray, float], FloatArray]
    draw: Callable[[FloatArray, FloatArray, float, np.random.Generator], FloatArray]
    start_mean: Callable[[FloatArray, FloatArray], FloatArray]
    start_dispersion: Callable[[FloatArray, FloatArray, FloatArray], float] | None = None
    check: Callable[[FloatArray, FloatArray], None] = accept
    pymc: PymcLikelihood | None = None

    @property
    def has_derivatives(self) -> bool:
        """Whether there are derivatives of the density, which maximum likelihood takes."""
        return self.variance is not None or self.mean_derivatives is not None

    @property
    def has_dispersion(self) -> bool:
        """Whether a dispersion is estimated with the other parameters."""
        return self.dispersion == "estimated"

    @property
    def is_canonical(self) -> bool:
        """Whether the observed information is the expected one."""
        return self.canonical == self.link.name

    def label_at(self, dispersion: float | None) -> str:
        """The name as R prints it at a dispersion.

        Parameters
        ----------
        dispersion : float or None

        Returns
        -------
        str

        Examples
        --------
        >>> import nestedmlm as nm
        >>> nm.families.negative_binomial().label_at(0.88472)
        'Negative Binomial(0.8847)'
        """
        value = self.value_of(dispersion)
        return self.label.format(value) if "{" in self.label else self.label

    def value_of(self, dispersion: float | None) -> float:
        """The dispersion that functions take: the fixed one, the given one, or 1 where none is.

        Parameters
        ----------
        dispersion : float or None

        Returns
        -------
        float

        Raises
        ------
        OptionError
            If it is not a positive number.
        """
        if self.dispersion_value is not None:
            return self.dispersion_value
        if dispersion is None:
            return 1.0
        name = f"{self.dispersion_name or 'dispersion'} of the {self.name} family"
        return check_number(dispersion, name, positive=True)

    def with_dispersion(self, value: float) -> Family:
        """The family with its dispersion fixed.

        Parameters
        ----------
        value : float
            Positive.

        Returns
        -------
        Family

        Raises
        ------
        OptionError
            If the family has none, or the value is not positive.

        Examples
        --------
        >>> import nestedmlm as nm
        >>> nm.families.negative_binomial().with_dispersion(2.0).dispersion
        'fixed'
        """
        if self.dispersion == "none":
            raise OptionError(f"the {self.name} family has no dispersion to fix")
        name = f"{self.dispersion_name} of the {self.name} family"
        value = check_number(value, name, positive=True)
        return replace(self, dispersion="fixed", dispersion_value=value)

    def loglik(
        self, y: Any, mu: Any, weights: Any = 1.0, dispersion: float | None = None
    ) -> FloatArray:
        """Log-density of each row.

        Parameters
        ----------
        y, mu : arrays
            Responses and means.
        weights : array
            Trials, or prior weights.
        dispersion : float, optional

        Returns
        -------
        array

        Raises
        ------
        OptionError
            For what is no number, or not one for each row.
        WeightsError
            For weights below zero.

        Examples
        --------
        >>> import nestedmlm as nm
        >>> nm.families.poisson().loglik([0.0, 1.0], [1.0, 1.0]).tolist()
        [-1.0, -1.0]
        """
        y, mu, a = _same_shape(y=y, mu=mu, weights=weights)
        mean = mean_of(mu, self.link.unit)
        with np.errstate(divide="ignore", invalid="ignore"):
            kernel = self.log_kernel(y, mean, a, self.value_of(dispersion))
            return kernel + self.log_constant(y, a)

    def deviance_residuals(
        self, y: Any, mu: Any, weights: Any = 1.0, dispersion: float | None = None
    ) -> FloatArray:
        """Signed roots of the rows' deviances; their squares sum to the deviance.

        Parameters
        ----------
        y, mu, weights, dispersion
            As of `loglik`.

        Returns
        -------
        array

        Raises
        ------
        OptionError
            For what is no number, or not one for each row.
        WeightsError
            For weights below zero.

        Examples
        --------
        >>> import nestedmlm as nm
        >>> nm.families.gaussian("log").deviance_residuals([3.0, 1.0], [2.0, 2.0]).tolist()
        [1.0, -1.0]
        """
        y, mu, a = _same_shape(y=y, mu=mu, weights=weights)
        phi: Any = self.value_of(dispersion)
        with np.errstate(divide="ignore", invalid="ignore"):
            unit = self.unit_deviance(y, mu, phi / a if self.scaled else phi)
        unit = np.where(y == mu, 0.0, unit)  # also where a probability is 0 or 1 to rounding
        out: FloatArray = np.sign(y - mu) * np.sqrt(a * np.maximum(unit, 0.0))
        return out

    def variance_at(self, mu: Any, dispersion: float | None = None) -> FloatArray:
        """Variance function ``V(mu)``: variances are ``V / weights`` times a scaling dispersion.

        Parameters
        ----------
        mu : array
        dispersion : float, optional

        Returns
        -------
        array

        Raises
        ------
        OptionError
            If the family has no variance function, or for what is no number.

        Examples
        --------
        >>> import nestedmlm as nm
        >>> nm.families.gamma().variance_at([1.0, 2.0]).tolist()
        [1.0, 4.0]
        """
        if self.variance is None:
            raise OptionError(f"the {self.name} family has no variance function")
        mean = mean_of(_same_shape(mu=mu)[0], self.link.unit)
        return self.variance(mean, self.value_of(dispersion)).V

    def random(
        self,
        mu: Any,
        weights: Any = 1.0,
        dispersion: float | None = None,
        rng: np.random.Generator | int | None = None,
    ) -> FloatArray:
        """A simulated response.

        Parameters
        ----------
        mu, weights, dispersion
            As of `loglik`.
        rng : numpy.random.Generator or int, optional
            Generator, or a seed.

        Returns
        -------
        array

        Raises
        ------
        ResponseError
            For means that the family cannot have.
        OptionError, WeightsError
            As `loglik`, and for what is no generator and no seed.

        Examples
        --------
        >>> import numpy as np
        >>> import nestedmlm as nm
        >>> y = nm.families.binomial().random([0.5, 0.5], [2, 4], rng=np.random.default_rng(1))
        >>> bool(((y >= 0) & (y <= 1)).all())
        True
        """
        try:
            rng = np.random.default_rng(rng)
        except (TypeError, ValueError) as error:
            raise OptionError(f"rng must be a numpy.random.Generator or a seed ({error})") from None
        mu, a = _same_shape(mu=mu, weights=weights)
        with possible_means(self, mu):
            return self.draw(mu, a, self.value_of(dispersion), rng)


@contextmanager
def possible_means(family: Family, mu: FloatArray) -> Iterator[None]:
    """Draw within: what a generator says of means beyond the family's range, in our words.

    Raises
    ------
    ResponseError
        Where the generator refuses its parameters.
    """
    try:
        yield
    except NestedMLMError:
        raise
    except ValueError as error:
        raise ResponseError(
            f"the {family.name} family has no responses of means from {np.min(mu):.3g} to "
            f"{np.max(mu):.3g} ({error}): beside the {family.link.name} link, random effects "
            "that are drawn can take a mean out of its range; fit with a link that keeps it there "
            "(log, or logit), or condition on the random effects"
        ) from None


def _same_shape(**values: Any) -> list[FloatArray]:
    """Arguments as arrays of numbers that have one entry for each row."""
    try:
        found = list(np.broadcast_arrays(*(real_array(value) for value in values.values())))
    except (TypeError, ValueError) as error:
        raise OptionError(
            f"{', '.join(values)} must be numbers, one or one for each row ({error})"
        ) from None
    if "weights" in values and np.any(found[-1] < 0.0):
        raise WeightsError("weights must not be negative")
    return found
