"""Fixed effects as PyMC variables, the intercept at centred predictors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pymc as pm
import pytensor.tensor as pt

from nestedmlm._typing import FloatArray
from nestedmlm.bayes.model.distributions import Prior
from nestedmlm.bayes.model.names import CENTRED_INTERCEPT, INTERCEPT, ParameterNames
from nestedmlm.bayes.model.priors import PriorSet
from nestedmlm.errors import OptionError

if TYPE_CHECKING:
    from nestedmlm.design.design import Design


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Centring:
    """Centring of the predictors: how the sampled coefficients give the user's.

    Attributes
    ----------
    intercept : int or None
        Column of the intercept, if another column is centred against it.
    means : (p,) array
        Means of the other columns; zero for the intercept.
    """

    intercept: int | None
    means: FloatArray

    def matrix(self) -> FloatArray:
        """The (p, p) matrix A with ``beta = A beta_sampled``."""
        A = np.eye(len(self.means))
        if self.intercept is not None:
            A[self.intercept] -= self.means
        return A


def centring(design: Design) -> Centring:
    """Centre the predictors where there is an intercept to take up their means."""
    means = design.X.mean(axis=0) if design.p else np.zeros(0)
    if "(Intercept)" not in design.x_names or design.p < 2:
        return Centring(intercept=None, means=np.zeros(design.p))
    j = design.x_names.index("(Intercept)")
    means[j] = 0.0
    return Centring(intercept=j, means=means)


def fixed_effects(design: Design, names: ParameterNames, priors: PriorSet) -> list[Any]:
    """Make the coefficients in the PyMC model that is being built.

    Returns
    -------
    list of p scalars
        The sampled ones: the intercept is that at the predictors' means; the user's intercept
        is a Deterministic of the model.
    """
    how = centring(design)
    sampled = []
    for j, name in enumerate(names.fixed):
        own = CENTRED_INTERCEPT if j == how.intercept else name
        sampled.append(_coefficient(own, priors[name].prior))
    if how.intercept is not None:
        rest = [m * b for j, (m, b) in enumerate(zip(how.means.tolist(), sampled, strict=True))
                if j != how.intercept]  # fmt: skip
        pm.Deterministic(INTERCEPT, sampled[how.intercept] - sum(rest[1:], rest[0]))
    return sampled


def _coefficient(name: str, prior: Prior | Callable[..., Any]) -> Any:
    if isinstance(prior, Prior):
        return prior.variable(name)
    value = pt.as_tensor_variable(prior(name))
    if value.ndim != 0:
        raise OptionError(
            f"the function given as the prior of {name!r} returned a variable with {value.ndim} "
            "dimensions; a fixed effect is one number"
        )
    return value
