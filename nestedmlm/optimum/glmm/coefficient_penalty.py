"""Weak priors on fixed effects, for penalised likelihood of generalized models.

Where a predictor tells outcomes apart, maximum likelihood has no estimate of its coefficient; a
weak prior gives one and hardly changes the others (Gelman, Jakulin, Pittau & Su 2008, Annals of
Applied Statistics 2(4), whose scale 2.5 on standardised predictors this is, with normal tails, as
the R package blme has them).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from nestedmlm._typing import FloatArray
from nestedmlm.design.design import Design
from nestedmlm.errors import OptionError
from nestedmlm.likelihood.plan import Plan
from nestedmlm.optimum.penalty import PENALTIES, Penalty, resolve_penalty


@dataclass(frozen=True, slots=True)
class CoefficientPenalty:
    """A normal prior on every slope: SD `sd` on the link scale for one SD of its predictor.

    Attributes
    ----------
    name : str
        For messages.
    sd : float
        Positive. The intercept has a flat prior.
    """

    name: str
    sd: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.sd) and self.sd > 0):
            raise OptionError(f"a prior on coefficients needs a positive SD, not {self.sd!r}")

    def precision(self, design: Design, R_x: FloatArray) -> FloatArray:
        """Precision of ``gamma = R_x beta``: ``-2 log prior`` is ``gamma'P gamma``."""
        spread = np.std(design.X, axis=0)  # 0 for the intercept
        Ri = np.linalg.inv(R_x)
        return (Ri.T * (spread / self.sd) ** 2) @ Ri


COEFFICIENT_PENALTIES: Mapping[str, CoefficientPenalty] = MappingProxyType(
    {"normal": CoefficientPenalty("normal", 2.5)}
)


def resolve_penalties(
    penalty: object, plan: Plan
) -> tuple[Penalty | None, CoefficientPenalty | None]:
    """Priors on the covariances and on the fixed effects, from names or objects, or both.

    Raises
    ------
    OptionError
        For unknown names, two of a kind, and covariances that penalties do not cover.
    """
    given = penalty if isinstance(penalty, tuple | list) else (penalty,)
    covariance: list[Penalty] = []
    coefficient: list[CoefficientPenalty] = []
    for one in given:
        if isinstance(one, CoefficientPenalty):
            coefficient.append(one)
        elif isinstance(one, str) and one in COEFFICIENT_PENALTIES:
            coefficient.append(COEFFICIENT_PENALTIES[one])
        elif isinstance(one, str) and one not in PENALTIES:
            known = ", ".join([*PENALTIES, *COEFFICIENT_PENALTIES])
            raise OptionError(f"penalty={one!r} is unknown; known: {known}")
        else:
            found = resolve_penalty(one, plan)
            covariance += [] if found is None else [found]
    if len(covariance) > 1 or len(coefficient) > 1:
        raise OptionError(
            "penalty takes one prior on the covariances and one on the fixed effects, not two of "
            "a kind"
        )
    return next(iter(covariance), None), next(iter(coefficient), None)
