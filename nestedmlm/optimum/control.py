"""`Control`: settings of the optimizer."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

from nestedmlm.arguments import check_count, check_number
from nestedmlm.errors import OptionError

OPTIMIZERS = ("newton", "pytensor", "lme4")
METHODS = ("auto", "exact", "iterative")


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """Settings of the optimizer; the defaults are meant to be left alone.

    Attributes
    ----------
    optimizer : {"newton", "pytensor", "lme4"}
        ``newton`` goes to the optimum and certifies it; ``pytensor`` does so by the compiled graph
        of `Model.pytensor`, which is slower and gives the same fit. ``lme4`` stops where lme4's
        default optimizer stops, with its start, bounds and tolerances: for printed digits that must
        be lme4's. The other settings are those of ``newton``.
    tolerance : float
        Stop when a Newton step promises less than this many deviance units.
    escape_tolerance : float
        Largest promised decrease (deviance units) along a new direction at a certified optimum.
    max_evaluations : int
        Evaluations of the criterion before giving up.
    snap : float
        Relative standard deviations (scaled columns) below this are tried at exactly zero.
    method : {"auto", "exact", "iterative"}
        How crossed grouping factors are eliminated: exactly, in a dense block whose memory grows
        with the square of its columns, or iteratively, with a Monte Carlo error of theta below 2 %
        of its standard errors. ``"auto"``: exactly where the block fits into memory.

    Raises
    ------
    OptionError
        For an unknown optimizer or method, for tolerances that are no numbers from zero on, for
        `max_evaluations` that is no positive integer, and for settings beside ``optimizer="lme4"``.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> data = nm.load_dataset("Dyestuff")
    >>> nm.lmer("Yield ~ 1 + (1 | Batch)", data, control=nm.Control(tolerance=1e-10)).converged
    True
    >>> stopped = nm.lmer("Yield ~ 1 + (1 | Batch)", data, control=nm.Control(optimizer="lme4"))
    >>> stopped.certificate.evaluations
    17
    """

    optimizer: str = "newton"
    tolerance: float = 1e-12
    escape_tolerance: float = 1e-6
    max_evaluations: int = 500
    snap: float = 1e-2
    method: str = "auto"

    def __post_init__(self) -> None:
        if not isinstance(self.optimizer, str) or self.optimizer not in OPTIMIZERS:
            known = ", ".join(OPTIMIZERS)
            raise OptionError(f"optimizer={self.optimizer!r} is unknown; known: {known}")
        if not isinstance(self.method, str) or self.method not in METHODS:
            raise OptionError(f"method must be one of {', '.join(METHODS)}, not {self.method!r}")
        for name in ("tolerance", "escape_tolerance", "snap"):
            if check_number(getattr(self, name), name) < 0:
                raise OptionError(f"{name} must not be negative, got {getattr(self, name)!r}")
        check_count(self.max_evaluations, "max_evaluations")
        changed = [f.name for f in fields(self)[1:] if getattr(self, f.name) != f.default]
        if self.optimizer == "lme4" and changed:
            raise OptionError(
                f"optimizer='lme4' has lme4's settings: {', '.join(changed)} cannot be chosen"
            )

    def by(self, method: str | None) -> Control:
        """These settings with another optimizer.

        Parameters
        ----------
        method : {"newton", "pytensor", "lme4"} or None
            None: as it is.

        Raises
        ------
        OptionError
            If there is no such optimizer, or these settings name a different one.

        Examples
        --------
        >>> import nestedmlm as nm
        >>> nm.Control(tolerance=1e-10).by("pytensor").optimizer
        'pytensor'
        """
        if method is None or method == self.optimizer:
            return self
        if self.optimizer != OPTIMIZERS[0]:
            raise OptionError(
                f"method={method!r} and control=Control(optimizer={self.optimizer!r}) name "
                "different optimizers"
            )
        if method not in OPTIMIZERS:
            raise OptionError(
                f"method must be one of {', '.join(OPTIMIZERS)}, not {method!r} (how crossed "
                f"factors are eliminated, {', '.join(METHODS)}, is control=Control(method=...))"
            )
        return replace(self, optimizer=method)


DEFAULT = Control()  # frozen: one for all fits that ask for no other
