"""Families by name, each made with the link of one's choice."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from functools import partial

from nestedmlm.arguments import check_number
from nestedmlm.errors import OptionError
from nestedmlm.families import beta_density as b
from nestedmlm.families import exponential as e
from nestedmlm.families import pymc_likelihood as pymc
from nestedmlm.families import student_t_density as t
from nestedmlm.families.family import Family
from nestedmlm.families.links import LINKS, Link

SHARES = ("logit", "probit", "cloglog", "cauchit")


def choose_link(family: str, link: str | Link, known: Iterable[str]) -> Link:
    """A link of a family, by name or as it is.

    Parameters
    ----------
    family : str
        For messages.
    link : str or Link
    known : iterable of str
        Links that the family may have.

    Returns
    -------
    Link

    Raises
    ------
    OptionError
        For another name; lists all and the nearest.
    """
    if isinstance(link, Link):
        return link
    names = list(known)
    if isinstance(link, str) and link in names:
        return LINKS[link]
    near = difflib.get_close_matches(str(link).casefold(), names, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise OptionError(
        f"link={link!r} is no link of the {family} family; known: {', '.join(names)}, or a "
        f"nestedmlm.families.Link{hint}"
    )


def binomial(link: str | Link = "logit") -> Family:
    """Binomial family: shares of successes among trials, 0/1 with one trial each.

    Parameters
    ----------
    link : {"logit", "probit", "cloglog", "cauchit"} or Link

    Returns
    -------
    Family

    Raises
    ------
    OptionError
        For a link that is unknown, or that this family has not.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> nm.families.binomial("probit").link.name
    'probit'
    """
    return Family(
        name="binomial",
        label="binomial",
        link=choose_link("binomial", link, SHARES),
        canonical="logit",
        variance=e.binomial_variance,
        log_kernel=e.binomial_kernel,
        log_constant=e.binomial_constant,
        unit_deviance=e.binomial_deviance,
        draw=e.binomial_draw,
        start_mean=e.binomial_start,
        pymc=pymc.BINOMIAL,
    )


def poisson(link: str | Link = "log") -> Family:
    """Poisson family: counts.

    Parameters
    ----------
    link : {"log", "sqrt", "identity"} or Link

    Returns
    -------
    Family

    Raises
    ------
    OptionError
        For a link that is unknown, or that this family has not.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> nm.families.poisson().link.name
    'log'
    """
    return Family(
        name="poisson",
        label="poisson",
        link=choose_link("poisson", link, ("log", "sqrt", "identity")),
        canonical="log",
        variance=e.poisson_variance,
        log_kernel=e.poisson_kernel,
        log_constant=e.poisson_constant,
        unit_deviance=e.poisson_deviance,
        draw=e.poisson_draw,
        start_mean=e.count_start,
        pymc=pymc.POISSON,
    )


def negative_binomial(theta: float | None = None, link: str | Link = "log") -> Family:
    """Negative binomial family: counts with variance ``mu + mu^2 / theta``.

    Parameters
    ----------
    theta : float, optional
        Fixed; without it, it is estimated with the other parameters.
    link : {"log", "sqrt", "identity"} or Link

    Returns
    -------
    Family

    Raises
    ------
    OptionError
        For a theta that is not positive, or a link that this family has not.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> nm.families.negative_binomial().dispersion
    'estimated'
    >>> nm.families.negative_binomial(theta=2).dispersion_value
    2.0
    """
    made = Family(
        name="negativebinomial",
        label="Negative Binomial({:.4g})",
        link=choose_link("negativebinomial", link, ("log", "sqrt", "identity")),
        dispersion="estimated",
        dispersion_name="theta",
        variance=e.negative_binomial_variance,
        variance_slope=e.negative_binomial_slope,
        log_kernel=e.negative_binomial_kernel,
        log_constant=e.poisson_constant,
        dispersion_score=e.negative_binomial_score,
        unit_deviance=e.negative_binomial_deviance,
        draw=e.negative_binomial_draw,
        start_mean=e.count_start,
        start_dispersion=e.negative_binomial_start,
        pymc=pymc.NEGATIVE_BINOMIAL,
    )
    return made if theta is None else made.with_dispersion(theta)


def gamma(link: str | Link = "log") -> Family:
    """Gamma family: positive numbers with a constant coefficient of variation.

    Its dispersion is the square of that coefficient at weight one; weights divide it.

    Parameters
    ----------
    link : {"log", "inverse", "identity"} or Link

    Returns
    -------
    Family

    Raises
    ------
    OptionError
        For a link that is unknown, or that this family has not.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> nm.families.gamma("inverse").label
    'Gamma'
    """
    return Family(
        name="gamma",
        label="Gamma",
        link=choose_link("gamma", link, ("log", "inverse", "identity")),
        dispersion="estimated",
        dispersion_name="dispersion",
        scaled=True,
        variance=e.gamma_variance,
        log_kernel=e.gamma_kernel,
        log_constant=e.gamma_constant,
        dispersion_score=e.gamma_score,
        unit_deviance=e.gamma_deviance,
        draw=e.gamma_draw,
        start_mean=e.positive_start,
        start_dispersion=e.gamma_start,
        pymc=pymc.GAMMA,
        canonical="inverse",
    )


def inverse_gaussian(link: str | Link = "log") -> Family:
    """Inverse Gaussian family: positive numbers with variance ``dispersion mu^3``.

    Parameters
    ----------
    link : {"log", "inverse", "identity", "1/mu^2"} or Link

    Returns
    -------
    Family

    Raises
    ------
    OptionError
        For a link that is unknown, or that this family has not.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> nm.families.inverse_gaussian().label
    'inverse.gaussian'
    """
    return Family(
        name="inverse_gaussian",
        label="inverse.gaussian",
        link=choose_link("inverse_gaussian", link, ("log", "inverse", "identity", "1/mu^2")),
        dispersion="estimated",
        dispersion_name="dispersion",
        scaled=True,
        variance=e.inverse_gaussian_variance,
        log_kernel=e.inverse_gaussian_kernel,
        log_constant=e.inverse_gaussian_constant,
        dispersion_score=e.inverse_gaussian_score,
        unit_deviance=e.inverse_gaussian_deviance,
        draw=e.inverse_gaussian_draw,
        start_mean=e.positive_start,
        start_dispersion=e.inverse_gaussian_start,
        pymc=pymc.INVERSE_GAUSSIAN,
        canonical="1/mu^2",
    )


def gaussian(link: str | Link = "log") -> Family:
    """Gaussian family with a link; with the identity it is the linear model of `nestedmlm.lmer`.

    Parameters
    ----------
    link : {"log", "inverse", "identity"} or Link

    Returns
    -------
    Family

    Raises
    ------
    OptionError
        For a link that is unknown, or that this family has not.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> nm.families.gaussian("log").dispersion_name
    'sigma^2'
    """
    return Family(
        name="gaussian",
        label="gaussian",
        link=choose_link("gaussian", link, ("log", "inverse", "identity")),
        dispersion="estimated",
        dispersion_name="sigma^2",
        scaled=True,
        variance=e.gaussian_variance,
        log_kernel=e.gaussian_kernel,
        log_constant=e.gaussian_constant,
        dispersion_score=e.gaussian_score,
        unit_deviance=e.gaussian_deviance,
        draw=e.gaussian_draw,
        start_mean=e.positive_start,
        start_dispersion=e.gaussian_start,
        pymc=pymc.GAUSSIAN,
        canonical="identity",
    )


def beta(link: str | Link = "logit") -> Family:
    """Beta family: shares strictly between 0 and 1, with precision ``phi`` as dispersion.

    Parameters
    ----------
    link : {"logit", "probit", "cloglog", "cauchit"} or Link

    Returns
    -------
    Family

    Raises
    ------
    OptionError
        For a link that is unknown, or that this family has not.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> nm.families.beta().dispersion_name
    'phi'
    """
    return Family(
        name="beta",
        label="beta",
        link=choose_link("beta", link, SHARES),
        dispersion="estimated",
        dispersion_name="phi",
        variance=b.beta_variance,
        mean_derivatives=b.beta_derivatives,
        log_kernel=b.beta_kernel,
        log_constant=b.beta_constant,
        dispersion_score=b.beta_score,
        unit_deviance=b.beta_deviance,
        draw=b.beta_draw,
        start_mean=b.share_start,
        start_dispersion=b.beta_start,
        pymc=pymc.BETA,
    )


def student_t(nu: float | None = None, link: str | Link = "identity") -> Family:
    """Student's t family: numbers with outliers, for robust linear mixed models.

    Of posteriors only (`nestedmlm.pymc_glmer`): its density is not concave, and there is no maximum
    likelihood of it here.

    Parameters
    ----------
    nu : float, optional
        Degrees of freedom; without it, they are sampled with the other parameters.
    link : {"identity", "log", "inverse"} or Link

    Returns
    -------
    Family

    Raises
    ------
    OptionError
        For degrees of freedom that are not positive, or a link that this family has not.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> [parameter.name for parameter in nm.families.student_t().pymc.parameters]
    ['sigma', 'nu']
    """
    if nu is not None:
        nu = check_number(nu, "nu", positive=True)
    return Family(
        name="t",
        label="t",
        link=choose_link("t", link, ("identity", "log", "inverse")),
        dispersion="estimated",
        dispersion_name="sigma^2",
        scaled=True,
        log_kernel=partial(t.t_kernel, nu=nu),
        log_constant=t.t_constant,
        unit_deviance=partial(t.t_deviance, nu=nu),
        draw=partial(t.t_draw, nu=nu),
        start_mean=e.positive_start,
        start_dispersion=e.gaussian_start,
        pymc=pymc.PymcLikelihood(
            distribution=partial(t.t_rows, nu=nu),
            parameters=t.t_parameters(nu),
            known_parameter=nu,
            log_density=partial(t.t_density_at, nu=nu),
            draw=partial(t.t_draw_at, nu=nu),
        ),
    )
