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
COMBINATION = "combination"  # role of a linear combination of fixed effects


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


SCALES = {
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
        "standard deviation": SCALES,
        "positive parameter": SCALES,
        "correlation matrix": {"LKJ": _family("eta+")},
        "common correlation": {"Beta": _family("alpha+ beta+")},
        COMBINATION: {
            "Normal": _family("mu sigma+"),
            "StudentT": _family("nu+ mu sigma+"),
            "Cauchy": _family("alpha beta+"),
            "Laplace": _family("mu b+"),
            "Logistic": _family("mu s+"),
        },
    }
)
# parameters that can have priors themselves: where a distribution lies, and how wide it is
LOCATION_SCALE: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "Normal": ("mu", "sigma"),
        "StudentT": ("mu", "sigma"),
        "Cauchy": ("alpha", "beta"),
        "Laplace": ("mu", "b"),
        "Logistic": ("mu", "s"),
    }
)

CUT = ("fixed effect", "standard deviation", "positive parameter")  # roles with priors to cut


@dataclass(frozen=True, slots=True, init=False)
class Prior:
    """A prior distribution by its PyMC name.

    Parameters
    ----------
    distribution : str
        For example ``"Normal"`` for a fixed effect, ``"HalfNormal"`` for a standard deviation,
        ``"LKJ"`` for a correlation matrix. ``"Constant"``: no distribution, the value is known.
    **parameters : float or Prior
        PyMC's parameters of the distribution; numbers of any type (integers, NumPy's, Decimal).
        Where the prior of a fixed effect lies and how wide it is can have priors themselves
        (``sigma=nm.Prior("HalfNormal", sigma=1)``): what one hyperparameter is of is shared by a
        class (``"slopes"``), or by none.
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
    >>> Prior("Normal", mu=0, sigma=Prior("HalfNormal", sigma=1))
    Normal(mu=0, sigma=HalfNormal(sigma=1))
    """

    distribution: str
    parameters: tuple[tuple[str, Any], ...]

    def __init__(self, distribution: str, **parameters: Any) -> None:
        if not isinstance(distribution, str):
            raise OptionError(
                "a Prior takes the name of a distribution, for example Prior('Normal', mu=0, "
                f"sigma=1), not {distribution!r}"
            )
        checked = tuple((k, _number(distribution, k, v)) for k, v in parameters.items())
        object.__setattr__(self, "distribution", distribution)
        object.__setattr__(self, "parameters", checked)

    def __repr__(self) -> str:
        inside = ", ".join(
            f"{k}={v!r}" if isinstance(v, Prior) else f"{k}={v:.6g}" for k, v in self.parameters
        )
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

    @property
    def hyperpriors(self) -> dict[str, Prior]:
        """Its parameters that have priors themselves."""
        return {k: v for k, v in self.parameters if isinstance(v, Prior)}

    def variable(self, name: str, *, shared: str | None = None, **options: Any) -> Any:
        """Make the random variable `name` in the PyMC model that is being built.

        Its hyperparameters are variables ``{name}_prior_sigma``; by `shared`, another name in the
        place of its own, several variables have the same.

        Raises
        ------
        OptionError
            If PyMC has no such distribution.

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
        above = {
            k: _once(hyper_name(shared or name, k), prior) for k, prior in self.hyperpriors.items()
        }
        parameters = {k: above[k] if k in above else self[k] for k, _ in self.parameters}
        make = getattr(pm, self.distribution, None)
        if make is None:
            raise OptionError(f"PyMC has no distribution {self.distribution!r:.60}")
        return make(name, **parameters, **options)


def hyper_name(name: str, parameter: str) -> str:
    """Name of a parameter of the prior of something."""
    return f"{name}_prior_{parameter}"


def _once(name: str, prior: Prior) -> Any:
    """The variable of a name, made if the model that is being built has none."""
    import pymc as pm

    model = pm.modelcontext(None)
    return model[name] if name in model.named_vars else prior.variable(name)


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


def _number(distribution: str, parameter: str, value: Any) -> Any:
    """One finite number, whatever type it comes in (the prior is the same), or a prior of it."""
    if isinstance(value, Prior):
        return value
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
