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


@dataclass(frozen=True, slots=True, init=False)
class Prior:
    """A prior distribution by its PyMC name.

    Parameters
    ----------
    distribution : str
        For example ``"Normal"`` for a fixed effect, ``"HalfNormal"`` for a standard deviation,
        ``"LKJ"`` for a correlation matrix.
    **parameters : float
        PyMC's parameters of the distribution; numbers of any type (integers, NumPy's, Decimal).

    Raises
    ------
    OptionError
        For parameters that are not one finite number each.

    Examples
    --------
    >>> from nestedmlm.bayes.model.distributions import Prior
    >>> Prior("HalfNormal", sigma=10)
    HalfNormal(sigma=10)
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


def check_prior(name: str, prior: Prior, role: str) -> None:
    """Refuse a distribution or a parameter that does not suit the role.

    Raises
    ------
    OptionError
        Naming what would be allowed.
    """
    allowed = FAMILIES[role]
    family = allowed.get(prior.distribution)
    if family is None:
        raise OptionError(
            f"{prior.distribution!r} is not a prior for {name!r}, a {role}; use one of "
            f"{', '.join(allowed)}, or a function that makes the PyMC variable"
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
