"""`Control`: settings of the optimizer."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """Settings of the optimizer; the defaults are meant to be left alone.

    Attributes
    ----------
    tolerance : float
        Stop when a Newton step promises less than this many deviance units.
    escape_tolerance : float
        Largest promised decrease (deviance units) along a new direction at a certified optimum.
    max_evaluations : int
        Evaluations of the criterion before giving up.
    snap : float
        Relative standard deviations (scaled columns) below this are tried at exactly zero.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> data = nm.load_dataset("Dyestuff")
    >>> nm.lmer("Yield ~ 1 + (1 | Batch)", data, control=nm.Control(tolerance=1e-10)).converged
    True
    """

    tolerance: float = 1e-12
    escape_tolerance: float = 1e-6
    max_evaluations: int = 500
    snap: float = 1e-2
