"""Fixed effects as PyMC variables, the intercept at centred predictors."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pymc as pm
import pytensor.tensor as pt

from nestedmlm.bayes.model.centring import centring
from nestedmlm.bayes.model.distributions import Prior
from nestedmlm.bayes.model.names import CENTRED_INTERCEPT, INTERCEPT, ParameterNames
from nestedmlm.bayes.model.priors import PriorSet
from nestedmlm.errors import OptionError

if TYPE_CHECKING:
    from nestedmlm.design.design import Design


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
