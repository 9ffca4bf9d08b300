"""What inference needs of a fit, taken out of it (layer 7)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nestedmlm.fit import LmerFit
    from nestedmlm.inference.moments import FitParts


def fit_parts(fit: LmerFit) -> FitParts:
    """The design, the solution and how it was found."""
    from nestedmlm.inference.moments import FitParts

    return FitParts(design=fit.design, solution=fit.solution, REML=fit.REML, penalty=fit.penalty)
