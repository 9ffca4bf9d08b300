"""Parameters that a planner supposes.

Fixed effects; covariances as theta, as standard deviations and correlations, or as shares (ICCs).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from nestedmlm._typing import FloatArray
from nestedmlm.arguments import check_number
from nestedmlm.design.design import Design
from nestedmlm.errors import OptionError
from nestedmlm.likelihood.plan import term_shapes

RESIDUAL = "Residual"
_ROUNDING = 1e-12  # of a variance that counts as zero beside the largest


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Supposed:
    """Covariance parameters in the model's own form.

    Attributes
    ----------
    theta : (n_theta,) array
        Relative to sigma.
    sigma : float
    """

    theta: FloatArray
    sigma: float


def from_sds(
    design: Design, sd: Mapping[str, Any], correlation: Mapping[str, Any], sigma: float | None
) -> Supposed:
    """Read standard deviations.

    Parameters
    ----------
    design : Design
    sd : mapping
        By grouping factor a number, or by column where a factor has several:
        ``{"Subject": {"(Intercept)": 25, "Days": 6}, "Residual": 26}``.
    correlation : mapping
        By grouping factor, of a term with two columns a number, with more a matrix; those left
        out are zero.
    sigma : float or None
        The residual's, unless `sd` has it.

    Raises
    ------
    OptionError
        For names that the model does not have or that are missing, and impossible correlations.
    """
    given = dict(sd)
    lower = RESIDUAL.lower()  # as people write it in Python
    residual = given.pop(RESIDUAL, given.pop(lower, sigma))
    if residual is None or (sigma is not None and residual != sigma):
        raise OptionError(
            f"give the residual standard deviation once: sigma=, or sd={{..., {RESIDUAL!r}: ...}}"
        )
    residual = check_number(residual, "the residual standard deviation", positive=True)
    names = [f.name for f in design.factors]
    _check_names(given, names, "sd")
    unknown = [name for name in correlation if name not in names]
    if unknown:
        raise OptionError(f"correlation= names {unknown[0]!r}; factors are {', '.join(names)}")
    matrices = []
    for term in design.terms:
        factor = names[term.factor]
        sds = _sds(given[factor], factor, term.columns) / residual
        R = _correlations(correlation.get(factor), factor, len(sds))
        matrices.append(R * np.outer(sds, sds))
    return Supposed(theta=theta_of_covariances(design, matrices), sigma=residual)


def from_shares(design: Design, icc: Mapping[str, float] | float, sigma: float | None) -> Supposed:
    """Read shares of the variance of random intercepts; the rest is the residual's.

    Parameters
    ----------
    design : Design
        With random intercepts only.
    icc : mapping of str to float, or float
        By grouping factor, the share of its variance in the total; a number where there is one.
    sigma : float or None
        Residual standard deviation; by default what makes the total 1, so that fixed effects are
        in total standard deviations.

    Raises
    ------
    OptionError
        For random slopes, names that the model does not have or that are missing, shares that are
        negative or leave nothing to the residual.
    """
    if any(term.columns != ("(Intercept)",) for term in design.terms):
        raise OptionError("icc= is for random intercepts; with random slopes give sd=")
    names = [design.factors[term.factor].name for term in design.terms]
    if not isinstance(icc, Mapping):
        if len(names) > 1:
            raise OptionError(f"icc= needs a share for each of {', '.join(names)}: icc={{...}}")
        icc = {names[0]: icc}
    _check_names(icc, names, "icc")
    shares = np.array([check_number(icc[name], f"icc of {name}") for name in names])
    rest = 1.0 - shares.sum()
    if np.any(shares < 0.0) or rest <= 0.0:
        raise OptionError("icc= are shares: not negative, and together less than 1")
    matrices = [np.array([[share / rest]]) for share in shares]
    own = np.sqrt(rest) if sigma is None else check_number(sigma, "sigma", positive=True)
    return Supposed(theta=theta_of_covariances(design, matrices), sigma=float(own))


def theta_of_covariances(design: Design, relative: Sequence[FloatArray]) -> FloatArray:
    """lme4's parameters of each term's covariance matrix, relative to sigma squared.

    Raises
    ------
    OptionError
        For structures whose parameters are not entries of a factor (``cs``, ``ar1``).
    """
    parts = []
    for term, cov in zip(design.terms, relative, strict=True):
        try:
            parts.append(term.structure.theta_of_factor(_lower_root(cov), term.hom))
        except NotImplementedError:
            raise OptionError(
                f"({term.text}) has parameters of its own ({term.structure.name}): give theta="
            ) from None
    return np.concatenate(parts)


def _lower_root(cov: FloatArray) -> FloatArray:
    """L with ``L L' = cov``, of a singular one too."""
    values, vectors = np.linalg.eigh(cov)
    if values[0] < -_ROUNDING * max(values[-1], 1.0):
        raise OptionError("no variables can have these correlations: give others")
    root = np.linalg.qr((vectors * np.sqrt(values.clip(min=0.0))).T, mode="r").T
    signs = np.where(np.diag(root) < 0, -1.0, 1.0)
    return np.asarray(np.tril(root) * signs)


def _check_names(given: Mapping[str, Any], names: Sequence[str], argument: str) -> None:
    unknown = [name for name in given if name not in names]
    missing = [name for name in names if name not in given]
    if unknown or missing:
        said = f"does not know {unknown[0]!r}" if unknown else f"lacks {missing[0]!r}"
        raise OptionError(
            f"{argument}= {said}; the model has {', '.join(dict.fromkeys(names))}"
            f"{' and Residual' if argument == 'sd' else ''}"
        )


def _sds(given: Any, factor: str, columns: tuple[str, ...]) -> FloatArray:
    if not isinstance(given, Mapping):
        if len(columns) > 1:
            raise OptionError(
                f"{factor} has several columns: sd={{{factor!r}: "
                f"{{{', '.join(f'{name!r}: ...' for name in columns)}}}}}"
            )
        given = {columns[0]: given}
    missing = [name for name in columns if name not in given]
    if missing:
        raise OptionError(f"sd= of {factor} lacks the column {missing[0]!r}")
    found = np.array([check_number(given[name], f"sd of {name}") for name in columns])
    if np.any(found < 0):
        raise OptionError(f"sd= of {factor} must not be negative")
    return found


def _correlations(given: Any, factor: str, k: int) -> FloatArray:
    if given is None or k == 1:
        return np.eye(k)
    R = np.asarray(given, dtype=float)
    if R.ndim == 0 and k == 2:
        R = np.array([[1.0, float(R)], [float(R), 1.0]])
    if R.shape != (k, k) or not np.allclose(R, R.T) or not np.allclose(np.diag(R), 1.0):
        raise OptionError(
            f"correlation= of {factor} must be a correlation matrix of {k} columns"
            f"{' or one number' if k == 2 else ''}"
        )
    return R


def fixed_effects(design: Design, beta: Any, default: FloatArray) -> FloatArray:
    """Read fixed effects: all of them in order, or by name those that differ from `default`."""
    names = list(design.x_names)
    if isinstance(beta, Mapping):
        unknown = [str(name) for name in beta if name not in names]
        if unknown:
            raise OptionError(
                f"beta names {', '.join(unknown)}, and the fixed effects are {', '.join(names)}"
            )
        out = np.array(default, dtype=float)
        out[[names.index(name) for name in beta]] = list(beta.values())
        return out
    out = np.array(beta, dtype=float)
    if out.shape != (design.p,):
        raise OptionError(f"beta must hold {design.p} numbers: {', '.join(names)}")
    return out


def covariance_parameters(design: Design, theta: Any) -> FloatArray:
    """Read a theta of the design's terms."""
    out = np.array(theta, dtype=float)
    count = sum(shape.count for shape in term_shapes(design))
    if out.shape != (count,) or not np.all(np.isfinite(out)):
        terms = ", ".join(f"({t.text})" for t in design.terms)
        raise OptionError(f"theta must hold {count} finite numbers, for {terms} in this order")
    return out


def supposed(
    design: Design,
    *,
    theta: Any = None,
    sigma: Any = None,
    sd: Mapping[str, Any] | None = None,
    correlation: Mapping[str, Any] | None = None,
    icc: Mapping[str, float] | float | None = None,
) -> Supposed:
    """Read covariance parameters in one of three forms: theta, standard deviations, shares.

    Raises
    ------
    OptionError
        Unless exactly one form is given, whole.
    """
    if icc is not None and sd is not None and {name.lower() for name in sd} == {"residual"}:
        raise OptionError("with icc= the residual standard deviation is sigma=")
    if sum(form is not None for form in (theta, sd, icc)) != 1:
        raise OptionError("give the covariances once: sd= (with correlation=), icc= or theta=")
    if correlation is not None and sd is None:
        raise OptionError("correlation= goes with sd=")
    if sd is not None:
        return from_sds(design, sd, correlation or {}, sigma)
    if icc is not None:
        return from_shares(design, icc, sigma)
    return Supposed(theta=covariance_parameters(design, theta), sigma=residual_sd(sigma))


def residual_sd(sigma: Any) -> float:
    """Read a sigma."""
    if isinstance(sigma, bool) or not isinstance(sigma, int | float | np.number) or not sigma > 0:
        raise OptionError(f"sigma must be a positive number, not {sigma!r}")
    return float(sigma)
