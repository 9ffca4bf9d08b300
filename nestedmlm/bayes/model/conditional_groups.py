"""Fixed effects whose priors have hyperparameters, by the group that shares them."""

from __future__ import annotations

from dataclasses import dataclass

from nestedmlm.bayes.model.distributions import Prior
from nestedmlm.bayes.model.joint_priors import Joint
from nestedmlm.bayes.model.prior_set import PriorSet, is_conditional


@dataclass(frozen=True, slots=True, kw_only=True)
class ConditionalGroup:
    """Coefficients with one prior, given hyperparameters.

    Attributes
    ----------
    name : str
        Of the class, or of the coefficient: the hyperparameters' names start with it.
    prior : Prior, Horseshoe or R2D2
    members : tuple of str
    units : tuple of (float, float)
        For each the unit of the response and the spread of the predictor.
    """

    name: str
    prior: Prior | Joint
    members: tuple[str, ...]
    units: tuple[tuple[float, float], ...]


def conditional_groups(priors: PriorSet) -> list[ConditionalGroup]:
    """The groups of a set of priors, in order."""
    found: dict[str, list[str]] = {}
    for name, row in priors.items():
        if is_conditional(row):
            found.setdefault(row.group or name, []).append(name)
    out = []
    for group, members in found.items():
        prior = priors[members[0]].prior
        assert isinstance(prior, Prior | Joint)
        units = tuple(priors[name].units or (1.0, 1.0) for name in members)
        out.append(ConditionalGroup(name=group, prior=prior, members=tuple(members), units=units))
    return out
