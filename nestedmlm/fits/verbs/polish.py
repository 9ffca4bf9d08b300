"""`fit.polish()`: from where an optimizer has stopped to the optimum."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nestedmlm.fits.lmer_fit import LmerFit


def polish(fit: LmerFit) -> LmerFit:
    """Go on to the optimum from where this fit has stopped.

    Returns
    -------
    LmerFit
        A new fit with a certificate; its criterion is not above this fit's.

    Warns
    -----
    ConvergenceWarning
        If the optimum is not certified.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> from nestedmlm import lme4
    >>> sleepstudy = nm.load_dataset("sleepstudy")
    >>> stopped = lme4.lmer("Reaction ~ Days + (Days | Subject)", sleepstudy)
    >>> stopped.converged, stopped.certificate.gap < 1e-6
    (False, True)
    >>> fit = stopped.polish()
    >>> fit.converged
    True
    >>> [f.theta.round(5).tolist() for f in (stopped, fit)]
    [[0.96674, 0.01517, 0.23091], [0.96673, 0.01517, 0.23091]]
    """
    return fit.refitted(fit.design, stats=fit.solution.stats)
