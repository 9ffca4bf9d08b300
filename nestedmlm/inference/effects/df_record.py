"""`DfMethod`: a covariance of the fixed effects with its degrees of freedom, for any contrast."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from nestedmlm._typing import FloatArray
from nestedmlm.errors import OptionError

ROBUST_TYPES = ("CR0", "CR1", "CR2", "CR3")


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterRobust:
    """Cluster-robust covariance: which one, and what the clusters are.

    Parameters
    ----------
    type : {"CR2", "CR0", "CR1", "CR3"}
        CR2 is right in expectation if the model is; CR3 is somewhat too large, CR0 too small.
    cluster : str, optional
        A grouping factor in which all others are nested; by default the one there is.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> fit = nm.lmer("strength ~ 1 + (1 | batch/cask)", nm.load_dataset("Pastes"))
    >>> robust = nm.ClusterRobust(type="CR3", cluster="batch")
    >>> fit.cov_params(robust).round(3)
                 (Intercept)
    (Intercept)        0.509
    """

    type: str = "CR2"
    cluster: str | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.type, str) or self.type not in ROBUST_TYPES:
            raise OptionError(
                f"vcov={self.type!r} is unknown; known: {', '.join(ROBUST_TYPES)} (cluster-robust)"
            )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DfMethod:
    """A method of degrees of freedom for the contrasts of one fit.

    Attributes
    ----------
    method : str
        A key of `nestedmlm.inference.effects.ddf.METHODS`.
    beta : (p,) array
        Fixed effects.
    cov : (p, p) array
        Their covariance as the method has it (Kenward-Roger: adjusted).
    sigma : float
        Residual standard deviation.
    notes : tuple of str
        What a table made with this should say below.
    rows : callable (L) -> (m,) array
        Degrees of freedom of each row of an (m, p) matrix.
    joint : callable (L, estimate) -> (F, denominator degrees of freedom, scaling)
        Of the rows together; L has full row rank, `estimate` is ``L beta`` minus its
        hypothetical value. The test statistic is F times the scaling.
    joint_of_rank : callable (L, estimate, rank), optional
        The same for rows that may repeat each other, where the degrees of freedom depend on how
        the hypothesis is written.
    vcov : ClusterRobust, optional
        Which covariance `cov` is, where it is not the model's.
    reference : {"t", "z"}
        Which tests a table shows: t and F, or z and chi-squared.
    """

    method: str
    beta: FloatArray
    cov: FloatArray
    sigma: float
    notes: tuple[str, ...]
    rows: Callable[[FloatArray], FloatArray]
    joint: Callable[[FloatArray, FloatArray], tuple[float, float, float]]
    joint_of_rank: Callable[[FloatArray, FloatArray, int], tuple[float, float, float]] | None = None
    vcov: ClusterRobust | None = None
    reference: str = "t"
