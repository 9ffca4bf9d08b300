"""Optima of responses with next to no residuals: found from the rows, not from their sums.

Sums of products keep of the residual sum of squares what is not smaller than the last digit of the
response's. Where that is too little for a certificate, the rows have the other digits.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from nestedmlm._typing import FloatArray
from nestedmlm.design.design import Design
from nestedmlm.likelihood.plan import Plan
from nestedmlm.optimum.evaluation import Evaluation
from nestedmlm.optimum.objective import Objective
from nestedmlm.optimum.optimize import Optimum, digits_lost, optimize
from nestedmlm.optimum.quadratic import RESOLVED
from nestedmlm.statistics.crossproducts import CrossProducts
from nestedmlm.statistics.row_blocks import row_blocks

_SUSPECT_SHARE = 1e-3  # of the response's squares left for residuals: more is never too little
_HOPELESS = 1e-5  # deviance units of rounding at which a descent by sums is given up


class _DigitsLost(Exception):
    """The criterion has too few digits at `phi`."""

    def __init__(self, phi: FloatArray) -> None:
        super().__init__(phi)
        self.phi = phi


class _Watched(Objective):
    """An objective that is given up where sums keep too few digits of it.

    Raises
    ------
    _DigitsLost
        By `evaluate`.
    """

    __slots__ = ()

    def evaluate(self, phi: FloatArray) -> Evaluation:
        found, stats = Objective.evaluate(self, phi), self.stats
        suspect = found.r2 < _SUSPECT_SHARE * stats.F[-1, -1]  # said sooner
        if suspect and digits_lost(found, stats, self.REML) > _HOPELESS:
            raise _DigitsLost(phi)
        return found


def optimize_precisely(design: Design, plan: Plan, stats: CrossProducts, **how: Any) -> Optimum:
    """Minimise the criterion as `optimize` does, with as many digits as the rows can give.

    Parameters
    ----------
    design, plan, stats : Design, Plan, CrossProducts
    **how
        Of `nestedmlm.optimum.optimize.optimize`.

    Returns
    -------
    Optimum
        From the rows where rounding of the sums is of a size that a certificate would see, and the
        rows are in hand and few enough.
    """
    if design.rows is None or design.sums is not None:
        return optimize(plan, stats, **how)
    found = None
    try:
        found = optimize(plan, stats, make=_Watched, **how)
        if digits_lost(found.evaluation, stats, how["REML"]) <= RESOLVED:
            return found
        phi = found.evaluation.phi
    except _DigitsLost as lost:
        phi = lost.phi
    blocks = row_blocks(design, stats)
    if blocks is None:
        return found or optimize(plan, stats, **how)
    return optimize(plan, replace(stats, row_blocks=blocks), phi=phi, **how)
