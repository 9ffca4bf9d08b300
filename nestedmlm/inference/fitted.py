"""`Fitted`: what inference takes of a fit (or of several, pooled): design, solution, criterion."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from nestedmlm._typing import FloatArray
from nestedmlm.likelihood.plan import phi_of_theta

if TYPE_CHECKING:
    from nestedmlm.design.design import Design
    from nestedmlm.likelihood.solution import Solution
    from nestedmlm.optimum.penalty import Penalty


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Fitted:
    """A fitted model as numbers: what tests, intervals and tables are computed from.

    Attributes
    ----------
    design : Design
        Matrices, grouping factors and the learned schema.
    solution : Solution
        The model at the optimum.
    REML : bool
        Fitted by REML (True) or maximum likelihood.
    penalty : Penalty or None
        Prior on the covariances, if one was used.
    """

    design: Design
    solution: Solution
    REML: bool
    penalty: Penalty | None = None

    @property
    def residual_df(self) -> float:
        """Rows minus fixed effects."""
        return float(self.design.n - self.design.p)

    @property
    def phi(self) -> FloatArray:
        """The unbounded covariance parameters, in scaled columns."""
        s = self.solution
        return phi_of_theta(s.theta, s.plan, s.stats)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PooledFitted:
    """Fits of one model to multiply imputed data sets.

    Attributes
    ----------
    parts : tuple of Fitted
    """

    parts: tuple[Fitted, ...]

    @property
    def design(self) -> Design:
        """The design of the first data set: names and levels are those of all."""
        return self.parts[0].design

    @property
    def REML(self) -> bool:
        """Fitted by REML, or maximum likelihood."""
        return self.parts[0].REML

    @property
    def penalty(self) -> Penalty | None:
        """Prior on the covariances, if one was used."""
        return self.parts[0].penalty
