"""Planned test of fixed effects: its noncentral F distribution, from a design and its parameters.

The standard error and the degrees of freedom of a contrast depend on the design and on the
covariances, not on the responses, so neither needs data: Stroup (1999), "Mixed model procedures to
assess power, precision, and sample size in the design of experiments", ASA Proceedings of the
Biopharmaceutical Section, 15-24; Littell et al. (2006), SAS for Mixed Models, chapter 12.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from nestedmlm._typing import FloatArray
from nestedmlm.inference.effects.kenward_roger import (
    KenwardRoger,
    approximate,
    planned_kenward_roger,
)
from nestedmlm.inference.effects.satterthwaite import Satterthwaite, combined_df, row_df
from nestedmlm.inference.fitted import Fitted


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PlannedTest:
    """Distribution of the F statistic of ``L beta = 0`` before there are data.

    Attributes
    ----------
    cov : (q, q) array
        Covariance of the estimates ``L beta``.
    num_df : int
    den_df : float
        Infinite for a Wald test.
    """

    cov: FloatArray
    num_df: int
    den_df: float

    def noncentrality(self, effect: FloatArray) -> float:
        """Noncentrality of F where ``L beta`` is `effect`, a (q,) array."""
        return float(effect @ np.linalg.solve(self.cov, effect))

    def power(self, effect: FloatArray, alpha: float = 0.05) -> float:
        """Probability that the test finds an effect, a (q,) array."""
        from scipy.special import chdtri, chndtr, fdtri, ncfdtr

        q, nu, moved = self.num_df, self.den_df, self.noncentrality(effect)
        if np.isinf(nu):
            return float(1.0 - chndtr(chdtri(q, alpha), q, moved))
        if nu <= 0:
            return float("nan")
        return float(1.0 - ncfdtr(q, nu, moved, fdtri(q, nu, 1.0 - alpha)))


def planned_test(
    fitted: Fitted, L: FloatArray, sigma: float, test: str = "satterthwaite"
) -> PlannedTest:
    """Plan a test of ``L beta = 0`` for a design.

    Parameters
    ----------
    fitted : Fitted
        The design at the covariance parameters that are supposed; its response does not matter.
    L : (q, p) array
        Of full row rank.
    sigma : float
        The residual standard deviation that is supposed.
    test : {"satterthwaite", "kenward-roger", "z"}

    Raises
    ------
    OptionError
        If the fit is not by REML.

    Notes
    -----
    The covariance has the part that estimating the variances adds (Kackar & Harville 1984), half of
    what Kenward and Roger's adjustment adds. Degrees of freedom come from the expected information;
    for one row Satterthwaite's and Kenward and Roger's are then the same number.
    """
    return method_test(planned_kenward_roger(fitted), L, (sigma / fitted.solution.sigma) ** 2, test)


def method_test(method: KenwardRoger, L: FloatArray, scale: float, test: str) -> PlannedTest:
    """Plan a test from Kenward and Roger's sums, whose covariances are multiplied by `scale`."""
    cov = 0.5 * scale * (L @ (method.cov + method.unadjusted) @ L.T)
    return PlannedTest(cov=cov, num_df=len(L), den_df=DENOMINATORS[test](method, L))


def _satterthwaite(method: KenwardRoger, L: FloatArray) -> float:
    """Satterthwaite's method with the expected information; Fai and Cornelius for several rows."""
    back = np.linalg.inv(method.R_x)
    expected = Satterthwaite(
        cov=back @ method.Phi @ back.T,
        gradient=back @ method.moved @ back.T,
        spread=method.spread,
        notes=(),
    )
    P = np.linalg.eigh(L @ expected.cov @ L.T)[1]
    return combined_df(row_df(expected, P.T @ L))


DENOMINATORS: Mapping[str, Callable[[KenwardRoger, FloatArray], float]] = MappingProxyType(
    {
        "satterthwaite": _satterthwaite,
        "kenward-roger": lambda method, L: approximate(method, L).df,
        "z": lambda method, L: float("inf"),
    }
)
