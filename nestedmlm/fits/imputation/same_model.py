"""Check that fits are of the same model, so that they can be pooled."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from nestedmlm.errors import OptionError

if TYPE_CHECKING:
    from nestedmlm.fits.glmer_fit import GlmerFit
    from nestedmlm.fits.lmer_fit import LmerFit


def check_same_model(fits: Sequence[LmerFit | GlmerFit]) -> None:
    """Refuse fits that cannot be pooled.

    Raises
    ------
    OptionError
        For fewer than two fits, other models, or a mixture of criteria.
    """
    if len(fits) < 2:
        raise OptionError(f"pooling needs the fits of two data sets or more, not {len(fits)}")
    first = fits[0]
    for number, fit in enumerate(fits[1:], start=2):
        if (fit.formula, fit.design.x_names) != (first.formula, first.design.x_names):
            raise OptionError(
                f"fit {number} has other coefficients than the first: "
                f"{', '.join(fit.design.x_names)} ({fit.formula}) and "
                f"{', '.join(first.design.x_names)} ({first.formula})"
            )
        if fit.nobs != first.nobs:
            raise OptionError(
                f"fit {number} has {fit.nobs} rows and the first {first.nobs}: imputed data sets "
                "have the same rows, with no value missing (parts of one table are put end to end "
                "first, or each is summed: nm.summarise)"
            )
        if _likelihood(fit) != _likelihood(first):
            raise OptionError(
                f"fit {number} is of another family, link, approximation or structure of residuals "
                "than the first"
            )
        if fit.REML != first.REML:
            raise OptionError("fits by REML and by maximum likelihood cannot be pooled together")


def _likelihood(fit: Any) -> tuple[Any, ...]:
    """What is alike in fits that can be pooled: family, link, quadrature; residuals."""
    family, residual = fit.core.family, fit.design.residual
    if family is not None:
        return (family.name, family.link.name, fit.core.approximation)
    return (() if residual is None else residual.arguments.texts, fit.design.sigma)
