"""Fixed effects among the coordinates, with the hyperparameters and factors of their priors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from nestedmlm._typing import FloatArray, IntArray
from nestedmlm.bayes.density.coefficient_priors import (
    CombinationPrior,
    ConditionalPrior,
    HorseshoeSpread,
    OwnSpread,
    R2D2Spread,
    Spread,
    log_shares,
)
from nestedmlm.bayes.density.prior_coordinates import (
    Coordinate,
    CoordinateList,
    given_prior,
    make_coordinate,
)
from nestedmlm.bayes.density.prior_distributions import density_of
from nestedmlm.bayes.model.centring import centring
from nestedmlm.bayes.model.conditional_groups import ConditionalGroup, conditional_groups
from nestedmlm.bayes.model.distributions import LOCATION_SCALE, Prior, hyper_name
from nestedmlm.bayes.model.joint_priors import R2D2, Horseshoe, global_scale, hyperparameters
from nestedmlm.bayes.model.names import CENTRED_INTERCEPT, parameter_names
from nestedmlm.bayes.model.prior_set import PriorSet, combinations, is_conditional
from nestedmlm.errors import OptionError

if TYPE_CHECKING:
    from nestedmlm.design.design import Design


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class HyperVariable:
    """A hyperparameter as the posterior reports it.

    Attributes
    ----------
    name : str
    at : (m,) array of int
        Its coordinates.
    labels : tuple of str
        Of its elements; empty for a number.
    shares : bool
        Whether it is made of shares of what those before leave.
    """

    name: str
    at: IntArray
    labels: tuple[str, ...] = ()
    shares: bool = False

    def values(self, x: FloatArray) -> FloatArray:
        """It at variables in rows."""
        own = x[:, self.at]
        if self.shares:
            own = np.exp(log_shares(own))
        return own if self.labels else own[:, 0]


def fixed_coordinates(design: Design, priors: PriorSet) -> list[Coordinate]:
    """Those of the fixed effects: the intercept is that at the predictors' means."""
    how, out = centring(design), []
    for j, name in enumerate(parameter_names(design).fixed):
        own = CENTRED_INTERCEPT if j == how.intercept else name
        flat = is_conditional(priors[name])  # its density is a factor, given other variables
        out.append(make_coordinate(own, Prior("Flat") if flat else given_prior(priors, name)))
    return out


def link_fixed(
    made: CoordinateList, design: Design, priors: PriorSet, beta: IntArray, sigma: int | None
) -> tuple[HyperVariable, ...]:
    """Add the hyperparameters of fixed effects, and the factors of the density that they are in.

    Parameters
    ----------
    made : CoordinateList
        With the fixed effects and sigma; it is added to.
    design : Design
    priors : PriorSet
    beta : (p,) array of int
        Coordinates of the fixed effects.
    sigma : int or None
        That of the residual standard deviation.

    Raises
    ------
    OptionError
        For hyperparameters of priors that are not normal.
    """
    _combinations(made, design, priors, beta)
    names, reported = list(parameter_names(design).fixed), []
    for group in conditional_groups(priors):
        at = beta[[names.index(name) for name in group.members]]
        factor, own = _MAKE[type(group.prior)](made, group, at, sigma, design.n)
        made.factors.append(factor)
        reported += own
    return tuple(reported)


def _combinations(made: CoordinateList, design: Design, priors: PriorSet, beta: IntArray) -> None:
    for name, (L, constant) in combinations(priors).items():
        prior = given_prior(priors, name)
        made.factors.append(
            CombinationPrior(
                name=name,
                prior=prior,
                at=beta,
                L=L @ centring(design).matrix(),
                constant=constant,
                density=density_of([prior]),
            )
        )


_Made = tuple[ConditionalPrior, list[HyperVariable]]


def _of_prior(
    made: CoordinateList, group: ConditionalGroup, at: IntArray, sigma: int | None, rows: int
) -> _Made:
    prior = group.prior
    assert isinstance(prior, Prior)
    if prior.distribution != "Normal":
        raise OptionError(
            f"the prior of {group.members[0]!r} is {prior}: with random effects integrated out "
            "only a Normal can have hyperparameters; sample it with marginal=False"
        )
    places: dict[str, Any] = {k: float(v) for k, v in prior.parameters if k not in
                              prior.hyperpriors}  # fmt: skip
    out = []
    for parameter, above in prior.hyperpriors.items():
        name = hyper_name(group.name, parameter)
        own = made.add(make_coordinate(name, above))
        places[parameter] = int(own[0])
        out.append(HyperVariable(name=name, at=own))
    centre, scale = (places[key] for key in LOCATION_SCALE[prior.distribution])
    spread = OwnSpread(at=scale, value=1.0) if isinstance(scale, int) else OwnSpread(
        at=None, value=scale
    )  # fmt: skip
    factor = ConditionalPrior(names=group.members, at=at, centre=centre, spread=spread)
    return factor, out


def _add_all(
    made: CoordinateList, group: ConditionalGroup
) -> tuple[dict[str, IntArray], list[Any]]:
    """The coordinates of a joint prior's hyperparameters, by the ends of their names."""
    assert not isinstance(group.prior, Prior)
    places, out = {}, []
    for own in hyperparameters(group.prior, group.name, len(group.members)):
        at = made.add(*(make_coordinate(own.name, prior) for prior in own.priors))
        key = own.name.removeprefix(f"{group.name}_")
        places[key] = at
        labels = () if own.scalar else group.members
        shares = key == "stick"
        name = f"{group.name}_share" if shares else own.name
        out.append(HyperVariable(name=name, at=at, labels=labels, shares=shares))
    return places, out


def _of_horseshoe(
    made: CoordinateList, group: ConditionalGroup, at: IntArray, sigma: int | None, rows: int
) -> _Made:
    prior = group.prior
    assert isinstance(prior, Horseshoe)
    places, out = _add_all(made, group)
    units = np.array(group.units)
    spread = HorseshoeSpread(
        whole=int(places["global"][0]),
        slab=int(places["slab"][0]),
        local=places["local"],
        sigma=sigma,
        log_scale=float(np.log(global_scale(prior, len(at), rows))) + _unit(units, sigma),
        log_slab=2.0 * float(np.log(prior.slab_scale * units[0, 0])),
        log_spreads=np.log(units[:, 1]),
    )
    return _joint(group, at, spread), out


def _of_r2d2(
    made: CoordinateList, group: ConditionalGroup, at: IntArray, sigma: int | None, rows: int
) -> _Made:
    places, out = _add_all(made, group)
    units = np.array(group.units)
    spread = R2D2Spread(
        r2=int(places["R2"][0]),
        stick=places.get("stick", np.zeros(0, dtype=np.int64)),
        sigma=sigma,
        log_spreads=np.log(units[:, 1]) - _unit(units, sigma),
    )
    return _joint(group, at, spread), out


def _unit(units: FloatArray, sigma: int | None) -> float:
    """What stands in the place of sigma where there is none: the unit of the response."""
    return float(np.log(units[0, 0])) if sigma is None else 0.0


def _joint(group: ConditionalGroup, at: IntArray, spread: Spread) -> ConditionalPrior:
    return ConditionalPrior(names=group.members, at=at, centre=0.0, spread=spread)


_MAKE: Mapping[type, Any] = MappingProxyType(
    {Prior: _of_prior, Horseshoe: _of_horseshoe, R2D2: _of_r2d2}
)
