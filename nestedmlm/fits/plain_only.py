"""Verbs that know nothing of other residuals than lme4's, or of Monte Carlo errors, and say so."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, wraps
from typing import Any

from nestedmlm.arguments import checked
from nestedmlm.errors import ModelComparisonError, ResidualStructureError


def refuse_residuals(fit: Any, what: str, instead: str = "") -> None:
    """Refuse a question that is not worked out for such residuals.

    Parameters
    ----------
    fit : LmerFit or Model
    what : str
        The verb.
    instead : str
        What to ask in its place.

    Raises
    ------
    ResidualStructureError
        If the fit has ``dispersion=``, ``residual=`` or ``fixed=``.
    """
    if getattr(fit, "design", None) is not None and fit.design.residual is not None:
        raise ResidualStructureError(
            f"{what} is not worked out for residuals that differ or correlate (dispersion=, "
            f"residual=){instead and ': ' + instead}"
        )
    refuse_known_sigma(fit, what, instead)


def refuse_known_sigma(fit: Any, what: str, instead: str = "") -> None:
    """Refuse a question that is not worked out for a known sigma.

    Raises
    ------
    ResidualStructureError
        If the fit has ``fixed=``.
    """
    if getattr(fit, "design", None) is not None and fit.design.sigma is not None:
        raise ResidualStructureError(
            f"{what} is not worked out for a known sigma (fixed=){instead and ': ' + instead}"
        )


def refuse_iterative(fit: Any, label: str) -> None:
    """Refuse a likelihood ratio where the criterion is known only to a Monte Carlo error.

    Parameters
    ----------
    fit : LmerFit
    label : str
        What to call it.

    Raises
    ------
    ModelComparisonError
        If the fit was eliminated iteratively.
    """
    if fit.certificate.monte_carlo_error > 0.0:
        raise ModelComparisonError(
            f"{label} was fitted by the iterative elimination, whose criterion has a Monte "
            f"Carlo error ({fit.certificate.message}): a likelihood ratio test needs exact "
            "fits. Test fixed effects by fit.contest() or fit.anova()"
        )


@cache
def plain_only(function: Callable[..., Any]) -> Callable[..., Any]:
    """Decorator of a verb: refuse fits with other residuals than lme4's."""

    @wraps(function)
    def verb(fit: Any, *args: Any, **kwargs: Any) -> Any:
        refuse_residuals(fit, function.__name__)
        return function(fit, *args, **kwargs)

    return checked(verb)


@cache
def unknown_sigma(function: Callable[..., Any]) -> Callable[..., Any]:
    """Decorator of a verb: refuse fits with a known sigma."""

    @wraps(function)
    def verb(fit: Any, *args: Any, **kwargs: Any) -> Any:
        refuse_known_sigma(fit, function.__name__)
        return function(fit, *args, **kwargs)

    return checked(verb)
