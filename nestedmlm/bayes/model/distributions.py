"""`Prior`: a distribution by name, checked against what makes sense for its role."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

from nestedmlm.errors import OptionError

REAL, POSITIVE = "real", "positive"
BOUNDS = frozenset({"lower", "upper"})  # of a truncated prior
CONSTANT = "Constant"  # in the place of a distribution: the value is known


@dataclass(frozen=True, slots=True)
class Family:
    """One allowed distribution: alternative sets of parameters, each ``name -> kind``."""

    signatures: tuple[Mapping[str, str], ...]


def _family(*signatures: str) -> Family:
    """Read ``"mu sigma+"``: names of parameters, those with a plus must be positive."""

    def read(text: str) -> Mapping[str, str]:
        kinds = {n.rstrip("+"): POSITIVE if n.endswith("+") else REAL for n in text.split()}
        return MappingProxyType(kinds)

    return Family(tuple(read(text) for text in signatures))


_SCALES = {
    "HalfNormal": _family("sigma+"),
    "HalfStudentT": _family("nu+ sigma+"),
    "HalfCauchy": _family("beta+"),
    "Exponential": _family("lam+", "scale+"),
    "Gamma": _family("alpha+ beta+", "mu+ sigma+"),
    "InverseGamma": _family("alpha+ beta+", "mu+ sigma+"),
    "LogNormal": _family("mu sigma+"),
    "Weibull": _family("alpha+ beta+"),
    "Uniform": _family("lower upper"),
    "HalfFlat": _family(""),
}

# Distributions of a PyMC model that suit each role, with the parameters that can be given.
FAMILIES: Mapping[str, Mapping[str, Family]] = MappingProxyType(
    {
        "fixed effect": {
            "Normal": _family("mu sigma+"),
            "StudentT": _family("nu+ mu sigma+"),
            "Cauchy": _family("alpha beta+"),
            "Laplace": _family("mu b+"),
            "Logistic": _family("mu s+"),
            "Uniform": _family("lower upper"),
            "Flat": _family(""),
        },
        "standard deviation": _SCALES,
        "positive parameter": _SCALES,
        "correlation matrix": {"LKJ": _family("eta+")},
        "common correlation": {"Beta": _family("alpha+ beta+")},
    }
)


_CUT = ("fixed effect", "standard deviation", "positive parameter")  # roles with priors to cut


@dataclass(frozen=True, slots=True, init=False)
class Prior:
    """A prior distribution by its PyMC name.

    Parameters
    ----------
    distribution : str
        For example ``"Normal"`` for a fixed effect, ``"HalfNormal"`` for a standard deviation,
        ``"LKJ"`` for a correlation matrix. ``"Constant"``: no distribution, the value is known.
    **parameters : float
        PyMC's parameters of the distribution; numbers of any type (integers, NumPy's, Decimal).
        `lower` and `upper` cut it off (and make up for what is cut); a standard deviation may then
        have a ``"Normal"`` or another symmetric one, cut at zero or above. Of a constant `value`.

    Raises
    ------
    OptionError
        For parameters that are not one finite number each.

    Examples
    --------
    >>> from nestedmlm.bayes.model.distributions import Prior
    >>> Prior("HalfNormal", sigma=10)
    HalfNormal(sigma=10)
    >>> Prior("Normal", mu=0, sigma=1, lower=0)
    Normal(mu=0, sigma=1, lower=0)
    """

    distribution: str
    parameters: tuple[tuple[str, float], ...]

    def __init__(self, distribution: str, **parameters: float) -> None:
        if not isinstance(distribution, str):
            raise OptionError(
                "a Prior takes the name of a distribution, for example Prior('Normal', mu=0, "
                f"sigma=1), not {distribution!r}"
            )
        checked = tuple((k, _number(distribution, k, v)) for k, v in parameters.items())
        object.__setattr__(self, "distribution", distribution)
        object.__setattr__(self, "parameters", checked)

    def __repr__(self) -> str:
        inside = ", ".join(f"{k}={v:.6g}" for k, v in self.parameters)
        return f"{self.distribution}({inside})"

    def __getitem__(self, parameter: str) -> np.float64:
        # PyTensor makes 8-bit integers of ints and 32-bit floats of floats with few digits, and
        # computes in them: 127 squared is then 1, and 1e20 squared infinite
        return np.float64(dict(self.parameters)[parameter])

    @property
    def truncated(self) -> bool:
        """Whether it is cut off on one side or both."""
        given = dict(self.parameters)
        return self.distribution != "Uniform" and not given.keys().isdisjoint(BOUNDS)

    @property
    def constant(self) -> bool:
        """Whether it is a known value."""
        return self.distribution == CONSTANT

    def variable(self, name: str, **options: Any) -> Any:
        """Make the random variable `name` in the PyMC model that is being built.

        Examples
        --------
        >>> import nestedmlm as nm
        >>> import pymc as pm
        >>> with pm.Model() as model:
        ...     slope = nm.Prior("Normal", mu=0, sigma=2).variable("slope")
        >>> model.free_RVs
        [slope]
        """
        import pymc as pm

        if self.constant:
            return pm.Deterministic(name, pm.math.constant(self["value"]))
        if self.truncated:
            whole, (lower, upper) = uncut(self)
            base = getattr(pm, whole.distribution).dist(
                **{k: whole[k] for k, _ in whole.parameters}
            )
            ends = {"lower": lower, "upper": upper}
            finite = {k: np.float64(v) for k, v in ends.items() if math.isfinite(v)}
            return pm.Truncated(name, base, **finite, **options)
        parameters = {k: self[k] for k, _ in self.parameters}
        return getattr(pm, self.distribution)(name, **parameters, **options)


def LKJ(eta: float) -> Prior:
    """Prior of a correlation matrix: density in proportion to its determinant to the eta - 1.

    Short for ``Prior("LKJ", eta=eta)``. In the models made here the matrix is sampled by canonical
    partial correlations, each ``2 Beta(a, a) - 1``.

    Parameters
    ----------
    eta : float
        Positive. 1: uniform over matrices; larger: correlations near -1 and 1 less likely; the
        default of the models made here is 2.

    Returns
    -------
    Prior

    Raises
    ------
    OptionError
        If eta is not one positive finite number.

    References
    ----------
    Lewandowski, Kurowicka & Joe (2009), Journal of Multivariate Analysis 100: 1989-2001.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> model = nm.Model("Reaction ~ Days + (Days | Subject)", nm.load_dataset("sleepstudy"))
    >>> model.priors.replace({"correlations": nm.LKJ(4)})["Subject_corr"].prior
    LKJ(eta=4)
    """
    prior = Prior("LKJ", eta=eta)
    check_prior("a correlation matrix", prior, "correlation matrix")
    return prior


def _exponential_mean(prior: Prior) -> np.float64:
    given = dict(prior.parameters)
    return prior["scale"] if "scale" in given else np.float64(1.0) / prior["lam"]


# The symmetric distribution whose absolute value is the prior of a standard deviation.
FOLDED: Mapping[str, Callable[[Prior], Prior]] = MappingProxyType(
    {
        "HalfNormal": lambda p: Prior("Normal", mu=0.0, sigma=p["sigma"]),
        "HalfStudentT": lambda p: Prior("StudentT", nu=p["nu"], mu=0.0, sigma=p["sigma"]),
        "HalfCauchy": lambda p: Prior("Cauchy", alpha=0.0, beta=p["beta"]),
        "Exponential": lambda p: Prior("Laplace", mu=0.0, b=_exponential_mean(p)),
        "HalfFlat": lambda p: Prior("Flat"),
    }
)


def uncut(prior: Prior) -> tuple[Prior, tuple[float, float]]:
    """The distribution that a truncated prior is cut from, and where.

    That of an absolute value is cut at zero from the symmetric one.
    """
    given = dict(prior.parameters)
    lower, upper = given.pop("lower", -math.inf), given.pop("upper", math.inf)
    whole = Prior(prior.distribution, **given)
    if whole.distribution in FAMILIES["standard deviation"]:
        lower = max(lower, 0.0)
    if whole.distribution in FOLDED:
        whole = FOLDED[whole.distribution](whole)
    return whole, (lower, upper)


def folded(prior: Prior) -> Prior | None:
    """The symmetric distribution of a standard deviation's sign and size, if there is one."""
    if prior.truncated or prior.distribution not in FOLDED:
        return None
    return FOLDED[prior.distribution](prior)


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
    allowed = FAMILIES[role]
    if role in _CUT and prior.truncated:
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
        low = max(given["lower"], 0.0) if FAMILIES[role] is _SCALES else given["lower"]
        if given["upper"] <= low or given["lower"] < low:
            raise OptionError(
                f"the prior of {name!r}: Uniform needs lower < upper"
                + (" and lower >= 0" if FAMILIES[role] is _SCALES else "")
            )


def _lacks_end(prior: Prior, role: str) -> bool:
    """Whether it is a distribution of any number where only positive ones make sense."""
    real = prior.distribution in FAMILIES["fixed effect"] and prior.distribution not in _SCALES
    return FAMILIES[role] is _SCALES and real and "lower" not in dict(prior.parameters)


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
    positive = prior.distribution in _SCALES or FAMILIES[role] is _SCALES
    if upper <= max(lower, 0.0 if positive else lower):
        raise OptionError(f"the prior of {name!r}: no values between lower and upper, got {prior}")
    if "lower" in given and positive and lower < 0.0:
        raise OptionError(f"the prior of {name!r} has positive values only: lower must be >= 0")
    if _lacks_end(prior, role):
        raise OptionError(
            f"the prior of {name!r}, a {role}, has positive values only: give lower=0, or "
            "one of " + ", ".join(_SCALES)
        )


def _check_constant(name: str, prior: Prior, role: str) -> None:
    given = dict(prior.parameters)
    if given.keys() != {"value"}:
        raise OptionError(f"the prior of {name!r}: {CONSTANT} takes (value), got {prior}")
    if role not in _CUT:
        raise OptionError(
            f"{name!r}, a {role}, cannot be held at a value: give it a prior that says nearly that"
        )
    if FAMILIES[role] is _SCALES and given["value"] <= 0.0:
        raise OptionError(
            f"{name!r}, a {role}, must be positive, got {given['value']:g}; of random effects that "
            "do not vary leave out the term"
        )


def _number(distribution: str, parameter: str, value: Any) -> float:
    """One finite number, whatever type it comes in: the prior is the same."""
    try:
        alone = np.ndim(value) == 0 and not isinstance(value, str | bytes | bool | np.bool_)
        number = float(value) if alone else math.nan
    except (TypeError, ValueError, OverflowError):
        alone, number = False, math.nan
    if not alone:
        raise OptionError(
            f"{parameter} of {distribution} must be one number (each parameter has its own "
            f"prior), got {value!r}"
        )
    if not math.isfinite(number):
        raise OptionError(f"{parameter} of {distribution} must be a finite number, got {value!r}")
    return number
