"""What inference needs of a fit, taken out of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nestedmlm.inference.effects.variance_derivatives import FitParts

if TYPE_CHECKING:
    from nestedmlm.fits.lmer_fit import LmerFit
    from nestedmlm.inference.effects.variance_derivatives import FitParts


def fit_parts(fit: LmerFit) -> FitParts:
    """The design, the solution and how it was found."""
    return FitParts(design=fit.design, solution=fit.solution, REML=fit.REML, penalty=fit.penalty)
