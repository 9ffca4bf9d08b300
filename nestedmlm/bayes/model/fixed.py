"""Fixed effects as PyMC variables, the intercept at centred predictors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pymc as pm
import pytensor.tensor as pt

from nestedmlm.bayes.model.centring import centring
from nestedmlm.bayes.model.conditional_groups import ConditionalGroup, conditional_groups
from nestedmlm.bayes.model.distributions import Prior
from nestedmlm.bayes.model.factors import scale
from nestedmlm.bayes.model.joint_priors import Joint, hyperparameters, log_scales
from nestedmlm.bayes.model.names import (
    CENTRED_INTERCEPT,
    INTERCEPT,
    SCORE,
    ParameterNames,
    without_slash,
)
from nestedmlm.bayes.model.prior_set import PriorSet, combinations
from nestedmlm.errors import OptionError

if TYPE_CHECKING:
    from nestedmlm.design.design import Design


def fixed_effects(design: Design, names: ParameterNames, priors: PriorSet) -> list[Any]:
    """Make the coefficients in the PyMC model that is being built.

    Returns
    -------
    list of p scalars
        The sampled ones: the intercept is that at the predictors' means; the user's intercept
        is a Deterministic of the model. Coefficients of a joint shrinkage prior are Deterministics
        of their standard scores, against the funnel that they make with its scales.
    """
    how = centring(design)
    joint = {
        name: value
        for group in conditional_groups(priors)
        if not isinstance(group.prior, Prior)
        for name, value in _joint(design, names, priors, group, group.prior).items()
    }
    sampled = []
    for j, name in enumerate(names.fixed):
        own = CENTRED_INTERCEPT if j == how.intercept else name
        row = priors[name]
        value = joint[name] if name in joint else _coefficient(own, row.prior, row.group)
        sampled.append(value)
    if how.intercept is not None:
        rest = [m * b for j, (m, b) in enumerate(zip(how.means.tolist(), sampled, strict=True))
                if j != how.intercept]  # fmt: skip
        pm.Deterministic(INTERCEPT, sampled[how.intercept] - sum(rest[1:], rest[0]))
    for name, (L, constant) in combinations(priors).items():
        prior = priors[name].prior
        assert isinstance(prior, Prior)
        of_sampled = (L @ how.matrix()).tolist()
        value = constant + sum(c * b for c, b in zip(of_sampled, sampled, strict=True))
        own = getattr(pm, prior.distribution).dist(**{k: prior[k] for k, _ in prior.parameters})
        pm.Potential(without_slash(f"prior of {name}"), pm.logp(own, value))
    return sampled


def residual_scale(names: ParameterNames, priors: PriorSet) -> Any:
    """The residual standard deviation, made if the model that is being built has none."""
    model = pm.modelcontext(None)
    if names.sigma in model.named_vars:
        return model[names.sigma]
    return scale(names.sigma, priors[names.sigma].prior, folded=False)


def _joint(
    design: Design, names: ParameterNames, priors: PriorSet, group: ConditionalGroup, prior: Joint
) -> dict[str, Any]:
    """Coefficients of a joint shrinkage prior, made of their standard scores."""
    values, model = {}, pm.modelcontext(None)
    for own in hyperparameters(prior, group.name, len(group.members)):
        key = own.name.removeprefix(f"{group.name}_")
        if own.scalar:
            values[key] = own.priors[0].variable(own.name)
            continue
        each = {k: np.array([p[k] for p in own.priors]) for k, _ in own.priors[0].parameters}
        distribution = getattr(pm, own.priors[0].distribution)
        dims = None
        if key != "stick":
            dims = f"{own.name}_dim"
            model.add_coord(dims, group.members)
        values[key] = distribution(own.name, **each, shape=len(own.priors), dims=dims)
    unit = group.units[0][0]
    sigma = pt.constant(unit) if design.family is not None else residual_scale(names, priors)
    spread = log_scales(pt, prior, values, sigma, units=group.units, rows=design.n)
    if "stick" in values:
        order = range(len(group.members))
        left = [pt.prod(1.0 - values["stick"][:j]) for j in order]
        taken = [values["stick"][j] for j in order[:-1]] + [1.0]
        shares = [a * b for a, b in zip(taken, left, strict=True)]
        share = f"{group.name}_share"
        model.add_coord(f"{share}_dim", group.members)
        pm.Deterministic(share, pt.stack(shares), dims=f"{share}_dim")
    out = {}
    for name, log_sd in zip(group.members, spread, strict=True):
        score = pm.Normal(name + SCORE, 0.0, 1.0)
        out[name] = pm.Deterministic(name, pt.exp(log_sd) * score)
    return out


def _coefficient(name: str, prior: Any, group: str) -> Any:
    if isinstance(prior, Prior):
        return prior.variable(name, shared=group or None)
    value = pt.as_tensor_variable(prior(name))
    if value.ndim != 0:
        raise OptionError(
            f"the function given as the prior of {name!r} returned a variable with {value.ndim} "
            "dimensions; a fixed effect is one number"
        )
    return value
