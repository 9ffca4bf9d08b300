"""The criterion of many responses to a small design, each at its own point.

All points are swept together (`nestedmlm.likelihood.elimination.point_sweep`), so that an
evaluation for all of them costs few calls of NumPy.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np

from nestedmlm._typing import FloatArray, IntArray
from nestedmlm.likelihood.criterion import Degrees
from nestedmlm.likelihood.elimination.point_gradients import sweep_down
from nestedmlm.likelihood.elimination.point_sweep import PointData, numbers, sweep_up
from nestedmlm.likelihood.elimination.response_points import data_of
from nestedmlm.likelihood.plan import Plan, linear_map
from nestedmlm.statistics.crossproducts import CrossProducts
from nestedmlm.statistics.parts import twice_products

_MOST_NUMBERS = 10_000  # of one point's sweep, above which it gains nothing from others
_SWEEPS, _SWEEPS_OF_A_PARAMETER = 6.0, 3.0  # of a descent: its steps, and second derivatives
_CALLS_SECONDS, _NUMBER_SECONDS = 6e-6, 2.5e-8  # of a response's share in a sweep, measured


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AtPoints:
    """The criterion of each of m responses at its point.

    Attributes
    ----------
    value : (m,) array
        NaN where it cannot be evaluated.
    gradient : (m, n_theta) array
        In phi.
    M : (m, sum of K_f^2) array
        ``d criterion / d(T_f T_f')``, flat, in elimination order.
    r2, v, inverse : (m,), (m, p + 1) and (m, p, p) arrays
        As in `nestedmlm.likelihood.criterion.Profiled`; `inverse` without the padding.
    """

    value: FloatArray
    gradient: FloatArray
    M: FloatArray
    r2: FloatArray
    v: FloatArray
    inverse: FloatArray

    def of(self, lanes: IntArray) -> AtPoints:
        """Those of some responses."""
        return AtPoints(**{f.name: getattr(self, f.name)[lanes] for f in fields(self)})

    def put(self, lanes: IntArray, there: AtPoints) -> None:
        """Write what was found for some responses in the place of what stands here."""
        for f in fields(self):
            getattr(self, f.name)[lanes] = getattr(there, f.name)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ResponseObjective:
    """The criterion of m responses.

    Attributes
    ----------
    plan : Plan
        Linear in phi.
    stats : CrossProducts
        Of the design, with any response; sigma is not known.
    data : PointData
        Of the m responses.
    degrees : Degrees
    """

    plan: Plan
    stats: CrossProducts
    data: PointData
    degrees: Degrees

    @property
    def m(self) -> int:
        """Number of responses."""
        return len(self.data.F)

    def of(self, lanes: IntArray) -> ResponseObjective:
        """The same for some of the responses."""
        return replace(self, data=data_of(self.data, lanes))

    def at(self, phi: FloatArray) -> AtPoints:
        """Evaluate each response at its own phi, (m, n_theta).

        Raises
        ------
        numpy.linalg.LinAlgError
            If the random or fixed effects of one of them cannot be eliminated.
        """
        df, reml, constant = self.degrees
        p, basis = self.stats.p, linear_map(self.plan)
        T = phi @ basis.T
        with np.errstate(all="ignore"):
            swept = sweep_up(T, self.stats, self.data, tables=False)
            S = swept.S
            inverse = np.linalg.inv(S[:, :p, :p])
            b = np.einsum("iab,ib->ia", inverse, S[:, :p, p])
            r2 = S[:, p, p] - np.einsum("ia,ia->i", S[:, :p, p], b)
            sign, log_sxx = np.linalg.slogdet(S[:, :p, :p])
            value = swept.logdet + reml * log_sxx + df * np.log(r2) + constant
            value[(sign <= 0.0) | ~(r2 > 0.0)] = np.nan
            v = np.concatenate([-b, np.ones((len(b), 1))], axis=1)
            S_bar = v[:, :, None] * v[:, None, :] * (df / r2)[:, None, None]
            S_bar[:, :p, :p] += reml * inverse
            M = sweep_down(swept, self.stats, 1.0, S_bar)
            gradient = twice_products(M, T, self.stats.parts) @ basis
        return AtPoints(value=value, gradient=gradient, M=M, r2=r2, v=v, inverse=inverse)


def serves(plan: Plan, stats: CrossProducts) -> bool:
    """Whether responses to a design are sooner fitted together."""
    by_sums = stats.sparse is None and stats.row_blocks is None
    small = by_sums and numbers(stats) <= _MOST_NUMBERS
    return plan.linear and stats.sigma is None and small


def seconds_together(plan: Plan, stats: CrossProducts, responses: int) -> float:
    """Seconds that fits to many responses take."""
    sweeps = _SWEEPS + _SWEEPS_OF_A_PARAMETER * plan.n_theta
    return responses * sweeps * (_CALLS_SECONDS + numbers(stats) * _NUMBER_SECONDS)
