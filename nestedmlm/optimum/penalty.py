"""Boundary-avoiding priors on the covariances, for penalised likelihood.

Chung, Rabe-Hesketh, Dorie, Gelman & Liu (2013), Psychometrika 78(4): a weak prior that is zero at
zero variance keeps the mode away from the boundary without otherwise saying much. For one column
it is Gamma(2.5, 0) on the standard deviation, for several a Wishart with k + 2.5 degrees of
freedom and flat scale (Chung et al. 2015): both are ``|det T|^1.5`` up to a constant, on the
covariance relative to sigma, as the R package blme has it by default.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from nestedmlm._typing import FloatArray
from nestedmlm.arguments import check_number
from nestedmlm.covariance import TermShape
from nestedmlm.errors import OptionError
from nestedmlm.likelihood.plan import Plan


@dataclass(frozen=True, slots=True)
class Penalty:
    """A prior density proportional to ``|det T|^shape`` for every term's relative factor T.

    Attributes
    ----------
    name : str
        For messages.
    shape : float
        Positive: the density is zero at a singular covariance, and rises from there.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> penalty = nm.Penalty("mild", 0.5)
    >>> fit = nm.lmer("Yield ~ 1 + (1 | Batch)", nm.load_dataset("Dyestuff2"), penalty=penalty)
    >>> fit.is_singular()
    False
    """

    name: str
    shape: float

    def __post_init__(self) -> None:
        check_number(self.shape, "the shape of a penalty", positive=True)


PENALTIES: Mapping[str, Penalty] = MappingProxyType({"wishart": Penalty("wishart", 1.5)})


def resolve_penalty(penalty: Penalty | str | None, plan: Plan) -> Penalty | None:
    """Turn the user's choice into a Penalty.

    Raises
    ------
    OptionError
        For an unknown name, or a covariance structure that penalties do not cover.
    """
    if penalty is None:
        return None
    if isinstance(penalty, str):
        if penalty not in PENALTIES:
            known = ", ".join(sorted(PENALTIES))
            raise OptionError(f"penalty={penalty!r} is unknown; known: {known}, or a Penalty")
        penalty = PENALTIES[penalty]
    if not isinstance(penalty, Penalty):
        raise OptionError(f"penalty must be a name or a Penalty, not {type(penalty).__name__}")
    others = {s.structure.name for s in plan.shapes if _powers(s) is None}
    if others:
        raise OptionError(
            f"penalties cover us and diag terms, not {', '.join(sorted(others))}: "
            "write those terms without a structure, or fit without a penalty"
        )
    return penalty


class PenaltyTerms(NamedTuple):
    """Value, gradient and diagonal of the Hessian of ``-2 log prior`` in phi."""

    value: float
    gradient: FloatArray
    curvature: FloatArray


def penalty_terms(phi: FloatArray, plan: Plan, penalty: Penalty) -> PenaltyTerms:
    """``-2 log prior`` and its derivatives in phi.

    ``log|det T|`` is the sum of the logarithms of the diagonal of T, up to the constant that the
    scaling of the columns adds.
    """
    weights = 2.0 * penalty.shape * _diagonal(plan)
    used = weights > 0
    if np.any(phi[used] == 0.0):
        return PenaltyTerms(math.inf, np.zeros_like(phi), np.zeros_like(phi))
    gradient, curvature = np.zeros_like(phi), np.zeros_like(phi)
    gradient[used] = -weights[used] / phi[used]
    curvature[used] = weights[used] / phi[used] ** 2
    value = float(-np.sum(weights[used] * np.log(np.abs(phi[used]))))
    return PenaltyTerms(value, gradient, curvature)


def _diagonal(plan: Plan) -> FloatArray:
    """How often each phi stands on the diagonal of its T."""
    powers = [_powers(shape) for shape in plan.shapes]
    return np.concatenate([found for found in powers if found is not None])


def _powers(shape: TermShape) -> FloatArray | None:
    return shape.structure.determinant_powers(shape.k, shape.hom)
