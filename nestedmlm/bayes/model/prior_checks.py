"""Checks of a prior: distributions and parameters that suit a role, ends, hyperpriors."""

from __future__ import annotations

import math

from nestedmlm.bayes.model.distributions import (
    BOUNDS,
    CONSTANT,
    CUT,
    FAMILIES,
    LOCATION_SCALE,
    POSITIVE,
    SCALES,
    Prior,
)
from nestedmlm.errors import OptionError


def check_prior(name: str, prior: Prior, role: str) -> None:
    """Refuse a distribution or a parameter that does not suit the role.

    Raises
    ------
    OptionError
        Naming what would be allowed.
    """
    if prior.constant:
        _check_constant(name, prior, role)
        return
    if prior.hyperpriors:
        _check_hyperpriors(name, prior, role)
        ones = dict.fromkeys(prior.hyperpriors, 1.0)
        prior = Prior(prior.distribution, **{**dict(prior.parameters), **ones})
    allowed = FAMILIES[role]
    if role in CUT and prior.truncated:
        _check_ends(name, prior, role)
        kept = {k: v for k, v in prior.parameters if k not in BOUNDS}
        prior, allowed = Prior(prior.distribution, **kept), {**FAMILIES["fixed effect"], **allowed}
    family = allowed.get(prior.distribution)
    if family is None:
        raise OptionError(
            f"{prior.distribution!r} is not a prior for {name!r}, a {role}; use one of "
            f"{', '.join(allowed)}, or a function that makes the PyMC variable"
            + ("; or cut it at zero: lower=0" if _lacks_end(prior, role) else "")
        )
    given = dict(prior.parameters)
    signature = next((s for s in family.signatures if s.keys() == given.keys()), None)
    if signature is None:
        wanted = " or ".join("(" + ", ".join(s) + ")" for s in family.signatures)
        raise OptionError(
            f"the prior of {name!r}: {prior.distribution} takes {wanted}, got "
            f"({', '.join(given) or 'nothing'})"
        )
    for parameter, kind in signature.items():
        if kind == POSITIVE and given[parameter] <= 0:
            raise OptionError(
                f"the prior of {name!r}: {parameter} of {prior.distribution} must be positive, "
                f"got {given[parameter]:g}"
            )
    if "upper" in given:
        low = max(given["lower"], 0.0) if FAMILIES[role] is SCALES else given["lower"]
        if given["upper"] <= low or given["lower"] < low:
            raise OptionError(
                f"the prior of {name!r}: Uniform needs lower < upper"
                + (" and lower >= 0" if FAMILIES[role] is SCALES else "")
            )


def _lacks_end(prior: Prior, role: str) -> bool:
    """Whether it is a distribution of any number where only positive ones make sense."""
    real = prior.distribution in FAMILIES["fixed effect"] and prior.distribution not in SCALES
    return FAMILIES[role] is SCALES and real and "lower" not in dict(prior.parameters)


def _check_ends(name: str, prior: Prior, role: str) -> None:
    """Refuse ends of a truncated prior that leave nothing, or no positive values."""
    given = dict(prior.parameters)
    if prior.distribution == "InverseGamma":
        raise OptionError(
            f"the prior of {name!r}: PyMC cannot cut an InverseGamma; cut a Gamma or a LogNormal"
        )
    if prior.distribution in ("Flat", "HalfFlat"):
        raise OptionError(
            f"the prior of {name!r}: {prior.distribution} has no probability to be cut; give "
            "nm.Prior('Uniform', lower=..., upper=...)"
        )
    lower, upper = given.get("lower", -math.inf), given.get("upper", math.inf)
    positive = prior.distribution in SCALES or FAMILIES[role] is SCALES
    if upper <= max(lower, 0.0 if positive else lower):
        raise OptionError(f"the prior of {name!r}: no values between lower and upper, got {prior}")
    if "lower" in given and positive and lower < 0.0:
        raise OptionError(f"the prior of {name!r} has positive values only: lower must be >= 0")
    if _lacks_end(prior, role):
        raise OptionError(
            f"the prior of {name!r}, a {role}, has positive values only: give lower=0, or "
            "one of " + ", ".join(SCALES)
        )


def _check_constant(name: str, prior: Prior, role: str) -> None:
    given = dict(prior.parameters)
    if given.keys() != {"value"}:
        raise OptionError(f"the prior of {name!r}: {CONSTANT} takes (value), got {prior}")
    if role not in CUT:
        raise OptionError(
            f"{name!r}, a {role}, cannot be held at a value: give it a prior that says nearly that"
        )
    if FAMILIES[role] is SCALES and given["value"] <= 0.0:
        raise OptionError(
            f"{name!r}, a {role}, must be positive, got {given['value']:g}; of random effects that "
            "do not vary leave out the term"
        )


def _check_hyperpriors(name: str, prior: Prior, role: str) -> None:
    """Refuse priors of parameters where they are not understood."""
    if role != "fixed effect":
        raise OptionError(
            f"the prior of {name!r}, a {role}: parameters that have priors themselves are for "
            "fixed effects; give numbers"
        )
    known = LOCATION_SCALE.get(prior.distribution, ())
    if prior.truncated or not known:
        raise OptionError(
            f"the prior of {name!r}: {prior}; only parameters of {', '.join(LOCATION_SCALE)} that "
            "are not cut can have priors themselves"
        )
    for parameter, above in prior.hyperpriors.items():
        what = f"{parameter} of the prior of {name!r}"
        if parameter not in known:
            raise OptionError(f"{what} must be a number; priors are for {' and '.join(known)}")
        if above.hyperpriors or above.constant or above.distribution in ("Flat", "HalfFlat"):
            raise OptionError(
                f"{what} needs a number, or a proper prior with numbers for parameters, not {above}"
            )
        check_prior(what, above, "fixed effect" if parameter == known[0] else "standard deviation")
