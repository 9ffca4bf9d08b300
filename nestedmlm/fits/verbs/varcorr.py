"""The variance components of a fit."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from nestedmlm.covariance import split_parameters
from nestedmlm.late import late_imports
from nestedmlm.views.varcorr import VarCorr, VarCorrBlock

if TYPE_CHECKING:
    from nestedmlm.design.design import Design
    from nestedmlm.fits.lmer_fit import LmerFit
    from nestedmlm.fits.verbs.dispersion import residual_blocks, residual_notes
else:  # of residuals that differ or correlate only
    globals().update(
        late_imports("nestedmlm.fits.verbs", {"dispersion": "residual_blocks residual_notes"})
    )


def varcorr(fit: LmerFit, *, corr: bool = True) -> VarCorr:
    """Variances, standard deviations and correlations of the random effects; a view.

    Parameters
    ----------
    corr : bool
        Print standard deviations and correlations (True), or variances and covariances. The
        numbers have both.

    Returns
    -------
    VarCorr
        ``.to_frame()`` has the numbers, ``.blocks`` the covariance of each term.

    Raises
    ------
    OptionError
        If `corr` is neither True nor False.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> fit = nm.lmer("Reaction ~ Days + (Days | Subject)", nm.load_dataset("sleepstudy"))
    >>> fit.varcorr()
     Groups   Name        Std.Dev. Corr
     Subject  (Intercept) 24.7405
              Days         5.9221  0.066
     Residual             25.5918
    >>> fit.varcorr(corr=False)
     Groups   Name        Variance Cov
     Subject  (Intercept) 612.090
              Days         35.072  9.6043
     Residual             654.941
    """
    scale, plain = fit.core.scale, fit.design.residual is None
    return VarCorr(
        corr=corr,
        blocks=tuple(
            VarCorrBlock(
                name=term.name,
                factor=fit.design.factors[term.factor].name,
                columns=term.columns if term.smooth is None else (term.smooth.label,),
                cov=scale**2 * (T @ T.T if term.smooth is None else T[:1, :1] ** 2),
                structure=term.structure,
                hom=term.hom,
                par=par,
            )
            for term, T, par in zip(
                fit.design.terms,
                fit.solution.T,
                split_parameters(fit.theta, fit.solution.plan.shapes),
                strict=True,
            )
        ),
        sigma=scale if fit.core.family is None else None,
        residual=() if plain else residual_blocks(fit.solution, fit.design),
        notes=(
            *_relationship_notes(fit.design),
            *(() if plain else residual_notes(fit.solution, fit.design)),
        ),
    )


def _relationship_notes(design: Design) -> tuple[str, ...]:
    """Which factors' levels are related, and how many have rows."""
    related = (f for f in design.factors if f.basis is not None and f.kind)
    return tuple(
        f"Levels of {f.name} are related ({f.kind}): {len(f.levels):,}, "
        f"{len(np.unique(f.codes)):,} with rows"
        for f in related
    )
