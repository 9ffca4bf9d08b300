"""Optima of responses with next to no residuals: found from the rows, not from their sums.

Sums of products keep of the residual sum of squares what is not smaller than the last digit of the
response's. Where that is too little for a certificate, the rows have the other digits.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from nestedmlm._typing import FloatArray
from nestedmlm.design.design import Design
from nestedmlm.likelihood.elimination import effects
from nestedmlm.likelihood.plan import Plan
from nestedmlm.optimum.evaluation import Evaluation, digits_lost
from nestedmlm.optimum.objective import Objective
from nestedmlm.optimum.optimize import Optimum, optimize
from nestedmlm.optimum.quadratic import RESOLVED
from nestedmlm.statistics.crossproducts import CrossProducts
from nestedmlm.statistics.row_blocks import RowBlock, row_blocks
from nestedmlm.statistics.sufficient_statistics import ROUNDING_SHARE_OF_SQUARES

REPRODUCED = (
    "the likelihood has no maximum: fixed and random effects reproduce the response exactly, so "
    "that it grows without bound as sigma goes to zero; check whether the response is a function "
    "of the groups, or leave random effects out"
)
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
    found = optimize(plan, replace(stats, row_blocks=blocks), phi=phi, **how)
    if stats.sigma is None and _reproduced(found, blocks):
        end = replace(found.certificate, holds=False, message=REPRODUCED)
        return replace(found, certificate=end)
    return found


def _reproduced(found: Optimum, blocks: tuple[RowBlock, ...]) -> bool:
    """Whether residuals are rounding, though the effects are fewer than the rows."""
    ev, left, free = found.evaluation, 0.0, -found.stats.p
    b, _ = effects(found.stats, ev.state, ev.v)
    for block in blocks:
        rest = block.Y @ ev.v - block.Z @ b[block.effects]
        left += float(rest @ rest)
        free += len(block.rows) - int(np.linalg.matrix_rank(block.Z))
    return left <= ROUNDING_SHARE_OF_SQUARES * found.stats.F[-1, -1] and free > 0
