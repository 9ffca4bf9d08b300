"""Default priors of generalized models: the units of the link's scale, and those of a family.

One unit of the linear predictor is a lot with a logit, probit, complementary log-log, cauchit or
log link, whatever the response is counted in. With any other link the unit is the standard
deviation of the response on the link's scale. In these units the rules are those of linear models:

- the intercept: Normal(g(mean y), 2.5 units), and Normal(0, 2.5) of shares;
- other fixed effects: Normal(0, 2.5 units / sd x);
- standard deviations of random effects: HalfNormal(2.5 units / rms x).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nestedmlm._typing import FloatArray
from nestedmlm.bayes.model.distributions import Prior
from nestedmlm.families import Family, SampledParameter

if TYPE_CHECKING:
    from nestedmlm.design.design import Design

_WIDE = 2.5  # units of a prior's standard deviation
_COUNTED = ("logit", "probit", "cloglog", "cauchit", "log")  # links whose unit is one
_LARGEST_UNIT = 1e3  # largest unit, where a link takes a response to infinity


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkScale:
    """The scale of the linear predictor, for default priors.

    Attributes
    ----------
    centre : float
        Of the intercept's prior, at the means of the predictors.
    unit : float
    centre_rule, unit_rule : str
        Both in words.
    effect : float
        Units of the half-normal prior of a standard deviation of random effects.
    """

    centre: float
    unit: float
    centre_rule: str
    unit_rule: str
    effect: float = _WIDE


def link_scale(design: Design, family: Family) -> LinkScale:
    """The scale of a generalized model's linear predictor."""
    link, y = family.link, design.y
    weights = np.ones(design.n) if design.weights is None else design.weights
    offset = np.zeros(design.n) if design.offset is None else design.offset
    if link.name in _COUNTED:
        if link.unit:
            centre, rule = 0.0, "0"
        else:
            rate = float(np.average(y, weights=weights))
            rate = max(rate, 0.5 / design.n)  # where all counts are zero
            centre = float(np.log(rate) - np.log(np.mean(np.exp(offset))))
            rule = "log mean y" if design.offset is None else "log mean y - log mean exp(offset)"
        return LinkScale(centre=centre, unit=1.0, centre_rule=rule, unit_rule="")
    with np.errstate(all="ignore"):
        eta = link.eta(family.start_mean(y, weights)) - offset
        middle = link.eta(np.atleast_1d(np.average(y, weights=weights)))[0] - np.mean(offset)
    eta = eta[np.isfinite(eta)]
    unit = float(np.std(eta, ddof=1)) if len(eta) > 1 else 1.0
    if link.name == "identity":
        return LinkScale(
            centre=float(middle), unit=unit, centre_rule="mean y", unit_rule="sd y", effect=1.0
        )
    return LinkScale(
        centre=float(middle),
        unit=min(unit, _LARGEST_UNIT),
        centre_rule=f"{link.name} of mean y",
        unit_rule=f"sd of {link.name} y",
        effect=1.0,
    )


def beside_prior(parameter: SampledParameter, y: FloatArray) -> tuple[Prior, str]:
    """The default prior of a parameter beside the mean, and its rule."""
    distribution, own = parameter.prior
    if not parameter.unit:
        return Prior(distribution, **dict(own)), "by itself"
    unit = float(np.mean(y)) if parameter.unit == "mean y" else float(np.std(y, ddof=1))
    return Prior(distribution, **{name: unit * value for name, value in own}), parameter.unit
